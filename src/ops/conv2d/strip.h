/* Direct convolution by strips of output lines (kernels/conv_strip.h): what the forward pass and the gradient for the
 * input have in common. Both are sums over taps of a source's pixels times weights:
 *
 *   dst(part, line i, column j) = sum over taps of src(i * step_h + tap_h, j * step_w + tap_w) * w(tap)
 *
 * Forward has one part, y. The gradient's parts are the pixels of dx whose coordinates agree modulo the stride: each
 * has its own taps, the source is dy, and all parts read the same copies of it. */
#ifndef FASTNN_OPS_CONV2D_STRIP_H
#define FASTNN_OPS_CONV2D_STRIP_H

#include "algorithms.h"

/* Whether a pass of its own for a tap's k products spares enough, in cycles a k: measured, it costs 250 cycles, and one
 * a k. */
#define STRIP_PASS 250
static inline int strip_spares(int64_t spared, int64_t k) { return (spared - 1) * k >= STRIP_PASS; }

/* Taps along one side in ascending order of where they lie: index in the filter, offset in the source. */
typedef struct strip_taps {
    int64_t count, *tap, *offset;
} strip_taps;

/* ---- taps along a side ---------------------------------------------------------------------------------- */

static inline strip_taps strip_forward_taps(int64_t kernel, int64_t padding, int64_t dilation, int64_t *room) {
    strip_taps s = {kernel, room, room + kernel};
    for (int64_t k = 0; k < kernel; k++) s.tap[k] = k, s.offset[k] = k * dilation - padding;
    return s;
}

/* The taps that input coordinates congruent to r modulo the stride use; later taps lie further left in dy. */
static inline strip_taps strip_gradient_taps(int64_t r, int64_t kernel, int64_t stride, int64_t padding,
                                             int64_t dilation, int64_t *room) {
    strip_taps s = {0, room, room + kernel};
    for (int64_t k = kernel - 1; k >= 0; k--) {
        const int64_t at = r + padding - k * dilation;
        if (at % stride != 0) continue;
        s.tap[s.count] = k, s.offset[s.count++] = at / stride;
    }
    return s;
}

/* Extreme offsets of all parts along a side. */
static inline void strip_gradient_reach(int64_t kernel, int64_t stride, int64_t padding, int64_t dilation,
                                        int64_t *room, int64_t *low, int64_t *high) {
    int found = 0;
    for (int64_t r = 0; r < stride; r++) {
        const strip_taps t = strip_gradient_taps(r, kernel, stride, padding, dilation, room);
        if (t.count == 0) continue;
        const int64_t first = t.offset[0], last = t.offset[t.count - 1];
        *low = !found || first < *low ? first : *low;
        *high = !found || last > *high ? last : *high;
        found = 1;
    }
}

static inline int64_t strip_phase_size(int64_t size, int64_t r, int64_t stride) {
    return size > r ? gemm_ceil_div(size - r, stride) : 0;
}

/* Phase i of the gradient for the input: the pixels of dx whose coordinates agree modulo the stride, and their taps.
 * room: for the taps of both sides. */
typedef struct strip_phase {
    int64_t grid_h, grid_w, first, line, pixel;
    strip_taps h, w;
} strip_phase;

static inline strip_phase strip_gradient_phase(const conv2d_problem *p, int64_t i, int64_t *room) {
    const int64_t sh = p->stride[0], sw = p->stride[1], rh = i / sw, rw = i % sw;
    return (strip_phase){.grid_h = strip_phase_size(p->ih, rh, sh),
                         .grid_w = strip_phase_size(p->iw, rw, sw),
                         .first = (rh * p->iw + rw) * p->ic,
                         .line = sh * p->iw * p->ic,
                         .pixel = sw * p->ic,
                         .h = strip_gradient_taps(rh, p->kh, sh, p->padding[0], p->dilation[0], room),
                         .w = strip_gradient_taps(rw, p->kw, sw, p->padding[2], p->dilation[1], room + 2 * p->kh)};
}

/* ---- plans ---------------------------------------------------------------------------------------------- */

typedef struct strip_part {
    int64_t grid_h, grid_w;               /* its outputs */
    int64_t first, line, pixel;           /* where they lie in dst, in floats */
    int64_t n_taps, tap_first, tap_step;  /* lines of taps */
    int64_t n_segments, length, *segment; /* a line of taps in copied pixels */
    int64_t *from, *to;                   /* outputs of a line that meet each segment's pixels, not padding */
    int touching;                         /* segments adjoin in copied pixels */
    int64_t k_first, k;                   /* its rows in a panel of weights */
} strip_part;

typedef struct strip_plan {
    int64_t n, groups, channels; /* images; groups and source channels of each */
    int64_t src_h, src_w, src_pixel, step_h;
    int64_t low_h, high_h; /* extreme offsets of lines of taps */
    fnn_strip_copy copy;
    int64_t line, row;          /* floats of a copied line; between the pixels of neighbouring outputs */
    int64_t columns, panels, k; /* output channels of a group, in so many panels; rows of a panel */
    int64_t dst_image;          /* floats between images of dst */
    int64_t runs, sets, lines;  /* images in a tile, sets of so many, output lines of an image */
    int64_t block, block_lines; /* output lines, and the source lines that they need */
    int groups_inside;          /* all groups of a block of lines before the next block */
    int by_panels;              /* threads share panels, each packs its own */
    fnn_strip_weights weights;
    int64_t n_parts, *tables;
    strip_part part[];
} strip_plan;

/* What a run is given. */
typedef struct strip_call {
    const strip_plan *plan;
    const float *src, *w;
    const float *in_scale, *in_shift, *bias, *residual;
    float *dst;
    int accumulate, activation;
    float slope;
} strip_call;

static inline strip_call strip_forward_call(const fnn_op *op, void *const *buf) {
    const conv2d_problem *p = op->problem;
    return (strip_call){.plan = op->plan,
                        .src = buf[X],
                        .w = buf[W],
                        .in_scale = buf[IN_SCALE],
                        .in_shift = buf[IN_SHIFT],
                        .bias = buf[BIAS],
                        .residual = buf[RESIDUAL],
                        .dst = buf[Y],
                        .accumulate = (int)p->accumulate,
                        .activation = (int)p->activation,
                        .slope = (float)p->slope};
}

static inline strip_call strip_gradient_call(const fnn_op *op, void *const *buf) {
    return (strip_call){.plan = op->plan, .src = buf[0], .w = buf[1], .dst = buf[2]};
}

/* Plans without the sizes that follow from how they are run; NULL where there is no memory. */
strip_plan *fnn_strip_forward_plan(const conv2d_problem *p);
strip_plan *fnn_strip_gradient_plan(const conv2d_problem *p);

/* The plan's sizes that follow from the rest: panels, blocks, sets; the op's units and scratch. */
void fnn_strip_finish(fnn_op *op, strip_plan *plan);
void fnn_strip_run(const fnn_op *op, const strip_call *call, void *scratch, const fnn_team *team);

/* Images a tile spans where a line has grid_w outputs, and cycles of one k for a line of one image. */
int64_t fnn_strip_runs(const fnn_kernels *kernels, int64_t n, int64_t grid_w);
double fnn_strip_line_cycles(const fnn_kernels *kernels, int64_t runs, int64_t grid_w, int64_t columns);

#endif
