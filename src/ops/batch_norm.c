/* Batch normalisation (Ioffe and Szegedy, 2015) over a channels-last matrix of rows x c: statistics, application,
 * backward, running averages. Reductions are cut into blocks of rows and channels that depend on the shape alone,
 * and merged in order. */
#include <math.h>
#include <string.h>

#include "../kernels/table.h"

#define BLOCK_ELEMENTS 65536 /* of a block of sums: few enough blocks that merging them costs nothing */
#define SHARE_ELEMENTS 4096  /* the least worth sharing of what is elementwise */
#define PAST (FNN_PAST / 4)  /* outputs of more go past the caches: by then reading x twice has filled them */

#define NORM_FIELDS(I, D, A, T) I(T, rows) I(T, c)
FNN_PROBLEM(norm_problem, NORM_FIELDS)

/* residual: whether there is one, added before the activation. */
#define APPLY_FIELDS(I, D, A, T) NORM_FIELDS(I, D, A, T) D(T, eps) I(T, activation) D(T, slope) I(T, residual)
FNN_PROBLEM(apply_problem, APPLY_FIELDS)

/* activation: of the forward, none, ReLU or SiLU; then dy is the gradient of its output. */
#define BWD_FIELDS(I, D, A, T) NORM_FIELDS(I, D, A, T) D(T, eps) I(T, training) I(T, activation)
FNN_PROBLEM(bwd_problem, BWD_FIELDS)

#define UPDATE_FIELDS(I, D, A, T) I(T, c) I(T, count) D(T, momentum) I(T, cumulative)
FNN_PROBLEM(update_problem, UPDATE_FIELDS)

/* How a matrix is cut: by rows, then by channels; a pure function of its shape. */
typedef struct cut {
    int64_t rows, c, block_rows, blocks, chunks;
} cut;

typedef struct piece {
    int64_t row, rows, channel, channels;
} piece;

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

static cut cut_matrix(int64_t rows, int64_t c) {
    const int64_t width = least(c, FNN_NORM_COLUMNS);
    const int64_t block_rows = width > 0 ? BLOCK_ELEMENTS / width : 1;
    return (cut){rows, c, block_rows, ceil_div(rows, block_rows), ceil_div(c, FNN_NORM_COLUMNS)};
}

static piece piece_at(const cut *m, int64_t unit) {
    const int64_t block = unit / m->chunks, chunk = unit % m->chunks;
    const int64_t row = block * m->block_rows, channel = chunk * FNN_NORM_COLUMNS;
    return (piece){row, least(m->block_rows, m->rows - row), channel, least(FNN_NORM_COLUMNS, m->c - channel)};
}

static fnn_status check(fnn_op *op, int64_t rows, int64_t c) {
    if (rows >= 0 && c >= 0) return FNN_OK;
    return fnn_fail(op, FNN_INVALID, "expected rows and channels >= 0, got %lld and %lld", (long long)rows,
                    (long long)c);
}

static float *partial_of(const cut *m, float *partials, const piece *p) {
    return partials + 2 * (p->row / m->block_rows) * m->c + p->channel;
}

/* ---- statistics ----------------------------------------------------------------------------------------- */

/* Scratch: mean and M2 of each block. A channel that holds a value not finite gets mean and variance NaN. */
static fnn_status stats_init(fnn_op *op) {
    const norm_problem *q = op->problem;
    const fnn_status status = check(op, q->rows, q->c);
    if (status != FNN_OK) return status;
    const cut m = cut_matrix(q->rows, q->c);
    op->units = m.blocks * m.chunks > 0 ? m.blocks * m.chunks : 1;
    op->scratch_shared = sizeof(float) * (size_t)(2 * m.blocks * m.c);
    op->flops = 6.0 * (double)q->rows * (double)q->c;
    op->bytes = 4.0 * (double)q->rows * (double)q->c;
    op->algorithm = "blocks, Chan merge";
    return FNN_OK;
}

static void stats_run(const fnn_op *op, void *const *buf, void *scratch, const fnn_team *team) {
    const norm_problem *q = op->problem;
    const cut m = cut_matrix(q->rows, q->c);
    const float *x = buf[0];
    const float *shift = x; /* the first row */
    float *partials = scratch, *mean = buf[1], *var = buf[2];
    int64_t lo, hi;
    fnn_share(m.blocks * m.chunks, team->tid, team->n, &lo, &hi);
    for (int64_t unit = lo; unit < hi; unit++) {
        const piece p = piece_at(&m, unit);
        float *partial = partial_of(&m, partials, &p);
        op->k->norm_stats_block(x + p.row * m.c + p.channel, p.rows, m.c, p.channels, shift + p.channel, partial,
                                partial + m.c);
    }
    fnn_team_wait(team);
    const int64_t last = m.rows - (m.blocks - 1) * m.block_rows;
    fnn_share(ceil_div(m.c, FNN_NORM_MERGED), team->tid, team->n, &lo, &hi);
    for (int64_t j = lo * FNN_NORM_MERGED; j < least(hi * FNN_NORM_MERGED, m.c); j += FNN_NORM_MERGED)
        op->k->norm_merge_stats(partials + j, m.blocks, m.c, least(FNN_NORM_MERGED, m.c - j), m.block_rows, last,
                                shift + j, mean + j, var + j);
}

FNN_OP_CLASS(batch_norm_stats, norm_problem, "x mean var", stats_init, stats_run);

/* ---- application ---------------------------------------------------------------------------------------- */

static int64_t share_rows(int64_t c) { return c > 0 && c < SHARE_ELEMENTS ? SHARE_ELEMENTS / c : 1; }
static int64_t shares(int64_t rows, int64_t c) { return c > 0 ? ceil_div(rows, share_rows(c)) : 0; }

/* This thread's rows [*row, *row + n) of what is elementwise; returns n. */
static int64_t own_rows(int64_t rows, int64_t c, const fnn_team *team, int64_t *row) {
    int64_t lo, hi;
    fnn_share(shares(rows, c), team->tid, team->n, &lo, &hi);
    *row = lo * share_rows(c);
    return least(hi * share_rows(c), rows) - *row;
}

/* Per-channel arrays repeated to the kernels' period, one after another. */
static void repeat_array(float *array, int64_t c, int64_t period) {
    for (int64_t j = c; j < period; j++) array[j] = array[j - c];
}

static float inverse_deviation(float var, double eps) { return (float)(1.0 / sqrt((double)var + eps)); }

static fnn_status apply_init(fnn_op *op) {
    const apply_problem *q = op->problem;
    const fnn_status status = check(op, q->rows, q->c);
    if (status != FNN_OK) return status;
    if (q->activation < FNN_ACT_NONE || q->activation > FNN_ACT_SILU)
        return fnn_fail(op, FNN_INVALID, "batch_norm: expected activation 0 to 3, got %lld",
                        (long long)q->activation);
    if (q->residual && q->activation > FNN_ACT_RELU)
        return fnn_fail(op, FNN_UNSUPPORTED, "batch_norm: expected no activation or ReLU after a residual, got %lld",
                        (long long)q->activation);
    op->units = shares(q->rows, q->c);
    op->scratch_thread = 3 * sizeof(float) * (size_t)op->k->norm_period(q->c);
    op->flops = 3.0 * (double)q->rows * (double)q->c;
    op->bytes = (q->residual ? 12.0 : 8.0) * (double)q->rows * (double)q->c;
    op->algorithm = "one pass";
    return FNN_OK;
}

static void apply_run(const fnn_op *op, void *const *buf, void *scratch, const fnn_team *team) {
    const apply_problem *q = op->problem;
    const float *x = buf[0], *var = buf[2], *weight = buf[3], *bias = buf[4];
    const int64_t c = q->c, period = op->k->norm_period(c);
    float *mean = fnn_thread_scratch(op, scratch, team->tid), *scale = mean + period, *shift = scale + period;
    int64_t row;
    const int64_t rows = own_rows(q->rows, c, team, &row);
    if (rows <= 0) return;
    for (int64_t j = 0; j < c; j++) {
        mean[j] = ((const float *)buf[1])[j];
        scale[j] = inverse_deviation(var[j], q->eps) * (weight ? weight[j] : 1.0f);
        shift[j] = bias ? bias[j] : 0.0f;
    }
    for (int i = 0; i < 3; i++) repeat_array(mean + i * period, c, period);
    const fnn_norm norm = {.mean = mean, .scale = scale, .bias = shift};
    const int past = q->rows * c > PAST && x != buf[6];
    float *y = (float *)buf[6] + row * c;
    if (q->residual)
        op->k->norm_apply_sum(&norm, x + row * c, (const float *)buf[5] + row * c, rows * c, period,
                              q->activation == FNN_ACT_RELU, past, y);
    else
        op->k->norm_apply(&norm, x + row * c, rows * c, period, (int)q->activation, (float)q->slope, past, y);
}

FNN_OP_CLASS(batch_norm, apply_problem, "x mean var ?weight ?bias ?residual y", apply_init, apply_run);

/* ---- backward ------------------------------------------------------------------------------------------- */

enum { MEAN, SCALE, BIAS, OFFSET, SLOPE, COEFFICIENTS };

/* Scratch: the coefficients of each channel (period floats each), then two sums for each block. */
static fnn_status bwd_init(fnn_op *op) {
    const bwd_problem *q = op->problem;
    const fnn_status status = check(op, q->rows, q->c);
    if (status != FNN_OK) return status;
    if (q->activation != FNN_ACT_NONE && q->activation != FNN_ACT_RELU && q->activation != FNN_ACT_SILU)
        return fnn_fail(op, FNN_UNSUPPORTED, "batch_norm_bwd: expected no activation, ReLU or SiLU, got %lld",
                        (long long)q->activation);
    const cut m = cut_matrix(q->rows, q->c);
    op->units = m.blocks * m.chunks > 0 ? m.blocks * m.chunks : 1;
    op->scratch_shared = sizeof(float) * (size_t)(COEFFICIENTS * op->k->norm_period(q->c) + 2 * m.blocks * m.c);
    op->flops = 9.0 * (double)q->rows * (double)q->c;
    op->bytes = 20.0 * (double)q->rows * (double)q->c;
    op->algorithm = q->training ? "sums, then dx" : "sums and dx";
    return FNN_OK;
}

/* Mean, scale and bias of the channels [from, to), as the forward has them. */
static void forward_coefficients(const bwd_problem *q, void *const *buf, float *coefficients, int64_t period,
                                 int64_t from, int64_t to) {
    const float *mean = buf[2], *var = buf[3], *weight = buf[4], *bias = buf[5];
    for (int64_t j = from; j < to; j++) {
        coefficients[MEAN * period + j] = mean[j];
        coefficients[SCALE * period + j] = inverse_deviation(var[j], q->eps) * (weight ? weight[j] : 1.0f);
        coefficients[BIAS * period + j] = bias ? bias[j] : 0.0f;
    }
}

/* dweight, dbias and what they make of dx, for the channels [from, to) (FNN_NORM_MERGED at most) from the block
 * sums. */
static void settle_channels(const fnn_op *op, void *const *buf, const float *partials, int64_t blocks,
                            float *coefficients, int64_t period, int64_t from, int64_t to) {
    const bwd_problem *q = op->problem;
    const float *var = buf[3];
    float *dweight = buf[7], *dbias = buf[8];
    double sum[FNN_NORM_MERGED], product[FNN_NORM_MERGED];
    op->k->norm_merge_sums(partials + from, blocks, q->c, to - from, sum, product);
    for (int64_t j = from; j < to; j++) {
        const double inverse = 1.0 / sqrt((double)var[j] + q->eps), count = (double)q->rows;
        dweight[j] = q->rows > 0 ? (float)(product[j - from] * inverse) : 0.0f; /* the variance of nothing is NaN */
        dbias[j] = (float)sum[j - from];
        coefficients[OFFSET * period + j] = (float)(sum[j - from] / count);
        coefficients[SLOPE * period + j] = (float)(product[j - from] * inverse * inverse / count);
    }
}

static void sum_blocks(const fnn_op *op, void *const *buf, const cut *m, const float *coefficients, int64_t period,
                       float *partials, const fnn_team *team) {
    const bwd_problem *q = op->problem;
    const float *dy = buf[0], *x = buf[1];
    int64_t lo, hi;
    fnn_share(m->blocks * m->chunks, team->tid, team->n, &lo, &hi);
    for (int64_t unit = lo; unit < hi; unit++) {
        const piece p = piece_at(m, unit);
        float *partial = partial_of(m, partials, &p);
        const int64_t at = p.row * m->c + p.channel;
        op->k->norm_grad_block(dy + at, x + at, p.rows, m->c, p.channels, coefficients + MEAN * period + p.channel,
                               coefficients + SCALE * period + p.channel, coefficients + BIAS * period + p.channel,
                               (int)q->activation, partial, partial + m->c);
    }
}

static void bwd_run(const fnn_op *op, void *const *buf, void *scratch, const fnn_team *team) {
    const bwd_problem *q = op->problem;
    const cut m = cut_matrix(q->rows, q->c);
    const int64_t period = op->k->norm_period(q->c);
    float *coefficients = scratch, *partials = coefficients + COEFFICIENTS * period;
    int64_t lo, hi, row;
    fnn_share(ceil_div(m.c, FNN_NORM_MERGED), team->tid, team->n, &lo, &hi);
    const int64_t from = lo * FNN_NORM_MERGED, to = least(hi * FNN_NORM_MERGED, m.c);
    forward_coefficients(q, buf, coefficients, period, from, to);
    fnn_team_wait(team);
    sum_blocks(op, buf, &m, coefficients, period, partials, team);
    fnn_team_wait(team);
    for (int64_t j = from; j < to; j += FNN_NORM_MERGED)
        settle_channels(op, buf, partials, m.blocks, coefficients, period, j, least(j + FNN_NORM_MERGED, to));
    if (period > m.c) { /* one thread then has had all the channels, and repeats them */
        for (int i = 0; i < COEFFICIENTS && from < to; i++) repeat_array(coefficients + i * period, m.c, period);
    }
    if (!buf[6]) return; /* the sums alone are wanted */
    fnn_team_wait(team);
    const int64_t rows = own_rows(m.rows, m.c, team, &row);
    if (rows <= 0) return;
    const int past = m.rows * m.c > PAST && buf[6] != buf[0] && buf[6] != buf[1];
    const fnn_norm norm = {.mean = coefficients + MEAN * period,
                           .scale = coefficients + SCALE * period,
                           .bias = coefficients + BIAS * period,
                           .offset = coefficients + OFFSET * period,
                           .slope = q->training ? coefficients + SLOPE * period : NULL};
    op->k->norm_grad_apply(&norm, (const float *)buf[0] + row * m.c, (const float *)buf[1] + row * m.c, rows * m.c,
                           period, (int)q->activation, past, (float *)buf[6] + row * m.c);
}

FNN_OP_CLASS(batch_norm_bwd, bwd_problem, "dy x mean var ?weight ?bias ?dx dweight dbias", bwd_init, bwd_run);

/* ---- running averages ----------------------------------------------------------------------------------- */

static fnn_status update_init(fnn_op *op) {
    const update_problem *q = op->problem;
    op->flops = 6.0 * (double)q->c;
    op->bytes = 24.0 * (double)q->c;
    return check(op, q->count, q->c);
}

static void update_run(const fnn_op *op, void *const *buf, void *scratch, const fnn_team *team) {
    const update_problem *q = op->problem;
    float *running_mean = buf[0], *running_var = buf[1];
    int64_t *num_batches = buf[2];
    const float *mean = buf[3], *var = buf[4];
    const double rate = q->cumulative ? 1.0 / ((double)*num_batches + 1.0) : q->momentum;
    const double unbiased = (double)q->count / (double)(q->count > 1 ? q->count - 1 : 1);
    (void)scratch;
    (void)team;
    for (int64_t j = 0; j < q->c; j++) {
        const double old_mean = running_mean[j], old_var = running_var[j];
        running_mean[j] = (float)(old_mean + rate * ((double)mean[j] - old_mean));
        running_var[j] = (float)(old_var + rate * ((double)var[j] * unbiased - old_var));
    }
    *num_batches += 1;
}

FNN_OP_CLASS(batch_norm_update, update_problem, "running_mean running_var num_batches mean var", update_init,
             update_run);
