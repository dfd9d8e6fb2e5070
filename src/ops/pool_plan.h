/* What all pooling ops share: the tables of windows and covers, and the division of rows among threads. */
#ifndef FASTNN_OPS_POOL_PLAN_H
#define FASTNN_OPS_POOL_PLAN_H

#include "../kernels/table.h"

/* What the windows of one pooling are made from; the leading fields of every pooling problem. */
typedef struct fnn_pool_geometry {
    int64_t n, c, input_size[2], output_size[2];
} fnn_pool_geometry;

#define POOL_GEOMETRY(I, D, A, T) I(T, n) I(T, c) A(T, input_size, 2) A(T, output_size, 2)

#define FNN_POOL_LANES 16  /* most lanes of a vector */
#define FNN_POOL_PHASES 16 /* most vectors until their lanes repeat: twice the channels, at most a vector */

typedef struct fnn_pool_plan {
    fnn_pool pool;
    int64_t splits;                                               /* pieces that a row's channels are cut into */
    int32_t lane[2 + FNN_POOL_PHASES * (1 + 2 * FNN_POOL_LANES)]; /* of fnn_pool */
} fnn_pool_plan;

/* kernel, stride, padding, dilation of both axes; kernel NULL: adaptive windows. backward: units are rows of the
 * input. Fills op's plan, units, flops and bytes. */
typedef struct fnn_pool_windows {
    const int64_t *kernel, *stride, *padding, *dilation;
    int count_include_pad, backward;
} fnn_pool_windows;

fnn_status fnn_pool_init(fnn_op *op, const fnn_pool_windows *windows);

void fnn_max_pool_run(const fnn_op *op, void *const *buf, void *scratch, const fnn_team *team);
void fnn_max_pool_bwd_run(const fnn_op *op, void *const *buf, void *scratch, const fnn_team *team);
void fnn_avg_pool_run(const fnn_op *op, void *const *buf, void *scratch, const fnn_team *team);
void fnn_avg_pool_bwd_run(const fnn_op *op, void *const *buf, void *scratch, const fnn_team *team);

/* One unit: row `row` of image `n`, channels [c0, c1). */
typedef struct fnn_pool_unit {
    int64_t n, row, c0, c1;
} fnn_pool_unit;

/* The pieces of one row that are among the units [*unit, hi) go as one; *unit becomes the last of them. */
static inline void fnn_pool_unit_find(const fnn_pool_plan *plan, int64_t rows, int64_t *unit, int64_t hi,
                                      fnn_pool_unit *u) {
    const int64_t first = *unit % plan->splits, at = *unit / plan->splits;
    const int64_t left = hi - at * plan->splits, end = left < plan->splits ? left : plan->splits;
    *u = (fnn_pool_unit){at / rows, at % rows, plan->pool.c * first / plan->splits,
                         plan->pool.c * end / plan->splits};
    *unit += end - first - 1;
}

/* The units [lo, hi), one after the other, in u; divisions would take as long as a short row. */
static inline void fnn_pool_unit_next(const fnn_pool_plan *plan, int64_t rows, int64_t *unit, int64_t hi,
                                      fnn_pool_unit *u) {
    if (plan->splits > 1 || u->row + 1 == rows)
        fnn_pool_unit_find(plan, rows, unit, hi, u);
    else
        u->row++;
}
#define FNN_POOL_UNITS(plan, rows, u)                                                                                \
    fnn_pool_unit u = {.row = (rows) - 1};                                                                           \
    for (int64_t unit = lo; unit < hi && (fnn_pool_unit_next(plan, rows, &unit, hi, &u), 1); unit++)

/* Inside: the rows of u's image from u on that are this thread's, and the step over `more` of them that are done. */
#define FNN_POOL_LEFT(plan, rows, u)                                                                                 \
    ((plan)->splits > 1 ? 1 : hi - unit < (rows) - (u).row ? hi - unit : (rows) - (u).row)
#define FNN_POOL_SKIP(more, u) (unit += (more), (u).row += (more))

#endif
