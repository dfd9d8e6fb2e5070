/* amax backward: the gradient of a maximum is shared evenly by the elements that equal it. */
#include <math.h>
#include <stdlib.h>

#include "../kernels/table.h"
#include "reduce_plan.h"

FNN_PROBLEM(amax_bwd_problem, REDUCE_FIELDS)

/* A thread's copies, contiguous, of a tile of y and of the gradient. */
typedef struct tile_scratch {
    float y[REDUCE_TILE], share[REDUCE_TILE], count[REDUCE_TILE];
} tile_scratch;

static fnn_status amax_bwd_init(fnn_op *op) {
    const amax_bwd_problem *p = op->problem;
    fnn_reduce_plan *plan = op->plan = malloc(sizeof *plan);
    if (!plan) return fnn_fail(op, FNN_NO_MEMORY, "amax_bwd: no memory for the plan");
    const fnn_status status = fnn_reduce_plan_init(op, plan, p->ndim, p->shape, p->reduced, p->y_strides);
    if (status != FNN_OK) return status;
    op->units = plan->outputs ? plan->groups.size * plan->tiles : 0;
    op->scratch_thread = sizeof(tile_scratch);
    op->flops = 4.0 * (double)plan->outputs * (double)plan->count;
    op->bytes = 12.0 * (double)plan->outputs * (double)plan->count;
    op->algorithm = plan->columns ? "columns" : "rows";
    return FNN_OK;
}

static void spread_columns(const fnn_op *op, const float *dy, const float *x, const float *y, float *dx,
                           int64_t width, tile_scratch *s) {
    const fnn_reduce_plan *plan = op->plan;
    for (int64_t c = 0; c < width; c++) {
        s->y[c] = y[c * plan->y_step];
        s->count[c] = 0;
    }
    for (int64_t r = 0; r < plan->rows.size; r++)
        op->k->ties_cols(width, x + fnn_radix_offset(&plan->rows, r, NULL), s->y, s->count);
    for (int64_t c = 0; c < width; c++) s->share[c] = dy[c * plan->y_step] / s->count[c];
    for (int64_t r = 0; r < plan->rows.size; r++) {
        const int64_t at = fnn_radix_offset(&plan->rows, r, NULL);
        op->k->spread_cols(width, x + at, s->y, s->share, dx + at);
    }
}

static void spread_rows(const fnn_op *op, float dy, const float *x, float y, float *dx) {
    const fnn_reduce_plan *plan = op->plan;
    int64_t count = 0;
    for (int64_t r = 0; r < plan->rows.size; r++)
        count += op->k->ties_row(plan->length, x + fnn_radix_offset(&plan->rows, r, NULL), y);
    for (int64_t r = 0; r < plan->rows.size; r++) {
        const int64_t at = fnn_radix_offset(&plan->rows, r, NULL);
        op->k->spread_row(plan->length, x + at, y, dy / (float)count, dx + at);
    }
}

static void amax_bwd_run(const fnn_op *op, void *const *buf, void *scratch, const fnn_team *team) {
    const fnn_reduce_plan *plan = op->plan;
    const float *dy = buf[0], *x = buf[1], *y = buf[2];
    float *dx = buf[3];
    int64_t lo, hi;
    fnn_share(op->units, team->tid, team->n, &lo, &hi);
    for (int64_t unit = lo; unit < hi; unit++) {
        const int64_t column = unit % plan->tiles * REDUCE_TILE, left = plan->width - column;
        int64_t y_at;
        const int64_t x_at = fnn_radix_offset(&plan->groups, unit / plan->tiles, &y_at) + column;
        y_at += column * plan->y_step;
        if (plan->columns)
            spread_columns(op, dy + y_at, x + x_at, y + y_at, dx + x_at, left < REDUCE_TILE ? left : REDUCE_TILE,
                           fnn_thread_scratch(op, scratch, team->tid));
        else
            spread_rows(op, dy[y_at], x + x_at, y[y_at], dx + x_at);
    }
}

FNN_OP_CLASS(amax_bwd, amax_bwd_problem, "dy x y dx", amax_bwd_init, amax_bwd_run);
