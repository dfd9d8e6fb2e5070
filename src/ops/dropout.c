/* dropout: y = x * mask / (1 - p), the mask a function of seed, counter, stream and index. */
#include <math.h>

#include "../kernels/table.h"
#include "nest.h"
#include "past.h"

/* x is (outer, rows, width, run) in memory; element (o, r, w, k) has mask number o * width + w. Elements: width = n;
 * channels: width = c with rows = h * w (channels last) or run = h * w; samples: width = n; batch: width = 1. */
#define DROPOUT_FIELDS(I, D, A, T) I(T, outer) I(T, rows) I(T, width) I(T, run) I(T, stream) D(T, p)
FNN_PROBLEM(dropout_problem, DROPOUT_FIELDS)

#define BLOCK 256     /* factors made at a time; a multiple of the 4 words that one counter gives */
#define RUN_SPAN 4096 /* elements of a run that are one unit */

static int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

/* Units: blocks of one outer index's factors, times pieces of the rows or of the run. */
static int64_t width_blocks(const dropout_problem *p) { return ceil_div(p->width, BLOCK); }
static int64_t run_pieces(const dropout_problem *p) { return ceil_div(p->run, RUN_SPAN); }

static fnn_status dropout_init(fnn_op *op) {
    const dropout_problem *p = op->problem;
    if (!(p->p >= 0 && p->p <= 1))
        return fnn_fail(op, FNN_INVALID, "dropout: expected a probability in [0, 1], got p=%g", p->p);
    const double size = (double)p->outer * (double)p->rows * (double)p->width * (double)p->run;
    op->units = p->run == 1 ? p->outer * width_blocks(p) : p->outer * p->width * run_pieces(p);
    if (p->run != 1 && p->rows != 1)
        return fnn_fail(op, FNN_UNSUPPORTED,
                        "dropout: expected one row or a run of one, got %lld rows of runs of %lld",
                        (long long)p->rows, (long long)p->run);
    op->scratch_thread = BLOCK * sizeof(float);
    op->flops = 16 * size;
    op->bytes = 8 * size;
    op->algorithm = p->run == 1 ? "elements" : "runs";
    return FNN_OK;
}

static void factors(const fnn_op *op, const uint64_t *rng, int64_t first, int64_t n, float *factor) {
    const dropout_problem *p = op->problem;
    const uint64_t threshold = (uint64_t)llround(p->p * 4294967296.0);
    const float scale = p->p < 1 ? (float)(1.0 / (1.0 - p->p)) : 0.0f;
    op->k->dropout_factors(first, n, rng, (uint32_t)p->stream, threshold, scale, factor);
}

static void block_of_elements(const fnn_op *op, int64_t unit, const uint64_t *rng, const float *x, float *y,
                              float *factor) {
    const dropout_problem *p = op->problem;
    const int64_t outer = unit / width_blocks(p), first = unit % width_blocks(p) * BLOCK;
    const int64_t n = p->width - first < BLOCK ? p->width - first : BLOCK;
    factors(op, rng, outer * p->width + first, n, factor);
    const int64_t at = outer * p->rows * p->width + first;
    if (p->rows == 1 && p->width > FNN_PAST && x != y) {
        op->k->dropout_rows(1, n, x + at, factor, factor);
        op->k->past_store(n, factor, y + at);
        return;
    }
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
    const uint64_t *rng = buf[1];
    float *y = buf[2], *factor = fnn_thread_scratch(op, scratch, team->tid);
    int64_t lo, hi;
    fnn_share(op->units, team->tid, team->n, &lo, &hi);
    for (int64_t unit = lo; unit < hi; unit++) {
        if (p->run == 1) {
            block_of_elements(op, unit, rng, x, y, factor);
            continue;
        }
        const int64_t run = unit / run_pieces(p), start = unit % run_pieces(p) * RUN_SPAN;
        const int64_t n = p->run - start < RUN_SPAN ? p->run - start : RUN_SPAN, at = run * p->run + start;
        factors(op, rng, run, 1, factor);
        op->k->dropout_run(n, x + at, factor[0], y + at);
    }
    op->k->past_end();
}

FNN_OP_CLASS(dropout, dropout_problem, "x rng y", dropout_init, dropout_op_run);
