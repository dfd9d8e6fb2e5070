/* See gemm_core.h. */
#include "gemm_finish.h"
#include "gemm_once.h"
#include "gemm_tiles.h"

#define SHARED_FLOATS ((int64_t)4 << 20)       /* most of B that is packed at once: 16 MB */
#define PARTIAL_FLOATS ((int64_t)16 << 20)     /* most that chunks of k may hold */
#define FEW_ROW_TILES 16                       /* below, threads share columns if there are more of them */
#define FEW_UNITS 4                            /* units a thread, below which they share columns at run time */
#define ENOUGH_UNITS 64                        /* pieces of C below which a long k is cut as well ... */
#define CHUNK_K 1024                           /* ... into pieces at least this long */
#define IN_PLACE_PANELS 4                      /* panels of B from which on packing rows of A pays */
#define IN_PLACE_STEP 512                      /* most floats from k to k that the prefetchers follow */
#define ROWS_FIRST_FLOATS ((int64_t)256 << 10) /* most of B that stays in the second-level cache beside the rest */
#define GROUP_PANELS 4                         /* least panels in a group of columns, where there are so many */
#define GROUP_ROWS 1024                        /* least rows that meet a group where there are several */
#define TURNED_RATIO 1.5                       /* least rows a column of a product that is turned, and its least k */
#define TURNED_K 64
#define TURNED_ROWS 112         /* of a block of it: whole tiles and whole vectors at the widest level */
#define ROWS_FIRST_PACKED 16384 /* floats of A packed at a time then */
#define ALIASING_FLOATS 1024    /* rows this far apart share a set of the first-level cache */
#define SHORT_K 128             /* up to which storing C matters: its rows are better written from end to end */

/* ---- operands ------------------------------------------------------------------------------------------- */

void fnn_gemm_pack_strided_a(const gemm_source *s, const fnn_kernels *kernels, int64_t batch, int64_t first,
                             int64_t count, int64_t k0, int64_t k, float *dst) {
    const float *src = fnn_gemm_row_of(s, batch, first) + k0 * s->k_stride;
    kernels->pack_rows(dst, src, s->stride, s->k_stride, count, k);
}

void fnn_gemm_pack_strided_b(const gemm_source *s, const fnn_kernels *kernels, int64_t batch, int64_t first,
                             int64_t count, int64_t k0, int64_t k, float *dst) {
    const float *src = s->data + batch * s->batch_stride + first * s->stride + k0 * s->k_stride;
    kernels->pack_columns(dst, src, s->k_stride, s->stride, count, k);
}

void fnn_gemm_pack_gather_a(const gemm_source *s, const fnn_kernels *kernels, int64_t batch, int64_t first,
                            int64_t count, int64_t k0, int64_t k, float *dst) {
    const int64_t channel = batch * s->batch_stride;
    kernels->conv_pack_rows(s->gather, s->data + channel, channel, first, count, k0, k, dst);
}

void fnn_gemm_pack_gather_b(const gemm_source *s, const fnn_kernels *kernels, int64_t batch, int64_t first,
                            int64_t count, int64_t k0, int64_t k, float *dst) {
    const int64_t channel = batch * s->batch_stride;
    kernels->conv_pack_taps(s->gather, s->data + channel, channel, first, count, k0, k, dst);
}

/* Whole columns only: k0 = 0 and k = n_taps * channels. */
void fnn_gemm_pack_weights_b(const gemm_source *s, const fnn_kernels *kernels, int64_t batch, int64_t first,
                             int64_t count, int64_t k0, int64_t k, float *dst) {
    (void)k0, (void)k;
    kernels->conv_pack_weights(dst, s->data + batch * s->batch_stride + first * s->stride, s->stride, s->k_stride,
                               s->channels, s->tap, s->n_taps, count);
}

/* The same where the taps are all that there are, and filters adjoin. */
void fnn_gemm_pack_filters_b(const gemm_source *s, const fnn_kernels *kernels, int64_t batch, int64_t first,
                             int64_t count, int64_t k0, int64_t k, float *dst) {
    const int64_t nr = kernels->gemm_nr;
    const float *w = s->data + batch * s->batch_stride + first * s->stride;
    (void)k0;
    for (int64_t j = 0; j < count; j += nr, w += nr * s->stride)
        kernels->conv_strip_weights(s->filters, w, gemm_min(nr, count - j), dst + j * k);
}

/* ---- plan ----------------------------------------------------------------------------------------------- */

void fnn_gemm_plan_init(gemm_plan *p, const fnn_kernels *kernels, gemm_mode mode, int64_t batch, int64_t m, int64_t n,
                        int64_t k) {
    const int64_t row_tiles = gemm_ceil_div(m, kernels->gemm_mr), panels = gemm_ceil_div(n, kernels->gemm_nr);
    const int64_t blocks = gemm_max(1, gemm_ceil_div(k, kernels->gemm_kc));
    *p = (gemm_plan){.m = m, .n = n, .k = k, .batch = batch, .chunks = 1, .mc = GEMM_MC};
    p->kc = gemm_max(4, gemm_ceil_div(gemm_ceil_div(k, blocks), 4) * 4);
    p->by_rows = row_tiles >= panels;
    p->shared = mode == GEMM_FREE ? batch == 1 && (p->by_rows || row_tiles >= FEW_ROW_TILES) : mode != GEMM_REDUCTION;
    p->row_unit = mode == GEMM_STATISTICS ? GEMM_MC : kernels->gemm_mr;
    const int64_t fit = SHARED_FLOATS / gemm_max(1, k * batch) / kernels->gemm_nr;
    p->nc = gemm_min(gemm_max(1, panels), gemm_max(1, fit)) * kernels->gemm_nr;
    p->panels = panels;
    const int64_t split = p->by_rows ? row_tiles : panels;
    if (mode == GEMM_REDUCTION) {
        const int64_t wanted = gemm_ceil_div(ENOUGH_UNITS, gemm_max(1, split * batch));
        const int64_t room = PARTIAL_FLOATS / gemm_max(1, m * n * batch);
        p->chunks = gemm_max(1, gemm_min(gemm_min(wanted, k / CHUNK_K), room));
    }
    p->chunk_k = gemm_ceil_div(gemm_ceil_div(gemm_max(1, k), p->chunks), p->kc) * p->kc;
    p->chunks = gemm_max(1, gemm_ceil_div(k, p->chunk_k));
    p->units_per_batch = p->shared ? gemm_ceil_div(m, p->row_unit) : split;
}

/* 0: too few columns or rows at a time for what reading A or B once more costs. */
int64_t fnn_gemm_group(const fnn_kernels *kernels, int64_t m, int64_t n, int64_t k) {
    const int64_t nr = kernels->gemm_nr, panels = gemm_max(1, gemm_ceil_div(n, nr));
    const int64_t fit = ROWS_FIRST_FLOATS / gemm_max(1, k) / nr, groups = gemm_ceil_div(panels, gemm_max(1, fit));
    const int few = fit < gemm_min(panels, GROUP_PANELS) || (groups > 1 && m < GROUP_ROWS);
    if (k == 0 || few) return 0;
    return gemm_ceil_div(panels, groups) * nr;
}

void fnn_gemm_plan_rows(gemm_plan *p, const fnn_kernels *kernels) {
    p->group = p->shared ? fnn_gemm_group(kernels, p->m, p->n, p->k) : 0;
    if (!p->group) return;
    p->kc = p->k;
    if (p->row_unit == GEMM_MC) return;
    const int64_t mr = kernels->gemm_mr;
    p->mc = gemm_max(mr, gemm_min(GEMM_MC, ROWS_FIRST_PACKED / p->k) / mr * mr);
}

int fnn_gemm_plan_turned(gemm_plan *p, const fnn_kernels *kernels, int64_t m, int64_t n, int64_t k) {
    if ((double)m < TURNED_RATIO * (double)n || k < TURNED_K || !fnn_gemm_group(kernels, m, n, k)) return 0;
    fnn_gemm_plan_init(p, kernels, GEMM_SHARED, 1, m, n, k);
    fnn_gemm_plan_rows(p, kernels);
    p->turned = 1;
    return 1;
}

void fnn_gemm_plan_filters(gemm_plan *p, const fnn_kernels *kernels, int64_t m, int64_t n, int64_t k) {
    const int64_t mr = kernels->gemm_mr;
    fnn_gemm_plan_init(p, kernels, GEMM_SHARED, 1, m, n, k);
    p->group = p->panels * kernels->gemm_nr, p->kc = k, p->turned = 1;
    p->mc = gemm_max(mr, gemm_min(GEMM_MC, ROWS_FIRST_PACKED / k) / mr * mr);
}

int64_t fnn_gemm_units(const gemm_plan *p) {
    if (p->tiles) return fnn_gemm_tile_units(p);
    const int64_t units = p->units_per_batch * p->batch * p->chunks;
    return p->shared && units > 0 ? gemm_max(units, p->panels) : units; /* few rows: columns are shared instead */
}

size_t fnn_gemm_shared_bytes(const gemm_plan *p) {
    if (p->shared) return (size_t)(p->batch * p->nc * p->k) * sizeof(float);
    return p->chunks > 1 ? (size_t)(p->chunks * p->batch * p->m * p->n) * sizeof(float) : 0;
}

#define ROWS_BYTES (GEMM_MC * sizeof(int64_t))
#define SLACK 64 /* floats past a packed buffer that a whole-vector store may touch */

static size_t block_a_bytes(const gemm_plan *p) {
    return fnn_round_up((size_t)(p->mc * (p->kc + FNN_LINE) + SLACK) * sizeof(float));
}

static int64_t turned_floats(const gemm_plan *p) {
    return p->turned ? TURNED_ROWS * gemm_ceil_div(p->group, FNN_LINE) * FNN_LINE : 0;
}

size_t fnn_gemm_thread_bytes(const gemm_plan *p) {
    if (p->tiles) return fnn_gemm_tile_bytes(p);
    const size_t b = (size_t)(p->shared ? turned_floats(p) : GEMM_NC * p->kc + SLACK) * sizeof(float);
    return ROWS_BYTES + block_a_bytes(p) + b;
}

/* ---- run ------------------------------------------------------------------------------------------------ */

/* Rows of a block of A, so that a range of rows falls into blocks of about one size: a short last one would read all
 * of B for little. */
static int64_t block_rows(const gemm_call *call, int64_t rows) {
    const int64_t mr = call->kernels->gemm_mr, blocks = gemm_max(1, gemm_ceil_div(rows, call->plan->mc));
    return call->statistics ? GEMM_MC : gemm_ceil_div(gemm_ceil_div(rows, blocks), mr) * mr;
}

/* What is the same for all blocks of one batch entry's columns from j0. */
static fnn_gemm_block block_of(const gemm_call *call, int64_t batch, int64_t j0, const int64_t *rows) {
    const int64_t at = batch * call->c_batch + j0;
    fnn_gemm_block g = {.c = call->c + at, .rows = rows, .activation = call->activation, .slope = call->slope};
    g.next_a = g.next_c = g.c;
    if (call->bias) g.bias = call->bias + batch * call->plan->n + j0;
    if (call->residual) g.residual = call->residual + at;
    return g;
}

/* Whether rows of A are read where they are: packing them costs the more, the fewer columns there are. Rows that
 * share a set of the cache push each other out between two panels. */
static int in_place(const gemm_call *call, int64_t columns) {
    const gemm_source *a = &call->a;
    const int64_t nr = call->kernels->gemm_nr;
    if (a->pack != fnn_gemm_pack_strided_a || a->finished) return 0;
    if (call->plan->group) return columns <= nr || a->stride % ALIASING_FLOATS != 0;
    if (columns >= IN_PLACE_PANELS * nr) return 0;
    if (a->stride == 1 && a->k_stride > 1) return a->k_stride <= IN_PLACE_STEP;
    return a->k_stride == 1 && (columns <= nr || a->stride % ALIASING_FLOATS != 0);
}

/* Points the block at rows [i, i + g->m) of A over g->k values from k0, or packs them into a. */
static void place_a(const gemm_call *call, fnn_gemm_block *g, int64_t batch, int64_t i, int64_t k0, float *a) {
    const gemm_source *s = &call->a;
    if (in_place(call, g->n)) {
        const int by_rows = s->k_stride == 1;
        g->a = fnn_gemm_row_of(s, batch, i) + k0 * s->k_stride;
        g->a_row = by_rows ? s->stride : 0, g->a_step = by_rows ? 0 : s->k_stride;
        return;
    }
    g->a = a, g->a_row = g->a_step = 0;
    if (s->finished) {
        g->a_row = g->k % ALIASING_FLOATS ? g->k : g->k + FNN_LINE;
        g->finish = s->gather, g->made = a, g->channel = batch * s->batch_stride + k0;
        g->raw = fnn_gemm_row_of(s, batch, i) + k0, g->raw_row = s->stride;
        return;
    }
    s->pack(s, call->kernels, batch, i, g->m, k0, g->k, a);
}

/* Tells the kernel which part of A follows: m rows from i, k values from k0. */
static void look_ahead(const gemm_call *call, fnn_gemm_block *g, int64_t batch, int64_t i, int64_t m, int64_t k0,
                       int64_t k) {
    const gemm_source *a = &call->a;
    g->soon = NULL;
    if (a->pack != fnn_gemm_pack_strided_a || m <= 0 || k <= 0 || (a->stride != 1 && a->k_stride != 1)) return;
    const int by_rows = a->k_stride == 1;
    g->soon = fnn_gemm_row_of(a, batch, i) + k0 * a->k_stride;
    g->soon_lines = by_rows ? m : k, g->soon_floats = by_rows ? k : m;
    g->soon_stride = by_rows ? a->stride : a->k_stride;
}

void fnn_gemm_pack_shared(const gemm_call *call, int64_t j0, int64_t n, float *b, const fnn_team *team) {
    const gemm_plan *p = call->plan;
    const int64_t nr = call->kernels->gemm_nr, panels = gemm_ceil_div(n, nr);
    int64_t lo, hi;
    fnn_share(panels * p->batch, team->tid, team->n, &lo, &hi);
    const int64_t most = call->b.pack == fnn_gemm_pack_strided_b ? panels : 1; /* panels at a time */
    for (int64_t u = lo, next; u < hi; u = next) {
        const int64_t batch = u / panels, first = u % panels, j = first * nr;
        next = gemm_min(hi, u + gemm_min(most, panels - first));
        const int64_t count = gemm_min((next - u) * nr, n - j);
        call->b.pack(&call->b, call->kernels, batch, j0 + j, count, 0, p->k, b + u * nr * p->k);
    }
}

/* Where the statistics of the block of rows from i go. */
static void point_at_statistics(const gemm_call *call, fnn_gemm_block *g, int64_t batch, int64_t i, int64_t j0) {
    const gemm_plan *p = call->plan;
    const int64_t columns = p->batch * p->n;
    if (!call->statistics) return;
    g->mean = call->statistics + i / GEMM_MC * 2 * columns + batch * p->n + j0;
    g->m2 = g->mean + columns;
}

/* What is left to do with a block of C, which is still near: SiLU, the late sum and gate. */
static void finish_block(const gemm_call *call, const fnn_gemm_block *g) {
    fnn_gemm_finish_silu(call, g->m, g->n, g->c, g->rows, 0);
    if (!call->late_sum && !call->late_gate) return;
    const int64_t first = g->c - call->c;
    for (int64_t i = 0; i < g->m; i++) {
        const int64_t at = first + g->rows[i];
        call->kernels->sum_and_gate(call->c + at, call->late_sum ? call->late_sum + at : NULL,
                                    call->late_gate ? call->late_gate + at : NULL, g->n);
    }
}

/* Rows [i0, i1) of one batch entry by columns [j0, j0 + n) of its packed B; C's block stays in the L2 along k. */
static void shared_panels(const gemm_call *call, int64_t batch, int64_t i0, int64_t i1, int64_t j0, int64_t n,
                          const float *b, void *thread_scratch) {
    const gemm_plan *p = call->plan;
    int64_t *rows = thread_scratch;
    float *a = (float *)((char *)thread_scratch + ROWS_BYTES);
    fnn_gemm_block g = block_of(call, batch, j0, rows);
    g.n = n, g.b = b, g.b_panel = call->kernels->gemm_nr * p->k;
    const int64_t mc = block_rows(call, i1 - i0);
    for (int64_t i = i0; i < i1; i += mc) {
        g.m = gemm_min(mc, i1 - i);
        fnn_gemm_fill_rows(&call->rows, i, g.m, rows);
        point_at_statistics(call, &g, batch, i, j0);
        for (int64_t k0 = 0; k0 == 0 || k0 < p->k; k0 += p->kc) {
            g.k = gemm_min(p->kc, p->k - k0), g.b_first = k0;
            g.add_c = call->accumulate || k0 > 0, g.last = k0 + p->kc >= p->k;
            if (!g.last)
                look_ahead(call, &g, batch, i, g.m, k0 + p->kc, gemm_min(p->kc, p->k - k0 - p->kc));
            else
                look_ahead(call, &g, batch, i + mc, gemm_min(mc, i1 - i - mc), 0, gemm_min(p->kc, p->k));
            place_a(call, &g, batch, i, k0, a);
            g.rows_first = g.k <= SHORT_K;
            call->kernels->gemm_block(&g);
        }
        finish_block(call, &g);
        if (call->rows.zeros && j0 == 0) fnn_gemm_fill_zeros(call, i, g.m, rows);
    }
}

/* Rows of the block that begins at row i, when rows come first: to the end of a line where lines are apart. */
static int64_t rows_first_block(const gemm_call *call, int64_t i, int64_t i1, int64_t mc) {
    const int64_t line = call->a.line_rows ? call->a.line_rows : call->rows.zeros ? call->rows.grid_w : 0;
    const int64_t m = gemm_min(mc, i1 - i);
    return line ? gemm_min(m, line - i % line) : m;
}

/* Asks for what follows m rows from i: the rows of A and C after each tile where they touch each other, else A's next
 * block piece by piece. */
static void rows_ahead(const gemm_call *call, fnn_gemm_block *g, int64_t batch, int64_t i, int64_t i1, int64_t mc) {
    const gemm_source *a = &call->a;
    const int64_t mr = call->kernels->gemm_mr, m = g->m, tiles = gemm_ceil_div(m, mr);
    const int64_t next = gemm_min(i + (g->a_row ? mr : m), i1 - 1);
    g->soon = NULL, g->next_a_floats = g->next_c_floats = 0;
    g->next_a = fnn_gemm_row_of(a, batch, next), g->next_c = g->c;
    if (a->stride == g->k && !a->line_rows)
        g->next_a_floats = mr * g->k;
    else if (i + m < i1)
        look_ahead(call, g, batch, i + m, rows_first_block(call, i + m, i1, mc), 0, g->k);
    if (call->rows.zeros) {
        g->next_c = g->c + g->rows[m - 1] + call->rows.stride_w;
        g->next_c_floats = gemm_ceil_div(gemm_max(call->rows.stride_h, m * call->rows.stride_w), tiles);
    } else if (call->rows.stride_w == g->n && !call->plan->turned) {
        g->next_c = g->c + g->rows[0] + mr * g->n, g->next_c_floats = mr * g->n;
    }
}

/* A block of C whose transpose is wanted leaves scratch. */
static void turn_block(const gemm_call *call, const fnn_gemm_block *g, int64_t i, int64_t j0) {
    const int64_t at = j0 * call->turned_row + i;
    const fnn_gemm_turn turn = {.rows = g->m,
                                .columns = g->n,
                                .src = g->c,
                                .src_row = g->rows[1] - g->rows[0],
                                .dst = call->c + at,
                                .dst_row = call->turned_row,
                                .add = call->accumulate,
                                .bias = call->bias ? call->bias + i : NULL,
                                .residual = call->residual ? call->residual + at : NULL,
                                .activation = call->activation,
                                .slope = call->slope};
    call->kernels->gemm_turn(&turn);
}

/* The same where B stays in the L2. */
static void shared_row_tiles(const gemm_call *call, int64_t batch, int64_t i0, int64_t i1, int64_t j0, int64_t n,
                             const float *b, void *thread_scratch) {
    const gemm_plan *p = call->plan;
    int64_t *rows = thread_scratch;
    float *a = (float *)((char *)thread_scratch + ROWS_BYTES), *turned = (float *)((char *)a + block_a_bytes(p));
    fnn_gemm_block g = block_of(call, batch, j0, rows);
    g.n = n, g.k = p->k, g.b = b, g.b_panel = call->kernels->gemm_nr * p->k;
    g.rows_first = 1, g.add_c = call->accumulate, g.last = 1;
    if (p->turned) {
        g.c = turned, g.bias = g.residual = NULL, g.add_c = g.last = 0;
        for (int64_t i = 0; i < TURNED_ROWS; i++) rows[i] = i * (gemm_ceil_div(n, FNN_LINE) * FNN_LINE);
    }
    const int64_t most = p->turned ? TURNED_ROWS : GEMM_MC,
                  mc = in_place(call, n) || call->a.finished ? most : gemm_min(most, p->mc);
    for (int64_t i = i0; i < i1; i += g.m) {
        g.m = rows_first_block(call, i, i1, mc);
        if (!p->turned) fnn_gemm_fill_rows(&call->rows, i, g.m, rows);
        point_at_statistics(call, &g, batch, i, j0);
        place_a(call, &g, batch, i, 0, a);
        rows_ahead(call, &g, batch, i, i1, mc);
        call->kernels->gemm_block(&g);
        if (p->turned) {
            turn_block(call, &g, i, j0);
            fnn_gemm_finish_silu(call, n, g.m, call->c + j0 * call->turned_row + i, NULL, call->turned_row);
        } else {
            finish_block(call, &g);
        }
        if (call->rows.zeros && j0 == 0) fnn_gemm_fill_zeros(call, i, g.m, rows);
    }
}

static void shared_rows(const gemm_call *call, int64_t batch, int64_t i0, int64_t i1, int64_t j0, int64_t n,
                        const float *b, void *thread_scratch) {
    const gemm_plan *p = call->plan;
    if (!p->group) {
        shared_panels(call, batch, i0, i1, j0, n, b, thread_scratch);
        return;
    }
    for (int64_t j = 0; j < n; j += p->group)
        shared_row_tiles(call, batch, i0, i1, j0 + j, gemm_min(p->group, n - j), b + j * p->k, thread_scratch);
}

void fnn_gemm_run_shared(const gemm_call *call, int64_t j0, int64_t n, const float *b, void *thread_scratch,
                         const fnn_team *team) {
    const gemm_plan *p = call->plan;
    const int64_t nr = call->kernels->gemm_nr, panels = gemm_ceil_div(n, nr), units = p->units_per_batch * p->batch;
    int64_t lo, hi;
    if (units < FEW_UNITS * team->n && panels > units) {
        fnn_share(panels, team->tid, team->n, &lo, &hi);
        for (int64_t batch = 0; batch < p->batch && lo < hi; batch++)
            shared_rows(call, batch, 0, p->m, j0 + lo * nr, gemm_min(n, hi * nr) - lo * nr,
                        b + (batch * panels + lo) * nr * p->k, thread_scratch);
        return;
    }
    fnn_share(units, team->tid, team->n, &lo, &hi);
    for (int64_t u = lo, next; u < hi; u = next) {
        const int64_t batch = u / p->units_per_batch, start = batch * p->units_per_batch;
        next = gemm_min(hi, start + p->units_per_batch);
        shared_rows(call, batch, (u - start) * p->row_unit, gemm_min(p->m, (next - start) * p->row_unit), j0, n,
                    b + batch * panels * nr * p->k, thread_scratch);
    }
}

typedef struct gemm_region {
    int64_t chunk, batch, i0, i1, j0, j1;
} gemm_region;

/* One region of C over one chunk of k, both operands packed here. */
static void private_region(const gemm_call *call, const gemm_region *r, void *thread_scratch) {
    const gemm_plan *p = call->plan;
    int64_t *rows = thread_scratch;
    float *a = (float *)((char *)thread_scratch + ROWS_BYTES), *b = (float *)((char *)a + block_a_bytes(p));
    const int64_t first = r->chunk * p->chunk_k, end = gemm_min(p->k, first + p->chunk_k);
    const gemm_rows part_rows = gemm_plain_rows(p->n);
    const int64_t mc = block_rows(call, r->i1 - r->i0);
    for (int64_t j = r->j0; j < r->j1; j += GEMM_NC) {
        fnn_gemm_block g = block_of(call, r->batch, j, rows);
        if (p->chunks > 1) g.c = call->partials + (r->chunk * p->batch + r->batch) * p->m * p->n + j;
        g.b = b, g.n = gemm_min(GEMM_NC, r->j1 - j);
        for (int64_t k0 = first; k0 == first || k0 < end; k0 += p->kc) {
            g.k = gemm_min(p->kc, end - k0), g.b_panel = call->kernels->gemm_nr * g.k;
            g.add_c = (call->accumulate && p->chunks == 1) || k0 > first;
            g.last = p->chunks == 1 && k0 + p->kc >= end;
            call->b.pack(&call->b, call->kernels, r->batch, j, g.n, k0, g.k, b);
            for (int64_t i = r->i0; i < r->i1; i += mc) {
                g.m = gemm_min(mc, r->i1 - i);
                look_ahead(call, &g, r->batch, i + mc, gemm_min(mc, r->i1 - i - mc), k0, g.k);
                fnn_gemm_fill_rows(p->chunks > 1 ? &part_rows : &call->rows, i, g.m, rows);
                place_a(call, &g, r->batch, i, k0, a);
                g.rows_first = g.k <= SHORT_K;
                call->kernels->gemm_block(&g);
            }
        }
    }
}

static void run_private(const gemm_call *call, void *thread_scratch, const fnn_team *team) {
    const gemm_plan *p = call->plan;
    const int64_t per = p->units_per_batch, tile = p->by_rows ? call->kernels->gemm_mr : call->kernels->gemm_nr;
    int64_t lo, hi;
    fnn_share(per * p->batch * p->chunks, team->tid, team->n, &lo, &hi);
    for (int64_t u = lo, next; u < hi; u = next) {
        const int64_t start = u / per * per;
        next = gemm_min(hi, start + per);
        const int64_t t0 = (u - start) * tile, t1 = (next - start) * tile;
        gemm_region r = {u / per / p->batch, u / per % p->batch, 0, p->m, 0, p->n};
        if (p->by_rows)
            r.i0 = t0, r.i1 = gemm_min(p->m, t1);
        else
            r.j0 = t0, r.j1 = gemm_min(p->n, t1);
        private_region(call, &r, thread_scratch);
    }
}

void fnn_gemm_run(const fnn_op *op, const gemm_call *call, void *scratch, const fnn_team *team) {
    const gemm_plan *p = call->plan;
    void *mine = fnn_thread_scratch(op, scratch, team->tid);
    if (p->tiles) {
        fnn_gemm_run_tiles(call, mine, team);
        return;
    }
    if (!p->shared) {
        run_private(call, mine, team);
        return;
    }
    if (fnn_gemm_has_own_columns(call, team)) {
        fnn_gemm_run_own_columns(call, scratch, mine, team);
        return;
    }
    for (int64_t j = 0; j < p->n; j += p->nc) {
        const int64_t n = gemm_min(p->nc, p->n - j);
        if (j > 0) fnn_team_wait(team);
        fnn_gemm_pack_shared(call, j, n, scratch, team);
        fnn_team_wait(team);
        fnn_gemm_run_shared(call, j, n, scratch, mine, team);
    }
}
