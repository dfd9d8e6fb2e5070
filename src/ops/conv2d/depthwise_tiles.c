/* Depthwise convolution with a 3x3 or 5x5 kernel at stride 1 or 2, in its three passes; other geometries stay with
 * depthwise.c. Threads share pairs of lines of the image that is written; the weights' gradient is summed in
 * chunks fixed by shape. The gradient for the input is a convolution with the weights turned round at stride 1. */
#include <stdlib.h>
#include <string.h>

#include "depthwise_tiles.h"

#define TILES_EFFICIENCY 0.6   /* of the multiply-add rate */
#define TILES_PIXEL 4          /* cycles for each vector read or written */
#define NEAR_FLOATS (64 << 10) /* of the output that SiLU finds in the second-level cache */
#define PAST_BYTES (4 << 20)
#define LEAST_CHUNKS 4 /* partial weight gradients */
#define MOST_CHUNKS 64
#define CHUNK_SHARE 8 /* at most this part of the bytes of x and dy goes to them */

static fnn_status plan_new(fnn_op *op) {
    tiles_plan *plan = op->plan = malloc(sizeof *plan);
    if (!plan) return fnn_fail(op, FNN_NO_MEMORY, "no memory for the plan");
    *plan = (tiles_plan){.g = *(const conv2d_problem *)op->problem};
    return FNN_OK;
}

static fnn_status lines_init(fnn_op *op, int64_t lines) {
    const conv2d_problem *g = op->problem;
    op->units = g->n * gemm_ceil_div(lines, TILES_LINES);
    op->scratch_shared = (size_t)(g->kh * g->kw * g->oc) * sizeof(float);
    return plan_new(op);
}

static fnn_status forward_init(fnn_op *op) { return lines_init(op, ((const conv2d_problem *)op->problem)->oh); }
static fnn_status bwd_data_init(fnn_op *op) { return lines_init(op, ((const conv2d_problem *)op->problem)->ih); }

/* [tap][channel]; turned: the last tap first. */
static void pack_weights(const fnn_op *op, const conv2d_problem *g, int turned, const float *w, float *packed,
                         const fnn_team *team) {
    const int64_t taps = g->kh * g->kw, first = turned ? taps - 1 : 0, step = turned ? -g->oc : g->oc;
    int64_t lo, hi;
    fnn_share(g->oc, team->tid, team->n, &lo, &hi);
    if (lo < hi) op->k->copy_transpose(taps, hi - lo, w + lo * taps, taps, packed + first * g->oc + lo, step);
    fnn_team_wait(team);
}

/* Whether stores go past the caches: what exceeds them would first be read for nothing. */
static int goes_past(const conv2d_problem *g) {
    return g->n * g->oc * gemm_max(g->ih * g->iw, g->oh * g->ow) * (int64_t)sizeof(float) >= PAST_BYTES;
}

/* This thread's share of the units, one image's lines at a time. b: what all images have in common. */
static void run_bands(const fnn_op *op, fnn_depthwise_band b, const float *src, const float *residual, float *dst,
                      const fnn_team *team, fnn_tiles_lines *lines, void *source) {
    const int64_t units = gemm_ceil_div(b.dst_h, TILES_LINES), line = b.dst_w * b.channels, image = b.dst_h * line;
    int64_t lo, hi;
    fnn_share(op->units, team->tid, team->n, &lo, &hi);
    for (int64_t u = lo, end; u < hi; u = end) {
        const int64_t n = u / units;
        end = gemm_min(hi, (n + 1) * units);
        if (b.activation == FNN_ACT_SILU)
            end = gemm_min(end, u + gemm_max(1, NEAR_FLOATS / gemm_max(1, TILES_LINES * line)));
        b.row0 = (u - n * units) * TILES_LINES, b.row1 = gemm_min(b.dst_h, (end - n * units) * TILES_LINES);
        b.dst = dst + n * image, b.residual = residual ? residual + n * image : NULL;
        lines(op, source, &b, src + n * b.src_h * b.src_w * b.channels);
        float *const done = b.dst + b.row0 * line;
        if (b.activation == FNN_ACT_SILU) op->k->elt_silu((b.row1 - b.row0) * line, done, done, 0, 0, 0);
    }
}

static void band_lines(const fnn_op *op, void *source, fnn_depthwise_band *b, const float *x) {
    (void)source;
    b->src = x;
    op->k->depthwise_band(b);
}

static void sums_lines(const fnn_op *op, void *source, fnn_depthwise_band *b, const float *x) {
    (void)source;
    b->src = x;
    op->k->depthwise_sums(b);
}

static fnn_depthwise_band forward_band(const conv2d_problem *g) {
    return (fnn_depthwise_band){.kernel = g->kh,
                                .stride = g->stride[0],
                                .channels = g->oc,
                                .src_h = g->ih,
                                .src_w = g->iw,
                                .dst_h = g->oh,
                                .dst_w = g->ow,
                                .top = g->padding[0],
                                .left = g->padding[2]};
}

void fnn_tiles_forward(const fnn_op *op, const float *x, const float *w, const float *bias, const float *residual,
                       float *y, void *scratch, const fnn_team *team, fnn_tiles_lines *lines, void *source) {
    const conv2d_problem *g = &((const tiles_plan *)op->plan)->g;
    fnn_depthwise_band b = forward_band(g);
    b.past = goes_past(g) && g->activation != FNN_ACT_SILU;
    b.weights = scratch, b.bias = bias, b.activation = (int)g->activation, b.slope = (float)g->slope;
    pack_weights(op, g, 0, w, scratch, team);
    run_bands(op, b, x, residual, y, team, lines, source);
}

static void forward_run(const fnn_op *op, void *const *buf, void *scratch, const fnn_team *team) {
    fnn_tiles_forward(op, buf[X], buf[W], buf[BIAS], buf[RESIDUAL], buf[Y], scratch, team, band_lines, NULL);
}

static void bwd_data_run(const fnn_op *op, void *const *buf, void *scratch, const fnn_team *team) {
    const conv2d_problem *g = &((const tiles_plan *)op->plan)->g;
    const int turned = g->stride[0] == 1;
    const fnn_depthwise_band b = {.kernel = g->kh,
                                  .stride = turned ? 1 : FNN_DEPTHWISE_SPREAD,
                                  .channels = g->oc,
                                  .src_h = g->oh,
                                  .src_w = g->ow,
                                  .dst_h = g->ih,
                                  .dst_w = g->iw,
                                  .top = turned ? g->kh - 1 - g->padding[0] : g->padding[0],
                                  .left = turned ? g->kw - 1 - g->padding[2] : g->padding[2],
                                  .past = goes_past(g),
                                  .weights = scratch};
    pack_weights(op, g, turned, buf[1], scratch, team);
    run_bands(op, b, buf[0], NULL, buf[2], team, band_lines, NULL);
}

/* ---- gradient of the weights ---------------------------------------------------------------------------- */

/* As many chunks as keep their bytes a small part of those of x and dy. */
static fnn_status bwd_weights_init(fnn_op *op) {
    const fnn_status status = plan_new(op);
    if (status != FNN_OK) return status;
    tiles_plan *plan = op->plan;
    const conv2d_problem *g = &plan->g;
    const int64_t taps = g->kh * g->kw, pixels = g->n * (g->oh * g->ow + g->ih * g->iw);
    const int64_t target = gemm_max(LEAST_CHUNKS, gemm_min(MOST_CHUNKS, pixels / (CHUNK_SHARE * taps)));
    plan->images = gemm_max(1, g->n / target);
    const int64_t groups = gemm_ceil_div(g->n, plan->images);
    const int64_t parts = plan->images > 1 ? 1 : gemm_ceil_div(target, gemm_max(1, groups));
    plan->lines = gemm_max(1, gemm_ceil_div(gemm_ceil_div(g->oh, TILES_LINES), parts)) * TILES_LINES;
    plan->parts = gemm_max(1, gemm_ceil_div(g->oh, plan->lines));
    plan->chunks = groups * plan->parts;
    op->units = plan->chunks;
    op->scratch_shared = (size_t)(gemm_max(1, plan->chunks) * taps * g->oc) * sizeof(float);
    return FNN_OK;
}

static void sum_chunk(const fnn_op *op, const float *dy, const float *x, int64_t chunk, float *sums,
                      fnn_tiles_lines *lines, void *source) {
    const tiles_plan *plan = op->plan;
    const conv2d_problem *g = &plan->g;
    const int64_t first = chunk / plan->parts * plan->images, last = gemm_min(g->n, first + plan->images);
    fnn_depthwise_band b = forward_band(g);
    b.sums = sums;
    b.row0 = chunk % plan->parts * plan->lines, b.row1 = gemm_min(g->oh, b.row0 + plan->lines);
    memset(sums, 0, (size_t)(g->kh * g->kw * g->oc) * sizeof(float));
    for (int64_t n = first; n < last; n++) {
        b.residual = dy + n * g->oh * g->ow * g->oc;
        lines(op, source, &b, x + n * g->ih * g->iw * g->oc);
    }
}

void fnn_tiles_bwd_weights(const fnn_op *op, const float *dy, const float *x, float *dw, void *scratch,
                           const fnn_team *team, fnn_tiles_lines *lines, void *source) {
    const tiles_plan *plan = op->plan;
    const conv2d_problem *g = &plan->g;
    const int64_t taps = g->kh * g->kw, size = taps * g->oc;
    float *sums = scratch;
    int64_t lo, hi;
    fnn_share(plan->chunks, team->tid, team->n, &lo, &hi);
    for (int64_t c = lo; c < hi; c++) sum_chunk(op, dy, x, c, sums + c * size, lines, source);
    if (plan->chunks == 0 && team->tid == 0) memset(sums, 0, (size_t)size * sizeof(float));
    fnn_team_wait(team);
    fnn_share(g->oc, team->tid, team->n, &lo, &hi);
    if (lo < hi)
        op->k->depthwise_merge(sums + lo, gemm_max(1, plan->chunks), size, g->oc, taps, hi - lo, dw + lo * taps);
}

static void bwd_weights_run(const fnn_op *op, void *const *buf, void *scratch, const fnn_team *team) {
    fnn_tiles_bwd_weights(op, buf[0], buf[1], buf[2], scratch, team, sums_lines, NULL);
}

/* ---- rows ----------------------------------------------------------------------------------------------- */

static int applies(const fnn_kernels *kernels, const conv2d_problem *p) {
    return fnn_conv2d_depthwise.applies(kernels, p) && p->oc == p->ic && p->kh == p->kw &&
           (p->kh == 3 || p->kh == 5) && p->stride[0] == p->stride[1] && p->stride[0] <= 2 && p->dilation[0] == 1 &&
           p->dilation[1] == 1;
}

static double cost(const fnn_kernels *kernels, const conv2d_problem *p) {
    const double written = (double)(p->n * p->oh * p->ow), all = written + (double)(p->n * p->ih * p->iw);
    return conv2d_tile_cycles(kernels, written, p->oc, (double)(p->kh * p->kw), TILES_EFFICIENCY) +
           TILES_PIXEL * all * (double)gemm_ceil_div(p->oc, kernels->vl);
}

#define TILES_ROW(pass) {"depthwise-tiles", CONV2D_DIRECT, applies, cost, pass##_init, pass##_run}
const conv2d_algorithm fnn_conv2d_depthwise_tiles = TILES_ROW(forward);
const conv2d_algorithm fnn_conv2d_depthwise_tiles_bwd_data = TILES_ROW(bwd_data);
const conv2d_algorithm fnn_conv2d_depthwise_tiles_bwd_weights = TILES_ROW(bwd_weights);
