/* A batch norm of given statistics as part of the linear map before it:
 *
 *   (w x + b - mean) scale + bias = (w scale) x + (bias + (b - mean) scale),   scale = weight / sqrt(var + eps)
 *
 * w: one filter (or row) after another, an output channel each. */
#include <math.h>

#include "../kernels/table.h"

#define UNIT_FLOATS 4096 /* of filters, the least worth sharing */
#define CHANNELS 64      /* scaled at a time */

#define FOLD_FIELDS(I, D, A, T) I(T, c) I(T, filter) D(T, eps)
FNN_PROBLEM(fold_problem, FOLD_FIELDS)

enum { W, MEAN, VAR, WEIGHT, BIAS, OFFSET, FOLDED, SHIFT };

static int64_t unit_channels(const fold_problem *p) { return p->filter < UNIT_FLOATS ? UNIT_FLOATS / p->filter : 1; }

static fnn_status fold_init(fnn_op *op) {
    const fold_problem *p = op->problem;
    if (p->c < 0 || p->filter < 1)
        return fnn_fail(op, FNN_INVALID, "expected channels >= 0 and filters of at least 1, got %lld and %lld",
                        (long long)p->c, (long long)p->filter);
    op->units = (p->c + unit_channels(p) - 1) / unit_channels(p);
    op->flops = (double)p->c * ((double)p->filter + 6);
    op->bytes = 8.0 * (double)p->c * (double)p->filter;
    op->algorithm = "one pass";
    return FNN_OK;
}

static void fold_run(const fnn_op *op, void *const *buf, void *scratch, const fnn_team *team) {
    const fold_problem *p = op->problem;
    const float *w = buf[W], *mean = buf[MEAN], *var = buf[VAR];
    const float *weight = buf[WEIGHT], *bias = buf[BIAS], *offset = buf[OFFSET];
    float *folded = buf[FOLDED], *shift = buf[SHIFT], scale[CHANNELS];
    int64_t lo, hi;
    (void)scratch;
    fnn_share(op->units, team->tid, team->n, &lo, &hi);
    lo *= unit_channels(p), hi *= unit_channels(p);
    if (hi > p->c) hi = p->c;
    for (int64_t n; lo < hi; lo += n) {
        n = hi - lo < CHANNELS ? hi - lo : CHANNELS;
        for (int64_t j = 0; j < n; j++) {
            const int64_t c = lo + j;
            scale[j] = (float)(1.0 / sqrt((double)var[c] + p->eps)) * (weight ? weight[c] : 1.0f);
            const double centre = (offset ? (double)offset[c] : 0.0) - (double)mean[c];
            shift[c] = (float)(centre * (double)scale[j] + (bias ? (double)bias[c] : 0.0));
        }
        op->k->binary_mul(&(fnn_binary_rows){.rows = n,
                                             .n = p->filter,
                                             .a = w + lo * p->filter,
                                             .b = scale,
                                             .a_row = p->filter,
                                             .a_col = 1,
                                             .b_row = 1,
                                             .y = folded + lo * p->filter});
    }
}

FNN_OP_CLASS(batch_norm_fold, fold_problem, "w mean var ?weight ?bias ?offset folded shift", fold_init, fold_run);
