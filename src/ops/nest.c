/* Loop nests; see nest.h. */
#include "nest.h"

fnn_status fnn_nest_init(fnn_op *op, fnn_nest *nest, int64_t ndim, const int64_t *shape, const int64_t *stride_0,
                         const int64_t *stride_1) {
    if (ndim < 0 || ndim > FNN_MAX_NDIM)
        return fnn_fail(op, FNN_INVALID, "%s: expected 0 to %d dimensions, got %lld", op->cls->name, FNN_MAX_NDIM,
                        (long long)ndim);
    int d = 0;
    nest->size = 1;
    for (int64_t i = 0; i < ndim; i++) {
        if (shape[i] < 0)
            return fnn_fail(op, FNN_INVALID, "%s: expected sizes of at least 0, got %lld in dimension %lld",
                            op->cls->name, (long long)shape[i], (long long)i);
        nest->size *= shape[i];
        if (shape[i] == 1) continue;
        if (d > 0 && nest->stride[0][d - 1] == stride_0[i] * shape[i] &&
            nest->stride[1][d - 1] == stride_1[i] * shape[i]) {
            nest->shape[d - 1] *= shape[i];
        } else {
            nest->shape[d++] = shape[i];
        }
        nest->stride[0][d - 1] = stride_0[i];
        nest->stride[1][d - 1] = stride_1[i];
    }
    if (d == 0) {
        nest->shape[d] = 1;
        nest->stride[0][d] = nest->stride[1][d] = 1;
        d = 1;
    }
    nest->ndim = d;
    return FNN_OK;
}

fnn_chunk fnn_nest_chunk(const fnn_nest *nest, int64_t at, int64_t end) {
    const int last = nest->ndim - 1;
    const int64_t width = nest->shape[last], column = at % width;
    fnn_chunk chunk = {.at = at, .rows = 1};
    int64_t index = at / width, row_index = 0;
    for (int i = 0; i < 2; i++) {
        chunk.col[i] = nest->stride[i][last];
        chunk.row[i] = last > 0 ? nest->stride[i][last - 1] : 0;
        chunk.offset[i] = column * chunk.col[i];
    }
    for (int d = last - 1; d >= 0; d--) {
        const int64_t here = index % nest->shape[d];
        if (d == last - 1) row_index = here;
        for (int i = 0; i < 2; i++) chunk.offset[i] += here * nest->stride[i][d];
        index /= nest->shape[d];
    }
    if (column > 0 || end - at < width) {
        chunk.n = width - column < end - at ? width - column : end - at;
    } else {
        const int64_t rows_left = last > 0 ? nest->shape[last - 1] - row_index : 1;
        chunk.n = width;
        chunk.rows = (end - at) / width < rows_left ? (end - at) / width : rows_left;
    }
    return chunk;
}
