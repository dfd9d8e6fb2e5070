/* Gradient of depthwise weights of 3x3 and 5x5 at stride 1 and 2, in the tiles of depthwise_tile.h: a tile of dy stays
 * in registers while the window of x passes, and each tap's sum is read and written once a tile. Sums are [tap][channel].
 * A tile has only pixels that exist, so that no product is made that does not belong to a sum. */
#ifndef FASTNN_KERNELS_DEPTHWISE_SUMS_H
#define FASTNN_KERNELS_DEPTHWISE_SUMS_H

/* R x T pixels of dy; K, S, R, T and mode are constants of the caller. */
DW_INLINE void dw_sums_run(const int K, const int S, const int R, const int T, const int mode,
                           const fnn_depthwise_band *b, const dw_tile *t) {
    const int64_t pixel = b->channels, three = 3 * pixel, line = b->src_w * pixel, dy_line = b->dst_w * pixel;
    const int window_lines = DW_WINDOW(R, K, S), window_columns = DW_WINDOW(T, K, S);
    for (int64_t c = t->c0; c < t->c1; c += VL) {
        const int lanes = mode == DW_TAIL && t->c1 - c < VL ? (int)(t->c1 - c) : VL;
        const float *first = b->sums + c, *last = first;
        vf dy[DW_LINES][DW_COLUMNS], sum[5][5];
        DW_UNROLL for (int r = 0; r < R; r++) {
            const float *p = t->residual + r * dy_line + c, *soon = t->residual + (r + R) * dy_line + c * T;
            DW_HIDE(p);
            DW_UNROLL for (int q = 0; q < T; q++) {
                dy[r][q] = dw_read(mode, dw_walk(&p, q, pixel, three), lanes);
                __builtin_prefetch(soon + q * VL, 0, 2);
            }
        }
        DW_UNROLL for (int i = 0; i < window_lines; i++) {
            if (i < K) {
                const float *p = first;
                DW_UNROLL for (int kw = 0; kw < K; kw++)
                    sum[i][kw] = dw_read(mode, dw_walk(&p, kw, pixel, three), lanes);
                first += K * pixel;
                DW_HIDE(first);
            }
            if (mode == DW_INNER || t->line[i]) {
                const int ahead = i - DW_FIRST_SOON(K, S);
                const float *p = t->line[i] + c, *soon = t->soon + ahead * line + c * (T * S);
                DW_HIDE(p);
                DW_UNROLL for (int j = 0; j < window_columns; j++) {
                    const float *at = dw_walk(&p, j, pixel, three);
                    if (ahead >= 0 && ahead < R * S && j < T * S) __builtin_prefetch(soon + j * VL, 0, 2);
                    if (mode != DW_INNER && !(t->columns >> j & 1)) continue;
                    const vf x = dw_read(mode, at, lanes);
                    DW_UNROLL for (int r = 0; r < R; r++) DW_UNROLL for (int q = 0; q < T; q++) {
                        const int kh = DW_TAP(r, i, K, S), kw = DW_TAP(q, j, K, S);
                        if (kh >= 0 && kh < K && kw >= 0 && kw < K) sum[kh][kw] = v_fma(x, dy[r][q], sum[kh][kw]);
                    }
                }
            }
            const int done = i - (R - 1) * S; /* the line of taps that no later line meets */
            if (done >= 0) {
                const float *p = last;
                DW_UNROLL for (int kw = 0; kw < K; kw++) {
                    float *const at = (float *)(uintptr_t)dw_walk(&p, kw, pixel, three);
                    if (mode != DW_TAIL)
                        v_store(at, sum[done][kw]);
                    else
                        v_store_n(at, sum[done][kw], lanes);
                }
                last += K * pixel;
                DW_HIDE(last);
            }
        }
    }
}

#define DW_SUMS(name, K, S, R, T, mode)                                                                              \
    static void dw_##name##_##K##x##S(const fnn_depthwise_band *b, const dw_tile *t) {                               \
        dw_sums_run(K, S, R, T, mode, b, t);                                                                         \
    }
/* Whole tiles; tiles of one line; single columns of whole or of one line. A partial vector goes line by line. */
#define DW_ALL_SUMS(K, S)                                                                                            \
    DW_SUMS(sums_inner, K, S, DW_LINES, DW_COLUMNS, DW_INNER)                                                        \
    DW_SUMS(sums_border, K, S, DW_LINES, DW_COLUMNS, DW_BORDER)                                                      \
    DW_SUMS(sums_line, K, S, 1, DW_COLUMNS, DW_BORDER)                                                               \
    DW_SUMS(sums_line_tail, K, S, 1, DW_COLUMNS, DW_TAIL)                                                            \
    DW_SUMS(sums_column, K, S, DW_LINES, 1, DW_BORDER)                                                               \
    DW_SUMS(sums_pixel, K, S, 1, 1, DW_BORDER)                                                                       \
    DW_SUMS(sums_pixel_tail, K, S, 1, 1, DW_TAIL)
DW_ALL_SUMS(3, 1)
DW_ALL_SUMS(3, 2)
DW_ALL_SUMS(5, 1)
DW_ALL_SUMS(5, 2)

#define DW_SUMS_NAME(name, K, S) dw_sums_##name##_##K##x##S
/* [one line][one column][mode] */
#define DW_SUMS_NAMES(K, S)                                                                                          \
    {                                                                                                                \
        {{DW_SUMS_NAME(inner, K, S), DW_SUMS_NAME(border, K, S)},                                                    \
         {DW_SUMS_NAME(column, K, S), DW_SUMS_NAME(column, K, S)}},                                                  \
        {{DW_SUMS_NAME(line, K, S), DW_SUMS_NAME(line, K, S), DW_SUMS_NAME(line_tail, K, S)},                        \
         {DW_SUMS_NAME(pixel, K, S), DW_SUMS_NAME(pixel, K, S), DW_SUMS_NAME(pixel_tail, K, S)}},                    \
    }
static dw_tile_fn *const dw_sums[2][2][2][2][3] = {
    {DW_SUMS_NAMES(3, 1), DW_SUMS_NAMES(3, 2)},
    {DW_SUMS_NAMES(5, 1), DW_SUMS_NAMES(5, 2)},
};

/* R x T pixels of dy from (row, column) on, channels [c0, c1). */
static void dw_sums_place(const fnn_depthwise_band *b, int64_t row, int64_t column, int64_t R, int64_t T, int64_t c0,
                          int64_t c1) {
    const int64_t K = b->kernel, S = b->stride, line_floats = b->src_w * b->channels;
    const int64_t h0 = row * S - b->top, lines = DW_WINDOW(R, K, S);
    const int64_t w0 = column * S - b->left, window = DW_WINDOW(T, K, S);
    const uint32_t inside = dw_inside(h0, lines, 0, b->src_h);
    dw_tile t = {.columns = dw_inside(w0, window, 0, b->src_w), .c0 = c0, .c1 = c1};
    const int inner = inside == (1u << lines) - 1u && t.columns == (1u << window) - 1u;
    for (int64_t i = 0; i < lines; i++)
        t.line[i] = inside >> i & 1 ? b->src + (h0 + i) * line_floats + w0 * b->channels : NULL;
    t.soon = b->src + (h0 + lines) * line_floats + w0 * b->channels;
    t.residual = b->residual + (row * b->dst_w + column) * b->channels;
    dw_sums[K == 5][S == 2][R == 1][T == 1][c1 - c0 < VL ? DW_TAIL : inner ? DW_INNER : DW_BORDER](b, &t);
}

/* sums += the products of lines [row0, row1) of dy. */
static void depthwise_sums(const fnn_depthwise_band *b) {
    const int64_t whole = b->channels / VL * VL;
    for (int64_t row = b->row0, R; row < b->row1; row += R) {
        R = b->row1 - row >= DW_LINES ? DW_LINES : 1;
        for (int64_t column = 0, T; column < b->dst_w; column += T) {
            T = b->dst_w - column >= DW_COLUMNS ? DW_COLUMNS : 1;
            if (whole) dw_sums_place(b, row, column, R, T, 0, whole);
            for (int64_t r = 0; whole < b->channels && r < R; r++)
                dw_sums_place(b, row + r, column, 1, T, whole, b->channels);
        }
    }
}

/* dw[channel][tap] of n channels: the sums of chunks, stride apart, added in their order. */
static void depthwise_merge(const float *sums, int64_t chunks, int64_t stride, int64_t channels, int64_t taps,
                            int64_t n, float *dw) {
    for (int64_t c = 0; c < n; c += VL) {
        const int lanes = n - c < VL ? (int)(n - c) : VL;
        float total[25 * VL];
        for (int64_t t = 0; t < taps; t++) {
            const float *p = sums + t * channels + c;
            vf sum = gemm_read(p, lanes);
            for (int64_t i = 1; i < chunks; i++) sum += gemm_read(p + i * stride, lanes);
            v_store(total + t * VL, sum);
        }
        copy_transpose(lanes, taps, total, VL, dw + c * taps, taps);
    }
}

#endif
