/* Winograd's convolution: forward, and for the input's gradient the same with dy for x and turned filters.
 *
 * A block of tiles is transformed, multiplied with the transformed filters of one panel of output channels after the
 * other, and each panel's products are turned into pixels at once. Two ways to share that, chosen by shape: with few
 * filters all of them are transformed first, and each thread has blocks of its own, small enough for the second-level
 * cache; with many, a larger block is transformed by all threads, and each takes panels, whose filters it transforms
 * piece by piece, so that they never leave its cache. */
#include <stdlib.h>

#include "winograd.h"

#define SHARED_FILTERS (128 * 192) /* most filters that are transformed before all else ... */
#define SHARED_BLOCKS 8            /* ... where there are at least so many blocks */
#define OWN_FLOATS (200 << 10)     /* of a thread's own block: values, and products of a panel */
#define MOST_TILES 224             /* of a block for all threads */

typedef struct wino_plan {
    fnn_wino_map in, out;
    fnn_wino_filters filters;
    int64_t k, columns, tiles; /* channels that are summed over; output channels */
    int64_t piece, pieces;     /* of k */
    int64_t panels;
    int64_t block, blocks; /* tiles transformed at once */
    int64_t v_value, u_value,
        p_value;             /* floats from one value to the next: maps, filters of a panel's piece, products */
    int own;                 /* threads have blocks of their own */
    size_t v_bytes, u_bytes; /* one block; one piece of one panel */
} wino_plan;

/* One run: operands, and this thread's parts of scratch. */
typedef struct wino_job {
    const fnn_kernels *kernels;
    const wino_plan *plan;
    const float *x, *w;
    fnn_wino_epilogue epilogue;
    float *v, *u, *products;
} wino_job;

static int64_t even_blocks(int64_t tiles, int64_t most, int64_t mr, int64_t multiple) {
    const int64_t blocks = gemm_ceil_div(gemm_ceil_div(tiles, most), multiple) * multiple;
    return gemm_max(1, gemm_ceil_div(gemm_ceil_div(tiles, gemm_max(1, blocks)), mr)) * mr;
}

static fnn_status plan_init(fnn_op *op, const wino_plan *shape) {
    const fnn_kernels *k = op->k;
    wino_plan *plan = op->plan = malloc(sizeof *plan);
    if (!plan) return fnn_fail(op, FNN_NO_MEMORY, "no memory for the plan");
    *plan = *shape;
    const int64_t values = wino_values(plan->in.m, plan->in.taps), nr = k->gemm_nr, mr = k->gemm_mr;
    const int64_t own_tiles = OWN_FLOATS / (values * (plan->k + nr)) / mr * mr;
    plan->piece = wino_piece(k, plan->k);
    plan->pieces = gemm_ceil_div(plan->k, plan->piece);
    plan->panels = gemm_ceil_div(plan->columns, nr);
    plan->own = own_tiles >= 2 * mr && plan->k * plan->columns <= SHARED_FILTERS &&
                plan->tiles >= SHARED_BLOCKS * own_tiles;
    plan->block = plan->own ? even_blocks(plan->tiles, own_tiles, mr, plan->tiles < 32 * own_tiles ? 4 : 1)
                            : even_blocks(plan->tiles, MOST_TILES, mr, 1);
    plan->blocks = gemm_ceil_div(plan->tiles, plan->block);
    plan->v_value = plan->pieces * plan->block * plan->piece + WINO_PAD;
    plan->u_value = plan->piece * nr + WINO_PAD;
    plan->p_value = plan->block * nr + WINO_PAD;
    plan->v_bytes = fnn_round_up((size_t)(values * plan->v_value) * sizeof(float));
    plan->u_bytes = fnn_round_up((size_t)(values * plan->u_value) * sizeof(float));
    const size_t p_bytes = (size_t)(values * plan->p_value) * sizeof(float);
    op->scratch_shared = plan->own ? (size_t)(plan->panels * plan->pieces) * plan->u_bytes : plan->v_bytes;
    op->scratch_thread = p_bytes + (plan->own ? plan->v_bytes : plan->u_bytes);
    op->units = plan->tiles == 0 ? 0 : plan->own ? plan->blocks : gemm_max(plan->panels, 2);
    return FNN_OK;
}

/* ---- run ------------------------------------------------------------------------------------------------ */

static int64_t piece_length(const wino_plan *plan, int64_t piece) {
    return gemm_min(plan->piece, plan->k - piece * plan->piece);
}

/* Tiles [lo, hi) of the block that begins at tile first. */
static void transform_tiles(const wino_job *job, int64_t first, int64_t lo, int64_t hi) {
    const wino_plan *plan = job->plan;
    for (int64_t b = 0; b < plan->pieces && lo < hi; b++)
        job->kernels->wino_input(&plan->in, job->x, b * plan->piece, piece_length(plan, b), first + lo, hi - lo,
                                 job->v + (b * plan->block + lo) * plan->piece, plan->v_value, plan->piece);
}

static void transform_filters(const wino_job *job, int64_t panel, int64_t piece, float *u) {
    const wino_plan *plan = job->plan;
    const int64_t columns = wino_panel_columns(job->kernels, plan->columns, panel);
    const float *w = job->w + panel * job->kernels->gemm_nr * plan->filters.column_stride +
                     piece * plan->piece * plan->filters.k_stride;
    job->kernels->wino_weights(&plan->filters, w, columns, piece_length(plan, piece),
                               wino_width(job->kernels, columns), u, plan->u_value);
}

static float *shared_filters(const wino_job *job, int64_t panel, int64_t piece) {
    const wino_plan *plan = job->plan;
    return (float *)((char *)job->u + (size_t)(panel * plan->pieces + piece) * plan->u_bytes);
}

/* One panel of output channels of one block of tiles. */
static void run_panel(const wino_job *job, int64_t first, int64_t count, int64_t panel) {
    const wino_plan *plan = job->plan;
    const int64_t values = wino_values(plan->in.m, plan->in.taps), nr = job->kernels->gemm_nr;
    const int64_t columns = wino_panel_columns(job->kernels, plan->columns, panel);
    const int64_t width = wino_width(job->kernels, columns);
    for (int64_t b = 0; b < plan->pieces; b++) {
        float *u = plan->own ? shared_filters(job, panel, b) : job->u;
        if (!plan->own) transform_filters(job, panel, b, u);
        const float *v = job->v + b * plan->block * plan->piece;
        for (int64_t i = 0; i < values; i++, u += plan->u_value, v += plan->v_value) {
            const wino_range tiles = wino_having(&plan->out, i, first, count);
            job->kernels->wino_multiply(0, tiles.count, width, piece_length(plan, b), v + tiles.lo * plan->piece,
                                        plan->piece, u, job->products + i * plan->p_value + tiles.lo * width, b > 0,
                                        v + plan->v_value, u + plan->u_value);
        }
    }
    job->kernels->wino_output(&plan->out, &job->epilogue, panel * nr, columns, first, count, job->products,
                              plan->p_value, width);
}

static void run_own(const wino_job *job, const fnn_team *team) {
    const wino_plan *plan = job->plan;
    int64_t lo, hi;
    fnn_share(plan->panels * plan->pieces, team->tid, team->n, &lo, &hi);
    for (int64_t i = lo; i < hi; i++)
        transform_filters(job, i / plan->pieces, i % plan->pieces,
                          shared_filters(job, i / plan->pieces, i % plan->pieces));
    fnn_team_wait(team);
    fnn_share(plan->blocks, team->tid, team->n, &lo, &hi);
    for (int64_t i = lo; i < hi; i++) {
        const int64_t first = i * plan->block, count = gemm_min(plan->block, plan->tiles - first);
        transform_tiles(job, first, 0, count);
        for (int64_t panel = 0; panel < plan->panels; panel++) run_panel(job, first, count, panel);
    }
}

static void run_shared(const wino_job *job, const fnn_team *team) {
    const wino_plan *plan = job->plan;
    int64_t lo, hi;
    for (int64_t first = 0; first < plan->tiles; first += plan->block) {
        const int64_t count = gemm_min(plan->block, plan->tiles - first);
        if (first > 0) fnn_team_wait(team);
        fnn_share(count, team->tid, team->n, &lo, &hi);
        transform_tiles(job, first, lo, hi);
        fnn_team_wait(team);
        fnn_share(plan->panels, team->tid, team->n, &lo, &hi);
        for (int64_t panel = lo; panel < hi; panel++) run_panel(job, first, count, panel);
    }
}

static void run_job(const fnn_op *op, const float *x, const float *w, const fnn_wino_epilogue *epilogue,
                    void *scratch, const fnn_team *team) {
    const wino_plan *plan = op->plan;
    char *mine = fnn_thread_scratch(op, scratch, team->tid);
    wino_job job = {.kernels = op->k, .plan = plan, .x = x, .w = w, .epilogue = *epilogue};
    job.v = plan->own ? (float *)mine : scratch;
    job.u = plan->own ? scratch : (float *)mine;
    job.products = (float *)(mine + (plan->own ? plan->v_bytes : plan->u_bytes));
    if (plan->own)
        run_own(&job, team);
    else
        run_shared(&job, team);
}

/* ---- the two passes ------------------------------------------------------------------------------------- */

static double estimate(const fnn_kernels *kernels, const conv2d_problem *p, int64_t m, int64_t k, int64_t columns,
                       int64_t h, int64_t w, double cold) {
    const double tiles = (double)(p->n * gemm_ceil_div(h, m) * gemm_ceil_div(w, m)), values = wino_values(m, p->kh);
    const double products = wino_values_of(p, m, h, w);
    const double k_vectors = (double)gemm_ceil_div(k, kernels->vl),
                 vectors = (double)gemm_ceil_div(columns, kernels->vl);
    return WINO_MARGIN *
           (values * (tiles * (k_vectors * WINO_DATA_CYCLES + vectors * WINO_RESULT_CYCLES) +
                      (double)k * vectors * wino_filter_cycles(p)) +
            cold * (double)(k * columns * p->kh * p->kw) + products * (double)k * vectors / (2 * WINO_EFFICIENCY));
}

static fnn_wino_map map_of(const conv2d_problem *p, int64_t m, int64_t h, int64_t w, int64_t channels, int64_t out_h,
                           int64_t out_w, int64_t top, int64_t left) {
    fnn_wino_map map = {.m = m, .taps = p->kh, .h = h, .w = w, .pixel = channels, .top = top, .left = left};
    wino_grid(&map, p->n, out_h, out_w);
    return map;
}

static int forward_applies(const fnn_kernels *kernels, const conv2d_problem *p, int64_t taps) {
    (void)kernels;
    return wino_applies(p, taps) && !p->statistics && !p->in_affine && !p->in_activation;
}

static fnn_status forward_init(fnn_op *op, int64_t m) {
    const conv2d_problem *p = op->problem;
    const int64_t area = p->kh * p->kw;
    wino_plan plan = {.in = map_of(p, m, p->ih, p->iw, p->ic, p->oh, p->ow, p->padding[0], p->padding[2]),
                      .out = map_of(p, m, p->oh, p->ow, p->oc, p->oh, p->ow, 0, 0),
                      .filters = {.m = m, .taps = p->kh, .column_stride = area * p->ic, .k_stride = area},
                      .k = p->ic,
                      .columns = p->oc};
    plan.tiles = wino_tiles(&plan.out);
    return plan_init(op, &plan);
}

static void forward_run(const fnn_op *op, void *const *buf, void *scratch, const fnn_team *team) {
    const conv2d_problem *p = op->problem;
    const fnn_wino_epilogue epilogue = {.y = buf[Y],
                                        .add_y = (int)p->accumulate,
                                        .bias = buf[BIAS],
                                        .residual = buf[RESIDUAL],
                                        .activation = (int)p->activation,
                                        .slope = (float)p->slope};
    run_job(op, buf[X], buf[W], &epilogue, scratch, team);
}

static int bwd_data_applies(const fnn_kernels *kernels, const conv2d_problem *p, int64_t taps) {
    (void)kernels;
    return wino_applies(p, taps);
}

static fnn_status bwd_data_init(fnn_op *op, int64_t m) {
    const conv2d_problem *p = op->problem;
    const int64_t area = p->kh * p->kw, around = p->kh - 1;
    wino_plan plan = {
        .in = map_of(p, m, p->oh, p->ow, p->oc, p->ih, p->iw, around - p->padding[0], around - p->padding[2]),
        .out = map_of(p, m, p->ih, p->iw, p->ic, p->ih, p->iw, 0, 0),
        .filters = {.m = m, .taps = p->kh, .column_stride = area, .k_stride = area * p->ic, .flip = 1},
        .k = p->oc,
        .columns = p->ic};
    plan.tiles = wino_tiles(&plan.out);
    return plan_init(op, &plan);
}

static void bwd_data_run(const fnn_op *op, void *const *buf, void *scratch, const fnn_team *team) {
    const fnn_wino_epilogue epilogue = {.y = buf[DX], .residual = buf[DX_SUM], .gate = buf[DX_GATE]};
    run_job(op, buf[0], buf[1], &epilogue, scratch, team);
}

/* A row for each pass: FORM names it, of tiles of m pixels and filters so many taps wide. */
#define WINO_FORM(FORM, FAMILY, m, taps)                                                                             \
    static int forward_applies_##FORM(const fnn_kernels *kernels, const conv2d_problem *p) {                         \
        return forward_applies(kernels, p, taps);                                                                    \
    }                                                                                                                \
    static int bwd_data_applies_##FORM(const fnn_kernels *kernels, const conv2d_problem *p) {                        \
        return bwd_data_applies(kernels, p, taps);                                                                   \
    }                                                                                                                \
    static double forward_cost_##FORM(const fnn_kernels *kernels, const conv2d_problem *p) {                         \
        return estimate(kernels, p, m, p->ic, p->oc, p->oh, p->ow, WINO_COLD);                                       \
    }                                                                                                                \
    static double bwd_data_cost_##FORM(const fnn_kernels *kernels, const conv2d_problem *p) {                        \
        return estimate(kernels, p, m, p->oc, p->ic, p->ih, p->iw, WINO_COLD_TURNED);                                \
    }                                                                                                                \
    static fnn_status forward_init_##FORM(fnn_op *op) { return forward_init(op, m); }                                \
    static fnn_status bwd_data_init_##FORM(fnn_op *op) { return bwd_data_init(op, m); }                              \
    const conv2d_algorithm fnn_conv2d_winograd_##FORM = {                                                            \
        "winograd" #FORM, FAMILY, forward_applies_##FORM, forward_cost_##FORM, forward_init_##FORM, forward_run};    \
    const conv2d_algorithm fnn_conv2d_winograd_##FORM##_bwd_data = {"winograd" #FORM,        FAMILY,                 \
                                                                    bwd_data_applies_##FORM, bwd_data_cost_##FORM,   \
                                                                    bwd_data_init_##FORM,    bwd_data_run};

WINO_FORM(2, CONV2D_WINOGRAD_2, 2, 3)
WINO_FORM(4, CONV2D_WINOGRAD_4, 4, 3)
WINO_FORM(5, CONV2D_WINOGRAD_4, 2, 5)
