/* Batch normalisation with SiLU, z = silu(batch_norm(x)), whose channels a squeeze-and-excitation scales image by
 * image: y = z gate, where gate is made of the means of z over the pixels of each image. z is nowhere in memory: the
 * means, y and the gradients each make it anew from x. Graphs get these ops from fastnn/graph/fusion/. */
#include <math.h>

#include "../kernels/table.h"

#define BLOCK_ELEMENTS 65536 /* of a block of sums */
#define SHARE_ELEMENTS 4096  /* the least worth sharing of what is elementwise */
#define PAST (FNN_PAST / 4)  /* as in batch_norm.c */
#define COEFFICIENTS 5       /* mean, scale, bias, offset, slope */

/* n images of so many pixels and c channels. */
#define GATED_FIELDS(I, D, A, T) I(T, n) I(T, pixels) I(T, c) D(T, eps)
FNN_PROBLEM(gated_problem, GATED_FIELDS)

#define BWD_FIELDS(I, D, A, T) GATED_FIELDS(I, D, A, T) I(T, training)
FNN_PROBLEM(gated_bwd_problem, BWD_FIELDS)

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

static fnn_status check(fnn_op *op, const gated_problem *q) {
    if (q->n >= 0 && q->pixels >= 0 && q->c >= 0) return FNN_OK;
    return fnn_fail(op, FNN_INVALID, "expected images, pixels and channels >= 0, got %lld, %lld and %lld",
                    (long long)q->n, (long long)q->pixels, (long long)q->c);
}

/* Mean, scale and bias of the channels [from, to): c floats each, one after the other. */
static void fill_coefficients(int64_t c, double eps, void *const *buf, float *to_fill, int64_t from, int64_t to) {
    const float *mean = buf[0], *var = buf[1], *weight = buf[2], *bias = buf[3];
    for (int64_t j = from; j < to; j++) {
        to_fill[j] = mean[j];
        to_fill[c + j] = (float)(1.0 / sqrt((double)var[j] + eps)) * (weight ? weight[j] : 1.0f);
        to_fill[2 * c + j] = bias ? bias[j] : 0.0f;
    }
}
static fnn_norm norm_of(const float *coefficients, int64_t c, int64_t channel) {
    const float *at = coefficients + channel;
    return (fnn_norm){.mean = at, .scale = at + c, .bias = at + 2 * c};
}

/* ---- sums over the pixels of each image ----------------------------------------------------------------- */

/* Units are blocks of pixels of one image by chunks of channels: a pure function of the shape. */
typedef struct cut {
    int64_t block_rows, blocks, chunks, units;
} cut;

static cut cut_images(const gated_problem *q) {
    const int64_t width = least(q->c, FNN_NORM_COLUMNS);
    const int64_t block_rows = width > 0 ? BLOCK_ELEMENTS / width : 1, blocks = ceil_div(q->pixels, block_rows);
    const int64_t chunks = ceil_div(q->c, FNN_NORM_COLUMNS);
    return (cut){block_rows, blocks, chunks, q->n * blocks * chunks};
}

/* Scratch: each block's sums, c floats each; a thread's part: coefficients. */
static fnn_status init_sums(fnn_op *op, int many, double reads) {
    const gated_problem *q = op->problem;
    const fnn_status status = check(op, q);
    if (status != FNN_OK) return status;
    const cut m = cut_images(q);
    const double size = (double)q->n * (double)q->pixels * (double)q->c;
    op->units = m.units > 0 ? m.units : 1;
    op->scratch_shared = sizeof(float) * (size_t)(many * q->n * m.blocks * q->c);
    op->scratch_thread = 3 * sizeof(float) * (size_t)q->c;
    op->flops = (4.0 + 2.0 * many) * size;
    op->bytes = 4.0 * reads * size;
    op->algorithm = "blocks of an image";
    return FNN_OK;
}

/* The sums of this thread's blocks; dy NULL: those of the means. norm: mean var ?weight ?bias. */
static void sum_blocks(const fnn_op *op, int many, const float *dy, const float *x, void *const *norm, void *scratch,
                       const fnn_team *team) {
    const gated_problem *q = op->problem;
    const cut m = cut_images(q);
    float *partials = scratch, *coefficients = fnn_thread_scratch(op, scratch, team->tid);
    int64_t lo, hi;
    fill_coefficients(q->c, q->eps, norm, coefficients, 0, q->c);
    fnn_share(m.units, team->tid, team->n, &lo, &hi);
    for (int64_t unit = lo; unit < hi; unit++) {
        const int64_t block = unit / m.chunks, channel = unit % m.chunks * FNN_NORM_COLUMNS;
        const int64_t row = block % m.blocks * m.block_rows, rows = least(m.block_rows, q->pixels - row);
        const int64_t at = (block / m.blocks * q->pixels + row) * q->c + channel;
        const int64_t channels = least(FNN_NORM_COLUMNS, q->c - channel);
        float *sums = partials + block * many * q->c + channel;
        const fnn_norm part = norm_of(coefficients, q->c, channel);
        if (dy)
            op->k->gated_sums(&part, dy + at, x + at, rows, q->c, channels, sums, q->c);
        else
            op->k->gated_pool(&part, x + at, rows, q->c, channels, sums);
    }
    fnn_team_wait(team);
}

/* Sum k of channel j of image i over its blocks, in order. */
static double image_sum(const gated_problem *q, int many, int64_t blocks, const float *partials, int64_t i, int k,
                        int64_t j) {
    double sum = 0;
    for (int64_t b = 0; b < blocks; b++) sum += (double)partials[((i * blocks + b) * many + k) * q->c + j];
    return sum;
}

static fnn_status pool_init(fnn_op *op) { return init_sums(op, FNN_GATED_POOL, 1); }

static void pool_run(const fnn_op *op, void *const *buf, void *scratch, const fnn_team *team) {
    const gated_problem *q = op->problem;
    const int64_t blocks = cut_images(q).blocks;
    float *y = buf[5];
    int64_t lo, hi;
    sum_blocks(op, FNN_GATED_POOL, NULL, buf[0], buf + 1, scratch, team);
    fnn_share(q->n * q->c, team->tid, team->n, &lo, &hi);
    for (int64_t at = lo; at < hi; at++)
        y[at] = (float)(image_sum(q, FNN_GATED_POOL, blocks, scratch, at / q->c, 0, at % q->c) / (double)q->pixels);
}

FNN_OP_CLASS(gated_norm_pool, gated_problem, "x mean var ?weight ?bias y", pool_init, pool_run);

static fnn_status sums_init(fnn_op *op) { return init_sums(op, FNN_GATED_GRAD, 2); }

/* sums: 4 x n x c, in the order of gated_sums after dgate. */
static void sums_run(const fnn_op *op, void *const *buf, void *scratch, const fnn_team *team) {
    const gated_problem *q = op->problem;
    const int64_t blocks = cut_images(q).blocks, size = q->n * q->c;
    float *dgate = buf[6], *sums = buf[7];
    int64_t lo, hi;
    sum_blocks(op, FNN_GATED_GRAD, buf[0], buf[1], buf + 2, scratch, team);
    fnn_share(size, team->tid, team->n, &lo, &hi);
    for (int64_t at = lo; at < hi; at++) {
        for (int k = 0; k < FNN_GATED_GRAD; k++) {
            float *to = k ? sums + (k - 1) * size : dgate;
            to[at] = (float)image_sum(q, FNN_GATED_GRAD, blocks, scratch, at / q->c, k, at % q->c);
        }
    }
}

FNN_OP_CLASS(gated_norm_sums, gated_problem, "dy x mean var ?weight ?bias dgate sums", sums_init, sums_run);

/* ---- application ---------------------------------------------------------------------------------------- */

static int64_t share_rows(int64_t c) { return c > 0 && c < SHARE_ELEMENTS ? SHARE_ELEMENTS / c : 1; }

static fnn_status init_rows(fnn_op *op, double flops, double passes) {
    const gated_problem *q = op->problem;
    const fnn_status status = check(op, q);
    if (status != FNN_OK) return status;
    const double size = (double)q->n * (double)q->pixels * (double)q->c;
    op->units = q->c > 0 ? ceil_div(q->n * q->pixels, share_rows(q->c)) : 0;
    if (op->units == 0) op->units = 1;
    op->flops = flops * size;
    op->bytes = 4.0 * passes * size;
    op->algorithm = "one pass";
    return FNN_OK;
}

/* This thread's rows of image *i, from *row on and before `end`, the last image first; returns how many. */
static int64_t rows_before(const gated_problem *q, int64_t first, int64_t end, int64_t *i, int64_t *row) {
    *i = (end - 1) / q->pixels;
    const int64_t start = *i * q->pixels;
    *row = first > start ? first : start;
    return end - *row;
}

static void own_rows(const gated_problem *q, const fnn_team *team, int64_t *first, int64_t *end) {
    const int64_t rows = q->c > 0 ? q->n * q->pixels : 0, share = share_rows(q->c);
    fnn_share(ceil_div(rows, share), team->tid, team->n, first, end);
    *first *= share;
    *end = least(*end * share, rows);
}

static fnn_status apply_init(fnn_op *op) {
    const fnn_status status = init_rows(op, 20, 2);
    if (status == FNN_OK) op->scratch_thread = 3 * sizeof(float) * (size_t)((const gated_problem *)op->problem)->c;
    return status;
}

static void apply_run(const fnn_op *op, void *const *buf, void *scratch, const fnn_team *team) {
    const gated_problem *q = op->problem;
    const float *x = buf[0], *gate = buf[5];
    float *y = buf[6], *coefficients = fnn_thread_scratch(op, scratch, team->tid);
    const int past = q->n * q->pixels * q->c > PAST && x != y;
    int64_t first, end, i, row;
    fill_coefficients(q->c, q->eps, buf + 1, coefficients, 0, q->c);
    const fnn_norm norm = norm_of(coefficients, q->c, 0);
    own_rows(q, team, &first, &end);
    while (first < end) {
        const int64_t rows = rows_before(q, first, end, &i, &row);
        op->k->gated_apply(&norm, gate + i * q->c, x + row * q->c, rows, q->c, past, y + row * q->c);
        end = row;
    }
}

FNN_OP_CLASS(gated_norm, gated_problem, "x mean var ?weight ?bias gate y", apply_init, apply_run);

/* ---- backward ------------------------------------------------------------------------------------------- */

/* Scratch: coefficients, then what the means add to the gradient of each pixel. */
static fnn_status bwd_init(fnn_op *op) {
    const fnn_status status = init_rows(op, 28, 3);
    const gated_problem *q = op->problem;
    if (status == FNN_OK) op->scratch_shared = sizeof(float) * (size_t)((COEFFICIENTS + q->n) * q->c);
    return status;
}

/* dweight, dbias and what they make of dx for the channels [from, to): the gradient of z is dy gate + shift. */
static void settle_channels(const gated_bwd_problem *q, void *const *buf, float *coefficients, int64_t from,
                            int64_t to) {
    const float *var = buf[3], *gate = buf[6], *dpool = buf[7], *sums = buf[8];
    float *dweight = buf[10], *dbias = buf[11], *shift = coefficients + COEFFICIENTS * q->c;
    const int64_t c = q->c, size = q->n * c;
    const double count = (double)q->n * (double)q->pixels;
    for (int64_t j = from; j < to; j++) {
        const double inverse = 1.0 / sqrt((double)var[j] + q->eps);
        double sum = 0, product = 0;
        for (int64_t at = j; at < size; at += c) {
            shift[at] = (float)((double)dpool[at] / (double)q->pixels);
            sum += (double)gate[at] * (double)sums[at] + (double)shift[at] * (double)sums[size + at];
            product += (double)gate[at] * (double)sums[2 * size + at] +
                       (double)shift[at] * (double)sums[3 * size + at];
        }
        dweight[j] = count > 0 ? (float)(product * inverse) : 0.0f; /* the variance of nothing is NaN */
        dbias[j] = (float)sum;
        coefficients[3 * c + j] = q->training ? (float)(sum / count) : 0.0f;
        coefficients[4 * c + j] = q->training ? (float)(product * inverse * inverse / count) : 0.0f;
    }
}

static void bwd_run(const fnn_op *op, void *const *buf, void *scratch, const fnn_team *team) {
    const gated_bwd_problem *p = op->problem;
    const gated_problem *q = op->problem; /* its first fields */
    const float *dy = buf[0], *x = buf[1], *gate = buf[6];
    float *dx = buf[9], *coefficients = scratch;
    const int64_t c = p->c, groups = ceil_div(c, FNN_NORM_MERGED);
    const int past = p->n * p->pixels * c > PAST && dx != dy && dx != x;
    int64_t lo, hi, first, end, i, row;
    fnn_share(groups, team->tid, team->n, &lo, &hi);
    const int64_t from = lo * FNN_NORM_MERGED, to = least(hi * FNN_NORM_MERGED, c);
    fill_coefficients(c, p->eps, buf + 2, coefficients, from, to);
    settle_channels(p, buf, coefficients, from, to);
    fnn_team_wait(team);
    fnn_norm norm = norm_of(coefficients, c, 0);
    norm.offset = coefficients + 3 * c;
    norm.slope = coefficients + 4 * c;
    own_rows(q, team, &first, &end);
    while (first < end) {
        const int64_t rows = rows_before(q, first, end, &i, &row);
        op->k->gated_grad_apply(&norm, gate + i * c, coefficients + (COEFFICIENTS + i) * c, dy + row * c, x + row * c,
                                rows, c, past, dx + row * c);
        end = row;
    }
}

FNN_OP_CLASS(gated_norm_bwd, gated_bwd_problem, "dy x mean var ?weight ?bias gate dpool sums dx dweight dbias",
             bwd_init, bwd_run);
