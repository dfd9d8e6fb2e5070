/* Convolution with few channels: a tile of an image in each lane.
 *
 * With fewer channels than lanes no dimension of an NHWC image fills a vector. Here VL equal tiles, of one image or of
 * several, are turned so that a vector holds the same value of all of them, tile[line][column][channel][lane]. Then
 * every tap of every pixel is one aligned vector, weights are single numbers from memory, and no lane is idle.
 *
 * Pixels outside the image count as zeros; where all lanes lie alike, taps that see nothing else are left out. */
#ifndef FASTNN_KERNELS_CONV_SMALL_H
#define FASTNN_KERNELS_CONV_SMALL_H

#define SMALL_AHEAD 64 /* floats of a row to ask for before they are turned */
#define SMALL_UNROLL _Pragma("GCC unroll 8")
#define SMALL_EACH(body)                                                                                             \
    do {                                                                                                             \
        SMALL_UNROLL for (int o = 0; o < R; o++) SMALL_UNROLL for (int p = 0; p < P; p++) body;                      \
    } while (0)

/* Keeps the compiler from loading again through a pointer what is in a register. */
#define SMALL_HIDE(p) __asm__("" : "+r"(p))

/* ---- turning -------------------------------------------------------------------------------------------- */

/* n times four k of dst[k][l] = row[l][k]. All that is read of a line of a row is read at once: rows are often a power of
 * two apart, and lines of all of them do not stay in the first-level cache together. */
static inline __attribute__((always_inline)) void small_turn_some(const int n, const float *const *row, int64_t k,
                                                                  float *dst) {
    vf r[VL / 4][4];
    for (int l = 0; l < VL && n == VL / 4; l++) __builtin_prefetch(row[l] + k + SMALL_AHEAD, 0, 3);
    SMALL_UNROLL for (int q = 0; q < 4; q++) SMALL_UNROLL for (int a = 0; a < n; a++)
        r[a][q] = v_load_quads(row + q, k + 4 * a);
    SMALL_UNROLL for (int a = 0; a < n; a++) {
        v_transpose_quads(r[a]);
        SMALL_UNROLL for (int q = 0; q < 4; q++) v_store(dst + (k + 4 * a + q) * VL, r[a][q]);
    }
}

/* dst[k][l] = row[l][k]; the last four k are done again rather than fewer. */
static inline void small_turn(const float *const *row, int64_t len, float *dst) {
    int64_t k = 0;
    for (; k + VL <= len; k += VL) small_turn_some(VL / 4, row, k, dst);
    for (; k + 4 <= len; k += 4) small_turn_some(1, row, k, dst);
    if (k < len && len >= 4)
        small_turn_some(1, row, len - 4, dst);
    else
        for (; k < len; k++)
            for (int l = 0; l < VL; l++) dst[k * VL + l] = row[l][k];
}

/* row[l][k] = src[k][l] */
static inline void small_turn_back(const float *src, int64_t len, float *const *row) {
    for (int64_t k = 0; k < len; k += VL) {
        const int n = len - k < VL ? (int)(len - k) : VL;
        vf r[4][VL / 4];
        for (int l = 0; l < VL; l++) __builtin_prefetch(row[l] + k + SMALL_AHEAD, 1, 3);
        SMALL_UNROLL for (int a = 0; a < VL / 4; a++) {
            vf t[4];
            SMALL_UNROLL for (int q = 0; q < 4; q++) t[q] = v_load(src + (4 * a + q < n ? k + 4 * a + q : k) * VL);
            v_transpose_quads(t);
            SMALL_UNROLL for (int q = 0; q < 4; q++) r[q][a] = t[q];
        }
        SMALL_UNROLL for (int q = 0; q < 4; q++) {
            v_transpose_groups(r[q]);
            SMALL_UNROLL for (int g = 0; g < VL / 4; g++) {
                if (n == VL)
                    v_store(row[4 * g + q] + k, r[q][g]);
                else
                    v_store_n(row[4 * g + q] + k, r[q][g], n);
            }
        }
    }
}

/* Where the tile of a lane begins; at: of its first pixel, in floats from the first image. */
typedef struct small_lane {
    int64_t h, w, at;
    int there, whole; /* whole: no column of it is outside */
} small_lane;

static void small_locate(const fnn_small_tiles *t, int64_t tile, small_lane *lane) {
    int64_t j = tile % t->grid_w, i = tile / t->grid_w % t->grid_h, image = tile / t->grid_w / t->grid_h;
    for (int l = 0; l < VL; l++) {
        const int64_t h = t->first_h + i * t->step_h, w = t->first_w + j * t->step_w;
        lane[l] = (small_lane){.h = h, .w = w, .at = ((image * t->h + h) * t->w + w) * t->c};
        lane[l].there = image < t->images;
        lane[l].whole = w >= 0 && w + t->columns <= t->w;
        if (++j < t->grid_w) continue;
        j = 0;
        if (++i < t->grid_h) continue;
        i = 0;
        image++;
    }
}

/* Columns [*lo, *hi) of a tile that starts at column w are inside. */
static inline void small_inside(const fnn_small_tiles *t, int64_t w, int64_t *lo, int64_t *hi) {
    *hi = t->w - w < t->columns ? t->w - w : t->columns;
    if (*hi < 0) *hi = 0;
    *lo = w < 0 ? -w : 0;
    if (*lo > *hi) *lo = *hi;
}

/* Line r of VL tiles. edge: see small_clear_edge. */
static inline void small_gather_line(const fnn_small_tiles *t, const small_lane *lane, int64_t r, const float *x,
                                     float *edge, float *dst) {
    const int64_t len = t->columns * t->c, below = r * t->w * t->c;
    const float *row[VL];
    int64_t lo = 0, hi = t->columns; /* columns that are turned, the others are zeros for all lanes */
    if (t->grid_w == 1) small_inside(t, t->first_w, &lo, &hi);
    for (int l = 0; l < VL; l++) {
        const int64_t h = lane[l].h + r;
        const float *s = x + lane[l].at + below;
        if (!lane[l].there || h < 0 || h >= t->h) {
            row[l] = edge;
        } else if (lane[l].whole || t->grid_w == 1) {
            row[l] = s + lo * t->c;
        } else {
            int64_t from, to;
            small_inside(t, lane[l].w, &from, &to);
            float *e = edge + (l + 1) * len;
            for (int64_t i = from * t->c; i < to * t->c; i++) e[i] = s[i];
            row[l] = e;
        }
    }
    for (int64_t i = 0; i < lo * t->c; i++) v_store(dst + i * VL, v_zero());
    small_turn(row, (hi - lo) * t->c, dst + lo * t->c * VL);
    for (int64_t i = hi * t->c; i < len; i++) v_store(dst + i * VL, v_zero());
}

/* A line of zeros, and one for each lane that sticks out on a side. */
static inline void small_clear_edge(const fnn_small_tiles *t, const small_lane *lane, float *edge) {
    const int64_t len = t->columns * t->c;
    memset(edge, 0, (size_t)len * sizeof(float));
    for (int l = 0; l < VL && t->grid_w > 1; l++)
        if (!lane[l].whole) memset(edge + (l + 1) * len, 0, (size_t)len * sizeof(float));
}

/* VL tiles from tile on, into dst. */
static void small_gather(const fnn_small_tiles *t, const float *x, int64_t tile, float *dst, float *edge) {
    small_lane lane[VL];
    small_locate(t, tile, lane);
    small_clear_edge(t, lane, edge);
    for (int64_t r = 0; r < t->rows; r++, dst += t->columns * t->c * VL) small_gather_line(t, lane, r, x, edge, dst);
}

/* ---- forward, and the gradient for the input ------------------------------------------------------------- */

/* R output channels of P pixels of a line: dst[pixel][channel][lane]. */
static inline __attribute__((always_inline)) void small_dot(const int R, const int P, const fnn_small *s,
                                                            const fnn_small_block *b, int64_t kh0, int64_t kh1,
                                                            const float *x, const float *w, const float *bias,
                                                            float *dst) {
    const int64_t pixel = s->x_pixel, w_out = s->w_out, end = kh1 * b->per_kh;
    const int32_t *x_at = b->x_at, *w_at = b->w_at;
    vf acc[SMALL_R][SMALL_P];
    SMALL_UNROLL for (int o = 0; o < R; o++) {
        const vf first = bias ? v_set1(bias[o]) : v_zero();
        SMALL_UNROLL for (int p = 0; p < P; p++) acc[o][p] = first;
    }
#pragma GCC unroll 1
    for (int64_t k = kh0 * b->per_kh; k < end; k++) {
        const float *xk = x + x_at[k], *wk = w + w_at[k];
        vf xv[SMALL_P];
        SMALL_UNROLL for (int p = 0; p < P; p++) xv[p] = v_load(xk + p * pixel);
        SMALL_UNROLL for (int o = 0; o < R; o++) {
            const vf wv = v_set1(wk[o * w_out]);
            SMALL_UNROLL for (int p = 0; p < P; p++) acc[o][p] = v_fma(xv[p], wv, acc[o][p]);
        }
    }
    const vf slope = v_set1(s->slope);
    if (s->activation == FNN_ACT_RELU) SMALL_EACH(acc[o][p] = act_apply(acc[o][p], FNN_ACT_RELU, slope));
    if (s->activation == FNN_ACT_LEAKY_RELU) SMALL_EACH(acc[o][p] = act_apply(acc[o][p], FNN_ACT_LEAKY_RELU, slope));
    SMALL_EACH(v_store(dst + (p * s->outputs + o) * VL, acc[o][p]));
}

typedef void small_dot_fn(const fnn_small *s, const fnn_small_block *b, int64_t kh0, int64_t kh1, const float *x,
                          const float *w, const float *bias, float *dst);

/* R output channels by P taps: part[output channel][tap] += sum over pixels of dy[pixel][R] * x[tap + pixel]. */
static inline __attribute__((always_inline)) void small_outer(const int R, const int P, const fnn_small_outer *s,
                                                              int64_t pixels, const float *dy, const float *x,
                                                              const int32_t *x_at, float *part, int add) {
    const int64_t taps = s->taps * VL;
    const int32_t *pixel_at = s->pixel_at;
    const float *xp[SMALL_P];
    vf acc[SMALL_R][SMALL_P];
    SMALL_UNROLL for (int p = 0; p < P; p++) xp[p] = x + x_at[p];
    SMALL_EACH(acc[o][p] = v_zero());
#pragma GCC unroll 1
    for (int64_t i = 0; i < pixels; i++) {
        const int64_t at = pixel_at[i];
        vf xv[SMALL_P];
        SMALL_UNROLL for (int p = 0; p < P; p++) xv[p] = v_load(xp[p] + at);
        SMALL_UNROLL for (int o = 0; o < R; o++) {
            const vf dv = v_load(dy);
            dy += VL;
            SMALL_HIDE(dy);
            SMALL_UNROLL for (int p = 0; p < P; p++) acc[o][p] = v_fma(xv[p], dv, acc[o][p]);
        }
    }
    if (add) SMALL_EACH(acc[o][p] += v_load(part + o * taps + p * VL));
    SMALL_EACH(v_store(part + o * taps + p * VL, acc[o][p]));
}

typedef void small_outer_fn(const fnn_small_outer *s, int64_t pixels, const float *dy, const float *x,
                            const int32_t *x_at, float *part, int add);

#define SMALL_TILE(R, P)                                                                                             \
    static void small_dot_##R##x##P(const fnn_small *s, const fnn_small_block *b, int64_t kh0, int64_t kh1,          \
                                    const float *x, const float *w, const float *bias, float *dst) {                 \
        small_dot(R, P, s, b, kh0, kh1, x, w, bias, dst);                                                            \
    }                                                                                                                \
    static void small_outer_##R##x##P(const fnn_small_outer *s, int64_t pixels, const float *dy, const float *x,     \
                                      const int32_t *x_at, float *part, int add) {                                   \
        small_outer(R, P, s, pixels, dy, x, x_at, part, add);                                                        \
    }
#define SMALL_DOT_NAME(R, P) small_dot_##R##x##P,
#define SMALL_OUTER_NAME(R, P) small_outer_##R##x##P,

#if SMALL_P == 4
#define SMALL_EACH_P(X, R) X(R, 1) X(R, 2) X(R, 3) X(R, 4)
#else
#define SMALL_EACH_P(X, R) X(R, 1) X(R, 2) X(R, 3)
#endif
#if SMALL_R == 6
#define SMALL_EACH_TO_6(X, before, after) before SMALL_EACH_P(X, 5) after before SMALL_EACH_P(X, 6) after
#else
#define SMALL_EACH_TO_6(X, before, after)
#endif
#define SMALL_EACH_R(X)                                                                                              \
    SMALL_EACH_P(X, 1) SMALL_EACH_P(X, 2) SMALL_EACH_P(X, 3) SMALL_EACH_P(X, 4) SMALL_EACH_TO_6(X, , )

SMALL_EACH_R(SMALL_TILE)

static small_dot_fn *const small_dots[SMALL_R * SMALL_P] = {SMALL_EACH_R(SMALL_DOT_NAME)};
static small_outer_fn *const small_outers[SMALL_R * SMALL_P] = {SMALL_EACH_R(SMALL_OUTER_NAME)};

/* One line of the tiles: line[column][channel][lane]. */
static void small_line(const fnn_small *s, int64_t r, const float *x, const float *w, const float *bias,
                       float *line) {
    const int64_t parts = (s->outputs + SMALL_R - 1) / SMALL_R;
    x += r * s->x_row;
    for (int64_t i = 0; i < s->n_blocks; i++) {
        const fnn_small_block *b = &s->block[i];
        for (int64_t q = 0; q < parts; q++) {
            const int64_t o = s->outputs * q / parts, n = s->outputs * (q + 1) / parts - o;
            small_dots[(n - 1) * SMALL_P + b->pixels - 1](
                s, b, s->kh_range[2 * r], s->kh_range[2 * r + 1], x + b->column * s->x_pixel, w + o * s->w_out,
                bias ? bias + o : NULL, line + (b->column * s->outputs + o) * VL);
        }
    }
}

/* y = act(sum + y + residual) over a run. */
static void small_finish(const fnn_small *s, int64_t n, const float *sum, const float *residual, float *y) {
    const vf slope = v_set1(s->slope);
    for (int64_t i = 0; i < n; i += VL) {
        const int lanes = n - i < VL ? (int)(n - i) : VL;
        vf v = gemm_read(sum + i, lanes);
        if (s->accumulate) v += gemm_read(y + i, lanes);
        if (residual) v += gemm_read(residual + i, lanes);
        v_store_n(y + i, act_apply(v, s->late_activation, slope), lanes);
    }
}

/* Line r of the tiles to where it belongs: straight, or by way of edge where a tile sticks out or more is to do. */
static void small_leave(const fnn_small *s, const small_lane *lane, int64_t r, const float *line,
                        const float *residual, float *y, float *edge) {
    const fnn_small_tiles *t = &s->to;
    const int64_t len = t->columns * t->c;
    const int late = s->accumulate || residual != NULL;
    float *row[VL];
    int by_way = 0;
    for (int l = 0; l < VL; l++) {
        const int straight = lane[l].there && lane[l].h + r < t->h && lane[l].whole && !late;
        row[l] = straight ? y + lane[l].at + r * t->w * t->c : edge + (l + 1) * len;
        by_way |= !straight;
    }
    small_turn_back(line, len, row);
    for (int l = 0; by_way && l < VL; l++) {
        if (!lane[l].there || lane[l].h + r >= t->h || (lane[l].whole && !late)) continue;
        int64_t from, to;
        small_inside(t, lane[l].w, &from, &to);
        const int64_t at = lane[l].at + r * t->w * t->c;
        small_finish(s, to * t->c, row[l], residual ? residual + at : NULL, y + at);
    }
}

/* VL tiles of y. scratch: the turned tiles of x, then one line of y's, then the edges (fnn_small's x_floats ...). */
static void conv_small_forward(const fnn_small *s, int64_t tile, const float *x, const float *w, const float *bias,
                               const float *residual, float *y, float *scratch) {
    float *turned = scratch, *line = turned + s->x_floats, *edge = line + s->line_floats;
    small_lane lane[VL];
    small_gather(&s->from, x, tile, turned, edge);
    small_locate(&s->to, tile, lane);
    for (int64_t r = 0; r < s->to.rows; r++) {
        small_line(s, r, turned, w, bias, line);
        small_leave(s, lane, r, line, residual, y, edge);
    }
}

/* ---- gradient for the weights ---------------------------------------------------------------------------- */

/* First of the output channels of part q of parts. */
static inline int64_t small_part(const fnn_small_outer *s, int64_t q) {
    return s->outputs * q / ((s->outputs + SMALL_R - 1) / SMALL_R);
}

/* A line of dy's tiles, line[pixel][channel], to where the register tiles read it: grad[part][pixel][its channels], from
 * pixel first of all. */
static void small_deal(const fnn_small_outer *s, const float *line, int64_t first, int64_t all, float *grad) {
    for (int64_t q = 0, o = 0, end; o < s->outputs; q++, o = end) {
        end = small_part(s, q + 1);
        float *d = grad + (all * o + first * (end - o)) * VL;
        for (int64_t i = 0; i < s->columns; i++)
            for (int64_t c = o; c < end; c++, d += VL) v_store(d, v_load(line + (i * s->outputs + c) * VL));
    }
}

/* Adds VL tiles' share to part[output channel][tap][lane], or writes it there: some lines of dy at a time, which stay
 * in the first-level cache. scratch: the turned tiles of x, then of those lines, one line, the edges. */
static void conv_small_weights(const fnn_small_outer *s, int64_t tile, const float *dy, const float *x, float *part,
                               int add, float *scratch) {
    const int64_t line_floats = s->columns * s->outputs * VL, blocks = (s->taps + SMALL_P - 1) / SMALL_P;
    float *turned = scratch, *grad = turned + s->x_floats, *line = grad + s->lines * line_floats;
    float *edge = line + line_floats;
    small_lane lane[VL];
    small_gather(&s->from, x, tile, turned, edge);
    small_locate(&s->grad, tile, lane);
    small_clear_edge(&s->grad, lane, edge);
    for (int64_t r = 0; r < s->rows; r += s->lines) {
        const int64_t lines = s->rows - r < s->lines ? s->rows - r : s->lines, pixels = lines * s->columns;
        for (int64_t i = 0; i < lines; i++) {
            const int straight = s->outputs <= SMALL_R;
            float *d = straight ? grad + i * line_floats : line;
            small_gather_line(&s->grad, lane, r + i, dy, edge, d);
            if (!straight) small_deal(s, line, i * s->columns, pixels, grad);
        }
        for (int64_t q = 0, o = 0, end; o < s->outputs; q++, o = end) {
            end = small_part(s, q + 1);
            for (int64_t i = 0; i < blocks; i++) {
                const int64_t k = s->taps * i / blocks, m = s->taps * (i + 1) / blocks - k;
                small_outers[(end - o - 1) * SMALL_P + m - 1](s, pixels, grad + pixels * o * VL,
                                                              turned + r * s->x_row, s->x_at + k,
                                                              part + (o * s->taps + k) * VL, add || r > 0);
            }
        }
    }
}

/* dst[i] = the sum over lanes of the sum over parts, in order, of part[i][lane]. VL results are summed together: quads
 * first, then across them. */
static void conv_small_sum(int64_t n, const float *part, int64_t parts, int64_t stride, float *dst) {
    for (int64_t i = 0; i < n; i += VL) {
        float quads[VL / 4][VL];
        const float *row[VL];
        for (int a = 0; a < VL / 4; a++) {
            vf r[4];
            for (int q = 0; q < 4; q++) {
                const int64_t at = (i + 4 * a + q < n ? i + 4 * a + q : n - 1) * VL;
                r[q] = v_load(part + at);
                for (int64_t p = 1; p < parts; p++) r[q] += v_load(part + p * stride + at);
            }
            v_transpose_quads(r);
            v_store(quads[a], (r[0] + r[1]) + (r[2] + r[3]));
        }
        for (int a = 0; a < VL; a++) row[a] = quads[a / 4];
        vf sum = v_load_quads(row, 0);
        for (int g = 4; g < VL; g += 4) sum += v_load_quads(row, g);
        v_store_n(dst + i, sum, n - i < VL ? (int)(n - i) : VL);
    }
}

#endif
