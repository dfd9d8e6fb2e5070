/* Elementwise formulas of two broadcast operands, over rows: y is dense, a and b have any strides. */
#ifndef FASTNN_KERNELS_BINARY_H
#define FASTNN_KERNELS_BINARY_H

#include "math.h"

static inline vf bin_add(vf a, vf b) { return a + b; }
static inline vf bin_sub(vf a, vf b) { return a - b; }
static inline vf bin_mul(vf a, vf b) { return a * b; }
static inline vf bin_div(vf a, vf b) { return a / b; }
static inline vf bin_maximum(vf a, vf b) { return v_sel(v_ordered(a, a), v_max(a, b), a); }
static inline vf bin_minimum(vf a, vf b) { return v_sel(v_ordered(a, a), v_min(a, b), a); }
static inline vf bin_prelu(vf x, vf w) { return v_sel(v_lt(v_zero(), x), x, x * w); }

/* c + sum, and 0 where gate is not positive, as ReLU's gradient; sum or gate may be NULL. */
static void sum_and_gate(float *c, const float *sum, const float *gate, int64_t n) {
    for (int64_t j = 0; j < n; j += VL) {
        const int lanes = n - j < VL ? (int)(n - j) : VL;
        vf v = lanes == VL ? v_load(c + j) : v_load_n(c + j, lanes);
        if (sum) {
            v_soon(sum + j + FNN_SOON);
            v += lanes == VL ? v_load(sum + j) : v_load_n(sum + j, lanes);
        }
        if (gate) {
            v_soon(gate + j + FNN_SOON);
            v = v_sel(v_le(lanes == VL ? v_load(gate + j) : v_load_n(gate + j, lanes), v_zero()), v_zero(), v);
        }
        if (lanes == VL)
            v_store(c + j, v);
        else
            v_store_n(c + j, v, lanes);
    }
}

/* The first n lanes of elements col apart. */
static inline vf v_load_strided(const float *p, int64_t col, int n) {
    if (col == 1) return n == VL ? v_load(p) : v_load_n(p, n);
    if (col == 0) return v_set1(*p);
    float lanes[VL] = {0};
    for (int i = 0; i < n; i++) lanes[i] = p[i * col];
    return v_load(lanes);
}

/* With a_col and b_col constant in the caller, each case is a loop without gathers or tests. */
#define BINARY_ROWS(a_col, b_col, formula)                                                                           \
    for (int64_t r = 0; r < rows->rows; r++) {                                                                       \
        const float *pa = rows->a + r * rows->a_row, *pb = rows->b + r * rows->b_row;                                \
        float *py = rows->y + r * n;                                                                                 \
        int64_t i = 0;                                                                                               \
        for (; i + VL <= n; i += VL) {                                                                               \
            if ((a_col) == 1) v_soon(pa + i + FNN_SOON);                                                             \
            if ((b_col) == 1) v_soon(pb + i + FNN_SOON);                                                             \
            const vf a = v_load_strided(pa + i * (a_col), a_col, VL);                                                \
            const vf b = v_load_strided(pb + i * (b_col), b_col, VL);                                                \
            v_store(py + i, formula);                                                                                \
        }                                                                                                            \
        if (i < n) {                                                                                                 \
            const int rest = (int)(n - i);                                                                           \
            const vf a = v_load_strided(pa + i * (a_col), a_col, rest);                                              \
            const vf b = v_load_strided(pb + i * (b_col), b_col, rest);                                              \
            v_store_n(py + i, formula, rest);                                                                        \
        }                                                                                                            \
    }

#define FNN_BINARY(name, cost)                                                                                       \
    static void binary_##name(const fnn_binary_rows *rows) {                                                         \
        const int64_t n = rows->n;                                                                                   \
        if (rows->a_col == 1 && rows->b_col == 1) {                                                                  \
            BINARY_ROWS(1, 1, bin_##name(a, b))                                                                      \
        } else if (rows->a_col == 1 && rows->b_col == 0) {                                                           \
            BINARY_ROWS(1, 0, bin_##name(a, b))                                                                      \
        } else if (rows->a_col == 0 && rows->b_col == 1) {                                                           \
            BINARY_ROWS(0, 1, bin_##name(a, b))                                                                      \
        } else {                                                                                                     \
            BINARY_ROWS(rows->a_col, rows->b_col, bin_##name(a, b))                                                  \
        }                                                                                                            \
    }
#include "eltwise.inc"
#undef FNN_BINARY

/* dy to the operand that is the extremum, half of it at a tie. which: 0 for a, 1 for b; sign -1 turns minimum into
 * maximum. */
static void binary_extremum_bwd(const fnn_binary_rows *rows, const float *dy, int which, int largest) {
    const int64_t n = rows->n;
    const vf sign = v_set1((which == 0) == (largest != 0) ? 1.0f : -1.0f);
    for (int64_t r = 0; r < rows->rows; r++) {
        const float *pa = rows->a + r * rows->a_row, *pb = rows->b + r * rows->b_row;
        for (int64_t i = 0; i < n; i += VL) {
            const int m = n - i < VL ? (int)(n - i) : VL;
            const vf a = sign * v_load_strided(pa + i * rows->a_col, rows->a_col, m);
            const vf b = sign * v_load_strided(pb + i * rows->b_col, rows->b_col, m);
            const vf g = v_load_n(dy + r * n + i, m);
            v_store_n(rows->y + r * n + i, v_sel(v_lt(a, b), v_zero(), v_sel(v_eq(a, b), g * 0.5f, g)), m);
        }
    }
}

/* dx of prelu, and what each element gives to dw added to acc: rows of a channels-last array, one slope a column
 * (at most a few hundred rows, summed in float) ... */
static void prelu_bwd_cols(int64_t rows, int64_t n, const float *dy, const float *x, const float *w, float *dx,
                           double *acc) {
    for (int64_t i = 0; i < n; i += VL) {
        const int m = n - i < VL ? (int)(n - i) : VL;
        const vf slope = v_load_n(w + i, m);
        vf sum = v_zero();
        for (int64_t r = 0; r < rows; r++) {
            const vf g = v_load_n(dy + r * n + i, m), v = v_load_n(x + r * n + i, m);
            const vm kept = v_lt(v_zero(), v);
            v_store_n(dx + r * n + i, v_sel(kept, g, g * slope), m);
            sum = sum + v_sel(kept, v_zero(), g * v);
        }
        float lanes[VL];
        v_store(lanes, sum);
        for (int j = 0; j < m; j++) acc[i + j] += lanes[j];
    }
}

/* ... and a contiguous run with one slope. */
static double prelu_bwd_run(int64_t n, const float *dy, const float *x, float w, float *dx) {
    double total = 0;
    for (int64_t start = 0; start < n; start += 64 * VL) {
        const int64_t end = n - start < 64 * VL ? n : start + 64 * VL;
        vf sum = v_zero();
        for (int64_t i = start; i < end; i += VL) {
            const int m = end - i < VL ? (int)(end - i) : VL;
            const vf g = v_load_n(dy + i, m), v = v_load_n(x + i, m);
            const vm kept = v_lt(v_zero(), v);
            v_store_n(dx + i, v_sel(kept, g, g * w), m);
            sum = sum + v_sel(kept, v_zero(), g * v);
        }
        total += v_sum(sum);
    }
    return total;
}

#endif
