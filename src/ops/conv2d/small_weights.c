/* Gradient for the weights of a convolution with few channels: each lane sums the outer products of its tiles' pixels
 * and taps; chunks of tiles fixed by shape keep sums of their own, whose lanes meet at the end. A tile is never larger
 * than what remains of the image: a pixel that is not there would meet real values of x. */
#include <float.h>
#include <stdlib.h>

#include "small.h"

#define MOST_CHUNKS 16
#define LINES_PIXELS 64       /* of dy in the first-level cache */
#define PART_FLOATS (1 << 20) /* most that the chunks' sums may take */
#define ADD_CYCLES 2.0        /* to add a vector to a chunk's sums */
#define SUM_CYCLES 4.0        /* to sum a vector's lanes */

typedef struct weights_cut {
    int64_t rows, columns, groups;
    double cycles;
} weights_cut;

typedef struct weights_plan {
    fnn_small_outer s;
    int64_t groups, chunks, part; /* part: floats of a chunk's sums */
    int32_t tables[];             /* places of the taps, of the pixels */
} weights_plan;

static int64_t taps_of(const conv2d_problem *p) { return p->ic * p->kh * p->kw; }

static int64_t in_floats(const conv2d_problem *p, int64_t columns) {
    return small_reach(columns, p->stride[1], p->kw, p->dilation[1]) * p->ic;
}

/* Lines of dy that are taken at once. */
static int64_t lines_of(int64_t rows, int64_t columns) {
    const int64_t turns = gemm_ceil_div(rows, gemm_max(1, LINES_PIXELS / columns));
    return gemm_ceil_div(rows, turns);
}

static int64_t tile_floats(const fnn_kernels *k, const conv2d_problem *p, int64_t rows, int64_t columns) {
    const int64_t in = in_floats(p, columns), out = columns * p->oc;
    const int64_t rows_in = small_reach(rows, p->stride[0], p->kh, p->dilation[0]);
    return (in * rows_in + out * (lines_of(rows, columns) + 1)) * k->vl + small_edge_floats(k, in, rows_in, out);
}

/* Cycles of one pixel of VL tiles. */
static double pixel_cycles(const fnn_kernels *k, const conv2d_problem *p) {
    const int64_t taps = taps_of(p), blocks = gemm_ceil_div(taps, k->small_p);
    double cycles = 0;
    for (int64_t i = 0; i < blocks; i++)
        cycles += small_parts_cycles(p->oc, k->small_r, taps * (i + 1) / blocks - taps * i / blocks, 0,
                                     SMALL_WEIGHTS_EFFICIENCY);
    return cycles;
}

static weights_cut best_cut(const fnn_kernels *k, const conv2d_problem *p) {
    weights_cut best = {.cycles = DBL_MAX};
    const double pixel = pixel_cycles(k, p), sums = (double)(taps_of(p) * p->oc);
    for (int64_t rows = 1; rows <= p->oh; rows++) {
        if (p->oh % rows) continue;
        const int64_t rows_in = small_reach(rows, p->stride[0], p->kh, p->dilation[0]);
        for (int64_t columns = 1; columns <= p->ow; columns++) {
            if (p->ow % columns || tile_floats(k, p, rows, columns) > SMALL_TILE_FLOATS) continue;
            weights_cut cut = {.rows = rows, .columns = columns};
            cut.groups = gemm_ceil_div(p->n * (p->oh / rows) * (p->ow / columns), k->vl);
            const double turned = (double)(rows_in * in_floats(p, columns) + rows * columns * p->oc);
            const double each = (double)(rows * columns) * pixel + SMALL_TURN * turned +
                                SMALL_LINE * (double)(rows_in + rows) +
                                ADD_CYCLES * sums * (double)(rows / lines_of(rows, columns));
            cut.cycles = small_total_cycles(cut.groups, each) + SUM_CYCLES * sums;
            if (cut.cycles < best.cycles) best = cut;
        }
    }
    return best;
}

static int applies(const fnn_kernels *k, const conv2d_problem *p) {
    return p->groups == 1 && p->n > 0 && p->ic > 0 && p->oc > 0 && p->ic <= SMALL_CHANNELS &&
           p->oc <= SMALL_CHANNELS && taps_of(p) <= SMALL_TAPS && tile_floats(k, p, 1, 1) <= SMALL_TILE_FLOATS;
}

static double cost(const fnn_kernels *k, const conv2d_problem *p) { return best_cut(k, p).cycles; }

static fnn_small_tiles tiles_of(const conv2d_problem *p, const weights_cut *cut) {
    return (fnn_small_tiles){.images = p->n,
                             .h = p->oh,
                             .w = p->ow,
                             .c = p->oc,
                             .grid_h = p->oh / cut->rows,
                             .grid_w = p->ow / cut->columns,
                             .step_h = cut->rows,
                             .step_w = cut->columns,
                             .rows = cut->rows,
                             .columns = cut->columns};
}

/* Where the taps and the pixels of some lines lie in the turned tile of x. */
static void fill_tables(const conv2d_problem *p, const fnn_small_outer *s, int64_t vl, int32_t *x_at,
                        int32_t *pixel_at) {
    const int64_t pixel = p->ic * vl, line = s->from.columns * pixel;
    for (int64_t c = 0; c < p->ic; c++)
        for (int64_t h = 0; h < p->kh; h++)
            for (int64_t w = 0; w < p->kw; w++)
                *x_at++ = (int32_t)(h * p->dilation[0] * line + w * p->dilation[1] * pixel + c * vl);
    for (int64_t h = 0; h < s->lines; h++)
        for (int64_t w = 0; w < s->columns; w++)
            *pixel_at++ = (int32_t)(h * p->stride[0] * line + w * p->stride[1] * pixel);
}

static fnn_status init(fnn_op *op) {
    const conv2d_problem *p = op->problem;
    const weights_cut cut = best_cut(op->k, p);
    const int64_t taps = taps_of(p), vl = op->k->vl, lines = lines_of(cut.rows, cut.columns);
    weights_plan *plan = op->plan = malloc(sizeof *plan + (size_t)(taps + lines * cut.columns) * sizeof(int32_t));
    if (!plan) return fnn_fail(op, FNN_NO_MEMORY, "no memory for %lld taps", (long long)taps);
    *plan = (weights_plan){.groups = cut.groups, .part = taps * p->oc * vl};
    plan->chunks = gemm_min(gemm_min(cut.groups, MOST_CHUNKS), gemm_max(1, PART_FLOATS / plan->part));
    fnn_small_outer *s = &plan->s;
    *s = (fnn_small_outer){.outputs = p->oc, .taps = taps, .rows = cut.rows, .columns = cut.columns, .lines = lines};
    s->grad = s->from = tiles_of(p, &cut);
    s->from.h = p->ih, s->from.w = p->iw, s->from.c = p->ic;
    s->from.first_h = -p->padding[0], s->from.first_w = -p->padding[2];
    s->from.step_h *= p->stride[0], s->from.step_w *= p->stride[1];
    s->from.rows = small_reach(cut.rows, p->stride[0], p->kh, p->dilation[0]);
    s->from.columns = small_reach(cut.columns, p->stride[1], p->kw, p->dilation[1]);
    s->x_row = p->stride[0] * s->from.columns * p->ic * vl;
    s->x_floats = s->from.rows * s->from.columns * p->ic * vl;
    s->x_at = plan->tables, s->pixel_at = plan->tables + taps;
    fill_tables(p, s, vl, plan->tables, plan->tables + taps);
    s->from = small_as_line(s->from);
    op->units = plan->chunks;
    op->scratch_shared = (size_t)(plan->chunks * plan->part) * sizeof(float);
    op->scratch_thread = (size_t)tile_floats(op->k, p, cut.rows, cut.columns) * sizeof(float);
    return FNN_OK;
}

static void run(const fnn_op *op, void *const *buf, void *scratch, const fnn_team *team) {
    const conv2d_problem *p = op->problem;
    const weights_plan *plan = op->plan;
    float *parts = scratch, *mine = fnn_thread_scratch(op, scratch, team->tid), *dw = buf[2];
    const int64_t vl = op->k->vl, sums = taps_of(p) * p->oc;
    int64_t lo, hi;
    fnn_share(plan->chunks, team->tid, team->n, &lo, &hi);
    for (int64_t c = lo; c < hi; c++) {
        const int64_t first = plan->groups * c / plan->chunks, end = plan->groups * (c + 1) / plan->chunks;
        for (int64_t u = first; u < end; u++)
            op->k->conv_small_weights(&plan->s, u * vl, buf[0], buf[1], parts + c * plan->part, u > first, mine);
    }
    fnn_team_wait(team);
    fnn_share(gemm_ceil_div(sums, vl), team->tid, team->n, &lo, &hi);
    if (lo < hi)
        op->k->conv_small_sum(gemm_min(sums, hi * vl) - lo * vl, parts + lo * vl * vl, plan->chunks, plan->part,
                              dw + lo * vl);
}

const conv2d_algorithm fnn_conv2d_small_bwd_weights = {"small", CONV2D_DIRECT, applies, cost, init, run};
