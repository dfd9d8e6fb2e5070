/* Batch normalisation with SiLU whose result a squeeze-and-excitation scales: sums over the pixels of one image, and
 * what is elementwise, each remaking the activation from x. Rows are pixels, channels contiguous. */
#ifndef FASTNN_KERNELS_GATED_NORM_H
#define FASTNN_KERNELS_GATED_NORM_H

#include "norm.h"

#define GATED_STRIP 2 /* vectors of columns whose sums are in registers */

/* Adds to sums[k * ld + j] over `rows` rows, `count` vectors of columns from j on, the last of `lanes` lanes.
 * FNN_GATED_POOL: of y = silu(v), v the normalised x. FNN_GATED_GRAD: of dy y, dy y', y', dy y' d and y' d, where d
 * is x - mean and y' the derivative of silu at v. */
static inline __attribute__((always_inline)) void gated_strip(int many, const fnn_norm *q, const float *dy,
                                                              const float *x, int64_t rows, int64_t stride,
                                                              int64_t ahead, int64_t j, int count, int lanes,
                                                              float *sums, int64_t ld) {
    vf s[FNN_GATED_GRAD][GATED_STRIP], mean[GATED_STRIP], scale[GATED_STRIP], bias[GATED_STRIP];
    for (int v = 0; v < count; v++) {
        for (int k = 0; k < many; k++) s[k][v] = v_zero();
        mean[v] = norm_load(q->mean + j + v * VL, lanes);
        scale[v] = norm_load(q->scale + j + v * VL, lanes);
        bias[v] = norm_load(q->bias + j + v * VL, lanes);
    }
    for (int64_t row = 0; row < rows; row++) {
        const float *here = x + row * stride + j, *there = dy + row * stride + j;
        for (int k = 0; k < count * VL; k += FNN_LINE) {
            v_soon(here + ahead + k);
            if (many != FNN_GATED_POOL) v_soon(there + ahead + k);
        }
        for (int v = 0; v < count; v++) {
            const vf d = norm_load(here + v * VL, lanes) - mean[v], value = v_fma(d, scale[v], bias[v]);
            if (many == FNN_GATED_POOL) {
                s[0][v] += v_silu(value);
                continue;
            }
            vf other;
            const vf low = v_max(v_set1(-88.0f), value), near = v_min(v_set1(88.0f), low);
            const vf g = norm_load(there + v * VL, lanes), sigmoid = v_logistic(near, &other), y = low * sigmoid;
            const vf slope = v_fma(near * sigmoid, other, sigmoid), inner = g * slope;
            s[0][v] = v_fma(g, y, s[0][v]);
            s[1][v] += inner;
            s[2][v] += slope;
            s[3][v] = v_fma(inner, d, s[3][v]);
            s[4][v] = v_fma(slope, d, s[4][v]);
        }
    }
    for (int k = 0; k < many; k++)
        for (int v = 0; v < count; v++) {
            float *sum = sums + k * ld + j + v * VL;
            norm_store(sum, norm_load(sum, lanes) + s[k][v], lanes);
        }
}

static inline __attribute__((always_inline)) void gated_block(int many, const fnn_norm *q, const float *dy,
                                                              const float *x, int64_t rows, int64_t stride, int64_t c,
                                                              float *sums, int64_t ld) {
    for (int k = 0; k < many; k++) memset(sums + k * ld, 0, (size_t)c * sizeof(float));
    const int64_t group = norm_group(c, stride, 2);
    for (int64_t row = 0; row < rows; row += group) {
        const int64_t n = rows - row < group ? rows - row : group, at = row * stride;
        int64_t j = 0;
        for (; j + GATED_STRIP * VL <= c; j += GATED_STRIP * VL)
            gated_strip(many, q, dy + at, x + at, n, stride, norm_ahead(j, c, stride, 2), j, GATED_STRIP, VL, sums,
                        ld);
        for (; j < c; j += VL)
            gated_strip(many, q, dy + at, x + at, n, stride, FNN_SOON, j, 1, norm_lanes(j, c), sums, ld);
    }
}

/* The sums of a block of c channels over rows of one image; runs of sums are ld apart. */
static void gated_pool(const fnn_norm *q, const float *x, int64_t rows, int64_t stride, int64_t c, float *sums) {
    gated_block(FNN_GATED_POOL, q, x, x, rows, stride, c, sums, 0);
}
static void gated_sums(const fnn_norm *q, const float *dy, const float *x, int64_t rows, int64_t stride, int64_t c,
                       float *sums, int64_t ld) {
    gated_block(FNN_GATED_GRAD, q, dy, x, rows, stride, c, sums, ld);
}

/* `rows` rows of c channels of one image, the last first: see NORM_DESCEND. */
#define GATED_ROWS(out, value)                                                                                       \
    const int aligned = past && c % VL == 0 && (uintptr_t)(out) % sizeof(vf) == 0;                                   \
    const int64_t leap = c < NORM_AHEAD ? NORM_AHEAD / c : 1;                                                        \
    for (int64_t start = (rows - 1) / leap * leap; start >= 0; start -= leap) {                                      \
        const int64_t stop = rows - start < leap ? rows : start + leap;                                              \
        for (int64_t row = start; row < stop; row++) {                                                               \
            for (int64_t j = 0; j < c; j += VL) {                                                                    \
                const int64_t at = row * c + j;                                                                      \
                const int n = norm_lanes(j, c);                                                                      \
                if (aligned)                                                                                         \
                    v_stream((out) + at, value);                                                                     \
                else                                                                                                 \
                    norm_store((out) + at, value, n);                                                                \
            }                                                                                                        \
        }                                                                                                            \
    }                                                                                                                \
    if (aligned) v_stream_end();

/* y = silu((x - mean) scale + bias) gate */
static void gated_apply(const fnn_norm *q, const float *gate, const float *x, int64_t rows, int64_t c, int past,
                        float *y) {
    GATED_ROWS(y, v_silu(norm_value(q, x + at, j, n)) * norm_load(gate + j, n))
}

/* (g - offset - (x - mean) slope) scale, where g is dy gate + shift by what SiLU was applied to. */
static inline vf gated_grad_value(const fnn_norm *q, const float *gate, const float *shift, const float *dy,
                                  const float *x, int64_t j, int n) {
    const vf d = norm_soon(x, n) - norm_load(q->mean + j, n), scale = norm_load(q->scale + j, n);
    const vf outer = v_fma(norm_soon(dy, n), norm_load(gate + j, n), norm_load(shift + j, n));
    const vf g = norm_inner(FNN_ACT_SILU, outer, d, scale, norm_load(q->bias + j, n));
    return ((g - norm_load(q->offset + j, n)) - d * norm_load(q->slope + j, n)) * scale;
}
static void gated_grad_apply(const fnn_norm *q, const float *gate, const float *shift, const float *dy,
                             const float *x, int64_t rows, int64_t c, int past, float *dx) {
    GATED_ROWS(dx, gated_grad_value(q, gate, shift, dy + at, x + at, j, n))
}

#endif
