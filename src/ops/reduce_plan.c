/* How reductions are cut; see reduce_plan.h. */
#include "reduce_plan.h"

#define BLOCK_ELEMENTS 16384 /* at least this many elements a block */
#define ENOUGH_UNITS 64      /* with so many groups and tiles no group is cut in blocks */
#define MOST_UNITS 256

typedef struct merged_dim {
    int64_t size, x, y;
    int reduced;
} merged_dim;

static int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
static int64_t at_least(int64_t a, int64_t b) { return a > b ? a : b; }

/* Drops dimensions of size one, merges neighbours of a kind that run on in y; returns how many are left. */
static int merge(int64_t ndim, const int64_t *shape, const int64_t *reduced, const int64_t *y_strides,
                 merged_dim *dims) {
    int64_t x_stride[FNN_MAX_NDIM + 1] = {1};
    int n = 0;
    for (int64_t i = ndim - 1, step = 1; i >= 0; step *= shape[i], i--) x_stride[i] = step;
    for (int64_t i = 0; i < ndim; i++) {
        const int is_reduced = reduced[i] != 0;
        if (shape[i] == 1) continue;
        if (n > 0 && dims[n - 1].reduced == is_reduced && (is_reduced || dims[n - 1].y == y_strides[i] * shape[i]))
            dims[n - 1].size *= shape[i];
        else
            dims[n++] = (merged_dim){.size = shape[i], .reduced = is_reduced};
        dims[n - 1].x = x_stride[i];
        dims[n - 1].y = is_reduced ? 0 : y_strides[i];
    }
    return n;
}

static void push(fnn_mixed_radix *radix, const merged_dim *dim) {
    const int d = radix->ndim++;
    radix->shape[d] = dim->size;
    radix->x[d] = dim->x;
    radix->y[d] = dim->y;
    radix->size *= dim->size;
}

static void cut(fnn_reduce_plan *plan) {
    plan->tiles = plan->columns ? ceil_div(plan->width, REDUCE_TILE) : 1;
    plan->pieces_per_row = plan->columns ? 1 : at_least(ceil_div(plan->length, REDUCE_PIECE), 1);
    const int64_t pieces = plan->rows.size * plan->pieces_per_row;
    const int64_t breadth = plan->columns ? (plan->width < REDUCE_TILE ? plan->width : REDUCE_TILE)
                                          : (plan->length < REDUCE_PIECE ? plan->length : REDUCE_PIECE);
    const int64_t units = at_least(plan->groups.size * plan->tiles, 1);
    plan->rows_per_block = at_least(pieces, 1);
    if (units < ENOUGH_UNITS) {
        plan->rows_per_block = at_least(BLOCK_ELEMENTS / at_least(breadth, 1), plan->columns ? 64 : 1);
        plan->rows_per_block = at_least(plan->rows_per_block, ceil_div(pieces, MOST_UNITS / units));
    }
    plan->blocks = at_least(ceil_div(pieces, plan->rows_per_block), 1);
}

fnn_status fnn_reduce_plan_init(fnn_op *op, fnn_reduce_plan *plan, int64_t ndim, const int64_t *shape,
                                const int64_t *reduced, const int64_t *y_strides) {
    merged_dim dims[FNN_MAX_NDIM];
    if (ndim < 0 || ndim > FNN_MAX_NDIM)
        return fnn_fail(op, FNN_INVALID, "%s: expected 0 to %d dimensions, got %lld", op->cls->name, FNN_MAX_NDIM,
                        (long long)ndim);
    for (int64_t i = 0; i < ndim; i++)
        if (shape[i] < 0)
            return fnn_fail(op, FNN_INVALID, "%s: expected sizes of at least 0, got %lld in dimension %lld",
                            op->cls->name, (long long)shape[i], (long long)i);
    int n = merge(ndim, shape, reduced, y_strides, dims);
    plan->groups.ndim = plan->rows.ndim = 0;
    plan->groups.size = plan->rows.size = 1;
    plan->width = plan->y_step = plan->length = 1;
    plan->columns = n > 0 && !dims[n - 1].reduced;
    plan->count = 1;
    for (int i = 0; i < n; i++)
        if (dims[i].reduced) plan->count *= dims[i].size;
    if (plan->columns) {
        plan->width = dims[n - 1].size;
        plan->y_step = dims[n - 1].y;
        n--;
    } else if (n > 0) {
        plan->length = dims[n - 1].size;
        n--;
    }
    for (int i = 0; i < n; i++) push(dims[i].reduced ? &plan->rows : &plan->groups, &dims[i]);
    plan->outputs = plan->groups.size * plan->width;
    cut(plan);
    return FNN_OK;
}

int64_t fnn_radix_offset(const fnn_mixed_radix *radix, int64_t index, int64_t *y) {
    int64_t x = 0;
    if (y) *y = 0;
    for (int d = radix->ndim - 1; d >= 0; d--) {
        const int64_t here = index % radix->shape[d];
        x += here * radix->x[d];
        if (y) *y += here * radix->y[d];
        index /= radix->shape[d];
    }
    return x;
}
