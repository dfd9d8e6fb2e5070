/* Gradient of the weights on tiles (kernels/tile_lines.h, tile_pixels.h): for each tap a product of x's channels and
 * dy's over pixels.
 *
 * The maps of some images are cut into parts of one size, 32 in all. A step along k is one place in all parts; so a tap
 * is a distance in steps, the same for all outputs and all lanes, and x, split once for all taps, is loaded in whole
 * cache lines for each. What a part has past its map, and the padding, are zeros.
 *
 * All threads split a block of lines of the parts, then share the sums. Where one block is all there is, a thread owns
 * a square of channels with all taps and turns it into dw while it is near; else sums go from block to block. */
#include <stdlib.h>
#include <string.h>

#include "algorithms.h"

#define LANES FNN_TILE_K
#define SIDE (2 * FNN_TILE) /* of a square of channels */
#define NEAR_STEPS 448      /* of two panels of each operand: they stay in the second-level cache */
#define ENOUGH_USES 8
#define ENOUGH_SQUARES 8 /* to be shared as such */

/* Cycles, as other estimates count them: a multiply-add; what a square of sums takes beside them, and where
 * it goes from block to block, each; a value of x and of dy split; a weight turned. */
#define MULTIPLY 0.0165
#define SQUARE 300.0
#define SQUARE_AGAIN 1000.0
#define SPLIT_X 1.2
#define SPLIT_DY 1.0
#define TURN 2.0

/* ---- plan ----------------------------------------------------------------------------------------------- */

typedef struct weights_plan {
    int64_t icg, ocg, taps;
    int64_t images, high, wide;     /* the parts: of how many images, in how many rows and columns of a map */
    int64_t part_h, part_w;         /* outputs of a part */
    int64_t lines, blocks_per_part; /* of a part in a block */
    int64_t blocks;
    int64_t fine_h, fine_w, step_h, step_w; /* pixels between places of x; places between outputs */
    int64_t x_h, x_w;                       /* places of x that a block meets */
    int64_t panels, channels;               /* of a group's x; channels of a panel */
    int64_t pairs, columns;                 /* pairs of x's panels; of dy's ... */
    int64_t together;                       /* ... so many of which stay near */
    int64_t squares;
    int at_once; /* one block, threads own squares */
} weights_plan;

static int64_t met(int64_t outputs, int64_t kernel, int64_t stride, int64_t dilation) {
    return (outputs - 1) * stride + (kernel - 1) * dilation + 1;
}

static weights_plan plan_of(const conv2d_problem *g, int64_t images, int64_t high, int64_t wide) {
    weights_plan p = {.icg = g->ic / g->groups,
                      .ocg = g->oc / g->groups,
                      .taps = g->kh * g->kw,
                      .images = images,
                      .high = high,
                      .wide = wide};
    p.part_h = gemm_ceil_div(g->oh, high), p.part_w = gemm_ceil_div(g->ow, wide);
    /* One tap leaves out what lies between. */
    p.fine_h = g->kh == 1 ? g->stride[0] : 1, p.fine_w = g->kw == 1 ? g->stride[1] : 1;
    p.step_h = g->stride[0] / p.fine_h, p.step_w = g->stride[1] / p.fine_w;
    p.x_w = met(p.part_w, g->kw, p.step_w, g->dilation[1]);
    const int64_t reach = met(1, g->kh, p.step_h, g->dilation[0]) - p.step_h;
    /* Few taps use what is near too seldom, unless it meets more columns. */
    const int64_t meet = gemm_min(gemm_ceil_div(ENOUGH_USES, p.taps), gemm_ceil_div(p.ocg, SIDE));
    p.lines = (NEAR_STEPS / 2 - reach * p.x_w) / (p.step_h * p.x_w + meet * p.part_w);
    p.lines = gemm_max(1, gemm_min(p.lines, p.part_h));
    p.lines = gemm_ceil_div(p.part_h, gemm_ceil_div(p.part_h, p.lines));
    p.blocks_per_part = gemm_ceil_div(p.part_h, p.lines);
    p.blocks = gemm_ceil_div(g->n, images) * p.blocks_per_part;
    p.x_h = met(p.lines, g->kh, p.step_h, g->dilation[0]);
    p.panels = gemm_ceil_div(p.icg, FNN_TILE);
    p.channels = gemm_ceil_div(p.icg, p.panels);
    p.panels = gemm_ceil_div(p.icg, p.channels);
    p.pairs = gemm_ceil_div(p.panels, 2), p.columns = gemm_ceil_div(p.ocg, SIDE);
    const int64_t near = NEAR_STEPS - 2 * p.x_h * p.x_w, each = 2 * p.lines * p.part_w;
    p.together = gemm_max(1, gemm_min(p.columns, near / each));
    p.squares = g->groups * p.pairs * p.columns;
    p.at_once = p.blocks == 1 && p.squares >= ENOUGH_SQUARES;
    return p;
}

static double plan_cost(const conv2d_problem *g, const weights_plan *p) {
    const double steps = (double)(gemm_ceil_div(g->n, p->images) * p->part_h * p->part_w), groups = (double)g->groups;
    const double rows = (double)(p->taps * p->panels) * (0.36 * FNN_TILE + 0.64 * (double)p->channels);
    const double columns = (double)(gemm_ceil_div(p->ocg, FNN_TILE) * FNN_TILE);
    const double split = SPLIT_X * (double)(p->blocks * p->x_h * p->x_w * p->panels * FNN_TILE) +
                         SPLIT_DY * steps * columns;
    return groups * (rows * columns * steps * LANES * MULTIPLY +
                     rows / SIDE * (double)(p->columns * p->blocks) * (p->at_once ? SQUARE : SQUARE_AGAIN) +
                     split * LANES + TURN * (double)(p->ocg * p->icg * p->taps));
}

/* The parts that cost least. */
static weights_plan best_plan(const conv2d_problem *g) {
    weights_plan best = plan_of(g, LANES, 1, 1);
    double least = plan_cost(g, &best);
    for (int64_t images = LANES / 2; images > 0; images /= 2)
        for (int64_t wide = LANES / images; wide > 0; wide /= 2) {
            const weights_plan p = plan_of(g, images, LANES / images / wide, wide);
            const double cycles = plan_cost(g, &p);
            if (cycles < least) best = p, least = cycles;
        }
    return best;
}

/* Halfs of the parts of x and dy; floats of a square's sums. */
static int64_t x_panel(const weights_plan *p) { return p->x_h * p->x_w * FNN_TILE_STEP; }
static int64_t dy_panel(const weights_plan *p) { return p->lines * p->part_w * FNN_TILE_STEP; }
static int64_t x_halfs(const weights_plan *p, int64_t groups) { return groups * p->panels * x_panel(p); }
static int64_t dy_halfs(const weights_plan *p, int64_t groups) {
    return groups * gemm_ceil_div(p->ocg, FNN_TILE) * dy_panel(p);
}
static int64_t square_rows(const weights_plan *p) { return gemm_min(2, p->panels) * p->channels; }
static int64_t square_floats(const weights_plan *p) { return p->taps * square_rows(p) * SIDE; }

static fnn_status init(fnn_op *op) {
    const conv2d_problem *g = op->problem;
    weights_plan *p = op->plan = malloc(sizeof *p);
    if (!p) return fnn_fail(op, FNN_NO_MEMORY, "no memory for the plan");
    *p = best_plan(g);
    const int64_t lines = 2 * p->taps, widest = gemm_max(g->ic, g->oc);
    const size_t sums_bytes = (size_t)((p->at_once ? 1 : p->squares) * square_floats(p)) * sizeof(float);
    op->units = p->squares * (p->at_once ? 1 : p->taps);
    op->scratch_shared = fnn_round_up((size_t)x_halfs(p, g->groups) * sizeof(uint16_t)) +
                         fnn_round_up((size_t)dy_halfs(p, g->groups) * sizeof(uint16_t)) +
                         (p->at_once ? 0 : sums_bytes);
    op->scratch_thread = fnn_round_up((size_t)(p->lines * p->part_w) * sizeof(int64_t)) +
                         fnn_round_up((size_t)lines * sizeof(fnn_tile_line)) +
                         fnn_round_up((size_t)(lines * FNN_TILE) * sizeof(int64_t)) +
                         fnn_round_up((size_t)widest * sizeof(float)) + (p->at_once ? sums_bytes : 0);
    return FNN_OK;
}

/* ---- operands ------------------------------------------------------------------------------------------- */

typedef struct weights_job {
    const fnn_op *op;
    const conv2d_problem *g;
    const weights_plan *p;
    const float *dy, *x;
    float *dw;
    uint16_t *x_parts, *dy_parts;
    float *sums;
    int64_t *step, *rows;
    fnn_tile_line *line;
    float *zeros; /* a pixel's channels */
} weights_job;

/* A block: lines [from, from + lines) of each part, images from `image` on. */
typedef struct weights_block {
    int64_t image, from, lines;
} weights_block;

static weights_block block_at(const weights_plan *p, int64_t b) {
    const int64_t from = b % p->blocks_per_part * p->lines;
    return (weights_block){b / p->blocks_per_part * p->images, from, gemm_min(p->lines, p->part_h - from)};
}

/* The pixels of one place (h, w) in all parts, which begin (part_h, part_w) apart in a map. */
static void list_pixels(const weights_job *job, const weights_block *b, const float *maps, int64_t height,
                        int64_t width, int64_t channels, int64_t part_h, int64_t part_w, int64_t h, int64_t w,
                        const float **pixel) {
    const weights_plan *p = job->p;
    for (int64_t i = 0; i < p->images; i++)
        for (int64_t r = 0; r < p->high; r++)
            for (int64_t c = 0; c < p->wide; c++) {
                const int64_t image = b->image + i, y = r * part_h + h, x = c * part_w + w;
                const int inside = image < job->g->n && y >= 0 && y < height && x >= 0 && x < width;
                *pixel++ = inside ? maps + ((image * height + y) * width + x) * channels : job->zeros;
            }
}

/* A thread's share of the places that x has in a block. */
static void split_x(const weights_job *job, const weights_block *b, const fnn_team *team) {
    const weights_plan *p = job->p;
    const conv2d_problem *g = job->g;
    const float *pixel[LANES];
    const int64_t places = met(b->lines, g->kh, p->step_h, g->dilation[0]) * p->x_w;
    fnn_tile_pixels s = {
        .pixel = pixel, .channels = p->icg, .width = p->channels, .next = p->fine_w * g->ic, .panel = x_panel(p)};
    int64_t lo, hi;
    fnn_share(places, team->tid, team->n, &lo, &hi);
    for (int64_t u = lo; u < hi; u++) {
        const int64_t h = b->from * g->stride[0] + u / p->x_w * p->fine_h - g->padding[0],
                      w = u % p->x_w * p->fine_w - g->padding[2];
        list_pixels(job, b, job->x, g->ih, g->iw, g->ic, p->part_h * g->stride[0], p->part_w * g->stride[1], h, w,
                    pixel);
        for (int64_t group = 0; group < g->groups; group++) {
            s.channel = group * p->icg;
            s.dst = job->x_parts + group * p->panels * s.panel + u * FNN_TILE_STEP;
            job->op->k->tiles->split_pixel_rows(&s);
        }
    }
}

/* Likewise of dy. */
static void split_dy(const weights_job *job, const weights_block *b, const fnn_team *team) {
    const weights_plan *p = job->p;
    const conv2d_problem *g = job->g;
    const float *pixel[LANES];
    const int64_t panels = gemm_ceil_div(p->ocg, FNN_TILE);
    fnn_tile_pixels s = {.pixel = pixel, .channels = p->ocg, .width = FNN_TILE, .next = g->oc, .panel = dy_panel(p)};
    int64_t lo, hi;
    fnn_share(b->lines * p->part_w, team->tid, team->n, &lo, &hi);
    for (int64_t u = lo; u < hi; u++) {
        list_pixels(job, b, job->dy, g->oh, g->ow, g->oc, p->part_h, p->part_w, b->from + u / p->part_w,
                    u % p->part_w, pixel);
        for (int64_t group = 0; group < g->groups; group++) {
            s.channel = group * p->ocg;
            s.dst = job->dy_parts + group * panels * s.panel + u * FNN_TILE_STEP;
            job->op->k->tiles->split_pixel_columns(&s);
        }
    }
}

/* ---- sums ----------------------------------------------------------------------------------------------- */

/* Up to SIDE of x's channels by as many of dy's, in one group. */
typedef struct weights_square {
    int64_t group, pair, column;
} weights_square;

/* In their order some pairs of dy's panels meet a pair of x's while they are near. */
static weights_square square_at(const weights_plan *p, int64_t u) {
    const int64_t each = p->pairs * p->columns, v = u % each, from = v / (p->together * p->pairs) * p->together;
    const int64_t rest = v - from * p->pairs, width = gemm_min(p->together, p->columns - from);
    return (weights_square){u / each, rest / width, from + rest % width};
}

/* Where the outputs of a block begin in x. */
static void set_steps(const weights_job *job, const weights_block *b) {
    const weights_plan *p = job->p;
    int64_t *step = job->step;
    for (int64_t h = 0; h < b->lines; h++)
        for (int64_t w = 0; w < p->part_w; w++) *step++ = (h * p->step_h * p->x_w + w * p->step_w) * FNN_TILE_STEP;
}

/* Taps [first, end) of a square as lines of A, and where the sums of their rows are. Returns how many lines. */
static int64_t set_lines(const weights_job *job, const weights_square *q, int64_t steps, int64_t first, int64_t end) {
    const weights_plan *p = job->p;
    const conv2d_problem *g = job->g;
    const int64_t panels = gemm_min(2, p->panels - 2 * q->pair);
    fnn_tile_line *line = job->line;
    int64_t *rows = job->rows;
    for (int64_t tap = first; tap < end; tap++)
        for (int64_t i = 0; i < panels; i++) {
            const int64_t panel = 2 * q->pair + i, left = p->icg - panel * p->channels;
            const int64_t at = tap / g->kw * g->dilation[0] * p->x_w + tap % g->kw * g->dilation[1];
            const int64_t sum = (tap * square_rows(p) + i * p->channels) * SIDE;
            *line++ = (fnn_tile_line){.at = i * x_panel(p) + at * FNN_TILE_STEP, .steps = steps};
            for (int64_t r = 0; r < FNN_TILE; r++) *rows++ = r < p->channels && r < left ? sum + r * SIDE : -1;
        }
    return line - job->line;
}

static void add_taps(const weights_job *job, const weights_square *q, const weights_block *b, int64_t first,
                     int64_t end, int add, float *sums) {
    const weights_plan *p = job->p;
    const fnn_tile_block g = {
        .m = set_lines(job, q, b->lines * p->part_w, first, end) * FNN_TILE,
        .n = gemm_min(SIDE, p->ocg - q->column * SIDE),
        .a = job->x_parts + (q->group * p->panels + 2 * q->pair) * x_panel(p),
        .b = job->dy_parts + (q->group * gemm_ceil_div(p->ocg, FNN_TILE) + 2 * q->column) * dy_panel(p),
        .b_panel = dy_panel(p),
        .line = job->line,
        .step = job->step,
        .a_row = FNN_TILE_K,
        .a_part = FNN_TILE * FNN_TILE_K,
        .a_rows = (int)p->channels,
        .c = sums,
        .rows = job->rows,
        .add_c = add,
    };
    job->op->k->tiles->lines(&g);
}

/* All taps of a square to their places in dw. */
static void turn_square(const weights_job *job, const weights_square *q, const float *sums) {
    const weights_plan *p = job->p;
    const int64_t first = 2 * q->pair * p->channels, rows = gemm_min(square_rows(p), p->icg - first);
    fnn_weights_turn t = {.width = p->icg * p->taps,
                          .apart = square_rows(p) * SIDE,
                          .count = p->taps,
                          .n = gemm_min(SIDE, p->ocg - q->column * SIDE),
                          .rounds = rows,
                          .dst_round = p->taps,
                          .src_round = SIDE};
    if (p->taps == 1) t.rounds = 1, t.apart = SIDE, t.count = rows;
    job->op->k->weights_turn(job->dw + ((q->group * p->ocg + q->column * SIDE) * p->icg + first) * p->taps, sums, &t);
}

static void run_at_once(const weights_job *job, const weights_block *b, const fnn_team *team) {
    int64_t lo, hi;
    fnn_share(job->p->squares, team->tid, team->n, &lo, &hi);
    for (int64_t u = lo; u < hi; u++) {
        const weights_square q = square_at(job->p, u);
        add_taps(job, &q, b, 0, job->p->taps, 0, job->sums);
        turn_square(job, &q, job->sums);
    }
}

static void add_block(const weights_job *job, const weights_block *b, int add, const fnn_team *team) {
    const int64_t taps = job->p->taps;
    int64_t lo, hi;
    fnn_share(job->op->units, team->tid, team->n, &lo, &hi);
    for (int64_t u = lo, next; u < hi; u = next) {
        const int64_t which = u / taps, start = which * taps;
        const weights_square q = square_at(job->p, which);
        next = gemm_min(hi, start + taps);
        add_taps(job, &q, b, u - start, next - start, add, job->sums + which * square_floats(job->p));
    }
}

static void turn_all(const weights_job *job, const fnn_team *team) {
    int64_t lo, hi;
    fnn_share(job->p->squares, team->tid, team->n, &lo, &hi);
    for (int64_t u = lo; u < hi; u++) {
        const weights_square q = square_at(job->p, u);
        turn_square(job, &q, job->sums + u * square_floats(job->p));
    }
}

/* ---- run ------------------------------------------------------------------------------------------------ */

static weights_job cut(const fnn_op *op, void *const *buf, void *scratch, const fnn_team *team) {
    const conv2d_problem *g = op->problem;
    const weights_plan *p = op->plan;
    const int64_t lines = 2 * p->taps;
    char *shared = scratch, *own = fnn_thread_scratch(op, scratch, team->tid);
    weights_job job = {.op = op, .g = g, .p = p, .dy = buf[0], .x = buf[1], .dw = buf[2]};
    job.x_parts = (uint16_t *)shared;
    shared += fnn_round_up((size_t)x_halfs(p, g->groups) * sizeof(uint16_t));
    job.dy_parts = (uint16_t *)shared;
    shared += fnn_round_up((size_t)dy_halfs(p, g->groups) * sizeof(uint16_t));
    job.step = (int64_t *)own;
    own += fnn_round_up((size_t)(p->lines * p->part_w) * sizeof(int64_t));
    job.line = (fnn_tile_line *)own;
    own += fnn_round_up((size_t)lines * sizeof(fnn_tile_line));
    job.rows = (int64_t *)own;
    own += fnn_round_up((size_t)(lines * FNN_TILE) * sizeof(int64_t));
    job.zeros = (float *)own;
    own += fnn_round_up((size_t)gemm_max(g->ic, g->oc) * sizeof(float));
    job.sums = (float *)(p->at_once ? own : shared);
    return job;
}

static void run(const fnn_op *op, void *const *buf, void *scratch, const fnn_team *team) {
    const conv2d_problem *g = op->problem;
    const weights_plan *p = op->plan;
    const weights_job job = cut(op, buf, scratch, team);
    memset(job.zeros, 0, (size_t)gemm_max(g->ic, g->oc) * sizeof(float));
    for (int64_t i = 0; i < p->blocks; i++) {
        const weights_block b = block_at(p, i);
        if (i > 0) fnn_team_wait(team); /* the block before is used up */
        split_x(&job, &b, team);
        split_dy(&job, &b, team);
        set_steps(&job, &b);
        fnn_team_wait(team);
        if (p->at_once)
            run_at_once(&job, &b, team);
        else
            add_block(&job, &b, i > 0, team);
    }
    op->k->tiles->end();
    if (p->at_once) return;
    fnn_team_wait(team);
    turn_all(&job, team);
}

/* ---- choice --------------------------------------------------------------------------------------------- */

/* A 1x1 of stride 1 is a product. */
static int applies(const fnn_kernels *kernels, const conv2d_problem *p) {
    return kernels->tiles && !conv2d_is_pointwise(p) && p->n > 0 && p->ic > 0 && p->oc > 0 && p->oh > 0 && p->ow > 0;
}

static double cost(const fnn_kernels *kernels, const conv2d_problem *g) {
    (void)kernels;
    const weights_plan p = best_plan(g);
    return plan_cost(g, &p);
}

const conv2d_algorithm fnn_conv2d_tiles_bwd_weights = {"tiles", CONV2D_DIRECT, applies, cost, init, run};
