/* aarch64: 32 registers of 4 floats. */
#if defined(__GNUC__) && !defined(__clang__)
/* On this architecture GCC schedules before it allocates registers, and moves loads up until accumulators spill. */
#pragma GCC optimize("no-schedule-insns")
#endif
#include "../simd/vec_neon.h"

#define FNN_LEVEL "neon"
#define FNN_TABLE fnn_kernels_neon
#define GEMM_MR 8
#define GEMM_KC 256
#define GEMM_NV 3
#define DW_COLUMNS 7
#define SMALL_R 6
#define SMALL_P 4

#include "../kernels/all.h"
