/* Convolution of narrow groups: 2, 4, 8 ... VL channels in, and as many out, three taps along a line, stride 1.
 *
 * A vector of channels holds whole groups. Every pair of channels of a group meets once in
 *
 *   y[pixel][lane] += x[pixel + tap][lane ^ r] * w[tap][r][lane], r < channels of a group,
 *
 * so no lane is idle, and a turned pixel serves the three outputs that see it. A group that fills a vector has its
 * channels broadcast instead (r above for lane ^ r), for a turn takes a multiply-add's place. Lines of x are copied
 * first, one vector of channels a pixel, with zeros at both ends. The gradient for the input is the same with weights
 * of its own. */
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
                const int64_t here = channel + lane, other = c == VL ? r : (here ^ r) % c;
                const int64_t oc = s->backward ? here - here % c + other : here, ic = s->backward ? here % c : other;
                const int64_t from = s->backward ? taps - 1 - t : t;
                const int64_t to = ((t / TURNS_KW * c + r) * TURNS_KW + t % TURNS_KW) * VL + lane;
                dst[to] = here < s->channels ? w[(oc * c + ic) * taps + from] : 0.0f;
            }
}

/* P neighbouring outputs of one line; whole: of groups that fill a vector. x: the first pixel that they see in the first
 * line of taps; t: how many. ahead: memory to ask for meanwhile, apart floats a turn. */
static inline __attribute__((always_inline)) void turns_tile(const int P, const int whole, const fnn_turns *s,
                                                             const float *x, const float *w, int64_t t, int64_t at,
                                                             int lanes, const float *ahead, int64_t apart) {
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
                const vf v = whole ? v_set1(x[p * VL + r]) : v_permute(v_load(x + p * VL), turn);
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

#define TURNS_TILE_AS(NAME, WHOLE, P)                                                                                \
    static void NAME##_##P(const fnn_turns *s, const float *x, const float *w, int64_t t, int64_t at, int lanes,     \
                           const float *ahead, int64_t apart) {                                                      \
        turns_tile(P, WHOLE, s, x, w, t, at, lanes, ahead, apart);                                                   \
    }
#define TURNS_TILE(P) TURNS_TILE_AS(turns_narrow, 0, P) TURNS_TILE_AS(turns_whole, 1, P)
#define TURNS_NARROW_NAME(P) turns_narrow_##P,
#define TURNS_WHOLE_NAME(P) turns_whole_##P,
#if TURNS_PIXELS > 7
#define TURNS_EACH(X) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13) X(14)
#else
#define TURNS_EACH(X) X(1) X(2) X(3) X(4) X(5) X(6) X(7)
#endif

TURNS_EACH(TURNS_TILE)

static turns_tile_fn *const turns_tiles[2][TURNS_PIXELS] = {
    {TURNS_EACH(TURNS_NARROW_NAME)},
    {TURNS_EACH(TURNS_WHOLE_NAME)},
};

/* Output lines [i0, i1) of one vector of channels, whose first output of line 0 is s->y. x: its copied lines from
 * line h0 on. */
static void conv_turns(const fnn_turns *s, const float *x, int64_t h0, const float *w, int64_t i0, int64_t i1,
                       int lanes) {
    const int64_t strips = (s->dst_w + TURNS_PIXELS - 1) / TURNS_PIXELS;
    turns_tile_fn *const *const tiles = turns_tiles[s->group == VL];
    const float *ahead = s->ahead;
    int64_t left = s->ahead_lines;
    for (int64_t i = i0; i < i1; i++) {
        const int64_t h = i - s->top;
        int64_t t0 = h < 0 ? -h : 0, t1 = s->src_h - h < s->kh ? s->src_h - h : s->kh;
        if (t0 > s->kh) t0 = s->kh;
        if (t1 < t0) t1 = t0;
        for (int64_t k = 0; k < strips; k++) {
            const int64_t first = s->dst_w * k / strips, width = s->dst_w * (k + 1) / strips - first;
            tiles[width - 1](s, x + (h + t0 - h0) * s->line + first * VL, w + t0 * s->group * TURNS_KW * VL, t1 - t0,
                             (i * s->dst_w + first) * s->channels, lanes, left > 0 ? ahead : w,
                             left > 0 ? FNN_LINE : 0);
            ahead += (t1 - t0) * s->group * FNN_LINE, left -= (t1 - t0) * s->group;
        }
    }
}

#endif
