/* aarch64: 32 registers of 4 floats. */
#include "../simd/vec_neon.h"

#define FNN_LEVEL "neon"
#define FNN_TABLE fnn_kernels_neon
#define GEMM_MR 8
#define GEMM_KC 256
#define GEMM_NV 3

#include "../kernels/all.h"
