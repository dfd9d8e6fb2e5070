/* The products of Winograd's convolution: many small ones on operands that lie as their transforms left them.
 * Rows of A are a_row floats apart (one k after the other), or neighbours (k a_k apart); B and C are panels of whole
 * vectors. */
#ifndef FASTNN_KERNELS_WINOGRAD_GEMM_H
#define FASTNN_KERNELS_WINOGRAD_GEMM_H

/* Row i of A by few bases and strides that an address can hold: base + stride * {1, 2, 4, 8} bytes. */
#define WINO_AT(base, bytes) ((const float *)((const char *)(base) + (bytes)))
WINO_INLINE const float *wino_row(const int i, const float *a0, const float *a3, const float *a5, const float *a10,
                                  int64_t s) {
    switch (i) {
    case 0: return a0;
    case 1: return WINO_AT(a0, s);
    case 2: return WINO_AT(a0, s * 2);
    case 3: return a3;
    case 4: return WINO_AT(a0, s * 4);
    case 5: return a5;
    case 6: return WINO_AT(a5, s);
    case 7: return WINO_AT(a5, s * 2);
    case 8: return WINO_AT(a0, s * 8);
    case 9: return WINO_AT(a5, s * 4);
    case 10: return a10;
    case 11: return WINO_AT(a3, s * 8);
    case 12: return WINO_AT(a10, s * 2);
    default: return WINO_AT(a5, s * 8);
    }
}

WINO_INLINE void wino_store(const int M, const int V, vf acc[GEMM_MR][GEMM_NV], float *c, int64_t c_row, int add) {
    if (add)
        GEMM_UNROLL for (int i = 0; i < M; i++) GEMM_UNROLL for (int j = 0; j < V; j++)
            acc[i][j] += v_load(c + i * c_row + j * VL);
    GEMM_UNROLL for (int i = 0; i < M; i++) GEMM_UNROLL for (int j = 0; j < V; j++)
        v_store(c + i * c_row + j * VL, acc[i][j]);
}

WINO_INLINE void wino_rows_tile(const int M, const int V, int64_t k, const float *a, int64_t a_row, const float *b,
                                float *c, int add, const float *next_a, const float *next_b) {
    vf acc[GEMM_MR][GEMM_NV];
    GEMM_UNROLL for (int i = 0; i < M; i++) GEMM_UNROLL for (int j = 0; j < V; j++) acc[i][j] = v_zero();
    const int64_t s = a_row * (int64_t)sizeof(float);
    const float *a3 = a + 3 * a_row, *a5 = a + 5 * a_row, *a10 = a + 10 * a_row;
#pragma GCC unroll 1
    for (int64_t p = 0; p < k; p++) {
        __builtin_prefetch(next_a, 0, 2), __builtin_prefetch(next_b, 0, 2);
        next_a += GEMM_LINE, next_b += GEMM_LINE;
        vf bv[GEMM_NV];
        GEMM_UNROLL for (int j = 0; j < V; j++) bv[j] = v_load(b + j * VL);
        GEMM_UNROLL for (int i = 0; i < M; i++) {
            const vf av = v_set1(*wino_row(i, a, a3, a5, a10, s));
            GEMM_UNROLL for (int j = 0; j < V; j++) acc[i][j] = v_fma(av, bv[j], acc[i][j]);
        }
        a++, a3++, a5++, a10++, b += V * VL;
    }
    wino_store(M, V, acc, c, V * VL, add);
}

/* Neighbouring rows of A: a[p * a_k + i]. */
WINO_INLINE void wino_columns_tile(const int M, const int V, int64_t k, const float *a, int64_t a_k, const float *b,
                                   float *c, int add, const float *next_a, const float *next_b) {
    vf acc[GEMM_MR][GEMM_NV];
    GEMM_UNROLL for (int i = 0; i < M; i++) GEMM_UNROLL for (int j = 0; j < V; j++) acc[i][j] = v_zero();
#pragma GCC unroll 1
    for (int64_t p = 0; p < k; p++, a += a_k, b += V * VL) {
        __builtin_prefetch(next_a, 0, 2), __builtin_prefetch(next_b, 0, 2);
        next_a += GEMM_LINE, next_b += GEMM_LINE;
        vf bv[GEMM_NV];
        GEMM_UNROLL for (int j = 0; j < V; j++) bv[j] = v_load(b + j * VL);
        GEMM_UNROLL for (int i = 0; i < M; i++) {
            const vf av = v_set1(a[i]);
            GEMM_UNROLL for (int j = 0; j < V; j++) acc[i][j] = v_fma(av, bv[j], acc[i][j]);
        }
    }
    wino_store(M, V, acc, c, V * VL, add);
}

typedef void wino_tile_fn(int64_t k, const float *a, int64_t a_step, const float *b, float *c, int add,
                          const float *next_a, const float *next_b);

#define WINO_TILE(M, V)                                                                                              \
    static void wino_rows_##M##x##V(int64_t k, const float *a, int64_t a_step, const float *b, float *c, int add,    \
                                    const float *next_a, const float *next_b) {                                      \
        wino_rows_tile(M, V, k, a, a_step, b, c, add, next_a, next_b);                                               \
    }                                                                                                                \
    static void wino_columns_##M##x##V(int64_t k, const float *a, int64_t a_step, const float *b, float *c, int add, \
                                       const float *next_a, const float *next_b) {                                   \
        wino_columns_tile(M, V, k, a, a_step, b, c, add, next_a, next_b);                                            \
    }
#define WINO_ROWS_NAME(M, V) wino_rows_##M##x##V,
#define WINO_COLUMNS_NAME(M, V) wino_columns_##M##x##V,

GEMM_EACH_M(WINO_TILE, 1)
GEMM_EACH_M(WINO_TILE, 2)
#if GEMM_NV >= 3
GEMM_EACH_M(WINO_TILE, 3)
#define WINO_EACH_V(X)                                                                                               \
    {GEMM_EACH_M(X, 1)}, {GEMM_EACH_M(X, 2)}, { GEMM_EACH_M(X, 3) }
#else
#define WINO_EACH_V(X)                                                                                               \
    {GEMM_EACH_M(X, 1)}, { GEMM_EACH_M(X, 2) }
#endif

static wino_tile_fn *const wino_tiles[2][GEMM_NV][GEMM_MR] = {{WINO_EACH_V(WINO_ROWS_NAME)},
                                                              {WINO_EACH_V(WINO_COLUMNS_NAME)}};

/* C[m][width] (+)= A B, width one panel. by_columns: a[p * a_step + i], else a[i * a_step + p]. Rows fall into tiles of
 * about one size, as a short one is slow. next_a and next_b: what is wanted after this, to be brought nearer. */
static void wino_multiply(int by_columns, int64_t m, int64_t width, int64_t k, const float *a, int64_t a_step,
                          const float *b, float *c, int add, const float *next_a, const float *next_b) {
    wino_tile_fn *const *tiles = wino_tiles[by_columns][width / VL - 1];
    const int64_t n_tiles = (m + GEMM_MR - 1) / GEMM_MR, a_row = by_columns ? 1 : a_step;
    for (int64_t i = 0, t = 0, rows; t < n_tiles; t++, i += rows) {
        rows = (m - i + n_tiles - t - 1) / (n_tiles - t);
        tiles[rows - 1](k, a + i * a_row, a_step, b, c + i * width, add, next_a, next_b);
        next_a += k * GEMM_LINE, next_b += k * GEMM_LINE;
    }
}

#endif
