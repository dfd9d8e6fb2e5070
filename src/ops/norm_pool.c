/* Maxima of 2x2 windows at stride 2 over z = relu(batch_norm(x)), and the gradient of x, which flows through the batch's
 * own mean and variance. z and its gradient are nowhere as a whole. Graphs get these ops from fastnn/graph/fusion/. */
#include <math.h>
#include <string.h>

#include "../kernels/table.h"

#define BLOCK_ELEMENTS 65536 /* of x, in a block of sums */
#define LEAP_ELEMENTS 16384  /* of x, between two jumps back of a descending pass */
#define PAST (FNN_PAST / 4)  /* as in batch_norm.c */

#define POOL_FIELDS(I, D, A, T) I(T, n) I(T, c) I(T, ih) I(T, iw) D(T, eps)
FNN_PROBLEM(norm_pool_problem, POOL_FIELDS)

enum { MEAN, SCALE, BIAS, OFFSET, SLOPE, COEFFICIENTS };

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t most(int64_t a, int64_t b) { return a > b ? a : b; }
static int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

/* Rows of windows, and the sums of blocks of them: a pure function of the shape. */
typedef struct cut {
    int64_t oh, ow, line, rows, block_rows, blocks, chunks;
} cut;

static cut cut_rows(const norm_pool_problem *q) {
    cut m = {.oh = q->ih / 2, .ow = q->iw / 2, .line = q->iw * q->c};
    m.rows = q->n * m.oh;
    m.block_rows = most(1, BLOCK_ELEMENTS / most(1, 2 * q->iw * least(q->c, FNN_NORM_COLUMNS)));
    m.blocks = ceil_div(m.rows, m.block_rows);
    m.chunks = ceil_div(q->c, FNN_NORM_COLUMNS);
    return m;
}

/* Where the two lines of x lie that a row of windows is over. */
static int64_t lines_at(const norm_pool_problem *q, const cut *m, int64_t row) {
    return (row / m->oh * q->ih + row % m->oh * 2) * m->line;
}

static fnn_status check(fnn_op *op) {
    const norm_pool_problem *q = op->problem;
    if (q->n >= 0 && q->c >= 0 && q->ih >= 2 && q->iw >= 2) return FNN_OK;
    return fnn_fail(op, FNN_INVALID, "expected images and channels >= 0, at least 2x2, got %lld and %lld, %lldx%lld",
                    (long long)q->n, (long long)q->c, (long long)q->ih, (long long)q->iw);
}

/* Mean, scale and bias of the channels [from, to), as the forward has them; norm: mean var ?weight ?bias. */
static void fill_coefficients(const norm_pool_problem *q, void *const *norm, float *coefficients, int64_t from,
                              int64_t to) {
    const float *mean = norm[0], *var = norm[1], *weight = norm[2], *bias = norm[3];
    for (int64_t j = from; j < to; j++) {
        coefficients[MEAN * q->c + j] = mean[j];
        coefficients[SCALE * q->c + j] = (float)(1.0 / sqrt((double)var[j] + q->eps)) * (weight ? weight[j] : 1.0f);
        coefficients[BIAS * q->c + j] = bias ? bias[j] : 0.0f;
    }
}

static fnn_norm norm_of(const float *coefficients, int64_t c, int64_t channel) {
    const float *at = coefficients + channel;
    return (fnn_norm){.mean = at + MEAN * c,
                      .scale = at + SCALE * c,
                      .bias = at + BIAS * c,
                      .offset = at + OFFSET * c,
                      .slope = at + SLOPE * c};
}

/* ---- forward -------------------------------------------------------------------------------------------- */

static fnn_status forward_init(fnn_op *op) {
    const norm_pool_problem *q = op->problem;
    const fnn_status status = check(op);
    if (status != FNN_OK) return status;
    const cut m = cut_rows(q);
    op->units = q->c > 0 ? m.rows : 0;
    op->scratch_thread = 3 * sizeof(float) * (size_t)q->c;
    op->flops = 16.0 * (double)m.rows * (double)m.ow * (double)q->c;
    op->bytes = 20.0 * (double)m.rows * (double)m.ow * (double)q->c;
    op->algorithm = "rows of windows";
    return FNN_OK;
}

static void forward_run(const fnn_op *op, void *const *buf, void *scratch, const fnn_team *team) {
    const norm_pool_problem *q = op->problem;
    const cut m = cut_rows(q);
    float *coefficients = fnn_thread_scratch(op, scratch, team->tid);
    int64_t lo, hi;
    fill_coefficients(q, buf + 1, coefficients, 0, q->c);
    const fnn_norm norm = norm_of(coefficients, q->c, 0);
    fnn_share(op->units, team->tid, team->n, &lo, &hi);
    for (int64_t row = lo; row < hi; row++)
        op->k->norm_pool_row(&norm, (const float *)buf[0] + lines_at(q, &m, row), m.line, m.ow, q->c,
                             (float *)buf[5] + row * m.ow * q->c);
}

FNN_OP_CLASS(norm_pool2d, norm_pool_problem, "x mean var ?weight ?bias y", forward_init, forward_run);

/* ---- backward ------------------------------------------------------------------------------------------- */

/* Scratch: the coefficients of each channel, then two sums for each block. */
static fnn_status bwd_init(fnn_op *op) {
    const norm_pool_problem *q = op->problem;
    const fnn_status status = check(op);
    if (status != FNN_OK) return status;
    const cut m = cut_rows(q);
    op->units = most(1, m.blocks * m.chunks);
    op->scratch_shared = sizeof(float) * (size_t)((COEFFICIENTS + 2 * m.blocks) * q->c);
    op->flops = 40.0 * (double)m.rows * (double)m.ow * (double)q->c;
    op->bytes = 56.0 * (double)m.rows * (double)m.ow * (double)q->c;
    op->algorithm = "sums, then dx";
    return FNN_OK;
}

static void sum_blocks(const fnn_op *op, void *const *buf, const cut *m, const float *coefficients, float *partials,
                       const fnn_team *team) {
    const norm_pool_problem *q = op->problem;
    const float *dy = buf[0], *x = buf[1];
    int64_t lo, hi;
    fnn_share(m->blocks * m->chunks, team->tid, team->n, &lo, &hi);
    for (int64_t unit = lo; unit < hi; unit++) {
        const int64_t block = unit / m->chunks, channel = unit % m->chunks * FNN_NORM_COLUMNS;
        const int64_t channels = least(FNN_NORM_COLUMNS, q->c - channel), end = (block + 1) * m->block_rows;
        const fnn_norm norm = norm_of(coefficients, q->c, channel);
        float *sum = partials + 2 * block * q->c + channel, *product = sum + q->c;
        memset(sum, 0, (size_t)channels * sizeof(float));
        memset(product, 0, (size_t)channels * sizeof(float));
        for (int64_t row = block * m->block_rows; row < least(end, m->rows); row++)
            op->k->norm_pool_sums(&norm, dy + row * m->ow * q->c + channel, x + lines_at(q, m, row) + channel,
                                  m->line, m->ow, q->c, channels, sum, product);
    }
}

/* dweight, dbias and what they make of dx, for the channels [from, to) (FNN_NORM_MERGED at most). */
static void settle_channels(const fnn_op *op, void *const *buf, const float *partials, int64_t blocks,
                            float *coefficients, int64_t from, int64_t to) {
    const norm_pool_problem *q = op->problem;
    const float *var = buf[3];
    float *dweight = buf[7], *dbias = buf[8];
    const double count = (double)q->n * (double)q->ih * (double)q->iw;
    double sum[FNN_NORM_MERGED], product[FNN_NORM_MERGED];
    op->k->norm_merge_sums(partials + from, blocks, q->c, to - from, sum, product);
    for (int64_t j = from; j < to; j++) {
        const double inverse = 1.0 / sqrt((double)var[j] + q->eps);
        dweight[j] = count > 0 ? (float)(product[j - from] * inverse) : 0.0f; /* the variance of nothing is NaN */
        dbias[j] = (float)sum[j - from];
        coefficients[OFFSET * q->c + j] = (float)(sum[j - from] / count);
        coefficients[SLOPE * q->c + j] = (float)(product[j - from] * inverse * inverse / count);
    }
}

/* Two lines of dx, and those pixels next to them that are in no window. */
static void apply_row(const fnn_op *op, void *const *buf, const cut *m, const fnn_norm *norm, int64_t row, int past) {
    const norm_pool_problem *q = op->problem;
    const int64_t c = q->c, at = lines_at(q, m, row), last = q->ih % 2 && row % m->oh == m->oh - 1;
    const float *x = (const float *)buf[1] + at;
    float *dx = (float *)buf[6] + at;
    op->k->norm_pool_grad_row(norm, (const float *)buf[0] + row * m->ow * c, x, m->line, m->ow, c, past, dx);
    for (int64_t i = 1; i <= 2 && q->iw % 2; i++)
        op->k->norm_pool_grad_rest(norm, x + i * m->line - c, 1, c, dx + i * m->line - c);
    if (last) op->k->norm_pool_grad_rest(norm, x + 2 * m->line, q->iw, c, dx + 2 * m->line);
}

static void bwd_run(const fnn_op *op, void *const *buf, void *scratch, const fnn_team *team) {
    const norm_pool_problem *q = op->problem;
    const cut m = cut_rows(q);
    float *coefficients = scratch, *partials = coefficients + COEFFICIENTS * q->c;
    int64_t lo, hi;
    fnn_share(ceil_div(q->c, FNN_NORM_MERGED), team->tid, team->n, &lo, &hi);
    const int64_t from = lo * FNN_NORM_MERGED, to = least(hi * FNN_NORM_MERGED, q->c);
    fill_coefficients(q, buf + 2, coefficients, from, to);
    fnn_team_wait(team);
    sum_blocks(op, buf, &m, coefficients, partials, team);
    fnn_team_wait(team);
    for (int64_t j = from; j < to; j += FNN_NORM_MERGED)
        settle_channels(op, buf, partials, m.blocks, coefficients, j, least(j + FNN_NORM_MERGED, to));
    fnn_team_wait(team);
    const fnn_norm norm = norm_of(coefficients, q->c, 0);
    const int aligned = (uintptr_t)buf[6] % FNN_ALIGN == 0 && q->c % op->k->vl == 0;
    const int past = q->n * q->ih * m.line > PAST && buf[6] != buf[1] && aligned;
    const int64_t leap = most(1, LEAP_ELEMENTS / most(1, 2 * m.line));
    fnn_share(q->c > 0 ? m.rows : 0, team->tid, team->n, &lo, &hi);
    /* The last rows first: the sums read those last. */
    for (int64_t end = hi; end > lo; end -= leap)
        for (int64_t row = most(lo, end - leap); row < end; row++) apply_row(op, buf, &m, &norm, row, past);
}

FNN_OP_CLASS(norm_pool2d_bwd, norm_pool_problem, "dy x mean var ?weight ?bias dx dweight dbias", bwd_init, bwd_run);
