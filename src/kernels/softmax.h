/* Softmax and its logarithm: along a contiguous row, or along the rows of a (n, width) panel for each column. The
 * maximum is taken off first, so nothing overflows; rows of only -inf give NaN as in PyTorch. */
#ifndef FASTNN_KERNELS_SOFTMAX_H
#define FASTNN_KERNELS_SOFTMAX_H

#include "reduce.h"

/* A partial vector whose missing lanes are -inf. */
static inline vf v_load_or_least(const float *p, int n) {
    return v_sel(v_head(n), v_load_n(p, n), v_set1(-INFINITY));
}

/* e^below for below = x - max <= 0. Two roundings of the exponent and that of 1 / ln 2 make 0.97 |below| eps, for the
 * first two are not at their worst together; the rest is less than 3 eps. */
static inline vf softmax_exp(vf below) { return v_exp2_low(below * 1.44269504f, 5); }

/* NaN may get lost here: it comes back through the sum. */
static inline float softmax_max(int64_t n, const float *x) {
    vf m[4];
    for (int k = 0; k < 4; k++) m[k] = v_set1(-INFINITY);
    int64_t i = 0;
    for (; i + 4 * VL <= n; i += 4 * VL)
        for (int k = 0; k < 4; k++) m[k] = v_max(m[k], v_load(x + i + k * VL));
    for (; i + VL <= n; i += VL) m[0] = v_max(m[0], v_load(x + i));
    if (i < n) m[1] = v_max(m[1], v_load_or_least(x + i, (int)(n - i)));
    return v_hmax(v_max(v_max(m[0], m[1]), v_max(m[2], m[3])));
}

/* One vector holds the whole row. */
static inline vf softmax_short(int n, const float *x) {
    const vf v = v_load_or_least(x, n), e = softmax_exp(v - v_hmax(v));
    return e * (1.0f / v_sum(e));
}

/* Of a row whose exponentials are known up to the first whole vector of y, and after the last: y = e scale. Returns
 * what is done. */
static inline int64_t softmax_go_first(const fnn_going *g) {
    const int64_t head = (int64_t)(-(uintptr_t)g->y % sizeof(vf) / sizeof(float));
    const int64_t n = head < g->n ? head : g->n;
    v_store_n(g->y, v_load_n(g->e, (int)n) * g->scale, (int)n);
    return n;
}
static inline void softmax_go_last(const fnn_going *g, int64_t at) {
    for (; at + VL <= g->n; at += VL) v_stream(g->y + at, v_load(g->e + at) * g->scale);
    v_store_n(g->y + at, v_load_n(g->e + at, (int)(g->n - at)) * g->scale, (int)(g->n - at));
}

/* The sum of e^(x - max) over the row; the terms are kept in y unless that is NULL. What lies a row and a bit ahead
 * is asked for. Of the row `before`, unless NULL, elements from *at on are stored on the way. */
static inline __attribute__((always_inline)) double softmax_exp_sum(int64_t n, const float *x, float max, float *y,
                                                                    const fnn_going *before, int64_t *at) {
    const float *going = before ? before->e : NULL;
    float *to = before ? before->y : NULL;
    const int64_t last = before ? before->n - VL : 0;
    const float scale = before ? before->scale : 0.0f;
    int64_t done = before ? *at : 0;
    double total = 0;
    for (int64_t start = 0; start < n; start += REDUCE_BLOCK * VL) {
        const int64_t end = n - start < REDUCE_BLOCK * VL ? n : start + REDUCE_BLOCK * VL;
        vf sum = v_zero();
        int64_t i = start;
        for (; i + VL <= end; i += VL) {
            v_soon(x + n + i + FNN_SOON);
            const vf e = softmax_exp(v_load(x + i) - max);
            sum = sum + e;
            if (y) v_store(y + i, e);
            if (!before || done > last) continue;
            v_stream(to + done, v_load(going + done) * scale);
            done += VL;
        }
        if (i < end) {
            const vf e = softmax_exp(v_load_or_least(x + i, (int)(end - i)) - max);
            sum = sum + e;
            if (y) v_store_n(y + i, e, (int)(end - i));
        }
        total += v_sum(sum);
    }
    if (before) *at = done;
    return total;
}

/* The same, and all of the row before; e gets the terms. n 0: that row alone. */
static double softmax_row_past(int64_t n, const float *x, float *e, const fnn_going *before) {
    int64_t at = softmax_go_first(before);
    const double sum = n > 0 ? softmax_exp_sum(n, x, softmax_max(n, x), e, before, &at) : 0.0;
    softmax_go_last(before, at);
    return sum;
}

/* y = value for each element i of the row; m lanes of it. */
#define ROW_STORE(out, value)                                                                                        \
    do {                                                                                                             \
        int64_t i = 0;                                                                                               \
        for (; i + VL <= n; i += VL) {                                                                               \
            const int m = VL;                                                                                        \
            v_store((out) + i, value);                                                                               \
        }                                                                                                            \
        if (i < n) {                                                                                                 \
            const int m = (int)(n - i);                                                                              \
            v_store_n((out) + i, value, m);                                                                          \
        }                                                                                                            \
    } while (0)
static inline vf row_load(const float *p, int m) { return m == VL ? v_load(p) : v_load_n(p, m); }

static inline void softmax_row(int64_t n, const float *x, float *y) {
    if (n <= VL) {
        v_store_n(y, softmax_short((int)n, x), (int)n);
        return;
    }
    const vf scale = v_set1((float)(1.0 / softmax_exp_sum(n, x, softmax_max(n, x), y, NULL, NULL)));
    ROW_STORE(y, row_load(y + i, m) * scale);
}

static inline void log_softmax_row(int64_t n, const float *x, float *y) {
    if (n <= VL) {
        const vf v = v_load_or_least(x, (int)n), d = v - v_hmax(v);
        v_store_n(y, d - v_log(v_set1(v_sum(softmax_exp(d)))), (int)n);
        return;
    }
    const float max = softmax_max(n, x);
    const float log_sum = (float)log(softmax_exp_sum(n, x, max, NULL, NULL, NULL));
    ROW_STORE(y, (row_load(x + i, m) - max) - log_sum);
}

/* dx = y (dy - sum(dy y)) */
static inline void softmax_bwd_row(int64_t n, const float *dy, const float *y, float *dx) {
    double total = 0;
    for (int64_t start = 0; start < n; start += REDUCE_BLOCK * VL) {
        const int64_t end = n - start < REDUCE_BLOCK * VL ? n : start + REDUCE_BLOCK * VL;
        vf sum = v_zero();
        int64_t i = start;
        for (; i + VL <= end; i += VL) {
            v_soon(dy + n + i), v_soon(y + n + i);
            sum = v_fma(v_load(dy + i), v_load(y + i), sum);
        }
        if (i < end) sum = v_fma(v_load_n(dy + i, (int)(end - i)), v_load_n(y + i, (int)(end - i)), sum);
        total += v_sum(sum);
    }
    const float all = (float)total;
    ROW_STORE(dx, row_load(y + i, m) * (row_load(dy + i, m) - all));
}

/* dx = dy - e^y sum(dy) */
static inline void log_softmax_bwd_row(int64_t n, const float *dy, const float *y, float *dx) {
    const vf minus_total = v_set1(-(float)reduce_sum_row(n, dy));
    ROW_STORE(dx, v_fma(v_exp(row_load(y + i, m)), minus_total, row_load(dy + i, m)));
}

#define SOFTMAX_ROWS(name)                                                                                           \
    static void name##_rows(int64_t rows, int64_t n, const float *x, float *y) {                                     \
        for (int64_t r = 0; r < rows; r++) name##_row(n, x + r * n, y + r * n);                                      \
    }
#define SOFTMAX_BWD_ROWS(name)                                                                                       \
    static void name##_rows(int64_t rows, int64_t n, const float *dy, const float *y, float *dx) {                   \
        for (int64_t r = 0; r < rows; r++) name##_row(n, dy + r * n, y + r * n, dx + r * n);                         \
    }
SOFTMAX_ROWS(softmax)
SOFTMAX_ROWS(log_softmax)
SOFTMAX_BWD_ROWS(softmax_bwd)
SOFTMAX_BWD_ROWS(log_softmax_bwd)

/* ---- columns: n rows `stride` apart; one strip of m <= VL columns at a time ---- */

/* The sum over the rows of value, which may use the row's offset o, in blocks; what rounding loses when the blocks'
 * sums are added is added at the end. */
#define STRIP_SUM(sum, value)                                                                                        \
    vf sum = v_zero(), lost = v_zero();                                                                              \
    for (int64_t first = 0; first < n; first += REDUCE_BLOCK) {                                                      \
        const int64_t end = n - first < REDUCE_BLOCK ? n : first + REDUCE_BLOCK;                                     \
        vf part = v_zero();                                                                                          \
        for (int64_t r = first; r < end; r++) {                                                                      \
            const int64_t o = r * stride + i;                                                                        \
            part = part + (value);                                                                                   \
        }                                                                                                            \
        const vf before = sum;                                                                                       \
        sum = sum + part;                                                                                            \
        lost = lost + ((before - sum) + part);                                                                       \
    }                                                                                                                \
    sum = v_sel(v_ordered(lost, lost), sum + lost, sum);
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
        STRIP_STORE(y, softmax_exp(v_load_n(x + o, m) - max))
        STRIP_SUM(sum, v_load_n(y + o, m))
        const vf scale = 1.0f / sum;
        STRIP_STORE(y, v_load_n(y + o, m) * scale)
    }
}

static void log_softmax_cols(int64_t n, int64_t width, int64_t stride, const float *x, float *y) {
    for (int64_t i = 0; i < width; i += VL) {
        const int m = width - i < VL ? (int)(width - i) : VL;
        const vf max = strip_max(n, stride, x + i, m);
        STRIP_SUM(sum, softmax_exp(v_load_n(x + o, m) - max))
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
