/* Gradient of a convolution's weights, one register tile a tap:
 *
 *   c[tap][row][column] (+)= sum over the tap's pairs of a[low(pair) + row] * b[high(pair) + column]
 *
 * A pair is an output pixel and the input pixel that the tap shows it; pairs outside the image are left out, not
 * multiplied by zero. One operand gives the rows (broadcast), the other the columns (vectors); both are packed once
 * for all taps, which differ in their lists of pairs only, or read where they lie. */
#ifndef FASTNN_KERNELS_CONV_WEIGHTS_H
#define FASTNN_KERNELS_CONV_WEIGHTS_H

/* Rows of a tile, and of a tile of one vector of columns, which leaves registers for more. */
#if VL == 16
#define WEIGHTS_MR 14
#define WEIGHTS_MR_ONE 30
#define WEIGHTS_NV 2
#elif VL == 8
#define WEIGHTS_MR 6
#define WEIGHTS_MR_ONE 12
#define WEIGHTS_NV 2
#elif defined(__aarch64__)
#define WEIGHTS_MR 8
#define WEIGHTS_MR_ONE 16
#define WEIGHTS_NV 3
#else
#define WEIGHTS_MR 4
#define WEIGHTS_MR_ONE 8
#define WEIGHTS_NV 3
#endif
#define WEIGHTS_NR (WEIGHTS_NV * VL)
#define WEIGHTS_LD ((WEIGHTS_MR + VL - 1) / VL * VL) /* floats a pixel of a packed panel of rows */
#define WEIGHTS_LD_ONE ((WEIGHTS_MR_ONE + VL - 1) / VL * VL)
#define WEIGHTS_UNROLL _Pragma("GCC unroll 32")

static inline __attribute__((always_inline)) void weights_step(const int M, const int V, const float *a,
                                                               const float *b, vf acc[WEIGHTS_MR_ONE][WEIGHTS_NV]) {
    vf bv[WEIGHTS_NV];
    GEMM_UNROLL for (int j = 0; j < V; j++) bv[j] = v_load(b + j * VL);
    WEIGHTS_UNROLL for (int i = 0; i < M; i++) {
        const vf av = v_set1(a[i]);
        GEMM_UNROLL for (int j = 0; j < V; j++) acc[i][j] = v_fma(av, bv[j], acc[i][j]);
    }
}

/* M rows by V vectors, both constants of the caller. ahead: memory that the second level is asked for meanwhile, `apart`
 * floats a pair: evenly, as a burst holds up the tile's own loads. */
static inline __attribute__((always_inline)) void weights_tile(const int M, const int V, const fnn_weights_pair *p,
                                                               int64_t k, const float *a, const float *b, float *c,
                                                               int add, const float *ahead, int64_t apart) {
    vf acc[WEIGHTS_MR_ONE][WEIGHTS_NV];
    WEIGHTS_UNROLL for (int i = 0; i < M; i++) GEMM_UNROLL for (int j = 0; j < V; j++) acc[i][j] = v_zero();
    if (add)
        for (int i = 0; i < M; i++)
            GEMM_UNROLL for (int j = 0; j < V; j++) __builtin_prefetch(c + i * WEIGHTS_NR + j * VL, 1, 3);
#pragma GCC unroll 1
    for (; k >= 2; k -= 2, p += 2, ahead += 2 * apart) {
        __builtin_prefetch(ahead, 0, 2);
        weights_step(M, V, a + (uint32_t)p[0], b + (p[0] >> 32), acc);
        __builtin_prefetch(ahead + apart, 0, 2);
        weights_step(M, V, a + (uint32_t)p[1], b + (p[1] >> 32), acc);
    }
    if (k) weights_step(M, V, a + (uint32_t)p[0], b + (p[0] >> 32), acc);
    if (add)
        WEIGHTS_UNROLL for (int i = 0; i < M; i++) GEMM_UNROLL for (int j = 0; j < V; j++)
            acc[i][j] += v_load(c + i * WEIGHTS_NR + j * VL);
    WEIGHTS_UNROLL for (int i = 0; i < M; i++) GEMM_UNROLL for (int j = 0; j < V; j++)
        v_store(c + i * WEIGHTS_NR + j * VL, acc[i][j]);
}

typedef void weights_tile_fn(const fnn_weights_pair *p, int64_t k, const float *a, const float *b, float *c, int add,
                             const float *ahead, int64_t apart);

#define WEIGHTS_TILE(M, V)                                                                                           \
    static void weights_tile_##M##x##V(const fnn_weights_pair *p, int64_t k, const float *a, const float *b,         \
                                       float *c, int add, const float *ahead, int64_t apart) {                       \
        weights_tile(M, V, p, k, a, b, c, add, ahead, apart);                                                        \
    }
#define WEIGHTS_TILE_NAME(M, V) weights_tile_##M##x##V,

#if WEIGHTS_MR >= 14
#define WEIGHTS_EACH_M(X, V)                                                                                         \
    X(1, V)                                                                                                          \
    X(2, V) X(3, V) X(4, V) X(5, V) X(6, V) X(7, V) X(8, V) X(9, V) X(10, V) X(11, V) X(12, V) X(13, V) X(14, V)
#elif WEIGHTS_MR >= 8
#define WEIGHTS_EACH_M(X, V) X(1, V) X(2, V) X(3, V) X(4, V) X(5, V) X(6, V) X(7, V) X(8, V)
#elif WEIGHTS_MR >= 6
#define WEIGHTS_EACH_M(X, V) X(1, V) X(2, V) X(3, V) X(4, V) X(5, V) X(6, V)
#else
#define WEIGHTS_EACH_M(X, V) X(1, V) X(2, V) X(3, V) X(4, V)
#endif

/* clang-format off */
#if WEIGHTS_MR_ONE == 30
#define WEIGHTS_EACH_M_ONE(X)                                                                                        \
    WEIGHTS_EACH_M(X, 1) X(15, 1) X(16, 1) X(17, 1) X(18, 1) X(19, 1) X(20, 1) X(21, 1) X(22, 1) X(23, 1) X(24, 1)   \
    X(25, 1) X(26, 1) X(27, 1) X(28, 1) X(29, 1) X(30, 1)
#elif WEIGHTS_MR_ONE == 16
#define WEIGHTS_EACH_M_ONE(X)                                                                                        \
    WEIGHTS_EACH_M(X, 1) X(9, 1) X(10, 1) X(11, 1) X(12, 1) X(13, 1) X(14, 1) X(15, 1) X(16, 1)
#elif WEIGHTS_MR_ONE == 12
#define WEIGHTS_EACH_M_ONE(X) WEIGHTS_EACH_M(X, 1) X(7, 1) X(8, 1) X(9, 1) X(10, 1) X(11, 1) X(12, 1)
#else
#define WEIGHTS_EACH_M_ONE(X) WEIGHTS_EACH_M(X, 1) X(5, 1) X(6, 1) X(7, 1) X(8, 1)
#endif
/* clang-format on */

WEIGHTS_EACH_M_ONE(WEIGHTS_TILE)
WEIGHTS_EACH_M(WEIGHTS_TILE, 2)
#if WEIGHTS_NV >= 3
WEIGHTS_EACH_M(WEIGHTS_TILE, 3)
#endif

static weights_tile_fn *const weights_tiles[WEIGHTS_NV][WEIGHTS_MR_ONE] = {
    {WEIGHTS_EACH_M_ONE(WEIGHTS_TILE_NAME)},
    {WEIGHTS_EACH_M(WEIGHTS_TILE_NAME, 2)},
#if WEIGHTS_NV >= 3
    {WEIGHTS_EACH_M(WEIGHTS_TILE_NAME, 3)},
#endif
};

/* What to ask for during a tile of k pairs; nothing: what is near. */
static const float *weights_ahead(fnn_weights_ahead *all, int64_t k, int64_t *apart, const float *near) {
    for (fnn_weights_ahead *q = all; q < all + WEIGHTS_AHEAD; q++) {
        if (q->pairs <= 0) continue;
        const float *from = q->from;
        *apart = q->step;
        q->from += k * q->step;
        q->pairs -= k;
        return from;
    }
    *apart = 0;
    return near;
}

/* All taps and the rows asked for by one panel of columns, which stays in the first-level cache; with taps outside, only
 * the part of it that a tap meets must, which suits strides. */
static void weights_block(fnn_weights_block *g) {
    const int64_t panels = g->row1 - g->row0, start = g->rows * g->row0 / g->row_panels;
    const int64_t outer = g->taps_outside ? g->taps : panels, inner = g->taps_outside ? panels : g->taps;
    const int64_t v = (g->columns + VL - 1) / VL;
    for (int64_t u = 0; u < outer; u++)
        for (int64_t w = 0; w < inner; w++) {
            const int64_t t = g->taps_outside ? u : w, i = g->row0 + (g->taps_outside ? w : u);
            const int64_t first = g->rows * i / g->row_panels, m = g->rows * (i + 1) / g->row_panels - first;
            const int64_t k = g->tap_end[t] - (t > 0 ? g->tap_end[t - 1] : 0);
            const float *a = g->a + (g->a_panel ? (i - g->row0) * g->a_panel : first);
            int64_t apart;
            const float *ahead = weights_ahead(g->ahead, k, &apart, g->b);
            weights_tiles[v - 1][m - 1](g->pairs + g->tap_end[t] - k, k, a, g->b,
                                        g->c + ((first - start) * g->taps + t * m) * WEIGHTS_NR, g->add, ahead,
                                        apart);
        }
}

#endif
