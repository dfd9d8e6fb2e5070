/* Matrix products on tiles of bfloat16 (Intel AMX), to the accuracy of float32.
 *
 * A float is the sum of three bfloat16, of eight bits each: x = x1 + x2 + x3, without rest. Of the nine products of
 * parts six are made, all whose order is above 2^-24 of the whole:
 *
 *   a b = a1 b1 + (a1 b2 + a2 b1) + (a1 b3 + a2 b2 + a3 b1)
 *
 * and summed in float32. Where every product fits a float32 the result has no error that a sum in float32 has not.
 * A multiply-add of floats takes six here, but a tile does 512 of these a cycle where vectors do 32.
 *
 * What is not finite, or rounds to infinity as a bfloat16 (from 3.39e38), becomes NaN; parts below 1.2e-38 become 0.
 *
 * A panel has 16 rows of A, or 16 columns of B, over k in steps of 32, filled up with zeros; a step is three tiles of a
 * kilobyte, one a part. A tile of A has rows of 32 values; one of B has rows of 16 pairs, neighbours along k. */
#ifndef FASTNN_KERNELS_TILES_H
#define FASTNN_KERNELS_TILES_H

#include "optim_sgd.h"

#define TILE_HALFS (FNN_TILE * FNN_TILE_K)
#define TILE_BYTES 64 /* a row of a tile */

/* ---- parts ---------------------------------------------------------------------------------------------- */

/* The upper half of each float, rounded: a bfloat16 with 16 zeros behind it. */
static inline __attribute__((always_inline)) vi tile_upper(vf x) {
    return (vi)_mm512_add_epi32((__m512i)x, _mm512_set1_epi32(0x8000)) & (int32_t)0xffff0000; /* it may wrap */
}

static inline __attribute__((always_inline)) void tile_split(vf x, vi part[FNN_TILE_PARTS]) {
    part[0] = tile_upper(x);
    const vf rest = x - (vf)part[0];
    part[1] = tile_upper(rest);
    part[2] = (vi)(rest - (vf)part[1]);
}

/* 32 values of a row of A, whose parts lie `part` halfs apart. */
static inline __attribute__((always_inline)) void tile_store_row(uint16_t *dst, int64_t part, vf first, vf second) {
    static const uint16_t upper[32] = {1,  3,  5,  7,  9,  11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31,
                                       33, 35, 37, 39, 41, 43, 45, 47, 49, 51, 53, 55, 57, 59, 61, 63};
    const __m512i lanes = _mm512_loadu_si512(upper);
    vi a[FNN_TILE_PARTS], b[FNN_TILE_PARTS];
    tile_split(first, a);
    tile_split(second, b);
    for (int q = 0; q < FNN_TILE_PARTS; q++)
        _mm512_store_si512(dst + q * part, _mm512_permutex2var_epi16((__m512i)a[q], lanes, (__m512i)b[q]));
}

/* 16 columns of B at two neighbours along k. */
static inline __attribute__((always_inline)) void tile_store_pairs(uint16_t *dst, vf first, vf second) {
    vi a[FNN_TILE_PARTS], b[FNN_TILE_PARTS];
    tile_split(first, a);
    tile_split(second, b);
    for (int q = 0; q < FNN_TILE_PARTS; q++)
        /* (a >> 16) | (b & upper): the parts' lower halves are zeros but for the last's, which is whole. */
        _mm512_store_si512(dst + q * TILE_HALFS,
                           _mm512_ternarylogic_epi32(_mm512_srli_epi32((__m512i)a[q], 16), (__m512i)b[q],
                                                     _mm512_set1_epi32((int)0xffff0000), 0xf8 /* a | b & c */));
}

static inline __attribute__((always_inline)) vf tile_load(const float *p, int64_t lanes) {
    if (lanes >= VL) return v_load(p);
    return lanes > 0 ? v_load_n(p, (int)lanes) : v_zero();
}

/* r[i][j] becomes r[j][i]. */
static inline __attribute__((always_inline)) void tile_transpose(vf r[VL]) {
    for (int i = 0; i < VL; i += 4) v_transpose_quads(r + i);
    for (int q = 0; q < 4; q++) {
        vf s[4] = {r[q], r[4 + q], r[8 + q], r[12 + q]};
        v_transpose_groups(s);
        for (int i = 0; i < 4; i++) r[4 * i + q] = s[i];
    }
}

/* ---- panels --------------------------------------------------------------------------------------------- */

/* What the layer before left to this load: act(x * scale + shift), at k values from `channel` on. */
static inline vf tile_finished(const fnn_gather *g, vf x, int64_t channel, int64_t lanes) {
    const vf scale = g->scale ? tile_load(g->scale + channel, lanes) : v_set1(1.0f);
    const vf shift = g->shift ? tile_load(g->shift + channel, lanes) : v_zero();
    const vf y = v_fma(x, scale, shift);
    if (g->activation == FNN_ACT_RELU) return v_max(v_zero(), y); /* this order keeps NaN */
    if (g->activation == FNN_ACT_LEAKY_RELU) return v_sel(v_lt(y, v_zero()), y * v_set1(g->slope), y);
    return y;
}

/* Where splitting a side has come to: a run of a row of A that lies along k, else half of a panel's step along k. */
typedef struct tile_piece {
    int64_t line, k;
    int half;
    uint16_t *dst;
} tile_piece;

#define TILE_RUN 8    /* steps along k of a row at a time */
#define TILE_SOON 256 /* floats ahead along a line that are asked for */
#define TILE_BODY static inline __attribute__((always_inline)) void

/* whole, a constant of the caller: there are 16 lines and 32 values along k; else what is past them is zeros. */
static inline __attribute__((always_inline)) vf tile_get(const int whole, const float *p, int64_t lanes) {
    return whole ? v_load(p) : tile_load(p, lanes);
}

/* A run of a row: from there to its end, or TILE_RUN steps. */
TILE_BODY tile_split_rows(const int whole, const fnn_tile_side *s, const tile_piece *w) {
    const float *line = s->line[w->line];
    uint16_t *dst = w->dst;
    for (int64_t p = w->k; p < s->k && p < w->k + TILE_RUN * FNN_TILE_K; p += FNN_TILE_K, dst += FNN_TILE_STEP) {
        const int64_t left = s->k - p;
        v_soon(line + p + TILE_SOON);
        v_soon(line + p + TILE_SOON + VL);
        vf first = tile_get(whole, line + p, left), second = tile_get(whole, line + p + VL, left - VL);
        if (s->finish) {
            first = tile_finished(s->finish, first, s->channel + p, left);
            if (left > VL) second = tile_finished(s->finish, second, s->channel + p + VL, left - VL);
        }
        tile_store_row(dst, TILE_HALFS, first, second);
    }
}

/* Both halves at once, for a row's 32 values go into one line. */
TILE_BODY tile_split_rows_across(const int whole, const fnn_tile_side *s, const tile_piece *w) {
    const float *src = s->line[0] + w->k * s->step + w->line;
    const int64_t lanes = s->count - w->line, left = s->k - w->k;
    vf first[VL], second[VL];
    if (w->half == 0) return;
    for (int i = 0; i < VL; i++, src += s->step) {
        v_soon(src + FNN_TILE_K * s->step); /* the next step: so many lines no processor follows by itself */
        v_soon(src + (FNN_TILE_K + VL) * s->step);
        first[i] = whole || i < left ? tile_get(whole, src, lanes) : v_zero();
        second[i] = whole || i + VL < left ? tile_get(whole, src + VL * s->step, lanes) : v_zero();
    }
    tile_transpose(first);
    tile_transpose(second);
    for (int i = 0; i < VL; i++) tile_store_row(w->dst + i * FNN_TILE_K, TILE_HALFS, first[i], second[i]);
}

TILE_BODY tile_split_columns(const int whole, const fnn_tile_side *s, const tile_piece *w) {
    const int from = w->half * FNN_TILE;
    const float *const *line = s->line + w->line;
    const int64_t at = w->k + from, left = s->k - at;
    vf r[VL];
    for (int j = 0; j < VL; j++)
        r[j] = whole || w->line + j < s->count ? tile_get(whole, line[j] + at, left) : v_zero();
    tile_transpose(r);
    for (int i = 0; i < VL; i += 2) tile_store_pairs(w->dst + (from + i) * FNN_TILE, r[i], r[i + 1]);
}

TILE_BODY tile_split_columns_across(const int whole, const fnn_tile_side *s, const tile_piece *w) {
    const int from = w->half * FNN_TILE;
    const float *src = s->line[0] + (w->k + from) * s->step + w->line;
    const int64_t lanes = s->count - w->line, left = s->k - w->k;
    for (int i = from; i < from + FNN_TILE; i += 2, src += 2 * s->step) {
        v_soon(src + FNN_TILE_K * s->step);
        v_soon(src + (FNN_TILE_K + 1) * s->step);
        const vf first = whole || i < left ? tile_get(whole, src, lanes) : v_zero();
        const vf second = whole || i + 1 < left ? tile_get(whole, src + s->step, lanes) : v_zero();
        tile_store_pairs(w->dst + i * FNN_TILE, first, second);
    }
}

typedef void tile_split_fn(const fnn_tile_side *s, const tile_piece *w);

#define TILE_SPLIT(kind)                                                                                             \
    static __attribute__((noinline)) void kind##_whole(const fnn_tile_side *s, const tile_piece *w) {                \
        kind(1, s, w);                                                                                               \
    }                                                                                                                \
    static __attribute__((noinline)) void kind##_part(const fnn_tile_side *s, const tile_piece *w) { kind(0, s, w); }
TILE_SPLIT(tile_split_rows)
TILE_SPLIT(tile_split_rows_across)
TILE_SPLIT(tile_split_columns)
TILE_SPLIT(tile_split_columns_across)

static tile_split_fn *const tile_splits[][2] = {
    [FNN_TILE_ROWS] = {tile_split_rows_part, tile_split_rows_whole},
    [FNN_TILE_ROWS_ACROSS] = {tile_split_rows_across_part, tile_split_rows_across_whole},
    [FNN_TILE_COLUMNS] = {tile_split_columns_part, tile_split_columns_whole},
    [FNN_TILE_COLUMNS_ACROSS] = {tile_split_columns_across_part, tile_split_columns_across_whole},
};

static int64_t tile_pieces(const fnn_tile_side *s) {
    const int64_t steps = (s->k + FNN_TILE_K - 1) / FNN_TILE_K;
    if (s->kind == FNN_TILE_ROWS) return s->count * ((steps + TILE_RUN - 1) / TILE_RUN);
    return 2 * ((s->count + FNN_TILE - 1) / FNN_TILE) * steps;
}

/* To the next piece in the order of memory: along each line, or from line to line. */
static inline void tile_next_piece(const fnn_tile_side *s, tile_piece *w) {
    const int64_t lines = s->kind == FNN_TILE_ROWS ? 1 : FNN_TILE;
    if (s->kind != FNN_TILE_ROWS) {
        w->half = !w->half;
        if (w->half) return;
    }
    if (s->kind == FNN_TILE_ROWS_ACROSS || s->kind == FNN_TILE_COLUMNS_ACROSS) {
        w->line += lines;
        if (w->line >= s->count) w->line = 0, w->k += FNN_TILE_K;
    } else {
        w->k += s->kind == FNN_TILE_ROWS ? TILE_RUN * FNN_TILE_K : FNN_TILE_K;
        if (w->k >= s->k) w->k = 0, w->line += lines;
    }
    w->dst = s->dst + w->line / FNN_TILE * s->panel + w->line % FNN_TILE * FNN_TILE_K +
             w->k / FNN_TILE_K * FNN_TILE_STEP;
}

static inline void tile_split_piece(const fnn_tile_side *s, tile_piece *w) {
    const int lines = s->kind == FNN_TILE_ROWS || s->count - w->line >= FNN_TILE;
    const int whole = lines && (s->kind == FNN_TILE_ROWS ? s->k % FNN_TILE_K == 0 : s->k - w->k >= FNN_TILE_K);
    tile_splits[s->kind][whole](s, w);
    tile_next_piece(s, w);
}

static void tile_split_side(const fnn_tile_side *s) {
    tile_piece w = {.dst = s->dst};
    for (int64_t left = tile_pieces(s); left > 0; left--) tile_split_piece(s, &w);
}

/* ---- products ------------------------------------------------------------------------------------------- */

/* What the eight tiles hold: sums, as many rows of C as of A; then A; from tile `first_b` on B. */
static void tile_shape(int rows, int first_b) {
    struct {
        uint8_t palette, start_row, reserved[14];
        uint16_t row_bytes[16];
        uint8_t rows[16];
    } shape = {.palette = 1};
    for (int i = 0; i < 8; i++) {
        shape.row_bytes[i] = TILE_BYTES;
        shape.rows[i] = (uint8_t)(i < first_b ? rows : FNN_TILE);
    }
    __asm__ volatile("" : : "r"(&shape) : "memory"); /* the intrinsic says that it reads eight bytes of it */
    _tile_loadconfig(&shape);
}

static void tile_begin(void) { tile_shape(FNN_TILE, 6); }
static void tile_end(void) { _tile_release(); }

#define TILE_A(part)                                                                                                 \
    do {                                                                                                             \
        _tile_loadd(4, at + (part) * a_part, a_row);                                                                 \
        if (R == 2) _tile_loadd(5, at + a_panel + (part) * a_part, a_row);                                           \
    } while (0)
#define TILE_B(part)                                                                                                 \
    do {                                                                                                             \
        _tile_loadd(6, b + (part) * TILE_HALFS, TILE_BYTES);                                                         \
        if (V == 2) _tile_loadd(7, b + b_panel + (part) * TILE_HALFS, TILE_BYTES);                                   \
    } while (0)
#define TILE_MULTIPLY                                                                                                \
    do {                                                                                                             \
        _tile_dpbf16ps(0, 4, 6);                                                                                     \
        if (V == 2) _tile_dpbf16ps(1, 4, 7);                                                                         \
        if (R == 2) _tile_dpbf16ps(2, 5, 6);                                                                         \
        if (R == 2 && V == 2) _tile_dpbf16ps(3, 5, 7);                                                               \
    } while (0)

/* A square of C whose sums have left the tiles, and how many of its rows are finished. */
typedef struct tile_square {
    float sum[2 * FNN_TILE * 2 * FNN_TILE] __attribute__((aligned(64)));
    int64_t m, n, done, row, column; /* rows and columns of C; row, column: where in the block it begins */
    int64_t width;                   /* floats of a row of sum */
} tile_square;

/* What the vector units do while tiles multiply: they finish the square before, and split what comes next. */
typedef struct tile_meanwhile {
    const fnn_tile_block *g;
    tile_square *before, *now;  /* before: or NULL */
    int64_t asked, rows;        /* rows of now whose parameters were asked for; rows of a square at a time */
    tile_piece piece;           /* of the next side, of which ... */
    int64_t pieces, steps, due; /* ... so many are split in so many steps; what is due, in pieces / steps */
} tile_meanwhile;

/* Row i of a square, which is of a gradient, moves its parameters. */
static void tile_update(const fnn_gemm_update *u, const tile_square *q, int64_t i) {
    const int64_t at = (q->row + i) * u->row + q->column;
    opt_sgd(u->o, q->n, u->p + at, q->sum + i * 2 * FNN_TILE, u->buffer ? u->buffer + at : NULL);
}

/* Row i of a square to its place in C. */
static void tile_store(const fnn_tile_block *g, const tile_square *q, int64_t i) {
    if (g->rows[q->row + i] < 0) return;
    for (int64_t j = 0; j < q->n; j += VL) {
        const int64_t lanes = q->n - j, at = g->rows[q->row + i] + q->column + j;
        vf v = v_load(q->sum + i * q->width + j);
        if (g->add_c) v += tile_load(g->c + at, lanes);
        if (g->last) {
            if (g->bias) v += tile_load(g->bias + q->column + j, lanes);
            if (g->residual) v += tile_load(g->residual + at, lanes);
            if (g->activation == FNN_ACT_RELU) v = v_max(v_zero(), v);
            if (g->activation == FNN_ACT_LEAKY_RELU) v = v_sel(v_lt(v, v_zero()), v * v_set1(g->slope), v);
            if (g->late_sum) v += tile_load(g->late_sum + at, lanes);
            if (g->late_gate) v = v_sel(v_le(tile_load(g->late_gate + at, lanes), v_zero()), v_zero(), v);
        }
        if (lanes >= VL)
            v_store(g->c + at, v);
        else
            v_store_n(g->c + at, v, (int)lanes);
    }
}

/* sum[i][j] becomes sum[j][i]. */
static void tile_turn(float *sum) {
    const int64_t row = 2 * FNN_TILE;
    for (int64_t i = 0; i < row; i += VL)
        for (int64_t j = i; j < row; j += VL) {
            float *at = sum + i * row + j, *across = sum + j * row + i;
            vf r[VL], s[VL];
            for (int q = 0; q < VL; q++) r[q] = v_load(at + q * row), s[q] = v_load(across + q * row);
            tile_transpose(r);
            tile_transpose(s);
            for (int q = 0; q < VL; q++) v_store(at + q * row, s[q]), v_store(across + q * row, r[q]);
        }
}

/* The next rows of a square. */
static void tile_finish(const fnn_tile_block *g, tile_square *q, int64_t count) {
    const int64_t end = q->done + count < q->m ? q->done + count : q->m;
    if (g->turned && q->done == 0) tile_turn(q->sum);
    for (; q->done < end; q->done++) {
        if (g->update)
            tile_update(g->update, q, q->done);
        else
            tile_store(g, q, q->done);
    }
}

/* Asks for the parameters that the square which is multiplied now will move. */
static void tile_ask(const fnn_gemm_update *u, tile_meanwhile *w) {
    const tile_square *q = w->now;
    const int64_t end = w->asked + w->rows < q->m ? w->asked + w->rows : q->m;
    for (; w->asked < end; w->asked++)
        for (int64_t j = 0; j < q->n; j += VL) {
            const int64_t at = (q->row + w->asked) * u->row + q->column + j;
            v_soon_own(u->p + at);
            if (u->buffer) v_soon_own(u->buffer + at);
        }
}

static __attribute__((noinline)) void tile_do_meanwhile(tile_meanwhile *w) {
    if (w->before && w->before->done < w->before->m) tile_finish(w->g, w->before, w->rows);
    if (w->g->update) tile_ask(w->g->update, w);
    for (w->due += w->pieces; w->due >= w->steps; w->due -= w->steps) tile_split_piece(w->g->next, &w->piece);
}

/* R by V panels of 16 over steps [p, end) into sum, whose rows are 32 floats apart. Small products come first; one
 * operand stays from each product of parts to the next. in_lines, a constant of the caller: A lies in lines, the first of
 * which would begin at a + line, the other a_panel further; else in panels. */
static inline __attribute__((always_inline)) void tile_sum(const int R, const int V, const int in_lines,
                                                           const uint16_t *a, int64_t line, int64_t a_panel,
                                                           const uint16_t *b, const fnn_tile_block *g, int64_t p,
                                                           int64_t end, float *sum, tile_meanwhile *meanwhile) {
    const int64_t b_panel = g->b_panel, a_part = in_lines ? g->a_part : TILE_HALFS;
    const int64_t a_row = in_lines ? g->a_row * (int64_t)sizeof *a : TILE_BYTES;
    _tile_zero(0);
    if (V == 2) _tile_zero(1);
    if (R == 2) _tile_zero(2);
    if (R == 2 && V == 2) _tile_zero(3);
    for (; p < end; p++, b += FNN_TILE_STEP) {
        const uint16_t *at = a + (in_lines ? line + g->step[p] : p * FNN_TILE_STEP);
        TILE_A(0);
        TILE_B(2);
        TILE_MULTIPLY;
        TILE_B(1);
        TILE_MULTIPLY;
        TILE_A(1);
        TILE_MULTIPLY;
        TILE_B(0);
        TILE_MULTIPLY;
        TILE_A(2);
        TILE_MULTIPLY;
        TILE_A(0);
        TILE_MULTIPLY;
        tile_do_meanwhile(meanwhile);
    }
    const int64_t row = 2 * FNN_TILE * sizeof(float);
    _tile_stored(0, sum, row);
    if (V == 2) _tile_stored(1, sum + FNN_TILE, row);
    if (R == 2) _tile_stored(2, sum + 2 * FNN_TILE * FNN_TILE, row);
    if (R == 2 && V == 2) _tile_stored(3, sum + 2 * FNN_TILE * FNN_TILE + FNN_TILE, row);
}

static void tile_block(const fnn_tile_block *g) {
    tile_square square[2];
    const int64_t side = 2 * FNN_TILE, squares = (g->m + side - 1) / side * ((g->n + side - 1) / side);
    tile_meanwhile meanwhile = {.g = g,
                                .rows = (side + g->steps - 1) / g->steps,
                                .piece = {.dst = g->next ? g->next->dst : NULL},
                                .pieces = g->next ? tile_pieces(g->next) : 0,
                                .steps = squares * g->steps};
    int now = 0;
    for (int64_t j = 0; j < g->n; j += side)
        for (int64_t i = 0; i < g->m; i += side, now = !now) {
            tile_square *q = &square[now];
            const int64_t m = g->m - i < side ? g->m - i : side, n = g->n - j < side ? g->n - j : side;
            q->m = g->turned ? n : m, q->n = g->turned ? m : n;
            q->row = g->turned ? j : i, q->column = g->turned ? i : j, q->done = 0, q->width = side;
            meanwhile.now = q, meanwhile.asked = 0;
            const uint16_t *a = g->a + i / FNN_TILE * g->a_panel, *b = g->b + j / FNN_TILE * g->b_panel;
            if (m > FNN_TILE && n > FNN_TILE)
                tile_sum(2, 2, 0, a, 0, g->a_panel, b, g, 0, g->steps, q->sum, &meanwhile);
            else if (m > FNN_TILE)
                tile_sum(2, 1, 0, a, 0, g->a_panel, b, g, 0, g->steps, q->sum, &meanwhile);
            else if (n > FNN_TILE)
                tile_sum(1, 2, 0, a, 0, g->a_panel, b, g, 0, g->steps, q->sum, &meanwhile);
            else
                tile_sum(1, 1, 0, a, 0, g->a_panel, b, g, 0, g->steps, q->sum, &meanwhile);
            meanwhile.before = q;
        }
    if (meanwhile.before) tile_finish(g, meanwhile.before, side);
}

#endif
