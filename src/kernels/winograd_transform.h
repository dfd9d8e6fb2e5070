/* Winograd's transforms: F(4x4, 3x3) and F(2x2, 5x5) on the points 0, +-11/16, +-3/2 and infinity, F(2x2, 3x3) on 0,
 * +-1 and infinity. Convolution of a tile becomes a product of each of its transformed values (6 x 6, or 4 x 4) with
 * those of the filter, summed over channels. What is 6 wide shares its points, and so the transform of maps. The points
 * are what left the least error (docs/kernels-winograd.md); scales that the theory leaves free are on the side that is
 * transformed least often. */
#ifndef FASTNN_KERNELS_WINOGRAD_TRANSFORM_H
#define FASTNN_KERNELS_WINOGRAD_TRANSFORM_H

#define WINO_A 0.6875f
#define WINO_B 1.5f
#define WINO_A2 (WINO_A * WINO_A)
#define WINO_B2 (WINO_B * WINO_B)
#define WINO_S0 (1.0f / (WINO_A2 * WINO_B2))
#define WINO_SA (1.0f / (2.0f * WINO_A2 * (WINO_A2 - WINO_B2)))
#define WINO_SB (1.0f / (2.0f * WINO_B2 * (WINO_B2 - WINO_A2)))

/* A form is m, or 5 for F(2x2, 5x5): pixels, taps and values of a side. */
#define WINO_M(form) ((form) == 4 ? 4 : 2)
#define WINO_TAPS(form) ((form) == 5 ? 5 : 3)
#define WINO_WIDE(form) ((form) == 2 ? 4 : 6)

#define WINO_INLINE static inline __attribute__((always_inline))
#define WINO_C(x) v_set1(x)

/* x, or dy where its own gradient is sought: n values to n. */
WINO_INLINE void wino_data(const int m, const vf *d, vf *t) {
    if (m == 2) {
        t[0] = d[0] - d[2], t[1] = d[2] + d[1], t[2] = d[2] - d[1], t[3] = d[3] - d[1];
        return;
    }
    const vf ea = v_fma(WINO_C(-WINO_B2), d[2], d[4]), oa = v_fma(WINO_C(-WINO_B2), d[1], d[3]);
    const vf eb = v_fma(WINO_C(-WINO_A2), d[2], d[4]), ob = v_fma(WINO_C(-WINO_A2), d[1], d[3]);
    t[0] = v_fma(WINO_C(WINO_A2 * WINO_B2), d[0], v_fma(WINO_C(-(WINO_A2 + WINO_B2)), d[2], d[4]));
    t[1] = v_fma(WINO_C(WINO_A), oa, ea), t[2] = v_fma(WINO_C(-WINO_A), oa, ea);
    t[3] = v_fma(WINO_C(WINO_B), ob, eb), t[4] = v_fma(WINO_C(-WINO_B), ob, eb);
    t[5] = v_fma(WINO_C(WINO_A2 * WINO_B2), d[1], v_fma(WINO_C(-(WINO_A2 + WINO_B2)), d[3], d[5]));
}

/* The even and the odd part of a filter of 5, at the point whose square is q; over = its scale, and by the point. */
WINO_INLINE vf wino_even(const vf *g, float q, float over) {
    return v_fma(WINO_C(over * q * q), g[4], v_fma(WINO_C(over * q), g[2], g[0] * WINO_C(over)));
}
WINO_INLINE vf wino_odd(const vf *g, float q, float over) {
    return v_fma(WINO_C(over * q), g[3], g[1] * WINO_C(over));
}

/* Filters: 3 or 5 values to n. */
WINO_INLINE void wino_filter(const int form, const vf *g, vf *t) {
    if (form == 2) {
        const vf e = (g[0] + g[2]) * WINO_C(0.5f), o = g[1] * WINO_C(0.5f);
        t[0] = g[0], t[1] = e + o, t[2] = e - o, t[3] = g[2];
        return;
    }
    if (form == 5) {
        const vf ea = wino_even(g, WINO_A2, WINO_SA), oa = wino_odd(g, WINO_A2, WINO_SA * WINO_A);
        const vf eb = wino_even(g, WINO_B2, WINO_SB), ob = wino_odd(g, WINO_B2, WINO_SB * WINO_B);
        t[0] = g[0] * WINO_C(WINO_S0);
        t[1] = ea + oa, t[2] = ea - oa, t[3] = eb + ob, t[4] = eb - ob;
        t[5] = g[4];
        return;
    }
    const vf ea = v_fma(WINO_C(WINO_SA * WINO_A2), g[2], g[0] * WINO_C(WINO_SA)),
             oa = g[1] * WINO_C(WINO_SA * WINO_A);
    const vf eb = v_fma(WINO_C(WINO_SB * WINO_B2), g[2], g[0] * WINO_C(WINO_SB)),
             ob = g[1] * WINO_C(WINO_SB * WINO_B);
    t[0] = g[0] * WINO_C(WINO_S0);
    t[1] = ea + oa, t[2] = ea - oa, t[3] = eb + ob, t[4] = eb - ob;
    t[5] = g[2];
}

/* Back from the products: n values to m. */
WINO_INLINE void wino_result(const int form, const vf *p, vf *y) {
    if (form == 2) {
        y[0] = p[0] + (p[1] + p[2]), y[1] = (p[1] - p[2]) + p[3];
        return;
    }
    const vf sa = p[1] + p[2], da = p[1] - p[2], sb = p[3] + p[4], db = p[3] - p[4];
    y[0] = p[0] + (sa + sb);
    if (form == 5) {
        y[1] = v_fma(WINO_C(WINO_B), db, v_fma(WINO_C(WINO_A), da, p[5]));
        return;
    }
    y[1] = v_fma(WINO_C(WINO_B), db, da * WINO_C(WINO_A));
    y[2] = v_fma(WINO_C(WINO_B2), sb, sa * WINO_C(WINO_A2));
    y[3] = v_fma(WINO_C(WINO_B * WINO_B2), db, v_fma(WINO_C(WINO_A * WINO_A2), da, p[5]));
}

/* For the gradient of the weights dy is the filter, of m values, */
WINO_INLINE void wino_gradient(const int form, const vf *g, vf *t) {
    if (form == 2) {
        t[0] = g[0], t[1] = g[0] + g[1], t[2] = g[0] - g[1], t[3] = g[1];
        return;
    }
    if (form == 5) {
        t[0] = g[0], t[5] = g[1];
        t[1] = v_fma(WINO_C(WINO_A), g[1], g[0]), t[2] = v_fma(WINO_C(-WINO_A), g[1], g[0]);
        t[3] = v_fma(WINO_C(WINO_B), g[1], g[0]), t[4] = v_fma(WINO_C(-WINO_B), g[1], g[0]);
        return;
    }
    const vf ea = v_fma(WINO_C(WINO_A2), g[2], g[0]), eb = v_fma(WINO_C(WINO_B2), g[2], g[0]);
    const vf oa = v_fma(WINO_C(WINO_A * WINO_A2), g[3], g[1] * WINO_C(WINO_A));
    const vf ob = v_fma(WINO_C(WINO_B * WINO_B2), g[3], g[1] * WINO_C(WINO_B));
    t[0] = g[0];
    t[1] = ea + oa, t[2] = ea - oa, t[3] = eb + ob, t[4] = eb - ob;
    t[5] = g[3];
}

/* and the result has as many as there are taps. */
WINO_INLINE void wino_weight_result(const int form, const vf *p, vf *y) {
    if (form == 2) {
        const vf s = (p[1] + p[2]) * WINO_C(0.5f);
        y[0] = p[0] + s, y[1] = (p[1] - p[2]) * WINO_C(0.5f), y[2] = s + p[3];
        return;
    }
    const vf sa = (p[1] + p[2]) * WINO_C(WINO_SA), da = (p[1] - p[2]) * WINO_C(WINO_SA);
    const vf sb = (p[3] + p[4]) * WINO_C(WINO_SB), db = (p[3] - p[4]) * WINO_C(WINO_SB);
    y[0] = v_fma(WINO_C(WINO_S0), p[0], sa + sb);
    y[1] = v_fma(WINO_C(WINO_B), db, da * WINO_C(WINO_A));
    y[2] = v_fma(WINO_C(WINO_B2), sb, form == 5 ? sa * WINO_C(WINO_A2) : v_fma(WINO_C(WINO_A2), sa, p[5]));
    if (form != 5) return;
    y[3] = v_fma(WINO_C(WINO_B * WINO_B2), db, da * WINO_C(WINO_A * WINO_A2));
    y[4] = v_fma(WINO_C(WINO_B2 * WINO_B2), sb, v_fma(WINO_C(WINO_A2 * WINO_A2), sa, p[5]));
}

/* A pointer and a distance whose multiples up to five are had from two registers and the scale of an address. HIDE
 * keeps the compiler from giving each of a tile's addresses a register or, as there are not so many, a place on the
 * stack. */
typedef struct wino_lines {
    const char *at;
    int64_t one, three, five; /* bytes */
} wino_lines;

#define WINO_HIDE(l) __asm__ volatile("" : "+r"((l).at))

WINO_INLINE wino_lines wino_lines_of(const float *at, int64_t step) {
    return (wino_lines){(const char *)at, step * 4, step * 12, step * 20};
}
WINO_INLINE float *wino_line(const wino_lines *l, const int i) {
    return (float *)(l->at + (i == 3 ? l->three : i == 5 ? l->five : l->one * i));
}

/* Both dimensions: in[from][from] to out[to][to], f one of the above, along columns first. in(column, row) reads with
 * columns one after the other, out(row, column, value) writes with rows so. */
#define WINO_2D(f, form, from, to, in, next_in, out, next_out)                                                       \
    do {                                                                                                             \
        vf half_[6][6];                                                                                              \
        GEMM_UNROLL for (int c_ = 0; c_ < (from); c_++) {                                                            \
            vf column_[6], t_[6];                                                                                    \
            GEMM_UNROLL for (int r_ = 0; r_ < (from); r_++) column_[r_] = in(c_, r_);                                \
            f(form, column_, t_);                                                                                    \
            GEMM_UNROLL for (int r_ = 0; r_ < (to); r_++) half_[r_][c_] = t_[r_];                                    \
            next_in;                                                                                                 \
        }                                                                                                            \
        GEMM_UNROLL for (int r_ = 0; r_ < (to); r_++) {                                                              \
            vf t_[6];                                                                                                \
            f(form, half_[r_], t_);                                                                                  \
            GEMM_UNROLL for (int c_ = 0; c_ < (to); c_++) out(r_, c_, t_[c_]);                                       \
            next_out;                                                                                                \
        }                                                                                                            \
    } while (0)

#endif
