/* Losses element by element: none, or one sum over fixed blocks in double, divided by what the reduction says. */
#include "../kernels/table.h"
#include "past.h"

#define BLOCK_ELEMENTS 8192

/* reduce: 0 one loss an element, 1 their sum over divisor. knee: where smooth L1 and Huber turn linear. */
#define LOSS_FIELDS(I, D, A, T) I(T, count) I(T, reduce) D(T, divisor) D(T, knee)
FNN_PROBLEM(loss_problem, LOSS_FIELDS)

static fnn_status loss_init(fnn_op *op) {
    const loss_problem *q = op->problem;
    if (q->count < 0) return fnn_fail(op, FNN_INVALID, "expected count >= 0, got %lld", (long long)q->count);
    const int64_t blocks = (q->count + BLOCK_ELEMENTS - 1) / BLOCK_ELEMENTS;
    op->units = blocks > 0 ? blocks : 1;
    op->scratch_shared = sizeof(double) * (size_t)blocks;
    op->flops = 16.0 * (double)q->count;
    op->bytes = 12.0 * (double)q->count;
    op->algorithm = q->reduce ? "block sums" : "element by element";
    return FNN_OK;
}

static int64_t block_of(const loss_problem *q, int64_t block, int64_t *from) {
    *from = block * BLOCK_ELEMENTS;
    return q->count - *from < BLOCK_ELEMENTS ? q->count : *from + BLOCK_ELEMENTS;
}

static void run(const fnn_op *op, const fnn_pointwise_loss *l, float *y, double *partials, const fnn_team *team) {
    const loss_problem *q = op->problem;
    const int64_t blocks = (q->count + BLOCK_ELEMENTS - 1) / BLOCK_ELEMENTS;
    int64_t lo, hi, from;
    fnn_share(blocks, team->tid, team->n, &lo, &hi);
    for (int64_t block = lo; block < hi; block++) {
        const int64_t to = block_of(q, block, &from);
        if (q->reduce)
            partials[block] = op->k->loss_sum(l, from, to);
        else
            op->k->loss_each(l, from, to, y);
    }
    fnn_team_wait(team);
    if (team->tid != 0 || !q->reduce) return;
    double total = 0;
    for (int64_t block = 0; block < blocks; block++) total += partials[block];
    *y = (float)(total / q->divisor);
}

static void run_bwd(const fnn_op *op, const fnn_pointwise_loss *l, const float *dy, float *dx, const fnn_team *team) {
    const loss_problem *q = op->problem;
    const int64_t blocks = (q->count + BLOCK_ELEMENTS - 1) / BLOCK_ELEMENTS;
    const float scale = q->reduce ? (float)((double)*dy / q->divisor) : 0.0f;
    int64_t lo, hi, from, ends;
    fnn_share(blocks, team->tid, team->n, &lo, &hi);
    block_of(q, lo, &from);
    const int64_t stop = lo < hi ? block_of(q, hi - 1, &ends) : from;
    FNN_IN_PIECES(op->k, q->count, from, stop, FNN_PIECE, dx, l->x == dx || l->t == dx || dy == dx,
                  op->k->loss_slope(l, at, at + n, q->reduce ? NULL : dy, scale, to));
}

/* inputs: how many of x, t, weight, pos_weight the op has, in this order among its buffers. */
static fnn_pointwise_loss description(const fnn_op *op, fnn_loss_kind kind, void *const *buf, int inputs) {
    const loss_problem *q = op->problem;
    return (fnn_pointwise_loss){
        kind, (float)q->knee, buf[0], buf[1], inputs > 2 ? buf[2] : NULL, inputs > 3 ? buf[3] : NULL};
}

#define POINTWISE_LOSS(name, kind, inputs, names)                                                                    \
    static void name##_run(const fnn_op *op, void *const *buf, void *scratch, const fnn_team *team) {                \
        const fnn_pointwise_loss l = description(op, kind, buf, inputs);                                             \
        run(op, &l, buf[inputs], scratch, team);                                                                     \
    }                                                                                                                \
    static void name##_bwd_run(const fnn_op *op, void *const *buf, void *scratch, const fnn_team *team) {            \
        const fnn_pointwise_loss l = description(op, kind, buf + 1, inputs);                                         \
        (void)scratch;                                                                                               \
        run_bwd(op, &l, buf[0], buf[inputs + 1], team);                                                              \
    }                                                                                                                \
    FNN_OP_CLASS(name, loss_problem, names " y", loss_init, name##_run);                                             \
    FNN_OP_CLASS(name##_bwd, loss_problem, "dy " names " dx", loss_init, name##_bwd_run);

POINTWISE_LOSS(mse_loss, FNN_LOSS_MSE, 2, "x t")
POINTWISE_LOSS(l1_loss, FNN_LOSS_L1, 2, "x t")
POINTWISE_LOSS(smooth_l1_loss, FNN_LOSS_SMOOTH_L1, 2, "x t")
POINTWISE_LOSS(huber_loss, FNN_LOSS_HUBER, 2, "x t")
POINTWISE_LOSS(bce_loss, FNN_LOSS_BCE, 3, "x t ?weight")
POINTWISE_LOSS(bce_with_logits, FNN_LOSS_BCE_LOGITS, 4, "x t ?weight ?pos_weight")
