/* Depthwise convolution (groups == input channels), vectorised over channels: each pixel written is a sum over its
 * taps of source pixel * weights, both contiguous along channels. With a multiplier above 1 the source's lanes repeat
 * (forward) or stride (backward), and are collected one by one.
 *
 * Weights come packed: [tap][output channel] forward, [tap][multiplier][input channel] backward. */
#ifndef FASTNN_KERNELS_DEPTHWISE_H
#define FASTNN_KERNELS_DEPTHWISE_H

enum { DEPTHWISE_PLAIN, DEPTHWISE_REPEAT, DEPTHWISE_STRIDE };

/* Source lanes for channels [c, c + lanes): as they are, or channels (c + i) / m, or (c + i) * m. */
static inline __attribute__((always_inline)) vf depthwise_read(const int mode, const float *s, int64_t c, int lanes,
                                                               int64_t m) {
    if (mode == DEPTHWISE_PLAIN) return gemm_read(s + c, lanes);
    float v[VL] = {0};
    for (int i = 0; i < lanes; i++) v[i] = mode == DEPTHWISE_REPEAT ? s[(c + i) / m] : s[(c + i) * m];
    return v_load(v);
}

/* N vectors of channels of one pixel from c on; the last has lanes of them. */
static inline __attribute__((always_inline)) void
depthwise_pixel(const int mode, const int N, const fnn_depthwise *d, const fnn_walk *h, const fnn_walk *w,
                const float *src, const float *weights, const float *residual, float *dst, int64_t c, int lanes) {
    const int64_t inner = mode == DEPTHWISE_STRIDE ? d->multiplier : 1, tap_floats = inner * d->channels;
    vf acc[4] = {v_zero(), v_zero(), v_zero(), v_zero()};
    for (int i = 0; i < h->count; i++) {
        const float *line = src + (int64_t)(h->src + i * h->src_step) * d->src_w * d->src_channels;
        const float *line_w = weights + (int64_t)(h->tap + i * h->tap_step) * d->kw * tap_floats;
        for (int j = 0; j < w->count; j++) {
            const float *s = line + (int64_t)(w->src + j * w->src_step) * d->src_channels;
            const float *t = line_w + (int64_t)(w->tap + j * w->tap_step) * tap_floats + c;
            for (int64_t q = 0; q < inner; q++, t += d->channels) GEMM_UNROLL for (int v = 0; v < N; v++) {
                    const int l = v == N - 1 ? lanes : VL;
                    acc[v] = v_fma(depthwise_read(mode, s + q, c + v * VL, l, d->multiplier),
                                   gemm_read(t + v * VL, l), acc[v]);
                }
        }
    }
    GEMM_UNROLL for (int v = 0; v < N; v++) {
        const int l = v == N - 1 ? lanes : VL;
        vf y = acc[v];
        if (d->bias) y += gemm_read(d->bias + c + v * VL, l);
        if (residual) y += gemm_read(residual + c + v * VL, l);
        v_store_n(dst + c + v * VL, act_apply(y, d->activation, v_set1(d->slope)), l);
    }
}

static inline __attribute__((always_inline)) void depthwise_line_as(const int mode, const fnn_depthwise *d,
                                                                    const fnn_walk *h, const float *src,
                                                                    const float *weights, const float *residual,
                                                                    float *dst) {
    for (int64_t x = 0; x < d->dst_w; x++, dst += d->channels) {
        const fnn_walk *w = &d->columns[x];
        int64_t c = 0;
        for (; c + 4 * VL <= d->channels; c += 4 * VL)
            depthwise_pixel(mode, 4, d, h, w, src, weights, residual, dst, c, VL);
        for (; c + VL <= d->channels; c += VL) depthwise_pixel(mode, 1, d, h, w, src, weights, residual, dst, c, VL);
        if (c < d->channels)
            depthwise_pixel(mode, 1, d, h, w, src, weights, residual, dst, c, (int)(d->channels - c));
        if (residual) residual += d->channels;
    }
}

/* One line of pixels; h: the taps that meet it, src: the source image. */
static void depthwise_line(const fnn_depthwise *d, const fnn_walk *h, const float *src, const float *weights,
                           const float *residual, float *dst) {
    if (d->multiplier == 1)
        depthwise_line_as(DEPTHWISE_PLAIN, d, h, src, weights, residual, dst);
    else if (d->backward)
        depthwise_line_as(DEPTHWISE_STRIDE, d, h, src, weights, residual, dst);
    else
        depthwise_line_as(DEPTHWISE_REPEAT, d, h, src, weights, residual, dst);
}

/* Sum over n pixels of dy * x for one vector of channels; four chains, joined in pairs. */
static inline __attribute__((always_inline)) vf depthwise_dot(const int mode, const fnn_depthwise_line *d,
                                                              const float *dy, const float *x, int64_t n, int64_t c,
                                                              int lanes) {
    const int64_t x_step = d->stride_w * d->src_channels;
    vf acc[4] = {v_zero(), v_zero(), v_zero(), v_zero()};
    int64_t i = 0;
    for (; i + 4 <= n; i += 4)
        GEMM_UNROLL for (int q = 0; q < 4; q++)
            acc[q] = v_fma(depthwise_read(mode, x + (i + q) * x_step, c, lanes, d->multiplier),
                           gemm_read(dy + (i + q) * d->channels + c, lanes), acc[q]);
    for (; i < n; i++)
        acc[0] = v_fma(depthwise_read(mode, x + i * x_step, c, lanes, d->multiplier),
                       gemm_read(dy + i * d->channels + c, lanes), acc[0]);
    return (acc[0] + acc[1]) + (acc[2] + acc[3]);
}

/* part[kw][channel] += sum over the line's pixels of dy * x; x: the source line that one kh meets. */
static void depthwise_weights_line(const fnn_depthwise_line *d, const float *dy, const float *x, float *part) {
    for (int64_t k = 0; k < d->kw; k++, part += d->channels) {
        const int64_t offset = k * d->dilation_w - d->pad_left;
        int64_t first = conv_first_at(0, offset, d->stride_w), end = conv_first_at(d->src_w, offset, d->stride_w);
        end = end < d->dst_w ? end : d->dst_w;
        if (first >= end) continue;
        const float *dy0 = dy + first * d->channels, *x0 = x + (first * d->stride_w + offset) * d->src_channels;
        for (int64_t c = 0; c < d->channels; c += VL) {
            const int lanes = d->channels - c < VL ? (int)(d->channels - c) : VL;
            vf sum;
            if (d->multiplier > 1)
                sum = depthwise_dot(DEPTHWISE_REPEAT, d, dy0, x0, end - first, c, lanes);
            else if (lanes == VL)
                sum = depthwise_dot(DEPTHWISE_PLAIN, d, dy0, x0, end - first, c, VL);
            else
                sum = depthwise_dot(DEPTHWISE_PLAIN, d, dy0, x0, end - first, c, lanes);
            v_store_n(part + c, gemm_read(part + c, lanes) + sum, lanes);
        }
    }
}

#endif
