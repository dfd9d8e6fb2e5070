/* Gradient for the input of a convolution with few input channels. As an implicit GEMM its columns would leave most
 * of a vector empty; here the products of dy's pixels with a line of taps, [pixels][taps of the line * ic], are made
 * a few lines at a time and added to the line of dx they belong to. Products of neighbouring pixels overlap there, so
 * pixels are dealt to several buffers in turn, in each of which they lie as far apart as in dx and do not overlap:
 * what is added to dx is the sum of these buffers, vector by vector. Threads share bands of lines of dx, and compute
 * what theirs need. */
#include <stdlib.h>
#include <string.h>

#include "algorithms.h"

#define BAND_LINES 32   /* of dx; the lines of dy at a band's edges are computed twice */
#define BLOCK_PIXELS 56 /* of dy whose products are held at once */
#define HELD 2          /* lines of taps: stores of the first leave the core before they are read */
#define MOST_COLUMNS 512
#define SCATTER_EFFICIENCY 0.7 /* of the multiply-add rate */
#define SCATTER_RUN 20.0       /* cycles to add a line's products to dx, */
#define SCATTER_ADD 1.0        /* and for each vector of each buffer */

typedef struct scatter_plan {
    conv2d_problem g;
    fnn_gather gather;               /* output pixels are the grid, dx the source */
    int64_t tap_floats;              /* of the panels of a line of taps */
    int64_t buffers, step, pitch;    /* buffers; floats from a pixel to the next in dx; from a buffer to the next */
    int64_t lines, segments, pixels; /* lines of a block, or segments of a line; most pixels of a segment */
    int64_t band, bands;
    size_t rows; /* bytes of that part of scratch */
    int32_t taps[];
} scatter_plan;

static int applies(const fnn_kernels *kernels, const conv2d_problem *g) {
    return g->groups == 1 && g->ic * 2 <= kernels->vl && g->kh * g->kw * g->ic <= MOST_COLUMNS &&
           g->oc <= GEMM_KC_MAX && g->kh * g->kw > 1;
}

static int64_t buffers_of(const conv2d_problem *g, int64_t span) { return gemm_ceil_div(span, g->stride[1]); }

static double cost(const fnn_kernels *kernels, const conv2d_problem *g) {
    const double pixels = (double)(g->n * g->oh * g->ow), lines = (double)(g->n * g->oh);
    const int64_t span = g->dilation[1] == 1 ? g->kw : 1, runs = g->kh * g->kw / span;
    const int64_t whole = gemm_ceil_div(span * g->ic, kernels->vl) * kernels->vl;
    const int64_t vectors = gemm_ceil_div(((g->ow - 1) * g->stride[1] + span) * g->ic, kernels->vl);
    const double add = SCATTER_RUN + SCATTER_ADD * (double)(vectors * (2 + buffers_of(g, span)));
    return conv2d_tile_cycles(kernels, pixels, runs * whole, (double)g->oc, SCATTER_EFFICIENCY) +
           lines * (double)runs * add;
}

static fnn_status init(fnn_op *op) {
    const conv2d_problem *g = op->problem;
    const int64_t taps = g->kh * g->kw, nr = op->k->gemm_nr;
    scatter_plan *plan = op->plan = malloc(sizeof *plan + (size_t)(2 * taps) * sizeof(int32_t));
    if (!plan) return fnn_fail(op, FNN_NO_MEMORY, "no memory for %lld taps", (long long)taps);
    plan->g = *g;
    plan->gather = fnn_conv2d_gather(g, 1, plan->taps, plan->taps + taps);
    plan->tap_floats = gemm_ceil_div(plan->gather.run, nr) * nr * g->oc;
    plan->segments = gemm_max(1, gemm_ceil_div(g->ow, BLOCK_PIXELS));
    plan->pixels = gemm_max(1, gemm_ceil_div(g->ow, plan->segments));
    plan->lines = gemm_max(1, gemm_min(g->oh, BLOCK_PIXELS / plan->pixels));
    plan->buffers = buffers_of(g, plan->gather.span), plan->step = g->stride[1] * g->ic;
    /* What a vector of dx meets before a buffer's first pixel and after its last one is zero. */
    const int64_t length = (plan->pixels - 1) * plan->step + plan->gather.run;
    plan->pitch = gemm_ceil_div((plan->buffers - 1) * plan->step + length + op->k->vl, FNN_LINE) * FNN_LINE;
    plan->bands = gemm_max(1, g->ih / BAND_LINES);
    plan->band = gemm_ceil_div(g->ih, plan->bands);
    plan->rows = fnn_round_up(BLOCK_PIXELS * sizeof(int64_t));
    op->units = g->n * plan->bands;
    op->scratch_shared = (size_t)(plan->gather.n_taps * plan->tap_floats) * sizeof(float);
    op->scratch_thread = plan->rows + (size_t)(HELD * plan->lines * plan->buffers * plan->pitch) * sizeof(float);
    return FNN_OK;
}

/* w into panels of [oc][columns], a line of taps after the other; its columns are (kw, ic). */
static void pack_filters(const fnn_op *op, const float *w, float *packed, const fnn_team *team) {
    const scatter_plan *plan = op->plan;
    const conv2d_problem *g = &plan->g;
    const int64_t taps = g->kh * g->kw, nr = op->k->gemm_nr, vl = op->k->vl, run = plan->gather.run;
    int64_t lo, hi;
    fnn_share(plan->gather.n_taps, team->tid, team->n, &lo, &hi);
    for (int64_t t = lo; t < hi; t++) {
        const float *tap = w + t * plan->gather.span;
        int64_t c = 0;
        for (int64_t first = 0; first < run; first += nr) {
            const int64_t columns = gemm_min(nr, run - first), width = gemm_ceil_div(columns, vl) * vl;
            float *panel = packed + t * plan->tap_floats + first * g->oc;
            for (int64_t e = 0; e < columns; e++) {
                for (int64_t o = 0; o < g->oc; o++) panel[o * width + e] = tap[(o * g->ic + c) * taps];
                if (++c == g->ic) c = 0, tap++;
            }
        }
    }
    fnn_team_wait(team);
}

/* Where the products of a block's pixels go: lines of `pixels` each. All else in the buffers is zero. */
static void deal_rows(const scatter_plan *plan, int64_t pixels, int64_t *rows, float *products) {
    const int64_t line = plan->buffers * plan->pitch, front = (plan->buffers - 1) * plan->step;
    memset(products, 0, (size_t)(HELD * plan->lines * line) * sizeof(float));
    for (int64_t i = 0; i < plan->lines; i++)
        for (int64_t j = 0; j < pixels; j++)
            rows[i * pixels + j] = i * line + front + j % plan->buffers * (plan->pitch - plan->step) + j * plan->step;
}

/* Products of `lines` lines (or a part of one) of dy from (i, j) on with a line of taps, to lines [h0, h1) of dx. */
static void add_products(const fnn_op *op, const float *products, int64_t t, int64_t i, int64_t lines, int64_t j,
                         int64_t pixels, int64_t h0, int64_t h1, float *dx) {
    const scatter_plan *plan = op->plan;
    const fnn_gather *at = &plan->gather;
    const int64_t first = (j * at->step_w + at->tap_w[t]) * at->pixel, line = at->src_w * at->pixel;
    const int64_t lo = gemm_max(0, first), hi = gemm_min(line, first + (pixels - 1) * plan->step + at->run);
    const float *from = products + (plan->buffers - 1) * plan->step + lo - first;
    for (int64_t q = 0; q < lines && lo < hi; q++, from += plan->buffers * plan->pitch) {
        const int64_t h = (i + q) * at->step_h + at->tap_h[t];
        if (h >= h0 && h < h1)
            op->k->conv_scatter(dx + h * line + lo, from, plan->buffers, plan->pitch - plan->step, hi - lo);
    }
}

/* Lines [h0, h1) of one image of dx. */
static void fill_band(const fnn_op *op, const float *dy, const float *packed, int64_t h0, int64_t h1, float *dx,
                      int64_t *dealt, char *mine) {
    const scatter_plan *plan = op->plan;
    const conv2d_problem *g = &plan->g;
    int64_t *rows = (int64_t *)mine;
    float *products = (float *)(mine + plan->rows);
    const int64_t taps = plan->gather.n_taps, held = plan->lines * plan->buffers * plan->pitch;
    const int64_t top = g->padding[0], reach = (g->kh - 1) * g->dilation[0];
    const int64_t first = gemm_max(0, gemm_ceil_div(gemm_max(0, h0 + top - reach), g->stride[0]));
    const int64_t last = gemm_min(g->oh, (h1 - 1 + top) / g->stride[0] + 1);
    memset(dx + h0 * g->iw * g->ic, 0, (size_t)((h1 - h0) * g->iw * g->ic) * sizeof(float));
    fnn_gemm_block b = {.n = plan->gather.run,
                        .k = g->oc,
                        .a_row = g->oc,
                        .b_panel = op->k->gemm_nr * g->oc,
                        .rows = rows,
                        .last = 1};
    for (int64_t i = first; i < last; i += plan->lines)
        for (int64_t j = 0; j < g->ow; j += plan->pixels) {
            const int64_t lines = gemm_min(plan->lines, last - i), pixels = gemm_min(plan->pixels, g->ow - j);
            if (*dealt != pixels) deal_rows(plan, pixels, rows, products);
            *dealt = pixels;
            b.m = lines * pixels, b.a = dy + (i * g->ow + j) * g->oc;
            for (int64_t t = 0; t <= taps; t++) {
                b.b = packed + t * plan->tap_floats, b.c = products + t % HELD * held;
                if (t < taps) op->k->gemm_block(&b);
                if (t > 0) add_products(op, products + (t - 1) % HELD * held, t - 1, i, lines, j, pixels, h0, h1, dx);
            }
        }
}

static void run(const fnn_op *op, void *const *buf, void *scratch, const fnn_team *team) {
    const float *dy = buf[0];
    float *dx = buf[2];
    const scatter_plan *plan = op->plan;
    const conv2d_problem *g = &plan->g;
    pack_filters(op, buf[1], scratch, team);
    int64_t lo, hi, dealt = 0;
    fnn_share(op->units, team->tid, team->n, &lo, &hi);
    for (int64_t u = lo; u < hi; u++) {
        const int64_t image = u / plan->bands, h0 = u % plan->bands * plan->band;
        if (h0 >= g->ih) continue;
        fill_band(op, dy + image * g->oh * g->ow * g->oc, scratch, h0, gemm_min(g->ih, h0 + plan->band),
                  dx + image * g->ih * g->iw * g->ic, &dealt, fnn_thread_scratch(op, scratch, team->tid));
    }
}

const conv2d_algorithm fnn_conv2d_scatter_bwd_data = {"scatter", CONV2D_DIRECT, applies, cost, init, run};
