/* How a reduction over any axes of a dense array is cut: shared by sum, mean, amax and the backward of amax.
 *
 * After merging neighbours of a kind the innermost dimension is either reduced ("rows": width 1, a row is contiguous)
 * or kept ("columns": width columns are reduced side by side). Each group is one index of the kept outer dimensions;
 * its rows are the indices of the reduced outer ones. Columns are cut in tiles, long groups in blocks whose partial
 * results are merged in order. All of it follows from the shape alone. */
#ifndef FASTNN_OPS_REDUCE_PLAN_H
#define FASTNN_OPS_REDUCE_PLAN_H

#include "../fastnn.h"

/* shape: x's extents in memory order; reduced: 1 where the axis is summed over; y_strides: elements along the kept
 * axes, ignored along the others. */
#define REDUCE_FIELDS(I, D, A, T)                                                                                    \
    I(T, ndim) A(T, shape, FNN_MAX_NDIM) A(T, reduced, FNN_MAX_NDIM) A(T, y_strides, FNN_MAX_NDIM)

#define REDUCE_TILE 512 /* columns */

typedef struct fnn_mixed_radix {
    int ndim;
    int64_t size;
    int64_t shape[FNN_MAX_NDIM], x[FNN_MAX_NDIM], y[FNN_MAX_NDIM]; /* extents; strides in x and in y */
} fnn_mixed_radix;

typedef struct fnn_reduce_plan {
    fnn_mixed_radix groups, rows;
    int columns;                           /* the innermost dimension is kept */
    int64_t width, y_step;                 /* columns: how many, and their stride in y */
    int64_t length;                        /* rows: elements of one */
    int64_t tiles, blocks, rows_per_block; /* rows: in pieces of REDUCE_PIECE elements */
    int64_t pieces_per_row, count;         /* count: elements of x that one of y is made of */
    int64_t outputs;
} fnn_reduce_plan;

#define REDUCE_PIECE 8192 /* elements of a contiguous row that one piece has */

fnn_status fnn_reduce_plan_init(fnn_op *op, fnn_reduce_plan *plan, int64_t ndim, const int64_t *shape,
                                const int64_t *reduced, const int64_t *y_strides);

/* Offsets in x and (if y is not NULL) in y of an index, counted with the last dimension fastest. */
int64_t fnn_radix_offset(const fnn_mixed_radix *radix, int64_t index, int64_t *y);

#endif
