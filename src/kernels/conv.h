/* Packing for implicit GEMM: panels are gathered tap by tap from an NHWC image, never from an im2col buffer.
 *
 * Row (n, i, j) of the grid and tap t meet at source pixel (i * step_h + tap_h[t], j * step_w + tap_w[t]); a tap
 * contributes run = span * channels floats, span neighbouring pixels at once where they are contiguous. Pixels
 * outside the source count as zeros. */
#ifndef FASTNN_KERNELS_CONV_H
#define FASTNN_KERNELS_CONV_H

static const float conv_zeros[GEMM_KC_MAX];

typedef struct conv_position {
    const float *image;
    int64_t h, w;
} conv_position;

/* Positions of grid rows first .. first + count. */
static void conv_locate(const fnn_gather *g, const float *x, int64_t first, int count, conv_position *at) {
    int64_t j = first % g->grid_w, i = first / g->grid_w % g->grid_h;
    const float *image = x + first / g->grid_w / g->grid_h * g->src_h * g->src_w * g->pixel;
    for (int q = 0; q < count; q++) {
        at[q] = (conv_position){image, i * g->step_h, j * g->step_w};
        if (++j < g->grid_w) continue;
        j = 0;
        if (++i < g->grid_h) continue;
        i = 0;
        image += g->src_h * g->src_w * g->pixel;
    }
}

/* What the layer before left to this load: act(x * scale + shift). */
static inline __attribute__((always_inline)) vf prologue_apply(vf x, vf scale, vf shift, int activation, vf slope) {
    return act_apply(v_fma(x, scale, shift), activation, slope);
}

/* dst[0 .. len) = the finished values of src[0 .. len). */
static void conv_prologue(const fnn_gather *g, int64_t channel, const float *src, int64_t len, float *dst) {
    const vf slope = v_set1(g->slope);
    for (int64_t c = 0; c < len; c += VL) {
        const int lanes = len - c < VL ? (int)(len - c) : VL;
        const vf scale = g->scale ? gemm_read(g->scale + channel + c, lanes) : v_set1(1.0f);
        const vf shift = g->shift ? gemm_read(g->shift + channel + c, lanes) : v_zero();
        v_store_n(dst + c, prologue_apply(gemm_read(src + c, lanes), scale, shift, g->activation, slope), lanes);
    }
}

/* Rows at once whose scale and shift are read once. */
#define CONV_FINISHED 4

/* Up to CONV_FINISHED rows of k values; activation is a constant of the caller. */
static inline __attribute__((always_inline)) void conv_finish_few(const fnn_gather *g, int64_t channel,
                                                                  const int activation, const float *src,
                                                                  int64_t src_row, const int rows, int64_t k,
                                                                  float *dst, int64_t dst_row) {
    const vf slope = v_set1(g->slope);
    for (int64_t c = 0; c < k; c += VL) {
        const int lanes = k - c < VL ? (int)(k - c) : VL;
        const vf scale = g->scale ? gemm_read(g->scale + channel + c, lanes) : v_set1(1.0f);
        const vf shift = g->shift ? gemm_read(g->shift + channel + c, lanes) : v_zero();
        GEMM_UNROLL for (int i = 0; i < rows; i++) {
            const vf v = prologue_apply(gemm_read(src + i * src_row + c, lanes), scale, shift, activation, slope);
            if (lanes == VL)
                v_store(dst + i * dst_row + c, v);
            else
                v_store_n(dst + i * dst_row + c, v, lanes);
        }
    }
}

static inline __attribute__((always_inline)) void conv_finish_as(const fnn_gather *g, int64_t channel,
                                                                 const int activation, const float *src,
                                                                 int64_t src_row, int64_t m, int64_t k, float *dst,
                                                                 int64_t dst_row) {
    int64_t i = 0;
    for (; i + CONV_FINISHED <= m; i += CONV_FINISHED)
        conv_finish_few(g, channel, activation, src + i * src_row, src_row, CONV_FINISHED, k, dst + i * dst_row,
                        dst_row);
    for (; i < m; i++)
        conv_finish_few(g, channel, activation, src + i * src_row, src_row, 1, k, dst + i * dst_row, dst_row);
}

/* m rows of k channels from channel on, src_row floats apart, finished to rows dst_row floats apart. */
static void conv_finish_rows(const fnn_gather *g, int64_t channel, const float *src, int64_t src_row, int64_t m,
                             int64_t k, float *dst, int64_t dst_row) {
    if (g->activation == FNN_ACT_RELU)
        conv_finish_as(g, channel, FNN_ACT_RELU, src, src_row, m, k, dst, dst_row);
    else if (g->activation == FNN_ACT_LEAKY_RELU)
        conv_finish_as(g, channel, FNN_ACT_LEAKY_RELU, src, src_row, m, k, dst, dst_row);
    else
        conv_finish_as(g, channel, FNN_ACT_NONE, src, src_row, m, k, dst, dst_row);
}

/* Floats [r, r + len) of a tap whose span leaves the source on a side: what is inside, zeros elsewhere. */
static void conv_partial_span(const fnn_gather *g, const float *line, int64_t w, int64_t r, int64_t len, float *dst) {
    for (int64_t e = 0; e < len; e++) {
        const int64_t column = w + (r + e) / g->channels;
        dst[e] = column >= 0 && column < g->src_w ? line[w * g->pixel + r + e] : 0.0f;
    }
}

/* Where to read floats [r, r + len) of tap t at a position; edge: room for len floats that lie nowhere as such. */
static inline const float *conv_row(const fnn_gather *g, int64_t channel, const conv_position *at, int64_t t,
                                    int64_t r, int64_t len, float *edge) {
    const int64_t h = at->h + g->tap_h[t], w = at->w + g->tap_w[t];
    if ((uint64_t)h >= (uint64_t)g->src_h || w + g->span <= 0 || w >= g->src_w) return conv_zeros;
    const float *line = at->image + h * g->src_w * g->pixel;
    if (w < 0 || w + g->span > g->src_w) {
        conv_partial_span(g, line, w, r, len, edge);
        return edge;
    }
    if (!g->prologue) return line + w * g->pixel + r;
    conv_prologue(g, channel + r, line + w * g->pixel + r, len, edge);
    return edge;
}

/* Rows [e, e + count) of a panel whose source, for each k, is one run of memory: src + k. */
static inline void conv_copy_run(float *dst, const float *src, int count, int64_t len) {
    for (int i = 0; i < GEMM_MR && i < count; i += VL) {
        const int lanes = count - i < VL ? count - i : VL;
        for (int64_t k = 0; k < len; k++) v_store_n(dst + k * GEMM_MR + i, v_load_n(src + k + i, lanes), lanes);
    }
}

/* A panel over floats [k0, k0 + k) of all taps for one channel and step 1, where neighbouring rows are neighbours in
 * memory for as long as their grid line lasts. Only rows that meet the border go one by one. */
static void conv_pack_single(const fnn_gather *g, const conv_position *at, int rows, int64_t k0, int64_t k,
                             float *dst) {
    /* Taps go up or down along each side, so the first and the last are the extremes. */
    const int64_t n = g->n_taps - 1, down_h = g->tap_h[n] < g->tap_h[0], down_w = g->tap_w[n] < g->tap_w[0];
    const int64_t low_h = g->tap_h[down_h ? n : 0], high_h = g->tap_h[down_h ? 0 : n];
    const int64_t low_w = g->tap_w[down_w ? n : 0], high_w = g->tap_w[down_w ? 0 : n] + g->span;
    for (int e = 0, count; e < rows; e += count) {
        const conv_position *p = &at[e];
        count = (int)(g->grid_w - p->w) < rows - e ? (int)(g->grid_w - p->w) : rows - e;
        const int whole = p->h + low_h >= 0 && p->h + high_h < g->src_h && p->w + low_w >= 0 &&
                          p->w + count - 1 + high_w <= g->src_w;
        if (!whole) count = 1;
        int64_t t = k0 / g->run, r = k0 % g->run;
        for (int64_t q = 0, len; q < k; q += len, t++, r = 0) {
            float edge[GEMM_KC_MAX], *d = dst + q * GEMM_MR + e;
            len = g->run - r < k - q ? g->run - r : k - q;
            if (whole) {
                conv_copy_run(d, p->image + (p->h + g->tap_h[t]) * g->src_w + p->w + g->tap_w[t] + r, count, len);
                continue;
            }
            const float *row = conv_row(g, 0, p, t, r, len, edge);
            for (int64_t c = 0; c < len; c++) d[c * GEMM_MR] = row[c];
        }
    }
}

/* Panels of A: m grid rows from i0, k floats of (tap, channel) from k0. channel: the group's first. */
static void conv_pack_rows(const fnn_gather *g, const float *x, int64_t channel, int64_t i0, int64_t m, int64_t k0,
                           int64_t k, float *dst) {
    conv_position at[GEMM_MR];
    const float *row[GEMM_MR];
    float edge[GEMM_MR][GEMM_KC_MAX];
    const int single = g->pixel == 1 && g->step_w == 1 && g->n_taps > 0 && !g->prologue;
    for (int64_t i = 0; i < m; i += GEMM_MR) {
        const int rows = (int)(m - i < GEMM_MR ? m - i : GEMM_MR);
        conv_locate(g, x, i0 + i, rows, at);
        float *d = dst + i * k;
        if (single) {
            conv_pack_single(g, at, rows, k0, k, d);
            continue;
        }
        int64_t t = k0 / g->run, r = k0 % g->run;
        for (int64_t q = 0, len; q < k; q += len, t++, r = 0) {
            len = g->run - r < k - q ? g->run - r : k - q;
            for (int e = 0; e < rows; e++) row[e] = conv_row(g, channel, &at[e], t, r, len, edge[e]);
            pack_transpose(d + q * GEMM_MR, GEMM_MR, row, rows, len);
        }
    }
}

static inline __attribute__((always_inline)) void conv_copy_pixels(float *dst, int64_t width, const float *src,
                                                                   int64_t src_step, int64_t len, int64_t pixels) {
    const int64_t whole = len / VL * VL;
    const int lanes = (int)(len - whole);
    for (int64_t p = 0; p < pixels; p++, dst += width, src += src_step) {
        for (int64_t c = 0; c < whole; c += VL) v_store(dst + c, v_load(src + c));
        if (lanes) v_store_n(dst + whole, v_load_n(src + whole, lanes), lanes);
    }
}

/* Smallest j >= 0 with j * step + offset >= bound. */
static inline int64_t conv_first_at(int64_t bound, int64_t offset, int64_t step) {
    return bound <= offset ? 0 : (bound - offset + step - 1) / step;
}

/* Floats [r, r + len) of tap t for grid columns j0 .. j1 of a grid line that meets this source line (NULL: none). */
static void conv_pack_line(const fnn_gather *g, const float *line, int64_t channel, int64_t t, int64_t r, int64_t len,
                           int64_t j0, int64_t j1, float *dst, int64_t width) {
    int64_t inside0 = conv_first_at(0, g->tap_w[t], g->step_w);
    int64_t inside1 = conv_first_at(g->src_w - g->span + 1, g->tap_w[t], g->step_w);
    inside0 = !line || inside0 > j1 ? j1 : inside0 < j0 ? j0 : inside0;
    inside1 = inside1 > j1 ? j1 : inside1 < inside0 ? inside0 : inside1;
    for (int64_t j = j0; j < j1; j++) {
        float *d = dst + (j - j0) * width;
        const int64_t w = j * g->step_w + g->tap_w[t];
        if (j == inside0 && inside0 < inside1) {
            const float *s = line + w * g->pixel + r;
            if (!g->prologue)
                conv_copy_pixels(d, width, s, g->step_w * g->pixel, len, inside1 - inside0);
            else
                for (int64_t q = 0; q < inside1 - inside0; q++)
                    conv_prologue(g, channel + r, s + q * g->step_w * g->pixel, len, d + q * width);
            j = inside1 - 1;
        } else if (line && g->span > 1) {
            conv_partial_span(g, line, w, r, len, d);
        } else {
            for (int64_t e = 0; e < len; e++) d[e] = 0.0f;
        }
    }
}

/* Panels of B for the weights' gradient: columns are n floats of (tap, channel) from j0, k is p rows from p0. */
static void conv_pack_taps(const fnn_gather *g, const float *x, int64_t channel, int64_t j0, int64_t n, int64_t p0,
                           int64_t p, float *dst) {
    for (int64_t j = 0, count; j < n; j += GEMM_NR) {
        count = n - j < GEMM_NR ? n - j : GEMM_NR;
        const int64_t width = (count + VL - 1) / VL * VL;
        for (int64_t off = 0, len; off < count; off += len) {
            const int64_t t = (j0 + j + off) / g->run, r = (j0 + j + off) % g->run;
            len = g->run - r < count - off ? g->run - r : count - off;
            float *d = dst + j * p + off;
            for (int64_t q = p0, segment; q < p0 + p; q += segment, d += segment * width) {
                const int64_t column = q % g->grid_w, i = q / g->grid_w % g->grid_h;
                const int64_t image = q / g->grid_w / g->grid_h;
                segment = g->grid_w - column < p0 + p - q ? g->grid_w - column : p0 + p - q;
                const int64_t h = i * g->step_h + g->tap_h[t];
                const float *line = (uint64_t)h < (uint64_t)g->src_h
                                        ? x + (image * g->src_h + h) * g->src_w * g->pixel
                                        : NULL;
                conv_pack_line(g, line, channel, t, r, len, column, column + segment, d, width);
            }
        }
    }
}

/* Panels of B from weights: element (k = (t, c), column) is w[column * column_stride + c * channel_stride + tap[t]].
 * Channels go in short runs, so that the lines of w that the taps share are still in the first-level cache. */
static void conv_pack_weights(float *dst, const float *w, int64_t column_stride, int64_t channel_stride,
                              int64_t channels, const int32_t *tap, int64_t n_taps, int64_t n) {
    const int64_t k = n_taps * channels;
    for (int64_t j = 0; j < n; j += GEMM_NR) {
        const int64_t count = n - j < GEMM_NR ? n - j : GEMM_NR, width = (count + VL - 1) / VL * VL;
        const float *s = w + j * column_stride;
        for (int64_t c0 = 0; c0 < channels; c0 += 8)
            for (int64_t t = 0; t < n_taps; t++)
                for (int64_t c = c0; c < c0 + 8 && c < channels; c++) {
                    float *d = dst + j * k + (t * channels + c) * width;
                    const float *e = s + c * channel_stride + tap[t];
                    for (int64_t q = 0; q < count; q++) d[q] = e[q * column_stride];
                }
    }
}

/* dst[e] += the sum of src[i * apart + e] over i < parts, in order. */
static void conv_scatter(float *dst, const float *src, int64_t parts, int64_t apart, int64_t n) {
    for (int64_t e = 0; e < n; e += VL, src += VL) {
        const int lanes = n - e < VL ? (int)(n - e) : VL;
        vf v = gemm_read(dst + e, lanes);
        for (int64_t i = 0; i < parts; i++) v += v_load(src + i * apart);
        if (lanes == VL)
            v_store(dst + e, v);
        else
            v_store_n(dst + e, v, lanes);
    }
}

/* Sums of partial weight gradients: dst[c * taps + t] = sum over chunks, in order, of part[t * tap_stride + c]. */
static void conv_merge_weights(float *dst, const float *part, int64_t chunks, int64_t chunk_stride, int64_t taps,
                               int64_t tap_stride, int64_t channels) {
    for (int64_t t = 0; t < taps; t++)
        for (int64_t c = 0; c < channels; c++) {
            const float *p = part + t * tap_stride + c;
            float sum = p[0];
            for (int64_t i = 1; i < chunks; i++) sum += p[i * chunk_stride];
            dst[c * taps + t] = sum;
        }
}

#endif
