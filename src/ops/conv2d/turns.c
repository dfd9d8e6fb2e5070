/* Convolution of narrow groups with three taps along a line (kernels/conv_turns.h), and its gradient for the input,
 * which is the same convolution with its filters turned round. Threads share lines of output; a block of them copies
 * the lines of x that it sees once, for all channels. */
#include <stdlib.h>

#include "algorithms.h"

#define KW 3
#define BLOCK_FLOATS ((int64_t)96 << 10) /* copied lines that stay in the second-level cache */
#define TURN 0.7                         /* share of the multiply-add rate beside the turning, ... */
#define WHOLE 0.9                        /* ... and of groups that are whole vectors, which are not turned */
#define COPY 4                           /* cycles a copied vector */
#define TILE 30                          /* cycles a tile's stores and calls */
#define TILE_PIXELS 14

typedef struct turns_plan {
    fnn_turns turns;
    int64_t n, lines, block, weights; /* floats of one vector's weights */
    size_t copies;
} turns_plan;

/* Of the groups' two channel counts, which are equal. */
static int64_t channels_of_group(const conv2d_problem *p) { return p->ic / p->groups; }

static int fits(const fnn_kernels *kernels, const conv2d_problem *p) {
    const int64_t c = channels_of_group(p);
    return kernels->vl >= 8 && p->groups > 1 && p->ic == p->oc && c > 1 && c <= kernels->vl && (c & (c - 1)) == 0 &&
           p->kw == KW && p->stride[0] * p->stride[1] == 1 && p->dilation[0] * p->dilation[1] == 1 && p->n > 0 &&
           p->oh > 0 && p->ow > 0 && p->ih > 0 && p->iw > 0;
}

static int forward_applies(const fnn_kernels *kernels, const conv2d_problem *p) {
    return fits(kernels, p) && !p->statistics && !p->in_affine && !p->in_activation;
}

/* Padding that turned filters would need must not be negative. */
static int gradient_applies(const fnn_kernels *kernels, const conv2d_problem *p) {
    return fits(kernels, p) && p->padding[0] < p->kh && p->padding[2] < KW;
}

/* dst_h x dst_w outputs. */
static double cost_of(const fnn_kernels *kernels, const conv2d_problem *p, int64_t dst_h, int64_t dst_w,
                      int64_t src) {
    const double lines = (double)(p->n * gemm_ceil_div(p->ic, kernels->vl) * dst_h);
    const double products = (double)(p->kh * KW * channels_of_group(p));
    const double tiles = (double)gemm_ceil_div(dst_w, TILE_PIXELS);
    const double share = channels_of_group(p) == kernels->vl ? WHOLE : TURN;
    return lines * ((double)dst_w * products / 2 / share + TILE * tiles + COPY * (double)src);
}

static double forward_cost(const fnn_kernels *kernels, const conv2d_problem *p) {
    return cost_of(kernels, p, p->oh, p->ow, p->iw);
}
static double gradient_cost(const fnn_kernels *kernels, const conv2d_problem *p) {
    return cost_of(kernels, p, p->ih, p->iw, p->ow);
}

static fnn_status make_plan(fnn_op *op, fnn_turns turns, int64_t lines) {
    const conv2d_problem *p = op->problem;
    const int64_t vl = op->k->vl;
    turns_plan *plan = op->plan = malloc(sizeof *plan);
    if (!plan) return fnn_fail(op, FNN_NO_MEMORY, "no memory for the plan");
    turns.channels = p->ic, turns.group = channels_of_group(p), turns.kh = p->kh;
    turns.vectors = gemm_ceil_div(p->ic, vl), turns.columns = turns.dst_w + KW - 1;
    turns.line = turns.columns * vl;
    const int64_t fit = BLOCK_FLOATS / (turns.line * turns.vectors) - (p->kh - 1);
    *plan = (turns_plan){.turns = turns, .n = p->n, .lines = lines, .weights = p->kh * KW * turns.group * vl};
    plan->block = gemm_max(1, gemm_min(lines, fit));
    plan->turns.vector = (plan->block + p->kh - 1) * turns.line;
    op->units = p->n * lines;
    op->scratch_shared = (size_t)(turns.vectors * plan->weights) * sizeof(float);
    op->scratch_thread = (size_t)(turns.vectors * plan->turns.vector) * sizeof(float);
    return FNN_OK;
}

static fnn_status forward_init(fnn_op *op) {
    const conv2d_problem *p = op->problem;
    const fnn_turns turns = {.src_h = p->ih,
                             .src_w = p->iw,
                             .dst_w = p->ow,
                             .top = p->padding[0],
                             .left = p->padding[2],
                             .accumulate = (int)p->accumulate,
                             .activation = (int)p->activation,
                             .slope = (float)p->slope};
    return make_plan(op, turns, p->oh);
}

static fnn_status gradient_init(fnn_op *op) {
    const conv2d_problem *p = op->problem;
    const fnn_turns turns = {.src_h = p->oh,
                             .src_w = p->ow,
                             .dst_w = p->iw,
                             .top = p->kh - 1 - p->padding[0],
                             .left = KW - 1 - p->padding[2],
                             .backward = 1};
    return make_plan(op, turns, p->ih);
}

/* Lines [i0, i1) of one image: the lines that they see are copied, then vector after vector is computed. What follows
 * them in memory is what the next block sees. */
static void run_block(const fnn_op *op, const fnn_turns *image, const float *src, const float *weights, int64_t i0,
                      int64_t i1, float *copies) {
    const turns_plan *plan = op->plan;
    const int64_t vl = op->k->vl, h0 = gemm_max(0, i0 - image->top);
    const int64_t h1 = gemm_min(image->src_h, i1 - image->top + image->kh - 1),
                  pixels = image->src_w * image->channels;
    const int64_t soon = image->ahead ? (i1 - i0) * pixels / FNN_LINE / image->vectors : 0;
    for (int64_t h = h0; h < h1; h++)
        op->k->conv_turns_copy(image, src + h * pixels, copies + (h - h0) * image->line);
    for (int64_t v = 0; v < image->vectors; v++) {
        fnn_turns s = *image;
        s.ahead = src + h1 * pixels + v * soon * FNN_LINE, s.ahead_lines = soon;
        s.y += v * vl;
        if (s.bias) s.bias += v * vl;
        if (s.residual) s.residual += v * vl;
        op->k->conv_turns(&s, copies + v * s.vector, h0, weights + v * plan->weights, i0, i1,
                          (int)gemm_min(vl, s.channels - v * vl));
    }
}

static void run_lines(const fnn_op *op, const fnn_turns *first, const float *src, const float *w, void *scratch,
                      const fnn_team *team) {
    const turns_plan *plan = op->plan;
    const int64_t vl = op->k->vl, dst = plan->lines * first->dst_w * first->channels;
    float *weights = scratch, *copies = fnn_thread_scratch(op, scratch, team->tid);
    int64_t lo, hi;
    fnn_share(first->vectors, team->tid, team->n, &lo, &hi);
    for (int64_t v = lo; v < hi; v++) op->k->conv_turns_weights(first, v * vl, w, weights + v * plan->weights);
    fnn_team_wait(team);
    fnn_share(plan->n * plan->lines, team->tid, team->n, &lo, &hi);
    for (int64_t u = lo, next; u < hi; u = next) {
        const int64_t i = u / plan->lines, start = i * plan->lines;
        next = gemm_min(gemm_min(hi, u + plan->block), start + plan->lines);
        fnn_turns image = *first;
        image.y += i * dst;
        image.ahead = next < hi ? src : NULL;
        if (image.residual) image.residual += i * dst;
        run_block(op, &image, src + i * image.src_h * image.src_w * image.channels, weights, u - start, next - start,
                  copies);
    }
}

static void forward_run(const fnn_op *op, void *const *buf, void *scratch, const fnn_team *team) {
    fnn_turns s = ((const turns_plan *)op->plan)->turns;
    s.y = buf[Y], s.bias = buf[BIAS], s.residual = buf[RESIDUAL];
    run_lines(op, &s, buf[X], buf[W], scratch, team);
}

static void gradient_run(const fnn_op *op, void *const *buf, void *scratch, const fnn_team *team) {
    fnn_turns s = ((const turns_plan *)op->plan)->turns;
    s.y = buf[2];
    run_lines(op, &s, buf[0], buf[1], scratch, team);
}

const conv2d_algorithm fnn_conv2d_turns = {"turns",      CONV2D_DIRECT, forward_applies,
                                           forward_cost, forward_init,  forward_run};
const conv2d_algorithm fnn_conv2d_turns_bwd_data = {"turns",       CONV2D_DIRECT, gradient_applies,
                                                    gradient_cost, gradient_init, gradient_run};
