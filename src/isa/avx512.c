/* x86-64 with AVX-512 F, CD, BW, DQ, VL: 32 registers of 16 floats. 14x32 keeps 28 accumulators and asks the L2 for
 * less than half of what 6x64 does, which decides on cores with two FMA units. */
#include "../simd/vec_avx512.h"

#define FNN_LEVEL "avx512"
#define FNN_TABLE fnn_kernels_avx512
#define GEMM_MR 14
#define GEMM_KC 512
#define GEMM_NV 2
#define DW_COLUMNS 7
#define SMALL_R 6
#define SMALL_P 4

#include "../kernels/all.h"

#ifdef FNN_HAVE_AMX
extern const fnn_tiles fnn_tiles_amx;

const fnn_kernels fnn_kernels_amx = {
    .level = "amx",
    .tiles = &fnn_tiles_amx,
#include "../kernels/fill.inc"
};
#endif
