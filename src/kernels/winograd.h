/* Winograd's convolution between NHWC maps and the operands of its products (kernels/winograd_gemm.h). A transformed
 * map is value[v][tile][channel], v one of the values of a tile; filters are value[v][k][column]. */
#ifndef FASTNN_KERNELS_WINOGRAD_H
#define FASTNN_KERNELS_WINOGRAD_H

#include "winograd_transform.h"
#include "winograd_gemm.h"

static const float wino_zeros[WINO_CHANNELS];

typedef struct wino_place {
    int64_t image, i, j;          /* the tile's place in the grid */
    int64_t h, w;                 /* its first pixel, which may lie in the padding */
    int64_t rows, cols;           /* output pixels: m or one less */
    int64_t i0, i_end, j0, j_end; /* of its part */
    int part;
} wino_place;

static inline int64_t wino_part(const fnn_wino_map *g, int part, wino_place *at) {
    const int short_h = part >= 2, short_w = part == 0 || part == 3;
    at->part = part;
    at->i0 = short_h ? g->whole_h : 0, at->i_end = short_h ? g->tiles_h : g->whole_h;
    at->j0 = short_w ? g->whole_w : 0, at->j_end = short_w ? g->tiles_w : g->whole_w;
    at->rows = g->m - short_h, at->cols = g->m - short_w;
    return (at->i_end - at->i0) * (at->j_end - at->j0);
}

static inline void wino_pixels(const fnn_wino_map *g, wino_place *at) {
    at->h = at->i * g->m - (at->i > g->whole_h ? at->i - g->whole_h : 0) - g->top;
    at->w = at->j * g->m - (at->j > g->whole_w ? at->j - g->whole_w : 0) - g->left;
}

static inline wino_place wino_locate(const fnn_wino_map *g, int64_t tile) {
    wino_place at = {0};
    int64_t of_image = wino_part(g, 0, &at);
    while (tile >= of_image * g->images && at.part + 1 < WINO_PARTS) {
        tile -= of_image * g->images;
        of_image = wino_part(g, at.part + 1, &at);
    }
    if (of_image == 0) return at;
    const int64_t in_image = tile % of_image, across = at.j_end - at.j0;
    at.image = tile / of_image, at.i = at.i0 + in_image / across, at.j = at.j0 + in_image % across;
    wino_pixels(g, &at);
    return at;
}

static inline void wino_next(const fnn_wino_map *g, wino_place *at) {
    if (++at->j == at->j_end) {
        at->j = at->j0;
        if (++at->i == at->i_end) {
            at->i = at->i0;
            if (++at->image == g->images) {
                at->image = 0;
                while (at->part + 1 < WINO_PARTS && wino_part(g, at->part + 1, at) == 0) continue;
                at->i = at->i0, at->j = at->j0;
            }
        }
    }
    wino_pixels(g, at);
}

/* ---- maps to values ------------------------------------------------------------------------------------- */

/* size x size pixels, all in the map, or each at its own address where some are not. */
#define WINO_FROM(c, r) v_load(wino_line(&from, r))
#define WINO_EACH(c, r) gemm_read(each[r][c] + at, lanes)
#define WINO_TO(r, c, x) v_store(wino_line(&to, c), x)
#define WINO_NEXT(lines, bytes) ((lines).at += (bytes), ({ WINO_HIDE(lines); }))

WINO_INLINE void wino_tile_inside(const int form, const int filter, const float *first, int64_t line, int64_t pixel,
                                  int64_t channels, float *v, int64_t v_value) {
    const int m = WINO_M(form), wide = WINO_WIDE(form);
    const int64_t next_column = pixel * 4, next_row = v_value * 4 * wide;
    wino_lines from = wino_lines_of(first, line), to = wino_lines_of(v, v_value);
    for (int64_t at = 0; at < channels; at += VL) {
        from.at = (const char *)(first + at), to.at = (const char *)(v + at);
        if (filter)
            WINO_2D(wino_gradient, form, m, wide, WINO_FROM, WINO_NEXT(from, next_column), WINO_TO,
                    WINO_NEXT(to, next_row));
        else
            WINO_2D(wino_data, form, wide, wide, WINO_FROM, WINO_NEXT(from, next_column), WINO_TO,
                    WINO_NEXT(to, next_row));
    }
}

WINO_INLINE void wino_tile_each(const int form, const int filter, const float *const each[6][6], int64_t channels,
                                float *v, int64_t v_value) {
    const int m = WINO_M(form), wide = WINO_WIDE(form);
    const int64_t next_row = v_value * 4 * wide;
    wino_lines to = wino_lines_of(v, v_value);
    for (int64_t at = 0; at < channels; at += VL) {
        const int lanes = channels - at < VL ? (int)(channels - at) : VL;
        to.at = (const char *)(v + at);
        if (filter)
            WINO_2D(wino_gradient, form, m, wide, WINO_EACH, (void)0, WINO_TO, WINO_NEXT(to, next_row));
        else
            WINO_2D(wino_data, form, wide, wide, WINO_EACH, (void)0, WINO_TO, WINO_NEXT(to, next_row));
    }
}

WINO_INLINE void wino_map_tiles(const int form, const int filter, const fnn_wino_map *g, const float *x,
                                int64_t channel, int64_t channels, int64_t tile, int64_t count, float *v,
                                int64_t v_value, int64_t v_tile) {
    const int size = filter ? WINO_M(form) : WINO_WIDE(form);
    const int64_t line = g->w * g->pixel;
    wino_place at = wino_locate(g, tile);
    for (int64_t i = 0; i < count; i++, v += v_tile, wino_next(g, &at)) {
        const float *image = x + at.image * g->h * line + channel;
        const int64_t rows = filter ? at.rows : size, cols = filter ? at.cols : size;
        if (rows == size && cols == size && at.h >= 0 && at.h + size <= g->h && at.w >= 0 && at.w + size <= g->w &&
            channels % VL == 0) {
            wino_tile_inside(form, filter, image + at.h * line + at.w * g->pixel, line, g->pixel, channels, v,
                             v_value);
            continue;
        }
        const float *each[6][6];
        for (int64_t r = 0; r < size; r++)
            for (int64_t c = 0; c < size; c++) {
                const int64_t h = at.h + r, w = at.w + c;
                const int inside = r < rows && c < cols && (uint64_t)h < (uint64_t)g->h &&
                                   (uint64_t)w < (uint64_t)g->w;
                each[r][c] = inside ? image + h * line + w * g->pixel : wino_zeros;
            }
        wino_tile_each(form, filter, each, channels, v, v_value);
    }
}

/* Tiles [tile, tile + count) of at most WINO_CHANNELS channels from channel. v[v * v_value + t * v_tile + c]; whole
 * vectors are written. */
static void wino_input(const fnn_wino_map *g, const float *x, int64_t channel, int64_t channels, int64_t tile,
                       int64_t count, float *v, int64_t v_value, int64_t v_tile) {
    if (g->m + g->taps - 1 == WINO_WIDE(4))
        wino_map_tiles(4, 0, g, x, channel, channels, tile, count, v, v_value, v_tile);
    else
        wino_map_tiles(2, 0, g, x, channel, channels, tile, count, v, v_value, v_tile);
}

/* The same for dy as the filter that the gradient of the weights is: m x m pixels a tile. */
static void wino_output_gradient(const fnn_wino_map *g, const float *dy, int64_t channel, int64_t channels,
                                 int64_t tile, int64_t count, float *v, int64_t v_value, int64_t v_tile) {
    if (g->taps == 5)
        wino_map_tiles(5, 1, g, dy, channel, channels, tile, count, v, v_value, v_tile);
    else if (g->m == 4)
        wino_map_tiles(4, 1, g, dy, channel, channels, tile, count, v, v_value, v_tile);
    else
        wino_map_tiles(2, 1, g, dy, channel, channels, tile, count, v, v_value, v_tile);
}

/* ---- values to maps ------------------------------------------------------------------------------------- */

WINO_INLINE vf wino_epilogue(const fnn_wino_epilogue *e, vf v, int64_t at, int64_t column, const int lanes) {
    if (e->add_y) v += gemm_read(e->y + at, lanes);
    if (e->bias) v += gemm_read(e->bias + column, lanes);
    if (e->residual) v += gemm_read(e->residual + at, lanes);
    if (e->gate) v = v_sel(v_le(gemm_read(e->gate + at, lanes), v_zero()), v_zero(), v);
    return act_apply(v, e->activation, v_set1(e->slope));
}

#define WINO_PIXEL(r, c, x) y[r][c] = x

/* One vector of columns of a tile: rows x cols of its pixels are in the map. */
WINO_INLINE void wino_output_vector(const int form, const fnn_wino_map *g, const fnn_wino_epilogue *e, const float *p,
                                    int64_t p_value, int64_t at, int64_t column, int64_t rows, int64_t cols,
                                    const int lanes) {
    const int m = WINO_M(form), wide = WINO_WIDE(form);
    const int64_t line = g->w * g->pixel, next_column = p_value * 4;
    wino_lines from = wino_lines_of(p, p_value * wide);
    const int plain = !e->add_y && !e->bias && !e->residual && !e->gate && e->activation == FNN_ACT_NONE;
    if (plain && lanes == VL && rows == m && cols == m) {
        wino_lines to = wino_lines_of(e->y + at, g->pixel);
        WINO_2D(wino_result, form, wide, m, WINO_FROM, WINO_NEXT(from, next_column), WINO_TO,
                WINO_NEXT(to, line * 4));
        return;
    }
    vf y[4][4];
    WINO_2D(wino_result, form, wide, m, WINO_FROM, WINO_NEXT(from, next_column), WINO_PIXEL, (void)0);
    for (int64_t r = 0; r < rows; r++)
        for (int64_t c = 0; c < cols; c++) {
            const int64_t to = at + r * line + c * g->pixel;
            const vf v = wino_epilogue(e, y[r][c], to, column, lanes);
            if (lanes == VL)
                v_store(e->y + to, v);
            else
                v_store_n(e->y + to, v, lanes);
        }
}

WINO_INLINE void wino_map_results(const int form, const fnn_wino_map *g, const fnn_wino_epilogue *e, int64_t channel,
                                  int64_t channels, int64_t tile, int64_t count, const float *p, int64_t p_value,
                                  int64_t p_tile) {
    wino_place at = wino_locate(g, tile);
    for (int64_t i = 0; i < count; i++, p += p_tile, wino_next(g, &at)) {
        const int64_t first = ((at.image * g->h + at.h) * g->w + at.w) * g->pixel + channel;
        const int64_t rows = g->h - at.h < at.rows ? g->h - at.h : at.rows;
        const int64_t cols = g->w - at.w < at.cols ? g->w - at.w : at.cols;
        int64_t j = 0;
        for (; j + VL <= channels; j += VL)
            wino_output_vector(form, g, e, p + j, p_value, first + j, channel + j, rows, cols, VL);
        if (j < channels)
            wino_output_vector(form, g, e, p + j, p_value, first + j, channel + j, rows, cols, (int)(channels - j));
    }
}

/* Products p[v * p_value + t * p_tile + j] become pixels of the map at e->y, columns [channel, channel + channels). */
static void wino_output(const fnn_wino_map *g, const fnn_wino_epilogue *e, int64_t channel, int64_t channels,
                        int64_t tile, int64_t count, const float *p, int64_t p_value, int64_t p_tile) {
    if (g->taps == 5)
        wino_map_results(5, g, e, channel, channels, tile, count, p, p_value, p_tile);
    else if (g->m == 4)
        wino_map_results(4, g, e, channel, channels, tile, count, p, p_value, p_tile);
    else
        wino_map_results(2, g, e, channel, channels, tile, count, p, p_value, p_tile);
}

/* ---- filters -------------------------------------------------------------------------------------------- */

#define WINO_RUN 8   /* filters whose taps are contiguous, turned at once */
#define WINO_AREA 25 /* most taps */

/* dst[p][VL] = row[lane][p], p < n, n at least 4. The floats that are ahead of these will be wanted next. */
static void wino_turn(const float *const *row, int64_t n, int64_t ahead, float *dst) {
    for (int64_t p = 0; p < n; p += GEMM_LINE)
        for (int i = 0; i < VL; i++) __builtin_prefetch(row[i] + ahead + p, 0, 3);
    for (int64_t p = 0; p < n; p += 4) {
        const int64_t from = p + 4 <= n ? p : n - 4;
        vf r[4];
        for (int q = 0; q < 4; q++) r[q] = v_load_quads(row + q, from);
        v_transpose_quads(r);
        for (int q = 0; q < 4; q++) v_store(dst + (from + q) * VL, r[q]);
    }
}

/* row[lane][p] = src[p][VL] for the first count lanes. */
static void wino_turn_back(const float *src, int64_t n, int count, float *const *row) {
    for (int64_t p = 0; p < n; p += 4) {
        const int64_t from = p + 4 <= n ? p : n - 4;
        vf r[4];
        float lanes[4][VL];
        for (int q = 0; q < 4; q++) r[q] = v_load(src + (from + q) * VL);
        v_transpose_quads(r);
        for (int q = 0; q < 4; q++) v_store(lanes[q], r[q]);
        for (int i = 0; i < count; i++) memcpy(row[i] + from, lanes[i % 4] + i / 4 * 4, 4 * sizeof(float));
    }
}

#define WINO_TAP(c, r) v_load(turned + (i * area + (r) * taps + (c)) * VL)
#define WINO_TAP_BACK(c, r) v_load(turned + (i * area + area - 1 - (r) * taps - (c)) * VL)

WINO_INLINE void wino_filters(const int form, const fnn_wino_filters *f, const float *w, int64_t columns, int64_t k,
                              int64_t width, float *u, int64_t u_value) {
    const int taps = WINO_TAPS(form), area = taps * taps, wide = WINO_WIDE(form);
    const int64_t run = f->k_stride == area ? WINO_RUN : 1, next_row = u_value * 4 * wide;
    wino_lines to = wino_lines_of(u, u_value);
    float turned[WINO_AREA * WINO_RUN * VL];
    for (int64_t k0 = 0; k0 < k; k0 += run) {
        const int64_t n = k - k0 < run ? k - k0 : run;
        for (int64_t j = 0; j < columns; j += VL) {
            const float *row[VL];
            for (int64_t i = 0; i < VL; i++)
                row[i] = w + (j + i < columns ? j + i : columns - 1) * f->column_stride + k0 * f->k_stride;
            wino_turn(row, n * area, run * f->k_stride, turned);
            for (int64_t i = 0; i < n; i++) {
                to.at = (const char *)(u + (k0 + i) * width + j);
                if (f->flip)
                    WINO_2D(wino_filter, form, taps, wide, WINO_TAP_BACK, (void)0, WINO_TO, WINO_NEXT(to, next_row));
                else
                    WINO_2D(wino_filter, form, taps, wide, WINO_TAP, (void)0, WINO_TO, WINO_NEXT(to, next_row));
            }
        }
    }
}

/* One panel: u[v * u_value + k * width + column] of the filters w[column * column_stride + k * k_stride + tap]. */
static void wino_weights(const fnn_wino_filters *f, const float *w, int64_t columns, int64_t k, int64_t width,
                         float *u, int64_t u_value) {
    if (f->taps == 5)
        wino_filters(5, f, w, columns, k, width, u, u_value);
    else if (f->m == 4)
        wino_filters(4, f, w, columns, k, width, u, u_value);
    else
        wino_filters(2, f, w, columns, k, width, u, u_value);
}

#define WINO_GRADIENT_TAP(r, c, x) v_store(turned + ((r) * taps + (c) + i * area) * VL, x)

WINO_INLINE void wino_filter_results(const int form, const fnn_wino_filters *f, const float *acc, int64_t a_value,
                                     int64_t columns, int64_t k, int64_t width, float *dw) {
    const int taps = WINO_TAPS(form), area = taps * taps, wide = WINO_WIDE(form);
    wino_lines from = wino_lines_of(acc, a_value * wide);
    float turned[WINO_AREA * WINO_RUN * VL];
    for (int64_t k0 = 0; k0 < k; k0 += WINO_RUN) {
        const int64_t n = k - k0 < WINO_RUN ? k - k0 : WINO_RUN;
        for (int64_t j = 0; j < columns; j += VL) {
            const int count = columns - j < VL ? (int)(columns - j) : VL;
            float *row[VL];
            for (int i = 0; i < count; i++) row[i] = dw + (j + i) * f->column_stride + k0 * f->k_stride;
            for (int64_t i = 0; i < n; i++) {
                from.at = (const char *)(acc + (k0 + i) * width + j);
                WINO_2D(wino_weight_result, form, wide, taps, WINO_FROM, WINO_NEXT(from, a_value * 4),
                        WINO_GRADIENT_TAP, (void)0);
            }
            wino_turn_back(turned, n * area, count, row);
        }
    }
}

/* The other way for the gradient: sums acc, laid out as u, to dw, whose filters adjoin. */
static void wino_weights_result(const fnn_wino_filters *f, const float *acc, int64_t a_value, int64_t columns,
                                int64_t k, int64_t width, float *dw) {
    if (f->taps == 5)
        wino_filter_results(5, f, acc, a_value, columns, k, width, dw);
    else if (f->m == 4)
        wino_filter_results(4, f, acc, a_value, columns, k, width, dw);
    else
        wino_filter_results(2, f, acc, a_value, columns, k, width, dw);
}

#endif
