/* Convolution, forward, of few output pixels and many weights: packing those would take longer than the products. So
 * what each pixel sees is copied into a row of the weights' own order (ic, kh, kw), and y = rows w^T is a linear layer
 * of a narrow batch, which reads its weights once, where they are. */
#include <stdlib.h>
#include <string.h>

#include "algorithms.h"

#define FLOATS ((int64_t)320 << 10) /* most of the rows: packed, they stay in the second-level cache */
#define FEW_PIXELS 7                /* most that are summed along k, for vectors of 16 */
#define FEW_UNIT 16                 /* output channels: a cache line of y */
#define GATHER 1.0                  /* cycles a gathered value */
#define PACK 0.3                    /* cycles a packed one */
#define WEIGHT 0.2                  /* cycles a weight beside its products ... */
#define COLD 1.2                    /* ... and one that is waited for: the least, with all products */
#define STORE 1.0                   /* cycles an output */
#define DOT 5.0                     /* cycles a sum along k takes at its end */
#define EFFICIENCY 0.8
#define DOT_EFFICIENCY 0.6

typedef struct patches_plan {
    gemm_plan gemm;
    int few, pointwise;
    size_t rows_at; /* of the rows in scratch */
} patches_plan;

static int64_t pixels_of(const conv2d_problem *p) { return p->n * p->oh * p->ow; }
static int64_t filter_of(const conv2d_problem *p) { return p->ic * p->kh * p->kw; }

/* Sums along k, nothing packed at all. */
static int is_few(const fnn_kernels *kernels, const conv2d_problem *p) {
    return pixels_of(p) <= FEW_PIXELS * kernels->vl / 16;
}

static int applies(const fnn_kernels *kernels, const conv2d_problem *p) {
    const int64_t pixels = pixels_of(p), nr = kernels->gemm_nr;
    if (p->groups != 1 || p->statistics || p->in_affine || p->in_activation || pixels == 0 || p->ic == 0) return 0;
    return p->oc >= FEW_UNIT && filter_of(p) >= FEW_UNIT && gemm_ceil_div(pixels, nr) * nr * filter_of(p) <= FLOATS;
}

static double cost(const fnn_kernels *kernels, const conv2d_problem *p) {
    const double rows = (double)pixels_of(p), k = (double)filter_of(p), oc = (double)p->oc;
    const double gather = (conv2d_is_pointwise(p) ? 0.0 : GATHER) * rows * k + STORE * rows * oc;
    const double products = is_few(kernels, p)
                                ? DOT * rows * oc + conv2d_tile_cycles(kernels, rows, p->oc, k, DOT_EFFICIENCY)
                                : PACK * rows * k + conv2d_tile_cycles(kernels, oc, pixels_of(p), k, EFFICIENCY);
    const double near = products + WEIGHT * oc * k, cold = COLD * oc * k;
    return gather + (near > cold ? near : cold);
}

static fnn_status init(fnn_op *op) {
    const conv2d_problem *p = op->problem;
    patches_plan *plan = op->plan = malloc(sizeof *plan);
    if (!plan) return fnn_fail(op, FNN_NO_MEMORY, "no memory for the plan");
    *plan = (patches_plan){.few = is_few(op->k, p), .pointwise = conv2d_is_pointwise(p)};
    if (plan->few) {
        op->units = gemm_ceil_div(p->oc, FEW_UNIT);
    } else {
        fnn_gemm_plan_filters(&plan->gemm, op->k, p->oc, pixels_of(p), filter_of(p));
        op->units = fnn_gemm_units(&plan->gemm);
        op->scratch_shared = fnn_round_up(fnn_gemm_shared_bytes(&plan->gemm));
        op->scratch_thread = fnn_gemm_thread_bytes(&plan->gemm);
    }
    plan->rows_at = op->scratch_shared;
    if (!plan->pointwise) op->scratch_shared += (size_t)(pixels_of(p) * filter_of(p)) * sizeof(float);
    return FNN_OK;
}

/* One output pixel's row: all channels of a tap, then the next tap; zeros where the map ends. */
static void gather_row(const conv2d_problem *p, const float *x, int64_t pixel, float *row) {
    const int64_t ow = pixel % p->ow, oh = pixel / p->ow % p->oh, image = pixel / p->ow / p->oh, taps = p->kh * p->kw;
    for (int64_t t = 0; t < taps; t++) {
        const int64_t h = oh * p->stride[0] - p->padding[0] + t / p->kw * p->dilation[0];
        const int64_t w = ow * p->stride[1] - p->padding[2] + t % p->kw * p->dilation[1];
        const int inside = h >= 0 && h < p->ih && w >= 0 && w < p->iw;
        const float *from = inside ? x + ((image * p->ih + h) * p->iw + w) * p->ic : NULL;
        for (int64_t c = 0; c < p->ic; c++) row[c * taps + t] = from ? from[c] : 0.0f;
    }
}

static void gather(const conv2d_problem *p, const float *x, float *rows, const fnn_team *team) {
    int64_t lo, hi;
    fnn_share(pixels_of(p), team->tid, team->n, &lo, &hi);
    for (int64_t i = lo; i < hi; i++) gather_row(p, x, i, rows + i * filter_of(p));
    fnn_team_wait(team);
}

/* This thread's output channels of few rows. */
static void run_few(const fnn_op *op, void *const *buf, const float *rows, const fnn_team *team) {
    const conv2d_problem *p = op->problem;
    const int64_t k = filter_of(p);
    int64_t to[FNN_FEW_ROWS], lo, hi;
    for (int64_t i = 0; i < pixels_of(p); i++) to[i] = i * p->oc;
    fnn_share(op->units, team->tid, team->n, &lo, &hi);
    lo *= FEW_UNIT, hi = gemm_min(hi * FEW_UNIT, p->oc);
    if (lo >= hi) return;
    const fnn_gemm_block g = {.m = pixels_of(p),
                              .n = hi - lo,
                              .k = k,
                              .a = rows,
                              .a_row = k,
                              .b = (const float *)buf[W] + lo * k,
                              .b_row = k,
                              .c = (float *)buf[Y] + lo,
                              .rows = to,
                              .add_c = (int)p->accumulate,
                              .last = 1,
                              .bias = buf[BIAS] ? (const float *)buf[BIAS] + lo : NULL,
                              .residual = buf[RESIDUAL] ? (const float *)buf[RESIDUAL] + lo : NULL,
                              .activation = (int)p->activation,
                              .slope = (float)p->slope};
    op->k->gemm_few_nt(&g);
    for (int64_t i = 0; p->activation == FNN_ACT_SILU && i < g.m; i++)
        op->k->elt_silu(g.n, g.c + to[i], g.c + to[i], 0, 0, 0);
}

static void run(const fnn_op *op, void *const *buf, void *scratch, const fnn_team *team) {
    const conv2d_problem *p = op->problem;
    const patches_plan *plan = op->plan;
    const int64_t k = filter_of(p);
    float *rows = plan->pointwise ? buf[X] : (void *)((char *)scratch + plan->rows_at);
    if (!plan->pointwise) gather(p, buf[X], rows, team);
    if (plan->few) {
        run_few(op, buf, rows, team);
        return;
    }
    const gemm_call call = {.plan = &plan->gemm,
                            .kernels = op->k,
                            .a = {.pack = fnn_gemm_pack_strided_a, .data = buf[W], .stride = k, .k_stride = 1},
                            .b = {.pack = fnn_gemm_pack_strided_b, .data = rows, .stride = k, .k_stride = 1},
                            .c = buf[Y],
                            .turned_row = p->oc,
                            .rows = gemm_plain_rows(pixels_of(p)),
                            .accumulate = (int)p->accumulate,
                            .bias = buf[BIAS],
                            .residual = buf[RESIDUAL],
                            .activation = (int)p->activation,
                            .slope = (float)p->slope};
    fnn_gemm_run(op, &call, scratch, team);
}

const conv2d_algorithm fnn_conv2d_patches = {"patches", CONV2D_DIRECT, applies, cost, init, run};
