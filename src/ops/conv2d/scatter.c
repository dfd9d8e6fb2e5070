/* Gradient for the input of a convolution with few input channels. As an implicit GEMM its columns would leave most
 * of a vector empty; here the products of dy's pixels with all taps, [pixels][taps * ic], are made a few lines at a
 * time and added to the pixels they belong to. Threads share bands of lines of dx, and compute what theirs need. */
#include <stdlib.h>
#include <string.h>

#include "algorithms.h"

#define BAND_LINES 32   /* of dx; the lines of dy at a band's edges are computed twice */
#define BLOCK_PIXELS 56 /* of dy whose products are held at once */
#define MOST_COLUMNS 512
#define SCATTER_EFFICIENCY 0.7 /* of the multiply-add rate */
#define SCATTER_RUN 5.0        /* cycles to add a run of products to a line of dx, */
#define SCATTER_ADD 3.0        /* and for each of its vectors */

typedef struct scatter_plan {
    conv2d_problem g;
    fnn_gather gather; /* output pixels are the grid, dx the source */
    int64_t columns, band, bands;
    size_t packed, rows, products; /* bytes of the parts of scratch */
    int32_t taps[];
} scatter_plan;

static int applies(const fnn_kernels *kernels, const conv2d_problem *g) {
    return g->groups == 1 && g->ic * 2 <= kernels->vl && g->kh * g->kw * g->ic <= MOST_COLUMNS &&
           g->oc <= GEMM_KC_MAX && g->kh * g->kw > 1;
}

static double cost(const fnn_kernels *kernels, const conv2d_problem *g) {
    const double pixels = (double)(g->n * g->oh * g->ow);
    const int64_t columns = g->kh * g->kw * g->ic;
    const int64_t span = g->dilation[1] == 1 ? g->kw : 1, runs = g->kh * g->kw / span;
    const double add = SCATTER_RUN + SCATTER_ADD * (double)gemm_ceil_div(span * g->ic, kernels->vl);
    return conv2d_tile_cycles(kernels, pixels, columns, (double)g->oc, SCATTER_EFFICIENCY) +
           pixels * (double)runs * add;
}

static fnn_status init(fnn_op *op) {
    const conv2d_problem *g = op->problem;
    const int64_t taps = g->kh * g->kw, nr = op->k->gemm_nr;
    scatter_plan *plan = op->plan = malloc(sizeof *plan + (size_t)(2 * taps) * sizeof(int32_t));
    if (!plan) return fnn_fail(op, FNN_NO_MEMORY, "no memory for %lld taps", (long long)taps);
    plan->g = *g;
    plan->gather = fnn_conv2d_gather(g, 1, plan->taps, plan->taps + taps);
    plan->columns = taps * g->ic;
    plan->bands = gemm_max(1, g->ih / BAND_LINES);
    plan->band = gemm_ceil_div(g->ih, plan->bands);
    plan->packed = fnn_round_up((size_t)(gemm_ceil_div(plan->columns, nr) * nr * g->oc) * sizeof(float));
    plan->rows = fnn_round_up(BLOCK_PIXELS * sizeof(int64_t));
    plan->products = fnn_round_up((size_t)(BLOCK_PIXELS * plan->columns) * sizeof(float));
    op->units = g->n * plan->bands;
    op->scratch_shared = plan->packed + (size_t)(plan->columns * g->oc) * sizeof(float);
    op->scratch_thread = plan->rows + plan->products + (size_t)((BLOCK_PIXELS + 64) * g->oc + 64) * sizeof(float);
    return FNN_OK;
}

/* w as [oc][tap, ic], and from that as panels. */
static void pack_filters(const fnn_op *op, const float *w, float *packed, float *turned, const fnn_team *team) {
    const scatter_plan *plan = op->plan;
    const conv2d_problem *g = &plan->g;
    const int64_t taps = g->kh * g->kw, n = plan->columns, nr = op->k->gemm_nr;
    int64_t lo, hi;
    fnn_share(g->oc, team->tid, team->n, &lo, &hi);
    for (int64_t o = lo; o < hi; o++)
        for (int64_t t = 0; t < taps; t++)
            for (int64_t c = 0; c < g->ic; c++) turned[o * n + t * g->ic + c] = w[(o * g->ic + c) * taps + t];
    fnn_team_wait(team);
    fnn_share(gemm_ceil_div(n, nr), team->tid, team->n, &lo, &hi);
    if (lo < hi)
        op->k->pack_columns(packed + lo * nr * g->oc, turned + lo * nr, n, 1, gemm_min(n, hi * nr) - lo * nr, g->oc);
    fnn_team_wait(team);
}

/* Lines [h0, h1) of one image of dx. */
static void fill_band(const fnn_op *op, const float *dy, const float *packed, int64_t h0, int64_t h1, float *dx,
                      char *mine) {
    const scatter_plan *plan = op->plan;
    const conv2d_problem *g = &plan->g;
    int64_t *rows = (int64_t *)mine;
    float *products = (float *)(mine + plan->rows), *a = (float *)(mine + plan->rows + plan->products);
    const int64_t top = g->padding[0], reach = (g->kh - 1) * g->dilation[0];
    const int64_t first = gemm_max(0, gemm_ceil_div(gemm_max(0, h0 + top - reach), g->stride[0]));
    const int64_t last = gemm_min(g->oh, (h1 - 1 + top) / g->stride[0] + 1);
    memset(dx + h0 * g->iw * g->ic, 0, (size_t)((h1 - h0) * g->iw * g->ic) * sizeof(float));
    for (int64_t i = 0; i < BLOCK_PIXELS; i++) rows[i] = i * plan->columns;
    fnn_gemm_block b = {.n = plan->columns,
                        .k = g->oc,
                        .a = a,
                        .b = packed,
                        .b_panel = op->k->gemm_nr * g->oc,
                        .c = products,
                        .rows = rows,
                        .last = 1};
    for (int64_t i = first * g->ow; i < last * g->ow; i += BLOCK_PIXELS) {
        b.m = gemm_min(BLOCK_PIXELS, last * g->ow - i);
        op->k->pack_rows(a, dy + i * g->oc, g->oc, 1, b.m, g->oc);
        op->k->gemm_block(&b);
        op->k->conv_scatter(&plan->gather, products, i, b.m, h0, h1, dx);
    }
}

static void run(const fnn_op *op, void *const *buf, void *scratch, const fnn_team *team) {
    const float *dy = buf[0];
    float *dx = buf[2];
    const scatter_plan *plan = op->plan;
    const conv2d_problem *g = &plan->g;
    float *packed = scratch;
    pack_filters(op, buf[1], packed, (float *)((char *)scratch + plan->packed), team);
    int64_t lo, hi;
    fnn_share(op->units, team->tid, team->n, &lo, &hi);
    for (int64_t u = lo; u < hi; u++) {
        const int64_t image = u / plan->bands, h0 = u % plan->bands * plan->band;
        if (h0 >= g->ih) continue;
        fill_band(op, dy + image * g->oh * g->ow * g->oc, packed, h0, gemm_min(g->ih, h0 + plan->band),
                  dx + image * g->ih * g->iw * g->ic, fnn_thread_scratch(op, scratch, team->tid));
    }
}

const conv2d_algorithm fnn_conv2d_scatter_bwd_data = {"scatter", CONV2D_DIRECT, applies, cost, init, run};
