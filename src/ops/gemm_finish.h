/* Where the rows of a product's operands and result lie, and what is left to do with a block of C that is done. */
#ifndef FASTNN_OPS_GEMM_FINISH_H
#define FASTNN_OPS_GEMM_FINISH_H

#include "gemm_core.h"

/* Row i of A (or column of B) at its first value along k. */
const float *fnn_gemm_row_of(const gemm_source *s, int64_t batch, int64_t i);
/* Rows [first, first + count) of C, in floats from its start. */
void fnn_gemm_fill_rows(const gemm_rows *r, int64_t first, int64_t count, int64_t *rows);
/* What lies between rows [i, i + m) of C, and after the last of each image. */
void fnn_gemm_fill_zeros(const gemm_call *call, int64_t i, int64_t m, const int64_t *rows);
/* SiLU takes too many registers for the tiles: the last activation of a block that is done. Rows are `stride` apart,
 * where row is NULL. */
void fnn_gemm_finish_silu(const gemm_call *call, int64_t m, int64_t n, float *c, const int64_t *row, int64_t stride);

#endif
