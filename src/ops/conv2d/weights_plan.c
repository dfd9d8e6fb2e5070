/* See conv2d_weights_taps.h. */
#include "weights_taps.h"

#define BLOCK_PIXELS 224          /* so many of both packed operands fit the first-level cache */
#define BLOCK_PIXELS_IN_PLACE 112 /* read where they lie, they share it with what lies between */
#define ONE_BLOCK_PIXELS 448      /* up to which a 1x1 takes all pixels at once: there is little but dw to move */
#define PARTIAL_BYTES ((int64_t)640 << 10) /* of dw that a thread keeps near while it walks the pixels */
#define ROW_BYTES ((int64_t)640 << 10)     /* of packed rows, likewise */
#define KEEP_BYTES ((int64_t)4 << 20)      /* most that kept rows may take */
#define SHARED_BYTES ((int64_t)64 << 20)   /* most that partial results may take */
#define LISTED_BYTES ((int64_t)256 << 10)  /* most that lists of pairs may take to be kept */
#define FEW_ROW_PANELS 5                   /* use packed columns too rarely to pay for their packing */
#define FEW_COLUMN_PANELS 2 /* leave rows in place to be read once or twice, all of a pixel's together */
#define NARROW 32           /* floats of a pixel whose lines hold little else than what is wanted */
#define MANY_ROWS 256       /* of more, too little of a block read in place stays near */
#define ENOUGH_UNITS 16
#define CHUNK_PIXELS 1024 /* least length of a chunk's sums */
#define SPAN_MOST 8       /* channels of a pixel, up to which spans are considered */
#define OFFSET_MOST ((int64_t)1 << 30)
#define EFFICIENCY 0.95     /* of the tile loop, ... */
#define EFFICIENCY_ONE 0.9  /* ... of a 1x1, whose operands are read once, ... */
#define EFFICIENCY_FEW 0.78 /* ... and of so few pixels that both panels share the first-level cache badly */
#define PACK 0.15           /* cycles a packed value */
#define LISTS 2500.0        /* cycles to list pairs, which tell where 1x1s are small */

static int64_t rows_of_tile(const fnn_kernels *k, int64_t columns) {
    return columns <= k->vl ? k->weights_mr_one : k->weights_mr;
}

/* Cycles a pixel for all taps: multiply-adds two a cycle, loads two a cycle, chains of four cycles. */
static double form_cycles(const fnn_kernels *k, int64_t rows, int64_t columns, int64_t taps) {
    const int64_t panels = gemm_ceil_div(rows, rows_of_tile(k, columns)), nv = k->weights_nr / k->vl;
    const double m = (double)rows / (double)panels;
    double all = 0;
    for (int64_t v = gemm_ceil_div(columns, k->vl); v > 0; v -= nv) {
        const double w = (double)gemm_min(v, nv), work = m * w / 2, loads = (m + w + 2) / 2;
        const double longest = work > loads ? work : loads;
        all += (longest > 4 ? longest : 4) + 0.5;
    }
    return all * (double)panels * (double)taps;
}

/* Whether a tile's rows are most of a cache line of a pixel, so that they may be read in place. */
static int rows_fill_lines(const fnn_kernels *k) { return k->weights_mr * 4 >= 48; }

/* A 1x1 of many pixels and few outputs: x is read where it lies, in its own order, beside a little of dy. */
static int few_outputs(const fnn_kernels *k, const conv2d_problem *g) {
    const int64_t icg = g->ic / g->groups, ocg = g->oc / g->groups;
    return g->kh * g->kw == 1 && g->stride[0] * g->stride[1] == 1 && rows_fill_lines(k) && ocg < icg &&
           ocg % k->vl == 0 && ocg >= k->weights_nr && ocg <= FEW_COLUMN_PANELS * k->weights_nr &&
           g->n * g->oh * g->ow > ONE_BLOCK_PIXELS;
}

static double best_form(const fnn_kernels *k, const conv2d_problem *g, weights_form *form) {
    const int64_t icg = g->ic / g->groups, ocg = g->oc / g->groups, taps = g->kh * g->kw;
    const double by_dy = form_cycles(k, ocg, icg, taps), by_x = form_cycles(k, icg, ocg, taps);
    double best = by_dy;
    *form = WEIGHTS_ROWS_DY;
    /* With one tap nothing is lost in the turn to OIHW, and the shorter side makes the better rows; of few pixels x
     * does, for then dw, the largest of all, is written line by line. */
    const int lines = g->n * g->oh * g->ow <= ONE_BLOCK_PIXELS && by_x < by_dy * 1.05 &&
                      ocg > FEW_ROW_PANELS * k->weights_mr;
    if ((taps == 1 && (icg < ocg || lines || few_outputs(k, g))) || by_x * 1.05 < best)
        best = by_x, *form = WEIGHTS_ROWS_X;
    if (g->groups == 1 && g->dilation[1] == 1 && icg <= SPAN_MOST) {
        const double by_spans = form_cycles(k, g->kw * icg, ocg, g->kh);
        if (by_spans < best) best = by_spans, *form = WEIGHTS_ROWS_SPANS;
    }
    return best;
}

/* Columns are read in whole vectors, so in place their number must be one of whole vectors. */
static void plan_places(weights_plan *p, const fnn_kernels *k, const conv2d_problem *g) {
    const int whole = p->columns % k->vl == 0, few = p->row_panels <= FEW_ROW_PANELS;
    const int64_t row_pixel = p->form == WEIGHTS_ROWS_DY ? g->oc : g->ic, column_pixel = g->ic + g->oc - row_pixel;
    if (p->form == WEIGHTS_ROWS_SPANS) {
        p->columns_in_place = whole;
    } else if (g->kh * g->kw == 1 && g->stride[0] * g->stride[1] == 1) {
        /* Rows of few lanes would read a cache line a pixel for a part of it, again for every panel. */
        const int lines = rows_fill_lines(k), outputs = few_outputs(k, g);
        p->rows_in_place = few || outputs ||
                           (lines && g->n * g->oh * g->ow > ONE_BLOCK_PIXELS && p->rows <= MANY_ROWS);
        p->columns_in_place = (few || outputs) && whole;
    } else if (g->groups == 1) {
        p->rows_in_place = row_pixel <= NARROW;
        p->columns_in_place = column_pixel <= NARROW && whole;
    }
}

static void plan_blocks(weights_plan *p, const conv2d_problem *g) {
    const int64_t map = g->oh * g->ow, all = g->n * map;
    int64_t pixels = p->rows_in_place && p->taps == 1 ? BLOCK_PIXELS_IN_PLACE : BLOCK_PIXELS;
    if (g->kh * g->kw == 1 && !p->rows_in_place && all <= ONE_BLOCK_PIXELS) pixels = all;
    p->images = gemm_max(1, gemm_min(g->n, pixels / map));
    p->images = gemm_ceil_div(g->n, gemm_ceil_div(g->n, p->images));
    p->blocks_per_image = p->images > 1 ? 1 : gemm_ceil_div(g->oh, gemm_max(1, pixels / g->ow));
    p->lines = gemm_ceil_div(g->oh, p->blocks_per_image);
    p->blocks = gemm_ceil_div(g->n, p->images) * p->blocks_per_image;
    const int64_t met = (p->lines - 1) * g->stride[0] + (g->kh - 1) * g->dilation[0] + 1;
    p->slot_h = g->kh == 1 ? p->lines : gemm_min(g->ih, met);
    p->slot_w = g->kw == 1 ? g->ow : g->iw;
    p->span_line = ((g->ow - 1) * g->stride[1] + g->kw) * g->ic;
}

static void plan_chunks(weights_plan *p, const conv2d_problem *g) {
    const int64_t dw_bytes = p->partial_floats * p->column_panels * g->groups * 4;
    const int64_t pixels = g->n * g->oh * g->ow, units = p->column_panels * g->groups;
    const int64_t wanted = gemm_min(gemm_ceil_div(ENOUGH_UNITS, units), gemm_min(pixels / CHUNK_PIXELS, p->blocks));
    p->chunks = gemm_max(1, gemm_min(wanted, SHARED_BYTES / dw_bytes));
    p->chunk_blocks = gemm_ceil_div(p->blocks, p->chunks);
    p->row_splits = 1; /* few or oddly many panels of columns are hard to share */
    if (p->chunks == 1 && units < ENOUGH_UNITS && units % 4 != 0)
        p->row_splits = gemm_min(p->row_panels, units % 2 == 0 ? 2 : 4);
    p->one_block = p->blocks == 1;
    p->together = gemm_min(p->column_panels, gemm_max(1, PARTIAL_BYTES / (p->partial_floats * 4)));
    if (p->one_block) p->together = 1;
}

static void plan_scratch(weights_plan *p, const conv2d_problem *g, const fnn_kernels *k) {
    const int64_t dy_pixels = p->images * p->lines * g->ow, x_pixels = p->images * p->slot_h * p->slot_w;
    const int by_dy = p->form == WEIGHTS_ROWS_DY;
    if (p->form == WEIGHTS_ROWS_SPANS)
        p->row_floats = p->images * p->slot_h * p->span_line;
    else if (!p->rows_in_place) {
        p->row_panel_floats = (by_dy ? dy_pixels : x_pixels) * p->row_width;
        p->row_floats = p->row_panel_floats * p->row_panels;
    }
    p->row_parts = 1;
    if (p->one_block && p->row_panel_floats > 0)
        p->row_parts = gemm_min(p->row_panels, gemm_ceil_div(p->row_floats * 4, ROW_BYTES));
    p->keep_rows = !p->one_block && p->together < p->column_panels &&
                   p->row_floats * p->chunk_blocks * 4 <= KEEP_BYTES;
    const int64_t column_floats = p->columns_in_place ? 0 : (by_dy ? x_pixels : dy_pixels) * k->weights_nr;
    p->rows_bytes = fnn_round_up((size_t)(p->row_floats * (p->keep_rows ? p->chunk_blocks : 1)) * 4);
    p->columns_bytes = fnn_round_up((size_t)column_floats * 4);
    p->listing_pairs = dy_pixels * p->taps;
    p->listings = p->images > 1 ? 2 : p->blocks_per_image;
    if (p->listings * p->listing_pairs * (int64_t)sizeof(fnn_weights_pair) > LISTED_BYTES) p->listings = 1;
    p->pairs_bytes = fnn_round_up((size_t)(p->listings * (1 + p->taps + p->listing_pairs)) * 8);
}

void fnn_weights_plan_init(weights_plan *p, const fnn_kernels *k, const conv2d_problem *g) {
    const int64_t icg = g->ic / g->groups, ocg = g->oc / g->groups;
    *p = (weights_plan){0};
    best_form(k, g, &p->form);
    p->taps = p->form == WEIGHTS_ROWS_SPANS ? g->kh : g->kh * g->kw;
    p->rows = p->form == WEIGHTS_ROWS_DY ? ocg : p->form == WEIGHTS_ROWS_X ? icg : g->kw * icg;
    p->columns = p->form == WEIGHTS_ROWS_DY ? icg : ocg;
    p->row_panels = gemm_ceil_div(p->rows, rows_of_tile(k, p->columns));
    p->row_width = gemm_ceil_div(p->rows, p->row_panels) <= k->weights_ld ? k->weights_ld : k->weights_ld_one;
    p->column_panels = gemm_ceil_div(p->columns, k->weights_nr);
    p->partial_floats = p->rows * k->weights_nr * p->taps;
    p->taps_outside = g->stride[0] * g->stride[1] > 1;
    plan_places(p, k, g);
    plan_blocks(p, g);
    plan_chunks(p, g);
    plan_scratch(p, g, k);
}

int fnn_weights_applies(const fnn_kernels *k, const conv2d_problem *g) {
    if (g->n == 0 || g->oh * g->ow == 0 || g->ic == 0 || g->oc == 0) return 0;
    weights_plan p;
    fnn_weights_plan_init(&p, k, g);
    const int64_t x_block = p.images * g->ih * g->iw * g->ic, dy_block = p.images * g->oh * g->ow * g->oc;
    return p.row_floats < OFFSET_MOST && (int64_t)p.columns_bytes < OFFSET_MOST && x_block < OFFSET_MOST &&
           dy_block < OFFSET_MOST;
}

double fnn_weights_cost(const fnn_kernels *k, const conv2d_problem *g) {
    weights_form form;
    const int64_t pixels = g->n * g->oh * g->ow;
    const double efficiency = g->kh * g->kw > 1           ? EFFICIENCY
                              : pixels > ONE_BLOCK_PIXELS ? EFFICIENCY_ONE
                                                          : EFFICIENCY_FEW;
    const double tile = best_form(k, g, &form) * (double)g->groups / efficiency;
    return (double)pixels * (tile + PACK * (double)(g->ic + g->oc)) + (g->kh * g->kw == 1 ? LISTS : 0.0);
}
