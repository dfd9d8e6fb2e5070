/* Local response normalisation across the channels of one pixel (Krizhevsky, Sutskever and Hinton, 2012):
 *   base[c] = k + alpha / size * sum of x[j]^2, j from c - size/2 to c + (size - 1)/2;   y = x base^-beta */
#ifndef FASTNN_KERNELS_LRN_H
#define FASTNN_KERNELS_LRN_H

#include "math.h"
#include "types.h"

static inline vf lrn_load(const float *p, int n) { return n == VL ? v_load(p) : v_load_n(p, n); }
static inline void lrn_store(float *p, vf x, int n) {
    if (n == VL)
        v_store(p, x);
    else
        v_store_n(p, x, n);
}

/* base^-beta; roots for the exponents that networks use. */
static inline vf lrn_power(vf base, double beta) {
    const vf one = v_set1(1.0f);
    if (beta == 0.75) {
        const vf root = v_sqrt(base);
        return one / (root * v_sqrt(root));
    }
    if (beta == 0.5) return one / v_sqrt(base);
    if (beta == 1.0) return one / base;
    return v_pow(base, -beta);
}

/* Squares with a zero margin on both sides, so that windows need no edges. edged: c + size + VL floats. */
static inline const float *lrn_squares(const fnn_lrn *p, const float *x, float *edged) {
    const int64_t before = p->size / 2;
    memset(edged, 0, (size_t)(p->c + p->size + VL) * sizeof(float));
    for (int64_t j = 0; j < p->c; j += VL) {
        const int n = p->c - j < VL ? (int)(p->c - j) : VL;
        const vf value = lrn_load(x + j, n);
        lrn_store(edged + before + j, value * value, n);
    }
    return edged;
}

static inline vf lrn_window(const float *edged, int64_t size) {
    vf sum = v_load(edged);
    for (int64_t i = 1; i < size; i++) sum += v_load(edged + i);
    return sum;
}

static inline vf lrn_base(const fnn_lrn *p, vf sum) {
    return v_fma(sum, v_set1((float)(p->alpha / (double)p->size)), v_set1((float)p->k));
}

/* scratch: c + size + VL floats. */
static void lrn_pixels(const fnn_lrn *p, const float *x, int64_t pixels, float *y, float *scratch) {
    for (int64_t i = 0; i < pixels; i++, x += p->c, y += p->c) {
        const float *edged = lrn_squares(p, x, scratch);
        for (int64_t j = 0; j < p->c; j += VL) {
            const int n = p->c - j < VL ? (int)(p->c - j) : VL;
            const vf base = lrn_base(p, lrn_window(edged + j, p->size));
            lrn_store(y + j, lrn_load(x + j, n) * lrn_power(base, p->beta), n);
        }
    }
}

/* dx = dy base^-beta - 2 alpha beta / size x sum of (dy x base^(-beta - 1)) over the windows that hold the channel.
 * scratch: 2 (c + size + VL) floats. */
static void lrn_bwd_pixels(const fnn_lrn *p, const float *dy, const float *x, int64_t pixels, float *dx,
                           float *scratch) {
    const int64_t span = p->c + p->size + VL, before = (p->size - 1) / 2;
    float *spread = scratch + span;
    const vf factor = v_set1((float)(-2.0 * p->alpha * p->beta / (double)p->size));
    for (int64_t i = 0; i < pixels; i++, dy += p->c, x += p->c, dx += p->c) {
        const float *edged = lrn_squares(p, x, scratch);
        memset(spread, 0, (size_t)span * sizeof(float));
        for (int64_t j = 0; j < p->c; j += VL) {
            const int n = p->c - j < VL ? (int)(p->c - j) : VL;
            const vf base = lrn_base(p, lrn_window(edged + j, p->size));
            const vf direct = lrn_load(dy + j, n) * lrn_power(base, p->beta);
            lrn_store(dx + j, direct, n);
            lrn_store(spread + before + j, direct * lrn_load(x + j, n) / base, n);
        }
        for (int64_t j = 0; j < p->c; j += VL) {
            const int n = p->c - j < VL ? (int)(p->c - j) : VL;
            const vf shared = lrn_window(spread + j, p->size);
            lrn_store(dx + j, v_fma(factor * lrn_load(x + j, n), shared, lrn_load(dx + j, n)), n);
        }
    }
}

#endif
