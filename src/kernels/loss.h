/* Losses: rows of classes, and element by element. Sums leave the float lanes for double every few hundred terms. */
#ifndef FASTNN_KERNELS_LOSS_H
#define FASTNN_KERNELS_LOSS_H

#include "softmax.h"
#include "types.h"

#define LOSS_RUN 256 /* elements summed in float before they go to double */

static inline vf loss_load(const float *p, int n) { return n == VL ? v_load(p) : v_load_n(p, n); }
static inline void loss_store(float *p, vf x, int n) {
    if (n == VL)
        v_store(p, x);
    else
        v_store_n(p, x, n);
}
static inline int loss_lanes(int64_t j, int64_t n) { return n - j < VL ? (int)(n - j) : VL; }

/* The first n lanes of x, `rest` in the others. */
static inline vf loss_keep(vf x, int n, float rest) {
    static const float lane[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    return v_sel(v_lt(v_load(lane), v_set1((float)n)), x, v_set1(rest));
}

/* The first n lanes of p, the rest -inf: no maximum, no term of a sum of exponentials, no margin. */
static inline vf loss_load_low(const float *p, int n) {
    return n == VL ? v_load(p) : loss_keep(v_load_n(p, n), n, -INFINITY);
}

/* ---- rows of classes ------------------------------------------------------------------------------------ */

/* The largest of x and the sum of e^(x - largest), which is NaN where x holds one; e, unless NULL, gets the terms. */
static double loss_exp_sum(const float *x, int64_t c, float *largest, float *e) {
    *largest = softmax_max(c, x);
    return e ? softmax_exp_sum(c, x, *largest, e, NULL, NULL) : softmax_exp_sum(c, x, *largest, NULL, NULL, NULL);
}

/* weight (keep t + spread); t NULL: weight spread. */
static inline vf loss_share(const fnn_class_shares *q, int64_t j, int n) {
    vf share = v_set1(q->spread);
    if (q->target) share = v_fma(loss_load(q->target + j, n), v_set1(q->keep), share);
    return q->weight ? share * loss_load(q->weight + j, n) : share;
}

/* Sum of shares times (x - largest - log_sum), *mass = sum of shares. */
static double loss_class_dot(const fnn_class_shares *q, const float *x, int64_t c, float largest, float log_sum,
                             double *mass) {
    double total = 0;
    *mass = 0;
    for (int64_t j = 0; j < c;) {
        const int64_t stop = c - j < LOSS_RUN ? c : j + LOSS_RUN;
        vf sum = v_zero(), shares = v_zero();
        for (; j < stop; j += VL) {
            const int n = loss_lanes(j, c);
            vf share = loss_share(q, j, n);
            if (n < VL) share = loss_keep(share, n, 0.0f); /* spread must not count beyond the classes */
            sum += share * (loss_load(x + j, n) - v_set1(largest) - v_set1(log_sum));
            shares += share;
        }
        total += (double)v_sum(sum);
        *mass += (double)v_sum(shares);
    }
    return total;
}

/* dx = e factor - share scale; e, the terms of loss_exp_sum, may be dx. */
static void loss_class_slope(const fnn_class_shares *q, const float *e, int64_t c, float factor, float scale,
                             float *dx) {
    if (q->spread == 0.0f && !q->target) {
        for (int64_t j = 0; j < c; j += VL) {
            const int n = loss_lanes(j, c);
            loss_store(dx + j, loss_load(e + j, n) * factor, n);
        }
        return;
    }
    for (int64_t j = 0; j < c; j += VL) {
        const int n = loss_lanes(j, c);
        loss_store(dx + j, loss_load(e + j, n) * factor - loss_share(q, j, n) * scale, n);
    }
}

/* Sum of max(0, offset + x)^p for p 1 or 2. */
static double loss_margin_sum(const float *x, int64_t c, float offset, int p) {
    double total = 0;
    for (int64_t j = 0; j < c;) {
        const int64_t stop = c - j < LOSS_RUN ? c : j + LOSS_RUN;
        vf sum = v_zero();
        for (; j < stop; j += VL) {
            const vf over = v_max(v_zero(), loss_load_low(x + j, loss_lanes(j, c)) + v_set1(offset));
            sum += p == 1 ? over : over * over;
        }
        total += (double)v_sum(sum);
    }
    return total;
}

/* dx = scale p max(0, offset + x)^(p - 1), 0 up to the margin; returns the sum of dx. */
static double loss_margin_slope(const float *x, int64_t c, float offset, int p, float scale, float *dx) {
    double total = 0;
    for (int64_t j = 0; j < c;) {
        const int64_t stop = c - j < LOSS_RUN ? c : j + LOSS_RUN;
        vf sum = v_zero();
        for (; j < stop; j += VL) {
            const int n = loss_lanes(j, c);
            const vf over = loss_load_low(x + j, n) + v_set1(offset);
            const vf slope = v_set1(scale) * (p == 1 ? v_set1(1.0f) : over * 2.0f);
            const vf value = v_sel(v_lt(v_zero(), over), slope, v_zero());
            sum += value;
            loss_store(dx + j, value, n);
        }
        total += (double)v_sum(sum);
    }
    return total;
}

/* ---- element by element --------------------------------------------------------------------------------- */

/* max(-100, log(x)) and the same of 1 - x, for x in [0, 1]: the rounding error of 1 - x is put back. */
static inline vf loss_log(vf x) { return v_sel(v_lt(x, v_set1(1.17549435e-38f)), v_set1(-100.0f), v_log_normal(x)); }
static inline vf loss_log_rest(vf x) {
    const vf u = 1.0f - x, lost = (1.0f - u) - x; /* lost is 0 where u is small, so lost / u is lost (1 + x) */
    return loss_log(u) + v_fma(lost, x, lost);
}

static inline vf loss_value(const fnn_pointwise_loss *l, int64_t j, int n) {
    const vf x = loss_load(l->x + j, n), t = loss_load(l->t + j, n), zero = v_zero();
    const vf d = x - t, size = v_abs(d), knee = v_set1(l->knee);
    vf y;
    switch (l->kind) {
    case FNN_LOSS_MSE: return d * d;
    case FNN_LOSS_L1: return size;
    case FNN_LOSS_SMOOTH_L1: return v_sel(v_lt(size, knee), 0.5f * size * size / knee, size - 0.5f * knee);
    case FNN_LOSS_HUBER: return v_sel(v_lt(size, knee), 0.5f * size * size, knee * (size - 0.5f * knee));
    case FNN_LOSS_BCE: {
        y = (t - 1.0f) * loss_log_rest(x) - t * loss_log(x);
        y = v_sel(vm_and(v_le(zero, x), v_le(x, v_set1(1.0f))), y, v_set1(NAN));
        break;
    }
    default: {
        const vf positive = l->pos_weight ? t * loss_load(l->pos_weight + j, n) : t;
        const vf rest = v_log1p(v_exp(v_neg_abs(x)));
        y = positive * (v_max(zero, -x) + rest) + (1.0f - t) * (v_max(zero, x) + rest);
    }
    }
    return l->weight ? y * loss_load(l->weight + j, n) : y;
}

/* The derivative by x. */
static inline vf loss_slope_value(const fnn_pointwise_loss *l, int64_t j, int n) {
    const vf x = loss_load(l->x + j, n), t = loss_load(l->t + j, n), zero = v_zero(), one = v_set1(1.0f);
    const vf d = x - t, knee = v_set1(l->knee);
    const vf sign = v_sel(v_lt(zero, d), one, v_sel(v_lt(d, zero), -one, d)); /* 0 and NaN stay */
    vf y;
    switch (l->kind) {
    case FNN_LOSS_MSE: return d * 2.0f;
    case FNN_LOSS_L1: return sign;
    case FNN_LOSS_SMOOTH_L1: return v_sel(v_lt(v_abs(d), knee), d / knee, sign);
    case FNN_LOSS_HUBER: return v_sel(v_lt(v_abs(d), knee), d, sign * knee);
    case FNN_LOSS_BCE: y = d / v_max(v_set1(1e-12f), (1.0f - x) * x); break;
    default: {
        const vf positive = l->pos_weight ? t * loss_load(l->pos_weight + j, n) : t;
        vf rest;
        const vf s = v_sigmoid_both(x, &rest);
        y = (1.0f - t) * s - positive * rest;
    }
    }
    return l->weight ? y * loss_load(l->weight + j, n) : y;
}

static void loss_each(const fnn_pointwise_loss *l, int64_t from, int64_t to, float *y) {
    for (int64_t j = from; j < to; j += VL) {
        const int n = loss_lanes(j, to);
        loss_store(y + j, loss_value(l, j, n), n);
    }
}

/* One loop a kind: the loops do not choose. */
#define LOSS_EACH_KIND(call)                                                                                         \
    switch (l->kind) {                                                                                               \
        LOSS_CASE(FNN_LOSS_MSE, call)                                                                                \
        LOSS_CASE(FNN_LOSS_L1, call)                                                                                 \
        LOSS_CASE(FNN_LOSS_SMOOTH_L1, call)                                                                          \
        LOSS_CASE(FNN_LOSS_HUBER, call)                                                                              \
        LOSS_CASE(FNN_LOSS_BCE, call)                                                                                \
        LOSS_CASE(FNN_LOSS_BCE_LOGITS, call)                                                                         \
    }
#define LOSS_CASE(name, call)                                                                                        \
    case name: {                                                                                                     \
        const fnn_loss_kind kind = name;                                                                             \
        call;                                                                                                        \
        break;                                                                                                       \
    }

/* Sum over the elements [from, to). */
static inline __attribute__((always_inline)) double loss_sum_of(const fnn_pointwise_loss *given, fnn_loss_kind kind,
                                                                int64_t from, int64_t to) {
    fnn_pointwise_loss l = *given;
    double total = 0;
    l.kind = kind;
    for (int64_t j = from; j < to;) {
        const int64_t stop = to - j < LOSS_RUN ? to : j + LOSS_RUN;
        vf sum = v_zero();
        for (; j + VL <= stop; j += VL) {
            v_soon(l.x + j + FNN_SOON), v_soon(l.t + j + FNN_SOON);
            sum += loss_value(&l, j, VL);
        }
        if (j < stop) {
            float lanes[VL];
            v_store(lanes, loss_value(&l, j, (int)(stop - j)));
            for (int i = 0; i < (int)(stop - j); i++) total += (double)lanes[i];
            j = stop;
        }
        total += (double)v_sum(sum);
    }
    return total;
}

static double loss_sum(const fnn_pointwise_loss *l, int64_t from, int64_t to) {
    double total = 0;
    LOSS_EACH_KIND(total = loss_sum_of(l, kind, from, to))
    return total;
}

/* dx = slope dy; dy NULL: slope scale. */
static inline __attribute__((always_inline)) void loss_slope_of(const fnn_pointwise_loss *given, fnn_loss_kind kind,
                                                                int64_t from, int64_t to, const float *dy,
                                                                float scale, float *dx) {
    fnn_pointwise_loss l = *given;
    l.kind = kind;
    for (int64_t j = from; j < to; j += VL) {
        const int n = loss_lanes(j, to);
        v_soon(l.x + j + FNN_SOON), v_soon(l.t + j + FNN_SOON);
        const vf factor = dy ? loss_load(dy + j, n) : v_set1(scale);
        loss_store(dx + (j - from), loss_slope_value(&l, j, n) * factor, n);
    }
}

/* dx, from its element `from` on. */
static void loss_slope(const fnn_pointwise_loss *l, int64_t from, int64_t to, const float *dy, float scale,
                       float *dx) {
    LOSS_EACH_KIND(loss_slope_of(l, kind, from, to, dy, scale, dx))
}

#endif
