/* Elementwise formulas with one data operand, and their kernels. A tail is a partial vector through the same formula,
 * so a value never depends on where in an array it stands. */
#ifndef FASTNN_KERNELS_ELTWISE_H
#define FASTNN_KERNELS_ELTWISE_H

#include "math.h"
#include "types.h"

/* ---- y = act(x); a and b are the operation's numbers ---- */

static inline vf act_relu(vf x, vf a, vf b) {
    (void)a, (void)b;
    return v_max(v_zero(), x);
}
static inline vf act_leaky_relu(vf x, vf a, vf b) {
    (void)b;
    return v_sel(v_lt(v_zero(), x), x, x * a);
}
static inline vf act_sigmoid(vf x, vf a, vf b) {
    (void)a, (void)b;
    return v_sigmoid(x);
}
static inline vf act_tanh(vf x, vf a, vf b) {
    (void)a, (void)b;
    return v_tanh(x);
}
static inline vf act_silu(vf x, vf a, vf b) {
    (void)a, (void)b;
    return v_silu(x);
}
static inline vf act_relu6(vf x, vf a, vf b) {
    (void)a, (void)b;
    return v_clip(x, 0.0f, 6.0f);
}
static inline vf act_hardsigmoid(vf x, vf a, vf b) {
    (void)a, (void)b;
    return v_clip(x + 3.0f, 0.0f, 6.0f) / 6.0f;
}
static inline vf act_hardswish(vf x, vf a, vf b) {
    (void)a, (void)b;
    return x * v_clip(x + 3.0f, 0.0f, 6.0f) / 6.0f;
}
/* The bounds here and below keep infinities from meeting zeros; beyond them the result is 0 or x anyway. */
static inline vf act_gelu_erf(vf x) { return v_gelu(x); }
/* 0.5 (1 + tanh u) is sigmoid(2u), which keeps its precision on the negative side. */
static inline vf gelu_tanh_argument(vf x) {
    const vf c = v_set1(1.59576912f);
    return x * v_fma(x * x, c * 0.044715f, c);
}
static inline vf act_gelu_tanh(vf x) { return v_max(v_set1(-64.0f), x) * v_sigmoid(gelu_tanh_argument(x)); }
static inline vf act_elu(vf x, vf a, vf b) {
    (void)b;
    return v_sel(v_lt(v_zero(), x), x, a * v_expm1(v_min(v_zero(), x)));
}
static inline vf act_softplus(vf x, vf beta, vf threshold) {
    const vf z = x * beta;
    return v_sel(v_lt(threshold, z), x, v_log1p_exp(z) * (1.0f / beta));
}
static inline vf act_exp(vf x, vf a, vf b) {
    (void)a, (void)b;
    return v_exp(x);
}
static inline vf act_log(vf x, vf a, vf b) {
    (void)a, (void)b;
    return v_log(x);
}
static inline vf act_sqrt(vf x, vf a, vf b) {
    (void)a, (void)b;
    return v_sqrt(x);
}
static inline vf act_abs(vf x, vf a, vf b) {
    (void)a, (void)b;
    return v_abs(x);
}
static inline vf act_sign(vf x, vf a, vf b) {
    (void)a, (void)b;
    return v_sel(v_lt(v_zero(), x), v_set1(1.0f), v_sel(v_lt(x, v_zero()), v_set1(-1.0f), x));
}
static inline vf act_clamp(vf x, vf lo, vf hi) { return v_min(hi, v_max(lo, x)); }
static inline vf act_hardtanh(vf x, vf lo, vf hi) { return act_clamp(x, lo, hi); }
static inline vf act_affine(vf x, vf scale, vf shift) { return v_fma(x, scale, shift); }

/* ---- dx from dy and the saved x (or y, where the formula is simpler in it) ---- */

static inline vf act_relu_bwd(vf dy, vf y, vf a, vf b) {
    (void)a, (void)b;
    return v_sel(v_le(y, v_zero()), v_zero(), dy);
}
static inline vf act_leaky_relu_bwd(vf dy, vf x, vf a, vf b) {
    (void)b;
    return v_sel(v_lt(v_zero(), x), dy, dy * a);
}
static inline vf act_sigmoid_bwd(vf dy, vf y, vf a, vf b) {
    (void)a, (void)b;
    return dy * (1.0f - y) * y;
}
static inline vf act_tanh_bwd(vf dy, vf y, vf a, vf b) {
    (void)a, (void)b;
    return dy * v_fma(-y, y, v_set1(1.0f));
}
static inline vf act_silu_bwd(vf dy, vf x, vf a, vf b) {
    (void)a, (void)b;
    vf other;
    const vf near = v_clip(x, -88.0f, 88.0f), s = v_logistic(near, &other);
    return dy * v_fma(near * s, other, s);
}
static inline vf act_relu6_bwd(vf dy, vf x, vf a, vf b) {
    (void)a, (void)b;
    return v_sel(vm_or(v_le(x, v_zero()), v_le(v_set1(6.0f), x)), v_zero(), dy);
}
/* At the limits themselves PyTorch's hardtanh has no gradient, and its clamp has one. */
static inline vf act_hardtanh_bwd(vf dy, vf x, vf lo, vf hi) {
    return v_sel(vm_or(v_le(x, lo), v_le(hi, x)), v_zero(), dy);
}
static inline vf act_hardsigmoid_bwd(vf dy, vf x, vf a, vf b) {
    (void)a, (void)b;
    return v_sel(vm_and(v_lt(v_set1(-3.0f), x), v_lt(x, v_set1(3.0f))), dy / 6.0f, v_zero());
}
static inline vf act_hardswish_bwd(vf dy, vf x, vf a, vf b) {
    (void)a, (void)b;
    const vf inside = dy * (x / 3.0f + 0.5f);
    return v_sel(v_le(x, v_set1(-3.0f)), v_zero(), v_sel(v_lt(x, v_set1(3.0f)), inside, dy));
}
static inline vf act_gelu_erf_bwd(vf dy, vf x) { return dy * v_normal_cdf_slope(x); }
static inline vf act_gelu_tanh_bwd(vf dy, vf x) {
    const vf u = v_clip(x, -64.0f, 64.0f), c = v_set1(1.59576912f);
    vf other;
    const vf s = v_sigmoid_both(gelu_tanh_argument(u), &other);
    const vf slope = v_fma(u * u, c * (3.0f * 0.044715f), c);
    return dy * (s * v_fma(u * slope, other, v_set1(1.0f)));
}
static inline vf act_elu_bwd(vf dy, vf x, vf a, vf b) {
    (void)b;
    return v_sel(v_lt(v_zero(), x), dy, dy * a * v_exp(v_min(v_zero(), x)));
}
static inline vf act_softplus_bwd(vf dy, vf x, vf beta, vf threshold) {
    const vf z = x * beta;
    return v_sel(v_lt(threshold, z), dy, dy * v_sigmoid(z));
}
static inline vf act_clamp_bwd(vf dy, vf x, vf lo, vf hi) {
    return v_sel(vm_and(v_le(lo, x), v_le(x, hi)), dy, v_zero());
}

/* ---- kernels: n elements of x (and dy) to y; y may be x or dy, but not where stream asks that it goes past caches */

/* What takes long stores past the caches itself, while it computes; what does not has its pieces copied there. A
 * constant for each kernel, so those of the second kind have one loop. */
#define ELTWISE_PAST(cost, reads) (FNN_ELT_STREAMS(cost, reads) && stream && (uintptr_t)y % sizeof(vf) == 0)
static inline void eltwise_put(float *y, vf value, int past) {
    if (past)
        v_stream(y, value);
    else
        v_store(y, value);
}

#define ELTWISE_LOOP(formula)                                                                                        \
    do {                                                                                                             \
        int64_t i = 0;                                                                                               \
        for (; i + VL <= n; i += VL) {                                                                               \
            v_soon(x + i + FNN_SOON);                                                                                \
            const vf v = v_load(x + i);                                                                              \
            eltwise_put(y + i, formula, past);                                                                       \
        }                                                                                                            \
        if (i < n) {                                                                                                 \
            const vf v = v_load_n(x + i, (int)(n - i));                                                              \
            v_store_n(y + i, formula, (int)(n - i));                                                                 \
        }                                                                                                            \
    } while (0)

#define ELTWISE_LOOP_BWD(formula)                                                                                    \
    do {                                                                                                             \
        int64_t i = 0;                                                                                               \
        for (; i + VL <= n; i += VL) {                                                                               \
            v_soon(dy + i + FNN_SOON), v_soon(x + i + FNN_SOON);                                                     \
            const vf g = v_load(dy + i), v = v_load(x + i);                                                          \
            eltwise_put(y + i, formula, past);                                                                       \
        }                                                                                                            \
        if (i < n) {                                                                                                 \
            const vf g = v_load_n(dy + i, (int)(n - i)), v = v_load_n(x + i, (int)(n - i));                          \
            v_store_n(y + i, formula, (int)(n - i));                                                                 \
        }                                                                                                            \
    } while (0)

/* gelu: a is 0 for the exact form, 1 for the one with tanh. */
static void elt_gelu(int64_t n, const float *x, float *y, double a, double b, int stream) {
    const int past = ELTWISE_PAST(48, 1);
    (void)b;
    if (a != 0.0)
        ELTWISE_LOOP(act_gelu_tanh(v));
    else
        ELTWISE_LOOP(act_gelu_erf(v));
}
static void elt_gelu_bwd(int64_t n, const float *dy, const float *x, float *y, double a, double b, int stream) {
    const int past = ELTWISE_PAST(50, 2);
    (void)b;
    if (a != 0.0)
        ELTWISE_LOOP_BWD(act_gelu_tanh_bwd(g, v));
    else
        ELTWISE_LOOP_BWD(act_gelu_erf_bwd(g, v));
}

/* Small whole powers are products, so that whole numbers keep their exact results. */
static void elt_pow(int64_t n, const float *x, float *y, double a, double b, int stream) {
    const int past = 0;
    (void)b, (void)stream;
    if (a == 0.0)
        ELTWISE_LOOP(((void)v, v_set1(1.0f)));
    else if (a == 1.0)
        ELTWISE_LOOP(v);
    else if (a == 2.0)
        ELTWISE_LOOP(v * v);
    else if (a == 3.0)
        ELTWISE_LOOP(v * v * v);
    else if (a == 4.0)
        ELTWISE_LOOP((v * v) * (v * v));
    else if (a == 0.5)
        ELTWISE_LOOP(v_sqrt(v));
    else if (a == -1.0)
        ELTWISE_LOOP(1.0f / v);
    else if (a == -2.0)
        ELTWISE_LOOP(1.0f / (v * v));
    else
        ELTWISE_LOOP(v_pow(v, a));
}

#define FNN_UNARY(name, cost)                                                                                        \
    static void elt_##name(int64_t n, const float *x, float *y, double pa, double pb, int stream) {                  \
        const int past = ELTWISE_PAST(cost, 1);                                                                      \
        (void)stream;                                                                                                \
        const vf a = v_set1((float)pa), b = v_set1((float)pb);                                                       \
        ELTWISE_LOOP(act_##name(v, a, b));                                                                           \
    }
#define FNN_UNARY_BWD(name, cost)                                                                                    \
    static void elt_##name(int64_t n, const float *dy, const float *x, float *y, double pa, double pb, int stream) { \
        const int past = ELTWISE_PAST(cost, 2);                                                                      \
        (void)stream;                                                                                                \
        const vf a = v_set1((float)pa), b = v_set1((float)pb);                                                       \
        ELTWISE_LOOP_BWD(act_##name(g, v, a, b));                                                                    \
    }
#define FNN_UNARY_OWN(name, cost)
#define FNN_UNARY_BWD_OWN(name, cost)
#include "eltwise.inc"
#undef FNN_UNARY
#undef FNN_UNARY_BWD
#undef FNN_UNARY_OWN
#undef FNN_UNARY_BWD_OWN

#endif
