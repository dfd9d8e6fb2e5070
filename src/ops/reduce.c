/* sum, mean, amax and sum_squares over any axes; see reduce_plan.h for how they are cut. */
#include <math.h>
#include <stdlib.h>

#include "../kernels/table.h"
#include "reduce_plan.h"

FNN_PROBLEM(reduce_problem, REDUCE_FIELDS)

typedef enum { REDUCE_SUM, REDUCE_MEAN, REDUCE_MAX, REDUCE_SQUARES } reduce_kind;

typedef struct plan_and_kind {
    fnn_reduce_plan cut;
    reduce_kind kind;
} plan_and_kind;

static int64_t tile_width(const fnn_reduce_plan *plan, int64_t tile) {
    const int64_t left = plan->width - tile * REDUCE_TILE;
    return left < REDUCE_TILE ? left : REDUCE_TILE;
}

static fnn_status reduce_init(fnn_op *op, reduce_kind kind) {
    const reduce_problem *p = op->problem;
    plan_and_kind *plan = op->plan = malloc(sizeof *plan);
    if (!plan) return fnn_fail(op, FNN_NO_MEMORY, "%s: no memory for the plan", op->cls->name);
    const fnn_status status = fnn_reduce_plan_init(op, &plan->cut, p->ndim, p->shape, p->reduced, p->y_strides);
    if (status != FNN_OK) return status;
    const fnn_reduce_plan *cut = &plan->cut;
    plan->kind = kind;
    op->units = cut->outputs ? cut->groups.size * cut->tiles * cut->blocks : 0;
    if (cut->blocks > 1) op->scratch_shared = (size_t)(cut->outputs * cut->blocks) * sizeof(double);
    op->scratch_thread = REDUCE_TILE * sizeof(double);
    op->flops = (double)cut->outputs * (double)cut->count;
    op->bytes = 4.0 * ((double)cut->outputs * (double)cut->count + (double)cut->outputs);
    op->algorithm = cut->columns ? "columns" : "rows";
    return FNN_OK;
}

/* Rows [first, last) of a group's tile into acc; the rows of the innermost reduced dimension lie evenly apart. */
static void reduce_columns(const fnn_op *op, const float *x, int64_t width, int64_t first, int64_t last,
                           double *acc) {
    const plan_and_kind *plan = op->plan;
    const fnn_mixed_radix *rows = &plan->cut.rows;
    const int64_t run = rows->ndim ? rows->shape[rows->ndim - 1] : 1;
    const int64_t step = rows->ndim ? rows->x[rows->ndim - 1] : 0;
    for (int64_t c = 0; c < width; c++) acc[c] = plan->kind == REDUCE_MAX ? -INFINITY : 0.0;
    while (first < last) {
        const int64_t left = run - first % run, count = last - first < left ? last - first : left;
        const float *p = x + fnn_radix_offset(rows, first, NULL);
        if (plan->kind == REDUCE_MAX)
            op->k->reduce_max_cols(count, width, p, step, acc);
        else
            op->k->reduce_sum_cols(count, width, p, step, acc);
        first += count;
    }
}

/* Pieces [first, last) of a group's contiguous rows. */
static double reduce_pieces(const fnn_op *op, const float *x, int64_t first, int64_t last) {
    const plan_and_kind *plan = op->plan;
    const fnn_reduce_plan *cut = &plan->cut;
    double acc = plan->kind == REDUCE_MAX ? -INFINITY : 0.0;
    for (int64_t i = first; i < last; i++) {
        const int64_t start = i % cut->pieces_per_row * REDUCE_PIECE;
        const int64_t left = cut->length - start, n = left < REDUCE_PIECE ? left : REDUCE_PIECE;
        const float *p = x + fnn_radix_offset(&cut->rows, i / cut->pieces_per_row, NULL) + start;
        if (plan->kind == REDUCE_MAX) {
            const double value = op->k->reduce_max_row(n, p);
            acc = acc < value || value != value ? value : acc;
        } else {
            acc += plan->kind == REDUCE_SQUARES ? op->k->reduce_squares_row(n, p) : op->k->reduce_sum_row(n, p);
        }
    }
    return acc;
}

/* One block's partial results, width of them, into acc. */
static void reduce_block(const fnn_op *op, const float *x, int64_t group, int64_t tile, int64_t block, double *acc) {
    const fnn_reduce_plan *cut = &((const plan_and_kind *)op->plan)->cut;
    const int64_t pieces = cut->rows.size * cut->pieces_per_row, first = block * cut->rows_per_block;
    const int64_t last = pieces - first < cut->rows_per_block ? pieces : first + cut->rows_per_block;
    const float *base = x + fnn_radix_offset(&cut->groups, group, NULL) + tile * REDUCE_TILE;
    if (cut->columns)
        reduce_columns(op, base, tile_width(cut, tile), first, last, acc);
    else
        acc[0] = reduce_pieces(op, base, first, last);
}

static void store(const fnn_op *op, int64_t group, int64_t tile, const double *acc, float *y) {
    const plan_and_kind *plan = op->plan;
    const double divisor = plan->kind == REDUCE_MEAN ? (double)plan->cut.count : 1.0;
    int64_t at;
    (void)fnn_radix_offset(&plan->cut.groups, group, &at);
    at += tile * REDUCE_TILE * plan->cut.y_step;
    for (int64_t c = 0; c < tile_width(&plan->cut, tile); c++)
        y[at + c * plan->cut.y_step] = (float)(acc[c] / divisor);
}

/* Adds up the blocks of one group's tile, in order; their partials lie one after the other. */
static void merge_blocks(const fnn_op *op, const double *partial, int64_t width, double *acc) {
    const plan_and_kind *plan = op->plan;
    for (int64_t c = 0; c < width; c++) acc[c] = partial[c];
    for (int64_t block = 1; block < plan->cut.blocks; block++)
        for (int64_t c = 0; c < width; c++) {
            const double value = partial[block * width + c];
            if (plan->kind != REDUCE_MAX)
                acc[c] += value;
            else if (acc[c] < value || value != value)
                acc[c] = value;
        }
}

/* Contiguous rows evenly apart, one output each: the loop without index arithmetic. Same calls, same bits. */
static int is_plain_rows(const fnn_reduce_plan *cut) {
    return !cut->columns && cut->blocks == 1 && cut->rows.ndim == 0 && cut->pieces_per_row == 1 &&
           cut->groups.ndim == 1;
}

static void reduce_plain_rows(const fnn_op *op, const float *x, float *y, int64_t lo, int64_t hi) {
    const plan_and_kind *plan = op->plan;
    const fnn_reduce_plan *cut = &plan->cut;
    double (*const row)(int64_t, const float *) = plan->kind == REDUCE_MAX ? op->k->reduce_max_row
                                                                           : op->k->reduce_sum_row;
    const double divisor = plan->kind == REDUCE_MEAN ? (double)cut->count : 1.0;
    for (int64_t g = lo; g < hi; g++)
        y[g * cut->groups.y[0]] = (float)(row(cut->length, x + g * cut->groups.x[0]) / divisor);
}

static void reduce_run(const fnn_op *op, void *const *buf, void *scratch, const fnn_team *team) {
    const fnn_reduce_plan *cut = &((const plan_and_kind *)op->plan)->cut;
    double *acc = fnn_thread_scratch(op, scratch, team->tid), *partials = scratch;
    int64_t lo, hi;
    fnn_share(op->units, team->tid, team->n, &lo, &hi);
    if (is_plain_rows(cut)) {
        reduce_plain_rows(op, buf[0], buf[1], lo, hi);
        return;
    }
    for (int64_t unit = lo; unit < hi; unit++) {
        const int64_t block = unit % cut->blocks, tile = unit / cut->blocks % cut->tiles;
        const int64_t group = unit / cut->blocks / cut->tiles, first_output = group * cut->width + tile * REDUCE_TILE;
        if (cut->blocks > 1) {
            double *partial = partials + first_output * cut->blocks + block * tile_width(cut, tile);
            reduce_block(op, buf[0], group, tile, block, partial);
        } else {
            reduce_block(op, buf[0], group, tile, block, acc);
            store(op, group, tile, acc, buf[1]);
        }
    }
    if (cut->blocks == 1) return;
    fnn_team_wait(team);
    fnn_share(cut->groups.size * cut->tiles, team->tid, team->n, &lo, &hi);
    for (int64_t unit = lo; unit < hi; unit++) {
        const int64_t tile = unit % cut->tiles, group = unit / cut->tiles;
        const int64_t first_output = group * cut->width + tile * REDUCE_TILE;
        merge_blocks(op, partials + first_output * cut->blocks, tile_width(cut, tile), acc);
        store(op, group, tile, acc, buf[1]);
    }
}

#define REDUCE_OP(name, kind)                                                                                        \
    static fnn_status name##_op_init(fnn_op *op) { return reduce_init(op, kind); }                                   \
    FNN_OP_CLASS(name, reduce_problem, "x y", name##_op_init, reduce_run);

REDUCE_OP(sum, REDUCE_SUM)
REDUCE_OP(mean, REDUCE_MEAN)
REDUCE_OP(amax, REDUCE_MAX)

/* The sum of the squares of n elements. */
static fnn_status sum_squares_init(fnn_op *op) {
    const reduce_problem *p = op->problem;
    for (int64_t i = 0; i < p->ndim && i < FNN_MAX_NDIM; i++)
        if (!p->reduced[i]) return fnn_fail(op, FNN_INVALID, "sum_squares: expected every axis to be reduced");
    return reduce_init(op, REDUCE_SQUARES);
}
FNN_OP_CLASS(sum_squares, reduce_problem, "x y", sum_squares_init, reduce_run);
