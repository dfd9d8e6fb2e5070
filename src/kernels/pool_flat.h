/* Pooling of few channels with windows of 2x2 side by side: vectors run along the row, over several windows, and lanes
 * are permuted to meet. The bits are those of pool.h's pixels. The tables of lanes are made by the plan. */
#ifndef FASTNN_KERNELS_POOL_FLAT_H
#define FASTNN_KERNELS_POOL_FLAT_H

#include "pool.h"

#define POOL_UNROLL _Pragma("GCC unroll 9")
#define POOL_INLINE static inline __attribute__((always_inline))

typedef enum { POOL_MAX, POOL_AVG, POOL_LP } pool_kind;

/* x / divisor, rounded as a division is: the quotient's remainder corrects it. inverse: 1 / divisor. */
static inline vf pool_over(vf x, vf divisor, vf inverse) {
    const vf q = x * inverse, better = v_fma(v_fma(-q, divisor, x), inverse, q);
    return v_sel(v_lt(v_abs(q), v_set1(INFINITY)), better, q);
}
/* Without a fused multiply-add the remainder is not exact; a power of two needs none of it. */
#if VL > 4
#define POOL_OVER(K, x, divisor, inverse) ((K) == 2 ? (x) * (inverse) : pool_over(x, divisor, inverse))
#else
#define POOL_OVER(K, x, divisor, inverse) ((x) / (divisor))
#endif

POOL_INLINE vf lp_share(const float *dy, const float *y, int64_t at) {
    const vf value = v_load(y + at);
    return v_sel(v_eq(value, v_zero()), v_zero(), v_load(dy + at) * (v_set1(1.0f) / value));
}

/* Whether a row of windows, or of pixels in the windows of `rows`, goes the flat way: for averages and squares all of
 * its windows must be whole. */
static inline int pool_whole_columns(const fnn_pool *p) { return p->w.whole0 == 0 && p->w.whole1 == p->w.out; }
static inline int pool_is_flat_row(const fnn_pool *p, int64_t o) {
    return p->lane && o >= p->h.whole0 && o < p->h.whole1 && pool_whole_columns(p);
}
static inline int pool_is_flat(const fnn_pool *p, fnn_cover rows) {
    return rows.lo < rows.hi && pool_is_flat_row(p, p->h.hit[rows.lo].window);
}

static inline vf pool_load_upto(const float *x, int64_t at, int64_t limit) {
    if (at + VL <= limit) return v_load(x + at);
    return at < limit ? v_load_n(x + at, (int)(limit - at)) : v_zero();
}

/* One row of windows. p->lane: windows that a vector of results holds, then for each of its lanes where among 2 VL
 * elements of an input row its left tap is, then the same of the right one. Returns whether no tap but a window's first
 * is NaN, as far as that matters. */
POOL_INLINE int pool_flat(const pool_kind kind, const fnn_pool *p, int64_t o, const float *x, float *y,
                          uint8_t *index) {
    const int64_t c = p->c, row = p->w.in * c, step = p->lane[0] * c, width = p->w.out * c;
    const int64_t top = p->h.window[o].first * row, limit = p->h.in * row;
    vm ordered = v_head(VL);
    vi lane[2];
    memcpy(lane, p->lane + 1, sizeof lane);
    for (int64_t at = 0; at < width; at += step) {
        const int64_t left = width - at, n = left < step ? left : step;
        vf tap[4];
        POOL_UNROLL for (int i = 0; i < 2; i++) {
            const int64_t from = top + i * row + 2 * at;
            const vf lo = pool_load_upto(x, from, limit), hi = pool_load_upto(x, from + VL, limit);
            tap[2 * i] = v_permute2(lo, hi, lane[0]), tap[2 * i + 1] = v_permute2(lo, hi, lane[1]);
        }
        vf value = v_zero(), place = v_zero();
        if (kind == POOL_MAX) {
            value = tap[0];
            POOL_UNROLL for (int t = 1; t < 4; t++) {
                place = v_sel(v_lt(value, tap[t]), v_float(pool_label(t)), place);
                value = v_max(tap[t], value);
                ordered = vm_and(ordered, vm_or(v_ordered(tap[t], tap[t]), vm_not(v_head((int)n))));
            }
            pool_store_index(p, index, at, v_bits(place), (int)n, width);
        } else if (kind == POOL_AVG) {
            value += (v_zero() + tap[0]) + tap[1];
            value += (v_zero() + tap[2]) + tap[3];
            value *= v_set1(0.25f);
        } else {
            POOL_UNROLL for (int t = 0; t < 4; t++) value += tap[t] * tap[t];
            value = v_sqrt(value);
        }
        pool_store(y, at, value, (int)n, width);
    }
    return v_sum(v_sel(ordered, v_zero(), v_set1(1.0f))) == 0.0f;
}

typedef struct pool_grads {
    const float *dy, *x, *y;
    const uint8_t *index;
    float *dx;
} pool_grads;

/* A vector of dx at f: `where` among the elements from `from` on of dy (of `all`) its lanes are. whole: nothing partial. */
POOL_INLINE void pool_bwd_vector(const pool_kind kind, const int whole, const fnn_pool *p, const pool_grads *g,
                                 int64_t from, int64_t all, int64_t f, int64_t left, vi where, vi label) {
    vf share = whole ? v_load(g->dy + from) : pool_load_upto(g->dy, from, all);
    if (kind == POOL_AVG) {
        share = v_zero() + share * v_set1(0.25f);
    } else if (kind == POOL_LP) {
        const vf value = whole ? v_load(g->y + from) : pool_load_upto(g->y, from, all);
        share = v_zero() + v_sel(v_eq(value, v_zero()), v_zero(), share * (v_set1(1.0f) / value));
    }
    share = v_permute(share, where);
    if (kind == POOL_MAX) {
        const int lanes = whole || all - from > VL ? VL : (int)(all - from);
        const vi place = whole ? v_load_bytes(g->index + from) : pool_load_index(p, g->index, from, lanes, all);
        share = v_sel(v_same(v_bits(v_permute(v_float(place), where)), label), share, v_zero());
    }
    if (kind == POOL_LP) share *= whole || left >= VL ? v_load(g->x + f) : v_load_n(g->x + f, (int)left);
    if (whole || left >= VL)
        v_store(g->dx + f, share);
    else
        v_store_n(g->dx + f, share, (int)left);
}

/* The pixels of a row of dx that are in its row of windows, `hit`. Lanes repeat after some vectors; p->lane: their number
 * and that of the windows they hold; for each the first element of dy within them, then VL lanes of it, then VL labels. */
POOL_INLINE void pool_bwd_flat(const pool_kind kind, const fnn_pool *p, fnn_hit hit, const pool_grads *g) {
    const int64_t phases = p->lane[0], windows = p->lane[1] * p->c, all = p->h.out * p->w.out * p->c;
    const int64_t n = (2 * p->w.out < p->w.in ? 2 * p->w.out : p->w.in) * p->c;
    int64_t at = hit.window * p->w.out * p->c;
    for (int64_t f = 0; f < n; at += windows) {
        const int32_t *q = p->lane + 2;
        const int whole = f + phases * VL <= n && at + windows + VL <= all;
        for (int64_t i = 0; i < phases && f < n; i++, q += 1 + 2 * VL, f += VL) {
            vi where, label;
            memcpy(&where, q + 1, sizeof where);
            memcpy(&label, q + 1 + VL, sizeof label);
            if (whole)
                pool_bwd_vector(kind, 1, p, g, at + q[0], all, f, n - f, where, label + (int32_t)hit.label);
            else
                pool_bwd_vector(kind, 0, p, g, at + q[0], all, f, n - f, where, label + (int32_t)hit.label);
        }
    }
}

#endif
