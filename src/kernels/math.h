/* Elementary functions on vectors, a few units in the last place from the truth at every level. Every product that
 * is added to something is a v_fma, so that a compiler free to contract has nothing to choose.
 *
 * NaN stays NaN. v_max and v_min return their second argument where either is NaN, hence the order of arguments. */
#ifndef FASTNN_KERNELS_MATH_H
#define FASTNN_KERNELS_MATH_H

#define SIGN_BIT INT32_MIN

static inline vf v_copysign(vf size, vf sign) { return v_float(v_bits(size) | (v_bits(sign) & SIGN_BIT)); }
static inline vf v_neg_abs(vf x) { return v_float(v_bits(x) | SIGN_BIT); }
static inline vf v_clip(vf x, float lo, float hi) { return v_min(v_set1(hi), v_max(v_set1(lo), x)); }

/* Minimax polynomials; coefficients from the constant term up. */
static inline vf v_poly(vf x, const float *c, int degree) {
    vf y = v_set1(c[degree]);
    for (int i = degree - 1; i >= 0; i--) y = v_fma(y, x, v_set1(c[i]));
    return y;
}

/* The high part of ln 2 has so few bits that n * hi is exact without FMA too. */
#define LN2_HI 0.693359375f
#define LN2_LO -2.12194440e-4f

/* e^x = 2^n (1 + p): *n and the return value p, for |x| < 200. */
static inline vf v_exp_reduced(vf x, vf *n) {
    static const float c[] = {4.9999994e-01f, 1.666652e-01f, 4.1668393e-02f, 8.368781e-03f, 1.3814467e-03f};
    *n = v_round(x * 1.44269504f);
    vf r = v_fma(*n, v_set1(-LN2_HI), x);
    r = v_fma(*n, v_set1(-LN2_LO), r);
    return v_fma(r * r, v_poly(r, c, 4), r);
}

static inline vf v_exp(vf x) {
    vf n;
    const vf p = v_exp_reduced(v_clip(x, -105.0f, 90.0f), &n);
    return v_scale2(p + 1.0f, n);
}

/* e^x - 1 for x <= 88. */
static inline vf v_expm1(vf x) {
    vf n;
    const vf p = v_exp_reduced(v_clip(x, -25.0f, 88.0f), &n);
    const vf scale = v_scale2(v_set1(1.0f), n);
    return v_fma(p, scale, scale - 1.0f);
}

static inline vf v_log(vf x) {
    static const float c[] = {3.333333e-01f,  -2.500082e-01f,  2.0001227e-01f, -1.6623357e-01f,
                              1.4201759e-01f, -1.3160183e-01f, 1.2761575e-01f, -7.634494e-02f};
    const int32_t sqrt_half = 0x3f3504f3;
    const vf size = v_abs(x);
    const vm tiny = v_lt(size, v_set1(1.17549435e-38f));
    const vi bits = v_bits(v_sel(tiny, size * 33554432.0f, size));
    const vi exponent = (bits - sqrt_half) >> 23;
    const vf e = v_from_int(exponent) - v_sel(tiny, v_set1(25.0f), v_zero());
    const vf f = v_float(bits - v_shl(exponent, 23)) - 1.0f;
    const vf ff = f * f;
    vf y = ff * f * v_poly(f, c, 7);
    y = v_fma(e, v_set1(LN2_LO), y);
    y = v_fma(ff, v_set1(-0.5f), y);
    y = v_fma(e, v_set1(LN2_HI), f + y);
    y = v_sel(v_lt(x, v_set1(INFINITY)), y, x); /* infinity and NaN */
    y = v_sel(v_lt(x, v_zero()), v_set1(NAN), y);
    return v_sel(v_eq(x, v_zero()), v_set1(-INFINITY), y);
}

/* log(1 + x) for 0 <= x <= 1: the rounding error of 1 + x is put back. */
static inline vf v_log1p(vf x) {
    const vf u = x + 1.0f;
    return v_log(u) + (x - (u - 1.0f)) / u;
}

/* log(1 + e^x), for any x. */
static inline vf v_log1p_exp(vf x) { return v_max(v_zero(), x) + v_log1p(v_exp(v_neg_abs(x))); }

/* 1 / (1 + e^-x), and the same of -x in *other, both to full relative precision. */
static inline vf v_sigmoid_both(vf x, vf *other) {
    const vf z = v_exp(v_neg_abs(x));
    const vf large = 1.0f / (z + 1.0f), small = z * large;
    const vm negative = v_lt(x, v_zero());
    *other = v_sel(negative, large, small);
    return v_sel(negative, small, large);
}

static inline vf v_sigmoid(vf x) {
    const vf z = v_exp(v_neg_abs(x));
    return v_sel(v_lt(x, v_zero()), z, v_set1(1.0f)) / (z + 1.0f);
}

static inline vf v_tanh(vf x) {
    const vf t = v_expm1(2.0f * v_min(v_set1(10.0f), v_abs(x)));
    return v_copysign(t / (t + 2.0f), x);
}

/* x / (1 + e^-x), the power of two applied last: what comes before is never smaller than the result. */
static inline vf v_silu(vf x) {
    vf n;
    const vf e = v_exp_reduced(v_neg_abs(v_clip(x, -120.0f, 120.0f)), &n) + 1.0f;
    const vm negative = v_lt(x, v_zero());
    const vf top = v_max(v_set1(-120.0f), x) * v_sel(negative, e, v_set1(1.0f));
    return v_scale2(top / (v_scale2(e, n) + 1.0f), v_sel(negative, n, v_zero()));
}

/* The normal distribution function less 1/2, for |x| < 1. */
static inline vf v_normal_center(vf x) {
    static const float c[] = {3.989423e-01f, -6.649036e-02f, 9.973323e-03f,
                              -1.18633e-03f, 1.1348637e-04f, -7.654209e-06f};
    return x * v_poly(x * x, c, 5);
}

/* The normal distribution function of -z, for z >= 0, and e^(-z^2/2) in *bell: the latter times a polynomial in
 * 4 / (4 + z). The square's rounding error is put back where there is an FMA. */
static inline vf v_normal_tail(vf z, vf *bell) {
    static const float c[] = {9.974633e-02f,  9.952146e-02f,  9.5287874e-02f, 7.301274e-02f,  8.385141e-02f,
                              1.7734375e-02f, 2.2611305e-02f, 5.5879172e-02f, -6.453704e-02f, 1.6892383e-02f};
    const vf near = v_min(v_set1(14.5f), z), square = near * near, lost = v_fma(near, near, -square);
    const vf e = v_exp(square * -0.5f);
    const vf t = 4.0f / (near + 4.0f);
    *bell = v_fma(e, lost * -0.5f, e);
    return (*bell * t) * v_poly(t, c, 9);
}

/* The normal distribution function, and e^(-x^2/2) in *bell. */
static inline vf v_normal_cdf(vf x, vf *bell) {
    const vf tail = v_normal_tail(v_abs(x), bell);
    const vf far = v_sel(v_lt(x, v_zero()), tail, v_fma(tail, v_set1(-1.0f), v_set1(1.0f)));
    return v_sel(v_lt(v_abs(x), v_set1(1.0f)), v_normal_center(x) + 0.5f, far);
}

static inline vf v_erf(vf x) {
    vf bell;
    const vf z = v_abs(x) * 1.41421356f;
    const vf far = v_fma(v_normal_tail(z, &bell), v_set1(-2.0f), v_set1(1.0f));
    return v_copysign(v_sel(v_lt(z, v_set1(1.0f)), 2.0f * v_normal_center(z), far), x);
}

/* Powers go through double: log2 and exp2 need more bits than a float has. */
typedef double vd __attribute__((vector_size(VL * 8)));

static inline vd v_log2_wide(vf x) {
    const int32_t sqrt_half = 0x3f3504f3;
    const vm tiny = v_lt(x, v_set1(1.17549435e-38f));
    const vi bits = v_bits(v_sel(tiny, x * 33554432.0f, x));
    const vi exponent = (bits - sqrt_half) >> 23;
    const vf e = v_from_int(exponent) - v_sel(tiny, v_set1(25.0f), v_zero());
    const vd m = __builtin_convertvector(v_float(bits - v_shl(exponent, 23)), vd);
    const vd s = (m - 1.0) / (m + 1.0), u = s * s;
    vd p = u * 0.2829209067307484 + 0.3199043218311896;
    p = p * u + 0.41220928389220557;
    p = p * u + 0.5770779420744859;
    p = p * u + 0.9617966941142609;
    p = p * u + 2.8853900817778495;
    return s * p + __builtin_convertvector(e, vd);
}

/* x^a for one exponent a and x > 0; 0 and infinity give their limits. */
static inline vf v_pow_positive(vf x, double a) {
    const vd wide = v_log2_wide(x) * a;
    const vf clipped = v_clip(__builtin_convertvector(wide, vf), -160.0f, 160.0f);
    const vf n = v_round(clipped);
    const vd f = wide - __builtin_convertvector(n, vd);
    vd p = f * 0.00015345789106792462 + 0.0013399957618535907;
    p = p * f + 0.009618489243896175;
    p = p * f + 0.05550328711834392;
    p = p * f + 0.24022646886084428;
    p = p * f + 0.6931472057671272;
    p = p * f + 1.0000000005550496;
    vf y = v_scale2(v_clip(__builtin_convertvector(p, vf), 0.5f, 2.0f), n);
    const float at_zero = a > 0 ? 0.0f : INFINITY, at_infinity = a > 0 ? INFINITY : 0.0f;
    y = v_sel(v_eq(x, v_zero()), v_set1(at_zero), y);
    y = v_sel(v_eq(x, v_set1(INFINITY)), v_set1(at_infinity), y);
    return v_sel(v_ordered(x, x), y, x);
}

/* x^a for any x and one exponent: NaN for negative x unless a is whole. */
static inline vf v_pow(vf x, double a) {
    const double whole = floor(a);
    const int odd = whole == a && fmod(whole, 2.0) != 0.0;
    const vf y = v_pow_positive(v_abs(x), a);
    if (whole == a) return odd ? v_copysign(y, x) : y;
    return v_sel(vm_and(v_lt(x, v_zero()), v_lt(v_set1(-INFINITY), x)), v_set1(NAN), y);
}

#endif
