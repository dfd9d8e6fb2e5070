/* Gradient of the weights of narrow groups (kernels/conv_weights_groups.h). A unit is a vector of channels in one
 * chunk of blocks of lines; chunks are fixed by shape and have sums of their own. */
#include <stdlib.h>

#include "algorithms.h"

#define BLOCK_FLOATS ((int64_t)48 << 10) /* of dy that are copied at once, at least a line */
#define COPY_FLOATS ((int64_t)4 << 20)   /* most that copies may take */
#define ENOUGH_UNITS 16
#define LEAST_CHUNKS 4 /* threads that take whole chunks read whole pixels */
#define MOST_TAPS 64
#define EFFICIENCY 0.6 /* of the multiply-add rate */
#define COPY 2.0       /* cycles a copied vector */

typedef struct groups_plan {
    int64_t vectors, blocks_per_image, blocks, chunks;
    int64_t sums; /* floats of a vector's */
} groups_plan;

static int64_t lines_met(const conv2d_problem *g, int64_t lines) {
    return (lines - 1) * g->stride[0] + (g->kh - 1) * g->dilation[0] + 1;
}

static int64_t block_lines(const conv2d_problem *g) {
    const int64_t most = gemm_max(1, BLOCK_FLOATS / (g->ow * g->ic));
    return gemm_ceil_div(g->oh, gemm_ceil_div(g->oh, most));
}

/* Floats of a block's copies. */
static int64_t copy_floats(const fnn_kernels *k, const conv2d_problem *g) {
    const int64_t lines = block_lines(g), width = (g->ow - 1) * g->stride[1] + (g->kw - 1) * g->dilation[1] + 1;
    return (lines_met(g, lines) * width + lines * g->ow) * gemm_ceil_div(g->ic, k->vl) * k->vl;
}

static int applies(const fnn_kernels *k, const conv2d_problem *g) {
    const int64_t group = g->ic / g->groups;
    return g->n > 0 && g->oh * g->ow > 0 && group == g->oc / g->groups && group >= 2 && group <= k->vl &&
           k->vl % group == 0 && g->kh * g->kw <= MOST_TAPS && copy_floats(k, g) <= COPY_FLOATS;
}

static double cost(const fnn_kernels *k, const conv2d_problem *g) {
    const int64_t lines = block_lines(g), group = g->ic / g->groups;
    const double copied = 1 + (double)(lines_met(g, lines) * g->iw) / (double)(lines * g->ow);
    return (double)(g->n * g->oh * g->ow * gemm_ceil_div(g->ic, k->vl)) *
           ((double)(g->kh * g->kw * group) / 2 / EFFICIENCY + COPY * copied);
}

static fnn_status init(fnn_op *op) {
    const conv2d_problem *g = op->problem;
    groups_plan *p = op->plan = malloc(sizeof *p);
    if (!p) return fnn_fail(op, FNN_NO_MEMORY, "no memory for a plan");
    *p = (groups_plan){.vectors = gemm_ceil_div(g->ic, op->k->vl)};
    p->blocks_per_image = gemm_ceil_div(g->oh, block_lines(g));
    p->blocks = g->n * p->blocks_per_image;
    p->chunks = gemm_min(p->blocks, gemm_max(LEAST_CHUNKS, gemm_ceil_div(ENOUGH_UNITS, p->vectors)));
    p->sums = g->ic / g->groups * g->kh * g->kw * op->k->vl;
    op->units = p->chunks * p->vectors;
    op->scratch_shared = (size_t)(op->units * p->sums) * sizeof(float);
    op->scratch_thread = (size_t)copy_floats(op->k, g) * sizeof(float);
    return FNN_OK;
}

/* Lines of dy of an image. */
typedef struct groups_block {
    int64_t image, first, lines;
} groups_block;

static groups_block block_at(const groups_plan *p, const conv2d_problem *g, int64_t b) {
    const int64_t i = b % p->blocks_per_image, first = g->oh * i / p->blocks_per_image;
    return (groups_block){b / p->blocks_per_image, first, g->oh * (i + 1) / p->blocks_per_image - first};
}

/* While a block is computed: what the next one adds, in the order of memory. */
static void look_ahead(const conv2d_problem *g, const groups_block *s, const float *dy, const float *x,
                       int64_t pixels, fnn_weights_groups *t) {
    const int64_t new = g->stride[0] * s->lines, above = lines_met(g, s->lines) - new - g->padding[0];
    const int64_t h0 = gemm_max(0, gemm_min(g->ih, s->first * g->stride[0] + (s->first > 0 ? above : 0)));
    const int64_t h1 = gemm_max(h0, gemm_min(g->ih, s->first * g->stride[0] + above + new));
    const int64_t floats[] = {s->lines * g->ow * g->ic, (h1 - h0) * g->iw * g->ic};
    const int64_t step = gemm_min(FNN_LINE, gemm_ceil_div(floats[0] + floats[1], gemm_max(1, pixels)));
    t->ahead[0].from = dy + (s->image * g->oh + s->first) * g->ow * g->ic;
    t->ahead[1].from = x + (s->image * g->ih + h0) * g->iw * g->ic;
    for (int i = 0; i < 2; i++) t->ahead[i].step = step, t->ahead[i].pairs = floats[i] / step;
}

/* Vectors [v0, v1) of a chunk. */
static void sum_chunk(const fnn_op *op, void *const *buf, int64_t chunk, int64_t v0, int64_t v1, float *sums,
                      float *scratch) {
    const groups_plan *p = op->plan;
    const conv2d_problem *g = op->problem;
    const int64_t b0 = p->blocks * chunk / p->chunks, b1 = p->blocks * (chunk + 1) / p->chunks, vl = op->k->vl;
    const int64_t tiles = gemm_ceil_div(g->kh, 3) * gemm_ceil_div(g->kw, 3) * (g->ic / g->groups) / 2 * (v1 - v0);
    const float *dy = buf[0], *x = buf[1];
    fnn_weights_groups t = {.group = g->ic / g->groups,
                            .channels = g->ic,
                            .kh = g->kh,
                            .kw = g->kw,
                            .stride = {g->stride[0], g->stride[1]},
                            .dilation = {g->dilation[0], g->dilation[1]},
                            .ih = g->ih,
                            .iw = g->iw,
                            .left = g->padding[2],
                            .ow = g->ow,
                            .vectors = v1 - v0,
                            .lanes = (int)(gemm_min(g->ic, v1 * vl) - (v1 - 1) * vl)};
    for (int64_t b = b0; b < b1; b++) {
        const groups_block s = block_at(p, g, b), next = block_at(p, g, gemm_min(b + 1, p->blocks - 1));
        t.lines = s.lines;
        t.h0 = s.first * g->stride[0] - g->padding[0];
        t.dy = dy + (s.image * g->oh + s.first) * g->ow * g->ic + v0 * vl;
        t.x = x + s.image * g->ih * g->iw * g->ic + v0 * vl;
        if (b + 1 < b1) look_ahead(g, &next, dy, x, tiles * s.lines * g->ow, &t);
        op->k->weights_groups(&t, b > b0, sums + (chunk * p->vectors + v0) * p->sums, scratch);
    }
}

static void run(const fnn_op *op, void *const *buf, void *scratch, const fnn_team *team) {
    const groups_plan *p = op->plan;
    const conv2d_problem *g = op->problem;
    const int64_t vl = op->k->vl, group = g->ic / g->groups, taps = g->kh * g->kw;
    float *sums = scratch, *dw = buf[2];
    int64_t lo, hi;
    fnn_share(p->chunks * p->vectors, team->tid, team->n, &lo, &hi);
    for (int64_t u = lo, next; u < hi; u = next) {
        const int64_t chunk = u / p->vectors, start = chunk * p->vectors;
        next = gemm_min(hi, start + p->vectors);
        sum_chunk(op, buf, chunk, u - start, next - start, sums, fnn_thread_scratch(op, scratch, team->tid));
    }
    fnn_team_wait(team);
    fnn_share(p->vectors, team->tid, team->n, &lo, &hi);
    for (int64_t v = lo; v < hi; v++)
        op->k->weights_groups_turn(group, taps, gemm_min(vl, g->ic - v * vl), sums + v * p->sums, p->chunks,
                                   p->vectors * p->sums, dw + v * vl * group * taps);
}

const conv2d_algorithm fnn_conv2d_groups_bwd_weights = {"groups", CONV2D_DIRECT, applies, cost, init, run};
