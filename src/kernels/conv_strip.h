/* Direct convolution, a strip of outputs at a time.
 *
 * Source lines are copied to where they have their zeros at both ends and pixels a steady distance apart. Then the
 * pixels that one tap gives to neighbouring outputs of a line lie at one distance from each other, so a register tile
 * reads them where they are: no panels of A, no gathering a tap. A strip is up to STRIP_MR neighbouring outputs of a
 * line, or of the same line of several images ("runs"), by up to two vectors of output channels; its sums stay in
 * registers over all taps and channels. Lines outside the source are skipped with their taps. */
#ifndef FASTNN_KERNELS_CONV_STRIP_H
#define FASTNN_KERNELS_CONV_STRIP_H

#if VL == 16
#define STRIP_MR 14
#elif VL == 8
#define STRIP_MR 6
#elif defined(__aarch64__)
#define STRIP_MR 8
#else
#define STRIP_MR 4
#endif
#define STRIP_NV 2
#define STRIP_NR (STRIP_NV * VL)
#define STRIP_SOON 8 /* channels of weights that are asked for ahead of their turn */
#define STRIP_UNROLL _Pragma("GCC unroll 16")
#define STRIP_BASES 4 /* rows that share one base register: row i is base[i / 4] + i % 4 pixels */

/* ---- copies --------------------------------------------------------------------------------------------- */

static inline void strip_zeros(float *dst, int64_t n) {
    for (int64_t i = 0; i < n; i++) dst[i] = 0.0f;
}

static inline void strip_copy_run(float *dst, const float *src, int64_t n) {
    int64_t i = 0;
    for (; i + VL <= n; i += VL) v_store(dst + i, v_load(src + i));
    if (i < n) v_store_n(dst + i, v_load_n(src + i, (int)(n - i)), (int)(n - i));
}

/* One pixel as the layer before left it to this load: act(x * scale + shift). */
static void strip_prologue(const fnn_strip_copy *s, const float *src, float *dst) {
    const vf slope = v_set1(s->slope);
    for (int64_t c = 0; c < s->channels; c += VL) {
        const int lanes = s->channels - c < VL ? (int)(s->channels - c) : VL;
        const vf scale = s->scale ? gemm_read(s->scale + c, lanes) : v_set1(1.0f);
        const vf shift = s->shift ? gemm_read(s->shift + c, lanes) : v_zero();
        v_store_n(dst + c, prologue_apply(gemm_read(src + c, lanes), scale, shift, s->activation, slope), lanes);
    }
}

/* The same for a run of pixels of fewer channels than lanes, which adjoin: scale and shift repeat after so many vectors
 * as there are channels. */
static void strip_prologue_run(const fnn_strip_copy *s, const float *src, int64_t n, float *dst) {
    float scale[VL * VL], shift[VL * VL];
    const int64_t period = s->channels * VL;
    for (int64_t i = 0, c = 0; i < period; i++, c = c + 1 < s->channels ? c + 1 : 0)
        scale[i] = s->scale ? s->scale[c] : 1.0f, shift[i] = s->shift ? s->shift[c] : 0.0f;
    const vf slope = v_set1(s->slope);
    for (int64_t i = 0, at = 0; i < n; i += VL, at = at + VL < period ? at + VL : 0) {
        const int lanes = n - i < VL ? (int)(n - i) : VL;
        const vf x = gemm_read(src + i, lanes);
        v_store_n(dst + i, prologue_apply(x, v_load(scale + at), v_load(shift + at), s->activation, slope), lanes);
    }
}

/* One line of the source: columns first, first + step, ... of it, zeros where there are none. */
static void conv_strip_copy(const fnn_strip_copy *s, const float *line, float *dst) {
    const int64_t before = s->first < 0 ? (-s->first + s->step - 1) / s->step : 0;
    const int64_t reach = s->src_w > s->first ? (s->src_w - s->first + s->step - 1) / s->step : 0;
    const int64_t lo = before < s->columns ? before : s->columns;
    const int64_t end = reach < s->columns ? reach : s->columns, hi = end < lo ? lo : end;
    strip_zeros(dst, lo * s->pixel);
    strip_zeros(dst + hi * s->pixel, (s->columns - hi) * s->pixel);
    if (lo == hi) return;
    const float *src = line + (s->first + lo * s->step) * s->src_pixel;
    dst += lo * s->pixel;
    const int adjoin = s->step == 1 && s->src_pixel == s->channels && s->pixel == s->channels;
    if (adjoin && !s->prologue) {
        strip_copy_run(dst, src, (hi - lo) * s->channels);
        return;
    }
    if (adjoin && s->channels < VL) {
        strip_prologue_run(s, src, (hi - lo) * s->channels, dst);
        return;
    }
    for (int64_t q = lo; q < hi; q++, src += s->step * s->src_pixel, dst += s->pixel)
        if (s->prologue)
            strip_prologue(s, src, dst);
        else
            strip_copy_run(dst, src, s->channels);
}

/* One panel of weights: columns of w, k = (place, channel). Element (column, channel, tap) of w is
 * w[column * column_stride + channel * channel_stride + tap]; place[tap] says where the tap comes in k, in floats. */
static void conv_strip_weights(const fnn_strip_weights *s, const float *w, int64_t columns, float *dst) {
    const int64_t width = (columns + VL - 1) / VL * VL, taps = s->taps;
    const int64_t run = s->channel_stride == taps ? s->channels * taps : taps;
    for (int64_t j = 0; j < columns; j += VL) {
        const float *row[VL];
        const int lanes = columns - j < VL ? (int)(columns - j) : VL;
        if (s->column_stride == 1) {
            for (int64_t c = 0; c < s->channels; c++)
                v_store(dst + (s->place[0] + c) * width + j, gemm_read(w + c * s->channel_stride + j, lanes));
            continue;
        }
        for (int i = 0; i < VL; i++) row[i] = w + (j + (i < lanes ? i : lanes - 1)) * s->column_stride;
        for (int64_t c0 = 0; c0 < s->channels; c0 += run / taps) {
            const int64_t from = c0 * s->channel_stride;
            /* Short runs far apart: nothing but this sees them coming. */
            if (run == taps && c0 + STRIP_SOON < s->channels)
                for (int64_t i = 0; i < lanes * taps; i += FNN_LINE)
                    v_soon(row[0] + from + STRIP_SOON * s->channel_stride + i);
            int64_t e = 0, t = 0, at = c0 * width + j;
            while (e < run) {
                /* Four neighbours at once; the last four overlap what was done rather than go one by one. */
                const int64_t back = run >= 4 && e + 4 > run ? e + 4 - run : 0;
                e -= back;
                for (t -= back; t < 0; t += taps) at -= width;
                vf r[4];
                const int count = run - e < 4 ? (int)(run - e) : 4;
                if (count == 4) {
                    for (int q = 0; q < 4; q++) r[q] = v_load_quads(row + q, from + e);
                    v_transpose_quads(r);
                }
                for (int q = 0; q < count; q++, e++) {
                    float *d = dst + s->place[t] * width + at;
                    if (count == 4)
                        v_store(d, r[q]);
                    else
                        for (int i = 0; i < lanes; i++) d[i] = row[i][from + e];
                    if (++t == taps) t = 0, at += width;
                }
            }
        }
    }
}

/* ---- the register tile ---------------------------------------------------------------------------------- */

static inline __attribute__((always_inline)) int strip_base(const int W, int i) {
    return i / W * ((W + STRIP_BASES - 1) / STRIP_BASES) + i % W / STRIP_BASES;
}

/* One k of a tile of R runs by W outputs. */
static inline __attribute__((always_inline)) void strip_step(const int R, const int W, const int V,
                                                             const float *const *base, int64_t row, const int64_t k,
                                                             const float *b, vf acc[STRIP_MR][STRIP_NV]) {
    vf bv[STRIP_NV];
    STRIP_UNROLL for (int j = 0; j < V; j++) bv[j] = v_load(b + j * VL);
    STRIP_UNROLL for (int i = 0; i < R * W; i++) {
        const vf av = v_set1(base[strip_base(W, i)][i % W % STRIP_BASES * row + k]);
        STRIP_UNROLL for (int j = 0; j < V; j++) acc[i][j] = v_fma(av, bv[j], acc[i][j]);
    }
}

/* One pass over the accumulators: v is vector (i, j), at its place in C, lanes how much of it is C's. */
#define STRIP_EACH(body)                                                                                             \
    do {                                                                                                             \
        STRIP_UNROLL for (int i = 0; i < R * W; i++) STRIP_UNROLL for (int j = 0; j < V; j++) {                      \
            vf *v = &acc[i][j];                                                                                      \
            const int64_t at = i / W * c_run + i % W * c_pixel + j * VL;                                             \
            const int lanes = j == V - 1 ? tail : VL;                                                                \
            (void)at, (void)lanes;                                                                                   \
            body;                                                                                                    \
        }                                                                                                            \
    } while (0)

/* Whether a tile finishes its outputs in registers. Where there are many shapes of tiles only those do that take nearly
 * all of the time: the code for each of their vectors would be a tenth of the library. */
#define STRIP_FINISHES(R, W, V) (STRIP_MR < 14 || ((R) * (W) >= STRIP_MR - 1 && (V) == STRIP_NV))

/* The others', which go through memory once more. c, residual: of the first output. */
static __attribute__((noinline)) void strip_finish(const fnn_strip *s, int outputs, int a_run, float *c,
                                                   const float *residual) {
    if (!s->bias && !residual && s->activation != FNN_ACT_RELU && s->activation != FNN_ACT_LEAKY_RELU) return;
    const vf slope = v_set1(s->slope);
    for (int i = 0; i < outputs; i++)
        for (int64_t j = 0; j < s->n; j += VL) {
            const int64_t at = i / a_run * s->c_run + i % a_run * s->c_pixel + j;
            const int lanes = s->n - j < VL ? (int)(s->n - j) : VL;
            vf v = gemm_read(c + at, lanes);
            if (s->bias) v += gemm_read(s->bias + j, lanes);
            if (residual) v += gemm_read(residual + at, lanes);
            v_store_n(c + at, act_apply(v, s->activation, slope), lanes);
        }
}

/* add: to what is there; the last pass finishes. */
static inline __attribute__((always_inline)) void strip_store(const int R, const int W, const int V,
                                                              const fnn_strip *s, const fnn_strip_pass *pass, int add,
                                                              int64_t line, vf acc[STRIP_MR][STRIP_NV]) {
    const int64_t first = line * s->c_line + pass->lo * s->c_pixel;
    float *const c = s->c + first;
    const int64_t c_run = s->c_run, c_pixel = s->c_pixel;
    const int tail = (int)s->n - (V - 1) * VL;
    if (add) STRIP_EACH(*v += gemm_read(c + at, lanes));
    const int last = pass == s->pass + s->n_passes - 1;
    if (last && STRIP_FINISHES(R, W, V)) {
        if (s->bias) {
            vf bias[STRIP_NV];
            STRIP_UNROLL for (int j = 0; j < V; j++) bias[j] = gemm_read(s->bias + j * VL, j == V - 1 ? tail : VL);
            STRIP_EACH(*v += bias[j]);
        }
        if (s->residual) STRIP_EACH(*v += gemm_read(s->residual + first + at, lanes));
        const vf slope = v_set1(s->slope);
        if (s->activation == FNN_ACT_RELU) STRIP_EACH(*v = act_apply(*v, FNN_ACT_RELU, slope));
        if (s->activation == FNN_ACT_LEAKY_RELU) STRIP_EACH(*v = act_apply(*v, FNN_ACT_LEAKY_RELU, slope));
    }
    if (tail == VL)
        STRIP_EACH(v_store(c + at, *v));
    else
        STRIP_EACH(if (j == V - 1) v_store_n(c + at, *v, lanes); else v_store(c + at, *v));
    if (last && !STRIP_FINISHES(R, W, V)) strip_finish(s, R * W, W, c, s->residual ? s->residual + first : NULL);
}

/* A pass over lines of taps [t0, t1) of output line `line`. ahead: lines of memory to ask for meanwhile, one every two
 * k. */
static inline __attribute__((always_inline)) void strip_tile(const int R, const int W, const int V,
                                                             const fnn_strip *s, const fnn_strip_pass *pass, int add,
                                                             int64_t line, int64_t t0, int64_t t1,
                                                             const float *ahead) {
    vf acc[STRIP_MR][STRIP_NV];
    STRIP_UNROLL for (int i = 0; i < R * W; i++) STRIP_UNROLL for (int j = 0; j < V; j++) acc[i][j] = v_zero();
    const int64_t row = s->row, length = pass->length;
    const float *a = s->a + (line * s->step + s->tap_first - s->h0 + t0 * s->tap_step) * s->line + pass->lo * row;
    const float *b = s->b + (t0 * s->line_k + pass->first) * V * VL;
    const int64_t b_skip = (s->line_k - pass->n_segments * length) * V * VL;
    for (int64_t t = t0; t < t1; t++, a += s->tap_step * s->line, b += b_skip)
        for (int64_t g = 0; g < pass->n_segments; g++) {
            const float *base[STRIP_BASES];
            STRIP_UNROLL for (int i = 0; i < R * W; i++) if (i % W % STRIP_BASES == 0)
                base[strip_base(W, i)] = a + pass->segment[g] + i / W * s->run + i % W * row;
            int64_t k = 0;
#pragma GCC unroll 1
            for (; k + 2 <= length; k += 2, b += 2 * V * VL, ahead += GEMM_LINE) {
                __builtin_prefetch(ahead, 0, 2);
                strip_step(R, W, V, base, row, 0, b, acc);
                strip_step(R, W, V, base, row, 1, b + V * VL, acc);
                STRIP_UNROLL for (int i = 0; i < R * W; i++) if (i % W % STRIP_BASES == 0)
                    base[strip_base(W, i)] += 2;
            }
            if (k < length) {
                strip_step(R, W, V, base, row, 0, b, acc);
                b += V * VL;
            }
        }
    strip_store(R, W, V, s, pass, add, line, acc);
}

typedef void strip_tile_fn(const fnn_strip *s, const fnn_strip_pass *pass, int add, int64_t line, int64_t t0,
                           int64_t t1, const float *ahead);

#define STRIP_TILE(R, W, V)                                                                                          \
    static void strip_tile_##R##x##W##x##V(const fnn_strip *s, const fnn_strip_pass *pass, int add, int64_t line,    \
                                           int64_t t0, int64_t t1, const float *ahead) {                             \
        strip_tile(R, W, V, s, pass, add, line, t0, t1, ahead);                                                      \
    }
#define STRIP_TILE_NAME(R, W, V) strip_tile_##R##x##W##x##V,

#if STRIP_MR >= 6
#define STRIP_1_TO_6(X, V) X(1, 5, V) X(1, 6, V)
#define STRIP_2_TO_6(X, V) X(2, 3, V)
#else
#define STRIP_1_TO_6(X, V)
#define STRIP_2_TO_6(X, V)
#endif
#if STRIP_MR >= 8
#define STRIP_1_TO_8(X, V) X(1, 7, V) X(1, 8, V)
#define STRIP_2_TO_8(X, V) X(2, 4, V)
#else
#define STRIP_1_TO_8(X, V)
#define STRIP_2_TO_8(X, V)
#endif
#if STRIP_MR >= 14
#define STRIP_1_TO_14(X, V) X(1, 9, V) X(1, 10, V) X(1, 11, V) X(1, 12, V) X(1, 13, V) X(1, 14, V)
#define STRIP_2_TO_14(X, V) X(2, 5, V) X(2, 6, V) X(2, 7, V)
#else
#define STRIP_1_TO_14(X, V)
#define STRIP_2_TO_14(X, V)
#endif
#define STRIP_1(X, V)                                                                                                \
    X(1, 1, V) X(1, 2, V) X(1, 3, V) X(1, 4, V) STRIP_1_TO_6(X, V) STRIP_1_TO_8(X, V) STRIP_1_TO_14(X, V)
#define STRIP_2(X, V) X(2, 1, V) X(2, 2, V) STRIP_2_TO_6(X, V) STRIP_2_TO_8(X, V) STRIP_2_TO_14(X, V)

STRIP_1(STRIP_TILE, 1)
STRIP_1(STRIP_TILE, 2)
STRIP_2(STRIP_TILE, 1)
STRIP_2(STRIP_TILE, 2)

static strip_tile_fn *const strip_tiles[2][STRIP_NV][STRIP_MR] = {
    {{STRIP_1(STRIP_TILE_NAME, 1)}, {STRIP_1(STRIP_TILE_NAME, 2)}},
    {{STRIP_2(STRIP_TILE_NAME, 1)}, {STRIP_2(STRIP_TILE_NAME, 2)}},
};

/* Outputs of line `line` that the pass leaves out. */
static void strip_clear(const fnn_strip *s, const fnn_strip_pass *pass, int64_t line) {
    for (int64_t r = 0; r < s->runs; r++) {
        float *const c = s->c + line * s->c_line + r * s->c_run;
        for (int64_t i = 0; i < s->width; i++)
            if (i < pass->lo || i >= pass->hi) strip_zeros(c + i * s->c_pixel, s->n);
    }
}

/* Output lines [i0, i1) of one strip and one panel. What s->ahead still holds is asked for and taken off. */
static void conv_strip(fnn_strip *s, int64_t i0, int64_t i1) {
    const int v = s->n > VL ? 2 : 1;
    strip_tile_fn *const *const tiles = strip_tiles[s->runs - 1][v - 1];
    for (int64_t i = i0; i < i1; i++) {
        const int64_t h = i * s->step + s->tap_first;
        int64_t t0 = 0, t1 = s->n_taps;
        while (t0 < t1 && h + t0 * s->tap_step < 0) t0++;
        while (t1 > t0 && h + (t1 - 1) * s->tap_step >= s->src_h) t1--;
        if (s->ahead_lines <= 0 && s->then_lines > 0) {
            s->ahead = s->then, s->ahead_lines = s->then_lines;
            s->then_lines = 0;
        }
        const int first = t0 < t1 ? 0 : s->n_passes - 1;
        if (first + 1 < s->n_passes) strip_clear(s, &s->pass[first], i);
        for (int p = first; p < s->n_passes; p++) {
            const fnn_strip_pass *const pass = &s->pass[p];
            const int64_t lines = (t1 - t0) * pass->n_segments * (pass->length / 2);
            tiles[pass->hi - pass->lo - 1](s, pass, p > first || s->accumulate, i, t0, t1,
                                           s->ahead_lines > 0 ? s->ahead : s->b);
            s->ahead += lines * GEMM_LINE, s->ahead_lines -= lines;
        }
    }
}

#endif
