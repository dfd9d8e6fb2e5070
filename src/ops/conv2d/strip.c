/* See strip.h. */
#include <string.h>

#include "strip.h"

#define BLOCK_FLOATS ((int64_t)80 << 10) /* copied source lines that stay in the second-level cache, beside a panel */
#define FEW_PIXELS 2                     /* weights so many times larger than the source: threads share panels */
#define PANELS_A_THREAD 4                /* below, a thread's share of the panels would be uneven */
#define SHORT_CHANNELS 64                /* a group's share of a pixel, too short to read it by itself */
#define LINE 16                          /* floats of a cache line */
#define OTHER_WORK 1.0                   /* cycles that a tile takes for each k beside its multiply-adds, ... */
#define OTHER_WORK_AVX2 0.6              /* ... less where three loads start in a cycle, not two */

/* ---- plan ----------------------------------------------------------------------------------------------- */

static int64_t strips_of(const fnn_kernels *kernels, int64_t runs, int64_t grid_w) {
    return gemm_ceil_div(grid_w, kernels->strip_mr / runs);
}

/* A tile's cycles for one k: multiply-adds, loads, or the latency of too few chains; some more for its other work. */
static double tile_cycles(const fnn_kernels *kernels, int64_t rows, int64_t vectors) {
    const double fma = (double)(rows * vectors) / 2, load = (double)(rows + vectors) / 2;
    const double other = kernels->vl == 8 ? OTHER_WORK_AVX2 : OTHER_WORK;
    return other + (fma > load ? fma > 4 ? fma : 4 : load > 4 ? load : 4);
}

double fnn_strip_line_cycles(const fnn_kernels *kernels, int64_t runs, int64_t grid_w, int64_t columns) {
    const int64_t strips = strips_of(kernels, runs, grid_w), vectors = gemm_ceil_div(columns, kernels->vl);
    double cycles = 0;
    for (int64_t s = 0; s < strips; s++) {
        const int64_t width = grid_w * (s + 1) / strips - grid_w * s / strips;
        cycles += (double)(vectors / 2) * tile_cycles(kernels, runs * width, 2);
        if (vectors % 2) cycles += tile_cycles(kernels, runs * width, 1);
    }
    return cycles / (double)runs;
}

int64_t fnn_strip_runs(const fnn_kernels *kernels, int64_t n, int64_t grid_w) {
    const int64_t columns = kernels->strip_nr;
    return n > 1 && fnn_strip_line_cycles(kernels, 2, grid_w, columns) <
                        0.97 * fnn_strip_line_cycles(kernels, 1, grid_w, columns)
               ? 2
               : 1;
}

static int64_t panel_width(const fnn_kernels *kernels, int64_t columns) {
    return gemm_ceil_div(columns, kernels->vl) * kernels->vl;
}

/* Floats of one group's packed weights. */
static int64_t weight_floats(const fnn_kernels *kernels, const strip_plan *plan) {
    return panel_width(kernels, plan->columns) * plan->k;
}

void fnn_strip_finish(fnn_op *op, strip_plan *plan) {
    const fnn_kernels *kernels = op->k;
    const int64_t reach = plan->high_h - plan->low_h + 1;
    plan->panels = gemm_ceil_div(plan->columns, kernels->strip_nr);
    plan->sets = gemm_ceil_div(plan->n, plan->runs);
    /* A large panel comes from further away, and must meet more lines for it. */
    const int64_t fit = (BLOCK_FLOATS + kernels->strip_nr * plan->k) / gemm_max(1, plan->runs * plan->line);
    plan->block = gemm_max(1, gemm_min(plan->lines, (fit - reach) / plan->step_h + 1));
    plan->block_lines = gemm_min(plan->src_h, (plan->block - 1) * plan->step_h + reach);
    const int64_t weights = weight_floats(kernels, plan), source = plan->n * plan->src_h * plan->line;
    plan->by_panels = plan->groups == 1 && weights > FEW_PIXELS * source;
    plan->groups_inside = plan->groups > 1 && plan->channels < SHORT_CHANNELS;
    op->units = (plan->groups_inside ? 1 : plan->groups) * plan->sets * plan->lines;
    op->scratch_shared = (size_t)(plan->groups * weights) * sizeof(float);
    op->scratch_thread = (size_t)(plan->runs * plan->block_lines * plan->line) * sizeof(float);
    if (plan->by_panels) {
        const size_t copies = (size_t)(plan->sets * plan->runs * plan->src_h * plan->line) * sizeof(float);
        const size_t panel = (size_t)(kernels->strip_nr * plan->k) * sizeof(float);
        op->units = gemm_max(op->units, plan->panels);
        if (op->scratch_shared < copies) op->scratch_shared = copies;
        if (op->scratch_thread < panel) op->scratch_thread = panel;
    }
}

/* ---- run ------------------------------------------------------------------------------------------------ */

static void pack_panel(const fnn_op *op, const strip_call *call, int64_t group, int64_t panel, float *dst) {
    const strip_plan *plan = call->plan;
    const int64_t j = panel * op->k->strip_nr, columns = gemm_min(op->k->strip_nr, plan->columns - j);
    const float *w = call->w + group * plan->weights.group_stride + j * plan->weights.column_stride;
    op->k->conv_strip_weights(&plan->weights, w, columns, dst);
}

/* Whether any output line meets this line of the source. */
static int is_needed(const strip_plan *plan, int64_t h) {
    const strip_part *f = &plan->part[0];
    if (plan->step_h == 1) return 1;
    for (int64_t t = 0; t < f->n_taps; t++)
        if ((h - f->tap_first - t * f->tap_step) % plan->step_h == 0) return 1;
    return 0;
}

/* Lines [h0, h1) of one image's group to dst. */
static void copy_lines(const fnn_op *op, const strip_call *call, int64_t image, int64_t group, int64_t h0, int64_t h1,
                       float *dst) {
    const strip_plan *plan = call->plan;
    const int64_t channel = group * plan->channels;
    fnn_strip_copy copy = plan->copy;
    if (call->in_scale) copy.scale = call->in_scale + channel;
    if (call->in_shift) copy.shift = call->in_shift + channel;
    const float *src = call->src + image * plan->src_h * plan->src_w * plan->src_pixel + channel;
    for (int64_t h = h0; h < h1; h++)
        if (is_needed(plan, h))
            op->k->conv_strip_copy(&copy, src + h * plan->src_w * plan->src_pixel, dst + (h - h0) * plan->line);
}

/* Output lines [i0, i1) of a set of images in one group. */
typedef struct strip_block {
    int64_t group, set, i0, i1;
    int64_t h0, h1; /* the source lines that they need */
} strip_block;

/* The block that starts at unit u and ends by hi: a thread's lines of one image, cut evenly. */
static strip_block block_at(const strip_plan *plan, int64_t lo, int64_t u, int64_t hi) {
    const int64_t image = u / plan->lines, start = gemm_max(lo, image * plan->lines),
                  end = gemm_min(hi, (image + 1) * plan->lines);
    const int64_t blocks = gemm_ceil_div(end - start, plan->block), each = gemm_ceil_div(end - start, blocks);
    strip_block b = {.group = image / plan->sets, .set = image % plan->sets, .i0 = u - image * plan->lines};
    b.i1 = gemm_min(end, u + each) - image * plan->lines;
    b.h0 = gemm_max(0, b.i0 * plan->step_h + plan->low_h);
    b.h1 = gemm_max(b.h0, gemm_min(plan->src_h, (b.i1 - 1) * plan->step_h + plan->high_h + 1));
    return b;
}

static int64_t images_of(const strip_plan *plan, int64_t set) {
    return gemm_min(plan->runs, plan->n - set * plan->runs);
}

/* Where one part begins for one set, group and panel, and how it is finished. */
static fnn_strip part_of(const strip_call *call, const strip_part *f, int64_t set, int64_t group, int64_t j) {
    const strip_plan *plan = call->plan;
    const int64_t channel = group * plan->columns + j, at = set * plan->runs * plan->dst_image + f->first + channel;
    return (fnn_strip){.line = plan->line,
                       .row = plan->row,
                       .src_h = plan->src_h,
                       .step = plan->step_h,
                       .n_taps = f->n_taps,
                       .tap_first = f->tap_first,
                       .tap_step = f->tap_step,
                       .line_k = f->n_segments * f->length,
                       .runs = (int)images_of(plan, set),
                       .c = call->dst + at,
                       .c_line = f->line,
                       .c_pixel = f->pixel,
                       .c_run = plan->dst_image,
                       .accumulate = call->accumulate,
                       .bias = call->bias ? call->bias + channel : NULL,
                       .residual = call->residual ? call->residual + at : NULL,
                       .activation = call->activation,
                       .slope = call->slope};
}

/* Whether outputs of a strip that only meet padding at a segment are worth a pass without them. */
static int is_apart(const strip_part *f, const fnn_strip *s, const fnn_strip_pass *met, int64_t vectors) {
    const int64_t spared = (s->width - (met->hi - met->lo)) * s->runs * vectors / 2;
    return strip_spares(spared, f->length * f->n_taps);
}

/* The outputs of the strip from `first` on that meet segment g. */
static fnn_strip_pass pass_of(const strip_part *f, const fnn_strip *s, int64_t first, int64_t g) {
    const int64_t lo = gemm_max(0, f->from[g] - first), hi = gemm_min(s->width, f->to[g] - first);
    return (fnn_strip_pass){.lo = lo,
                            .hi = gemm_max(lo, hi),
                            .first = g * f->length,
                            .n_segments = 1,
                            .length = f->length,
                            .segment = f->segment + g};
}

/* Segments [g0, g1) as one pass over all outputs. */
static fnn_strip_pass pass_of_all(const strip_part *f, const fnn_strip *s, int64_t g0, int64_t g1) {
    fnn_strip_pass all = pass_of(f, s, 0, g0);
    all.lo = 0, all.hi = s->width;
    if (f->touching)
        all.length *= g1 - g0;
    else
        all.n_segments = g1 - g0;
    return all;
}

/* Taps at the ends of a line that too many of the strip's outputs meet as padding have passes of their own, over the
 * others; the rest of the taps are the last pass. */
static void set_passes(const strip_part *f, int64_t vectors, int64_t first, fnn_strip *s) {
    int64_t g0 = 0, g1 = f->n_segments;
    fnn_strip_pass met;
    while (g0 < g1 && (met = pass_of(f, s, first, g0), is_apart(f, s, &met, vectors))) g0++;
    while (g1 > g0 && (met = pass_of(f, s, first, g1 - 1), is_apart(f, s, &met, vectors))) g1--;
    s->n_passes = 0;
    if (g0 == g1 || s->accumulate || f->n_segments - (g1 - g0) >= STRIP_PASSES) g0 = 0, g1 = f->n_segments;
    for (int64_t g = 0; g < f->n_segments; g++) {
        met = pass_of(f, s, first, g);
        if ((g < g0 || g >= g1) && met.lo < met.hi) s->pass[s->n_passes++] = met;
    }
    s->pass[s->n_passes++] = pass_of_all(f, s, g0, g1);
}

/* What to ask for while a panel is used: cache lines from here on, then from there. */
typedef struct strip_ahead {
    const float *first, *then;
    int64_t first_lines, then_lines;
} strip_ahead;

/* Outputs that no tap meets: lines of a part, or whole lines of dst where the parts fill them between them. */
static void fill_zeros(const strip_call *call, const strip_block *b) {
    const strip_plan *plan = call->plan;
    const size_t channels = (size_t)plan->columns * sizeof(float);
    for (int64_t p = 0; p < plan->n_parts; p++) {
        const strip_part *f = &plan->part[p];
        if (f->k > 0) continue;
        for (int64_t image = b->set * plan->runs; image < b->set * plan->runs + images_of(plan, b->set); image++)
            for (int64_t i = b->i0; i < gemm_min(b->i1, f->grid_h); i++) {
                float *c = call->dst + image * plan->dst_image + f->first + b->group * plan->columns + i * f->line;
                for (int64_t j = 0; j < f->grid_w; j++, c += f->pixel) memset(c, 0, channels);
            }
    }
}

/* One panel of weights for a block whose source lines lie at a. */
static void run_panel(const fnn_op *op, const strip_call *call, const strip_block *b, int64_t panel, const float *a,
                      int64_t run, const float *packed, strip_ahead ahead) {
    const strip_plan *plan = call->plan;
    const int64_t j = panel * op->k->strip_nr, n = gemm_min(op->k->strip_nr, plan->columns - j);
    for (int64_t p = 0; p < plan->n_parts; p++) {
        const strip_part *f = &plan->part[p];
        if (f->k == 0) continue;
        const int64_t i1 = gemm_min(b->i1, f->grid_h), strips = strips_of(op->k, plan->runs, f->grid_w);
        fnn_strip s = part_of(call, f, b->set, b->group, j);
        float *const c = s.c;
        const float *const residual = s.residual;
        s.n = n, s.h0 = b->h0, s.run = run, s.b = packed + f->k_first * panel_width(op->k, n);
        s.ahead = ahead.first, s.ahead_lines = ahead.first_lines;
        s.then = ahead.then, s.then_lines = ahead.then_lines;
        for (int64_t i = 0; i < strips; i++) {
            const int64_t first = f->grid_w * i / strips;
            s.width = (int)(f->grid_w * (i + 1) / strips - first);
            s.a = a + first * plan->row, s.c = c + first * f->pixel;
            if (residual) s.residual = residual + first * f->pixel;
            set_passes(f, gemm_ceil_div(n, op->k->vl), first, &s);
            op->k->conv_strip(&s, b->i0, i1);
        }
        ahead = (strip_ahead){s.ahead, s.then, s.ahead_lines, s.then_lines};
    }
}

/* One group of a block. soon: the source lines of the next block, of which this asks for lines [from, to). */
static void run_block(const fnn_op *op, const strip_call *call, const strip_block *b, const float *packed,
                      float *copies, const float *soon, int64_t from, int64_t to) {
    const strip_plan *plan = call->plan;
    const int64_t weights = weight_floats(op->k, plan), width = op->k->strip_nr * plan->k;
    const int64_t run = (b->h1 - b->h0) * plan->line, chunk = (to - from) / plan->panels;
    const float *group = packed + b->group * weights;
    for (int64_t r = 0; r < images_of(plan, b->set); r++)
        copy_lines(op, call, b->set * plan->runs + r, b->group, b->h0, b->h1, copies + r * run);
    fill_zeros(call, b);
    for (int64_t j = 0; j < plan->panels; j++) {
        const int64_t other = j + 1 < plan->panels ? j + 1 : 0;
        const strip_ahead ahead = {group + other * width, soon + (from + j * chunk) * LINE,
                                   gemm_min(width, weights - other * width) / LINE, chunk};
        run_panel(op, call, b, j, copies, run, group + j * width, ahead);
    }
}

/* Threads share output lines; weights are packed for all. */
static void run_by_lines(const fnn_op *op, const strip_call *call, void *scratch, const fnn_team *team) {
    const strip_plan *plan = call->plan;
    const int64_t weights = weight_floats(op->k, plan), width = op->k->strip_nr * plan->k;
    float *packed = scratch, *copies = fnn_thread_scratch(op, scratch, team->tid);
    int64_t lo, hi;
    fnn_share(plan->groups * plan->panels, team->tid, team->n, &lo, &hi);
    for (int64_t u = lo; u < hi; u++)
        pack_panel(op, call, u / plan->panels, u % plan->panels,
                   packed + u / plan->panels * weights + u % plan->panels * width);
    fnn_team_wait(team);
    const int64_t inner = plan->groups_inside ? plan->groups : 1;
    fnn_share(plan->groups / inner * plan->sets * plan->lines, team->tid, team->n, &lo, &hi);
    for (int64_t u = lo; u < hi;) {
        strip_block b = block_at(plan, lo, u, hi);
        u += b.i1 - b.i0;
        const strip_block next = u < hi ? block_at(plan, lo, u, hi) : b;
        const int64_t pixels = plan->src_w * plan->src_pixel;
        const int64_t lines = u < hi ? (next.h1 - next.h0) * pixels / LINE : 0;
        const float *soon = call->src + (next.set * plan->runs * plan->src_h + next.h0) * pixels;
        for (int64_t g = 0; g < inner; g++, b.group++)
            run_block(op, call, &b, packed, copies, soon, lines * g / inner, lines * (g + 1) / inner);
    }
}

/* Few pixels and large weights: lines are copied for all, each thread packs the panels it uses. */
static void run_by_panels(const fnn_op *op, const strip_call *call, void *scratch, const fnn_team *team) {
    const strip_plan *plan = call->plan;
    const int64_t image = plan->src_h * plan->line;
    float *copies = scratch, *packed = fnn_thread_scratch(op, scratch, team->tid);
    int64_t lo, hi;
    fnn_share(plan->n * plan->src_h, team->tid, team->n, &lo, &hi);
    for (int64_t u = lo; u < hi; u++)
        copy_lines(op, call, u / plan->src_h, 0, u % plan->src_h, u % plan->src_h + 1, copies + u * plan->line);
    fnn_team_wait(team);
    fnn_share(plan->sets, team->tid, team->n, &lo, &hi);
    for (int64_t set = lo; set < hi; set++) fill_zeros(call, &(strip_block){.set = set, .i1 = plan->lines});
    fnn_share(plan->panels, team->tid, team->n, &lo, &hi);
    for (int64_t j = lo; j < hi; j++) {
        pack_panel(op, call, 0, j, packed);
        for (int64_t set = 0; set < plan->sets; set++) {
            const strip_block b = {.set = set, .i1 = plan->lines, .h1 = plan->src_h};
            run_panel(op, call, &b, j, copies + set * plan->runs * image, image, packed, (strip_ahead){0});
        }
    }
}

void fnn_strip_run(const fnn_op *op, const strip_call *call, void *scratch, const fnn_team *team) {
    if (call->plan->by_panels && call->plan->panels >= (team->n > 1 ? PANELS_A_THREAD * team->n : 1))
        run_by_panels(op, call, scratch, team);
    else
        run_by_lines(op, call, scratch, team);
}
