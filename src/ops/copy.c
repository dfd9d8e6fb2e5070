/* copy (any strides on both sides), fill and convert (any number type to float32). */
#include <stdlib.h>

#include "../kernels/table.h"
#include "nest.h"

/* Extents in the memory order of y; offsets and strides in elements of itemsize bytes (1, 4 or 8). Elements of y that
 * no index reaches are left as they are. */
#define COPY_FIELDS(I, D, A, T)                                                                                      \
    I(T, itemsize)                                                                                                   \
    I(T, ndim)                                                                                                       \
    A(T, shape, FNN_MAX_NDIM)                                                                                        \
    I(T, x_offset) A(T, x_strides, FNN_MAX_NDIM) I(T, y_offset) A(T, y_strides, FNN_MAX_NDIM)
FNN_PROBLEM(copy_problem, COPY_FIELDS)

#define FILL_FIELDS(I, D, A, T) I(T, n) D(T, value)
FNN_PROBLEM(fill_problem, FILL_FIELDS)

/* dtype: of x, an fnn_dtype; shape in the memory order of y, which is dense. */
#define CONVERT_FIELDS(I, D, A, T)                                                                                   \
    I(T, dtype) I(T, ndim) A(T, shape, FNN_MAX_NDIM) A(T, x_strides, FNN_MAX_NDIM) A(T, y_strides, FNN_MAX_NDIM)
FNN_PROBLEM(convert_problem, CONVERT_FIELDS)

#define TILE 4096 /* elements of one unit of a transposition */

/* across: the dimension along which x is contiguous, when that is not the last one, where y is: then units are tiles
 * of those two, tall elements along `across` and wide along the last. -1: units are spans of the nest's order. */
typedef struct copy_plan {
    fnn_nest nest; /* operand 0 is x, 1 is y */
    int across;
    int64_t tall, wide, tiles_across, tiles_last;
} copy_plan;

static int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
static int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

static void plan_transpose(fnn_op *op, copy_plan *plan) {
    const fnn_nest *nest = &plan->nest;
    const int last = nest->ndim - 1;
    plan->across = -1;
    if (nest->size == 0 || nest->stride[1][last] != 1 || nest->stride[0][last] == 1) return;
    for (int d = 0; d < last; d++)
        if (nest->stride[0][d] == 1) plan->across = d;
    if (plan->across < 0) return;
    const int64_t across = nest->shape[plan->across], wide = nest->shape[last];
    plan->wide = smaller(wide, 64);
    plan->tall = smaller(across, TILE / plan->wide);
    if (plan->tall < 64) plan->wide = smaller(wide, TILE / plan->tall);
    plan->tiles_across = ceil_div(across, plan->tall);
    plan->tiles_last = ceil_div(wide, plan->wide);
    op->units = nest->size / across / wide * plan->tiles_across * plan->tiles_last;
    op->algorithm = "transpose";
}

static fnn_status copy_init(fnn_op *op) {
    const copy_problem *p = op->problem;
    copy_plan *plan = op->plan = malloc(sizeof *plan);
    if (!plan) return fnn_fail(op, FNN_NO_MEMORY, "copy: no memory for the plan");
    if (p->itemsize != 1 && p->itemsize != 4 && p->itemsize != 8)
        return fnn_fail(op, FNN_UNSUPPORTED, "copy: expected elements of 1, 4 or 8 bytes, got %lld",
                        (long long)p->itemsize);
    const fnn_status status = fnn_nest_init(op, &plan->nest, p->ndim, p->shape, p->x_strides, p->y_strides);
    if (status != FNN_OK) return status;
    op->units = fnn_spans(plan->nest.size);
    op->bytes = 2.0 * (double)p->itemsize * (double)plan->nest.size;
    op->algorithm = "strided";
    plan->across = -1;
    if (p->itemsize == 4) plan_transpose(op, plan);
    return FNN_OK;
}

/* The tile that a unit is: its place in both arrays and its extents. */
static void transpose_unit(const fnn_op *op, int64_t unit, const float *x, float *y) {
    const copy_plan *plan = op->plan;
    const fnn_nest *nest = &plan->nest;
    const int last = nest->ndim - 1;
    const int64_t column = unit % plan->tiles_last * plan->wide;
    unit /= plan->tiles_last;
    const int64_t row = unit % plan->tiles_across * plan->tall;
    unit /= plan->tiles_across;
    const int64_t x_row = nest->stride[0][last], y_row = nest->stride[1][plan->across];
    x += row + column * x_row;
    y += row * y_row + column;
    for (int d = last - 1; d >= 0; d--) {
        if (d == plan->across) continue;
        x += unit % nest->shape[d] * nest->stride[0][d];
        y += unit % nest->shape[d] * nest->stride[1][d];
        unit /= nest->shape[d];
    }
    op->k->copy_transpose(smaller(plan->tall, nest->shape[plan->across] - row),
                          smaller(plan->wide, nest->shape[last] - column), x, x_row, y, y_row);
}

static fnn_copy_2d chunk_2d(const fnn_chunk *chunk) {
    const fnn_copy_2d c = {.rows = chunk->rows,
                           .n = chunk->n,
                           .x_row = chunk->row[0],
                           .x_col = chunk->col[0],
                           .y_row = chunk->row[1],
                           .y_col = chunk->col[1]};
    return c;
}

static void copy_run(const fnn_op *op, void *const *buf, void *scratch, const fnn_team *team) {
    const copy_problem *p = op->problem;
    const copy_plan *plan = op->plan;
    const char *x = (const char *)buf[0] + p->x_offset * p->itemsize;
    char *y = (char *)buf[1] + p->y_offset * p->itemsize;
    int64_t lo, hi;
    (void)scratch;
    if (plan->across >= 0) {
        fnn_share(op->units, team->tid, team->n, &lo, &hi);
        for (int64_t unit = lo; unit < hi; unit++) transpose_unit(op, unit, (const float *)x, (float *)y);
        return;
    }
    fnn_share_spans(plan->nest.size, team, &lo, &hi);
    while (lo < hi) {
        const fnn_chunk chunk = fnn_nest_chunk(&plan->nest, lo, hi);
        const fnn_copy_2d c = chunk_2d(&chunk);
        op->k->copy_2d(&c, p->itemsize, x + chunk.offset[0] * p->itemsize, y + chunk.offset[1] * p->itemsize);
        lo += chunk.rows * chunk.n;
    }
}

FNN_OP_CLASS(copy, copy_problem, "x y", copy_init, copy_run);

static fnn_status fill_init(fnn_op *op) {
    const fill_problem *p = op->problem;
    if (p->n < 0) return fnn_fail(op, FNN_INVALID, "fill: expected at least 0 elements, got %lld", (long long)p->n);
    op->units = fnn_spans(p->n);
    op->bytes = 4.0 * (double)p->n;
    op->algorithm = "fill";
    return FNN_OK;
}

static void fill_run(const fnn_op *op, void *const *buf, void *scratch, const fnn_team *team) {
    const fill_problem *p = op->problem;
    int64_t lo, hi;
    (void)scratch;
    fnn_share_spans(p->n, team, &lo, &hi);
    if (lo < hi) op->k->fill(hi - lo, (float)p->value, (float *)buf[0] + lo);
}

FNN_OP_CLASS(fill, fill_problem, "y", fill_init, fill_run);

static const int64_t itemsizes[] = {
    [FNN_FLOAT32] = 4, [FNN_UINT8] = 1, [FNN_INT32] = 4, [FNN_INT64] = 8, [FNN_UINT64] = 8};

static fnn_status convert_init(fnn_op *op) {
    const convert_problem *p = op->problem;
    fnn_nest *nest = op->plan = malloc(sizeof *nest);
    if (!nest) return fnn_fail(op, FNN_NO_MEMORY, "convert: no memory for the plan");
    if (p->dtype < FNN_FLOAT32 || p->dtype > FNN_UINT64)
        return fnn_fail(op, FNN_UNSUPPORTED, "convert: expected a dtype from 0 to %d, got %lld", FNN_UINT64,
                        (long long)p->dtype);
    const fnn_status status = fnn_nest_init(op, nest, p->ndim, p->shape, p->x_strides, p->y_strides);
    if (status != FNN_OK) return status;
    op->units = fnn_spans(nest->size);
    op->bytes = (double)(itemsizes[p->dtype] + 4) * (double)nest->size;
    op->algorithm = "convert";
    return FNN_OK;
}

static void convert_run(const fnn_op *op, void *const *buf, void *scratch, const fnn_team *team) {
    const convert_problem *p = op->problem;
    const fnn_nest *nest = op->plan;
    const char *x = buf[0];
    float *y = buf[1];
    int64_t lo, hi;
    (void)scratch;
    fnn_share_spans(nest->size, team, &lo, &hi);
    while (lo < hi) {
        const fnn_chunk chunk = fnn_nest_chunk(nest, lo, hi);
        const fnn_copy_2d c = chunk_2d(&chunk);
        op->k->convert_2d(&c, p->dtype, x + chunk.offset[0] * itemsizes[p->dtype], y + chunk.offset[1]);
        lo += chunk.rows * chunk.n;
    }
}

FNN_OP_CLASS(convert, convert_problem, "x y", convert_init, convert_run);
