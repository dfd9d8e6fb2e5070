/* Pooling over channels-last images, some pixels of one row of the result at a time: windows and covers come as tables,
 * so padding, stride, dilation, ceil_mode and adaptive windows are the same code. Forward gathers a window's taps;
 * backward gathers, for each pixel, the windows that hold it in ascending order: every element is written once, by its
 * owner. The rows themselves are in pool_rows.h, which knows a shorter way through common windows.
 *
 * A vector that overhangs the channels of a pixel reads on into the next pixel, and is written over it before that
 * pixel's own turn; only the last pixels of a buffer take the slower partial access. */
#ifndef FASTNN_KERNELS_POOL_H
#define FASTNN_KERNELS_POOL_H

#include "math.h"
#include "types.h"

/* n lanes of x[at]; limit: elements that may be touched. */
static inline vf pool_load(const float *x, int64_t at, int n, int64_t limit) {
    return n == VL || at + VL <= limit ? v_load(x + at) : v_load_n(x + at, n);
}
static inline void pool_store(float *y, int64_t at, vf value, int n, int64_t limit) {
    if (n == VL || at + VL <= limit)
        v_store(y + at, value);
    else
        v_store_n(y + at, value, n);
}
static inline vi pool_label(int64_t label) { return (vi){0} + (int32_t)label; }

/* n < VL bytes, without a call. */
static inline void pool_copy_few(uint8_t *to, const uint8_t *from, int n) {
    if (VL > 8 && n >= 8) {
        memcpy(to, from, 8);
        memcpy(to + n - 8, from + n - 8, 8);
    } else if (VL > 4 && n >= 4) {
        memcpy(to, from, 4);
        memcpy(to + n - 4, from + n - 4, 4);
    } else {
        for (int i = 0; i < n; i++) to[i] = from[i];
    }
}

static inline void pool_store_index(const fnn_pool *p, void *index, int64_t at, vi value, int n, int64_t limit) {
    uint8_t *bytes = (uint8_t *)index + at, few[VL];
    if (p->wide) {
        pool_store((float *)index, at, v_float(value), n, limit);
    } else if (n == VL || at + VL <= limit) {
        v_store_bytes(bytes, value);
    } else {
        v_store_bytes(few, value);
        pool_copy_few(bytes, few, n);
    }
}
static inline vi pool_load_index(const fnn_pool *p, const void *index, int64_t at, int n, int64_t limit) {
    const uint8_t *bytes = (const uint8_t *)index + at;
    uint8_t few[VL] = {0};
    if (p->wide) return v_bits(pool_load((const float *)index, at, n, limit));
    if (n == VL || at + VL <= limit) return v_load_bytes(bytes);
    memcpy(few, bytes, (size_t)n);
    return v_load_bytes(few);
}
static inline int pool_lanes(int64_t c, int64_t c1) { return c1 - c < VL ? (int)(c1 - c) : VL; }

/* How far stores of a row may overhang: not at all where another thread owns the neighbouring channels. */
static inline int64_t pool_limit(const fnn_pool *p, int64_t c0, int64_t c1, int64_t row_elements) {
    return c0 == 0 && c1 == p->c ? row_elements : 0;
}

/* ---- maximum -------------------------------------------------------------------------------------------- */

/* x: the image; y, index: the output row o of it, pixels [w0, w1), channels [c0, c1). The first of equal values wins,
 * NaN before all; a window without a tap gives -inf and index 0. */
static void max_pool_pixels(const fnn_pool *p, int64_t o, int64_t w0, int64_t w1, int64_t c0, int64_t c1,
                            const float *x, float *y, void *index) {
    const fnn_window rows = p->h.window[o];
    const int64_t row_step = p->h.step * p->w.in * p->c, col_step = p->w.step * p->c;
    const int64_t x_limit = p->h.in * p->w.in * p->c, y_limit = pool_limit(p, c0, c1, p->w.out * p->c);
    for (int64_t ow = w0; ow < w1; ow++) {
        const fnn_window cols = p->w.window[ow];
        const int64_t from = (rows.first * p->w.in + cols.first) * p->c;
        const int64_t first = rows.count > 0 && cols.count > 0 ? rows.label + cols.label : 0;
        for (int64_t c = c0; c < c1; c += VL) {
            const int n = pool_lanes(c, c1);
            vf best = v_set1(-INFINITY);
            vi place = pool_label(first);
            for (int64_t i = 0; i < rows.count; i++) {
                for (int64_t j = 0; j < cols.count; j++) {
                    const vf value = pool_load(x, from + c + i * row_step + j * col_step, n, x_limit);
                    const vm better = vm_and(v_ordered(best, best), vm_not(v_le(value, best)));
                    const int64_t label = rows.label + i * p->h.label_step + cols.label + j * p->w.label_step;
                    best = v_sel(better, value, best);
                    place = v_bits(v_sel(better, v_float(pool_label(label)), v_float(place)));
                }
            }
            pool_store(y, ow * p->c + c, best, n, y_limit);
            pool_store_index(p, index, ow * p->c + c, place, n, y_limit);
        }
    }
}

/* dy, index: the whole output image; dx: the row i of the input image, pixels [j0, j1). */
static void max_pool_bwd_pixels(const fnn_pool *p, int64_t i, int64_t j0, int64_t j1, int64_t c0, int64_t c1,
                                const float *dy, const void *index, float *dx) {
    const fnn_cover rows = p->h.cover[i];
    const int64_t dy_limit = p->h.out * p->w.out * p->c, dx_limit = pool_limit(p, c0, c1, p->w.in * p->c);
    for (int64_t j = j0; j < j1; j++) {
        const fnn_cover cols = p->w.cover[j];
        for (int64_t c = c0; c < c1; c += VL) {
            const int n = pool_lanes(c, c1);
            vf sum = v_zero();
            for (int64_t a = rows.lo; a < rows.hi; a++) {
                const fnn_hit row = p->h.hit[a];
                for (int64_t b = cols.lo; b < cols.hi; b++) {
                    const fnn_hit col = p->w.hit[b];
                    const int64_t at = (row.window * p->w.out + col.window) * p->c + c;
                    const vi place = pool_load_index(p, index, at, n, dy_limit);
                    const vm won = v_same(place, pool_label(row.label + col.label));
                    sum += v_sel(won, pool_load(dy, at, n, dy_limit), v_zero());
                }
            }
            pool_store(dx, j * p->c + c, sum, n, dx_limit);
        }
    }
}

/* ---- average -------------------------------------------------------------------------------------------- */

static inline float pool_divisor(const fnn_pool *p, fnn_window rows, fnn_window cols) {
    return p->divisor != 0 ? (float)p->divisor : (float)(rows.size * cols.size);
}

/* Rows of a window are summed first, then their sums: less rounding in large windows. */
static inline vf pool_window_sum(const fnn_pool *p, const float *x, int64_t from, fnn_window rows, fnn_window cols,
                                 int n, int64_t limit) {
    vf sum = v_zero();
    for (int64_t i = 0; i < rows.count; i++) {
        vf row = v_zero();
        for (int64_t j = 0; j < cols.count; j++) row += pool_load(x, from + (i * p->w.in + j) * p->c, n, limit);
        sum += row;
    }
    return sum;
}

static void avg_pool_pixels(const fnn_pool *p, int64_t o, int64_t w0, int64_t w1, int64_t c0, int64_t c1,
                            const float *x, float *y) {
    const fnn_window rows = p->h.window[o];
    const int64_t x_limit = p->h.in * p->w.in * p->c, y_limit = pool_limit(p, c0, c1, p->w.out * p->c);
    for (int64_t ow = w0; ow < w1; ow++) {
        const fnn_window cols = p->w.window[ow];
        const int64_t from = (rows.first * p->w.in + cols.first) * p->c;
        const vf divisor = v_set1(pool_divisor(p, rows, cols));
        for (int64_t c = c0; c < c1; c += VL) {
            const int n = pool_lanes(c, c1);
            const vf sum = pool_window_sum(p, x, from + c, rows, cols, n, x_limit);
            pool_store(y, ow * p->c + c, sum / divisor, n, y_limit);
        }
    }
}

/* One window for the whole image: the quotient is computed once and copied along the row. */
static void avg_pool_bwd_global(const fnn_pool *p, int64_t c0, int64_t c1, const float *dy, float *dx) {
    const vf divisor = v_set1(pool_divisor(p, p->h.window[0], p->w.window[0]));
    for (int64_t c = c0; c < c1; c += VL) {
        const int n = pool_lanes(c, c1);
        const vf share = pool_load(dy, c, n, 0) / divisor;
        for (int64_t j = 0; j < p->w.in; j++) pool_store(dx, j * p->c + c, share, n, 0);
    }
}

static void avg_pool_bwd_pixels(const fnn_pool *p, int64_t i, int64_t j0, int64_t j1, int64_t c0, int64_t c1,
                                const float *dy, float *dx) {
    const fnn_cover rows = p->h.cover[i];
    const int64_t dy_limit = p->h.out * p->w.out * p->c, dx_limit = pool_limit(p, c0, c1, p->w.in * p->c);
    for (int64_t j = j0; j < j1; j++) {
        const fnn_cover cols = p->w.cover[j];
        for (int64_t c = c0; c < c1; c += VL) {
            const int n = pool_lanes(c, c1);
            vf sum = v_zero();
            for (int64_t a = rows.lo; a < rows.hi; a++) {
                for (int64_t b = cols.lo; b < cols.hi; b++) {
                    const int64_t oh = p->h.hit[a].window, ow = p->w.hit[b].window;
                    const vf divisor = v_set1(pool_divisor(p, p->h.window[oh], p->w.window[ow]));
                    sum += pool_load(dy, (oh * p->w.out + ow) * p->c + c, n, dy_limit) / divisor;
                }
            }
            pool_store(dx, j * p->c + c, sum, n, dx_limit);
        }
    }
}

/* ---- power mean ----------------------------------------------------------------------------------------- */

static inline vf lp_power(vf x, double exponent) {
    if (exponent == 0.0) return v_set1(1.0f);
    if (exponent == 1.0) return x;
    if (exponent == 2.0) return x * x;
    if (exponent == 0.5) return v_sqrt(x);
    if (exponent == -1.0) return v_set1(1.0f) / x;
    return v_pow(x, exponent);
}

/* A window cut by the border counts as its mean times the full size. */
static inline float lp_scale(const fnn_pool *p, fnn_window rows, fnn_window cols) {
    return (float)(p->window_size / (double)(rows.size * cols.size));
}

static void lp_pool_pixels(const fnn_pool *p, int64_t o, int64_t w0, int64_t w1, int64_t c0, int64_t c1,
                           const float *x, float *y) {
    const fnn_window rows = p->h.window[o];
    const double norm = p->norm_type, root = 1.0 / p->norm_type;
    const int64_t x_limit = p->h.in * p->w.in * p->c, y_limit = pool_limit(p, c0, c1, p->w.out * p->c);
    for (int64_t ow = w0; ow < w1; ow++) {
        const fnn_window cols = p->w.window[ow];
        const int64_t from = (rows.first * p->w.in + cols.first) * p->c;
        const vf scale = v_set1(lp_scale(p, rows, cols));
        for (int64_t c = c0; c < c1; c += VL) {
            const int n = pool_lanes(c, c1);
            vf sum = v_zero();
            for (int64_t i = 0; i < rows.count; i++)
                for (int64_t j = 0; j < cols.count; j++)
                    sum += lp_power(pool_load(x, from + c + (i * p->w.in + j) * p->c, n, x_limit), norm);
            pool_store(y, ow * p->c + c, lp_power(sum * scale, root), n, y_limit);
        }
    }
}

/* x, dx: the row i of the input image, pixels [j0, j1); y, dy: the whole output image. x_limit: elements of x from that
 * row on. */
static void lp_pool_bwd_pixels(const fnn_pool *p, int64_t i, int64_t j0, int64_t j1, int64_t c0, int64_t c1,
                               const float *dy, const float *x, const float *y, float *dx) {
    const fnn_cover rows = p->h.cover[i];
    const double norm = p->norm_type;
    const int64_t x_limit = (p->h.in - i) * p->w.in * p->c, dx_limit = pool_limit(p, c0, c1, p->w.in * p->c);
    const int64_t y_limit = p->h.out * p->w.out * p->c;
    for (int64_t j = j0; j < j1; j++) {
        const fnn_cover cols = p->w.cover[j];
        for (int64_t c = c0; c < c1; c += VL) {
            const int n = pool_lanes(c, c1);
            vf sum = v_zero();
            for (int64_t a = rows.lo; a < rows.hi; a++) {
                for (int64_t b = cols.lo; b < cols.hi; b++) {
                    const int64_t oh = p->h.hit[a].window, ow = p->w.hit[b].window;
                    const int64_t at = (oh * p->w.out + ow) * p->c + c;
                    const vf value = pool_load(y, at, n, y_limit), d = pool_load(dy, at, n, y_limit);
                    const vf scale = v_set1(lp_scale(p, p->h.window[oh], p->w.window[ow]));
                    const vf share = d * scale * lp_power(value, 1.0 - norm);
                    sum += v_sel(v_eq(value, v_zero()), v_zero(), share);
                }
            }
            const vf slope = lp_power(pool_load(x, j * p->c + c, n, x_limit), norm - 1.0);
            pool_store(dx, j * p->c + c, sum * slope, n, dx_limit);
        }
    }
}

#endif
