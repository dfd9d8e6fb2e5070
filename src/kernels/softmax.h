/* Softmax and its logarithm: along a contiguous row, or along the rows of a (n, width) panel for each column. The
 * maximum is taken off first, so nothing overflows; rows of only -inf give NaN as in PyTorch. */
#ifndef FASTNN_KERNELS_SOFTMAX_H
#define FASTNN_KERNELS_SOFTMAX_H

#include "reduce.h"

/* A partial vector whose missing lanes are -inf. */
static inline vf v_load_or_least(const float *p, int n) {
    return v_sel(v_head(n), v_load_n(p, n), v_set1(-INFINITY));
}

/* NaN may get lost here: it comes back through the sum. */
static inline float softmax_max(int64_t n, const float *x) {
    vf max = v_set1(-INFINITY);
    for (int64_t i = 0; i < n; i += VL) max = v_max(max, v_load_or_least(x + i, n - i < VL ? (int)(n - i) : VL));
    return v_hmax(max);
}

/* One vector holds the whole row. */
static inline vf softmax_short(int n, const float *x) {
    const vf v = v_load_or_least(x, n), e = v_exp(v - v_hmax(v));
    return e * (1.0f / v_sum(e));
}

/* The sum of e^(x - max) over the row; e^(x - max) is kept in y unless that is NULL. */
static inline double softmax_exp_sum(int64_t n, const float *x, float max, float *y) {
    double total = 0;
    for (int64_t start = 0; start < n; start += REDUCE_BLOCK * VL) {
        const int64_t end = n - start < REDUCE_BLOCK * VL ? n : start + REDUCE_BLOCK * VL;
        vf sum = v_zero();
        for (int64_t i = start; i < end; i += VL) {
            const int m = end - i < VL ? (int)(end - i) : VL;
            const vf e = v_exp(v_load_or_least(x + i, m) - max);
            sum = sum + e;
            if (y) v_store_n(y + i, e, m);
        }
        total += v_sum(sum);
    }
    return total;
}

static void softmax_row(int64_t n, const float *x, float *y) {
    if (n <= VL) {
        v_store_n(y, softmax_short((int)n, x), (int)n);
        return;
    }
    const float max = softmax_max(n, x);
    const float scale = (float)(1.0 / softmax_exp_sum(n, x, max, y));
    for (int64_t i = 0; i < n; i += VL) {
        const int m = n - i < VL ? (int)(n - i) : VL;
        v_store_n(y + i, v_load_n(y + i, m) * scale, m);
    }
}

static void log_softmax_row(int64_t n, const float *x, float *y) {
    const float max = softmax_max(n, x);
    const float log_sum = (float)log(softmax_exp_sum(n, x, max, NULL));
    for (int64_t i = 0; i < n; i += VL) {
        const int m = n - i < VL ? (int)(n - i) : VL;
        v_store_n(y + i, (v_load_n(x + i, m) - max) - log_sum, m);
    }
}

/* dx = y (dy - sum(dy y)) */
static void softmax_bwd_row(int64_t n, const float *dy, const float *y, float *dx) {
    double total = 0;
    for (int64_t start = 0; start < n; start += REDUCE_BLOCK * VL) {
        const int64_t end = n - start < REDUCE_BLOCK * VL ? n : start + REDUCE_BLOCK * VL;
        vf sum = v_zero();
        for (int64_t i = start; i < end; i += VL) {
            const int m = end - i < VL ? (int)(end - i) : VL;
            sum = v_fma(v_load_n(dy + i, m), v_load_n(y + i, m), sum);
        }
        total += v_sum(sum);
    }
    for (int64_t i = 0; i < n; i += VL) {
        const int m = n - i < VL ? (int)(n - i) : VL;
        v_store_n(dx + i, v_load_n(y + i, m) * (v_load_n(dy + i, m) - (float)total), m);
    }
}

/* dx = dy - e^y sum(dy) */
static void log_softmax_bwd_row(int64_t n, const float *dy, const float *y, float *dx) {
    const vf minus_total = v_set1(-(float)reduce_sum_row(n, dy));
    for (int64_t i = 0; i < n; i += VL) {
        const int m = n - i < VL ? (int)(n - i) : VL;
        v_store_n(dx + i, v_fma(v_exp(v_load_n(y + i, m)), minus_total, v_load_n(dy + i, m)), m);
    }
}

/* ---- columns: n rows `stride` apart; one strip of m <= VL columns at a time ---- */

/* The sum over the rows of value, which may use the row's offset o, in blocks: the error of the sum of the blocks'
 * sums stays far below that of one running sum. */
#define STRIP_SUM(sum, value)                                                                                        \
    vf sum = v_zero();                                                                                               \
    for (int64_t first = 0; first < n; first += REDUCE_BLOCK) {                                                      \
        const int64_t end = n - first < REDUCE_BLOCK ? n : first + REDUCE_BLOCK;                                     \
        vf part = v_zero();                                                                                          \
        for (int64_t r = first; r < end; r++) {                                                                      \
            const int64_t o = r * stride + i;                                                                        \
            part = part + (value);                                                                                   \
        }                                                                                                            \
        sum = sum + part;                                                                                            \
    }
#define STRIP_STORE(out, value)                                                                                      \
    for (int64_t r = 0; r < n; r++) {                                                                                \
        const int64_t o = r * stride + i;                                                                            \
        v_store_n((out) + o, value, m);                                                                              \
    }

static inline vf strip_max(int64_t n, int64_t stride, const float *x, int m) {
    vf max = v_load_n(x, m);
    for (int64_t r = 1; r < n; r++) max = v_max_nan(max, v_load_n(x + r * stride, m));
    return max;
}

static void softmax_cols(int64_t n, int64_t width, int64_t stride, const float *x, float *y) {
    for (int64_t i = 0; i < width; i += VL) {
        const int m = width - i < VL ? (int)(width - i) : VL;
        const vf max = strip_max(n, stride, x + i, m);
        STRIP_STORE(y, v_exp(v_load_n(x + o, m) - max))
        STRIP_SUM(sum, v_load_n(y + o, m))
        const vf scale = 1.0f / sum;
        STRIP_STORE(y, v_load_n(y + o, m) * scale)
    }
}

static void log_softmax_cols(int64_t n, int64_t width, int64_t stride, const float *x, float *y) {
    for (int64_t i = 0; i < width; i += VL) {
        const int m = width - i < VL ? (int)(width - i) : VL;
        const vf max = strip_max(n, stride, x + i, m);
        STRIP_SUM(sum, v_exp(v_load_n(x + o, m) - max))
        const vf log_sum = v_log(sum);
        STRIP_STORE(y, (v_load_n(x + o, m) - max) - log_sum)
    }
}

static void softmax_bwd_cols(int64_t n, int64_t width, int64_t stride, const float *dy, const float *y, float *dx) {
    for (int64_t i = 0; i < width; i += VL) {
        const int m = width - i < VL ? (int)(width - i) : VL;
        STRIP_SUM(sum, v_load_n(dy + o, m) * v_load_n(y + o, m))
        STRIP_STORE(dx, v_load_n(y + o, m) * (v_load_n(dy + o, m) - sum))
    }
}

static void log_softmax_bwd_cols(int64_t n, int64_t width, int64_t stride, const float *dy, const float *y,
                                 float *dx) {
    for (int64_t i = 0; i < width; i += VL) {
        const int m = width - i < VL ? (int)(width - i) : VL;
        STRIP_SUM(sum, v_load_n(dy + o, m))
        STRIP_STORE(dx, v_fma(v_exp(v_load_n(y + o, m)), -sum, v_load_n(dy + o, m)))
    }
}

#endif
