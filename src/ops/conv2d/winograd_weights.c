/* Winograd's gradient of the weights: per tile dy is a filter of m x m taps that meets x in as many places as the
 * weights have taps. The sums over tiles are kept as products, one matrix [ic][oc] for each value of a tile, and turned
 * into dw once.
 *
 * A block of tiles of x and dy is transformed by all threads; then each thread adds the block to the matrices that it
 * owns. Where one block is all there is, a thread owns pieces of all matrices instead, which become a piece of dw
 * before they leave its second-level cache. */
#include <stdlib.h>

#include "winograd.h"

#define BLOCK_FLOATS (4 << 20) /* of a block's values */
#define MOST_TILES 224
#define FEWEST_TILES 56
#define ENOUGH_PIECES 8 /* of dw, to be shared as such */

typedef struct weights_plan {
    fnn_wino_map x, dy;
    fnn_wino_filters filters;
    int64_t ic, oc, tiles;
    int64_t piece, pieces, panels; /* of ic, of oc */
    int64_t block;                 /* tiles transformed at once */
    int at_once;                   /* one block, threads own pieces of dw */
    int64_t x_value, dy_value, sum_value;
    size_t x_bytes, dy_bytes, sum_bytes; /* a block's values; the sums of one piece and panel */
} weights_plan;

typedef struct weights_job {
    const fnn_kernels *kernels;
    const weights_plan *plan;
    const float *x, *dy;
    float *x_values, *dy_values;
    char *sums;
} weights_job;

static double estimate(const fnn_kernels *kernels, const conv2d_problem *p, int64_t m) {
    const double tiles = (double)(p->n * gemm_ceil_div(p->oh, m) * gemm_ceil_div(p->ow, m)),
                 values = wino_values(m, p->kh);
    const double products = wino_values_of(p, m, p->oh, p->ow);
    const double x_vectors = (double)gemm_ceil_div(p->ic, kernels->vl),
                 vectors = (double)gemm_ceil_div(p->oc, kernels->vl);
    return WINO_MARGIN * (values * (tiles * (x_vectors * WINO_DATA_CYCLES + vectors * WINO_RESULT_CYCLES) +
                                    (double)p->ic * vectors * wino_filter_cycles(p)) +
                          products * (double)p->ic * vectors / (2 * WINO_EFFICIENCY));
}

static fnn_status init(fnn_op *op, int64_t m) {
    const conv2d_problem *p = op->problem;
    weights_plan *plan = op->plan = malloc(sizeof *plan);
    if (!plan) return fnn_fail(op, FNN_NO_MEMORY, "no memory for the plan");
    const int64_t values = wino_values(m, p->kh), area = p->kh * p->kw;
    *plan = (weights_plan){.x = {.m = m, .taps = p->kh, .h = p->ih, .w = p->iw, .pixel = p->ic},
                           .dy = {.m = m, .taps = p->kh, .h = p->oh, .w = p->ow, .pixel = p->oc},
                           .filters = {.m = m, .taps = p->kh, .column_stride = area * p->ic, .k_stride = area},
                           .ic = p->ic,
                           .oc = p->oc};
    wino_grid(&plan->x, p->n, p->oh, p->ow), wino_grid(&plan->dy, p->n, p->oh, p->ow);
    plan->tiles = wino_tiles(&plan->dy);
    plan->x.top = p->padding[0], plan->x.left = p->padding[2];
    plan->piece = wino_piece(op->k, p->ic);
    plan->pieces = gemm_ceil_div(p->ic, plan->piece);
    plan->panels = gemm_ceil_div(p->oc, op->k->gemm_nr);
    const int64_t fit = BLOCK_FLOATS / (values * (p->ic + p->oc));
    /* One larger block, where it takes less room than the sums that several need. */
    const int at_once = plan->tiles <= MOST_TILES && (plan->tiles - fit) * (p->ic + p->oc) <= p->ic * p->oc;
    const int64_t most = at_once ? MOST_TILES : gemm_min(MOST_TILES, gemm_max(FEWEST_TILES, fit));
    plan->block = gemm_max(1, gemm_ceil_div(plan->tiles, gemm_max(1, gemm_ceil_div(plan->tiles, most))));
    plan->x_value = plan->pieces * plan->block * plan->piece + WINO_PAD;
    plan->dy_value = plan->panels * plan->block * op->k->gemm_nr + WINO_PAD;
    plan->sum_value = plan->piece * op->k->gemm_nr + WINO_PAD;
    plan->x_bytes = fnn_round_up((size_t)(values * plan->x_value) * sizeof(float));
    plan->dy_bytes = fnn_round_up((size_t)(values * plan->dy_value) * sizeof(float));
    plan->sum_bytes = fnn_round_up((size_t)(values * plan->sum_value) * sizeof(float));
    const int64_t owned = plan->pieces * plan->panels;
    plan->at_once = plan->tiles <= plan->block && owned >= ENOUGH_PIECES;
    op->scratch_shared = plan->x_bytes + plan->dy_bytes + (plan->at_once ? 0 : (size_t)owned * plan->sum_bytes);
    op->scratch_thread = plan->at_once ? plan->sum_bytes : 0;
    op->units = plan->at_once ? owned : values * plan->panels;
    return FNN_OK;
}

static int64_t piece_length(const weights_plan *plan, int64_t piece) {
    return gemm_min(plan->piece, plan->ic - piece * plan->piece);
}

static float *sums_of(const weights_job *job, int64_t panel, int64_t piece) {
    return (float *)(job->sums + (size_t)(panel * job->plan->pieces + piece) * job->plan->sum_bytes);
}

/* Tiles [lo, hi) of the block that begins at tile first. */
static void transform_tiles(const weights_job *job, int64_t first, int64_t lo, int64_t hi) {
    const weights_plan *plan = job->plan;
    const int64_t nr = job->kernels->gemm_nr;
    if (lo == hi) return;
    for (int64_t b = 0; b < plan->pieces; b++)
        job->kernels->wino_input(&plan->x, job->x, b * plan->piece, piece_length(plan, b), first + lo, hi - lo,
                                 job->x_values + (b * plan->block + lo) * plan->piece, plan->x_value, plan->piece);
    for (int64_t j = 0; j < plan->panels; j++) {
        const int64_t columns = wino_panel_columns(job->kernels, plan->oc, j);
        const int64_t width = wino_width(job->kernels, columns);
        job->kernels->wino_output_gradient(&plan->dy, job->dy, j * nr, columns, first + lo, hi - lo,
                                           job->dy_values + j * plan->block * nr + lo * width, plan->dy_value, width);
    }
}

/* Adds a block of count tiles to one value's sums of a panel and a piece. */
static void add_products(const weights_job *job, int64_t first, int64_t count, int64_t value, int64_t panel,
                         int64_t piece, float *sums, int add) {
    const weights_plan *plan = job->plan;
    const int64_t nr = job->kernels->gemm_nr, x_step = job->plan->at_once ? plan->x_value : plan->block * plan->piece;
    const int64_t width = wino_width(job->kernels, wino_panel_columns(job->kernels, plan->oc, panel));
    const wino_range tiles = wino_having(&plan->dy, value, first, count);
    const float *x = job->x_values + value * plan->x_value + piece * plan->block * plan->piece;
    const float *dy = job->dy_values + value * plan->dy_value + panel * plan->block * nr;
    job->kernels->wino_multiply(1, piece_length(plan, piece), width, tiles.count, x + tiles.lo * plan->piece,
                                plan->piece, dy + tiles.lo * width, sums + value * plan->sum_value, add, x + x_step,
                                dy + (plan->at_once ? plan->dy_value : plan->block * nr));
}

static void finish(const weights_job *job, int64_t panel, int64_t piece, const float *sums, float *dw) {
    const weights_plan *plan = job->plan;
    const int64_t columns = wino_panel_columns(job->kernels, plan->oc, panel);
    dw += panel * job->kernels->gemm_nr * plan->filters.column_stride + piece * plan->piece * plan->filters.k_stride;
    job->kernels->wino_weights_result(&plan->filters, sums, plan->sum_value, columns, piece_length(plan, piece),
                                      wino_width(job->kernels, columns), dw);
}

static void run_at_once(const weights_job *job, float *dw, float *sums, const fnn_team *team) {
    const weights_plan *plan = job->plan;
    int64_t lo, hi;
    fnn_share(plan->tiles, team->tid, team->n, &lo, &hi);
    transform_tiles(job, 0, lo, hi);
    fnn_team_wait(team);
    fnn_share(plan->panels * plan->pieces, team->tid, team->n, &lo, &hi);
    for (int64_t u = lo; u < hi; u++) {
        const int64_t panel = u % plan->panels, piece = u / plan->panels;
        for (int64_t value = 0; value < wino_values(plan->x.m, plan->x.taps); value++)
            add_products(job, 0, plan->tiles, value, panel, piece, sums, 0);
        finish(job, panel, piece, sums, dw);
    }
}

static void run_blocks(const weights_job *job, float *dw, const fnn_team *team) {
    const weights_plan *plan = job->plan;
    int64_t lo, hi;
    for (int64_t first = 0; first == 0 || first < plan->tiles; first += plan->block) {
        const int64_t count = gemm_min(plan->block, plan->tiles - first);
        fnn_share(count, team->tid, team->n, &lo, &hi);
        transform_tiles(job, first, lo, hi);
        fnn_team_wait(team);
        fnn_share(wino_values(plan->x.m, plan->x.taps) * plan->panels, team->tid, team->n, &lo, &hi);
        for (int64_t u = lo; u < hi; u++)
            for (int64_t piece = 0; piece < plan->pieces; piece++)
                add_products(job, first, count, u / plan->panels, u % plan->panels, piece,
                             sums_of(job, u % plan->panels, piece), first > 0);
        fnn_team_wait(team);
    }
    fnn_share(plan->panels * plan->pieces, team->tid, team->n, &lo, &hi);
    for (int64_t u = lo; u < hi; u++)
        finish(job, u / plan->pieces, u % plan->pieces, sums_of(job, u / plan->pieces, u % plan->pieces), dw);
}

static void run(const fnn_op *op, void *const *buf, void *scratch, const fnn_team *team) {
    const weights_plan *plan = op->plan;
    char *at = scratch;
    const weights_job job = {.kernels = op->k,
                             .plan = plan,
                             .dy = buf[0],
                             .x = buf[1],
                             .x_values = (float *)at,
                             .dy_values = (float *)(at + plan->x_bytes),
                             .sums = at + plan->x_bytes + plan->dy_bytes};
    if (plan->at_once)
        run_at_once(&job, buf[2], fnn_thread_scratch(op, scratch, team->tid), team);
    else
        run_blocks(&job, buf[2], team);
}

#define WINO_FORM(FORM, FAMILY, m, taps)                                                                             \
    static int applies_##FORM(const fnn_kernels *kernels, const conv2d_problem *p) {                                 \
        (void)kernels;                                                                                               \
        return wino_applies(p, taps);                                                                                \
    }                                                                                                                \
    static double cost_##FORM(const fnn_kernels *kernels, const conv2d_problem *p) {                                 \
        return estimate(kernels, p, m);                                                                              \
    }                                                                                                                \
    static fnn_status init_##FORM(fnn_op *op) { return init(op, m); }                                                \
    const conv2d_algorithm fnn_conv2d_winograd_##FORM##_bwd_weights = {                                              \
        "winograd" #FORM, FAMILY, applies_##FORM, cost_##FORM, init_##FORM, run};

WINO_FORM(2, CONV2D_WINOGRAD_2, 2, 3)
WINO_FORM(4, CONV2D_WINOGRAD_4, 4, 3)
WINO_FORM(5, CONV2D_WINOGRAD_4, 2, 5)
