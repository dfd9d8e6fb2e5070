/* Direct convolution on tiles (kernels/tile_lines.h), forward and the gradient for the input: geometry and taps are
 * those of strips (strip.h). Threads split the weights for each other, then share lines of outputs; a block of lines
 * is copied and split, and meets all columns. */
#include <string.h>

#include "strip.h"

/* Split source values of a block: they stay in the second-level cache beside weights, unless these come from past
 * it: then more outputs must meet them. */
#define BLOCK_VALUES ((int64_t)96 << 10)
#define LARGE_VALUES ((int64_t)256 << 10)
#define LARGE_WEIGHTS ((int64_t)128 << 10)
#define PANEL (2 * FNN_TILE) /* columns that are split at a time */

/* Cycles, as other estimates count them: a multiply-add with two columns of tiles, and with one; what a square of sums
 * takes beside them; a source value copied and split, and a weight packed and split. */
#define MULTIPLY 0.0185
#define MULTIPLY_TALL 0.0196
#define SQUARE 300.0
#define SPLIT 1.0
#define WEIGHT 5.0

/* ---- plan ----------------------------------------------------------------------------------------------- */

static int64_t tiles_of(int64_t width) { return gemm_ceil_div(width, FNN_TILE); }

/* Outputs of a line in each of its tiles. */
static int64_t rows_of(int64_t width) { return gemm_ceil_div(width, gemm_max(1, tiles_of(width))); }

/* A line of taps as steps along k: `runs` of neighbours in a copied line, `length` values and `steps` each. The last
 * step of a run ends where the run does, unless the run is shorter than a step: what lies past it then meets zeros. */
typedef struct tap_line {
    int64_t runs, length, steps;
} tap_line;

static tap_line tap_line_of(const strip_part *f) {
    const int64_t length = f->touching ? f->n_segments * f->length : f->length;
    return (tap_line){f->touching ? 1 : f->n_segments, length, gemm_ceil_div(length, FNN_TILE_K)};
}

static int64_t part_steps(const strip_part *f) {
    const tap_line t = tap_line_of(f);
    return f->n_taps * t.runs * t.steps;
}

static int64_t steps_of(const strip_plan *plan) {
    int64_t steps = 0;
    for (int64_t i = 0; i < plan->n_parts; i++) steps += part_steps(&plan->part[i]);
    return steps;
}

/* Halfs from one part of the copies to the next; of all parts, with what rows past a line's last output may read. */
static int64_t part_halfs(const strip_plan *plan) { return plan->block_lines * plan->line; }
static int64_t copied_halfs(const strip_plan *plan) {
    return FNN_TILE_PARTS * part_halfs(plan) + FNN_TILE * plan->row + FNN_TILE_K;
}

/* Rows of tiles that a block has at most: part 0 of a plan has the widest lines. */
static int64_t most_tiles(const strip_plan *plan) { return plan->block * tiles_of(plan->part[0].grid_w); }

static int64_t most_steps(const strip_plan *plan) {
    int64_t most = 0;
    for (int64_t i = 0; i < plan->n_parts; i++) most = gemm_max(most, part_steps(&plan->part[i]));
    return most;
}

/* Halfs of one group's weights. */
static int64_t weight_halfs(const strip_plan *plan) {
    return tiles_of(plan->columns) * steps_of(plan) * FNN_TILE_STEP;
}

/* What a thread works on: the copies of a block, a line of floats, the table of steps, the rows of tiles and of C.
 * While weights are split it is a panel of them as floats. */
typedef struct tiles_scratch {
    uint16_t *copies;
    float *line;
    int64_t *step, *rows;
    fnn_tile_line *lines;
} tiles_scratch;

/* Where each of them begins, in bytes, and where the last ends. */
typedef struct tiles_room {
    size_t line, step, lines, rows, end;
} tiles_room;

static tiles_room room_of(const strip_plan *plan) {
    tiles_room r;
    r.line = fnn_round_up((size_t)copied_halfs(plan) * sizeof(uint16_t));
    r.step = r.line + fnn_round_up((size_t)plan->line * sizeof(float));
    r.lines = r.step + fnn_round_up((size_t)most_steps(plan) * sizeof(int64_t));
    r.rows = r.lines + fnn_round_up((size_t)most_tiles(plan) * sizeof(fnn_tile_line));
    r.end = r.rows + fnn_round_up((size_t)(most_tiles(plan) * FNN_TILE) * sizeof(int64_t));
    return r;
}

static tiles_scratch cut(const strip_plan *plan, void *scratch) {
    const tiles_room r = room_of(plan);
    char *at = scratch;
    return (tiles_scratch){.copies = (uint16_t *)at,
                           .line = (float *)(at + r.line),
                           .step = (int64_t *)(at + r.step),
                           .lines = (fnn_tile_line *)(at + r.lines),
                           .rows = (int64_t *)(at + r.rows)};
}

/* Halfs of a line: a run shorter than a step reads past its end, within the line, where zeros are. */
static int64_t line_halfs(const strip_plan *plan) {
    int64_t past = 0;
    for (int64_t i = 0; i < plan->n_parts; i++)
        if (tap_line_of(&plan->part[i]).length < FNN_TILE_K) past = FNN_TILE_K;
    return gemm_ceil_div(plan->line + past, FNN_TILE_K) * FNN_TILE_K;
}

/* Source lines that so many output lines meet. */
static int64_t source_lines(const strip_plan *plan, int64_t lines) {
    return (lines - 1) * plan->step_h + plan->high_h - plan->low_h + 1;
}

static fnn_status finish_plan(fnn_op *op, strip_plan *plan) {
    op->plan = plan;
    if (!plan) return fnn_fail(op, FNN_NO_MEMORY, "no memory for the plan");
    plan->line = line_halfs(plan);
    plan->panels = gemm_ceil_div(plan->columns, PANEL);
    const int64_t values = plan->columns * plan->k > LARGE_WEIGHTS ? LARGE_VALUES : BLOCK_VALUES;
    const int64_t fit = values / plan->line, image = source_lines(plan, plan->lines);
    plan->block = gemm_max(1, (fit - source_lines(plan, 1)) / plan->step_h + 1);
    plan->block_lines = source_lines(plan, plan->block);
    if (plan->block >= plan->lines) { /* of several images, and of one more where it begins and ends within one */
        const int64_t images = gemm_max(1, gemm_min(plan->n, fit / image));
        plan->block = images * plan->lines, plan->block_lines = (images + 1) * image;
    }
    op->units = plan->groups * plan->n * plan->lines;
    op->scratch_shared = (size_t)(plan->groups * weight_halfs(plan)) * sizeof(uint16_t);
    op->scratch_thread = room_of(plan).end;
    const size_t panel = (size_t)(PANEL * plan->k) * sizeof(float);
    if (op->scratch_thread < panel) op->scratch_thread = panel;
    return FNN_OK;
}

static fnn_status forward_init(fnn_op *op) { return finish_plan(op, fnn_strip_forward_plan(op->problem)); }
static fnn_status gradient_init(fnn_op *op) { return finish_plan(op, fnn_strip_gradient_plan(op->problem)); }

/* ---- weights -------------------------------------------------------------------------------------------- */

/* Rows [0, k) of floats, `width` columns, into panels of a group's steps. */
static void split_rows(const fnn_op *op, const float *src, int64_t k, int64_t width, uint16_t *dst) {
    const fnn_tile_side side = {.kind = FNN_TILE_COLUMNS_ACROSS,
                                .count = width,
                                .k = k,
                                .step = width,
                                .line = &src,
                                .dst = dst,
                                .panel = steps_of(op->plan) * FNN_TILE_STEP};
    op->k->tiles->split(&side);
}

/* A run along k; of its last step, what was in the step before is zeros. */
static void split_run(const fnn_op *op, const float *src, int64_t k, int64_t width, uint16_t *dst) {
    const int64_t whole = k / FNN_TILE_K * FNN_TILE_K, rest = k - whole;
    float last[FNN_TILE_K * PANEL] = {0};
    if (whole > 0) split_rows(op, src, whole, width, dst);
    if (rest == 0) return;
    memcpy(last + (whole > 0 ? FNN_TILE_K - rest : 0) * width, src + whole * width,
           (size_t)(rest * width) * sizeof(float));
    split_rows(op, last, FNN_TILE_K, width, dst + whole / FNN_TILE_K * FNN_TILE_STEP);
}

static void split_panel(const fnn_op *op, const strip_call *call, int64_t group, int64_t panel, float *packed,
                        uint16_t *dst) {
    const strip_plan *plan = call->plan;
    const int64_t j = panel * PANEL, columns = gemm_min(PANEL, plan->columns - j);
    const int64_t width = tiles_of(columns) * FNN_TILE;
    const float *w = call->w + group * plan->weights.group_stride + j * plan->weights.column_stride;
    op->k->conv_strip_weights(&plan->weights, w, columns, packed);
    for (int64_t p = 0; p < plan->n_parts; p++) {
        const strip_part *f = &plan->part[p];
        const tap_line t = tap_line_of(f);
        const float *src = packed + f->k_first * width;
        for (int64_t r = 0; r < f->n_taps * t.runs; r++, src += t.length * width, dst += t.steps * FNN_TILE_STEP)
            split_run(op, src, t.length, width, dst);
    }
}

static void split_weights(const fnn_op *op, const strip_call *call, uint16_t *all, void *packed,
                          const fnn_team *team) {
    const strip_plan *plan = call->plan;
    const int64_t panel = PANEL / FNN_TILE * steps_of(plan) * FNN_TILE_STEP;
    int64_t lo, hi;
    fnn_share(plan->groups * plan->panels, team->tid, team->n, &lo, &hi);
    for (int64_t u = lo; u < hi; u++) {
        const int64_t group = u / plan->panels, i = u % plan->panels;
        split_panel(op, call, group, i, packed, all + group * weight_halfs(plan) + i * panel);
    }
}

/* ---- copies --------------------------------------------------------------------------------------------- */

/* A block of output lines in one group: [lo, hi), counted through the images. */
typedef struct tiles_block {
    int64_t group, lo, hi;
} tiles_block;

/* Of a block, output lines [i0, i1) of one image, whose copies are `lines` lines from line `at` of the block's on. */
typedef struct tiles_run {
    int64_t image, i0, i1, at, lines;
} tiles_run;

/* The run after r, or the first where r is {0}; 0 lines: none is left. */
static tiles_run next_run(const strip_plan *plan, const tiles_block *b, const tiles_run *r) {
    const int64_t from = r->lines ? r->image * plan->lines + r->i1 : b->lo, image = from / plan->lines;
    if (from >= b->hi) return (tiles_run){0};
    tiles_run next = {.image = image, .i0 = from - image * plan->lines, .at = r->at + r->lines};
    next.i1 = gemm_min(b->hi - image * plan->lines, plan->lines);
    next.lines = source_lines(plan, next.i1 - next.i0);
    return next;
}

/* The source lines of a run, one after the other. */
static void copy_run(const fnn_op *op, const strip_call *call, const tiles_block *b, const tiles_run *r,
                     const tiles_scratch *s) {
    const strip_plan *plan = call->plan;
    const int64_t channel = b->group * plan->channels, h0 = r->i0 * plan->step_h + plan->low_h;
    const int64_t end = gemm_min(plan->src_h, (r->i1 - 1) * plan->step_h + plan->high_h + 1);
    const float *src = call->src + r->image * plan->src_h * plan->src_w * plan->src_pixel + channel;
    fnn_strip_copy copy = plan->copy;
    if (call->in_scale) copy.scale = call->in_scale + channel;
    if (call->in_shift) copy.shift = call->in_shift + channel;
    for (int64_t h = gemm_max(0, h0); h < end; h++) {
        uint16_t *dst = s->copies + (r->at + h - h0) * plan->line;
        op->k->conv_strip_copy(&copy, src + h * plan->src_w * plan->src_pixel, s->line);
        op->k->tiles->split_line(s->line, plan->line, dst, part_halfs(plan));
    }
}

/* ---- rows of tiles -------------------------------------------------------------------------------------- */

static void set_steps(const strip_plan *plan, const strip_part *f, int64_t *step) {
    const tap_line t = tap_line_of(f);
    for (int64_t tap = 0; tap < f->n_taps; tap++)
        for (int64_t r = 0; r < t.runs; r++)
            for (int64_t q = 0; q < t.steps; q++)
                *step++ = tap * f->tap_step * plan->line + f->segment[r] +
                          gemm_min(q * FNN_TILE_K, gemm_max(0, t.length - FNN_TILE_K));
}

/* Each line of a run by itself; lines of taps outside the source are left out. Returns how many tiles. */
static int64_t set_lines(const strip_plan *plan, const strip_part *f, const tiles_run *run, fnn_tile_line *lines,
                         int64_t *rows) {
    const tap_line t = tap_line_of(f);
    const int64_t steps = t.runs * t.steps, h0 = run->i0 * plan->step_h + plan->low_h;
    const int64_t wide = rows_of(plan->part[0].grid_w);
    int64_t count = 0;
    for (int64_t i = run->i0; i < gemm_min(run->i1, f->grid_h); i++) {
        const int64_t h = i * plan->step_h + f->tap_first, dst = run->image * plan->dst_image + i * f->line;
        int64_t first = 0, end = f->n_taps;
        while (first < end && h + first * f->tap_step < 0) first++;
        while (end > first && h + (end - 1) * f->tap_step >= plan->src_h) end--;
        for (int64_t j = 0; j < f->grid_w; j += wide, count++) {
            lines[count] = (fnn_tile_line){.at = (run->at + h - h0) * plan->line + j * plan->row,
                                           .first = first * steps,
                                           .steps = (end - first) * steps};
            for (int64_t r = 0; r < FNN_TILE; r++)
                *rows++ = r < wide && j + r < f->grid_w ? dst + (j + r) * f->pixel : -1;
        }
    }
    return count;
}

/* ---- run ------------------------------------------------------------------------------------------------ */

static fnn_tile_block block_of(const strip_call *call, const tiles_block *b, const uint16_t *weights,
                               const tiles_scratch *s) {
    const strip_plan *plan = call->plan;
    const int64_t channel = b->group * plan->columns;
    return (fnn_tile_block){.n = plan->columns,
                            .a = s->copies,
                            .b = weights + b->group * weight_halfs(plan),
                            .b_panel = steps_of(plan) * FNN_TILE_STEP,
                            .line = s->lines,
                            .step = s->step,
                            .a_row = plan->row,
                            .a_part = part_halfs(plan),
                            .a_rows = (int)rows_of(plan->part[0].grid_w),
                            .c = call->dst + channel,
                            .rows = s->rows,
                            .add_c = call->accumulate,
                            .last = 1,
                            .bias = call->bias ? call->bias + channel : NULL,
                            .residual = call->residual ? call->residual + channel : NULL,
                            .activation = call->activation,
                            .slope = call->slope};
}

static void run_block(const fnn_op *op, const strip_call *call, const tiles_block *b, const uint16_t *weights,
                      const tiles_scratch *s) {
    const strip_plan *plan = call->plan;
    fnn_tile_block g = block_of(call, b, weights, s);
    for (tiles_run r = next_run(plan, b, &(tiles_run){0}); r.lines; r = next_run(plan, b, &r))
        copy_run(op, call, b, &r, s);
    for (int64_t p = 0; p < plan->n_parts; p++) {
        const strip_part *f = &plan->part[p];
        fnn_tile_block part = g;
        int64_t count = 0;
        set_steps(plan, f, s->step);
        for (tiles_run r = next_run(plan, b, &(tiles_run){0}); r.lines; r = next_run(plan, b, &r))
            count += set_lines(plan, f, &r, s->lines + count, s->rows + count * FNN_TILE);
        part.m = count * FNN_TILE;
        part.c += f->first;
        if (part.residual) part.residual += f->first;
        op->k->tiles->lines(&part);
        g.b += part_steps(f) * FNN_TILE_STEP;
    }
}

/* A thread's lines of each group, in blocks of about one size; those that are smaller than an image end with it. */
static void run_share(const fnn_op *op, const strip_call *call, int64_t lo, int64_t hi, const uint16_t *weights,
                      const tiles_scratch *s) {
    const strip_plan *plan = call->plan;
    const int64_t each = plan->n * plan->lines, most = plan->block < plan->lines ? plan->lines : each;
    for (int64_t u = lo, next; u < hi; u = next) {
        const int64_t group = u / each, first = group * each, end = gemm_min(hi, (u / most + 1) * most);
        next = u + gemm_ceil_div(end - u, gemm_ceil_div(end - u, plan->block));
        const tiles_block b = {group, u - first, next - first};
        run_block(op, call, &b, weights, s);
    }
}

static void run(const fnn_op *op, const strip_call *call, void *scratch, const fnn_team *team) {
    const strip_plan *plan = call->plan;
    uint16_t *weights = scratch;
    void *own = fnn_thread_scratch(op, scratch, team->tid);
    int64_t lo, hi;
    split_weights(op, call, weights, own, team);
    fnn_team_wait(team);
    const tiles_scratch s = cut(plan, own);
    fnn_share(plan->groups * plan->n * plan->lines, team->tid, team->n, &lo, &hi);
    memset(s.line, 0, (size_t)plan->line * sizeof(float)); /* between and past the pixels that are copied */
    run_share(op, call, lo, hi, weights, &s);
    op->k->tiles->end();
}

static void forward_run(const fnn_op *op, void *const *buf, void *scratch, const fnn_team *team) {
    const strip_call call = strip_forward_call(op, buf);
    run(op, &call, scratch, team);
}

static void gradient_run(const fnn_op *op, void *const *buf, void *scratch, const fnn_team *team) {
    const strip_call call = strip_gradient_call(op, buf);
    run(op, &call, scratch, team);
}

/* ---- choice --------------------------------------------------------------------------------------------- */

/* Of 1x1, which copies nothing, the general algorithm's products on tiles are faster. */
static int applies(const fnn_kernels *kernels, const conv2d_problem *p) {
    return kernels->tiles && p->kh * p->kw > 1 && !p->statistics && p->n > 0 && p->ic > 0 && p->oc > 0 && p->oh > 0 &&
           p->ow > 0;
}

/* Every pixel of dx meets a tap. */
static int gradient_applies(const fnn_kernels *kernels, const conv2d_problem *p) {
    return applies(kernels, p) && p->kh >= p->stride[0] && p->kw >= p->stride[1] &&
           (p->dilation[0] == 1 || p->stride[0] == 1) && (p->dilation[1] == 1 || p->stride[1] == 1);
}

/* Rows of tiles that lines of so many outputs take, where a tile of fewer rows takes less, but not in proportion. */
static double lines_rows(int64_t lines, int64_t width) {
    return (double)(lines * tiles_of(width)) * (0.36 * FNN_TILE + 0.64 * (double)rows_of(width));
}

static double squares_cost(double outputs, int64_t columns, double steps) {
    const int64_t pairs = columns / PANEL + (columns % PANEL > FNN_TILE),
                  tall = columns % PANEL > 0 && columns % PANEL <= FNN_TILE;
    const double k = steps * FNN_TILE_K;
    return outputs * (double)pairs * PANEL * k * MULTIPLY + outputs * (double)tall * FNN_TILE * k * MULTIPLY_TALL +
           outputs / PANEL * ((double)pairs + 0.5 * (double)tall) * SQUARE;
}

/* Steps of a filter's line of `taps` taps that adjoin or not. */
static double line_steps(int64_t taps, int64_t channels, int adjoin) {
    return adjoin ? (double)gemm_ceil_div(taps * channels, FNN_TILE_K)
                  : (double)(taps * gemm_ceil_div(channels, FNN_TILE_K));
}

static double forward_cost(const fnn_kernels *kernels, const conv2d_problem *p) {
    (void)kernels;
    const int64_t icg = p->ic / p->groups, ocg = p->oc / p->groups;
    const double outputs = lines_rows(p->n * p->oh, p->ow);
    const double steps = (double)p->kh * line_steps(p->kw, icg, p->dilation[1] == 1);
    return (double)p->groups * squares_cost(outputs, ocg, steps) + SPLIT * (double)(p->n * p->ih * p->iw * p->ic) +
           WEIGHT * (double)(p->oc * icg * p->kh * p->kw);
}

static double gradient_cost(const fnn_kernels *kernels, const conv2d_problem *p) {
    (void)kernels;
    const int64_t icg = p->ic / p->groups, ocg = p->oc / p->groups, sh = p->stride[0], sw = p->stride[1];
    const int64_t width = strip_phase_size(p->iw, 0, sw);
    const double outputs = lines_rows(p->n * sh * sw * strip_phase_size(p->ih, 0, sh), width);
    double steps = 0;
    for (int64_t r = 0; r < sw; r++)
        steps += line_steps(strip_phase_size(p->kw, r, sw), ocg, p->dilation[1] == 1) / (double)sw;
    return (double)p->groups * squares_cost(outputs, icg, steps * (double)p->kh / (double)sh) +
           SPLIT * (double)(p->n * p->oh * p->ow * p->oc) + WEIGHT * (double)(p->oc * icg * p->kh * p->kw);
}

const conv2d_algorithm fnn_conv2d_tiles = {"tiles", CONV2D_DIRECT, applies, forward_cost, forward_init, forward_run};
const conv2d_algorithm fnn_conv2d_tiles_bwd_data = {"tiles",       CONV2D_DIRECT, gradient_applies,
                                                    gradient_cost, gradient_init, gradient_run};
