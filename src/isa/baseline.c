/* The floor: GCC vector extensions only, whatever the machine. Named baseline on x86-64 (SSE2) and portable
 * elsewhere. Three vectors of columns a broadcast of A, which takes a place among the additions here. */
#include "../simd/vec_portable.h"

#if defined(__x86_64__)
#define FNN_LEVEL "baseline"
#else
#define FNN_LEVEL "portable"
#endif
#define FNN_TABLE fnn_kernels_baseline
#define GEMM_MR 4
#define GEMM_KC 256
#define GEMM_NV 3
#define DW_COLUMNS 4
#define SMALL_R 4
#define SMALL_P 3

#include "../kernels/all.h"
