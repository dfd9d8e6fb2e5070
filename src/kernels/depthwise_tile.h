/* Depthwise convolution of 3x3 and 5x5 at stride 1 and 2, and its gradient for the input, in register tiles: some
 * lines by some columns of destination pixels, one vector of channels at a time. Each source vector of the tile's
 * window is read once and meets every tap that it has in the tile. Meanwhile the second level is asked for the lines
 * that the next tiles need, in the order of memory: vector by vector, as they are used, takes up to a third longer,
 * and the first level would have dropped them by then. Where taps fall outside the source they are left out, not
 * multiplied by zero.
 *
 * Stride DW_SPREAD is the gradient for the input of stride 2: destination pixel p meets source pixel s by tap
 * p + DW_OFFSET - 2 s, so that neighbouring pixels have different taps. Weights come packed, [tap][channel]. */
#ifndef FASTNN_KERNELS_DEPTHWISE_TILE_H
#define FASTNN_KERNELS_DEPTHWISE_TILE_H

#define DW_UNROLL _Pragma("GCC unroll 32")
#define DW_INLINE static inline __attribute__((always_inline))

enum { DW_LINES = 2, DW_SPREAD = FNN_DEPTHWISE_SPREAD };

/* Source pixels that so many pixels of a tile meet along one side, and the tap by which pixel p meets the s-th. */
#define DW_WINDOW(pixels, K, S) ((S) == DW_SPREAD ? (pixels) / 2 + (K) / 2 : ((pixels) - 1) * (S) + (K))
#define DW_TAP(p, s, K, S) ((S) == DW_SPREAD ? (p) + DW_OFFSET(K) - 2 * (s) : (s) - (p) * (S))
#define DW_ADVANCE(pixels, S) ((S) == DW_SPREAD ? (pixels) / 2 : (pixels) * (S)) /* from one tile to the next */
#define DW_FIRST_SOON(K, S) ((DW_WINDOW(DW_LINES, K, S) - DW_ADVANCE(DW_LINES, S) + 1) / 2)
#define DW_OFFSET(K) ((K) == 3 ? 1 : 4) /* each for what it meets with equal padding: the tile begins at pixel 0 */
#define DW_EVEN(columns) (((columns) + 1) / 2 * 2)
#define DW_MOST_COLUMNS DW_EVEN(DW_COLUMNS)
#define DW_MOST_LINES DW_WINDOW(DW_LINES, 5, 2)
#define DW_TAIL_COLUMNS 2 /* of tiles of a partial vector, which is one of many: they shall be small, not fast */

/* Tiles inside the image; at its border or cut short; the same with a partial vector at the end. */
enum { DW_INNER, DW_BORDER, DW_TAIL };

typedef struct dw_tile {
    const float *line[DW_MOST_LINES]; /* of the source, at the window's first column; NULL: outside */
    const float *soon;                /* the line after them */
    uint32_t columns;                 /* a bit for each column of the window that is inside */
    uint32_t dst_lines, dst_columns;  /* the same for the tile */
    const float *residual;
    float *dst;
    int64_t c0, c1;
    int past;
} dw_tile;

typedef void dw_tile_fn(const fnn_depthwise_band *b, const dw_tile *t);

DW_INLINE vf dw_read(const int mode, const float *p, int lanes) {
    return mode == DW_TAIL ? v_load_n(p, lanes) : v_load(p);
}

/* Bits of the count positions from first that lie in [lo, hi). */
static inline uint32_t dw_inside(int64_t first, int64_t count, int64_t lo, int64_t hi) {
    const int64_t from = lo > first ? lo - first : 0, to = hi - first < count ? hi - first : count;
    return from >= to ? 0 : (uint32_t)(((1u << to) - 1u) & ~((1u << from) - 1u));
}

/* Pixel j of a line that is walked from its first on: p is moved every third pixel, and hidden from the compiler, which
 * would keep a register for each address otherwise. */
#define DW_HIDE(p) __asm__("" : "+r"(p))
DW_INLINE const float *dw_walk(const float **p, int j, int64_t pixel, int64_t three) {
    if (j > 0 && j % 3 == 0) {
        *p += three;
        DW_HIDE(*p);
    }
    return *p + j % 3 * pixel;
}

#define DW_EACH(body)                                                                                                \
    DW_UNROLL for (int r = 0; r < DW_LINES; r++) DW_UNROLL for (int q = 0; q < T; q++) {                             \
        vf *const v = &acc[r][q];                                                                                    \
        body;                                                                                                        \
    }

DW_INLINE void dw_epilogue(const int T, const int mode, const fnn_depthwise_band *b, const dw_tile *t, int64_t c,
                           int lanes, vf acc[DW_LINES][DW_MOST_COLUMNS]) {
    const vf slope = v_set1(b->slope);
    if (b->bias) {
        const vf bias = dw_read(mode, b->bias + c, lanes);
        DW_EACH(*v += bias)
    }
    if (t->residual) {
        const float *p = t->residual + c;
        DW_EACH(const float *at = p + (r * b->dst_w + q) * b->channels;
                if (mode == DW_INNER ||
                    ((t->dst_lines >> r & 1) && (t->dst_columns >> q & 1))) *v += dw_read(mode, at, lanes))
    }
    if (b->activation == FNN_ACT_RELU) DW_EACH(*v = act_apply(*v, FNN_ACT_RELU, slope))
    if (b->activation == FNN_ACT_LEAKY_RELU) DW_EACH(*v = act_apply(*v, FNN_ACT_LEAKY_RELU, slope))
}

DW_INLINE void dw_store(const int T, const int mode, const fnn_depthwise_band *b, const dw_tile *t, int64_t c,
                        int lanes, int past, vf acc[DW_LINES][DW_MOST_COLUMNS]) {
    const int64_t pixel = b->channels, three = 3 * pixel, line = b->dst_w * pixel;
    DW_UNROLL for (int r = 0; r < DW_LINES; r++) {
        if (mode != DW_INNER && !(t->dst_lines >> r & 1)) continue;
        const float *p = t->dst + r * line + c;
        DW_UNROLL for (int q = 0; q < T; q++) {
            float *at = (float *)(uintptr_t)dw_walk(&p, q, pixel, three);
            if (mode != DW_INNER && !(t->dst_columns >> q & 1)) continue;
            if (mode != DW_TAIL && past)
                v_stream(at, acc[r][q]);
            else if (mode != DW_TAIL)
                v_store(at, acc[r][q]);
            else
                v_store_n(at, acc[r][q], lanes);
        }
    }
}

/* Whether line i of the window is the first to meet line kh of the taps. */
DW_INLINE int dw_begins(const int i, const int kh, const int K, const int S) {
    if (S != DW_SPREAD) return i == kh;
    return kh >= DW_TAP(0, i, K, S) && kh <= DW_TAP(DW_LINES - 1, i, K, S);
}

/* A tile of T columns; K, S, T and mode are constants of the caller. */
DW_INLINE void dw_tile_run(const int K, const int S, const int T, const int mode, const fnn_depthwise_band *b,
                           const dw_tile *t) {
    const int64_t pixel = b->channels, three = 3 * pixel, line = b->src_w * pixel;
    const int window_lines = DW_WINDOW(DW_LINES, K, S), window_columns = DW_WINDOW(T, K, S);
    const int plain = !b->bias && !t->residual && b->activation == FNN_ACT_NONE;
    for (int64_t c = t->c0; c < t->c1; c += VL) {
        const int lanes = mode == DW_TAIL && t->c1 - c < VL ? (int)(t->c1 - c) : VL;
        const float *weights = b->weights + c;
        vf acc[DW_LINES][DW_MOST_COLUMNS], w[5][5];
        DW_EACH(*v = v_zero())
        DW_UNROLL for (int i = 0; i < window_lines; i++) {
            DW_UNROLL for (int kh = 0; kh < K; kh++) {
                if (!dw_begins(i, kh, K, S)) continue;
                const float *p = weights + kh * K * pixel;
                DW_HIDE(p);
                DW_UNROLL for (int kw = 0; kw < K; kw++)
                    w[kh][kw] = dw_read(mode, dw_walk(&p, kw, pixel, three), lanes);
            }
            const int ahead = i - DW_FIRST_SOON(K, S);
            if (mode != DW_INNER && !t->line[i]) continue;
            const float *p = t->line[i] + c, *soon = t->soon + ahead * line + c * DW_ADVANCE(T, S);
            DW_HIDE(p);
            DW_UNROLL for (int j = 0; j < window_columns; j++) {
                const float *at = dw_walk(&p, j, pixel, three);
                if (ahead >= 0 && ahead < DW_ADVANCE(DW_LINES, S) && j < DW_ADVANCE(T, S))
                    __builtin_prefetch(soon + j * VL, 0, 2);
                if (mode != DW_INNER && !(t->columns >> j & 1)) continue;
                const vf x = dw_read(mode, at, lanes);
                DW_UNROLL for (int r = 0; r < DW_LINES; r++) DW_UNROLL for (int q = 0; q < T; q++) {
                    const int kh = DW_TAP(r, i, K, S), kw = DW_TAP(q, j, K, S);
                    if (kh >= 0 && kh < K && kw >= 0 && kw < K) acc[r][q] = v_fma(x, w[kh][kw], acc[r][q]);
                }
            }
        }
        if (!plain) dw_epilogue(T, mode, b, t, c, lanes, acc);
        dw_store(T, mode, b, t, c, lanes, t->past, acc);
    }
}

#define DW_TILES(K, S, T)                                                                                            \
    static void dw_inner_##K##x##S(const fnn_depthwise_band *b, const dw_tile *t) {                                  \
        dw_tile_run(K, S, T, DW_INNER, b, t);                                                                        \
    }                                                                                                                \
    static void dw_border_##K##x##S(const fnn_depthwise_band *b, const dw_tile *t) {                                 \
        dw_tile_run(K, S, T, DW_BORDER, b, t);                                                                       \
    }                                                                                                                \
    static void dw_tail_##K##x##S(const fnn_depthwise_band *b, const dw_tile *t) {                                   \
        dw_tile_run(K, S, DW_TAIL_COLUMNS, DW_TAIL, b, t);                                                           \
    }
#define DW_NAMES(K, S) {dw_inner_##K##x##S, dw_border_##K##x##S, dw_tail_##K##x##S}

DW_TILES(3, 0, DW_EVEN(DW_COLUMNS))
DW_TILES(3, 1, DW_COLUMNS)
DW_TILES(3, 2, DW_COLUMNS)
DW_TILES(5, 0, DW_EVEN(DW_COLUMNS))
DW_TILES(5, 1, DW_COLUMNS)
DW_TILES(5, 2, DW_COLUMNS)

static dw_tile_fn *const dw_tiles[2][3][3] = {
    {DW_NAMES(3, 0), DW_NAMES(3, 1), DW_NAMES(3, 2)},
    {DW_NAMES(5, 0), DW_NAMES(5, 1), DW_NAMES(5, 2)},
};

/* The source pixel at which the window of a tile from pixel p begins; before: padding. */
static inline int64_t dw_first(int64_t p, int64_t before, int64_t K, int64_t S) {
    return S == DW_SPREAD ? (p + before - DW_OFFSET(K)) / 2 : p * S - before;
}
/* Where tiles begin: at the first pixel, or one before it where the taps' phase asks for that. */
static inline int64_t dw_begin(int64_t p, int64_t before, int64_t K, int64_t S) {
    return S == DW_SPREAD ? p - ((p + before - DW_OFFSET(K)) & 1) : p;
}

/* The channels of a tile that fill no vector. The tile is used up. */
static inline void dw_place_tail(const fnn_depthwise_band *b, dw_tile *t) {
    const int64_t S = b->stride, advance = DW_ADVANCE(DW_TAIL_COLUMNS, S), next = DW_TAIL_COLUMNS * b->channels;
    for (; t->dst_columns; t->dst_columns >>= DW_TAIL_COLUMNS, t->columns >>= advance) {
        dw_tiles[b->kernel == 5][S][DW_TAIL](b, t);
        for (int i = 0; i < DW_MOST_LINES; i++)
            if (t->line[i]) t->line[i] += advance * b->channels;
        t->soon += advance * b->channels, t->dst += next;
        if (t->residual) t->residual += next;
    }
}

/* The tile at (row, column) for all channels; lines: of the window, at the source's first column. */
static inline void dw_place(const fnn_depthwise_band *b, dw_tile *t, const float *const *lines, int64_t row,
                            int64_t column, int inner_lines) {
    const int64_t K = b->kernel, S = b->stride, T = S == DW_SPREAD ? DW_EVEN(DW_COLUMNS) : DW_COLUMNS;
    dw_tile_fn *const *tile = dw_tiles[K == 5][S];
    const int64_t window = DW_WINDOW(T, K, S), whole = b->channels / VL * VL;
    const int64_t w0 = dw_first(column, b->left, K, S), at = (row * b->dst_w + column) * b->channels;
    t->dst_columns = dw_inside(column, T, 0, b->dst_w);
    t->columns = dw_inside(w0, window, 0, b->src_w);
    const int inner = inner_lines && t->columns == (1u << window) - 1u && t->dst_columns == (1u << T) - 1u;
    for (int64_t i = 0; i < DW_WINDOW(DW_LINES, K, S); i++)
        t->line[i] = lines[i] ? lines[i] + w0 * b->channels : NULL;
    t->soon = lines[DW_MOST_LINES] + w0 * b->channels;
    t->dst = b->dst + at, t->residual = b->residual ? b->residual + at : NULL;
    t->c0 = 0, t->c1 = whole;
    if (whole) tile[inner ? DW_INNER : DW_BORDER](b, t);
    t->c0 = whole, t->c1 = b->channels;
    if (whole < b->channels) dw_place_tail(b, t);
}

static void depthwise_band(const fnn_depthwise_band *b) {
    const int64_t K = b->kernel, S = b->stride, T = S == DW_SPREAD ? DW_EVEN(DW_COLUMNS) : DW_COLUMNS;
    const int64_t line_floats = b->src_w * b->channels, lines = DW_WINDOW(DW_LINES, K, S);
    const int past = b->past && b->channels % VL == 0 && (uintptr_t)b->dst % sizeof(vf) == 0;
    for (int64_t row = dw_begin(b->row0, b->top, K, S); row < b->row1; row += DW_LINES) {
        const int64_t h0 = dw_first(row, b->top, K, S);
        const float *line[DW_MOST_LINES + 1];
        dw_tile t = {.past = past};
        t.dst_lines = dw_inside(row, DW_LINES, b->row0, b->row1);
        const uint32_t inside = dw_inside(h0, lines, 0, b->src_h);
        for (int64_t i = 0; i < lines; i++) line[i] = inside >> i & 1 ? b->src + (h0 + i) * line_floats : NULL;
        line[DW_MOST_LINES] = b->src + (h0 + lines) * line_floats;
        const int inner = inside == (1u << lines) - 1u && t.dst_lines == (1u << DW_LINES) - 1u;
        for (int64_t column = dw_begin(0, b->left, K, S); column < b->dst_w; column += T)
            dw_place(b, &t, line, row, column, inner);
    }
    if (past) v_stream_end();
}

#endif
