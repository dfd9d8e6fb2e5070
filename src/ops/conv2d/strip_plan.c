/* Plans of the strips for the forward pass and for the gradient for the input, and their rows among the algorithms. */
#include <stdlib.h>

#include "strip.h"

#define ALIAS_FLOATS 1024 /* pixels so far apart, or a multiple, fall into the same set of a first-level cache */
#define PACK_WEIGHT 1.1   /* cycles a packed weight that comes from memory, ... */
#define PACK_LONE 2.0     /* ... where it has no neighbours along the taps */
#define PACK_TURNED 1.5   /* the same for the gradient */
#define COPY 0.2          /* cycles a copied value */
#define TILE_OVERHEAD 80  /* cycles a tile */

/* ---- plans ---------------------------------------------------------------------------------------------- */

static strip_plan *new_plan(int64_t n_parts, const conv2d_problem *p) {
    /* Tables: place of each tap, three of segments for each part, and room for two sides' taps. */
    const int64_t taps = p->kh * p->kw, words = taps + 3 * n_parts * p->kw + 2 * (p->kh + p->kw);
    const size_t head = sizeof(strip_plan) + (size_t)n_parts * sizeof(strip_part);
    strip_plan *plan = calloc(1, head + (size_t)words * sizeof(int64_t));
    if (!plan) return NULL;
    plan->n_parts = n_parts, plan->n = p->n, plan->groups = p->groups;
    plan->tables = (int64_t *)((char *)plan + head);
    return plan;
}

static int64_t *segments_of(const strip_plan *plan, const conv2d_problem *p, int64_t part) {
    return plan->tables + p->kh * p->kw + 3 * part * p->kw;
}

static int64_t *room_of(const strip_plan *plan, const conv2d_problem *p) {
    return segments_of(plan, p, plan->n_parts);
}

/* A line's copy: columns from low on, every one or only those that the one tap of each output meets. */
static void set_copy(strip_plan *plan, int64_t grid_w, int64_t step_w, int64_t low, int64_t high, int compact) {
    const int64_t between = compact ? 1 : step_w;
    int64_t pixel = plan->channels;
    if (between * pixel % ALIAS_FLOATS == 0) pixel += 16;
    plan->row = between * pixel;
    plan->copy = (fnn_strip_copy){.src_w = plan->src_w,
                                  .src_pixel = plan->src_pixel,
                                  .first = low,
                                  .step = compact ? step_w : 1,
                                  .columns = compact ? grid_w : (grid_w - 1) * step_w + high - low + 1,
                                  .channels = plan->channels,
                                  .pixel = pixel};
    plan->line = gemm_ceil_div(plan->copy.columns * pixel, 16) * 16;
}

/* First output j >= 0 of at most count for which j * step + offset >= bound. */
static int64_t first_at(int64_t bound, int64_t offset, int64_t step, int64_t count) {
    return offset >= bound ? 0 : gemm_min(count, gemm_ceil_div(bound - offset, step));
}

/* The taps of a part, its segments in copied lines, and the places of its taps in a panel. step: columns of the source
 * between neighbouring outputs. */
static void set_taps(strip_plan *plan, strip_part *f, const strip_taps *h, const strip_taps *w, int64_t kw,
                     int64_t step, int64_t *place) {
    f->k_first = plan->k, f->k = h->count * w->count * plan->channels;
    plan->k += f->k;
    if (f->k == 0) return;
    f->n_taps = h->count, f->tap_first = h->offset[0];
    f->tap_step = h->count > 1 ? h->offset[1] - h->offset[0] : 1;
    f->n_segments = w->count, f->length = plan->channels;
    f->from = f->segment + kw, f->to = f->from + kw;
    f->touching = plan->copy.pixel == plan->channels;
    for (int64_t j = 0; j < w->count; j++) {
        f->from[j] = first_at(0, w->offset[j], step, f->grid_w);
        f->to[j] = gemm_max(f->from[j], first_at(plan->src_w, w->offset[j], step, f->grid_w));
        f->segment[j] = (w->offset[j] - plan->copy.first) / plan->copy.step * plan->copy.pixel;
        if (j > 0) f->touching &= w->offset[j] - w->offset[j - 1] == plan->copy.step;
        for (int64_t i = 0; i < h->count; i++)
            place[h->tap[i] * kw + w->tap[j]] = f->k_first + (i * w->count + j) * plan->channels;
    }
}

strip_plan *fnn_strip_forward_plan(const conv2d_problem *p) {
    strip_plan *plan = new_plan(1, p);
    if (!plan) return NULL;
    const int64_t icg = p->ic / p->groups, ocg = p->oc / p->groups, taps = p->kh * p->kw;
    int64_t *room = room_of(plan, p);
    const strip_taps h = strip_forward_taps(p->kh, p->padding[0], p->dilation[0], room),
                     w = strip_forward_taps(p->kw, p->padding[2], p->dilation[1], room + 2 * p->kh);
    plan->channels = icg, plan->columns = ocg;
    plan->src_h = p->ih, plan->src_w = p->iw, plan->src_pixel = p->ic, plan->step_h = p->stride[0];
    plan->low_h = h.offset[0], plan->high_h = h.offset[h.count - 1];
    plan->lines = p->oh, plan->dst_image = p->oh * p->ow * p->oc;
    set_copy(plan, p->ow, p->stride[1], w.offset[0], w.offset[w.count - 1], w.count == 1);
    plan->copy.prologue = p->in_affine || p->in_activation;
    plan->copy.activation = (int)p->in_activation, plan->copy.slope = (float)p->in_slope;
    plan->part[0] = (strip_part){
        .grid_h = p->oh, .grid_w = p->ow, .line = p->ow * p->oc, .pixel = p->oc, .segment = segments_of(plan, p, 0)};
    set_taps(plan, &plan->part[0], &h, &w, p->kw, p->stride[1], plan->tables);
    plan->weights = (fnn_strip_weights){taps, icg, taps, icg * taps, ocg * icg * taps, plan->tables};
    return plan;
}

strip_plan *fnn_strip_gradient_plan(const conv2d_problem *p) {
    const int64_t sh = p->stride[0], sw = p->stride[1];
    strip_plan *plan = new_plan(sh * sw, p);
    if (!plan) return NULL;
    const int64_t icg = p->ic / p->groups, ocg = p->oc / p->groups, taps = p->kh * p->kw;
    int64_t *room = room_of(plan, p), low_w = 0, high_w = 0;
    plan->channels = ocg, plan->columns = icg;
    plan->src_h = p->oh, plan->src_w = p->ow, plan->src_pixel = p->oc, plan->step_h = 1;
    strip_gradient_reach(p->kh, sh, p->padding[0], p->dilation[0], room, &plan->low_h, &plan->high_h);
    strip_gradient_reach(p->kw, sw, p->padding[2], p->dilation[1], room, &low_w, &high_w);
    plan->lines = strip_phase_size(p->ih, 0, sh), plan->dst_image = p->ih * p->iw * p->ic;
    set_copy(plan, strip_phase_size(p->iw, 0, sw), 1, low_w, high_w, 0);
    for (int64_t i = 0; i < plan->n_parts; i++) {
        const strip_phase f = strip_gradient_phase(p, i, room);
        plan->part[i] = (strip_part){.grid_h = f.grid_h,
                                     .grid_w = f.grid_w,
                                     .first = f.first,
                                     .line = f.line,
                                     .pixel = f.pixel,
                                     .segment = segments_of(plan, p, i)};
        set_taps(plan, &plan->part[i], &f.h, &f.w, p->kw, 1, plan->tables);
    }
    plan->weights = (fnn_strip_weights){taps, ocg, icg * taps, taps, ocg * icg * taps, plan->tables};
    return plan;
}

static fnn_status finish_plan(fnn_op *op, strip_plan *plan) {
    op->plan = plan;
    if (!plan) return fnn_fail(op, FNN_NO_MEMORY, "no memory for the plan");
    plan->runs = fnn_strip_runs(op->k, plan->n, plan->part[0].grid_w);
    fnn_strip_finish(op, plan);
    return FNN_OK;
}

static fnn_status forward_init(fnn_op *op) { return finish_plan(op, fnn_strip_forward_plan(op->problem)); }
static fnn_status gradient_init(fnn_op *op) { return finish_plan(op, fnn_strip_gradient_plan(op->problem)); }

/* ---- runs ----------------------------------------------------------------------------------------------- */

static void forward_run(const fnn_op *op, void *const *buf, void *scratch, const fnn_team *team) {
    const strip_call call = strip_forward_call(op, buf);
    fnn_strip_run(op, &call, scratch, team);
}

static void gradient_run(const fnn_op *op, void *const *buf, void *scratch, const fnn_team *team) {
    const strip_call call = strip_gradient_call(op, buf);
    fnn_strip_run(op, &call, scratch, team);
}

/* ---- choice --------------------------------------------------------------------------------------------- */

static int applies(const fnn_kernels *kernels, const conv2d_problem *p) {
    (void)kernels;
    return !p->statistics && p->n > 0 && p->ic > 0 && p->oc > 0 && p->oh > 0 && p->ow > 0;
}

/* lines of width outputs of one image and part, k taps and channels for n columns. */
static double lines_cost(const fnn_kernels *kernels, int64_t runs, double lines, int64_t width, double k, int64_t n) {
    const double tiles = (double)gemm_ceil_div(width, kernels->strip_mr / runs) / (double)runs *
                         (double)gemm_ceil_div(n, kernels->strip_nr);
    return lines * (fnn_strip_line_cycles(kernels, runs, width, n) * k + TILE_OVERHEAD * tiles);
}

/* Share of a line's products, outputs times taps along w, that are left where those with padding are spared (strip.h);
 * k: channels times lines of taps. */
static double live_share(const conv2d_problem *p, int64_t runs, int64_t k, int64_t outputs) {
    double live = 0;
    for (int64_t t = 0; t < p->kw; t++) {
        const int64_t offset = t * p->dilation[1] - p->padding[2], from = first_at(0, offset, p->stride[1], p->ow);
        const int64_t met = gemm_max(0, first_at(p->iw, offset, p->stride[1], p->ow) - from);
        live += strip_spares((outputs - met) * runs, k) ? (double)met + 1 / (double)runs : (double)outputs;
    }
    return live / (double)(outputs * p->kw);
}

static double weight_cycles(int64_t taps) { return taps > 1 ? PACK_WEIGHT : PACK_LONE; }

static double forward_cost(const fnn_kernels *kernels, const conv2d_problem *p) {
    const int64_t icg = p->ic / p->groups, ocg = p->oc / p->groups, taps = p->kh * p->kw;
    const int64_t runs = fnn_strip_runs(kernels, p->n, p->ow);
    const double k = (double)(icg * taps) * live_share(p, runs, icg * p->kh, p->ow);
    const double tiles = lines_cost(kernels, runs, (double)(p->n * p->oh), p->ow, k, ocg);
    return (double)p->groups * tiles + COPY * (double)(p->n * p->ih * p->iw * p->ic) +
           weight_cycles(taps) * (double)(p->oc * icg * taps);
}

static double gradient_cost(const fnn_kernels *kernels, const conv2d_problem *p) {
    const int64_t icg = p->ic / p->groups, ocg = p->oc / p->groups, taps = p->kh * p->kw;
    const int64_t phases = p->stride[0] * p->stride[1], width = strip_phase_size(p->iw, 0, p->stride[1]);
    const double lines = (double)(p->n * strip_phase_size(p->ih, 0, p->stride[0]) * phases);
    const int64_t runs = fnn_strip_runs(kernels, p->n, width);
    const double k = (double)(ocg * taps) / (double)phases * live_share(p, runs, ocg * p->kh / p->stride[0], width);
    const double tiles = lines_cost(kernels, runs, lines, width, k, icg);
    return (double)p->groups * tiles + COPY * (double)(p->n * p->oh * p->ow * p->oc) +
           PACK_TURNED * (double)(p->oc * icg * taps);
}

const conv2d_algorithm fnn_conv2d_strip = {"strip", CONV2D_DIRECT, applies, forward_cost, forward_init, forward_run};
const conv2d_algorithm fnn_conv2d_strip_bwd_data = {"strip",       CONV2D_DIRECT, applies,
                                                    gradient_cost, gradient_init, gradient_run};
