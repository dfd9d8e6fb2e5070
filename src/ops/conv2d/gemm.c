/* Convolution, forward: an implicit GEMM whose rows are output pixels, gathered tap by tap from x; k runs over
 * (kh, kw, ic), the columns are output channels. The epilogue is applied to each tile of y before it leaves. */
#include <stdlib.h>

#include "../gemm_tiles.h"
#include "algorithms.h"

#define FINISH 0.12     /* cycles a value of the prologue */
#define STRIDED_LINE 14 /* fewest pixels of a line that are worth a block of rows */

typedef struct conv2d_plan {
    gemm_plan gemm;
    fnn_gather gather;
    int pointwise; /* 1x1 without padding or prologue: A's rows lie in x */
    fnn_strip_weights filters;
    int32_t *taps;   /* tap_h, then tap_w: kh * kw of each */
    int64_t place[]; /* in k of each tap's channels */
} conv2d_plan;

static int applies(const fnn_kernels *kernels, const conv2d_problem *p) {
    (void)kernels, (void)p;
    return 1;
}

/* Output pixels are pixels of x: all of them, or those of each so many lines. */
static int is_pointwise(const conv2d_problem *p) {
    const int lines = p->kh == 1 && p->kw == 1 && p->padding[0] == 0 && p->padding[2] == 0 && p->ow >= STRIDED_LINE &&
                      p->ih == p->oh * p->stride[0] && (p->ow - 1) * p->stride[1] < p->iw;
    return conv2d_is_pointwise(p) || lines;
}

/* Pixels and filters lie along their channels. */
static const gemm_order along = {1, 1};

static int on_tiles(const fnn_kernels *kernels, const conv2d_problem *p) {
    return is_pointwise(p) && !p->statistics &&
           fnn_gemm_takes_tiles(kernels, along, p->n * p->oh * p->ow, p->oc / p->groups, p->ic / p->groups);
}

static double cost(const fnn_kernels *kernels, const conv2d_problem *p) {
    const double pixels = (double)(p->n * p->oh * p->ow), k = (double)(p->ic / p->groups * p->kh * p->kw);
    const int64_t columns = p->oc / p->groups;
    const double pack = CONV2D_GEMM_WEIGHT * k * (double)columns;
    if (on_tiles(kernels, p))
        return (double)p->groups * fnn_gemm_tile_cycles(kernels, along, (int64_t)pixels, columns, (int64_t)k);
    if (is_pointwise(p) && fnn_gemm_group(kernels, (int64_t)pixels, columns, (int64_t)k))
        return (double)p->groups *
               (pack + conv2d_tile_cycles(kernels, pixels, columns, k, CONV2D_GEMM_ROWS_EFFICIENCY) +
                (p->in_affine || p->in_activation ? FINISH * pixels * k : 0.0));
    return (double)p->groups * (pack + conv2d_tile_cycles(kernels, pixels, columns, k, CONV2D_GEMM_EFFICIENCY) +
                                conv2d_gather_cycles(p->ic / p->groups) * pixels * k);
}

static fnn_status init(fnn_op *op) {
    const conv2d_problem *p = op->problem;
    const int prologue = p->in_affine || p->in_activation;
    const int64_t taps = p->kh * p->kw, filter = taps * (p->ic / p->groups);
    conv2d_plan *plan = op->plan = malloc(sizeof *plan + (size_t)taps * (sizeof(int64_t) + 2 * sizeof(int32_t)));
    if (!plan) return fnn_fail(op, FNN_NO_MEMORY, "no memory for %lld taps", (long long)taps);
    plan->taps = (int32_t *)(plan->place + taps);
    plan->pointwise = is_pointwise(p) && !prologue;
    plan->gather = fnn_conv2d_gather(p, !prologue, plan->taps, plan->taps + taps);
    plan->gather.prologue = prologue;
    plan->gather.activation = (int)p->in_activation, plan->gather.slope = (float)p->in_slope;
    for (int64_t t = 0; t < taps; t++) plan->place[t] = t * (p->ic / p->groups);
    plan->filters = (fnn_strip_weights){.taps = taps,
                                        .channels = p->ic / p->groups,
                                        .channel_stride = taps,
                                        .column_stride = filter,
                                        .place = plan->place};
    fnn_gemm_plan_init(&plan->gemm, op->k, p->statistics ? GEMM_STATISTICS : GEMM_SHARED, p->groups,
                       p->n * p->oh * p->ow, p->oc / p->groups, filter);
    const int finished = prologue && is_pointwise(p); /* a tile of rows at a time */
    if (plan->pointwise || finished) fnn_gemm_plan_rows(&plan->gemm, op->k);
    if (!plan->gemm.group) plan->pointwise &= conv2d_is_pointwise(p); /* else rows are packed across lines */
    if (plan->gemm.group && finished) plan->pointwise = 1;
    if (on_tiles(op->k, p)) plan->pointwise = fnn_gemm_plan_tiles(&plan->gemm, op->k, along);
    if (plan->gemm.tiles) op->algorithm = "gemm-tiles";
    op->units = fnn_gemm_units(&plan->gemm);
    op->scratch_shared = fnn_gemm_shared_bytes(&plan->gemm);
    op->scratch_thread = fnn_gemm_thread_bytes(&plan->gemm);
    return FNN_OK;
}

static void run(const fnn_op *op, void *const *buf, void *scratch, const fnn_team *team) {
    const conv2d_problem *p = op->problem;
    const conv2d_plan *plan = op->plan;
    const int64_t icg = p->ic / p->groups, ocg = p->oc / p->groups, taps = p->kh * p->kw;
    fnn_gather gather = plan->gather;
    gather.scale = buf[IN_SCALE], gather.shift = buf[IN_SHIFT];
    gemm_source a = {.pack = fnn_gemm_pack_gather_a, .data = buf[X], .batch_stride = icg, .gather = &gather};
    a.stride = p->stride[1] * p->ic, a.k_stride = 1;
    if (plan->pointwise) {
        a.pack = fnn_gemm_pack_strided_a, a.finished = gather.prologue;
        if (!conv2d_is_pointwise(p)) a.line_rows = p->ow, a.line_stride = p->stride[0] * p->iw * p->ic;
    }
    gemm_source b = {.pack = fnn_gemm_pack_filters_b,
                     .data = buf[W],
                     .batch_stride = ocg * icg * taps,
                     .stride = icg * taps,
                     .k_stride = 1,
                     .filters = &plan->filters};
    if (taps == 1) b.pack = fnn_gemm_pack_strided_b;
    const gemm_call call = {.plan = &plan->gemm,
                            .kernels = op->k,
                            .a = a,
                            .b = b,
                            .c = buf[Y],
                            .c_batch = ocg,
                            .rows = gemm_plain_rows(p->oc),
                            .accumulate = (int)p->accumulate,
                            .bias = buf[BIAS],
                            .residual = buf[RESIDUAL],
                            .activation = (int)p->activation,
                            .slope = (float)p->slope,
                            .statistics = p->statistics ? buf[STATISTICS] : NULL};
    fnn_gemm_run(op, &call, scratch, team);
}

const conv2d_algorithm fnn_conv2d_gemm = {"gemm", CONV2D_DIRECT, applies, cost, init, run};
