/* Convolution of narrow groups: 2, 4, 8 ... VL channels in, and as many out, three taps along a line, stride 1.
 *
 * A vector of channels holds whole groups. Every pair of channels of a group meets once in
 *
 *   y[pixel][lane] += x[pixel + tap][lane ^ r] * w[tap][r][lane], r < channels of a group,
 *
 * so no lane is idle, and a turned pixel serves the three outputs that see it. Lines of x are copied first, one
 * vector of channels a pixel, with zeros at both ends. The gradient for the input is the same with weights of its
 * own. */
#ifndef FASTNN_KERNELS_CONV_TURNS_H
#define FASTNN_KERNELS_CONV_TURNS_H

#define TURNS_KW 3
#if VL == 16
#define TURNS_PIXELS 14
#else
#define TURNS_PIXELS 7
#endif
#define TURNS_FEW 4 /* pixels copied for all vectors before the next */

/* All vectors of channels of one line of x, each to its own copy: zeros, the line, zeros. */
static void conv_turns_copy(const fnn_turns *s, const float *line, float *dst) {
    const int64_t end = s->left + s->src_w;
    for (int64_t v = 0; v < s->vectors; v++) {
        float *d = dst + v * s->vector;
        for (int64_t p = 0; p < s->left; p++) v_store(d + p * VL, v_zero());
        for (int64_t p = end; p < s->columns; p++) v_store(d + p * VL, v_zero());
    }
    const int64_t n = end < s->columns ? s->src_w : s->columns - s->left;
    for (int64_t p = 0; p < n; p += TURNS_FEW) {
        const int64_t few = n - p < TURNS_FEW ? n - p : TURNS_FEW;
        for (int64_t v = 0; v < s->vectors; v++) {
            const float *src = line + p * s->channels + v * VL;
            float *d = dst + v * s->vector + (s->left + p) * VL;
            const int lanes = s->channels - v * VL < VL ? (int)(s->channels - v * VL) : VL;
            for (int64_t i = 0; i < few; i++) v_store(d + i * VL, gemm_read(src + i * s->channels, lanes));
        }
    }
}

/* The weights of one vector of channels: dst[tap][r][kw][lane], taps along the height. */
static void conv_turns_weights(const fnn_turns *s, int64_t channel, const float *w, float *dst) {
    const int64_t c = s->group, taps = s->kh * TURNS_KW;
    for (int64_t t = 0; t < taps; t++)
        for (int64_t r = 0; r < c; r++)
            for (int64_t lane = 0; lane < VL; lane++) {
                const int64_t here = channel + lane, other = (here ^ r) % c;
                const int64_t oc = s->backward ? here - here % c + other : here, ic = s->backward ? here % c : other;
                const int64_t from = s->backward ? taps - 1 - t : t;
                const int64_t to = ((t / TURNS_KW * c + r) * TURNS_KW + t % TURNS_KW) * VL + lane;
                dst[to] = here < s->channels ? w[(oc * c + ic) * taps + from] : 0.0f;
            }
}

/* P neighbouring outputs of one line. x: the first pixel that they see in the first line of taps; t: how many. ahead:
 * memory to ask for meanwhile, apart floats a turn. */
static inline __attribute__((always_inline)) void turns_tile(const int P, const fnn_turns *s, const float *x,
                                                             const float *w, int64_t t, int64_t at, int lanes,
                                                             const float *ahead, int64_t apart) {
    vf acc[TURNS_PIXELS];
    GEMM_UNROLL for (int p = 0; p < P; p++) acc[p] = v_zero();
    vi lane;
    for (int i = 0; i < VL; i++) lane[i] = i;
    GEMM_UNROLL for (int p = 0; p < P; p++) __builtin_prefetch(s->y + at + p * s->channels, 1, 3);
    for (; t > 0; t--, x += s->line)
        for (int r = 0; r < (int)s->group; r++, w += TURNS_KW * VL, ahead += apart) {
            __builtin_prefetch(ahead, 0, 2);
            const vi turn = lane ^ r;
            const vf w0 = v_load(w), w1 = v_load(w + VL), w2 = v_load(w + 2 * VL);
            GEMM_UNROLL for (int p = 0; p < P + 2; p++) {
                const vf v = v_permute(v_load(x + p * VL), turn);
                if (p < P) acc[p] = v_fma(v, w0, acc[p]);
                if (p > 0 && p <= P) acc[p - 1] = v_fma(v, w1, acc[p - 1]);
                if (p > 1) acc[p - 2] = v_fma(v, w2, acc[p - 2]);
            }
        }
    const vf bias = s->bias ? gemm_read(s->bias, lanes) : v_zero(), slope = v_set1(s->slope);
    GEMM_UNROLL for (int p = 0; p < P; p++) {
        float *const y = s->y + at + p * s->channels;
        if (s->accumulate) acc[p] += gemm_read(y, lanes);
        acc[p] += bias;
        if (s->residual) acc[p] += gemm_read(s->residual + at + p * s->channels, lanes);
        v_store_n(y, act_apply(acc[p], s->activation, slope), lanes);
    }
}

typedef void turns_tile_fn(const fnn_turns *s, const float *x, const float *w, int64_t t, int64_t at, int lanes,
                           const float *ahead, int64_t apart);

#define TURNS_TILE(P)                                                                                                \
    static void turns_tile_##P(const fnn_turns *s, const float *x, const float *w, int64_t t, int64_t at, int lanes, \
                               const float *ahead, int64_t apart) {                                                  \
        turns_tile(P, s, x, w, t, at, lanes, ahead, apart);                                                          \
    }
TURNS_TILE(1)
TURNS_TILE(2)
TURNS_TILE(3)
TURNS_TILE(4)
TURNS_TILE(5)
TURNS_TILE(6)
TURNS_TILE(7)
#if TURNS_PIXELS > 7
TURNS_TILE(8)
TURNS_TILE(9)
TURNS_TILE(10)
TURNS_TILE(11)
TURNS_TILE(12)
TURNS_TILE(13)
TURNS_TILE(14)
#endif

static turns_tile_fn *const turns_tiles[TURNS_PIXELS] = {
    turns_tile_1, turns_tile_2, turns_tile_3,  turns_tile_4,  turns_tile_5,  turns_tile_6,  turns_tile_7,
#if TURNS_PIXELS > 7
    turns_tile_8, turns_tile_9, turns_tile_10, turns_tile_11, turns_tile_12, turns_tile_13, turns_tile_14,
#endif
};

/* Output lines [i0, i1) of one vector of channels, whose first output of line 0 is s->y. x: its copied lines from
 * line h0 on. */
static void conv_turns(const fnn_turns *s, const float *x, int64_t h0, const float *w, int64_t i0, int64_t i1,
                       int lanes) {
    const int64_t strips = (s->dst_w + TURNS_PIXELS - 1) / TURNS_PIXELS;
    const float *ahead = s->ahead;
    int64_t left = s->ahead_lines;
    for (int64_t i = i0; i < i1; i++) {
        const int64_t h = i - s->top;
        int64_t t0 = h < 0 ? -h : 0, t1 = s->src_h - h < s->kh ? s->src_h - h : s->kh;
        if (t0 > s->kh) t0 = s->kh;
        if (t1 < t0) t1 = t0;
        for (int64_t k = 0; k < strips; k++) {
            const int64_t first = s->dst_w * k / strips, width = s->dst_w * (k + 1) / strips - first;
            turns_tiles[width - 1](s, x + (h + t0 - h0) * s->line + first * VL, w + t0 * s->group * TURNS_KW * VL,
                                   t1 - t0, (i * s->dst_w + first) * s->channels, lanes, left > 0 ? ahead : w,
                                   left > 0 ? FNN_LINE : 0);
            ahead += (t1 - t0) * s->group * FNN_LINE, left -= (t1 - t0) * s->group;
        }
    }
}

#endif
