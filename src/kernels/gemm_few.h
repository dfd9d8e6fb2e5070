/* Products of few rows, C[m x n] (+)= A[m x k] B, with neither operand packed: packing B would cost as much as the
 * product. A is read in place (a_row), and so is B:
 *
 *   gemm_few_nt   column j of B is k contiguous floats at b + j * b_row. Each sum runs in VL partial sums along k,
 *                   which meet at the end in one fixed order.
 *   gemm_few_nn   row p of B is n contiguous floats at b + p * b_row. Each sum is one chain in the order of k.
 *
 * Sums of a few columns go to a small buffer, from which the epilogue stores them. Where B is wide and long, its rows
 * are read in order, some at a time along many columns: C then holds the sums so far. */
#ifndef FASTNN_KERNELS_GEMM_FEW_H
#define FASTNN_KERNELS_GEMM_FEW_H

#define FEW_COLUMNS 64                /* most of one turn */
#define FEW_FLOATS ((int64_t)1 << 17) /* of B in one turn: they stay in the second-level cache for all rows */
#define FEW_ROOM (FEW_COLUMNS + 8 * VL)
#define FEW_SWEEP 4096             /* columns whose sums stay in the second-level cache */
#define FEW_STREAMS 8              /* rows of B that are read side by side */
#define FEW_WIDE 512               /* columns from which on that pays; with few rows, four times as many */
#define FEW_AHEAD 8                /* rows of B between what is asked for and what is used */
#define FEW_PAIR 2                 /* columns of B side by side that come from past the caches ... */
#define FEW_NEAR 768               /* ... and floats of each between what is asked for and what is used */
#define FEW_FAR ((int64_t)1 << 20) /* floats of B from which on no cache near the core holds them */

#if GEMM_MR >= 14 /* 32 registers */
#define FEW_DOT_ROWS 6
#define FEW_DOTS(M) ((M) <= 3 ? 8 : 4)
#define FEW_WIDTH(M) ((M) <= 3 ? 8 : (M) == 4 ? 6 : (M) == 5 ? 5 : (M) <= 7 ? 4 : 3)
#define FEW_ROWS 8
#else
#define FEW_DOT_ROWS 3
#define FEW_DOTS(M) ((M) == 1 ? 8 : 4)
#define FEW_WIDTH(M) ((M) == 1 ? 8 : (M) == 2 ? 4 : 3)
#define FEW_ROWS 4
#endif

typedef float few_quad __attribute__((vector_size(16), aligned(4)));

/* sums[i] = the sum of r[i]'s lanes, for four vectors. */
static inline __attribute__((always_inline)) void few_sums(vf r[4], float *sums) {
    v_transpose_quads(r);
    float lanes[VL];
    v_store(lanes, (r[0] + r[1]) + (r[2] + r[3]));
    few_quad total = *(const few_quad *)lanes;
    GEMM_UNROLL for (int q = 4; q < VL; q += 4) total += *(const few_quad *)(lanes + q);
    *(few_quad *)sums = total;
}

/* acc[i][r] += row i of A times column r of B over [p, end), for M rows and R columns; ahead: from what is read to what
 * is asked for, 0 for nothing. Returns where it stopped: less than a vector before the end. */
static inline __attribute__((always_inline)) int64_t few_run(const int M, const int R, const float *const *row,
                                                             const float *const *column, int64_t p, int64_t end,
                                                             int64_t ahead, vf acc[][8]) {
#pragma GCC unroll 1
    for (; p + VL <= end; p += VL) {
        vf av[FEW_DOT_ROWS];
        GEMM_UNROLL for (int i = 0; i < M; i++) av[i] = v_load(row[i] + p);
        GEMM_UNROLL for (int r = 0; r < R; r++) {
            const vf bv = v_load(column[r] + p);
            if (p % GEMM_LINE == 0 && ahead) {
                if (R == 4)
                    __builtin_prefetch(column[r] + p + ahead, 0, 2);
                else
                    __builtin_prefetch(column[r] + p + ahead, 0, 3);
            }
            GEMM_UNROLL for (int i = 0; i < M; i++) acc[i][r] = v_fma(av[i], bv, acc[i][r]);
        }
    }
    return p;
}

/* What is left of k after the whole vectors. */
static inline __attribute__((always_inline)) void few_rest(const int M, const int R, const float *const *row,
                                                           const float *const *column, int64_t p, int64_t k,
                                                           vf acc[][8]) {
    const int lanes = (int)(k - p);
    if (lanes == 0) return;
    vf av[FEW_DOT_ROWS];
    GEMM_UNROLL for (int i = 0; i < M; i++) av[i] = v_load_n(row[i] + p, lanes);
    GEMM_UNROLL for (int r = 0; r < R; r++) {
        const vf bv = v_load_n(column[r] + p, lanes);
        GEMM_UNROLL for (int i = 0; i < M; i++) acc[i][r] = v_fma(av[i], bv, acc[i][r]);
    }
}

/* sums[i][r] = row i of A times column r of B, for M rows and `columns` of FEW_DOTS(M) columns. */
static inline __attribute__((always_inline)) void few_dots(const int M, const fnn_gemm_block *g, const float *a,
                                                           const float *b, int columns, float *sums) {
    const int R = FEW_DOTS(M);
    vf acc[FEW_DOT_ROWS][8];
    const float *row[FEW_DOT_ROWS], *column[8];
    GEMM_UNROLL for (int i = 0; i < M; i++) row[i] = a + i * g->a_row;
    GEMM_UNROLL for (int r = 0; r < R; r++) column[r] = b + (r < columns ? r : columns - 1) * g->b_row;
    GEMM_UNROLL for (int i = 0; i < M; i++) GEMM_UNROLL for (int r = 0; r < R; r++) acc[i][r] = v_zero();
    const int64_t p = few_run(M, R, row, column, 0, g->k, R == 4 ? R * g->b_row : 0, acc);
    few_rest(M, R, row, column, p, g->k, acc);
    GEMM_UNROLL for (int i = 0; i < M; i++) GEMM_UNROLL for (int r = 0; r < R; r += 4)
        few_sums(&acc[i][r], sums + i * FEW_ROOM + r);
}

/* The same where B comes from past the caches: the fewer columns are read side by side, the nearer a core comes to the
 * bandwidth, and the prefetchers alone leave a sixth of it unused. Towards a column's end the next pair is asked for. */
static inline __attribute__((always_inline)) void few_far(const int M, const fnn_gemm_block *g, const float *a,
                                                          const float *b, int columns, float *sums) {
    vf made[FEW_DOT_ROWS][8];
    const float *row[FEW_DOT_ROWS], *column[FEW_PAIR];
    const int64_t turn = g->k > FEW_NEAR ? (g->k - FEW_NEAR) / GEMM_LINE * GEMM_LINE : 0;
    GEMM_UNROLL for (int i = 0; i < M; i++) row[i] = a + i * g->a_row;
    for (int j = 0; j < 8; j += FEW_PAIR) {
        vf acc[FEW_DOT_ROWS][8];
        GEMM_UNROLL for (int r = 0; r < FEW_PAIR; r++)
            column[r] = b + (j + r < columns ? j + r : columns - 1) * g->b_row;
        GEMM_UNROLL for (int i = 0; i < M; i++) GEMM_UNROLL for (int r = 0; r < FEW_PAIR; r++) acc[i][r] = v_zero();
        int64_t p = few_run(M, FEW_PAIR, row, column, 0, turn, FEW_NEAR, acc);
        p = few_run(M, FEW_PAIR, row, column, p, g->k, FEW_PAIR * g->b_row - turn, acc);
        few_rest(M, FEW_PAIR, row, column, p, g->k, acc);
        GEMM_UNROLL for (int i = 0; i < M; i++) GEMM_UNROLL for (int r = 0; r < FEW_PAIR; r++)
            made[i][j + r] = acc[i][r];
    }
    GEMM_UNROLL for (int i = 0; i < M; i++) GEMM_UNROLL for (int r = 0; r < 8; r += 4)
        few_sums(&made[i][r], sums + i * FEW_ROOM + r);
}

/* The part of k that a tile adds: [p, p + k). more: its sums hold what came before; room: from row to row of the sums;
 * ahead: from what is read to what is asked for. */
typedef struct few_span {
    int64_t p, k, room, ahead;
    int more;
} few_span;

/* sums[i][j * VL ...] (+)= row i of A times V vectors of columns of B; lanes: how much of the last vector there is. */
static inline __attribute__((always_inline)) void few_tile(const int M, const int V, const int whole,
                                                           const fnn_gemm_block *g, const few_span *part,
                                                           const float *a, const float *b, int lanes, float *sums) {
    vf acc[FEW_ROWS][8];
    const float *row[FEW_ROWS];
    GEMM_UNROLL for (int i = 0; i < M; i++) row[i] = a + i * g->a_row + part->p;
    GEMM_UNROLL for (int i = 0; i < M; i++) GEMM_UNROLL for (int j = 0; j < V; j++) {
        const float *s = sums + i * part->room + j * VL;
        acc[i][j] = !part->more ? v_zero() : whole || j < V - 1 ? v_load(s) : v_load_n(s, lanes);
    }
    b += part->p * g->b_row;
#pragma GCC unroll 1
    for (int64_t p = 0; p < part->k; p++, b += g->b_row) {
        const float *ahead = b + part->ahead;
        vf bv[8];
        GEMM_UNROLL for (int j = 0; j < V; j++) {
            if (j * VL % GEMM_LINE == 0) __builtin_prefetch(ahead + j * VL, 0, 3);
            bv[j] = whole || j < V - 1 ? v_load(b + j * VL) : v_load_n(b + j * VL, lanes);
        }
        GEMM_UNROLL for (int i = 0; i < M; i++) {
            const vf av = v_set1(row[i][p]);
            GEMM_UNROLL for (int j = 0; j < V; j++) acc[i][j] = v_fma(av, bv[j], acc[i][j]);
        }
    }
    GEMM_UNROLL for (int i = 0; i < M; i++) GEMM_UNROLL for (int j = 0; j < V; j++) {
        float *s = sums + i * part->room + j * VL;
        if (whole || j < V - 1)
            v_store(s, acc[i][j]);
        else
            v_store_n(s, acc[i][j], lanes);
    }
}

/* `width` columns from `column` on, whose sums over k are ready, `room` floats from row to row. */
static void few_finish(const fnn_gemm_block *g, int64_t column, int64_t width, const float *sums, int64_t room) {
    for (int64_t i = 0; i < g->m; i++, sums += room)
        for (int64_t j = 0; j < width; j += VL) {
            const int lanes = width - j < VL ? (int)(width - j) : VL;
            const int64_t at = g->rows[i] + column + j;
            vf v = gemm_read(sums + j, lanes);
            if (g->add_c) v += gemm_read(g->c + at, lanes);
            v = gemm_finished(g, v, column + j, at, lanes);
            if (lanes == VL)
                v_store(g->c + at, v);
            else
                v_store_n(g->c + at, v, lanes);
        }
}

typedef void few_dots_fn(const fnn_gemm_block *g, const float *a, const float *b, int columns, float *sums);
typedef void few_tile_fn(const fnn_gemm_block *g, const few_span *part, const float *a, const float *b, int lanes,
                         float *sums);

#define FEW_DOTS_BODY(M)                                                                                             \
    static void few_dots_##M(const fnn_gemm_block *g, const float *a, const float *b, int columns, float *sums) {    \
        few_dots(M, g, a, b, columns, sums);                                                                         \
    }
#define FEW_FAR_BODY(M)                                                                                              \
    static void few_far_##M(const fnn_gemm_block *g, const float *a, const float *b, int columns, float *sums) {     \
        few_far(M, g, a, b, columns, sums);                                                                          \
    }
#define FEW_TILE_AS(NAME, M, V, WHOLE)                                                                               \
    static void NAME##_##M(const fnn_gemm_block *g, const few_span *part, const float *a, const float *b, int lanes, \
                           float *sums) {                                                                            \
        few_tile(M, V, WHOLE, g, part, a, b, lanes, sums);                                                           \
    }
#define FEW_TILE_BODY(M)                                                                                             \
    FEW_TILE_AS(few_wide, M, FEW_WIDTH(M), 1)                                                                        \
    FEW_TILE_AS(few_two, M, 2, 1)                                                                                    \
    FEW_TILE_AS(few_one, M, 1, 1)                                                                                    \
    FEW_TILE_AS(few_part, M, 1, 0)

#if GEMM_MR >= 14
#define FEW_EACH_DOTS(X) X(1) X(2) X(3) X(4) X(5) X(6)
#define FEW_EACH_FAR(X) X(1) X(2) X(3)
#define FEW_EACH_TILE(X) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8)
#else
#define FEW_EACH_DOTS(X) X(1) X(2) X(3)
#define FEW_EACH_FAR(X) X(1)
#define FEW_EACH_TILE(X) X(1) X(2) X(3) X(4)
#endif

FEW_EACH_DOTS(FEW_DOTS_BODY)
FEW_EACH_FAR(FEW_FAR_BODY)
FEW_EACH_TILE(FEW_TILE_BODY)

#define FEW_DOTS_NAME(M) few_dots_##M,
#define FEW_FAR_NAME(M) few_far_##M,
#define FEW_TILE_NAMES(M) {few_wide_##M, few_two_##M, few_one_##M, few_part_##M},
static few_dots_fn *const few_dots_of[] = {FEW_EACH_DOTS(FEW_DOTS_NAME)};
static few_dots_fn *const few_far_of[] = {FEW_EACH_FAR(FEW_FAR_NAME)};
static few_tile_fn *const few_tile_of[][4] = {FEW_EACH_TILE(FEW_TILE_NAMES)};

/* Rows of the group that begins at row i, groups being of about one size. */
static inline int few_group(int64_t m, int64_t i, int most) {
    const int64_t groups = (m - i + most - 1) / most;
    return (int)((m - i + groups - 1) / groups);
}

static void gemm_few_nt(const fnn_gemm_block *g) {
    float sums[FNN_FEW_ROWS * FEW_ROOM];
    const int64_t fit = FEW_FLOATS / (g->k > 0 ? g->k : 1) / 8 * 8;
    const int64_t turn = fit < 8 ? 8 : fit < FEW_COLUMNS ? fit : FEW_COLUMNS;
    const int64_t turns = (g->n + turn - 1) / turn;
    const int far = g->m <= (int64_t)(sizeof few_far_of / sizeof *few_far_of) && g->k * g->n >= FEW_FAR;
    few_dots_fn *const *dots_of = far ? few_far_of : few_dots_of;
    for (int64_t t = 0; t < turns; t++) {
        const int64_t j0 = (g->backwards ? turns - 1 - t : t) * turn, width = g->n - j0 < turn ? g->n - j0 : turn;
        for (int64_t i = 0, m; i < g->m; i += m) {
            m = few_group(g->m, i, FEW_DOT_ROWS);
            for (int64_t j = 0; j < width; j += FEW_DOTS(m))
                dots_of[m - 1](g, g->a + i * g->a_row, g->b + (j0 + j) * g->b_row, (int)(width - j),
                               sums + i * FEW_ROOM + j);
        }
        few_finish(g, j0, width, sums, FEW_ROOM);
    }
}

/* The widest tile that fits the columns left, all of whole vectors but the last. */
static inline int few_choice(int64_t left, int wide) {
    return left >= wide * VL ? 0 : left >= 2 * VL ? 1 : left >= VL ? 2 : 3;
}

/* One part of k for all rows of A and as many columns from j on as a tile has, `left` at most; returns how many. */
static int64_t few_columns(const fnn_gemm_block *g, const few_span *part, int64_t j, int64_t left, float *sums) {
    const int most = few_group(g->m, 0, FEW_ROWS), wide = FEW_WIDTH(most);
    const int choice = few_choice(left, wide), vectors[] = {wide, 2, 1, 1};
    const int64_t width = left < vectors[choice] * VL ? left : vectors[choice] * VL;
    for (int64_t i = 0; i < g->m; i += most) {
        const int m = g->m - i < most ? (int)(g->m - i) : most;
        const float *a = g->a + i * g->a_row;
        float *s = sums + i * part->room;
        if (choice > 0 || FEW_WIDTH(m) == wide) {
            few_tile_of[m - 1][choice](g, part, a, g->b + j, (int)width, s);
            continue;
        }
        for (int v = 0; v < wide; v += v + 2 <= wide ? 2 : 1) /* fewer rows have a wider tile of their own */
            few_tile_of[m - 1][v + 2 <= wide ? 1 : 2](g, part, a, g->b + j + v * VL, VL, s + v * VL);
    }
    return width;
}

/* Rows of B in order, FEW_STREAMS at a time, along columns [j0, j1): each is one stream that the prefetchers follow. */
static void few_sweep(const fnn_gemm_block *g, int64_t j0, int64_t j1) {
    const int64_t room = g->m > 1 ? g->rows[1] - g->rows[0] : 0;
    for (int64_t p = 0; p < g->k; p += FEW_STREAMS) {
        const int64_t k = g->k - p < FEW_STREAMS ? g->k - p : FEW_STREAMS;
        const few_span part = {.p = p, .k = k, .room = room, .ahead = FEW_AHEAD * 2 * GEMM_LINE, .more = p > 0};
        for (int64_t j = j0, width; j < j1; j += width) {
            float *sums = g->c + g->rows[0] + j;
            width = few_columns(g, &part, j, j1 - j, sums);
            if (p + k == g->k) few_finish(g, j, width, sums, room);
        }
    }
}

static void gemm_few_nn(const fnn_gemm_block *g) {
    if (g->n > (g->m > FEW_ROWS ? FEW_WIDE : 4 * FEW_WIDE) && g->k > FEW_STREAMS && !g->add_c) {
        for (int64_t j = 0; j < g->n; j += FEW_SWEEP) few_sweep(g, j, g->n - j < FEW_SWEEP ? g->n : j + FEW_SWEEP);
        return;
    }
    float sums[FNN_FEW_ROWS * FEW_ROOM];
    const few_span all = {.k = g->k, .room = FEW_ROOM, .ahead = FEW_AHEAD * g->b_row};
    for (int64_t j = 0, width; j < g->n; j += width) {
        width = few_columns(g, &all, j, g->n - j, sums);
        few_finish(g, j, width, sums, FEW_ROOM);
    }
}

#endif
