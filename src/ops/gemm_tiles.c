/* See gemm_tiles.h. */
#include "gemm_tiles.h"

#include <math.h>

#include "gemm_finish.h"

#define SIDE (2 * FNN_TILE)                  /* rows or columns that stream at a time */
#define RESIDENT_VALUES ((int64_t)160 << 10) /* most values of the resident side: 1 MB of the second-level cache */
#define RESIDENT 256                         /* rows or columns that may be resident however long k is */
#define MOST_K 1024                          /* of a block: beyond, storing C no longer matters */
#define LEAST 32                             /* rows, columns and k: with fewer, most of a tile would be padding */

/* Cycles, as the estimates of convolutions count them: a multiply-add on tiles; what a square and a value of C take
 * beside theirs; a value that is split, where neighbours in memory lie along k and where they do not; a multiply-add by
 * vectors, and a value packed for them. */
#define MULTIPLY 0.0185
#define SQUARE 500.0
#define STORE 0.3
#define SPLIT_ALONG 0.65
#define SPLIT_ACROSS 0.8
#define VECTOR_MULTIPLY (1 / 32.0 / 0.95)
#define VECTOR_PACK_ALONG 0.08
#define VECTOR_PACK 0.33

static int64_t padded(int64_t n, int64_t unit) { return gemm_ceil_div(n, unit) * unit; }

static double split(int along) { return along ? SPLIT_ALONG : SPLIT_ACROSS; }

/* How many chunks so many rows or columns make, of which one at a time is resident. */
static int64_t resident_chunks(int64_t lines, int64_t k) {
    return gemm_ceil_div(lines, gemm_max(RESIDENT, RESIDENT_VALUES / padded(k, FNN_TILE_K) / SIDE * SIDE));
}

/* Cycles that splitting takes where rows stream, or columns do. What is resident counts twice, unless it is in chunks:
 * each thread splits it, before it multiplies anything. */
static double splits(gemm_order order, int rows_stream, int64_t m, int64_t n, int64_t k) {
    const double a = (double)m * split(order.a_along_k), b = (double)n * split(order.b_along_k);
    const double chunks_a = (double)resident_chunks(m, k), chunks_b = (double)resident_chunks(n, k);
    const double all_a = chunks_a > 1 ? a : 2 * a, all_b = chunks_b > 1 ? b : 2 * b;
    return (double)k * (rows_stream ? all_b + a * chunks_b : all_a + b * chunks_a);
}

double fnn_gemm_tile_cycles(const fnn_kernels *kernels, gemm_order order, int64_t m, int64_t n, int64_t k) {
    if (!kernels->tiles || m < LEAST || n < LEAST || k < LEAST) return HUGE_VAL;
    const double products = (double)padded(m, FNN_TILE) * (double)padded(n, FNN_TILE) * (double)padded(k, FNN_TILE_K);
    const double squares = (double)gemm_ceil_div(m, SIDE) * (double)gemm_ceil_div(n, SIDE);
    return products * MULTIPLY + squares * (double)gemm_ceil_div(k, MOST_K) * SQUARE + STORE * (double)(m * n) +
           fmin(splits(order, 0, m, n, k), splits(order, 1, m, n, k));
}

static double vector_cycles(const fnn_kernels *kernels, gemm_order order, int64_t m, int64_t n, int64_t k) {
    const double pack = order.a_along_k && order.b_along_k ? VECTOR_PACK_ALONG : VECTOR_PACK;
    return (double)m * (double)padded(n, kernels->vl) * (double)k * VECTOR_MULTIPLY +
           pack * (double)k * (double)(m + n);
}

int fnn_gemm_takes_tiles(const fnn_kernels *kernels, gemm_order order, int64_t m, int64_t n, int64_t k) {
    return fnn_gemm_tile_cycles(kernels, order, m, n, k) < vector_cycles(kernels, order, m, n, k);
}

static void lay_out(gemm_plan *p, int by_rows) {
    p->tiles = 1, p->shared = p->turned = p->swapped = 0, p->group = 0, p->by_rows = by_rows;
    const int64_t resident = by_rows ? p->n : p->m, streaming = by_rows ? p->m : p->n;
    const int64_t chunks = resident_chunks(resident, gemm_ceil_div(p->k, p->chunks));
    p->mc = padded(gemm_ceil_div(resident, chunks), FNN_TILE);
    const int64_t most = gemm_min(MOST_K, RESIDENT_VALUES / p->mc), k = gemm_ceil_div(p->k, p->chunks);
    p->kc = padded(gemm_ceil_div(k, gemm_ceil_div(k, most)), FNN_TILE_K);
    p->chunk_k = padded(k, p->kc);
    p->chunks = gemm_ceil_div(p->k, p->chunk_k);
    p->panels = gemm_ceil_div(streaming, SIDE);
    p->units_per_batch = p->panels * gemm_ceil_div(resident, p->mc);
}

int fnn_gemm_plan_tiles(gemm_plan *p, const fnn_kernels *kernels, gemm_order order) {
    if (p->batch == 0 || !fnn_gemm_takes_tiles(kernels, order, p->m, p->n, p->k)) return 0;
    lay_out(p, splits(order, 1, p->m, p->n, p->k) < splits(order, 0, p->m, p->n, p->k));
    return 1;
}

int fnn_gemm_plan_tiles_along(gemm_plan *p, const fnn_kernels *kernels) {
    const gemm_order along = {1, 1};
    if (!fnn_gemm_plan_tiles(p, kernels, along)) return 0;
    p->swapped = !p->by_rows;
    return 1;
}

int fnn_gemm_plan_taken(gemm_plan *p) {
    if (!p->tiles || p->chunks > 1 || p->k > RESIDENT_VALUES / RESIDENT) return 0;
    lay_out(p, 1);
    p->taken = 1;
    return 1;
}

int64_t fnn_gemm_tile_units(const gemm_plan *p) {
    return p->taken ? p->panels : p->units_per_batch * p->batch * p->chunks;
}

static size_t panel_bytes(const gemm_plan *p, int64_t rows) {
    return (size_t)(gemm_ceil_div(rows, FNN_TILE) * (p->kc / FNN_TILE_K) * FNN_TILE_STEP) * sizeof(uint16_t);
}

/* Where a thread keeps what it works on: a block's rows of C, where the lines of operands begin, the resident panels,
 * and those that stream, in turn. */
typedef struct tile_scratch {
    int64_t *rows;
    const float **resident_line, **line[2];
    uint16_t *resident, *streaming[2];
    float *taken; /* where blocks of C are made that a taker wants */
} tile_scratch;

static size_t side_bytes(int64_t count) { return fnn_round_up((size_t)count * sizeof(int64_t)); }

/* An odd number of lines: rows of a square in sets of their own. */
static int64_t taken_row(const gemm_plan *p) { return (gemm_ceil_div(p->mc, FNN_LINE) | 1) * FNN_LINE; }

size_t fnn_gemm_tile_bytes(const gemm_plan *p) {
    return side_bytes(gemm_max(p->mc, SIDE)) + side_bytes(p->mc) + 2 * side_bytes(SIDE) + panel_bytes(p, p->mc) +
           2 * panel_bytes(p, SIDE) + (p->taken ? (size_t)(SIDE * taken_row(p)) * sizeof(float) : 0);
}

static tile_scratch cut(const gemm_plan *p, void *scratch) {
    tile_scratch s;
    char *at = scratch;
    s.rows = (int64_t *)at, at += side_bytes(gemm_max(p->mc, SIDE));
    s.resident_line = (const float **)at, at += side_bytes(p->mc);
    for (int i = 0; i < 2; i++) s.line[i] = (const float **)at, at += side_bytes(SIDE);
    s.resident = (uint16_t *)at, at += panel_bytes(p, p->mc);
    for (int i = 0; i < 2; i++) s.streaming[i] = (uint16_t *)at, at += panel_bytes(p, SIDE);
    s.taken = (float *)at;
    return s;
}

/* ---- operands ------------------------------------------------------------------------------------------- */

/* What a thread does at a time: a chunk of k of one batch, a chunk of the resident side, some of the streaming one. */
typedef struct tile_region {
    int64_t chunk, batch, resident, resident_end, streaming, streaming_end;
} tile_region;

/* Rows [first, first + count) of A, or columns of B, over k values from k0, as they go into the tiles. */
static fnn_tile_side side_of(const gemm_call *call, int of_a, int64_t batch, int64_t first, int64_t count, int64_t k0,
                             int64_t k, const float **line, uint16_t *dst) {
    const gemm_source *s = of_a ? &call->a : &call->b;
    const int across = s->k_stride != 1, rows = of_a != call->plan->swapped;
    for (int64_t i = 0; i < (across ? 1 : count); i++)
        line[i] = fnn_gemm_row_of(s, batch, first + i) + k0 * s->k_stride;
    return (fnn_tile_side){.kind = rows ? (across ? FNN_TILE_ROWS_ACROSS : FNN_TILE_ROWS)
                                        : (across ? FNN_TILE_COLUMNS_ACROSS : FNN_TILE_COLUMNS),
                           .count = count,
                           .k = k,
                           .step = s->k_stride,
                           .line = line,
                           .finish = s->finished ? s->gather : NULL,
                           .channel = batch * s->batch_stride + k0,
                           .dst = dst,
                           .panel = gemm_ceil_div(k, FNN_TILE_K) * FNN_TILE_STEP};
}

/* ---- run ------------------------------------------------------------------------------------------------ */

static fnn_tile_block block_of(const gemm_call *call, const tile_region *r, const int64_t *rows) {
    const gemm_plan *p = call->plan;
    const int64_t at = r->batch * call->c_batch;
    fnn_tile_block g = {.c = call->c + at, .rows = rows, .activation = call->activation, .slope = call->slope};
    if (p->chunks > 1) g.c = call->partials + (r->chunk * p->batch + r->batch) * p->m * p->n;
    if (call->bias) g.bias = call->bias + r->batch * p->n;
    if (call->residual) g.residual = call->residual + at;
    if (call->late_sum) g.late_sum = call->late_sum + at;
    if (call->late_gate) g.late_gate = call->late_gate + at;
    return g;
}

static void move_to_column(fnn_tile_block *g, int64_t j) {
    g->c += j;
    if (g->bias) g->bias += j;
    if (g->residual) g->residual += j;
    if (g->late_sum) g->late_sum += j;
    if (g->late_gate) g->late_gate += j;
}

/* After the last block along k, where C's block is still near. */
static void finish(const gemm_call *call, const fnn_tile_block *g, int64_t i, int64_t j) {
    if (!g->last || g->turned) return; /* turned: of linear layers, which have neither */
    fnn_gemm_finish_silu(call, g->m, g->n, g->c, g->rows, 0);
    if (call->rows.zeros && j == 0) fnn_gemm_fill_zeros(call, i, g->m, g->rows);
}

/* A region's values [k0, k0 + k): the next streaming panels are split while these are multiplied. */
static void run_block(const gemm_call *call, const tile_region *r, const tile_scratch *s, int64_t k0, int64_t k,
                      const fnn_tile_block *whole) {
    const gemm_plan *p = call->plan;
    const fnn_tiles *tiles = call->kernels->tiles;
    const gemm_rows plain = gemm_plain_rows(p->n), *c_rows = p->chunks > 1 ? &plain : &call->rows;
    const int64_t held = r->resident_end - r->resident;
    const fnn_tile_side resident = side_of(call, !p->by_rows, r->batch, r->resident, held, k0, k, s->resident_line,
                                           s->resident);
    tiles->split(&resident);
    fnn_tile_side side[2];
    int now = 0;
    for (int64_t at = r->streaming; at < r->streaming_end; at += SIDE, now = !now) {
        const int64_t count = gemm_min(SIDE, r->streaming_end - at), after = r->streaming_end - at - SIDE;
        if (at == r->streaming) {
            side[now] = side_of(call, p->by_rows, r->batch, at, count, k0, k, s->line[now], s->streaming[now]);
            tiles->split(&side[now]);
        }
        if (after > 0)
            side[!now] = side_of(call, p->by_rows, r->batch, at + SIDE, gemm_min(SIDE, after), k0, k, s->line[!now],
                                 s->streaming[!now]);
        const int64_t i = p->by_rows ? at : r->resident, j = p->by_rows ? r->resident : at;
        fnn_tile_block g = *whole;
        move_to_column(&g, j);
        const int first = p->by_rows || p->swapped; /* what streams is the first operand */
        g.m = first ? count : held, g.n = first ? held : count, g.turned = p->swapped;
        g.a = first ? side[now].dst : resident.dst, g.b = first ? resident.dst : side[now].dst;
        g.a_panel = g.b_panel = resident.panel;
        g.next = after > 0 ? &side[!now] : NULL;
        if (call->update) {
            const fnn_gemm_update moved = {.o = call->update->o,
                                           .p = call->update->p + i * p->n + j,
                                           .buffer = call->update->buffer ? call->update->buffer + i * p->n + j
                                                                          : NULL,
                                           .row = p->n};
            g.update = &moved;
            tiles->block(&g);
            continue;
        }
        if (call->take) {
            const gemm_rows made = gemm_plain_rows(taken_row(p));
            g.c = s->taken;
            fnn_gemm_fill_rows(&made, 0, g.m, s->rows);
            tiles->block(&g);
            call->take(call->taker, i, g.m, j, g.n, s->taken, taken_row(p));
            continue;
        }
        if (p->by_rows || at == r->streaming) fnn_gemm_fill_rows(c_rows, i, p->by_rows ? count : held, s->rows);
        tiles->block(&g);
        finish(call, &g, i, j);
    }
}

static void run_region(const gemm_call *call, const tile_region *r, const tile_scratch *s) {
    const gemm_plan *p = call->plan;
    const int64_t first = r->chunk * p->chunk_k, end = gemm_min(p->k, first + p->chunk_k);
    fnn_tile_block g = block_of(call, r, s->rows);
    for (int64_t k0 = first; k0 < end; k0 += p->kc) {
        const int64_t k = gemm_min(p->kc, end - k0);
        g.steps = gemm_ceil_div(k, FNN_TILE_K);
        g.add_c = (call->accumulate && p->chunks == 1) || k0 > first;
        g.last = p->chunks == 1 && k0 + p->kc >= end;
        run_block(call, r, s, k0, k, &g);
    }
}

/* Runs of units [lo, hi): of one chunk of k, one batch and one resident chunk after the other. */
static void run_units(const gemm_call *call, int64_t lo, int64_t hi, const tile_scratch *scratch) {
    const gemm_plan *p = call->plan;
    const int64_t side = p->by_rows ? p->n : p->m, other = p->by_rows ? p->m : p->n;
    for (int64_t u = lo, next; u < hi; u = next) {
        const int64_t run = u / p->panels, first = u % p->panels, chunks = p->units_per_batch / p->panels;
        next = gemm_min(hi, (run + 1) * p->panels);
        const int64_t at = run % chunks * p->mc, entry = run / chunks;
        const tile_region r = {.chunk = entry / p->batch,
                               .batch = entry % p->batch,
                               .resident = at,
                               .resident_end = gemm_min(side, at + p->mc),
                               .streaming = first * SIDE,
                               .streaming_end = gemm_min(other, (first + next - u) * SIDE)};
        run_region(call, &r, scratch);
    }
}

void fnn_gemm_run_tiles(const gemm_call *call, void *thread_scratch, const fnn_team *team) {
    const gemm_plan *p = call->plan;
    const tile_scratch scratch = cut(p, thread_scratch);
    int64_t lo, hi;
    call->kernels->tiles->begin();
    if (p->taken) { /* whole rows of parameters for each thread: those that it reads in the forward */
        fnn_share(p->panels, team->tid, team->n, &lo, &hi);
        for (int64_t first = 0; first < p->units_per_batch && lo < hi; first += p->panels)
            run_units(call, first + lo, first + hi, &scratch);
    } else {
        fnn_share(fnn_gemm_tile_units(p), team->tid, team->n, &lo, &hi);
        run_units(call, lo, hi, &scratch);
    }
    call->kernels->tiles->end();
}
