/* Sums and maxima. Floats are added in blocks of at most 64 vectors or rows, whose totals go on in double: the error
 * does not grow with the length, and whole numbers stay exact. */
#ifndef FASTNN_KERNELS_REDUCE_H
#define FASTNN_KERNELS_REDUCE_H

#include "math.h"

#define REDUCE_BLOCK 64

/* The larger; NaN wins. */
static inline vf v_max_nan(vf a, vf b) { return v_sel(vm_or(v_lt(a, b), vm_not(v_ordered(b, b))), b, a); }
static inline double wide_max(double a, double b) { return a < b || b != b ? b : a; }
static inline double wide_add(double a, double b) { return a + b; }
static inline vf v_add(vf a, vf b) { return a + b; }
static inline vf v_itself(vf x) { return x; }
static inline vf v_square(vf x) { return x * x; }

/* NaN in any lane makes the sum of x - x over the lanes that are not infinite NaN. */
static inline float v_hmax_nan(vf x) {
    const vf finite = v_sel(v_eq(v_abs(x), v_set1(INFINITY)), v_zero(), x);
    return v_sum(finite - finite) == 0.0f ? v_hmax(x) : NAN;
}

/* Four independent chains a block; the last vector of the row may be partial and is filled up with the neutral. */
#define REDUCE_ROW(name, neutral, value, combine, across, wide)                                                      \
    static double reduce_##name##_row(int64_t n, const float *x) {                                                   \
        double total = neutral;                                                                                      \
        int64_t i = 0;                                                                                               \
        while (n - i >= VL) {                                                                                        \
            const int64_t end = n - i < REDUCE_BLOCK * VL ? i + (n - i) / VL * VL : i + REDUCE_BLOCK * VL;           \
            vf s0 = v_set1((float)(neutral)), s1 = s0, s2 = s0, s3 = s0;                                             \
            for (; i + 4 * VL <= end; i += 4 * VL) {                                                                 \
                s0 = combine(s0, value(v_load(x + i)));                                                              \
                s1 = combine(s1, value(v_load(x + i + VL)));                                                         \
                s2 = combine(s2, value(v_load(x + i + 2 * VL)));                                                     \
                s3 = combine(s3, value(v_load(x + i + 3 * VL)));                                                     \
            }                                                                                                        \
            for (; i < end; i += VL) s0 = combine(s0, value(v_load(x + i)));                                         \
            total = wide(total, across(combine(combine(s0, s1), combine(s2, s3))));                                  \
        }                                                                                                            \
        if (i < n) {                                                                                                 \
            const vf v = value(v_load_n(x + i, (int)(n - i)));                                                       \
            total = wide(total, across(v_sel(v_head((int)(n - i)), v, v_set1((float)(neutral)))));                   \
        }                                                                                                            \
        return total;                                                                                                \
    }
REDUCE_ROW(sum, 0.0, v_itself, v_add, v_sum, wide_add)
REDUCE_ROW(squares, 0.0, v_square, v_add, v_sum, wide_add)
REDUCE_ROW(max, -INFINITY, v_itself, v_max_nan, v_hmax_nan, wide_max)

/* acc[j] = combine(acc[j], x[r][j] over rows r), for n columns. */
#define REDUCE_COLS(name, neutral, combine, wide)                                                                    \
    static inline void cols_##name(int64_t rows, int n_lanes, const float *x, int64_t x_row, double *acc) {          \
        vf s0 = v_set1((float)(neutral)), s1 = s0, s2 = s0, s3 = s0;                                                 \
        int64_t r = 0;                                                                                               \
        for (; r + 4 <= rows; r += 4) {                                                                              \
            const float *p = x + r * x_row;                                                                          \
            s0 = combine(s0, v_load_n(p, n_lanes));                                                                  \
            s1 = combine(s1, v_load_n(p + x_row, n_lanes));                                                          \
            s2 = combine(s2, v_load_n(p + 2 * x_row, n_lanes));                                                      \
            s3 = combine(s3, v_load_n(p + 3 * x_row, n_lanes));                                                      \
        }                                                                                                            \
        for (; r < rows; r++) s0 = combine(s0, v_load_n(x + r * x_row, n_lanes));                                    \
        float lanes[VL];                                                                                             \
        v_store(lanes, combine(combine(s0, s1), combine(s2, s3)));                                                   \
        for (int j = 0; j < n_lanes; j++) acc[j] = wide(acc[j], lanes[j]);                                           \
    }                                                                                                                \
    static void reduce_##name##_cols(int64_t rows, int64_t n, const float *x, int64_t x_row, double *acc) {          \
        for (int64_t first = 0; first < rows; first += REDUCE_BLOCK) {                                               \
            const int64_t count = rows - first < REDUCE_BLOCK ? rows - first : REDUCE_BLOCK;                         \
            const float *p = x + first * x_row;                                                                      \
            int64_t i = 0;                                                                                           \
            for (; i + VL <= n; i += VL) cols_##name(count, VL, p + i, x_row, acc + i);                              \
            if (i < n) cols_##name(count, (int)(n - i), p + i, x_row, acc + i);                                      \
        }                                                                                                            \
    }
REDUCE_COLS(sum, 0.0, v_add, wide_add)
REDUCE_COLS(max, -INFINITY, v_max_nan, wide_max)

/* 1 when every element is finite: x - x is 0 then, NaN otherwise. */
static int all_finite(int64_t n, const float *x) {
    vf s = v_zero();
    int64_t i = 0;
    for (; i + VL <= n; i += VL) s = s + (v_load(x + i) - v_load(x + i));
    if (i < n) {
        const vf v = v_load_n(x + i, (int)(n - i));
        s = s + (v - v);
    }
    return v_sum(s) == 0.0f;
}

/* amax backward: elements equal to the maximum are counted, then share its gradient. */
static int64_t ties_row(int64_t n, const float *x, float y) {
    int64_t count = 0;
    for (int64_t i = 0; i < n; i++) count += x[i] == y;
    return count;
}
static void spread_row(int64_t n, const float *x, float y, float share, float *dx) {
    for (int64_t i = 0; i < n; i++) dx[i] = x[i] == y ? share : 0.0f;
}
static void ties_cols(int64_t n, const float *x, const float *y, float *count) {
    for (int64_t i = 0; i < n; i++) count[i] += x[i] == y[i] ? 1.0f : 0.0f;
}
static void spread_cols(int64_t n, const float *x, const float *y, const float *share, float *dx) {
    for (int64_t i = 0; i < n; i++) dx[i] = x[i] == y[i] ? share[i] : 0.0f;
}

#endif
