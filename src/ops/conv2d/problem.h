/* The geometry of a convolution, common to its three passes, and the tables of taps that they gather by.
 *
 *   y[n, oh, ow, oc] = sum over kh, kw, ic of
 *                      x[n, oh * stride_h - top + kh * dilation_h, ow * stride_w - left + kw * dilation_w, ic]
 *                      * w[oc, ic, kh, kw]
 *
 * x, y and their gradients are NHWC, w and its gradient OIHW with ic / groups input channels. */
#ifndef FASTNN_OPS_CONV2D_PROBLEM_H
#define FASTNN_OPS_CONV2D_PROBLEM_H

#include "../gemm_core.h"

/* padding: top, bottom, left, right; the pairs are (h, w). precision, algorithm: see algorithms.h. */
#define CONV2D_GEOMETRY(I, D, A, T)                                                                                  \
    I(T, n)                                                                                                          \
    I(T, ic)                                                                                                         \
    I(T, ih)                                                                                                         \
    I(T, iw)                                                                                                         \
    I(T, oc)                                                                                                         \
    I(T, oh)                                                                                                         \
    I(T, ow)                                                                                                         \
    I(T, kh)                                                                                                         \
    I(T, kw)                                                                                                         \
    A(T, stride, 2) A(T, padding, 4) A(T, dilation, 2) I(T, groups) I(T, precision) I(T, algorithm)

/* What to do with y after and with x before; in_affine: in_scale and in_shift are given, per input channel. The
 * backward passes leave it all 0. */
#define CONV2D_EPILOGUE(I, D, A, T)                                                                                  \
    I(T, activation) D(T, slope) I(T, accumulate) I(T, statistics) I(T, in_affine) I(T, in_activation) D(T, in_slope)

#define CONV2D_FIELDS(I, D, A, T) CONV2D_GEOMETRY(I, D, A, T) CONV2D_EPILOGUE(I, D, A, T)

/* What was asked for where only the filter's taps from (first_h, first_w) on are computed; see live.h. */
typedef struct conv2d_whole {
    int narrowed;
    int64_t kh, kw, padding[4], first_h, first_w;
    size_t at; /* of the narrow filters in scratch, in bytes */
} conv2d_whole;

typedef struct conv2d_problem {
    CONV2D_FIELDS(FNN_STRUCT_I, FNN_STRUCT_D, FNN_STRUCT_A, conv2d_problem)
    conv2d_whole whole; /* not a field: zero at first */
} conv2d_problem;

/* Refuses what is no convolution, naming the numbers; sets FLOPs and bytes of what is. */
fnn_status fnn_conv2d_check(fnn_op *op, const conv2d_problem *g);

/* 1x1, stride 1, no padding: the pixels are the rows of a plain product. */
static inline int conv2d_is_pointwise(const conv2d_problem *g) {
    return g->kh == 1 && g->kw == 1 && g->stride[0] == 1 && g->stride[1] == 1 && g->oh == g->ih && g->ow == g->iw &&
           g->padding[0] == 0 && g->padding[2] == 0;
}

static inline int conv2d_is_depthwise(const conv2d_problem *g) { return g->groups > 1 && g->groups == g->ic; }

/* The gather of output pixels from x. Neighbouring taps of a filter's row become one entry where they are one short
 * run of memory; may_span = 0 keeps them apart. tap_h and tap_w have room for kh * kw. */
fnn_gather fnn_conv2d_gather(const conv2d_problem *g, int may_span, int32_t *tap_h, int32_t *tap_w);

#endif
