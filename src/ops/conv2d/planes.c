/* Direct convolution with few destination channels a group, vectors along lines of pixels (kernels/conv_planes.h):
 * grouped layers of a few channels a group, and the gradient for an image of three. Parts are as in strip.h. */
#include <stdlib.h>

#include "strip.h"

#define MOST_CHANNELS 12                  /* a group's destination channels */
#define BLOCK_FLOATS ((int64_t)128 << 10) /* turned source lines that stay in the second-level cache */
#define TURN 0.4                          /* cycles a turned source value */
#define TILE_OVERHEAD 60                  /* cycles a tile */
#define STORE 5                           /* cycles an output pixel of a tile */
#define EFFICIENCY 0.85

typedef struct planes_part {
    int64_t grid_h, grid_w, first, line, pixel;
    int64_t n_taps, tap_first, tap_step, n_shifts, *shift;
    int64_t w_first; /* its rows in a block of weights */
} planes_part;

typedef struct planes_plan {
    int64_t n, groups, channels, src_h, src_w, src_pixel, step_h;
    int64_t phases, width, line; /* residues of columns; floats of a plane's row; of a turned line */
    int64_t low_w, columns_w;
    int64_t low_h, high_h, lines, block, block_lines;
    int64_t columns, quads, k, dst_image; /* destination channels of a group in blocks of four; rows of weights */
    int64_t column_stride, channel_stride, taps;
    int64_t n_parts, *place, *tables;
    planes_part part[];
} planes_plan;

typedef struct planes_call {
    const float *src, *w, *bias, *residual;
    float *dst;
    int accumulate, activation;
    float slope;
} planes_call;

static int64_t vectors_at_once(const fnn_kernels *kernels, int64_t m) {
    return m == 4 && kernels->planes_nv > 6 ? 6 : kernels->planes_nv;
}

/* ---- plan ----------------------------------------------------------------------------------------------- */

static planes_plan *new_plan(fnn_op *op, int64_t n_parts, int64_t phases, int64_t channels, int64_t columns) {
    const conv2d_problem *p = op->problem;
    const int64_t words = p->kh * p->kw + n_parts * p->kw + 2 * (p->kh + p->kw);
    const size_t head = sizeof(planes_plan) + (size_t)n_parts * sizeof(planes_part);
    planes_plan *plan = op->plan = calloc(1, head + (size_t)words * sizeof(int64_t));
    if (!plan) return NULL;
    plan->n = p->n, plan->groups = p->groups, plan->n_parts = n_parts, plan->phases = phases;
    plan->channels = channels, plan->columns = columns, plan->quads = gemm_ceil_div(columns, 4);
    plan->taps = p->kh * p->kw;
    plan->place = (int64_t *)((char *)plan + head);
    plan->tables = plan->place + plan->taps;
    return plan;
}

/* Planes wide enough for grid_w outputs, whole vectors of them, at every shift. */
static void set_width(planes_plan *plan, const fnn_kernels *kernels, int64_t grid_w, int64_t low, int64_t high) {
    const int64_t vl = kernels->vl, reach = (high - low) / plan->phases;
    plan->low_w = low, plan->columns_w = grid_w + reach;
    plan->width = gemm_ceil_div(gemm_ceil_div(grid_w, vl) * vl + reach, vl) * vl;
    plan->line = plan->phases * plan->src_pixel * plan->width;
}

static void set_part(planes_plan *plan, planes_part *f, const strip_taps *h, const strip_taps *w, int64_t kw) {
    f->w_first = plan->k;
    if (h->count * w->count == 0) return;
    f->n_taps = h->count, f->tap_first = h->offset[0];
    f->tap_step = h->count > 1 ? h->offset[1] - h->offset[0] : 1;
    f->n_shifts = w->count;
    plan->k += h->count * w->count * plan->channels;
    for (int64_t j = 0; j < w->count; j++) {
        const int64_t at = w->offset[j] - plan->low_w;
        f->shift[j] = at % plan->phases * plan->src_pixel * plan->width + at / plan->phases;
        for (int64_t i = 0; i < h->count; i++)
            plan->place[h->tap[i] * kw + w->tap[j]] = f->w_first + i * plan->channels * w->count + j;
    }
}

static void finish(fnn_op *op, planes_plan *plan) {
    const int64_t reach = plan->high_h - plan->low_h + 1, fit = BLOCK_FLOATS / gemm_max(1, plan->line);
    plan->block = gemm_max(1, gemm_min(plan->lines, (fit - reach) / plan->step_h + 1));
    plan->block_lines = gemm_min(plan->src_h, (plan->block - 1) * plan->step_h + reach);
    op->units = plan->n * plan->lines;
    op->scratch_shared = (size_t)(plan->groups * plan->columns * plan->k) * sizeof(float);
    op->scratch_thread = (size_t)(plan->block_lines * plan->line) * sizeof(float);
}

static fnn_status forward_init(fnn_op *op) {
    const conv2d_problem *p = op->problem;
    const int64_t icg = p->ic / p->groups, ocg = p->oc / p->groups;
    planes_plan *plan = new_plan(op, 1, p->stride[1], icg, ocg);
    if (!plan) return fnn_fail(op, FNN_NO_MEMORY, "no memory for the plan");
    int64_t *room = plan->tables + p->kw;
    const strip_taps h = strip_forward_taps(p->kh, p->padding[0], p->dilation[0], room),
                     w = strip_forward_taps(p->kw, p->padding[2], p->dilation[1], room + 2 * p->kh);
    plan->src_h = p->ih, plan->src_w = p->iw, plan->src_pixel = p->ic, plan->step_h = p->stride[0];
    plan->low_h = h.offset[0], plan->high_h = h.offset[h.count - 1];
    plan->lines = p->oh, plan->dst_image = p->oh * p->ow * p->oc;
    plan->column_stride = icg * plan->taps, plan->channel_stride = plan->taps;
    set_width(plan, op->k, p->ow, w.offset[0], w.offset[w.count - 1]);
    plan->part[0] = (planes_part){
        .grid_h = p->oh, .grid_w = p->ow, .line = p->ow * p->oc, .pixel = p->oc, .shift = plan->tables};
    set_part(plan, &plan->part[0], &h, &w, p->kw);
    finish(op, plan);
    return FNN_OK;
}

static fnn_status gradient_init(fnn_op *op) {
    const conv2d_problem *p = op->problem;
    const int64_t sh = p->stride[0], sw = p->stride[1], icg = p->ic / p->groups, ocg = p->oc / p->groups;
    planes_plan *plan = new_plan(op, sh * sw, 1, ocg, icg);
    if (!plan) return fnn_fail(op, FNN_NO_MEMORY, "no memory for the plan");
    int64_t *room = plan->tables + plan->n_parts * p->kw, low_w = 0, high_w = 0;
    plan->src_h = p->oh, plan->src_w = p->ow, plan->src_pixel = p->oc, plan->step_h = 1;
    strip_gradient_reach(p->kh, sh, p->padding[0], p->dilation[0], room, &plan->low_h, &plan->high_h);
    strip_gradient_reach(p->kw, sw, p->padding[2], p->dilation[1], room, &low_w, &high_w);
    plan->lines = strip_phase_size(p->ih, 0, sh), plan->dst_image = p->ih * p->iw * p->ic;
    plan->column_stride = plan->taps, plan->channel_stride = icg * plan->taps;
    set_width(plan, op->k, strip_phase_size(p->iw, 0, sw), low_w, high_w);
    for (int64_t i = 0; i < plan->n_parts; i++) {
        const strip_phase f = strip_gradient_phase(p, i, room);
        plan->part[i] = (planes_part){.grid_h = f.grid_h,
                                      .grid_w = f.grid_w,
                                      .first = f.first,
                                      .line = f.line,
                                      .pixel = f.pixel,
                                      .shift = plan->tables + i * p->kw};
        set_part(plan, &plan->part[i], &f.h, &f.w, p->kw);
    }
    finish(op, plan);
    return FNN_OK;
}

/* ---- run ------------------------------------------------------------------------------------------------ */

/* Weights of one group's block of up to four channels: [part][line of taps][channel][tap][m]. */
static void pack_quad(const planes_plan *plan, const float *w, int64_t group, int64_t quad, float *dst) {
    const int64_t m = gemm_min(4, plan->columns - quad * 4);
    const float *base = w + group * plan->columns * plan->channels * plan->taps + quad * 4 * plan->column_stride;
    for (int64_t p = 0; p < plan->n_parts; p++) {
        const planes_part *f = &plan->part[p];
        const int64_t end = f->w_first + f->n_taps * f->n_shifts * plan->channels;
        for (int64_t t = 0; t < plan->taps; t++) {
            if (plan->place[t] < f->w_first || plan->place[t] >= end) continue;
            for (int64_t c = 0; c < plan->channels; c++)
                for (int64_t j = 0; j < m; j++)
                    dst[(plan->place[t] + c * f->n_shifts) * m + j] =
                        base[j * plan->column_stride + c * plan->channel_stride + t];
        }
    }
}

/* Source lines [h0, h1) of one image, a plane a channel and residue. */
static void turn_lines(const fnn_op *op, const float *image, int64_t h0, int64_t h1, float *dst) {
    const planes_plan *plan = op->plan;
    for (int64_t h = h0; h < h1; h++)
        for (int64_t r = 0; r < plan->phases; r++) {
            const fnn_strip_copy copy = {.src_w = plan->src_w,
                                         .src_pixel = plan->src_pixel,
                                         .first = plan->low_w + r,
                                         .step = plan->phases,
                                         .columns = plan->columns_w,
                                         .channels = plan->src_pixel};
            op->k->conv_planes_copy(&copy, image + h * plan->src_w * plan->src_pixel, plan->width,
                                    dst + (h - h0) * plan->line + r * plan->src_pixel * plan->width);
        }
}

/* Output lines [i0, i1) of one part, group and block of channels; a: the turned lines from h0 on. */
static void run_quad(const fnn_op *op, const planes_call *call, const planes_part *f, int64_t image, int64_t group,
                     int64_t quad, int64_t i0, int64_t i1, int64_t h0, const float *a, const float *w) {
    const planes_plan *plan = op->plan;
    const int64_t vl = op->k->vl, m = gemm_min(4, plan->columns - quad * 4);
    const int64_t vectors = gemm_ceil_div(f->grid_w, vl), strips = gemm_ceil_div(vectors, vectors_at_once(op->k, m));
    const int64_t channel = group * plan->columns + quad * 4, at = image * plan->dst_image + f->first + channel;
    fnn_planes s = {.h0 = h0,
                    .line = plan->line,
                    .plane = plan->width,
                    .src_h = plan->src_h,
                    .step = plan->step_h,
                    .n_taps = f->n_taps,
                    .tap_first = f->tap_first,
                    .tap_step = f->tap_step,
                    .n_shifts = f->n_shifts,
                    .shift = f->shift,
                    .channels = plan->channels,
                    .w = w + f->w_first * m,
                    .m = m,
                    .c_line = f->line,
                    .c_pixel = f->pixel,
                    .accumulate = call->accumulate,
                    .bias = call->bias ? call->bias + channel : NULL,
                    .activation = call->activation,
                    .slope = call->slope};
    for (int64_t i = 0; i < strips; i++) {
        const int64_t first = vectors * i / strips * vl;
        s.outputs = gemm_min(f->grid_w, vectors * (i + 1) / strips * vl) - first;
        s.a = a + group * plan->channels * plan->width + first;
        s.c = call->dst + at + first * f->pixel;
        s.residual = call->residual ? call->residual + at + first * f->pixel : NULL;
        op->k->conv_planes(&s, i0, i1);
    }
}

static void planes_run(const fnn_op *op, const planes_call *call, void *scratch, const fnn_team *team) {
    const planes_plan *plan = op->plan;
    float *packed = scratch, *turned = fnn_thread_scratch(op, scratch, team->tid);
    int64_t lo, hi;
    fnn_share(plan->groups * plan->quads, team->tid, team->n, &lo, &hi);
    for (int64_t u = lo; u < hi; u++) {
        const int64_t group = u / plan->quads, quad = u % plan->quads;
        pack_quad(plan, call->w, group, quad, packed + (group * plan->columns + quad * 4) * plan->k);
    }
    fnn_team_wait(team);
    fnn_share(plan->n * plan->lines, team->tid, team->n, &lo, &hi);
    for (int64_t u = lo, next; u < hi; u = next) {
        const int64_t image = u / plan->lines, i0 = u - image * plan->lines;
        next = gemm_min(gemm_min(hi, (image + 1) * plan->lines), u + plan->block);
        const int64_t i1 = i0 + next - u;
        const int64_t h0 = gemm_max(0, i0 * plan->step_h + plan->low_h);
        const int64_t h1 = gemm_max(h0, gemm_min(plan->src_h, (i1 - 1) * plan->step_h + plan->high_h + 1));
        turn_lines(op, call->src + image * plan->src_h * plan->src_w * plan->src_pixel, h0, h1, turned);
        for (int64_t p = 0; p < plan->n_parts; p++)
            for (int64_t q = 0; q < plan->groups * plan->quads; q++) {
                const planes_part *f = &plan->part[p];
                const int64_t group = q / plan->quads, quad = q % plan->quads;
                if (f->grid_w > 0)
                    run_quad(op, call, f, image, group, quad, i0, gemm_min(i1, f->grid_h), h0, turned,
                             packed + (group * plan->columns + quad * 4) * plan->k);
            }
    }
}

static void forward_run(const fnn_op *op, void *const *buf, void *scratch, const fnn_team *team) {
    const conv2d_problem *p = op->problem;
    const planes_call call = {
        buf[X], buf[W], buf[BIAS], buf[RESIDUAL], buf[Y], (int)p->accumulate, (int)p->activation, (float)p->slope};
    planes_run(op, &call, scratch, team);
}

static void gradient_run(const fnn_op *op, void *const *buf, void *scratch, const fnn_team *team) {
    const planes_call call = {.src = buf[0], .w = buf[1], .dst = buf[2]};
    planes_run(op, &call, scratch, team);
}

/* ---- choice --------------------------------------------------------------------------------------------- */

static int fits(const conv2d_problem *p, int64_t columns) {
    const int few = p->groups == 1 && p->ic <= 16 && p->oc <= 16;
    return !few && !conv2d_is_depthwise(p) && columns <= MOST_CHANNELS && p->n > 0 && p->ic > 0 && p->oc > 0 &&
           p->oh > 0 && p->ow > 0;
}

static int forward_applies(const fnn_kernels *kernels, const conv2d_problem *p) {
    (void)kernels;
    return fits(p, p->oc / p->groups) && !p->statistics && !p->in_affine && !p->in_activation;
}

static int gradient_applies(const fnn_kernels *kernels, const conv2d_problem *p) {
    (void)kernels;
    return fits(p, p->ic / p->groups);
}

/* One line of width outputs for a group's columns, with k taps and channels. */
static double line_cost(const fnn_kernels *kernels, int64_t width, int64_t columns, double k) {
    const int64_t vectors = gemm_ceil_div(width, kernels->vl);
    double cycles = 0;
    for (int64_t m = 0; m < columns; m += 4) {
        const int64_t rows = gemm_min(4, columns - m),
                      strips = gemm_ceil_div(vectors, vectors_at_once(kernels, rows));
        const double fma = (double)(rows * vectors) / 2, load = (double)(rows * strips + 2 * vectors) / 2;
        cycles += k * (fma > load ? fma : load) / EFFICIENCY + (double)(TILE_OVERHEAD * strips + STORE * width);
    }
    return cycles;
}

static double forward_cost(const fnn_kernels *kernels, const conv2d_problem *p) {
    const double k = (double)(p->ic / p->groups * p->kh * p->kw);
    return (double)(p->n * p->oh * p->groups) * line_cost(kernels, p->ow, p->oc / p->groups, k) +
           TURN * (double)(p->n * p->ih * p->iw * p->ic);
}

static double gradient_cost(const fnn_kernels *kernels, const conv2d_problem *p) {
    const double phases = (double)(p->stride[0] * p->stride[1]),
                 k = (double)(p->oc / p->groups * p->kh * p->kw) / phases;
    const double lines = (double)(p->n * strip_phase_size(p->ih, 0, p->stride[0]) * p->groups) * phases;
    return lines * line_cost(kernels, strip_phase_size(p->iw, 0, p->stride[1]), p->ic / p->groups, k) +
           TURN * (double)(p->n * p->oh * p->ow * p->oc);
}

const conv2d_algorithm fnn_conv2d_planes = {"planes",     CONV2D_DIRECT, forward_applies,
                                            forward_cost, forward_init,  forward_run};
const conv2d_algorithm fnn_conv2d_planes_bwd_data = {"planes",      CONV2D_DIRECT, gradient_applies,
                                                     gradient_cost, gradient_init, gradient_run};
