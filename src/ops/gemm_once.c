/* See gemm_once.h. */
#include "gemm_once.h"

#define ONCE_ROWS 256                   /* most of A */
#define ONCE_PANELS 5                   /* least of B: for fewer, A is read in place */
#define OWN_FLOATS ((int64_t)512 << 10) /* most of A that each thread reads whole to have columns of its own ... */
#define OWN_ROWS 128                    /* ... and most rows, where these are the batch */
#define SLACK 64                        /* floats past a packed buffer that a whole-vector store may touch */

int fnn_gemm_is_once(const gemm_plan *p, const fnn_kernels *kernels) {
    return p->batch == 1 && p->m > kernels->gemm_mr && p->m <= ONCE_ROWS && p->panels >= ONCE_PANELS && p->k > 0;
}

int64_t fnn_gemm_once_units(const gemm_plan *p) { return p->panels; }

static size_t rows_bytes(const gemm_plan *p) { return fnn_round_up((size_t)p->m * sizeof(int64_t)); }

static size_t a_bytes(const gemm_plan *p, const fnn_kernels *kernels) {
    const int64_t mr = kernels->gemm_mr, rows = gemm_ceil_div(p->m, mr) * mr;
    return fnn_round_up((size_t)(rows * p->kc + SLACK) * sizeof(float));
}

size_t fnn_gemm_once_thread_bytes(const gemm_plan *p, const fnn_kernels *kernels) {
    const size_t b = (size_t)(kernels->gemm_nr * p->kc + SLACK) * sizeof(float);
    return rows_bytes(p) + a_bytes(p, kernels) + b;
}

/* Asks for what columns [j, j + n) of B will be packed from: a piece of each row. */
static void look_ahead(fnn_gemm_block *g, const gemm_source *b, int64_t j, int64_t n, int64_t k0) {
    g->soon = n > 0 ? b->data + j + k0 * b->k_stride : NULL;
    g->soon_lines = g->k, g->soon_floats = n, g->soon_stride = b->k_stride;
}

void fnn_gemm_run_once(const gemm_call *call, void *thread_scratch, const fnn_team *team) {
    const gemm_plan *p = call->plan;
    const int64_t nr = call->kernels->gemm_nr;
    int64_t *rows = thread_scratch, lo, hi;
    float *a = (float *)((char *)thread_scratch + rows_bytes(p));
    float *b = (float *)((char *)a + a_bytes(p, call->kernels));
    fnn_share(p->panels, team->tid, team->n, &lo, &hi);
    for (int64_t i = 0; i < p->m; i++) rows[i] = i * p->n;
    const int64_t end = gemm_min(p->n, hi * nr);
    for (int64_t k0 = 0; k0 < p->k && lo < hi; k0 += p->kc) {
        fnn_gemm_block g = {.m = p->m, .k = gemm_min(p->kc, p->k - k0), .a = a, .b = b, .rows = rows};
        g.activation = call->activation, g.slope = call->slope;
        g.add_c = call->accumulate || k0 > 0, g.last = k0 + p->kc >= p->k;
        call->a.pack(&call->a, call->kernels, 0, 0, p->m, k0, g.k, a);
        for (int64_t j = lo * nr; j < end; j += nr) {
            g.n = gemm_min(nr, end - j);
            g.c = call->c + j;
            g.bias = call->bias ? call->bias + j : NULL;
            g.residual = call->residual ? call->residual + j : NULL;
            call->b.pack(&call->b, call->kernels, 0, j, g.n, k0, g.k, b);
            look_ahead(&g, &call->b, j + nr, gemm_max(0, gemm_min(nr, end - j - nr)), k0);
            call->kernels->gemm_block(&g);
        }
    }
}

int fnn_gemm_has_own_columns(const gemm_call *call, const fnn_team *team) {
    const gemm_plan *p = call->plan;
    const int few = p->m <= OWN_ROWS && call->b.pack == fnn_gemm_pack_strided_b;
    return (p->turned || few) && p->batch == 1 && p->nc >= p->n && p->panels % team->n == 0 &&
           p->m * p->k <= OWN_FLOATS;
}

void fnn_gemm_run_own_columns(const gemm_call *call, float *b, void *thread_scratch, const fnn_team *team) {
    const gemm_plan *p = call->plan;
    const fnn_team alone = {.tid = 0, .n = 1, .barrier = NULL};
    const int64_t nr = call->kernels->gemm_nr;
    int64_t lo, hi;
    fnn_share(p->panels, team->tid, team->n, &lo, &hi);
    const int64_t j = lo * nr, n = gemm_min(p->n, hi * nr) - j;
    call->b.pack(&call->b, call->kernels, 0, j, n, 0, p->k, b + j * p->k);
    fnn_gemm_run_shared(call, j, n, b + j * p->k, thread_scratch, &alone);
}
