/* x86-64 with AVX2, FMA and F16C: 16 registers of 8 floats. */
#include "../simd/vec_avx2.h"

#define FNN_LEVEL "avx2"
#define FNN_TABLE fnn_kernels_avx2
#define GEMM_MR 6
#define GEMM_KC 384
#define GEMM_NV 2
#define DW_COLUMNS 4
#define SMALL_R 4
#define SMALL_P 3

#include "../kernels/all.h"
