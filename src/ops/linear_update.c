/* The gradient of a linear layer's weights together with the optimizer's step that it is for: dw = dy^T x, then p and
 * its state move by dw (see optim.h). A block of dw is made in a thread's scratch, in the second-level cache, and used
 * there: dw is nowhere as a whole. SGD's step is taken by each tile of registers as it is done (kernels/gemm_update.h).
 * Sums run in the order of linear_bwd_weights, so p has the bits of the two ops. */
#include <stdlib.h>

#include "gemm_tiles.h"
#include "optim.h"

#define X_FLOATS ((int64_t)128 << 10)    /* most of x that is packed at once, to stay in the second-level cache ... */
#define BLOCK_FLOATS ((int64_t)64 << 10) /* ... beside a block of dw */
#define FEW_TILES 16                     /* of rows, below which threads share single rows */
#define SLACK 64                         /* floats past a packed buffer that a whole-vector store may touch */

#define LINEAR_UPDATE_FIELDS(I, D, A, T)                                                                             \
    I(T, rows) I(T, in_features) I(T, out_features) I(T, optimizer) I(T, maximize) I(T, variant)
FNN_PROBLEM(linear_update_problem, LINEAR_UPDATE_FIELDS)

enum { DY, X, P, STEP, HYPER, STATE };

typedef struct update_plan {
    gemm_plan gemm;
    int64_t mc, nc, ld; /* rows and columns of a block of dw, floats from one row of it to the next */
    int64_t tile;       /* rows that stay on one thread; columns are not shared: both would write into each page */
    int tiles;          /* whether each tile moves what it is for: SGD, and sums in one go */
} update_plan;

/* Where a thread keeps what it works on. */
typedef struct update_scratch {
    int64_t *rows;
    float *a, *b, *c;
} update_scratch;

static size_t a_bytes(const update_plan *p) {
    return fnn_round_up((size_t)(p->mc * p->gemm.kc + SLACK) * sizeof(float));
}
static size_t b_bytes(const update_plan *p) {
    return fnn_round_up((size_t)(p->nc * p->gemm.k + SLACK) * sizeof(float));
}
#define ROWS_BYTES (GEMM_MC * sizeof(int64_t))

static update_scratch cut(const update_plan *p, void *scratch) {
    char *a = (char *)scratch + ROWS_BYTES, *b = a + a_bytes(p);
    return (update_scratch){scratch, (float *)a, (float *)b, (float *)(b + b_bytes(p))};
}

static void plan_blocks(update_plan *p, const fnn_kernels *kernels) {
    const int64_t nr = kernels->gemm_nr, mr = kernels->gemm_mr, panels = gemm_max(1, p->gemm.panels);
    const int64_t room = gemm_min(X_FLOATS / gemm_max(1, p->gemm.k), BLOCK_FLOATS / mr);
    const int64_t most = gemm_max(1, room / nr), blocks = gemm_ceil_div(panels, most);
    p->nc = gemm_ceil_div(panels, blocks) * nr;
    p->ld = (gemm_ceil_div(p->nc, FNN_LINE) | 1) * FNN_LINE; /* odd: rows of a tile in sets of their own */
    p->mc = gemm_max(1, gemm_min(BLOCK_FLOATS / p->nc, gemm_min(p->gemm.m, GEMM_MC)) / mr) * mr;
}

static void describe(fnn_op *op, const char *algorithm) {
    const linear_update_problem *q = op->problem;
    const double m = (double)q->out_features, n = (double)q->in_features, k = (double)q->rows;
    const int arrays = fnn_optimizer_arrays((fnn_optimizer)q->optimizer);
    op->flops = (2.0 * k + 4.0 * arrays) * m * n;
    op->bytes = 4.0 * (k * (m + n) + 2.0 * arrays * m * n);
    op->algorithm = algorithm;
}

static fnn_status linear_update_init(fnn_op *op) {
    const linear_update_problem *q = op->problem;
    const int64_t m = q->out_features, n = q->in_features, k = q->rows;
    if (m < 0 || n < 0 || k < 0)
        return fnn_fail(op, FNN_INVALID, "expected sizes of at least 0, got %lld rows of %lld features to %lld",
                        (long long)k, (long long)n, (long long)m);
    if (q->optimizer < 0 || q->optimizer >= FNN_OPTIMIZERS)
        return fnn_fail(op, FNN_INVALID, "expected an optimizer from 0 to %d, got %lld", FNN_OPTIMIZERS - 1,
                        (long long)q->optimizer);
    update_plan *p = op->plan = malloc(sizeof *p);
    if (!p) return fnn_fail(op, FNN_NO_MEMORY, "no memory for the plan");
    fnn_gemm_plan_init(&p->gemm, op->k, GEMM_REDUCTION, 1, m, n, k);
    if (fnn_gemm_plan_tiles(&p->gemm, op->k, (gemm_order){0, 0})) {
        const int whole = !fnn_gemm_plan_taken(&p->gemm);
        op->units = fnn_gemm_units(&p->gemm);
        op->scratch_shared = whole ? (size_t)(p->gemm.chunks * m * n) * sizeof(float) : 0;
        op->scratch_thread = gemm_max(fnn_gemm_thread_bytes(&p->gemm), whole ? (size_t)n * sizeof(float) : 0);
        describe(op, "tiles");
        return FNN_OK;
    }
    plan_blocks(p, op->k);
    p->tile = gemm_ceil_div(m, op->k->gemm_mr) < FEW_TILES ? 1 : op->k->gemm_mr;
    p->tiles = q->optimizer == FNN_SGD && k <= p->gemm.kc;
    op->units = gemm_max(1, p->gemm.chunks > 1 ? fnn_gemm_units(&p->gemm) : gemm_ceil_div(m, p->tile));
    op->scratch_shared = fnn_gemm_shared_bytes(&p->gemm);
    if (p->gemm.chunks > 1)
        op->scratch_thread = gemm_max(fnn_gemm_thread_bytes(&p->gemm), (size_t)n * sizeof(float));
    else
        op->scratch_thread = ROWS_BYTES + a_bytes(p) + b_bytes(p) + (size_t)(p->mc * p->ld) * sizeof(float);
    describe(op, "by blocks");
    return FNN_OK;
}

/* Asks for what a tile of rows from i on will move, while the tile before it is computed: to read it at first use would
 * take as long as the product. The rows being whole, it is one run of memory. */
static void look_ahead(fnn_gemm_block *g, const update_plan *p, const fnn_update *u, int64_t i, int64_t i1) {
    const int64_t rows = gemm_max(0, gemm_min(g->m, i1 - i)), at = gemm_min(i, i1 - 1) * p->gemm.n;
    g->rows_first = 1;
    g->next_a = u->p + at, g->next_a_floats = rows * p->gemm.n;
    g->next_c = u->state[0] ? u->state[0] + at : g->c, g->next_c_floats = u->state[0] ? g->next_a_floats : 0;
}

/* Rows [i, i + m) of dw, of i1, by the n columns from j on that b holds, and what they move: after each tile of rows
 * where the next one's memory can be asked for meanwhile. */
static void update_block(const gemm_call *call, const update_plan *p, const fnn_update *u, const update_scratch *s,
                         int64_t i, int64_t m, int64_t i1, int64_t j, int64_t n) {
    const int64_t k = p->gemm.k, kc = p->gemm.kc;
    const int64_t step = k <= kc && n == p->gemm.n ? call->kernels->gemm_mr : m;
    fnn_gemm_block g = {.m = m, .n = n, .b = s->b, .c = s->c, .rows = s->rows, .b_panel = call->kernels->gemm_nr * k};
    for (int64_t k0 = 0; k0 == 0 || k0 < k; k0 += kc) {
        g.k = gemm_min(kc, k - k0), g.b_first = k0;
        g.a = s->a, g.add_c = k0 > 0, g.last = k0 + kc >= k;
        call->a.pack(&call->a, call->kernels, 0, i, m, k0, g.k, s->a);
        if (!g.last) call->kernels->gemm_block(&g);
    }
    for (int64_t q = 0; q < m; q += step) {
        g.m = gemm_min(step, m - q), g.a = s->a + q * g.k;
        if (step < m) look_ahead(&g, p, u, i + q + step, i1);
        call->kernels->gemm_block(&g);
        for (int64_t r = 0; r < g.m; r++)
            fnn_update_apply(u, call->kernels, (i + q + r) * p->gemm.n + j, n, s->c + s->rows[r]);
    }
}

/* Rows [i0, i1) where dw leaves the registers as the step it is for, a tile of rows after the other. Columns are packed
 * when the first tile meets them. */
static void update_tiles(const gemm_call *call, const update_plan *p, const fnn_update *u, int64_t i0, int64_t i1,
                         void *scratch) {
    const update_scratch s = cut(p, scratch);
    const int64_t mr = call->kernels->gemm_mr, nr = call->kernels->gemm_nr, k = p->gemm.k, n = p->gemm.n;
    fnn_gemm_block g = {.k = k, .b = s.b, .b_panel = nr * k, .c = s.c, .rows = s.rows, .last = 1};
    for (int64_t q = 0; q < mr; q++) s.rows[q] = q * nr;
    for (int64_t j = 0; j < n; j += p->nc) {
        g.n = gemm_min(p->nc, n - j);
        for (int64_t i = i0; i < i1; i += mr) {
            const int64_t block = (i - i0) % p->mc, at = i * n + j;
            if (block == 0) call->a.pack(&call->a, call->kernels, 0, i, gemm_min(p->mc, i1 - i), 0, k, s.a);
            g.m = gemm_min(mr, i1 - i), g.a = s.a + block * k;
            if (g.n == n) look_ahead(&g, p, u, i + mr, i1);
            const fnn_gemm_update moved = {.o = &u->o,
                                           .p = u->p + at,
                                           .buffer = u->state[0] ? u->state[0] + at : NULL,
                                           .row = n,
                                           .packed = i == i0 ? s.b : NULL,
                                           .from = call->b.data + j,
                                           .from_row = call->b.k_stride};
            call->kernels->gemm_update_sgd(&g, &moved);
        }
    }
}

/* Rows [i0, i1) of dw and of what it moves. */
static void update_rows(const gemm_call *call, const update_plan *p, const fnn_update *u, int64_t i0, int64_t i1,
                        void *scratch) {
    const update_scratch s = cut(p, scratch);
    for (int64_t q = 0; q < p->mc; q++) s.rows[q] = q * p->ld;
    for (int64_t j = 0; j < p->gemm.n && i0 < i1; j += p->nc) {
        const int64_t n = gemm_min(p->nc, p->gemm.n - j);
        call->b.pack(&call->b, call->kernels, 0, j, n, 0, p->gemm.k, s.b);
        for (int64_t i = i0; i < i1; i += p->mc) update_block(call, p, u, &s, i, gemm_min(p->mc, i1 - i), i1, j, n);
    }
}

/* Where a sum is not made in one go: its parts are added row by row. */
static void merge_and_update(const gemm_call *call, const update_plan *p, const fnn_update *u, float *row,
                             const fnn_team *team) {
    const int64_t n = p->gemm.n;
    int64_t lo, hi;
    fnn_team_wait(team);
    fnn_share(p->gemm.m, team->tid, team->n, &lo, &hi);
    for (int64_t i = lo; i < hi; i++) {
        call->kernels->conv_merge_weights(row, call->partials + i * n, p->gemm.chunks, p->gemm.m * n, 1, n, n);
        fnn_update_apply(u, call->kernels, i * n, n, row);
    }
}

/* A block of dw that left the tiles. */
typedef struct update_taker {
    const fnn_update *update;
    const fnn_kernels *kernels;
    int64_t columns;
} update_taker;

static void take(void *taker, int64_t i, int64_t m, int64_t j, int64_t n, const float *c, int64_t row) {
    const update_taker *t = taker;
    for (int64_t q = 0; q < m; q++) fnn_update_apply(t->update, t->kernels, (i + q) * t->columns + j, n, c + q * row);
}

static void linear_update_run(const fnn_op *op, void *const *buf, void *scratch, const fnn_team *team) {
    const linear_update_problem *q = op->problem;
    const update_plan *p = op->plan;
    const fnn_update u = fnn_update_of((fnn_optimizer)q->optimizer, q->maximize != 0, q->variant != 0, buf[P],
                                       buf[STEP], buf[HYPER], buf + STATE);
    const fnn_gemm_update moved = {.o = &u.o, .p = u.p, .buffer = u.state[0]};
    update_taker taker = {&u, op->k, p->gemm.n};
    const gemm_call call = {
        .plan = &p->gemm,
        .kernels = op->k,
        .a = {.pack = fnn_gemm_pack_strided_a, .data = buf[DY], .stride = 1, .k_stride = q->out_features},
        .b = {.pack = fnn_gemm_pack_strided_b, .data = buf[X], .stride = 1, .k_stride = q->in_features},
        .rows = gemm_plain_rows(p->gemm.n),
        .c = scratch,
        .partials = scratch,
        .take = p->gemm.taken ? take : NULL,
        .taker = &taker,
        .update = p->gemm.taken && q->optimizer == FNN_SGD ? &moved : NULL,
    };
    void *mine = fnn_thread_scratch(op, scratch, team->tid);
    if (p->gemm.taken) {
        fnn_gemm_run_tiles(&call, mine, team);
    } else if (p->gemm.tiles || p->gemm.chunks > 1) {
        fnn_gemm_run(op, &call, scratch, team);
        merge_and_update(&call, p, &u, mine, team);
    } else {
        int64_t lo, hi;
        fnn_share(gemm_ceil_div(p->gemm.m, p->tile), team->tid, team->n, &lo, &hi);
        const int64_t i0 = lo * p->tile, i1 = gemm_min(p->gemm.m, hi * p->tile);
        if (p->tiles)
            update_tiles(&call, p, &u, i0, i1, mine);
        else
            update_rows(&call, p, &u, i0, i1, mine);
    }
    fnn_update_count(buf[STEP], team);
}

FNN_OP_CLASS(linear_update, linear_update_problem, "dy x p step hyper ?state0 ?state1 ?state2", linear_update_init,
             linear_update_run);
