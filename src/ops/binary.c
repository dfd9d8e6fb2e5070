/* Operations of two broadcast operands: arithmetic, maximum, minimum, prelu, and the backward of the extrema. */
#include <stdlib.h>

#include "../kernels/table.h"
#include "nest.h"
#include "past.h"

/* shape: the output's extents in its memory order, slowest first; strides of a and b along them in elements, 0 where
 * the operand is broadcast. The output (and dy) is dense. */
#define BINARY_FIELDS(I, D, A, T)                                                                                    \
    I(T, ndim) A(T, shape, FNN_MAX_NDIM) A(T, a_strides, FNN_MAX_NDIM) A(T, b_strides, FNN_MAX_NDIM)
FNN_PROBLEM(binary_problem, BINARY_FIELDS)

#define EXTREMUM_FIELDS(I, D, A, T) BINARY_FIELDS(I, D, A, T) I(T, which) I(T, largest)
FNN_PROBLEM(extremum_problem, EXTREMUM_FIELDS)

static fnn_status plan_nest(fnn_op *op, int64_t ndim, const int64_t *shape, const int64_t *a, const int64_t *b,
                            double cost, int operands) {
    fnn_nest *nest = op->plan = malloc(sizeof *nest);
    if (!nest) return fnn_fail(op, FNN_NO_MEMORY, "%s: no memory for the plan", op->cls->name);
    const fnn_status status = fnn_nest_init(op, nest, ndim, shape, a, b);
    if (status != FNN_OK) return status;
    op->units = fnn_spans(nest->size);
    op->flops = cost * (double)nest->size;
    op->bytes = 4.0 * operands * (double)nest->size;
    op->algorithm = nest->ndim == 1 && nest->stride[0][0] == 1 && nest->stride[1][0] == 1 ? "elementwise"
                                                                                          : "broadcast";
    return FNN_OK;
}

static fnn_binary_rows rows_of(const fnn_chunk *chunk, const float *a, const float *b, float *y) {
    const fnn_binary_rows rows = {
        .rows = chunk->rows,
        .n = chunk->n,
        .a = a + chunk->offset[0],
        .b = b + chunk->offset[1],
        .a_row = chunk->row[0],
        .a_col = chunk->col[0],
        .b_row = chunk->row[1],
        .b_col = chunk->col[1],
        .y = y + chunk->at,
    };
    return rows;
}

static void binary_past(const fnn_op *op, void *const *buf, int64_t lo, int64_t hi,
                        void (*kernel)(const fnn_binary_rows *)) {
    const fnn_nest *nest = op->plan;
    const float *a = buf[0], *b = buf[1];
    float *y = buf[2];
    fnn_binary_rows rows = {.rows = 1, .a_col = nest->stride[0][0], .b_col = nest->stride[1][0]};
    FNN_IN_PIECES(
        op->k, nest->size, lo, hi, FNN_PIECE, y, a == y || b == y,
        (rows.n = n, rows.a = a + at * rows.a_col, rows.b = b + at * rows.b_col, rows.y = to, kernel(&rows)));
}

static void binary_run(const fnn_op *op, void *const *buf, const fnn_team *team,
                       void (*kernel)(const fnn_binary_rows *)) {
    const fnn_nest *nest = op->plan;
    int64_t lo, hi;
    fnn_share_spans(nest->size, team, &lo, &hi);
    if (nest->ndim == 1 && nest->size > FNN_PAST) {
        binary_past(op, buf, lo, hi, kernel);
        return;
    }
    while (lo < hi) {
        const fnn_chunk chunk = fnn_nest_chunk(nest, lo, hi);
        const fnn_binary_rows rows = rows_of(&chunk, buf[0], buf[1], buf[2]);
        kernel(&rows);
        lo += chunk.rows * chunk.n;
    }
}

#define FNN_BINARY(name, cost)                                                                                       \
    static fnn_status name##_op_init(fnn_op *op) {                                                                   \
        const binary_problem *p = op->problem;                                                                       \
        return plan_nest(op, p->ndim, p->shape, p->a_strides, p->b_strides, cost, 3);                                \
    }                                                                                                                \
    static void name##_op_run(const fnn_op *op, void *const *buf, void *scratch, const fnn_team *team) {             \
        (void)scratch;                                                                                               \
        binary_run(op, buf, team, op->k->binary_##name);                                                             \
    }                                                                                                                \
    FNN_OP_CLASS(name, binary_problem, "a b y", name##_op_init, name##_op_run);
#include "../kernels/eltwise.inc"

static fnn_status extremum_init(fnn_op *op) {
    const extremum_problem *p = op->problem;
    return plan_nest(op, p->ndim, p->shape, p->a_strides, p->b_strides, 3, 4);
}

static void extremum_run(const fnn_op *op, void *const *buf, void *scratch, const fnn_team *team) {
    const extremum_problem *p = op->problem;
    const fnn_nest *nest = op->plan;
    const float *dy = buf[0];
    int64_t lo, hi;
    (void)scratch;
    fnn_share_spans(nest->size, team, &lo, &hi);
    while (lo < hi) {
        const fnn_chunk chunk = fnn_nest_chunk(nest, lo, hi);
        const fnn_binary_rows rows = rows_of(&chunk, buf[1], buf[2], buf[3]);
        op->k->binary_extremum_bwd(&rows, dy + chunk.at, (int)p->which, (int)p->largest);
        lo += chunk.rows * chunk.n;
    }
}

FNN_OP_CLASS(extremum_bwd, extremum_problem, "dy a b dx", extremum_init, extremum_run);
