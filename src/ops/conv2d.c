/* Convolution, forward: an implicit GEMM whose rows are output pixels, gathered tap by tap from x; k runs over
 * (kh, kw, ic), the columns are output channels. The epilogue is applied to each tile of y before it leaves. */
#include <stdlib.h>

#include "conv2d_depthwise.h"

#define CONV2D_FIELDS(I, D, A, T)                                                                                    \
    CONV2D_GEOMETRY(I, D, A, T)                                                                                      \
    I(T, activation) D(T, slope) I(T, accumulate) I(T, statistics) I(T, in_affine) I(T, in_activation) D(T, in_slope)
FNN_PROBLEM(conv2d_problem, CONV2D_FIELDS)

/* What to do with y after and with x before; in_affine: in_scale and in_shift are given, per input channel. */
enum { X, W, BIAS, RESIDUAL, IN_SCALE, IN_SHIFT, Y, STATISTICS };

typedef struct conv2d_plan {
    gemm_plan gemm;
    fnn_gather gather;
    int pointwise;
    int32_t taps[]; /* tap_h, tap_w, offsets within a filter: kh * kw of each */
} conv2d_plan;

static conv2d_geometry geometry_of(const conv2d_problem *p) {
    return (conv2d_geometry){.n = p->n,
                             .ic = p->ic,
                             .ih = p->ih,
                             .iw = p->iw,
                             .oc = p->oc,
                             .oh = p->oh,
                             .ow = p->ow,
                             .kh = p->kh,
                             .kw = p->kw,
                             .stride = {p->stride[0], p->stride[1]},
                             .dilation = {p->dilation[0], p->dilation[1]},
                             .padding = {p->padding[0], p->padding[1], p->padding[2], p->padding[3]},
                             .groups = p->groups};
}

/* The direct path has no prologue, statistics or accumulation; with them a depthwise problem runs as groups. */
static int runs_depthwise(const conv2d_problem *p) {
    return p->groups > 1 && p->groups == p->ic && !p->in_affine && !p->in_activation && !p->statistics &&
           !p->accumulate;
}

static fnn_status conv2d_init(fnn_op *op) {
    const conv2d_problem *p = op->problem;
    const conv2d_geometry g = geometry_of(p);
    const fnn_status status = fnn_conv2d_check(op, &g);
    if (status != FNN_OK) return status;
    if (p->activation < FNN_ACT_NONE || p->activation > FNN_ACT_LEAKY_RELU || p->in_activation < FNN_ACT_NONE ||
        p->in_activation > FNN_ACT_LEAKY_RELU)
        return fnn_fail(op, FNN_INVALID, "expected activations 0 to 2, got activation %lld, in_activation %lld",
                        (long long)p->activation, (long long)p->in_activation);
    if (runs_depthwise(p)) return fnn_depthwise_forward_init(op, &g);
    const int prologue = p->in_affine || p->in_activation;
    const int64_t taps = g.kh * g.kw, filter = taps * (g.ic / g.groups);
    conv2d_plan *plan = op->plan = malloc(sizeof *plan + (size_t)(3 * taps) * sizeof(int32_t));
    if (!plan) return fnn_fail(op, FNN_NO_MEMORY, "no memory for %lld taps", (long long)taps);
    plan->pointwise = conv2d_is_pointwise(&g) && !prologue;
    plan->gather = fnn_conv2d_gather(&g, !prologue, plan->taps, plan->taps + taps);
    plan->gather.prologue = prologue;
    plan->gather.activation = (int)p->in_activation, plan->gather.slope = (float)p->in_slope;
    for (int64_t t = 0; t < taps; t++) plan->taps[2 * taps + t] = (int32_t)t;
    fnn_gemm_plan_init(&plan->gemm, op->k, p->statistics ? GEMM_STATISTICS : GEMM_SHARED, g.groups, g.n * g.oh * g.ow,
                       g.oc / g.groups, filter);
    op->units = fnn_gemm_units(&plan->gemm);
    op->scratch_shared = fnn_gemm_shared_bytes(&plan->gemm);
    op->scratch_thread = fnn_gemm_thread_bytes(&plan->gemm);
    op->algorithm = plan->pointwise ? "pointwise" : "implicit-gemm";
    return FNN_OK;
}

static void conv2d_run(const fnn_op *op, void *const *buf, void *scratch, const fnn_team *team) {
    const conv2d_problem *p = op->problem;
    if (runs_depthwise(p)) {
        const depthwise_epilogue e = {buf[BIAS], buf[RESIDUAL], (int)p->activation, (float)p->slope};
        fnn_depthwise_forward_run(op, buf[X], buf[W], &e, buf[Y], scratch, team);
        return;
    }
    const conv2d_plan *plan = op->plan;
    const int64_t icg = p->ic / p->groups, ocg = p->oc / p->groups, taps = p->kh * p->kw;
    fnn_gather gather = plan->gather;
    gather.scale = buf[IN_SCALE], gather.shift = buf[IN_SHIFT];
    gemm_source a = {.pack = fnn_gemm_pack_gather_a, .data = buf[X], .batch_stride = icg, .gather = &gather};
    if (plan->pointwise) a.pack = fnn_gemm_pack_strided_a, a.stride = p->ic, a.k_stride = 1;
    gemm_source b = {.pack = fnn_gemm_pack_weights_b,
                     .data = buf[W],
                     .batch_stride = ocg * icg * taps,
                     .stride = icg * taps,
                     .k_stride = taps,
                     .tap = plan->taps + 2 * taps,
                     .n_taps = taps,
                     .channels = icg};
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

FNN_OP_CLASS(conv2d, conv2d_problem, "x w ?bias ?residual ?in_scale ?in_shift y ?statistics", conv2d_init,
             conv2d_run);
