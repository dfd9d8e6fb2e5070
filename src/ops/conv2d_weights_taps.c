/* See conv2d_weights_taps.h. Blocks of pixels are some whole lines of dy; chunks of blocks have partial results of
 * their own where dw alone gives too few units; a unit is a chunk, a group and a panel of columns. */
#include <stdlib.h>
#include <string.h>

#include "conv2d_algorithms.h"
#include "conv2d_weights_taps.h"

#define BLOCK_PIXELS 224                   /* so many of both operands fit the first-level cache */
#define PARTIAL_BYTES ((int64_t)640 << 10) /* of dw that a thread keeps near while it walks the pixels */
#define KEEP_BYTES ((int64_t)2 << 20)      /* most that kept rows may take */
#define SHARED_BYTES ((int64_t)64 << 20)   /* most that partial results may take */
#define ENOUGH_UNITS 16
#define CHUNK_PIXELS 1024 /* least length of a chunk's sums */
#define SPAN_MOST 8       /* channels of a pixel, up to which spans are considered */
#define EFFICIENCY 0.95   /* of the tile loop */
#define PACK 0.15         /* cycles a packed value */
#define OFFSET_MOST ((int64_t)1 << 30)

/* ---- plan ----------------------------------------------------------------------------------------------- */

/* Cycles a pixel for all taps: multiply-adds two a cycle, loads two a cycle, chains of four cycles. */
static double form_cycles(const fnn_kernels *k, int64_t rows, int64_t columns, int64_t taps) {
    const int64_t panels = gemm_ceil_div(rows, k->weights_mr), nv = k->weights_nr / k->vl;
    const double m = (double)rows / (double)panels;
    double all = 0;
    for (int64_t v = gemm_ceil_div(columns, k->vl); v > 0; v -= nv) {
        const double w = (double)gemm_min(v, nv), work = m * w / 2, loads = (m + w + 2) / 2;
        const double longest = work > loads ? work : loads;
        all += (longest > 4 ? longest : 4) + 0.5;
    }
    return all * (double)panels * (double)taps;
}

static double best_form(const fnn_kernels *k, const conv2d_problem *g, weights_form *form) {
    const int64_t icg = g->ic / g->groups, ocg = g->oc / g->groups, taps = g->kh * g->kw;
    const double by_dy = form_cycles(k, ocg, icg, taps), by_x = form_cycles(k, icg, ocg, taps);
    double best = by_dy;
    *form = WEIGHTS_ROWS_DY;
    /* With one tap nothing is lost in the turn to OIHW, and the shorter side makes the better rows. */
    if ((taps == 1 && icg < ocg) || by_x * 1.05 < best) best = by_x, *form = WEIGHTS_ROWS_X;
    if (g->groups == 1 && g->dilation[1] == 1 && icg <= SPAN_MOST) {
        const double by_spans = form_cycles(k, g->kw * icg, ocg, g->kh);
        if (by_spans < best) best = by_spans, *form = WEIGHTS_ROWS_SPANS;
    }
    return best;
}

/* Lines of x that `lines` lines of dy meet, as packed. */
static int64_t lines_of_x(const conv2d_problem *g, int64_t lines) {
    if (g->kh == 1) return lines;
    return gemm_min(g->ih, (lines - 1) * g->stride[0] + (g->kh - 1) * g->dilation[0] + 1);
}

static void plan_blocks(weights_taps_plan *p, const conv2d_problem *g) {
    const int64_t map = g->oh * g->ow;
    p->images = gemm_max(1, gemm_min(g->n, BLOCK_PIXELS / map));
    p->blocks_per_image = 1;
    if (p->images == 1) {
        const int64_t lines = gemm_max(1, BLOCK_PIXELS / g->ow);
        p->blocks_per_image = gemm_ceil_div(g->oh, lines);
    } else {
        p->images = gemm_ceil_div(g->n, gemm_ceil_div(g->n, p->images));
    }
    p->lines = gemm_ceil_div(g->oh, p->blocks_per_image);
    p->blocks = p->images > 1 ? gemm_ceil_div(g->n, p->images) : g->n * p->blocks_per_image;
    p->slot_h = lines_of_x(g, p->lines);
    p->slot_w = g->kw == 1 ? g->ow : g->iw;
    p->span_line = ((g->ow - 1) * g->stride[1] + g->kw) * g->ic;
}

static void plan_chunks(weights_taps_plan *p, const conv2d_problem *g, const fnn_kernels *k) {
    const int64_t dw_bytes = p->rows * p->column_panels * k->weights_nr * p->taps * g->groups * 4;
    const int64_t pixels = g->n * g->oh * g->ow, units = p->column_panels * g->groups;
    const int64_t wanted = gemm_min(gemm_ceil_div(ENOUGH_UNITS, units), gemm_min(pixels / CHUNK_PIXELS, p->blocks));
    p->chunks = gemm_max(1, gemm_min(wanted, SHARED_BYTES / dw_bytes));
    p->chunk_blocks = gemm_ceil_div(p->blocks, p->chunks);
    p->chunks = gemm_ceil_div(p->blocks, p->chunk_blocks);
}

/* Sizes in floats: a panel of columns of a block, a block's rows; then the scratch. */
static void plan_sizes(weights_taps_plan *p, const conv2d_problem *g, const fnn_kernels *k) {
    const int64_t dy_pixels = p->images * p->lines * g->ow, x_pixels = p->images * p->slot_h * p->slot_w;
    const int64_t panel_bytes = p->rows * k->weights_nr * p->taps * 4;
    p->together = gemm_min(p->column_panels, gemm_max(1, PARTIAL_BYTES / panel_bytes));
    if (p->form == WEIGHTS_ROWS_DY)
        p->row_floats = dy_pixels * k->weights_ld * p->row_panels, p->column_floats = x_pixels * k->weights_nr;
    else if (p->form == WEIGHTS_ROWS_X)
        p->row_floats = x_pixels * k->weights_ld * p->row_panels, p->column_floats = dy_pixels * k->weights_nr;
    else
        p->row_floats = p->images * p->slot_h * p->span_line, p->column_floats = dy_pixels * k->weights_nr;
    p->keep_rows = p->together < p->column_panels && p->row_floats * p->chunk_blocks * 4 <= KEEP_BYTES;
    p->rows_bytes = fnn_round_up((size_t)(p->row_floats * (p->keep_rows ? p->chunk_blocks : 1)) * 4);
    p->columns_bytes = fnn_round_up((size_t)(p->column_floats * p->together) * 4);
    p->pairs_bytes = fnn_round_up((size_t)(dy_pixels * p->taps) * sizeof(fnn_weights_pair)) +
                     fnn_round_up((size_t)p->taps * sizeof(int64_t));
}

static void plan_init(weights_taps_plan *p, const fnn_kernels *k, const conv2d_problem *g) {
    const int64_t icg = g->ic / g->groups, ocg = g->oc / g->groups;
    best_form(k, g, &p->form);
    p->taps = p->form == WEIGHTS_ROWS_SPANS ? g->kh : g->kh * g->kw;
    p->rows = p->form == WEIGHTS_ROWS_DY ? ocg : p->form == WEIGHTS_ROWS_X ? icg : g->kw * icg;
    p->columns = p->form == WEIGHTS_ROWS_DY ? icg : ocg;
    p->row_panels = gemm_ceil_div(p->rows, k->weights_mr);
    p->column_panels = gemm_ceil_div(p->columns, k->weights_nr);
    p->taps_outside = g->stride[0] * g->stride[1] > 1;
    plan_blocks(p, g);
    plan_chunks(p, g, k);
    plan_sizes(p, g, k);
}

static int applies(const fnn_kernels *k, const conv2d_problem *g) {
    if (g->n == 0 || g->oh * g->ow == 0 || g->ic == 0 || g->oc == 0) return 0;
    weights_taps_plan p = {0};
    plan_init(&p, k, g);
    return p.row_floats < OFFSET_MOST && p.column_floats < OFFSET_MOST && g->n * g->oh * g->ow < OFFSET_MOST;
}

static double cost(const fnn_kernels *k, const conv2d_problem *g) {
    weights_form form;
    const double tile = best_form(k, g, &form) * (double)g->groups / EFFICIENCY;
    return (double)(g->n * g->oh * g->ow) * (tile + PACK * (double)(g->ic + g->oc));
}

static fnn_status init(fnn_op *op) {
    const conv2d_problem *g = op->problem;
    weights_taps_plan *p = op->plan = calloc(1, sizeof *p);
    if (!p) return fnn_fail(op, FNN_NO_MEMORY, "no memory for a plan");
    plan_init(p, op->k, g);
    const int64_t panel_floats = p->rows * op->k->weights_nr * p->taps;
    op->units = p->chunks * g->groups * p->column_panels;
    op->scratch_thread = p->pairs_bytes + p->rows_bytes + p->columns_bytes;
    if (p->chunks == 1)
        op->scratch_thread += (size_t)(panel_floats * p->together) * 4;
    else
        op->scratch_shared = (size_t)(panel_floats * p->column_panels * g->groups * p->chunks) * 4;
    return FNN_OK;
}

/* ---- run ------------------------------------------------------------------------------------------------ */

typedef struct weights_run {
    const weights_taps_plan *p;
    const conv2d_problem *g;
    const fnn_kernels *k;
    const float *dy, *x;
    float *dw;
    fnn_weights_pair *pairs;
    int64_t *tap_end;
    float *rows, *columns, *partial; /* partial: the thread's own, or all chunks' */
} weights_run;

/* A block of pixels: lines [oh0, oh0 + lines) of dy in some images, and lines [ih0, ih1) of x that they meet. */
typedef struct weights_pixels {
    int64_t image, images, oh0, lines, ih0, ih1;
} weights_pixels;

static weights_pixels block_at(const weights_run *r, int64_t b) {
    const weights_taps_plan *p = r->p;
    const conv2d_problem *g = r->g;
    weights_pixels s;
    if (p->images > 1) {
        s = (weights_pixels){.image = b * p->images, .lines = g->oh};
        s.images = gemm_min(p->images, g->n - s.image);
    } else {
        const int64_t i = b % p->blocks_per_image;
        s = (weights_pixels){.image = b / p->blocks_per_image, .images = 1, .oh0 = g->oh * i / p->blocks_per_image};
        s.lines = g->oh * (i + 1) / p->blocks_per_image - s.oh0;
    }
    const int64_t last = (s.oh0 + s.lines - 1) * g->stride[0] + (g->kh - 1) * g->dilation[0] - g->padding[0];
    s.ih0 = gemm_min(g->ih, gemm_max(0, s.oh0 * g->stride[0] - g->padding[0]));
    s.ih1 = gemm_max(s.ih0, gemm_min(g->ih, last + 1));
    return s;
}

/* First j >= 0 with j * step + offset >= bound, at most count. */
static int64_t first_at(int64_t bound, int64_t offset, int64_t step, int64_t count) {
    return bound <= offset ? 0 : gemm_min(count, (bound - offset + step - 1) / step);
}

/* The lists of pairs of a block: pixels in the order of memory, those only whose input pixel lies in the image. */
static void list_pairs(const weights_run *r, const weights_pixels *s) {
    const weights_taps_plan *p = r->p;
    const conv2d_problem *g = r->g;
    const int spans = p->form == WEIGHTS_ROWS_SPANS, rows_dy = p->form == WEIGHTS_ROWS_DY;
    const int64_t nr = r->k->weights_nr, ld = r->k->weights_ld;
    const int64_t dy_unit = rows_dy ? ld : p->dy_in_place ? g->oc : nr;
    const int64_t x_unit = spans ? g->ic : rows_dy ? nr : ld;
    const int64_t x_step = (spans || g->kw > 1 ? g->stride[1] : 1) * x_unit;
    const int64_t x_line = spans ? p->span_line : p->slot_w * x_unit;
    fnn_weights_pair *at = r->pairs;
    for (int64_t t = 0; t < p->taps; t++) {
        const int64_t kh = spans ? t : t / g->kw, kw = spans ? 0 : t % g->kw;
        const int64_t off_h = kh * g->dilation[0] - g->padding[0], off_w = kw * g->dilation[1] - g->padding[2];
        const int64_t j0 = spans ? 0 : first_at(0, off_w, g->stride[1], g->ow);
        const int64_t j1 = spans ? g->ow : gemm_max(j0, first_at(g->iw, off_w, g->stride[1], g->ow));
        const int64_t x0 = spans || g->kw == 1 ? 0 : off_w * x_unit;
        for (int64_t image = 0; image < s->images; image++)
            for (int64_t l = 0; l < s->lines; l++) {
                const int64_t h = (s->oh0 + l) * g->stride[0] + off_h;
                if (h < 0 || h >= g->ih) continue;
                const int64_t slot = g->kh == 1 ? l : h - s->ih0;
                const int64_t d = (image * s->lines + l) * g->ow * dy_unit;
                const int64_t e = (image * p->slot_h + slot) * x_line + x0;
                for (int64_t j = j0; j < j1; j++, at++) {
                    const int32_t dy_at = (int32_t)(d + j * dy_unit), x_at = (int32_t)(e + j * x_step);
                    *at = rows_dy ? (fnn_weights_pair){dy_at, x_at} : (fnn_weights_pair){x_at, dy_at};
                }
            }
        r->tap_end[t] = at - r->pairs;
    }
}

/* Channels of dy in a block: its pixels lie one after another. */
static void pack_dy(const weights_run *r, const weights_pixels *s, float *dst, int64_t panel_floats, int64_t panels,
                    int64_t first, int64_t channels) {
    const conv2d_problem *g = r->g;
    const float *src = r->dy + ((s->image * g->oh + s->oh0) * g->ow) * g->oc + first;
    r->k->weights_pack(dst, r->p->form == WEIGHTS_ROWS_DY, panel_floats, panels, channels, src, g->oc,
                       s->images * s->lines * g->ow);
}

/* Channels of the lines of x that a block meets. */
static void pack_x(const weights_run *r, const weights_pixels *s, float *dst, int64_t panel_floats, int64_t panels,
                   int64_t first, int64_t channels) {
    const weights_taps_plan *p = r->p;
    const conv2d_problem *g = r->g;
    const int rows = p->form == WEIGHTS_ROWS_X;
    const int64_t width = rows ? r->k->weights_ld : r->k->weights_nr;
    const int64_t lines = g->kh == 1 ? s->lines : s->ih1 - s->ih0;
    const int64_t j0 = g->kw == 1 ? first_at(0, -g->padding[2], g->stride[1], g->ow) : 0;
    const int64_t j1 = g->kw == 1 ? first_at(g->iw, -g->padding[2], g->stride[1], g->ow) : g->iw;
    const int64_t w0 = g->kw == 1 ? j0 * g->stride[1] - g->padding[2] : 0, step = g->kw == 1 ? g->stride[1] : 1;
    for (int64_t image = 0; image < s->images && j0 < j1; image++)
        for (int64_t l = 0; l < lines; l++) {
            const int64_t h = g->kh == 1 ? (s->oh0 + l) * g->stride[0] - g->padding[0] : s->ih0 + l;
            if (h < 0 || h >= g->ih) continue;
            const float *src = r->x + (((s->image + image) * g->ih + h) * g->iw + w0) * g->ic + first;
            float *d = dst + ((image * p->slot_h + l) * p->slot_w + j0) * width;
            r->k->weights_pack(d, rows, panel_floats, panels, channels, src, step * g->ic, j1 - j0);
        }
}

/* Lines of x with zeros where the filter leaves them on a side. */
static void pack_spans(const weights_run *r, const weights_pixels *s, float *dst) {
    const weights_taps_plan *p = r->p;
    const conv2d_problem *g = r->g;
    const int64_t lines = g->kh == 1 ? s->lines : s->ih1 - s->ih0,
                  left = gemm_min(g->padding[2] * g->ic, p->span_line);
    const int64_t inside = gemm_min(g->iw * g->ic, p->span_line - left), right = p->span_line - left - inside;
    for (int64_t image = 0; image < s->images; image++)
        for (int64_t l = 0; l < lines; l++) {
            const int64_t h = g->kh == 1 ? (s->oh0 + l) * g->stride[0] - g->padding[0] : s->ih0 + l;
            if (h < 0 || h >= g->ih) continue;
            float *d = dst + (image * p->slot_h + l) * p->span_line;
            memset(d, 0, (size_t)left * sizeof *d);
            memcpy(d + left, r->x + ((s->image + image) * g->ih + h) * g->iw * g->ic, (size_t)inside * sizeof *d);
            memset(d + left + inside, 0, (size_t)right * sizeof *d);
        }
}

static void pack_rows(const weights_run *r, const weights_pixels *s, int64_t group, float *dst) {
    const weights_taps_plan *p = r->p;
    if (p->form == WEIGHTS_ROWS_SPANS)
        pack_spans(r, s, dst);
    else if (p->form == WEIGHTS_ROWS_DY)
        pack_dy(r, s, dst, p->row_floats / p->row_panels, p->row_panels, group * p->rows, p->rows);
    else
        pack_x(r, s, dst, p->row_floats / p->row_panels, p->row_panels, group * p->rows, p->rows);
}

static void pack_columns(const weights_run *r, const weights_pixels *s, int64_t group, int64_t j0, int64_t j1) {
    const weights_taps_plan *p = r->p;
    const int64_t nr = r->k->weights_nr, first = j0 * nr, count = gemm_min(p->columns, j1 * nr) - first;
    if (p->form == WEIGHTS_ROWS_DY)
        pack_x(r, s, r->columns, p->column_floats, j1 - j0, group * p->columns + first, count);
    else
        pack_dy(r, s, r->columns, p->column_floats, j1 - j0, group * p->columns + first, count);
}

/* Asks for the next block's pixels: all channels, which lie in one piece. */
static void look_ahead(const weights_run *r, int64_t b, fnn_weights_block *t) {
    const conv2d_problem *g = r->g;
    if (b >= r->p->blocks) return;
    const weights_pixels s = block_at(r, b);
    t->ahead[0] = r->dy + (s.image * g->oh + s.oh0) * g->ow * g->oc;
    t->ahead_lines[0] = s.images * s.lines * g->ow * g->oc / 16;
    t->ahead[1] = r->x + (s.image * g->ih + s.ih0) * g->iw * g->ic;
    t->ahead_lines[1] = ((s.images - 1) * g->ih + s.ih1 - s.ih0) * g->iw * g->ic / 16;
}

/* Panels [j0, j1) of columns over the blocks of a chunk. */
static void walk_blocks(const weights_run *r, int64_t chunk, int64_t group, int64_t j0, int64_t j1, int keep,
                        int kept, float *partial) {
    const weights_taps_plan *p = r->p;
    const int64_t nr = r->k->weights_nr, b0 = chunk * p->chunk_blocks, b1 = gemm_min(p->blocks, b0 + p->chunk_blocks);
    weights_pixels listed = {0};
    for (int64_t b = b0; b < b1; b++) {
        const weights_pixels s = block_at(r, b);
        float *rows = r->rows + (keep ? (b - b0) * p->row_floats : 0);
        if (!kept) pack_rows(r, &s, group, rows);
        pack_columns(r, &s, group, j0, j1);
        if (s.images != listed.images || s.oh0 != listed.oh0 || s.lines != listed.lines) list_pairs(r, &s);
        listed = s;
        fnn_weights_block t = {.rows = p->rows,
                               .row_panels = p->row_panels,
                               .a_panel = p->form == WEIGHTS_ROWS_SPANS ? 0 : p->row_floats / p->row_panels,
                               .a = rows,
                               .taps = p->taps,
                               .pairs = r->pairs,
                               .tap_end = r->tap_end,
                               .add = b > b0,
                               .taps_outside = p->taps_outside};
        if (b + 1 < b1) look_ahead(r, b + 1, &t);
        for (int64_t j = j0; j < j1; j++) {
            t.columns = gemm_min(nr, p->columns - j * nr);
            t.b = r->columns + (j - j0) * p->column_floats;
            t.c = partial + (j - j0) * p->rows * nr * p->taps;
            r->k->weights_block(&t);
        }
    }
}

/* One panel of rows by one of columns, all taps, into its places in dw. */
static void turn_panel(const weights_run *r, int64_t group, int64_t i, int64_t j, const float *c) {
    const weights_taps_plan *p = r->p;
    const conv2d_problem *g = r->g;
    const int64_t nr = r->k->weights_nr, icg = g->ic / g->groups, ocg = g->oc / g->groups, taps = g->kh * g->kw;
    const int64_t first = p->rows * i / p->row_panels, m = p->rows * (i + 1) / p->row_panels - first;
    const int64_t filter = icg * taps, n = gemm_min(nr, p->columns - j * nr);
    float *dw = r->dw + group * ocg * filter;
    c += first * p->taps * nr;
    if (p->form == WEIGHTS_ROWS_DY) {
        for (int64_t o = 0; o < m; o++)
            r->k->weights_turn(dw + (first + o) * filter + j * nr * taps, taps, c + o * nr, m * nr, taps, n);
        return;
    }
    dw += j * nr * filter;
    if (p->form == WEIGHTS_ROWS_X && taps == 1) {
        r->k->weights_turn(dw + first, filter, c, nr, m, n);
        return;
    }
    for (int64_t e = 0; e < m; e++) {
        if (p->form == WEIGHTS_ROWS_X) {
            r->k->weights_turn(dw + (first + e) * taps, filter, c + e * nr, m * nr, taps, n);
            continue;
        }
        const int64_t kw = (first + e) / icg, channel = (first + e) % icg;
        for (int64_t kh = 0; kh < g->kh; kh++)
            r->k->weights_turn(dw + (channel * g->kh + kh) * g->kw + kw, filter, c + (kh * m + e) * nr, 0, 1, n);
    }
}

/* Panels [j0, j1) of one chunk and group, as many together as keep their partial sums near. */
static void region(const weights_run *r, int64_t chunk, int64_t group, int64_t j0, int64_t j1) {
    const weights_taps_plan *p = r->p;
    const int64_t panel_floats = p->rows * r->k->weights_nr * p->taps, groups = r->g->groups;
    const int keep = p->keep_rows && j1 - j0 > p->together;
    const int64_t parts = gemm_ceil_div(j1 - j0, p->together);
    for (int64_t i = 0; i < parts; i++) {
        const int64_t from = j0 + (j1 - j0) * i / parts, to = j0 + (j1 - j0) * (i + 1) / parts;
        float *partial = r->partial;
        if (p->chunks > 1) partial += ((chunk * groups + group) * p->column_panels + from) * panel_floats;
        walk_blocks(r, chunk, group, from, to, keep, keep && i > 0, partial);
        if (p->chunks > 1) continue;
        for (int64_t j = from; j < to; j++)
            for (int64_t q = 0; q < p->row_panels; q++)
                turn_panel(r, group, q, j, partial + (j - from) * panel_floats);
    }
}

/* Sums the chunks' results and turns them; threads share the panels. */
static void merge(const weights_run *r, const fnn_team *team) {
    const weights_taps_plan *p = r->p;
    const int64_t per = p->rows * r->k->weights_nr * p->taps, all = r->g->groups * p->column_panels * p->row_panels;
    int64_t lo, hi;
    fnn_share(all, team->tid, team->n, &lo, &hi);
    for (int64_t u = lo; u < hi; u++) {
        const int64_t i = u % p->row_panels, j = u / p->row_panels;
        const int64_t first = p->rows * i / p->row_panels, m = p->rows * (i + 1) / p->row_panels - first;
        float *c = r->partial + j * per;
        r->k->weights_sum(c + first * p->taps * r->k->weights_nr, p->chunks, all / p->row_panels * per,
                          m * p->taps * r->k->weights_nr);
        turn_panel(r, j / p->column_panels, i, j % p->column_panels, c);
    }
}

static void run(const fnn_op *op, void *const *buf, void *scratch, const fnn_team *team) {
    const weights_taps_plan *p = op->plan;
    const conv2d_problem *g = op->problem;
    char *mine = fnn_thread_scratch(op, scratch, team->tid);
    weights_run r = {.p = p, .g = g, .k = op->k, .dy = buf[0], .x = buf[1], .dw = buf[2]};
    r.tap_end = (int64_t *)mine;
    r.pairs = (fnn_weights_pair *)(mine + fnn_round_up((size_t)p->taps * sizeof(int64_t)));
    r.rows = (float *)(mine + p->pairs_bytes);
    r.columns = (float *)(mine + p->pairs_bytes + p->rows_bytes);
    r.partial = p->chunks > 1 ? scratch : mine + p->pairs_bytes + p->rows_bytes + p->columns_bytes;
    int64_t lo, hi;
    fnn_share(p->chunks * g->groups * p->column_panels, team->tid, team->n, &lo, &hi);
    for (int64_t u = lo, next; u < hi; u = next) {
        const int64_t start = u / p->column_panels * p->column_panels, which = u / p->column_panels;
        next = gemm_min(hi, start + p->column_panels);
        region(&r, which / g->groups, which % g->groups, u - start, next - start);
    }
    if (p->chunks == 1) return;
    fnn_team_wait(team);
    merge(&r, team);
}

const conv2d_algorithm fnn_conv2d_taps_bwd_weights = {"taps", CONV2D_DIRECT, applies, cost, init, run};
