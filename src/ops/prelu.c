/* prelu backward: dx elementwise, and dw by blocks fixed by shape, whose sums are merged in order. */
#include "../kernels/table.h"

/* x is (outer, channels, inner) in memory; one slope a channel. */
#define PRELU_FIELDS(I, D, A, T) I(T, outer) I(T, channels) I(T, inner)
FNN_PROBLEM(prelu_problem, PRELU_FIELDS)

#define BLOCK_ROWS 64
#define BLOCK_RUN 16384

/* Channels innermost: a unit is a block of rows. Otherwise it is a piece of one channel's run of one outer index. */
static int64_t pieces(const prelu_problem *p) { return (p->inner + BLOCK_RUN - 1) / BLOCK_RUN; }
static int64_t blocks(const prelu_problem *p) {
    return p->inner == 1 ? (p->outer + BLOCK_ROWS - 1) / BLOCK_ROWS : p->outer * pieces(p);
}

static fnn_status prelu_bwd_init(fnn_op *op) {
    const prelu_problem *p = op->problem;
    if (p->outer < 0 || p->channels < 0 || p->inner < 0)
        return fnn_fail(op, FNN_INVALID, "%s: expected sizes of at least 0, got %lld x %lld x %lld", op->cls->name,
                        (long long)p->outer, (long long)p->channels, (long long)p->inner);
    const double size = (double)p->outer * (double)p->channels * (double)p->inner;
    op->units = p->inner == 1 ? blocks(p) : blocks(p) * p->channels;
    op->scratch_shared = (size_t)(blocks(p) * p->channels) * sizeof(double);
    op->flops = 4 * size;
    op->bytes = 12 * size;
    op->algorithm = p->inner == 1 ? "channels last" : "channels first";
    return FNN_OK;
}

static void run_block(const fnn_op *op, int64_t unit, const float *dy, const float *x, const float *w, float *dx,
                      double *partial) {
    const prelu_problem *p = op->problem;
    if (p->inner == 1) {
        const int64_t first = unit * BLOCK_ROWS, left = p->outer - first, at = first * p->channels;
        double *acc = partial + unit * p->channels;
        for (int64_t c = 0; c < p->channels; c++) acc[c] = 0;
        op->k->prelu_bwd_cols(left < BLOCK_ROWS ? left : BLOCK_ROWS, p->channels, dy + at, x + at, w, dx + at, acc);
        return;
    }
    const int64_t piece = unit % pieces(p), run = unit / pieces(p), channel = run % p->channels;
    const int64_t first = piece * BLOCK_RUN, left = p->inner - first, at = run * p->inner + first;
    const int64_t block = run / p->channels * pieces(p) + piece;
    partial[block * p->channels + channel] = op->k->prelu_bwd_run(left < BLOCK_RUN ? left : BLOCK_RUN, dy + at,
                                                                  x + at, w[channel], dx + at);
}

static void prelu_bwd_run_op(const fnn_op *op, void *const *buf, void *scratch, const fnn_team *team) {
    const prelu_problem *p = op->problem;
    const float *dy = buf[0], *x = buf[1], *w = buf[2];
    float *dx = buf[3], *dw = buf[4];
    double *partial = scratch;
    int64_t lo, hi;
    fnn_share(op->units, team->tid, team->n, &lo, &hi);
    for (int64_t unit = lo; unit < hi; unit++) run_block(op, unit, dy, x, w, dx, partial);
    fnn_team_wait(team);
    fnn_share(p->channels, team->tid, team->n, &lo, &hi);
    for (int64_t c = lo; c < hi; c++) {
        double sum = 0;
        for (int64_t block = 0; block < blocks(p); block++) sum += partial[block * p->channels + c];
        dw[c] = (float)sum;
    }
}

FNN_OP_CLASS(prelu_bwd, prelu_problem, "dy x w dx dw", prelu_bwd_init, prelu_bwd_run_op);
