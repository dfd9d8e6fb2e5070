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
    const vf magic = v_set1(12582912.0f); /* 1.5 * 2^23 pushes the fraction out, rounding to nearest */
    *n = v_fma(x, v_set1(1.44269504f), magic) - magic;
    vf r = v_fma(*n, v_set1(-LN2_HI), x);
    r = v_fma(*n, v_set1(-LN2_LO), r);
    return v_fma(r * r, v_poly(r, c, 4), r);
}

static inline vf v_exp(vf x) {
    vf n;
    const vf p = v_exp_reduced(v_clip(x, -105.0f, 90.0f), &n);
    return v_scale2(p + 1.0f, n);
}

/* The same for x <= 0. */
static inline vf v_exp_low(vf x) {
    vf n;
    const vf p = v_exp_reduced(v_max(v_set1(-105.0f), x), &n);
    return v_scale2(p + 1.0f, n);
}

/* 2^x for x <= 0, 0 below 2^-126: to 1.2 eps with degree 5, 0.6 with 6; 2^0 is 1. */
static inline vf v_exp2_low(vf x, int degree) {
    static const float c5[] = {1.0f, 6.931513e-1f, 2.4016444e-1f, 5.5799913e-2f, 9.01703e-3f, 1.8671302e-3f};
    static const float c6[] = {1.0f,         6.9314706e-1f, 2.4022931e-1f, 5.5485282e-2f,
                               9.675452e-3f, 1.2467846e-3f, 2.1612915e-4f};
    const vf rest = v_above_floor(x);
    return v_scale2_floor(degree == 6 ? v_poly(rest, c6, 6) : v_poly(rest, c5, 5), x);
}

/* e^x - 1 for -25 <= x <= 88. */
static inline vf v_expm1_near(vf x) {
    vf n;
    const vf p = v_exp_reduced(x, &n), scale = v_scale2(v_set1(1.0f), n);
    return v_fma(p, scale, scale - 1.0f);
}

/* e^x - 1 for x <= 88. */
static inline vf v_expm1(vf x) { return v_expm1_near(v_clip(x, -25.0f, 88.0f)); }

/* log(x) for normal numbers x > 0, and for 2^shift x where x is 2^shift times too large. */
static inline vf v_log_shifted(vf x, vf shift) {
    static const float c[] = {3.333333e-01f,  -2.500082e-01f,  2.0001227e-01f, -1.6623357e-01f,
                              1.4201759e-01f, -1.3160183e-01f, 1.2761575e-01f, -7.634494e-02f};
    const int32_t sqrt_half = 0x3f3504f3;
    const vi bits = v_bits(x), exponent = (bits - sqrt_half) >> 23;
    const vf e = v_from_int(exponent) + shift;
    const vf f = v_float(bits - v_shl(exponent, 23)) - 1.0f;
    const vf ff = f * f;
    vf y = ff * f * v_poly(f, c, 7);
    y = v_fma(e, v_set1(LN2_LO), y);
    y = v_fma(ff, v_set1(-0.5f), y);
    return v_fma(e, v_set1(LN2_HI), f + y);
}
static inline vf v_log_normal(vf x) { return v_log_shifted(x, v_zero()); }

static inline vf v_log(vf x) {
    const vf size = v_abs(x);
    const vm tiny = v_lt(size, v_set1(1.17549435e-38f));
    vf y = v_log_shifted(v_sel(tiny, size * 33554432.0f, size), v_sel(tiny, v_set1(-25.0f), v_zero()));
    y = v_sel(v_lt(x, v_set1(INFINITY)), y, x); /* infinity and NaN */
    y = v_sel(v_lt(x, v_zero()), v_set1(NAN), y);
    return v_sel(v_eq(x, v_zero()), v_set1(-INFINITY), y);
}

/* log(1 + x) for 0 <= x <= 1. */
static inline vf v_log1p(vf x) {
    static const float c[] = {8.109301925e-01f,  -1.442633271e-01f, 3.315227106e-02f,
                              -8.463931270e-03f, 2.289615804e-03f,  -6.321326946e-04f,
                              1.810392278e-04f,  -6.698798097e-05f, 2.043993845e-05f};
    return x * v_poly(v_fma(x, v_set1(2.0f), v_set1(-1.0f)), c, 8);
}

/* log(1 + e^x), for any x. */
static inline vf v_log1p_exp(vf x) { return v_max(v_zero(), x) + v_log1p(v_exp_low(v_neg_abs(x))); }

/* 1 / (1 + e^-x), and the same of -x in *other, both to full relative precision. */
static inline vf v_sigmoid_both(vf x, vf *other) {
    const vf z = v_exp_low(v_neg_abs(x));
    const vf large = v_over(v_set1(1.0f), z + 1.0f), small = z * large;
    const vm negative = v_lt(x, v_zero());
    *other = v_sel(negative, large, small);
    return v_sel(negative, small, large);
}

static inline vf v_sigmoid(vf x) {
    const vf z = v_exp_low(v_neg_abs(x));
    return v_over(v_sel(v_lt(x, v_zero()), z, v_set1(1.0f)), z + 1.0f);
}

static inline vf v_tanh(vf x) {
    const vf t = v_expm1_near(2.0f * v_min(v_set1(10.0f), v_abs(x)));
    return v_copysign(v_over(t, t + 2.0f), x);
}

/* e^-r for |r| <= 0.35 and x = r - n ln 2, n whole: e^-x is 2^n times that. degree 6, or 5 to 1e-7. */
static inline vf v_exp_of_minus(vf r, int degree) {
    static const float c6[] = {
        1.0f, -1.0f, 4.999999404e-1f, -1.666651517e-1f, 4.166845605e-2f, -8.369418792e-3f, 1.381314476e-3f};
    static const float c5[] = {1.0f, -1.0f, 4.999920130e-1f, -1.666713357e-1f, 4.189449921e-2f, -8.312049322e-3f};
    return degree == 6 ? v_poly(r, c6, 6) : v_poly(r, c5, 5);
}

/* x / (1 + e^-x), at first 2^16 times as much: nothing overflows or is lost where the result is a normal number. */
static inline vf v_silu(vf x) {
    const float magic = 12582912.0f, few = 16.0f, small = 1.0f / 65536;
    const vf low = v_max(v_set1(-98.0f), x), near = v_min(v_set1(88.0f), low);
    const vf pushed = v_fma(near, v_set1(-1.44269504f), v_set1(magic)), n = pushed - magic;
    const vf r = v_fma(n, v_set1(LN2_LO), v_fma(n, v_set1(LN2_HI), near));
    const vf e = v_scale2(v_exp_of_minus(r, 6), pushed - (magic + few));
    return v_fma(v_over(near, e + small), v_set1(small), low - near); /* beyond 88 it is x */
}

/* 1 / (1 + e^-x), and in *other what it lacks to 1: a few eps of 1 from the truth, for -88 <= x <= 88. */
static inline vf v_logistic(vf x, vf *other) {
    const float magic = 12582912.0f;
    const vf n = v_fma(x, v_set1(-1.44269504f), v_set1(magic)) - magic;
    const vf e = v_scale2(v_exp_of_minus(v_fma(n, v_set1(0.693147182f), x), 5), n);
    const vf y = v_over(v_set1(1.0f), e + 1.0f);
    *other = e * y;
    return y;
}

/* Odd functions of x that are constant beyond +-limit, plus 1/2: x times a polynomial in 2 (x / limit)^2 - 1, whose
 * coefficients do not cancel, and 1/8, about which it rounds less. 0 below -limit. */
static inline vf v_odd_step(vf x, float limit, const float *c, int degree) {
    const vf near = v_clip(x, -limit, limit);
    const vf t = v_fma(near * near, v_set1(2.0f / (limit * limit)), v_set1(-1.0f));
    const vf line = v_fma(near, v_set1(0.125f), v_set1(0.5f));
    return v_sel(v_lt(x, v_set1(-limit)), v_zero(), v_fma(near, v_poly(t, c, degree), line));
}

/* x times the normal distribution function: for negative x -|x| Phi(-|x|), and x more for others. The logarithm of
 * Phi(-|x|) is a polynomial, so far down below -5.4 as makes no difference. */
static inline vf v_gelu(vf x) {
    static const float c[] = {-1.0f,           -1.151105165e+0f, -4.592081904e-1f, -5.249617994e-2f,
                              7.063420489e-3f, -1.369364909e-4f, -1.861801866e-4f, 3.937767906e-5f,
                              -2.834912038e-6f};
    const vf size = v_min(v_set1(12.0f), v_abs(x));
    return v_fma(-size, v_exp2_low(v_poly(size, c, 8), 6), v_max(v_zero(), x));
}

/* The derivative of that, to 2.5e-7. */
static inline vf v_normal_cdf_slope(vf x) {
    static const float c[] = {-7.102236152e-03f, -5.934280902e-02f, 4.605771974e-02f, -4.236553237e-02f,
                              4.455547407e-02f,  -5.093631893e-02f, 5.869454890e-02f, -6.431144476e-02f,
                              6.686614454e-02f,  -6.575407833e-02f, 5.444307253e-02f, -3.633778915e-02f,
                              3.140565380e-02f,  -3.296729550e-02f, 1.603040844e-02f, 1.630099141e-03f,
                              1.886632992e-03f,  -6.890391000e-03f, 2.771489322e-03f};
    return v_odd_step(x, 6.0f, c, 18);
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
