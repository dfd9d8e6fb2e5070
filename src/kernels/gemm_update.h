/* Tiles of a gradient that move what they are the gradient of: SGD with momentum in a product's epilogue. The gradient
 * is in no memory at all, and what it moves is read and written once, while the next tile's products are under way.
 * Bits are those of the product followed by opt_sgd. */
#ifndef FASTNN_KERNELS_GEMM_UPDATE_H
#define FASTNN_KERNELS_GEMM_UPDATE_H

/* GEMM_MR rows by V vectors; p and buffer: the tile's. */
static inline __attribute__((always_inline)) void update_tile(const int V, int64_t k, const fnn_gemm_update *u,
                                                              const float *first, const float *b, float *p,
                                                              float *buffer, gemm_ahead ahead) {
    vf acc[GEMM_MR][GEMM_NV];
    GEMM_UNROLL for (int i = 0; i < GEMM_MR; i++) GEMM_UNROLL for (int j = 0; j < V; j++) acc[i][j] = v_zero();
    gemm_lines a = {.lo = (const char *)first};
    int64_t q = 0;
#pragma GCC unroll 1
    for (; q + 2 <= k; q += 2, a.lo += 2 * GEMM_MR * sizeof(float), b += 2 * V * VL) {
        v_soon_own(ahead.read); /* parameters, which every thread has read in the forward */
        v_soon_own(ahead.write);
        ahead.read += GEMM_LINE, ahead.write += GEMM_LINE;
        gemm_step(GEMM_MR, V, GEMM_PACKED, &a, 0, b, acc);
        gemm_step(GEMM_MR, V, GEMM_PACKED, &a, 1, b + V * VL, acc);
    }
    if (q < k) gemm_step(GEMM_MR, V, GEMM_PACKED, &a, 0, b, acc);
    const fnn_optim *o = u->o;
    const vf decay = v_set1(o->weight_decay), momentum = v_set1(o->momentum), fresh = v_set1(o->fresh);
    const vf back = v_set1(-o->lr);
    if (o->weight_decay != 0.0f)
        GEMM_UNROLL for (int i = 0; i < GEMM_MR; i++) GEMM_UNROLL for (int j = 0; j < V; j++)
            acc[i][j] = v_fma(v_load(p + i * u->row + j * VL), decay, acc[i][j]);
    GEMM_UNROLL for (int i = 0; i < GEMM_MR; i++, p += u->row, buffer += u->row)
        GEMM_UNROLL for (int j = 0; j < V; j++) {
        const vf moved = opt_momentum(v_load(buffer + j * VL), acc[i][j], momentum, fresh);
        v_store(buffer + j * VL, moved);
        v_store(p + j * VL, v_fma(moved, back, v_load(p + j * VL)));
    }
}

typedef void update_tile_fn(int64_t k, const fnn_gemm_update *u, const float *a, const float *b, float *p,
                            float *buffer, gemm_ahead ahead);

#define UPDATE_TILE(V)                                                                                               \
    static void update_tile_##V(int64_t k, const fnn_gemm_update *u, const float *a, const float *b, float *p,       \
                                float *buffer, gemm_ahead ahead) {                                                   \
        update_tile(V, k, u, a, b, p, buffer, ahead);                                                                \
    }
UPDATE_TILE(1)
UPDATE_TILE(2)
#if GEMM_NV >= 3
UPDATE_TILE(3)
static update_tile_fn *const update_tiles[GEMM_NV] = {update_tile_1, update_tile_2, update_tile_3};
#else
static update_tile_fn *const update_tiles[GEMM_NV] = {update_tile_1, update_tile_2};
#endif

/* At most GEMM_MR rows of a packed A by all of B, summed in one go. g->c, addressed by g->rows, has room for one tile:
 * of those that are not whole the gradient passes through it. */
static void gemm_update_sgd(const fnn_gemm_block *g, const fnn_gemm_update *u) {
    const int whole = g->m == GEMM_MR && u->buffer && !u->o->first && !u->o->nesterov && !u->o->maximize;
    const int64_t lines = g->k / 2 * GEMM_LINE;
    for (int64_t j = 0, asked = 0; j < g->n; j += GEMM_NR, asked += lines) {
        const int64_t n = g->n - j < GEMM_NR ? g->n - j : GEMM_NR, v = (n + VL - 1) / VL;
        const float *b = g->b + j / GEMM_NR * g->b_panel;
        if (u->packed) pack_columns(u->packed + j / GEMM_NR * g->b_panel, u->from + j, u->from_row, 1, n, g->k);
        const gemm_ahead ahead = {asked < g->next_a_floats ? g->next_a + asked : b,
                                  asked < g->next_c_floats ? g->next_c + asked : b};
        if (whole && n % VL == 0) {
            update_tiles[v - 1](g->k, u, g->a, b, u->p + j, u->buffer + j, ahead);
        } else {
            fnn_gemm_block part = *g;
            part.n = n;
            gemm_tiles[GEMM_PACKED][v - 1][g->m - 1](&part, g->a, b, g->rows, 0, ahead);
            for (int64_t i = 0; i < g->m; i++)
                opt_sgd(u->o, n, u->p + i * u->row + j, g->c + g->rows[i],
                        u->buffer ? u->buffer + i * u->row + j : NULL);
        }
    }
}

#endif
