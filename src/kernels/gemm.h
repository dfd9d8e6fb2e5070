/* The register tile and the loops around it:
 *
 *   C[m x n] (+)= sum over k of A[k][row] * B[k][column], then bias, residual, activation, statistics.
 *
 * A is packed or read in place. Packed, panels hold GEMM_MR rows: panel[k][GEMM_MR]; in place, either row i of A is k
 * contiguous floats at a + i * a_row, or the k-th column is m contiguous floats at a + k * a_step. Where few panels of
 * B meet each row, packing would cost more than it saves; where a_row is a multiple of 4 KB all rows of a tile share
 * one set of the first-level cache, and packing pays soon. B panels hold up to GEMM_NV vectors: panel[k][width], where width is the panel's columns rounded up to
 * whole vectors; columns past n hold anything, and never reach C. Each element of C is one chain of multiply-adds in
 * the order of k, whatever tile it falls in. */
#ifndef FASTNN_KERNELS_GEMM_H
#define FASTNN_KERNELS_GEMM_H

#define GEMM_NR (GEMM_NV * VL)
#define GEMM_UNROLL _Pragma("GCC unroll 16")
#define GEMM_LINE 16 /* floats of a cache line */

_Static_assert(GEMM_MC % GEMM_MR == 0, "a packed block of A is whole tiles");
_Static_assert(GEMM_KC <= GEMM_KC_MAX, "row buffers of conv.h hold a block along k");

static inline __attribute__((always_inline)) vf act_apply(vf x, int activation, vf slope) {
    if (activation == FNN_ACT_RELU) return v_max(v_zero(), x); /* this order keeps NaN */
    if (activation == FNN_ACT_LEAKY_RELU) return v_sel(v_lt(x, v_zero()), x * slope, x);
    return x;
}

/* One pass over the accumulators: v is the tile's vector (i, j), at its place in C, lanes how much of it is C's. */
#define GEMM_EACH(body)                                                                                              \
    do {                                                                                                             \
        GEMM_UNROLL for (int i = 0; i < M; i++) GEMM_UNROLL for (int j = 0; j < V; j++) {                            \
            vf *v = &acc[i][j];                                                                                      \
            const int64_t at = rows[i] + j * VL;                                                                     \
            const int lanes = j == V - 1 ? tail : VL;                                                                \
            (void)at, (void)lanes;                                                                                   \
            body;                                                                                                    \
        }                                                                                                            \
    } while (0)

/* Keeps GCC from giving each row a pointer of its own, which would not fit the registers. */
#define GEMM_HIDE(a) __asm__ volatile("" : "+r"(a.lo), "+r"(a.hi), "+r"(a.one), "+r"(a.three), "+r"(a.five))

static inline __attribute__((always_inline)) vf gemm_read(const float *p, int lanes) {
    if (lanes == VL) return v_load(p);
    return v_load_n(p, lanes);
}

/* How a tile reads A: a packed panel, rows in place (k contiguous), or columns in place (rows contiguous). */
enum { GEMM_PACKED, GEMM_ROWS, GEMM_COLUMNS, GEMM_WAYS };

/* The rows of A that a tile reads. In place, two pointers and three distances (in bytes) reach GEMM_MR rows with no
 * more than an index register each: a register a row would be more than there are. */
typedef struct gemm_lines {
    const char *lo, *hi;      /* rows: those of rows 0 and 7; else lo alone, at the tile's values for k */
    int64_t one, three, five; /* columns: one is from k to k */
} gemm_lines;

static inline __attribute__((always_inline)) float gemm_a(const gemm_lines *a, const int way, const int i, int p) {
    if (way == GEMM_PACKED) return ((const float *)a->lo)[p * GEMM_MR + i];
    if (way == GEMM_COLUMNS) return ((const float *)(a->lo + p * a->one))[i];
    const char *row = i < 7 ? a->lo : a->hi;
    const int r = i % 7;
    row += r == 1   ? a->one
           : r == 2 ? 2 * a->one
           : r == 3 ? a->three
           : r == 4 ? 4 * a->one
           : r == 5 ? a->five
           : r == 6 ? 2 * a->three
                    : 0;
    return ((const float *)row)[p];
}

/* One k of a tile: the p-th from where a stands. */
static inline __attribute__((always_inline)) void gemm_step(const int M, const int V, const int way,
                                                            const gemm_lines *a, int p, const float *b,
                                                            vf acc[GEMM_MR][GEMM_NV]) {
    vf bv[GEMM_NV];
    GEMM_UNROLL for (int j = 0; j < V; j++) bv[j] = v_load(b + j * VL);
    GEMM_UNROLL for (int i = 0; i < M; i++) {
        const vf av = v_set1(gemm_a(a, way, i, p));
        GEMM_UNROLL for (int j = 0; j < V; j++) acc[i][j] = v_fma(av, bv[j], acc[i][j]);
    }
}

/* What to ask for while a tile runs, a cache line of each every two k: what will be read, and what will be written.
 * A burst of as many would hold up the tile's own loads. */
typedef struct gemm_ahead {
    const float *read, *write;
} gemm_ahead;

/* What the last block along k still does to one vector of C: bias, residual, activation, in this order. */
static vf gemm_finished(const fnn_gemm_block *g, vf v, int64_t column, int64_t at, int lanes) {
    if (g->bias) v += gemm_read(g->bias + column, lanes);
    if (g->residual) v += gemm_read(g->residual + at, lanes);
    return act_apply(v, g->activation, v_set1(g->slope));
}

/* The same for a tile that is not whole, which goes through memory once more: there are many of those, and code for
 * each of their vectors would be most of the library. */
static __attribute__((noinline)) void gemm_finish(const fnn_gemm_block *g, int m, int n, const int64_t *rows,
                                                  int64_t column) {
    if (!g->bias && !g->residual && g->activation != FNN_ACT_RELU && g->activation != FNN_ACT_LEAKY_RELU) return;
    for (int i = 0; i < m; i++)
        for (int j = 0; j < n; j += VL) {
            const int lanes = n - j < VL ? n - j : VL;
            const int64_t at = rows[i] + column + j;
            const vf v = gemm_finished(g, gemm_read(g->c + at, lanes), column + j, at, lanes);
            if (lanes == VL)
                v_store(g->c + at, v);
            else
                v_store_n(g->c + at, v, lanes);
        }
}

/* M rows by V vectors, both constants of the caller. column: the tile's first column within the block. Two k a turn:
 * with more, GCC reorders the chains until accumulators spill; a loop within the loop costs 4 %. */
static inline __attribute__((always_inline)) void gemm_tile(const int M, const int V, const int way,
                                                            const fnn_gemm_block *g, const float *first,
                                                            const float *b, const int64_t *rows, int64_t column,
                                                            gemm_ahead ahead) {
    vf acc[GEMM_MR][GEMM_NV];
    GEMM_UNROLL for (int i = 0; i < M; i++) GEMM_UNROLL for (int j = 0; j < V; j++) acc[i][j] = v_zero();
    const int64_t row = (way == GEMM_COLUMNS ? g->a_step : g->a_row) * (int64_t)sizeof(float);
    const int64_t float_bytes = sizeof(float);
    const int64_t step = 2 * (way == GEMM_PACKED ? GEMM_MR * float_bytes : way == GEMM_ROWS ? float_bytes : row);
    gemm_lines a = {(const char *)first, (const char *)first + 7 * row, row, 3 * row, 5 * row};
    int64_t p = 0;
#pragma GCC unroll 1
    for (; p + 2 <= g->k; p += 2, a.lo += step, a.hi += step, b += 2 * V * VL) {
        if (way == GEMM_ROWS) GEMM_HIDE(a);
        __builtin_prefetch(ahead.read, 0, 2);
        __builtin_prefetch(ahead.write, 1, 3);
        ahead.read += GEMM_LINE, ahead.write += GEMM_LINE;
        gemm_step(M, V, way, &a, 0, b, acc);
        gemm_step(M, V, way, &a, 1, b + V * VL, acc);
    }
    if (p < g->k) gemm_step(M, V, way, &a, 0, b, acc);
    float *const c = g->c + column;
    const int tail = g->n - column >= V * VL ? VL : (int)(g->n - column) - (V - 1) * VL;
    if (g->add_c) GEMM_EACH(*v += gemm_read(c + at, lanes));
    const int whole = M == GEMM_MR && V == GEMM_NV;
    if (whole && g->last) {
        if (g->bias) {
            vf bias[GEMM_NV];
            GEMM_UNROLL for (int j = 0; j < V; j++)
                bias[j] = gemm_read(g->bias + column + j * VL, j == V - 1 ? tail : VL);
            GEMM_EACH(*v += bias[j]);
        }
        if (g->residual) GEMM_EACH(*v += gemm_read(g->residual + column + at, lanes));
        const vf slope = v_set1(g->slope);
        if (g->activation == FNN_ACT_RELU) GEMM_EACH(*v = act_apply(*v, FNN_ACT_RELU, slope));
        if (g->activation == FNN_ACT_LEAKY_RELU) GEMM_EACH(*v = act_apply(*v, FNN_ACT_LEAKY_RELU, slope));
    }
    if (tail == VL)
        GEMM_EACH(v_store(c + at, *v));
    else
        GEMM_EACH(if (j == V - 1) v_store_n(c + at, *v, lanes); else v_store(c + at, *v));
    if (!whole && g->last) gemm_finish(g, M, (V - 1) * VL + tail, rows, column);
}

typedef void gemm_tile_fn(const fnn_gemm_block *g, const float *a, const float *b, const int64_t *rows,
                          int64_t column, gemm_ahead ahead);

#define GEMM_TILE_AS(NAME, WAY, M, V)                                                                                \
    static void NAME##_##M##x##V(const fnn_gemm_block *g, const float *a, const float *b, const int64_t *rows,       \
                                 int64_t column, gemm_ahead ahead) {                                                 \
        gemm_tile(M, V, WAY, g, a, b, rows, column, ahead);                                                          \
    }
#define GEMM_TILE(M, V)                                                                                              \
    GEMM_TILE_AS(gemm_tile, GEMM_PACKED, M, V)                                                                       \
    GEMM_TILE_AS(gemm_rows, GEMM_ROWS, M, V)                                                                         \
    GEMM_TILE_AS(gemm_columns, GEMM_COLUMNS, M, V)
#define GEMM_TILE_NAME(M, V) gemm_tile_##M##x##V,
#define GEMM_ROWS_NAME(M, V) gemm_rows_##M##x##V,
#define GEMM_COLUMNS_NAME(M, V) gemm_columns_##M##x##V,

#if GEMM_MR >= 6
#define GEMM_TO_6(X, V) X(5, V) X(6, V)
#else
#define GEMM_TO_6(X, V)
#endif
#if GEMM_MR >= 8
#define GEMM_TO_8(X, V) X(7, V) X(8, V)
#else
#define GEMM_TO_8(X, V)
#endif
#if GEMM_MR >= 12
#define GEMM_TO_12(X, V) X(9, V) X(10, V) X(11, V) X(12, V)
#else
#define GEMM_TO_12(X, V)
#endif
#if GEMM_MR >= 14
#define GEMM_TO_14(X, V) X(13, V) X(14, V)
#else
#define GEMM_TO_14(X, V)
#endif
#define GEMM_EACH_M(X, V)                                                                                            \
    X(1, V) X(2, V) X(3, V) X(4, V) GEMM_TO_6(X, V) GEMM_TO_8(X, V) GEMM_TO_12(X, V) GEMM_TO_14(X, V)

GEMM_EACH_M(GEMM_TILE, 1)
GEMM_EACH_M(GEMM_TILE, 2)
#if GEMM_NV >= 3
GEMM_EACH_M(GEMM_TILE, 3)
#endif

#if GEMM_NV >= 3
#define GEMM_EACH_TILE(NAME) {GEMM_EACH_M(NAME, 1)}, {GEMM_EACH_M(NAME, 2)}, {GEMM_EACH_M(NAME, 3)},
#else
#define GEMM_EACH_TILE(NAME) {GEMM_EACH_M(NAME, 1)}, {GEMM_EACH_M(NAME, 2)},
#endif

/* By the way that A is read, vectors, rows. */
static gemm_tile_fn *const gemm_tiles[GEMM_WAYS][GEMM_NV][GEMM_MR] = {
    {GEMM_EACH_TILE(GEMM_TILE_NAME)},
    {GEMM_EACH_TILE(GEMM_ROWS_NAME)},
    {GEMM_EACH_TILE(GEMM_COLUMNS_NAME)},
};

/* Mean and sum of squared deviations of each of a panel's columns over the block's rows, which were just stored. */
static void gemm_statistics(const fnn_gemm_block *g, int64_t column, int64_t n) {
    for (int64_t j = column; j < column + n; j += VL) {
        const int lanes = column + n - j >= VL ? VL : (int)(column + n - j);
        vf sum = v_zero(), m2 = v_zero();
        for (int64_t i = 0; i < g->m; i++) sum += gemm_read(g->c + g->rows[i] + j, lanes);
        const vf mean = sum / v_set1((float)g->m);
        for (int64_t i = 0; i < g->m; i++) {
            const vf d = gemm_read(g->c + g->rows[i] + j, lanes) - mean;
            m2 = v_fma(d, d, m2);
        }
        v_store_n(g->mean + j, mean, lanes);
        v_store_n(g->m2 + j, m2, lanes);
    }
}

/* Asks for cache lines [from, to) of what will be packed next: a few a tile, as a burst holds up the tile's loads. */
static void gemm_ask(const fnn_gemm_block *g, int64_t from, int64_t to) {
    const int64_t per_piece = (g->soon_floats + GEMM_LINE - 1) / GEMM_LINE;
    const float *piece = g->soon + from / per_piece * g->soon_stride;
    for (int64_t line = from, at = from % per_piece; line < to; line++) {
        __builtin_prefetch(piece + at * GEMM_LINE, 0, 2);
        if (++at == per_piece) at = 0, piece += g->soon_stride;
    }
}

#define GEMM_LATE 8 /* of many panels, the part that asks for what will be packed next */

/* Panel after panel: a panel of B stays in the first-level cache while the rows of A stream past it, and the panel
 * after it comes nearer. What will be packed next is asked for late, as lines that come early have left the
 * second-level cache again by then. */
static void gemm_panels(const fnn_gemm_block *g, int way, int64_t a_row) {
    const int64_t lines = g->k / 2 * GEMM_LINE, all = g->m * ((g->n + GEMM_NR - 1) / GEMM_NR);
    const int64_t soon = g->soon ? (g->soon_floats + GEMM_LINE - 1) / GEMM_LINE * g->soon_lines : 0;
    const int64_t late = g->n >= GEMM_LATE * GEMM_NR ? all / GEMM_LATE : all, early = all - late;
    for (int64_t j = 0, done = 0; j < g->n; j += GEMM_NR) {
        const int64_t n = g->n - j < GEMM_NR ? g->n - j : GEMM_NR;
        const int64_t v = (n + VL - 1) / VL, more = j + GEMM_NR < g->n ? g->k * v * VL : 0;
        const float *b = g->b + j / GEMM_NR * g->b_panel + g->b_first * v * VL;
        for (int64_t i = 0, asked = 0; i < g->m; i += GEMM_MR, asked += lines) {
            const int64_t m = g->m - i < GEMM_MR ? g->m - i : GEMM_MR;
            const gemm_ahead ahead = {asked < more ? b + g->b_panel + asked : b, b};
            if (soon && done + m > early) {
                const int64_t from = done > early ? done - early : 0;
                gemm_ask(g, soon * from / late, soon * (done + m - early) / late);
            }
            gemm_tiles[way][v - 1][m - 1](g, g->a + i * a_row, b, g->rows + i, j, ahead);
            done += m;
        }
        if (g->last && g->mean) gemm_statistics(g, j, n);
    }
}

static void conv_finish_rows(const fnn_gather *g, int64_t channel, const float *src, int64_t src_row, int64_t m,
                             int64_t k, float *dst, int64_t dst_row);

/* Where a tile's rows from i on are read; finished right before, so that this falls between the multiply-adds of two
 * tiles. */
static inline const float *gemm_tile_rows(const fnn_gemm_block *g, int64_t i, int64_t m, int64_t a_row) {
    if (!g->finish) return g->a + i * a_row;
    conv_finish_rows(g->finish, g->channel, g->raw + i * g->raw_row, g->raw_row, m, g->k, g->made, a_row);
    return g->made;
}

/* Rows after rows: those of a tile stay in the first-level cache for all panels, the panels in the second-level one.
 * Meanwhile the rows of A and of C that follow come nearer. */
static void gemm_row_tiles(const fnn_gemm_block *g, int way, int64_t a_row) {
    const int64_t lines = g->k / 2 * GEMM_LINE, panels = (g->n + GEMM_NR - 1) / GEMM_NR, all = g->m * panels;
    const int64_t soon = g->soon ? (g->soon_floats + GEMM_LINE - 1) / GEMM_LINE * g->soon_lines : 0;
    for (int64_t i = 0, done = 0; i < g->m; i += GEMM_MR) {
        const int64_t m = g->m - i < GEMM_MR ? g->m - i : GEMM_MR, tile = i / GEMM_MR;
        const float *read = g->next_a + tile * g->next_a_floats, *write = g->next_c + tile * g->next_c_floats;
        const float *a = gemm_tile_rows(g, i, m, a_row);
        for (int64_t j = 0, asked = 0; j < g->n; j += GEMM_NR, asked += lines) {
            const int64_t n = g->n - j < GEMM_NR ? g->n - j : GEMM_NR, v = (n + VL - 1) / VL;
            const float *b = g->b + j / GEMM_NR * g->b_panel + g->b_first * v * VL;
            const gemm_ahead ahead = {asked < g->next_a_floats ? read + asked : b,
                                      asked < g->next_c_floats ? write + asked : b};
            if (soon) gemm_ask(g, soon * done / all, soon * (done + m) / all);
            gemm_tiles[way][v - 1][m - 1](g, a, b, g->rows + i, j, ahead);
            done += m;
        }
    }
    if (g->last && g->mean)
        for (int64_t j = 0; j < g->n; j += GEMM_NR) gemm_statistics(g, j, g->n - j < GEMM_NR ? g->n - j : GEMM_NR);
}

/* All tiles of a block. */
static void gemm_block(const fnn_gemm_block *g) {
    const int way = g->a_row ? GEMM_ROWS : g->a_step ? GEMM_COLUMNS : GEMM_PACKED;
    const int64_t a_row = way == GEMM_ROWS ? g->a_row : way == GEMM_COLUMNS ? 1 : g->k;
    if (g->rows_first)
        gemm_row_tiles(g, way, a_row);
    else
        gemm_panels(g, way, a_row);
}

#endif
