/* Gradient of a convolution with respect to its input. Input pixels whose coordinates agree modulo the stride use the
 * same taps: each such phase is a stride-1 convolution of dy with its own taps, and each pixel of dx is written once.
 * A phase without taps writes zeros. */
#include <stdlib.h>

#include "../gemm_tiles.h"
#include "algorithms.h"

typedef struct conv2d_phase {
    gemm_plan gemm;
    fnn_gather gather;
    gemm_rows rows;
    int64_t first;   /* of dx, in floats from its start */
    int64_t b_first; /* of its packed weights, in columns times k */
    const int32_t *tap;
} conv2d_phase;

typedef struct bwd_data_plan {
    int64_t n_phases, nc;
    int tiles; /* the first phase's product is made on tiles, and is all that there is to do */
    int dense; /* 1x1: the rows of A are those of dy, and the first phase writes the others' zeros as well */
    int32_t *tap_h, *tap_w, *tap; /* all phases' taps, one after the other */
    conv2d_phase phase[];
} bwd_data_plan;

/* Whether the first phase meets each pixel of dy once, and no other phase any. */
static int is_dense(const conv2d_problem *g) {
    const int whole = (g->ih + g->stride[0] - 1) / g->stride[0] == g->oh &&
                      (g->iw + g->stride[1] - 1) / g->stride[1] == g->ow;
    return conv2d_is_pointwise(g) ||
           (g->groups == 1 && g->kh == 1 && g->kw == 1 && g->padding[0] == 0 && g->padding[2] == 0 && whole);
}

/* Pixels of dy lie along their channels, weights across. */
static const gemm_order dense_order = {1, 0};

/* The taps along one side that input coordinates congruent to r modulo stride use; where[t] is the offset in dy. */
static int64_t phase_taps(int64_t r, int64_t kernel, int64_t stride, int64_t padding, int64_t dilation, int64_t *tap,
                          int64_t *where) {
    int64_t count = 0;
    for (int64_t k = 0; k < kernel; k++) {
        const int64_t at = r + padding - k * dilation;
        if (at % stride != 0) continue;
        tap[count] = k, where[count++] = at / stride;
    }
    return count;
}

/* Fills one phase; returns how many taps it has. taps: its place in the tables. scratch: 2 (kh + kw) integers. */
static int64_t phase_init(const bwd_data_plan *plan, conv2d_phase *f, const conv2d_problem *g, int64_t rh, int64_t rw,
                          int64_t taps, int64_t *work) {
    int64_t *kh = work, *oh = kh + g->kh, *kw = oh + g->kh, *ow = kw + g->kw;
    const int64_t n_h = phase_taps(rh, g->kh, g->stride[0], g->padding[0], g->dilation[0], kh, oh);
    const int64_t n_w = phase_taps(rw, g->kw, g->stride[1], g->padding[2], g->dilation[1], kw, ow);
    for (int64_t i = 0, t = taps; i < n_h; i++)
        for (int64_t j = 0; j < n_w; j++, t++) {
            plan->tap_h[t] = (int32_t)oh[i], plan->tap_w[t] = (int32_t)ow[j];
            plan->tap[t] = (int32_t)(kh[i] * g->kw + kw[j]);
        }
    const int64_t ocg = g->oc / g->groups, sh = g->stride[0], sw = g->stride[1];
    const int64_t grid_h = g->ih > rh ? (g->ih - rh + sh - 1) / sh : 0,
                  grid_w = g->iw > rw ? (g->iw - rw + sw - 1) / sw : 0;
    f->tap = plan->tap + taps;
    f->first = (rh * g->iw + rw) * g->ic;
    f->rows = (gemm_rows){grid_h, grid_w, g->ih * g->iw * g->ic, sh * g->iw * g->ic, sw * g->ic, 0};
    f->gather = (fnn_gather){.src_h = g->oh,
                             .src_w = g->ow,
                             .pixel = g->oc,
                             .grid_h = grid_h,
                             .grid_w = grid_w,
                             .step_h = 1,
                             .step_w = 1,
                             .n_taps = n_h * n_w,
                             .span = 1,
                             .channels = ocg,
                             .run = gemm_max(1, ocg),
                             .tap_h = plan->tap_h + taps,
                             .tap_w = plan->tap_w + taps};
    return n_h * n_w;
}

static bwd_data_plan *plan_phases(const fnn_op *op, const conv2d_problem *g) {
    const int64_t n_phases = g->stride[0] * g->stride[1], taps = g->kh * g->kw;
    const size_t head = sizeof(bwd_data_plan) + (size_t)n_phases * sizeof(conv2d_phase);
    bwd_data_plan *plan = malloc(head + (size_t)(3 * taps) * sizeof(int32_t));
    int64_t *work = malloc((size_t)(2 * (g->kh + g->kw)) * sizeof(int64_t));
    if (plan && work) {
        int32_t *tables = (int32_t *)((char *)plan + head);
        *plan = (bwd_data_plan){n_phases, 0, 0, is_dense(g), tables, tables + taps, tables + 2 * taps};
        int64_t done = 0;
        for (int64_t i = 0; i < n_phases; i++) {
            conv2d_phase *f = &plan->phase[i];
            const int64_t icg = g->ic / g->groups, ocg = g->oc / g->groups;
            const int64_t t = phase_init(plan, f, g, i / g->stride[1], i % g->stride[1], done, work);
            fnn_gemm_plan_init(&f->gemm, op->k, GEMM_SHARED, g->groups, g->n * f->rows.grid_h * f->rows.grid_w, icg,
                               t * ocg);
            if (i == 0 && plan->dense) fnn_gemm_plan_rows(&f->gemm, op->k);
            if (i == 0 && plan->dense) plan->tiles = fnn_gemm_plan_tiles(&f->gemm, op->k, dense_order);
            f->rows.zeros = i == 0 && plan->dense && n_phases > 1;
            f->b_first = g->groups * done * ocg;
            plan->nc = i == 0 ? f->gemm.nc : gemm_min(plan->nc, f->gemm.nc);
            done += t;
        }
    }
    free(work);
    return plan;
}

static int applies(const fnn_kernels *kernels, const conv2d_problem *p) {
    (void)kernels, (void)p;
    return 1;
}

static double cost(const fnn_kernels *kernels, const conv2d_problem *p) {
    const double phases = (double)(p->stride[0] * p->stride[1]);
    const double k = (double)(p->oc / p->groups * p->kh * p->kw) / phases, pixels = (double)(p->n * p->ih * p->iw);
    const int64_t rows = p->n * p->oh * p->ow, icg = p->ic / p->groups, ocg = p->oc / p->groups;
    if (is_dense(p) && fnn_gemm_takes_tiles(kernels, dense_order, rows, icg, ocg))
        return (double)p->groups * fnn_gemm_tile_cycles(kernels, dense_order, rows, icg, ocg);
    if (is_dense(p) && fnn_gemm_group(kernels, rows, icg, ocg))
        return (double)p->groups *
               conv2d_tile_cycles(kernels, pixels, p->ic / p->groups, k, CONV2D_GEMM_ROWS_EFFICIENCY);
    const double weights = (double)(p->oc / p->groups * p->kh * p->kw) * (double)(p->ic / p->groups);
    return (double)p->groups * (conv2d_tile_cycles(kernels, pixels, p->ic / p->groups, k, CONV2D_GEMM_EFFICIENCY) +
                                (p->kh * p->kw > 1 ? CONV2D_GEMM_TURNED : 0.0) * weights +
                                conv2d_gather_cycles(p->oc / p->groups) * pixels * k);
}

static fnn_status init(fnn_op *op) {
    const conv2d_problem *g = op->problem;
    bwd_data_plan *plan = op->plan = plan_phases(op, g);
    if (!plan) return fnn_fail(op, FNN_NO_MEMORY, "no memory for the plan");
    if (plan->tiles) op->algorithm = "gemm-tiles";
    op->units = 0;
    for (int64_t i = 0; i < plan->n_phases; i++) {
        const size_t bytes = fnn_gemm_thread_bytes(&plan->phase[i].gemm);
        if (op->scratch_thread < bytes) op->scratch_thread = bytes;
        op->units += fnn_gemm_units(&plan->phase[i].gemm);
    }
    op->scratch_shared = (size_t)(plan->nc * g->groups * g->kh * g->kw * (g->oc / g->groups)) * sizeof(float);
    return FNN_OK;
}

/* Not where the first phase writes the others' zeros as well: those are no block of the product. */
int fnn_conv2d_gemm_finishes(const fnn_op *op) {
    const bwd_data_plan *plan = op->plan;
    return !plan->dense || plan->n_phases == 1;
}

static const float *late(const fnn_op *op, const float *array, const conv2d_phase *f) {
    return array && fnn_conv2d_gemm_finishes(op) ? array + f->first : NULL;
}

static gemm_call phase_call(const fnn_op *op, const conv2d_phase *f, void *const *buf) {
    const conv2d_problem *g = op->problem;
    const bwd_data_plan *plan = op->plan;
    const int64_t icg = g->ic / g->groups, ocg = g->oc / g->groups, taps = g->kh * g->kw;
    gemm_source a = {.pack = fnn_gemm_pack_gather_a, .data = buf[0], .batch_stride = ocg, .gather = &f->gather};
    if (plan->dense) a.pack = fnn_gemm_pack_strided_a, a.stride = g->oc, a.k_stride = 1;
    gemm_source b = {.pack = fnn_gemm_pack_weights_b,
                     .data = buf[1],
                     .batch_stride = ocg * icg * taps,
                     .stride = taps,
                     .k_stride = icg * taps,
                     .tap = f->tap,
                     .n_taps = f->gather.n_taps,
                     .channels = ocg};
    if (taps == 1) b.pack = fnn_gemm_pack_strided_b;
    return (gemm_call){.plan = &f->gemm,
                       .kernels = op->k,
                       .a = a,
                       .b = b,
                       .c = (float *)buf[DX] + f->first,
                       .late_sum = late(op, buf[DX_SUM], f),
                       .late_gate = late(op, buf[DX_GATE], f),
                       .c_batch = icg,
                       .rows = f->rows};
}

static void run(const fnn_op *op, void *const *buf, void *scratch, const fnn_team *team) {
    const conv2d_problem *g = op->problem;
    const bwd_data_plan *plan = op->plan;
    const int64_t columns = g->ic / g->groups, phases = plan->dense ? 1 : plan->n_phases;
    void *mine = fnn_thread_scratch(op, scratch, team->tid);
    if (plan->tiles) {
        const gemm_call call = phase_call(op, &plan->phase[0], buf);
        fnn_gemm_run_tiles(&call, mine, team);
        return;
    }
    for (int64_t j = 0; j < columns; j += plan->nc) {
        const int64_t n = gemm_min(plan->nc, columns - j);
        if (j > 0) fnn_team_wait(team);
        for (int64_t i = 0; i < phases; i++) {
            const gemm_call call = phase_call(op, &plan->phase[i], buf);
            fnn_gemm_pack_shared(&call, j, n, (float *)scratch + plan->phase[i].b_first * plan->nc, team);
        }
        fnn_team_wait(team);
        for (int64_t i = 0; i < phases; i++) {
            const gemm_call call = phase_call(op, &plan->phase[i], buf);
            fnn_gemm_run_shared(&call, j, n, (float *)scratch + plan->phase[i].b_first * plan->nc, mine, team);
        }
    }
}

const conv2d_algorithm fnn_conv2d_gemm_bwd_data = {"gemm", CONV2D_DIRECT, applies, cost, init, run};
