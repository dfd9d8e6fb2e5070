/* See gemm_finish.h. */
#include "gemm_finish.h"

#include <string.h>

const float *fnn_gemm_row_of(const gemm_source *s, int64_t batch, int64_t i) {
    const float *first = s->data + batch * s->batch_stride;
    return s->line_rows ? first + i / s->line_rows * s->line_stride + i % s->line_rows * s->stride
                        : first + i * s->stride;
}

void fnn_gemm_fill_rows(const gemm_rows *r, int64_t first, int64_t count, int64_t *rows) {
    int64_t x = first % r->grid_w, y = first / r->grid_w % r->grid_h, image = first / r->grid_w / r->grid_h;
    for (int64_t i = 0; i < count; i++) {
        rows[i] = image * r->stride_n + y * r->stride_h + x * r->stride_w;
        if (++x < r->grid_w) continue;
        x = 0;
        if (++y < r->grid_h) continue;
        y = 0;
        image++;
    }
}

void fnn_gemm_fill_zeros(const gemm_call *call, int64_t i, int64_t m, const int64_t *rows) {
    const gemm_rows *r = &call->rows;
    const int64_t columns = call->plan->n, image = r->grid_h * r->grid_w;
    for (int64_t q = 0; q < m; q++) {
        int64_t end = rows[q] + r->stride_w;
        if ((i + q + 1) % image == 0)
            end = ((i + q + 1) / image) * r->stride_n;
        else if ((i + q + 1) % r->grid_w == 0)
            end = rows[q] - (r->grid_w - 1) * r->stride_w + r->stride_h;
        memset(call->c + rows[q] + columns, 0, (size_t)(end - rows[q] - columns) * sizeof(float));
    }
}

void fnn_gemm_finish_silu(const gemm_call *call, int64_t m, int64_t n, float *c, const int64_t *row, int64_t stride) {
    for (int64_t i = 0; call->activation == FNN_ACT_SILU && i < m; i++) {
        float *const at = c + (row ? row[i] : i * stride);
        call->kernels->elt_silu(n, at, at, 0, 0, 0);
    }
}
