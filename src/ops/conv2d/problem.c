/* See problem.h. */
#include "problem.h"

#define SPAN_CHANNELS 16 /* below, one pixel's channels are too short a run to gather by themselves */
#define SPAN_FLOATS 128

typedef long long ll;

static fnn_status check_side(fnn_op *op, char side, int64_t in, int64_t out, int64_t kernel, int64_t stride,
                             int64_t before, int64_t after, int64_t dilation) {
    if (in < 0 || kernel < 1 || stride < 1 || dilation < 1 || before < 0 || after < 0)
        return fnn_fail(op, FNN_INVALID,
                        "expected kernel, stride and dilation of at least 1 and padding of at least 0, got kernel_%c "
                        "%lld, stride_%c %lld, dilation_%c %lld, padding %lld and %lld",
                        side, (ll)kernel, side, (ll)stride, side, (ll)dilation, (ll)before, (ll)after);
    const int64_t room = in + before + after - dilation * (kernel - 1) - 1;
    const int64_t expected = room < 0 ? -1 : room / stride + 1;
    if (out != expected)
        return fnn_fail(op, FNN_INVALID, "expected o%c %lld for i%c %lld, got %lld", side, (ll)expected, side, (ll)in,
                        (ll)out);
    return FNN_OK;
}

fnn_status fnn_conv2d_check(fnn_op *op, const conv2d_problem *g) {
    if (g->n < 0 || g->ic < 0 || g->oc < 0 || g->groups < 1 || g->ic % g->groups || g->oc % g->groups)
        return fnn_fail(op, FNN_INVALID, "expected channels divisible by groups, got ic %lld, oc %lld, groups %lld",
                        (ll)g->ic, (ll)g->oc, (ll)g->groups);
    if (g->activation < FNN_ACT_NONE || g->activation > FNN_ACT_SILU || g->in_activation < FNN_ACT_NONE ||
        g->in_activation > FNN_ACT_LEAKY_RELU || (g->activation == FNN_ACT_SILU && g->statistics))
        return fnn_fail(
            op, FNN_INVALID,
            "expected activation 0 to 3, without statistics for 3, and in_activation 0 to 2, got %lld and "
            "%lld",
            (long long)g->activation, (long long)g->in_activation);
    fnn_status status = check_side(op, 'h', g->ih, g->oh, g->kh, g->stride[0], g->padding[0], g->padding[1],
                                   g->dilation[0]);
    if (status == FNN_OK)
        status = check_side(op, 'w', g->iw, g->ow, g->kw, g->stride[1], g->padding[2], g->padding[3], g->dilation[1]);
    const double pixels = (double)g->n * (double)g->oh * (double)g->ow;
    const double filter = (double)(g->ic / g->groups) * (double)g->kh * (double)g->kw;
    op->flops = 2.0 * pixels * (double)g->oc * filter;
    op->bytes = 4.0 * ((double)g->n * (double)g->ih * (double)g->iw * (double)g->ic + pixels * (double)g->oc +
                       (double)g->oc * filter);
    return status;
}

fnn_gather fnn_conv2d_gather(const conv2d_problem *g, int may_span, int32_t *tap_h, int32_t *tap_w) {
    const int spans = may_span && g->groups == 1 && g->dilation[1] == 1 && g->ic < SPAN_CHANNELS &&
                      g->kw * g->ic <= SPAN_FLOATS;
    const int64_t span = spans ? g->kw : 1, channels = g->ic / g->groups;
    int64_t t = 0;
    for (int64_t kh = 0; kh < g->kh; kh++)
        for (int64_t kw = 0; kw < g->kw; kw += span, t++) {
            tap_h[t] = (int32_t)(kh * g->dilation[0] - g->padding[0]);
            tap_w[t] = (int32_t)(kw * g->dilation[1] - g->padding[2]);
        }
    return (fnn_gather){.src_h = g->ih,
                        .src_w = g->iw,
                        .pixel = g->ic,
                        .grid_h = g->oh,
                        .grid_w = g->ow,
                        .step_h = g->stride[0],
                        .step_w = g->stride[1],
                        .n_taps = t,
                        .span = span,
                        .channels = channels,
                        .run = gemm_max(1, span * channels),
                        .tap_h = tap_h,
                        .tap_w = tap_w};
}
