/* Maxima of 2x2 windows at stride 2 over z = relu((x - mean) scale + bias), and the gradient of x from theirs. z is
 * nowhere: each kernel makes it anew from x, one row of windows, two lines of x, at a time. Arrays of a channel are not
 * repeated: vectors lie along the channels of one pixel. */
#ifndef FASTNN_KERNELS_NORM_POOL_H
#define FASTNN_KERNELS_NORM_POOL_H

#include "norm.h"

#define NORM_POOL_STRIP 2 /* vectors of columns whose sums are in registers */

#define NORM_POOL_INLINE static inline __attribute__((always_inline))

/* The taps of the window at x: d is x - mean, value what ReLU is applied to. */
typedef struct norm_taps {
    vf d[4], value[4];
} norm_taps;

NORM_POOL_INLINE norm_taps norm_pool_taps(const fnn_norm *q, const float *x, int64_t line, int64_t pixel, int64_t j,
                                          int n) {
    const float *tap[4] = {x + j, x + pixel + j, x + line + j, x + line + pixel + j};
    const vf mean = norm_load(q->mean + j, n), scale = norm_load(q->scale + j, n), bias = norm_load(q->bias + j, n);
    norm_taps t;
    for (int i = 0; i < 4; i++) {
        t.d[i] = norm_soon(tap[i], n) - mean;
        t.value[i] = v_fma(t.d[i], scale, bias);
    }
    return t;
}

/* The largest of the values: NaN before all. */
NORM_POOL_INLINE vf norm_pool_best(const norm_taps *t) {
    vf best = t->value[0];
    for (int i = 1; i < 4; i++) {
        const vm stays = vm_or(v_le(t->value[i], best), vm_not(v_ordered(best, best)));
        best = v_sel(stays, best, t->value[i]);
    }
    return best;
}

NORM_POOL_INLINE void norm_pool_window(const fnn_norm *q, const float *x, int64_t line, int64_t c, int64_t j, int n,
                                       float *y) {
    const norm_taps t = norm_pool_taps(q, x, line, c, j, n);
    norm_store(y + j, act_apply(norm_pool_best(&t), FNN_ACT_RELU, v_zero()), n);
}

/* A row of windows. */
static void norm_pool_row(const fnn_norm *q, const float *x, int64_t line, int64_t windows, int64_t c, float *y) {
    for (int64_t w = 0; w < windows; w++, x += 2 * c, y += c) {
        int64_t j = 0;
        for (; j + VL <= c; j += VL) norm_pool_window(q, x, line, c, j, VL, y);
        if (j < c) norm_pool_window(q, x, line, c, j, (int)(c - j), y);
    }
}

/* Of what follows the statistics are those of x: where one value of a channel is NaN, all are. The first tap that no
 * other is greater than has the gradient, if ReLU lets it through. */
NORM_POOL_INLINE void norm_pool_strip(const fnn_norm *q, const float *dy, const float *x, int64_t line,
                                      int64_t windows, int64_t c, int64_t j, int count, int lanes, float *sum,
                                      float *product_sum) {
    vf s[NORM_POOL_STRIP], p[NORM_POOL_STRIP];
    for (int v = 0; v < count; v++) s[v] = p[v] = v_zero();
    for (int64_t w = 0; w < windows; w++, x += 2 * c, dy += c) {
        for (int v = 0; v < count; v++) {
            const norm_taps t = norm_pool_taps(q, x, line, c, j + v * VL, lanes);
            vf best = t.value[0], d = t.d[0];
            for (int i = 1; i < 4; i++) {
                const vm greater = v_lt(best, t.value[i]);
                best = v_sel(greater, t.value[i], best);
                d = v_sel(greater, t.d[i], d);
            }
            const vf g = act_relu_bwd(norm_soon(dy + j + v * VL, lanes), best, v_zero(), v_zero());
            s[v] += g;
            p[v] = v_fma(g, d, p[v]);
        }
    }
    for (int v = 0; v < count; v++) {
        float *of = sum + j + v * VL, *product = product_sum + j + v * VL;
        norm_store(of, norm_load(of, lanes) + s[v], lanes);
        norm_store(product, norm_load(product, lanes) + p[v], lanes);
    }
}

/* Adds to sum what a row of windows gives of the gradient g of what ReLU is applied to, and of g (x - mean) to
 * product_sum: for `channels` channels of c. */
static void norm_pool_sums(const fnn_norm *q, const float *dy, const float *x, int64_t line, int64_t windows,
                           int64_t c, int64_t channels, float *sum, float *product_sum) {
    int64_t j = 0;
    for (; j + NORM_POOL_STRIP * VL <= channels; j += NORM_POOL_STRIP * VL)
        norm_pool_strip(q, dy, x, line, windows, c, j, NORM_POOL_STRIP, VL, sum, product_sum);
    for (; j + VL <= channels; j += VL) norm_pool_strip(q, dy, x, line, windows, c, j, 1, VL, sum, product_sum);
    if (j < channels) norm_pool_strip(q, dy, x, line, windows, c, j, 1, (int)(channels - j), sum, product_sum);
}

NORM_POOL_INLINE void norm_pool_grads(const fnn_norm *q, const float *dy, const float *x, int64_t line, int64_t c,
                                      int64_t j, int n, int past, float *dx) {
    const norm_taps t = norm_pool_taps(q, x, line, c, j, n);
    const vf offset = norm_load(q->offset + j, n), slope = norm_load(q->slope + j, n);
    const vf scale = norm_load(q->scale + j, n), none = v_zero();
    const vf best = v_max(v_max(t.value[0], t.value[1]), v_max(t.value[2], t.value[3]));
    const vf g = act_relu_bwd(norm_load(dy + j, n), best, none, none);
    vm free = v_head(VL);
    for (int i = 0; i < 4; i++) {
        const vm here = i ? vm_and(free, v_eq(t.value[i], best)) : vm_not(v_lt(t.value[0], best));
        free = vm_and(free, vm_not(here));
        const vf value = ((v_sel(here, g, none) - offset) - t.d[i] * slope) * scale;
        float *to = dx + i / 2 * line + i % 2 * c + j;
        if (past)
            v_stream(to, value);
        else
            norm_store(to, value, n);
    }
}

/* The gradients of two lines of x by those of a row of windows. past: whole vectors, past the caches. */
static void norm_pool_grad_row(const fnn_norm *q, const float *dy, const float *x, int64_t line, int64_t windows,
                               int64_t c, int past, float *dx) {
    for (int64_t w = 0; w < windows; w++, x += 2 * c, dx += 2 * c, dy += c) {
        int64_t j = 0;
        if (past) {
            for (; j + VL <= c; j += VL) norm_pool_grads(q, dy, x, line, c, j, VL, 1, dx);
        } else {
            for (; j + VL <= c; j += VL) norm_pool_grads(q, dy, x, line, c, j, VL, 0, dx);
            if (j < c) norm_pool_grads(q, dy, x, line, c, j, (int)(c - j), 0, dx);
        }
    }
    if (past) v_stream_end();
}

/* The gradients of pixels that no window has. */
static void norm_pool_grad_rest(const fnn_norm *q, const float *x, int64_t pixels, int64_t c, float *dx) {
    for (int64_t i = 0; i < pixels; i++, x += c, dx += c) {
        for (int64_t j = 0; j < c; j += VL) {
            const int n = norm_lanes(j, c);
            const vf d = norm_load(x + j, n) - norm_load(q->mean + j, n);
            const vf none = v_zero() - norm_load(q->offset + j, n);
            norm_store(dx + j, (none - d * norm_load(q->slope + j, n)) * norm_load(q->scale + j, n), n);
        }
    }
}

#endif
