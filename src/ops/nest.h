/* Loop nests over two strided operands: dimensions of size one dropped, those that run on merged, and any contiguous
 * range of the elements cut into chunks of rows x n for the two-dimensional kernels. */
#ifndef FASTNN_OPS_NEST_H
#define FASTNN_OPS_NEST_H

#include "../fastnn.h"

typedef struct fnn_nest {
    int ndim; /* at least 1 */
    int64_t shape[FNN_MAX_NDIM];
    int64_t stride[2][FNN_MAX_NDIM]; /* of each operand, in elements */
    int64_t size;
} fnn_nest;

/* Checks the number of dimensions and the extents; on failure fills in op->error. */
fnn_status fnn_nest_init(fnn_op *op, fnn_nest *nest, int64_t ndim, const int64_t *shape, const int64_t *stride_0,
                         const int64_t *stride_1);

/* Elements at .. at + rows * n in the nest's order. */
typedef struct fnn_chunk {
    int64_t at, rows, n;
    int64_t offset[2], row[2], col[2];
} fnn_chunk;

/* The chunk that begins at element `at` and ends at `end` or before; chunks are never empty. */
fnn_chunk fnn_nest_chunk(const fnn_nest *nest, int64_t at, int64_t end);

/* Thread tid's elements of n, in whole blocks of FNN_SPAN. */
#define FNN_SPAN 64
static inline int64_t fnn_spans(int64_t n) { return (n + FNN_SPAN - 1) / FNN_SPAN; }
static inline void fnn_share_spans(int64_t n, const fnn_team *team, int64_t *lo, int64_t *hi) {
    fnn_share(fnn_spans(n), team->tid, team->n, lo, hi);
    *lo = *lo * FNN_SPAN;
    *hi = *hi * FNN_SPAN < n ? *hi * FNN_SPAN : n;
}

#endif
