/* Pooling with sliding windows: maximum (with its place in the window), average, power mean; forward and backward.
 * Sizes of the result come from the caller, who knows ceil_mode. Max-pooling indices are kh * KW + kw of the winner,
 * one byte where the window allows. */
#include "pool_plan.h"

#define MAX_FIELDS(I, D, A, T)                                                                                       \
    POOL_GEOMETRY(I, D, A, T)                                                                                        \
    A(T, kernel_size, 2) A(T, stride, 2) A(T, padding, 2) A(T, dilation, 2) I(T, wide)
FNN_PROBLEM(max_pool_problem, MAX_FIELDS)

#define AVG_FIELDS(I, D, A, T)                                                                                       \
    POOL_GEOMETRY(I, D, A, T)                                                                                        \
    A(T, kernel_size, 2) A(T, stride, 2) A(T, padding, 2) I(T, count_include_pad) I(T, divisor_override)
FNN_PROBLEM(avg_pool_problem, AVG_FIELDS)

#define LP_FIELDS(I, D, A, T) POOL_GEOMETRY(I, D, A, T) A(T, kernel_size, 2) A(T, stride, 2) D(T, norm_type)
FNN_PROBLEM(lp_pool_problem, LP_FIELDS)

static const int64_t ones[2] = {1, 1}, zeros[2] = {0, 0};

/* ---- maximum -------------------------------------------------------------------------------------------- */

static fnn_status max_init(fnn_op *op, int backward) {
    const max_pool_problem *q = op->problem;
    const double cells = (double)q->kernel_size[0] * (double)q->kernel_size[1];
    if (cells > (q->wide ? 2147483647.0 : 255.0)) {
        return fnn_fail(op, FNN_INVALID, "a window of %lld x %lld does not fit its index type",
                        (long long)q->kernel_size[0], (long long)q->kernel_size[1]);
    }
    const fnn_pool_windows ws = {q->kernel_size, q->stride, q->padding, q->dilation, 1, backward};
    const fnn_status status = fnn_pool_init(op, &ws);
    if (status == FNN_OK) ((fnn_pool_plan *)op->plan)->pool.wide = q->wide != 0;
    return status;
}
static fnn_status max_forward_init(fnn_op *op) { return max_init(op, 0); }
static fnn_status max_backward_init(fnn_op *op) { return max_init(op, 1); }

void fnn_max_pool_run(const fnn_op *op, void *const *buf, void *scratch, const fnn_team *team) {
    const fnn_pool_plan *plan = op->plan;
    const fnn_pool *p = &plan->pool;
    const int64_t x_image = p->h.in * p->w.in * p->c, y_row = p->w.out * p->c, index_bytes = p->wide ? 4 : 1;
    int64_t lo, hi;
    (void)scratch;
    fnn_share(op->units, team->tid, team->n, &lo, &hi);
    FNN_POOL_UNITS(plan, p->h.out, u) {
        const int64_t row = (u.n * p->h.out + u.row) * y_row;
        op->k->max_pool_row(p, u.row, u.c0, u.c1, (const float *)buf[0] + u.n * x_image, (float *)buf[1] + row,
                            (char *)buf[2] + row * index_bytes);
    }
    if (p->past) op->k->past_end();
}

void fnn_max_pool_bwd_run(const fnn_op *op, void *const *buf, void *scratch, const fnn_team *team) {
    const fnn_pool_plan *plan = op->plan;
    const fnn_pool *p = &plan->pool;
    const int64_t y_image = p->h.out * p->w.out * p->c, x_row = p->w.in * p->c, index_bytes = p->wide ? 4 : 1;
    int64_t lo, hi;
    (void)scratch;
    fnn_share(op->units, team->tid, team->n, &lo, &hi);
    FNN_POOL_UNITS(plan, p->h.in, u) {
        const int64_t done = op->k->max_pool_bwd_rows(
            p, u.row, FNN_POOL_LEFT(plan, p->h.in, u), u.c0, u.c1, (const float *)buf[0] + u.n * y_image,
            (const char *)buf[1] + u.n * y_image * index_bytes, (float *)buf[2] + (u.n * p->h.in + u.row) * x_row);
        FNN_POOL_SKIP(done - 1, u);
    }
    if (p->past) op->k->past_end();
}

FNN_OP_CLASS(max_pool2d, max_pool_problem, "x y index", max_forward_init, fnn_max_pool_run);
FNN_OP_CLASS(max_pool2d_bwd, max_pool_problem, "dy index dx", max_backward_init, fnn_max_pool_bwd_run);

/* ---- average -------------------------------------------------------------------------------------------- */

static fnn_status avg_init(fnn_op *op, int backward) {
    const avg_pool_problem *q = op->problem;
    const fnn_pool_windows ws = {q->kernel_size, q->stride, q->padding, ones, q->count_include_pad != 0, backward};
    const fnn_status status = fnn_pool_init(op, &ws);
    if (status == FNN_OK) ((fnn_pool_plan *)op->plan)->pool.divisor = (double)q->divisor_override;
    return status;
}
static fnn_status avg_forward_init(fnn_op *op) { return avg_init(op, 0); }
static fnn_status avg_backward_init(fnn_op *op) { return avg_init(op, 1); }

void fnn_avg_pool_run(const fnn_op *op, void *const *buf, void *scratch, const fnn_team *team) {
    const fnn_pool_plan *plan = op->plan;
    const fnn_pool *p = &plan->pool;
    int64_t lo, hi;
    (void)scratch;
    fnn_share(op->units, team->tid, team->n, &lo, &hi);
    FNN_POOL_UNITS(plan, p->h.out, u) {
        op->k->avg_pool_row(p, u.row, u.c0, u.c1, (const float *)buf[0] + u.n * p->h.in * p->w.in * p->c,
                            (float *)buf[1] + (u.n * p->h.out + u.row) * p->w.out * p->c);
    }
    if (p->past) op->k->past_end();
}

void fnn_avg_pool_bwd_run(const fnn_op *op, void *const *buf, void *scratch, const fnn_team *team) {
    const fnn_pool_plan *plan = op->plan;
    const fnn_pool *p = &plan->pool;
    int64_t lo, hi;
    (void)scratch;
    fnn_share(op->units, team->tid, team->n, &lo, &hi);
    FNN_POOL_UNITS(plan, p->h.in, u) {
        const int64_t done = op->k->avg_pool_bwd_rows(p, u.row, FNN_POOL_LEFT(plan, p->h.in, u), u.c0, u.c1,
                                                      (const float *)buf[0] + u.n * p->h.out * p->w.out * p->c,
                                                      (float *)buf[1] + (u.n * p->h.in + u.row) * p->w.in * p->c);
        FNN_POOL_SKIP(done - 1, u);
    }
    if (p->past) op->k->past_end();
}

FNN_OP_CLASS(avg_pool2d, avg_pool_problem, "x y", avg_forward_init, fnn_avg_pool_run);
FNN_OP_CLASS(avg_pool2d_bwd, avg_pool_problem, "dy dx", avg_backward_init, fnn_avg_pool_bwd_run);

/* ---- power mean ----------------------------------------------------------------------------------------- */

static fnn_status lp_init(fnn_op *op, int backward) {
    const lp_pool_problem *q = op->problem;
    const fnn_pool_windows ws = {q->kernel_size, q->stride, zeros, ones, 1, backward};
    if (q->norm_type == 0) return fnn_fail(op, FNN_INVALID, "expected norm_type other than 0, got 0");
    const fnn_status status = fnn_pool_init(op, &ws);
    if (status != FNN_OK) return status;
    fnn_pool *p = &((fnn_pool_plan *)op->plan)->pool;
    p->norm_type = q->norm_type;
    p->window_size = (double)(q->kernel_size[0] * q->kernel_size[1]);
    return FNN_OK;
}
static fnn_status lp_forward_init(fnn_op *op) { return lp_init(op, 0); }
static fnn_status lp_backward_init(fnn_op *op) { return lp_init(op, 1); }

static void lp_run(const fnn_op *op, void *const *buf, void *scratch, const fnn_team *team) {
    const fnn_pool_plan *plan = op->plan;
    const fnn_pool *p = &plan->pool;
    int64_t lo, hi;
    (void)scratch;
    fnn_share(op->units, team->tid, team->n, &lo, &hi);
    FNN_POOL_UNITS(plan, p->h.out, u) {
        op->k->lp_pool_row(p, u.row, u.c0, u.c1, (const float *)buf[0] + u.n * p->h.in * p->w.in * p->c,
                           (float *)buf[1] + (u.n * p->h.out + u.row) * p->w.out * p->c);
    }
    if (p->past) op->k->past_end();
}

static void lp_bwd_run(const fnn_op *op, void *const *buf, void *scratch, const fnn_team *team) {
    const fnn_pool_plan *plan = op->plan;
    const fnn_pool *p = &plan->pool;
    const int64_t y_image = p->h.out * p->w.out * p->c;
    int64_t lo, hi;
    (void)scratch;
    fnn_share(op->units, team->tid, team->n, &lo, &hi);
    FNN_POOL_UNITS(plan, p->h.in, u) {
        const int64_t row = (u.n * p->h.in + u.row) * p->w.in * p->c;
        op->k->lp_pool_bwd_row(p, u.row, u.c0, u.c1, (const float *)buf[0] + u.n * y_image,
                               (const float *)buf[1] + row, (const float *)buf[2] + u.n * y_image,
                               (float *)buf[3] + row);
    }
    if (p->past) op->k->past_end();
}

FNN_OP_CLASS(lp_pool2d, lp_pool_problem, "x y", lp_forward_init, lp_run);
FNN_OP_CLASS(lp_pool2d_bwd, lp_pool_problem, "dy x y dx", lp_backward_init, lp_bwd_run);
