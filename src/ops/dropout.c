/* dropout: y = x * mask / (1 - p), the mask a function of seed, counter, stream and index. */
#include <math.h>

#include "../kernels/table.h"

/* x is (outer, rows, width, run) in memory; element (o, r, w, k) has mask number o * width + w. Elements: width = n;
 * channels: width = c with rows = h * w (channels last) or run = h * w; samples: width = n; batch: width = 1. */
#define DROPOUT_FIELDS(I, D, A, T) I(T, outer) I(T, rows) I(T, width) I(T, run) I(T, stream) D(T, p)
FNN_PROBLEM(dropout_problem, DROPOUT_FIELDS)

#define BLOCK 256     /* factors made at a time; a multiple of the 32 that are drawn together */
#define RUN_SPAN 4096 /* elements of a run that are one unit */

static int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

/* Every element has a mask of its own. */
static int is_plain(const dropout_problem *p) { return p->run == 1 && p->rows == 1; }
/* Units: blocks of elements; blocks of one outer index's factors; or times pieces of the run. */
static int64_t width_blocks(const dropout_problem *p) { return ceil_div(p->width, BLOCK); }
static int64_t run_pieces(const dropout_problem *p) { return ceil_div(p->run, RUN_SPAN); }

static fnn_status dropout_init(fnn_op *op) {
    const dropout_problem *p = op->problem;
    if (!(p->p >= 0 && p->p <= 1))
        return fnn_fail(op, FNN_INVALID, "dropout: expected a probability in [0, 1], got p=%g", p->p);
    const double size = (double)p->outer * (double)p->rows * (double)p->width * (double)p->run;
    op->units = is_plain(p)   ? ceil_div(p->outer * p->width, BLOCK)
                : p->run == 1 ? p->outer * width_blocks(p)
                              : p->outer * p->width * run_pieces(p);
    if (p->run != 1 && p->rows != 1)
        return fnn_fail(op, FNN_UNSUPPORTED,
                        "dropout: expected one row or a run of one, got %lld rows of runs of %lld",
                        (long long)p->rows, (long long)p->run);
    op->scratch_thread = BLOCK * sizeof(float);
    op->flops = 8 * size;
    op->bytes = 8 * size;
    op->algorithm = p->run == 1 ? "elements" : "runs";
    return FNN_OK;
}

typedef struct drop {
    const uint64_t *rng;
    uint64_t threshold;
    float scale;
} drop;

static drop drop_of(const dropout_problem *p, const uint64_t *rng) {
    return (drop){rng, (uint64_t)llround(p->p * 4294967296.0), p->p < 1 ? (float)(1.0 / (1.0 - p->p)) : 0.0f};
}

static void factors(const fnn_op *op, const drop *d, int64_t first, int64_t n, float *factor) {
    const dropout_problem *p = op->problem;
    op->k->dropout_factors(first, n, d->rng, (uint32_t)p->stream, d->threshold, d->scale, factor);
}

static void block_of_elements(const fnn_op *op, int64_t unit, const drop *d, const float *x, float *y,
                              float *factor) {
    const dropout_problem *p = op->problem;
    const int64_t outer = unit / width_blocks(p), first = unit % width_blocks(p) * BLOCK;
    const int64_t n = p->width - first < BLOCK ? p->width - first : BLOCK;
    factors(op, d, outer * p->width + first, n, factor);
    const int64_t at = outer * p->rows * p->width + first;
    if (n == p->width) {
        op->k->dropout_rows(p->rows, n, x + at, factor, y + at);
        return;
    }
    for (int64_t r = 0; r < p->rows; r++)
        op->k->dropout_rows(1, n, x + at + r * p->width, factor, y + at + r * p->width);
}

static void dropout_op_run(const fnn_op *op, void *const *buf, void *scratch, const fnn_team *team) {
    const dropout_problem *p = op->problem;
    const float *x = buf[0];
    const drop d = drop_of(p, buf[1]);
    float *y = buf[2], *factor = fnn_thread_scratch(op, scratch, team->tid);
    int64_t lo, hi;
    fnn_share(op->units, team->tid, team->n, &lo, &hi);
    if (is_plain(p)) {
        const int64_t size = p->outer * p->width, from = lo * BLOCK, to = hi * BLOCK < size ? hi * BLOCK : size;
        if (from < to)
            op->k->dropout_elements(from, to - from, d.rng, (uint32_t)p->stream, d.threshold, d.scale, x + from,
                                    y + from, size > FNN_PAST && x != y);
        return;
    }
    for (int64_t unit = lo; unit < hi; unit++) {
        if (p->run == 1) {
            block_of_elements(op, unit, &d, x, y, factor);
            continue;
        }
        const int64_t run = unit / run_pieces(p), start = unit % run_pieces(p) * RUN_SPAN;
        const int64_t n = p->run - start < RUN_SPAN ? p->run - start : RUN_SPAN, at = run * p->run + start;
        factors(op, &d, run, 1, factor);
        op->k->dropout_run(n, x + at, factor[0], y + at);
    }
}

FNN_OP_CLASS(dropout, dropout_problem, "x rng y", dropout_init, dropout_op_run);
