/* Products of some rows by many columns: a block of A along k is packed whole and stays in the second-level cache, and
 * each panel of B is packed right before its only use, while what it is made of was asked for during the panel before
 * it. All of B packed at once, or much of it, would go through memory once more. Threads share the columns. */
#ifndef FASTNN_OPS_GEMM_ONCE_H
#define FASTNN_OPS_GEMM_ONCE_H

#include "gemm_core.h"

/* Of a planned product: whether it is one of these. Blocks along k are the plan's, so sums are the same. */
int fnn_gemm_is_once(const gemm_plan *plan, const fnn_kernels *kernels);
int64_t fnn_gemm_once_units(const gemm_plan *plan);
size_t fnn_gemm_once_thread_bytes(const gemm_plan *plan, const fnn_kernels *kernels);
/* Operands are strided; columns of B are contiguous, and rows of C adjoin. */
void fnn_gemm_run_once(const gemm_call *call, void *thread_scratch, const fnn_team *team);

/* Of a product in shared mode: whether each thread keeps to columns of its own, which it packs itself. No thread waits,
 * and what one wrote does not have to come from its cache to the other's. Each reads all of A, which must be small
 * enough for its own cache. */
int fnn_gemm_has_own_columns(const gemm_call *call, const fnn_team *team);
/* b: room for all of B, of which each thread makes its part. */
void fnn_gemm_run_own_columns(const gemm_call *call, float *b, void *thread_scratch, const fnn_team *team);

#endif
