/* Batch normalisation over a matrix of rows (N H W) and channels, channels contiguous.
 *
 * A narrow row that does not fill whole vectors is taken `repeat` at a time, as one row `repeat` times as wide, with
 * the per-channel arrays repeated to match; columns then fold back into channels in ascending order.
 * Statistics: sums in a block are of differences to the first row of the matrix, which is near the mean, and M2 is
 * taken about the block's own mean in a second pass over the block, still in cache. */
#ifndef FASTNN_KERNELS_NORM_H
#define FASTNN_KERNELS_NORM_H

#include "gemm.h"
#include "types.h"

/* Columns of a block after repetition: FNN_NORM_COLUMNS channels at most, each up to VL times. */
#define NORM_WIDTH (FNN_NORM_COLUMNS * 16)
#define NORM_RUN 64 /* rows summed from zero before they join the rest: rounding grows with the root of both counts */

static inline int64_t norm_repeat(int64_t c) {
    if (c >= FNN_NORM_COLUMNS || c % VL == 0) return 1;
    int64_t repeat = VL;
    while (repeat % 2 == 0 && c * (repeat / 2) % VL == 0) repeat /= 2;
    return repeat;
}

static int64_t norm_period(int64_t c) { return c * norm_repeat(c); }

static inline void norm_spread(float *dst, const float *src, int64_t c, int64_t repeat) {
    for (int64_t r = 0; r < repeat; r++) memcpy(dst + r * c, src, (size_t)c * sizeof(float));
}

static inline void norm_fold(float *dst, const float *src, int64_t c, int64_t repeat) {
    for (int64_t j = 0; j < c; j++) {
        float sum = src[j];
        for (int64_t r = 1; r < repeat; r++) sum += src[r * c + j];
        dst[j] = sum;
    }
}

static inline vf norm_load(const float *p, int n) { return n == VL ? v_load(p) : v_load_n(p, n); }
static inline void norm_store(float *p, vf x, int n) {
    if (n == VL)
        v_store(p, x);
    else
        v_store_n(p, x, n);
}
static inline int norm_lanes(int64_t j, int64_t width) { return width - j < VL ? (int)(width - j) : VL; }

/* ---- statistics ----------------------------------------------------------------------------------------- */

static inline void norm_add(float *sum, vf x, int n) { norm_store(sum, norm_load(sum, n) + x, n); }

/* Adds to sum the column sums of d = x - shift, or of d - centre with those of its square to square_sum, over rows of
 * `stride` elements whose first `width` count. */
static inline void norm_deviations(const float *x, int64_t rows, int64_t stride, int64_t width, const float *shift,
                                   const float *centre, float *sum, float *square_sum) {
    int64_t j = 0;
    for (; j + 4 * VL <= width; j += 4 * VL) {
        for (int64_t i = 0, stop; i < rows; i = stop) {
            stop = rows - i < NORM_RUN ? rows : i + NORM_RUN;
            vf s[4] = {v_zero(), v_zero(), v_zero(), v_zero()}, q[4] = {v_zero(), v_zero(), v_zero(), v_zero()};
            for (int64_t row = i; row < stop; row++) {
                for (int v = 0; v < 4; v++) {
                    vf d = v_load(x + row * stride + j + v * VL) - v_load(shift + j + v * VL);
                    if (centre) d -= v_load(centre + j + v * VL);
                    s[v] += d;
                    if (centre) q[v] = v_fma(d, d, q[v]);
                }
            }
            for (int v = 0; v < 4; v++) {
                norm_add(sum + j + v * VL, s[v], VL);
                if (centre) norm_add(square_sum + j + v * VL, q[v], VL);
            }
        }
    }
    for (; j < width; j += VL) {
        const int n = norm_lanes(j, width);
        const vf from = norm_load(shift + j, n), middle = centre ? norm_load(centre + j, n) : v_zero();
        for (int64_t i = 0, stop; i < rows; i = stop) {
            stop = rows - i < NORM_RUN ? rows : i + NORM_RUN;
            vf s = v_zero(), q = v_zero();
            for (int64_t row = i; row < stop; row++) {
                const vf d = norm_load(x + row * stride + j, n) - from - middle;
                s += d;
                q = v_fma(d, d, q);
            }
            norm_add(sum + j, s, n);
            if (centre) norm_add(square_sum + j, q, n);
        }
    }
}

/* mean (relative to shift) and M2 of c channels over `rows` rows of x, `stride` apart. c <= FNN_NORM_COLUMNS. */
static void norm_stats_block(const float *x, int64_t rows, int64_t stride, int64_t c, const float *shift, float *mean,
                             float *m2) {
    float wide_shift[NORM_WIDTH], wide_mean[NORM_WIDTH], sum[NORM_WIDTH], square_sum[NORM_WIDTH];
    float drift[FNN_NORM_COLUMNS];
    const int64_t repeat = stride == c ? norm_repeat(c) : 1, width = c * repeat;
    const int64_t whole = rows / repeat, rest = rows % repeat * c;
    const float *tail = x + whole * repeat * stride;
    norm_spread(wide_shift, shift, c, repeat);
    memset(sum, 0, (size_t)width * sizeof(float));
    norm_deviations(x, whole, repeat * stride, width, wide_shift, NULL, sum, NULL);
    norm_deviations(tail, rest > 0, 0, rest, wide_shift, NULL, sum, NULL);
    norm_fold(mean, sum, c, repeat);
    for (int64_t j = 0; j < c; j++) mean[j] /= (float)rows;
    norm_spread(wide_mean, mean, c, repeat);
    memset(sum, 0, (size_t)width * sizeof(float));
    memset(square_sum, 0, (size_t)width * sizeof(float));
    norm_deviations(x, whole, repeat * stride, width, wide_shift, wide_mean, sum, square_sum);
    norm_deviations(tail, rest > 0, 0, rest, wide_shift, wide_mean, sum, square_sum);
    norm_fold(drift, sum, c, repeat);
    norm_fold(m2, square_sum, c, repeat);
    /* What rounding left of the mean comes back through the sum of deviations, which would be 0. */
    for (int64_t j = 0; j < c; j++) {
        m2[j] -= drift[j] * drift[j] / (float)rows;
        mean[j] += drift[j] / (float)rows;
    }
}

/* Chan's merge of block means and M2s, in order. partial: for each of `blocks` blocks two runs of `stride` floats,
 * the means and the M2s; the last block has last_rows rows, the others block_rows. */
static void norm_merge_stats(const float *partial, int64_t blocks, int64_t stride, int64_t c, int64_t block_rows,
                             int64_t last_rows, const float *shift, float *mean, float *var) {
    double middle[FNN_NORM_COLUMNS], m2[FNN_NORM_COLUMNS], count = 0;
    for (int64_t j = 0; j < c; j++) middle[j] = m2[j] = 0;
    for (int64_t b = 0; b < blocks; b++) {
        const float *block_mean = partial + 2 * b * stride, *block_m2 = block_mean + stride;
        const double rows = (double)(b == blocks - 1 ? last_rows : block_rows), total = count + rows;
        const double share = rows / total, cross = count * share;
        for (int64_t j = 0; j < c; j++) {
            const double delta = (double)block_mean[j] - middle[j];
            middle[j] += delta * share;
            m2[j] += (double)block_m2[j] + delta * delta * cross;
        }
        count = total;
    }
    for (int64_t j = 0; j < c; j++) {
        mean[j] = count > 0 ? (float)((double)shift[j] + middle[j]) : NAN;
        var[j] = (float)(m2[j] / count);
    }
}

/* ---- gradients' sums ------------------------------------------------------------------------------------ */

static inline void norm_products(const float *dy, const float *x, int64_t rows, int64_t stride, int64_t width,
                                 const float *mean, float *sum, float *product_sum) {
    int64_t j = 0;
    for (; j + 4 * VL <= width; j += 4 * VL) {
        for (int64_t i = 0, stop; i < rows; i = stop) {
            stop = rows - i < NORM_RUN ? rows : i + NORM_RUN;
            vf s[4] = {v_zero(), v_zero(), v_zero(), v_zero()}, q[4] = {v_zero(), v_zero(), v_zero(), v_zero()};
            for (int64_t row = i; row < stop; row++) {
                for (int v = 0; v < 4; v++) {
                    const int64_t at = row * stride + j + v * VL;
                    const vf d = v_load(dy + at);
                    s[v] += d;
                    q[v] = v_fma(d, v_load(x + at) - v_load(mean + j + v * VL), q[v]);
                }
            }
            for (int v = 0; v < 4; v++) {
                norm_add(sum + j + v * VL, s[v], VL);
                norm_add(product_sum + j + v * VL, q[v], VL);
            }
        }
    }
    for (; j < width; j += VL) {
        const int n = norm_lanes(j, width);
        const vf middle = norm_load(mean + j, n);
        for (int64_t i = 0, stop; i < rows; i = stop) {
            stop = rows - i < NORM_RUN ? rows : i + NORM_RUN;
            vf s = v_zero(), q = v_zero();
            for (int64_t row = i; row < stop; row++) {
                const vf d = norm_load(dy + row * stride + j, n);
                s += d;
                q = v_fma(d, norm_load(x + row * stride + j, n) - middle, q);
            }
            norm_add(sum + j, s, n);
            norm_add(product_sum + j, q, n);
        }
    }
}

/* Sums of dy and of dy (x - mean) of c <= FNN_NORM_COLUMNS channels over the rows of a block. */
static void norm_grad_block(const float *dy, const float *x, int64_t rows, int64_t stride, int64_t c,
                            const float *mean, float *sum, float *product_sum) {
    float wide_mean[NORM_WIDTH], s[NORM_WIDTH] = {0}, q[NORM_WIDTH] = {0};
    const int64_t repeat = stride == c ? norm_repeat(c) : 1, width = c * repeat;
    const int64_t whole = rows / repeat, rest = rows % repeat * c, at = whole * repeat * stride;
    norm_spread(wide_mean, mean, c, repeat);
    norm_products(dy, x, whole, repeat * stride, width, wide_mean, s, q);
    norm_products(dy + at, x + at, rest > 0, 0, rest, wide_mean, s, q);
    norm_fold(sum, s, c, repeat);
    norm_fold(product_sum, q, c, repeat);
}

/* Sums over blocks of two runs of `stride` floats each, in order. */
static void norm_merge_sums(const float *partial, int64_t blocks, int64_t stride, int64_t c, double *sum,
                            double *product_sum) {
    for (int64_t j = 0; j < c; j++) sum[j] = product_sum[j] = 0;
    for (int64_t b = 0; b < blocks; b++) {
        const float *s = partial + 2 * b * stride, *q = s + stride;
        for (int64_t j = 0; j < c; j++) {
            sum[j] += (double)s[j];
            product_sum[j] += (double)q[j];
        }
    }
}

/* ---- application ---------------------------------------------------------------------------------------- */

/* y = act((x - mean) scale + bias) over `count` elements from a channel 0 on; arrays of norm_period(c) = period
 * floats. */
static void norm_apply(const float *x, int64_t count, int64_t period, const float *mean, const float *scale,
                       const float *bias, int activation, float slope, float *y) {
    for (int64_t base = 0; base < count; base += period) {
        const int64_t width = count - base < period ? count - base : period;
        for (int64_t j = 0; j < width; j += VL) {
            const int n = norm_lanes(j, width);
            const vf d = norm_load(x + base + j, n) - norm_load(mean + j, n);
            const vf value = v_fma(d, norm_load(scale + j, n), norm_load(bias + j, n));
            norm_store(y + base + j, act_apply(value, activation, v_set1(slope)), n);
        }
    }
}

/* dx = (dy - offset - (x - mean) slope) scale; without slope x does not count, not even where it is NaN. */
static void norm_grad_apply(const float *dy, const float *x, int64_t count, int64_t period, const float *mean,
                            const float *offset, const float *slope, const float *scale, float *dx) {
    for (int64_t base = 0; base < count; base += period) {
        const int64_t width = count - base < period ? count - base : period;
        for (int64_t j = 0; j < width; j += VL) {
            const int n = norm_lanes(j, width);
            vf rest = norm_load(dy + base + j, n) - norm_load(offset + j, n);
            if (slope) rest = rest - (norm_load(x + base + j, n) - norm_load(mean + j, n)) * norm_load(slope + j, n);
            norm_store(dx + base + j, rest * norm_load(scale + j, n), n);
        }
    }
}

#endif
