/* Depthwise convolution in its three passes. Threads share lines of the image that is written; the weights' gradient is summed in chunks
 * of lines fixed by shape. */
#include <stdlib.h>
#include <string.h>

#include "algorithms.h"

#define DEPTHWISE_EFFICIENCY 0.2 /* of the multiply-add rate */
#define CHUNKS 64                /* most partial weight gradients */

typedef struct depthwise_plan {
    conv2d_problem g;
    int64_t lines_per_chunk, chunks;
    fnn_walk *rows, *columns; /* one for each line, each pixel of a line, of what is written */
    fnn_walk walks[];
} depthwise_plan;

static int inside(int64_t at, int64_t size) { return at >= 0 && at < size; }

/* Forward: tap k meets source i * stride - padding + k * dilation. */
static fnn_walk forward_walk(int64_t i, int64_t kernel, int64_t size, int64_t stride, int64_t padding,
                             int64_t dilation) {
    fnn_walk w = {0, 0, 1, 0, (int32_t)dilation};
    for (int64_t k = 0; k < kernel; k++) {
        const int64_t at = i * stride - padding + k * dilation;
        if (!inside(at, size)) continue;
        if (w.count++ == 0) w.tap = (int32_t)k, w.src = (int32_t)at;
    }
    return w;
}

/* Backward: tap k meets dy's (i + padding - k * dilation) / stride where that is whole; such k are evenly spaced. */
static fnn_walk backward_walk(int64_t i, int64_t kernel, int64_t size, int64_t stride, int64_t padding,
                              int64_t dilation) {
    fnn_walk w = {0, 0, 0, 0, 0};
    for (int64_t k = 0; k < kernel; k++) {
        const int64_t at = i + padding - k * dilation;
        if (at % stride != 0 || !inside(at / stride, size)) continue;
        if (w.count == 0) w.tap = (int32_t)k, w.src = (int32_t)(at / stride);
        if (w.count == 1) w.tap_step = (int32_t)(k - w.tap), w.src_step = (int32_t)(at / stride - w.src);
        w.count++;
    }
    return w;
}

static fnn_status plan_lines(fnn_op *op, const conv2d_problem *g, int backward) {
    const int64_t rows = backward ? g->ih : g->oh, columns = backward ? g->iw : g->ow;
    depthwise_plan *plan = op->plan = malloc(sizeof *plan + (size_t)(rows + columns) * sizeof(fnn_walk));
    if (!plan) return fnn_fail(op, FNN_NO_MEMORY, "no memory for %lld walks", (long long)(rows + columns));
    *plan = (depthwise_plan){.g = *g, .rows = plan->walks, .columns = plan->walks + rows};
    fnn_walk (*const walk)(int64_t, int64_t, int64_t, int64_t, int64_t, int64_t) = backward ? backward_walk
                                                                                            : forward_walk;
    for (int64_t i = 0; i < rows; i++)
        plan->rows[i] = walk(i, g->kh, backward ? g->oh : g->ih, g->stride[0], g->padding[0], g->dilation[0]);
    for (int64_t i = 0; i < columns; i++)
        plan->columns[i] = walk(i, g->kw, backward ? g->ow : g->iw, g->stride[1], g->padding[2], g->dilation[1]);
    op->units = g->n * rows;
    op->scratch_shared = (size_t)(g->kh * g->kw * g->oc) * sizeof(float);
    return FNN_OK;
}

static fnn_status forward_init(fnn_op *op) { return plan_lines(op, op->problem, 0); }
static fnn_status bwd_data_init(fnn_op *op) { return plan_lines(op, op->problem, 1); }

/* Weights as the kernel reads them: [tap][output channel], or [tap][multiplier][input channel] for backward. */
static void pack_weights(const conv2d_problem *g, int backward, const float *w, float *packed, const fnn_team *team) {
    const int64_t taps = g->kh * g->kw, m = g->oc / g->ic;
    int64_t lo, hi;
    fnn_share(g->oc, team->tid, team->n, &lo, &hi);
    for (int64_t t = 0; t < taps; t++)
        for (int64_t o = lo; o < hi; o++)
            packed[t * g->oc + (backward ? o % m * g->ic + o / m : o)] = w[o * taps + t];
    fnn_team_wait(team);
}

static void run_lines(const fnn_op *op, const fnn_depthwise *d, int64_t rows, int64_t src_h, const float *src,
                      const float *packed, const float *residual, float *dst, const fnn_team *team) {
    const depthwise_plan *plan = op->plan;
    const int64_t line = d->dst_w * d->channels, image = src_h * d->src_w * d->src_channels;
    int64_t lo, hi;
    fnn_share(op->units, team->tid, team->n, &lo, &hi);
    for (int64_t u = lo; u < hi; u++)
        op->k->depthwise_line(d, &plan->rows[u % rows], src + u / rows * image, packed,
                              residual ? residual + u * line : NULL, dst + u * line);
}

static void forward_run(const fnn_op *op, void *const *buf, void *scratch, const fnn_team *team) {
    const depthwise_plan *plan = op->plan;
    const conv2d_problem *g = &plan->g;
    const fnn_depthwise d = {.channels = g->oc,
                             .multiplier = g->oc / g->ic,
                             .dst_w = g->ow,
                             .src_w = g->iw,
                             .src_channels = g->ic,
                             .kw = g->kw,
                             .columns = plan->columns,
                             .bias = buf[BIAS],
                             .activation = (int)g->activation,
                             .slope = (float)g->slope};
    pack_weights(g, 0, buf[W], scratch, team);
    run_lines(op, &d, g->oh, g->ih, buf[X], scratch, buf[RESIDUAL], buf[Y], team);
}

static void bwd_data_run(const fnn_op *op, void *const *buf, void *scratch, const fnn_team *team) {
    const depthwise_plan *plan = op->plan;
    const conv2d_problem *g = &plan->g;
    const fnn_depthwise d = {.channels = g->ic,
                             .multiplier = g->oc / g->ic,
                             .dst_w = g->iw,
                             .src_w = g->ow,
                             .src_channels = g->oc,
                             .kw = g->kw,
                             .backward = 1,
                             .columns = plan->columns};
    pack_weights(g, 1, buf[1], scratch, team);
    run_lines(op, &d, g->ih, g->oh, buf[0], scratch, NULL, buf[2], team);
}

/* ---- gradient of the weights ---------------------------------------------------------------------------- */

static fnn_status bwd_weights_init(fnn_op *op) {
    const conv2d_problem *g = op->problem;
    depthwise_plan *plan = op->plan = malloc(sizeof *plan);
    if (!plan) return fnn_fail(op, FNN_NO_MEMORY, "no memory for the plan");
    const int64_t lines = g->n * g->oh;
    *plan = (depthwise_plan){.g = *g, .lines_per_chunk = gemm_max(1, gemm_ceil_div(lines, CHUNKS))};
    plan->chunks = gemm_max(1, gemm_ceil_div(lines, plan->lines_per_chunk));
    op->units = plan->chunks;
    op->scratch_shared = (size_t)(plan->chunks * g->kh * g->kw * g->oc) * sizeof(float);
    return FNN_OK;
}

static void chunk_gradient(const fnn_op *op, const float *dy, const float *x, int64_t chunk, float *part) {
    const depthwise_plan *plan = op->plan;
    const conv2d_problem *g = &plan->g;
    const fnn_depthwise_line d = {.channels = g->oc,
                                  .multiplier = g->oc / g->ic,
                                  .src_w = g->iw,
                                  .src_channels = g->ic,
                                  .dst_w = g->ow,
                                  .kw = g->kw,
                                  .stride_w = g->stride[1],
                                  .pad_left = g->padding[2],
                                  .dilation_w = g->dilation[1]};
    const int64_t end = gemm_min(g->n * g->oh, (chunk + 1) * plan->lines_per_chunk);
    memset(part, 0, (size_t)(g->kh * g->kw * g->oc) * sizeof(float));
    for (int64_t u = chunk * plan->lines_per_chunk; u < end; u++)
        for (int64_t k = 0; k < g->kh; k++) {
            const int64_t h = u % g->oh * g->stride[0] - g->padding[0] + k * g->dilation[0];
            if (!inside(h, g->ih)) continue;
            op->k->depthwise_weights_line(&d, dy + u * g->ow * g->oc, x + (u / g->oh * g->ih + h) * g->iw * g->ic,
                                          part + k * g->kw * g->oc);
        }
}

static void bwd_weights_run(const fnn_op *op, void *const *buf, void *scratch, const fnn_team *team) {
    float *dw = buf[2];
    const depthwise_plan *plan = op->plan;
    const conv2d_problem *g = &plan->g;
    const int64_t taps = g->kh * g->kw, size = taps * g->oc;
    float *parts = scratch;
    int64_t lo, hi;
    fnn_share(plan->chunks, team->tid, team->n, &lo, &hi);
    for (int64_t c = lo; c < hi; c++) chunk_gradient(op, buf[0], buf[1], c, parts + c * size);
    fnn_team_wait(team);
    fnn_share(g->oc, team->tid, team->n, &lo, &hi);
    op->k->conv_merge_weights(dw + lo * taps, parts + lo, plan->chunks, size, taps, g->oc, hi - lo);
}

/* ---- rows ----------------------------------------------------------------------------------------------- */

/* There is no prologue, statistics or accumulation here; with them a depthwise problem runs as groups. */
static int applies(const fnn_kernels *kernels, const conv2d_problem *p) {
    (void)kernels;
    return conv2d_is_depthwise(p) && !p->in_affine && !p->in_activation && !p->statistics && !p->accumulate;
}

static double cost(const fnn_kernels *kernels, const conv2d_problem *p) {
    const double pixels = (double)(p->n * gemm_max(p->oh * p->ow, p->ih * p->iw));
    return conv2d_tile_cycles(kernels, pixels, p->oc, (double)(p->kh * p->kw), DEPTHWISE_EFFICIENCY);
}

const conv2d_algorithm fnn_conv2d_depthwise = {"depthwise", CONV2D_DIRECT, applies, cost, forward_init, forward_run};
const conv2d_algorithm fnn_conv2d_depthwise_bwd_data = {"depthwise", CONV2D_DIRECT, applies,
                                                        cost,        bwd_data_init, bwd_data_run};
const conv2d_algorithm fnn_conv2d_depthwise_bwd_weights = {"depthwise", CONV2D_DIRECT,    applies,
                                                           cost,        bwd_weights_init, bwd_weights_run};
