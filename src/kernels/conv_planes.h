/* Direct convolution with few channels on the side that is written (per group): vectors run along a line of pixels.
 *
 * Source lines are turned once to one plane a channel; where outputs are a stride apart, the columns of each residue
 * lie together. A tile is up to four destination channels by a few vectors of neighbouring outputs; a tap shifts the
 * vectors it loads, weights are broadcast. The sums stay in registers over all taps and channels, k = (line of taps,
 * channel, tap), and are turned back to pixels as they leave. */
#ifndef FASTNN_KERNELS_CONV_PLANES_H
#define FASTNN_KERNELS_CONV_PLANES_H

#define PLANES_M 4 /* destination channels of a tile: one quad */
#if VL == 16
#define PLANES_NV 7
#else
#define PLANES_NV 3
#endif
#define PLANES_UNROLL _Pragma("GCC unroll 8")
#define PLANES_ZEROS 512

static const float planes_zeros[PLANES_ZEROS];

/* One source line: dst[channel * width + q] is the channel of column first + q * step; zeros where there is none. */
static void conv_planes_copy(const fnn_strip_copy *s, const float *line, int64_t width, float *dst) {
    for (int64_t q = 0; q < s->columns; q += VL)
        for (int64_t c = 0; c < s->channels; c += PLANES_ZEROS) {
            const int64_t n = s->channels - c < PLANES_ZEROS ? s->channels - c : PLANES_ZEROS;
            const float *row[VL];
            for (int i = 0; i < VL; i++) {
                const int64_t column = s->first + (q + i) * s->step;
                row[i] = column >= 0 && column < s->src_w ? line + column * s->src_pixel + c : planes_zeros;
            }
            float *d = dst + c * width + q;
            int64_t p = 0;
            for (; p + 4 <= n; p += 4, d += 4 * width) {
                vf r[4];
                for (int i = 0; i < 4; i++) r[i] = v_load_quads(row + i, p);
                v_transpose_quads(r);
                for (int i = 0; i < 4; i++) v_store(d + i * width, r[i]);
            }
            for (; p < n; p++, d += width)
                for (int i = 0; i < VL; i++) d[i] = row[i][p];
        }
}

/* Sums of M channels as pixels of four: out[pixel][channel]. */
static inline __attribute__((always_inline)) void planes_turn(const int M, const int V, vf acc[PLANES_M][PLANES_NV],
                                                              float *out) {
    PLANES_UNROLL for (int v = 0; v < V; v++) {
        vf r[4];
        PLANES_UNROLL for (int m = 0; m < 4; m++) r[m] = m < M ? acc[m][v] : v_zero();
        v_transpose_quads(r);
        PLANES_UNROLL for (int m = 0; m < 4; m++) {
            float quads[VL];
            v_store(quads, r[m]);
            for (int g = 0; g < VL / 4; g++) memcpy(out + (v * VL + g * 4 + m) * 4, quads + g * 4, 4 * sizeof(float));
        }
    }
}

static inline float planes_act(float x, int activation, float slope) {
    if (activation == FNN_ACT_RELU) return x < 0 ? 0.0f : x;
    return activation == FNN_ACT_LEAKY_RELU && x < 0 ? x * slope : x;
}

/* The tile's pixels to where they belong. */
static void planes_store(const fnn_planes *s, int64_t line, const float *out) {
    float *c = s->c + line * s->c_line;
    const float *residual = s->residual ? s->residual + line * s->c_line : NULL;
    const int plain = !s->accumulate && !s->bias && !residual && s->activation == FNN_ACT_NONE;
    for (int64_t q = 0; q < s->outputs; q++, c += s->c_pixel, out += 4) {
        if (plain && s->m == 4)
            memcpy(c, out, 4 * sizeof(float));
        else if (plain)
            for (int64_t m = 0; m < s->m; m++) c[m] = out[m];
        else
            for (int64_t m = 0; m < s->m; m++) {
                float x = out[m];
                if (s->accumulate) x += c[m];
                if (s->bias) x += s->bias[m];
                if (residual) x += residual[q * s->c_pixel + m];
                c[m] = planes_act(x, s->activation, s->slope);
            }
    }
}

static inline __attribute__((always_inline)) void planes_tile(const int M, const int V, const fnn_planes *s,
                                                              int64_t line, int64_t t0, int64_t t1) {
    vf acc[PLANES_M][PLANES_NV];
    PLANES_UNROLL for (int m = 0; m < M; m++) PLANES_UNROLL for (int v = 0; v < V; v++) acc[m][v] = v_zero();
    const float *a = s->a + (line * s->step + s->tap_first - s->h0 + t0 * s->tap_step) * s->line;
    const float *w = s->w + t0 * s->channels * s->n_shifts * M;
    for (int64_t t = t0; t < t1; t++, a += s->tap_step * s->line) {
        const float *plane = a;
        for (int64_t c = 0; c < s->channels; c++, plane += s->plane)
            for (int64_t k = 0; k < s->n_shifts; k++, w += M) {
                vf av[PLANES_NV];
                PLANES_UNROLL for (int v = 0; v < V; v++) av[v] = v_load(plane + s->shift[k] + v * VL);
                PLANES_UNROLL for (int m = 0; m < M; m++) {
                    const vf bv = v_set1(w[m]);
                    PLANES_UNROLL for (int v = 0; v < V; v++) acc[m][v] = v_fma(av[v], bv, acc[m][v]);
                }
            }
    }
    float out[PLANES_NV * VL * 4];
    planes_turn(M, V, acc, out);
    planes_store(s, line, out);
}

typedef void planes_tile_fn(const fnn_planes *s, int64_t line, int64_t t0, int64_t t1);

#define PLANES_TILE(M, V)                                                                                            \
    static void planes_tile_##M##x##V(const fnn_planes *s, int64_t line, int64_t t0, int64_t t1) {                   \
        planes_tile(M, V, s, line, t0, t1);                                                                          \
    }
#define PLANES_NAME(M, V) planes_tile_##M##x##V,
#if PLANES_NV > 3
#define PLANES_EACH(X, M) X(M, 1) X(M, 2) X(M, 3) X(M, 4) X(M, 5) X(M, 6) X(M, 7)
#else
#define PLANES_EACH(X, M) X(M, 1) X(M, 2) X(M, 3)
#endif
PLANES_EACH(PLANES_TILE, 1)
PLANES_EACH(PLANES_TILE, 2)
PLANES_EACH(PLANES_TILE, 3)
PLANES_EACH(PLANES_TILE, 4)

static planes_tile_fn *const planes_tiles[PLANES_M][PLANES_NV] = {
    {PLANES_EACH(PLANES_NAME, 1)},
    {PLANES_EACH(PLANES_NAME, 2)},
    {PLANES_EACH(PLANES_NAME, 3)},
    {PLANES_EACH(PLANES_NAME, 4)},
};

/* Lines [i0, i1) of up to PLANES_NV vectors of outputs and m channels. */
static void conv_planes(const fnn_planes *s, int64_t i0, int64_t i1) {
    planes_tile_fn *const tile = planes_tiles[s->m - 1][(s->outputs + VL - 1) / VL - 1];
    for (int64_t i = i0; i < i1; i++) {
        const int64_t h = i * s->step + s->tap_first;
        int64_t t0 = 0, t1 = s->n_taps;
        while (t0 < t1 && h + t0 * s->tap_step < 0) t0++;
        while (t1 > t0 && h + (t1 - 1) * s->tap_step >= s->src_h) t1--;
        tile(s, i, t0, t1);
    }
}

#endif
