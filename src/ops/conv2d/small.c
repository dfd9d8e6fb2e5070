/* Convolution with few channels, forward and (stride 1) the gradient for the input, which is the same with the taps
 * reversed and the channels' roles exchanged. Threads share groups of tiles; weights are read as they lie. */
#include <float.h>
#include <stdlib.h>

#include "small.h"

#define MOST_PIECES 64 /* along one side of an image */

/* Either pass as a convolution from an image of ih x iw x c to one of oh x ow x o. */
typedef struct small_view {
    int64_t n, ih, iw, c, oh, ow, o, kh, kw;
    int64_t stride[2], dilation[2], top, left;
    int64_t w_out, w_in; /* steps in the weights */
    int reversed;
} small_view;

/* How the output is cut, and into blocks of how many pixels. */
typedef struct small_cut {
    int64_t rows, columns, grid_h, grid_w, groups, pixels;
    double cycles;
} small_cut;

typedef struct small_plan {
    fnn_small s;
    int64_t groups;
    fnn_small_block *block;
    int32_t *tables;
} small_plan;

static small_view forward_view(const conv2d_problem *p) {
    return (small_view){.n = p->n,
                        .ih = p->ih,
                        .iw = p->iw,
                        .c = p->ic,
                        .oh = p->oh,
                        .ow = p->ow,
                        .o = p->oc,
                        .kh = p->kh,
                        .kw = p->kw,
                        .stride = {p->stride[0], p->stride[1]},
                        .dilation = {p->dilation[0], p->dilation[1]},
                        .top = p->padding[0],
                        .left = p->padding[2],
                        .w_out = p->ic * p->kh * p->kw,
                        .w_in = p->kh * p->kw};
}

static small_view bwd_data_view(const conv2d_problem *p) {
    return (small_view){.n = p->n,
                        .ih = p->oh,
                        .iw = p->ow,
                        .c = p->oc,
                        .oh = p->ih,
                        .ow = p->iw,
                        .o = p->ic,
                        .kh = p->kh,
                        .kw = p->kw,
                        .stride = {1, 1},
                        .dilation = {p->dilation[0], p->dilation[1]},
                        .top = p->dilation[0] * (p->kh - 1) - p->padding[0],
                        .left = p->dilation[1] * (p->kw - 1) - p->padding[2],
                        .w_out = p->kh * p->kw,
                        .w_in = p->ic * p->kh * p->kw,
                        .reversed = 1};
}

/* ---- cutting -------------------------------------------------------------------------------------------- */

typedef struct tap_range {
    int64_t first, end;
} tap_range;

/* The taps along one side with which output pixels lo .. hi see anything of the image. */
static tap_range taps_inside(int64_t lo, int64_t hi, int64_t kernel, int64_t stride, int64_t dilation, int64_t before,
                             int64_t size) {
    tap_range t = {0, kernel};
    while (t.first < kernel && hi * stride + t.first * dilation < before) t.first++;
    while (t.end > t.first && lo * stride + (t.end - 1) * dilation >= before + size) t.end--;
    return t;
}

static tap_range line_taps(const small_view *v, const small_cut *cut, int64_t r) {
    if (cut->grid_h > 1) return (tap_range){0, v->kh};
    return taps_inside(r, r, v->kh, v->stride[0], v->dilation[0], v->top, v->ih);
}

static tap_range block_taps(const small_view *v, const small_cut *cut, int64_t lo, int64_t hi) {
    if (cut->grid_w > 1) return (tap_range){0, v->kw};
    return taps_inside(lo, hi, v->kw, v->stride[1], v->dilation[1], v->left, v->iw);
}

/* Bounds of block i of n. */
static int64_t block_start(const small_cut *cut, int64_t i, int64_t n) { return cut->columns * i / n; }

static double columns_cycles(const fnn_kernels *k, const small_view *v, const small_cut *cut, int64_t pixels) {
    const int64_t n = gemm_ceil_div(cut->columns, pixels);
    double cycles = 0;
    for (int64_t i = 0; i < n; i++) {
        const int64_t lo = block_start(cut, i, n), hi = block_start(cut, i + 1, n);
        const tap_range t = block_taps(v, cut, lo, hi - 1);
        cycles += (double)((t.end - t.first) * v->c) *
                  small_parts_cycles(v->o, k->small_r, hi - lo, 2, SMALL_EFFICIENCY);
    }
    return cycles;
}

static int64_t tile_floats(const fnn_kernels *k, const small_view *v, int64_t rows, int64_t columns) {
    const int64_t in = small_reach(columns, v->stride[1], v->kw, v->dilation[1]) * v->c, out = columns * v->o;
    const int64_t rows_in = small_reach(rows, v->stride[0], v->kh, v->dilation[0]);
    return (in * rows_in + out) * k->vl + small_edge_floats(k, in, rows_in, out);
}

/* Fills the rest of a cut whose rows and columns are set. */
static void price_cut(const fnn_kernels *k, const small_view *v, small_cut *cut) {
    cut->grid_h = gemm_ceil_div(v->oh, cut->rows), cut->grid_w = gemm_ceil_div(v->ow, cut->columns);
    cut->groups = gemm_ceil_div(v->n * cut->grid_h * cut->grid_w, k->vl);
    cut->cycles = DBL_MAX;
    if (tile_floats(k, v, cut->rows, cut->columns) > SMALL_TILE_FLOATS) return;
    double line = DBL_MAX;
    for (int64_t p = 1; p <= k->small_p && p <= cut->columns; p++) {
        const double cycles = columns_cycles(k, v, cut, p);
        if (cycles < line) line = cycles, cut->pixels = p;
    }
    int64_t taps = 0;
    for (int64_t r = 0; r < cut->rows; r++) taps += line_taps(v, cut, r).end - line_taps(v, cut, r).first;
    const int64_t rows_in = small_reach(cut->rows, v->stride[0], v->kh, v->dilation[0]);
    const int64_t columns_in = small_reach(cut->columns, v->stride[1], v->kw, v->dilation[1]);
    const int64_t calls = cut->rows * gemm_ceil_div(cut->columns, cut->pixels) * gemm_ceil_div(v->o, k->small_r);
    const double turned = (double)(rows_in * columns_in * v->c + cut->rows * cut->columns * v->o);
    const double each = (double)taps * line + SMALL_TURN * turned + SMALL_LINE * (double)(rows_in + cut->rows) +
                        SMALL_CALL * (double)calls;
    cut->cycles = small_total_cycles(cut->groups, each);
}

/* The cheapest cut: pieces along a side grow by about a quarter from one candidate to the next. */
static small_cut best_cut(const fnn_kernels *k, const small_view *v) {
    small_cut best = {.cycles = DBL_MAX};
    for (int64_t i = 1; i <= gemm_min(v->oh, MOST_PIECES); i += 1 + i / 4)
        for (int64_t j = 1; j <= gemm_min(v->ow, MOST_PIECES); j += 1 + j / 4) {
            small_cut cut = {.rows = gemm_ceil_div(v->oh, i), .columns = gemm_ceil_div(v->ow, j)};
            price_cut(k, v, &cut);
            if (cut.cycles < best.cycles) best = cut;
        }
    return best;
}

/* ---- planning ------------------------------------------------------------------------------------------- */

/* Where each (kh, kw, channel) of a range of kw lies in the turned tile and in the weights. */
static void fill_table(const fnn_kernels *k, const small_view *v, int64_t columns_in, tap_range kw, int32_t *x_at,
                       int32_t *w_at) {
    int64_t i = 0;
    for (int64_t h = 0; h < v->kh; h++)
        for (int64_t w = kw.first; w < kw.end; w++)
            for (int64_t c = 0; c < v->c; c++, i++) {
                const int64_t tap = h * v->kw + w;
                const int64_t at = h * v->dilation[0] * columns_in + w * v->dilation[1];
                x_at[i] = (int32_t)((at * v->c + c) * k->vl);
                w_at[i] = (int32_t)((v->reversed ? v->kh * v->kw - 1 - tap : tap) + c * v->w_in);
            }
}

/* Blocks that see the same taps share a table. */
static void fill_blocks(const fnn_kernels *k, const small_view *v, const small_cut *cut, small_plan *plan) {
    const int64_t columns_in = small_reach(cut->columns, v->stride[1], v->kw, v->dilation[1]);
    const int64_t n = plan->s.n_blocks;
    int32_t *free_table = plan->tables + 2 * cut->rows;
    tap_range before = {-1, -1};
    for (int64_t i = 0; i < n; i++) {
        const int64_t lo = block_start(cut, i, n), hi = block_start(cut, i + 1, n);
        const tap_range t = block_taps(v, cut, lo, hi - 1);
        const int64_t per_kh = (t.end - t.first) * v->c;
        fnn_small_block *b = &plan->block[i];
        *b = (fnn_small_block){.column = lo, .pixels = hi - lo, .per_kh = per_kh};
        if (t.first == before.first && t.end == before.end) {
            b->x_at = b[-1].x_at, b->w_at = b[-1].w_at;
            continue;
        }
        before = t;
        fill_table(k, v, columns_in, t, free_table, free_table + v->kh * per_kh);
        b->x_at = free_table, b->w_at = free_table + v->kh * per_kh;
        free_table += 2 * v->kh * per_kh;
    }
}

static fnn_small_tiles input_tiles(const small_view *v, const small_cut *cut) {
    return (fnn_small_tiles){.images = v->n,
                             .h = v->ih,
                             .w = v->iw,
                             .c = v->c,
                             .grid_h = cut->grid_h,
                             .grid_w = cut->grid_w,
                             .first_h = -v->top,
                             .first_w = -v->left,
                             .step_h = cut->rows * v->stride[0],
                             .step_w = cut->columns * v->stride[1],
                             .rows = small_reach(cut->rows, v->stride[0], v->kh, v->dilation[0]),
                             .columns = small_reach(cut->columns, v->stride[1], v->kw, v->dilation[1])};
}

static fnn_small_tiles output_tiles(const small_view *v, const small_cut *cut) {
    return (fnn_small_tiles){.images = v->n,
                             .h = v->oh,
                             .w = v->ow,
                             .c = v->o,
                             .grid_h = cut->grid_h,
                             .grid_w = cut->grid_w,
                             .step_h = cut->rows,
                             .step_w = cut->columns,
                             .rows = cut->rows,
                             .columns = cut->columns};
}

/* At most two tables for each tap that the borders cut off, and one for the inside. */
static fnn_status init_view(fnn_op *op, const small_view *v) {
    const small_cut cut = best_cut(op->k, v);
    const int64_t blocks = gemm_ceil_div(cut.columns, cut.pixels), tables = gemm_min(blocks, 2 * v->kw + 1);
    const int64_t table = 2 * v->kh * v->kw * v->c, vl = op->k->vl;
    const size_t head = sizeof(small_plan) + (size_t)blocks * sizeof(fnn_small_block);
    small_plan *plan = op->plan = malloc(head + (size_t)(2 * cut.rows + tables * table) * sizeof(int32_t));
    if (!plan) return fnn_fail(op, FNN_NO_MEMORY, "no memory for the plan");
    plan->block = (fnn_small_block *)(plan + 1), plan->tables = (int32_t *)((char *)plan + head);
    plan->groups = cut.groups;
    plan->s = (fnn_small){.from = input_tiles(v, &cut),
                          .to = output_tiles(v, &cut),
                          .outputs = v->o,
                          .w_out = v->w_out,
                          .n_blocks = blocks,
                          .block = plan->block,
                          .kh_range = plan->tables};
    fnn_small *s = &plan->s;
    s->x_pixel = v->stride[1] * v->c * vl, s->x_row = v->stride[0] * s->from.columns * v->c * vl;
    s->x_floats = s->from.rows * s->from.columns * v->c * vl, s->line_floats = cut.columns * v->o * vl;
    for (int64_t r = 0; r < cut.rows; r++) {
        const tap_range t = line_taps(v, &cut, r);
        plan->tables[2 * r] = (int32_t)t.first, plan->tables[2 * r + 1] = (int32_t)t.end;
    }
    fill_blocks(op->k, v, &cut, plan);
    s->from = small_as_line(s->from);
    op->units = cut.groups;
    op->scratch_thread = (size_t)tile_floats(op->k, v, cut.rows, cut.columns) * sizeof(float);
    return FNN_OK;
}

static void run_groups(const fnn_op *op, const fnn_small *s, const float *x, const float *w, const float *bias,
                       const float *residual, float *y, void *scratch, const fnn_team *team) {
    const small_plan *plan = op->plan;
    float *mine = fnn_thread_scratch(op, scratch, team->tid);
    int64_t lo, hi;
    fnn_share(plan->groups, team->tid, team->n, &lo, &hi);
    for (int64_t u = lo; u < hi; u++) op->k->conv_small_forward(s, u * op->k->vl, x, w, bias, residual, y, mine);
}

/* ---- the two passes ------------------------------------------------------------------------------------- */

static int is_small(const fnn_kernels *k, const conv2d_problem *p, const small_view *v) {
    return p->groups == 1 && p->n > 0 && p->ic > 0 && p->oc > 0 && v->ih > 0 && v->iw > 0 && v->oh > 0 && v->ow > 0 &&
           p->ic <= SMALL_CHANNELS && p->oc <= SMALL_CHANNELS && v->kh * v->kw * v->c <= SMALL_TAPS &&
           tile_floats(k, v, 1, 1) <= SMALL_TILE_FLOATS;
}

static int forward_applies(const fnn_kernels *k, const conv2d_problem *p) {
    const small_view v = forward_view(p);
    return !p->statistics && !p->in_affine && !p->in_activation && is_small(k, p, &v);
}

static double forward_cost(const fnn_kernels *k, const conv2d_problem *p) {
    const small_view v = forward_view(p);
    return best_cut(k, &v).cycles;
}

static fnn_status forward_init(fnn_op *op) {
    const small_view v = forward_view(op->problem);
    return init_view(op, &v);
}

static void forward_run(const fnn_op *op, void *const *buf, void *scratch, const fnn_team *team) {
    const conv2d_problem *p = op->problem;
    fnn_small s = ((const small_plan *)op->plan)->s;
    const int late = p->accumulate || buf[RESIDUAL];
    s.accumulate = (int)p->accumulate, s.slope = (float)p->slope;
    s.activation = late ? FNN_ACT_NONE : (int)p->activation;
    s.late_activation = late ? (int)p->activation : FNN_ACT_NONE;
    run_groups(op, &s, buf[X], buf[W], buf[BIAS], buf[RESIDUAL], buf[Y], scratch, team);
}

static int bwd_data_applies(const fnn_kernels *k, const conv2d_problem *p) {
    const small_view v = bwd_data_view(p);
    return p->stride[0] == 1 && p->stride[1] == 1 && is_small(k, p, &v);
}

static double bwd_data_cost(const fnn_kernels *k, const conv2d_problem *p) {
    const small_view v = bwd_data_view(p);
    return best_cut(k, &v).cycles;
}

static fnn_status bwd_data_init(fnn_op *op) {
    const small_view v = bwd_data_view(op->problem);
    return init_view(op, &v);
}

static void bwd_data_run(const fnn_op *op, void *const *buf, void *scratch, const fnn_team *team) {
    run_groups(op, &((const small_plan *)op->plan)->s, buf[0], buf[1], NULL, NULL, buf[2], scratch, team);
}

const conv2d_algorithm fnn_conv2d_small = {"small",      CONV2D_DIRECT, forward_applies,
                                           forward_cost, forward_init,  forward_run};
const conv2d_algorithm fnn_conv2d_small_bwd_data = {"small",       CONV2D_DIRECT, bwd_data_applies,
                                                    bwd_data_cost, bwd_data_init, bwd_data_run};
