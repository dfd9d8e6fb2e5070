/* See conv2d_weights_taps.h. */
#include <stdlib.h>
#include <string.h>

#include "weights_taps.h"

typedef struct weights_run {
    const weights_plan *p;
    const conv2d_problem *g;
    const fnn_kernels *k;
    const float *dy, *x;
    float *dw;
    fnn_weights_pair *pairs, *all_pairs; /* of the block at hand; of each place of a block in its image */
    int64_t *tap_end, *all_tap_ends;
    int64_t *listed;                 /* for each place, 1 + what is listed there */
    float *rows, *columns, *partial; /* partial: the thread's own, or all chunks' */
} weights_run;

/* A block: lines [oh0, oh0 + lines) of dy in some images, and lines [ih0, ih1) of x that they meet. */
typedef struct weights_pixels {
    int64_t image, images, oh0, lines, ih0, ih1;
    int64_t place; /* blocks of one place have the same pairs */
} weights_pixels;

/* Of one group: panels of columns and of rows. */
typedef struct weights_panels {
    int64_t group, j0, j1, i0, i1;
} weights_panels;

static weights_pixels block_at(const weights_run *r, int64_t b) {
    const weights_plan *p = r->p;
    const conv2d_problem *g = r->g;
    weights_pixels s;
    if (p->images > 1) {
        s = (weights_pixels){.image = b * p->images, .lines = g->oh};
        s.images = gemm_min(p->images, g->n - s.image);
        s.place = s.images != p->images;
    } else {
        const int64_t i = b % p->blocks_per_image;
        s = (weights_pixels){.image = b / p->blocks_per_image, .images = 1, .oh0 = g->oh * i / p->blocks_per_image};
        s.lines = g->oh * (i + 1) / p->blocks_per_image - s.oh0, s.place = i;
    }
    const int64_t last = (s.oh0 + s.lines - 1) * g->stride[0] + (g->kh - 1) * g->dilation[0] - g->padding[0];
    s.ih0 = gemm_min(g->ih, gemm_max(0, s.oh0 * g->stride[0] - g->padding[0]));
    s.ih1 = gemm_max(s.ih0, gemm_min(g->ih, last + 1));
    return s;
}

static const float *dy_at(const weights_run *r, const weights_pixels *s, int64_t group) {
    const conv2d_problem *g = r->g;
    return r->dy + (s->image * g->oh + s->oh0) * g->ow * g->oc + group * (g->oc / g->groups);
}

static const float *x_at(const weights_run *r, const weights_pixels *s, int64_t group) {
    const conv2d_problem *g = r->g;
    return r->x + (s->image * g->ih + s->ih0) * g->iw * g->ic + group * (g->ic / g->groups);
}

/* ---- pairs ---------------------------------------------------------------------------------------------- */

/* First j >= 0 with j * step + offset >= bound, at most count. */
static int64_t first_at(int64_t bound, int64_t offset, int64_t step, int64_t count) {
    return bound <= offset ? 0 : gemm_min(count, (bound - offset + step - 1) / step);
}

/* Strides of the two operands as the tiles see them, in floats. */
typedef struct weights_strides {
    int64_t dy_pixel, x_pixel, x_line, x_image;
    int by_slots; /* lines and pixels of x are numbered by those of dy: one tap along that side, packed */
} weights_strides;

static weights_strides strides_of(const weights_run *r) {
    const weights_plan *p = r->p;
    const conv2d_problem *g = r->g;
    const int by_dy = p->form == WEIGHTS_ROWS_DY, spans = p->form == WEIGHTS_ROWS_SPANS;
    const int dy_in_place = by_dy ? p->rows_in_place : p->columns_in_place;
    const int x_in_place = by_dy ? p->columns_in_place : p->rows_in_place;
    const int64_t nr = r->k->weights_nr, ld = p->row_width;
    weights_strides s = {.dy_pixel = dy_in_place ? g->oc : by_dy ? ld : nr, .by_slots = !x_in_place};
    if (spans)
        s.x_pixel = g->ic, s.x_line = p->span_line, s.x_image = p->slot_h * s.x_line;
    else if (x_in_place)
        s.x_pixel = g->ic, s.x_line = g->iw * g->ic, s.x_image = g->ih * s.x_line;
    else
        s.x_pixel = by_dy ? nr : ld, s.x_line = p->slot_w * s.x_pixel, s.x_image = p->slot_h * s.x_line;
    return s;
}

/* Lists pairs: pixels in the order of memory, those only whose input pixel lies in the image. */
static void list_pairs(const weights_run *r, const weights_pixels *s, fnn_weights_pair *pairs, int64_t *tap_end) {
    const weights_plan *p = r->p;
    const conv2d_problem *g = r->g;
    const weights_strides at = strides_of(r);
    const int spans = p->form == WEIGHTS_ROWS_SPANS, rows_dy = p->form == WEIGHTS_ROWS_DY;
    const int slots_h = at.by_slots && g->kh == 1, slots_w = at.by_slots && g->kw == 1 && !spans;
    const uint64_t x_step = (uint64_t)((slots_w ? 1 : g->stride[1]) * at.x_pixel), dy_step = (uint64_t)at.dy_pixel;
    const uint64_t step = rows_dy ? dy_step | x_step << 32 : x_step | dy_step << 32;
    fnn_weights_pair *to = pairs;
    for (int64_t t = 0; t < p->taps; t++) {
        const int64_t kh = spans ? t : t / g->kw, kw = spans ? 0 : t % g->kw;
        const int64_t off_h = kh * g->dilation[0] - g->padding[0], off_w = kw * g->dilation[1] - g->padding[2];
        const int64_t j0 = spans ? 0 : first_at(0, off_w, g->stride[1], g->ow);
        const int64_t j1 = spans ? g->ow : gemm_max(j0, first_at(g->iw, off_w, g->stride[1], g->ow));
        const int64_t x0 = slots_w ? j0 : spans ? 0 : j0 * g->stride[1] + off_w;
        for (int64_t image = 0; image < s->images; image++)
            for (int64_t l = 0; l < s->lines; l++) {
                const int64_t h = (s->oh0 + l) * g->stride[0] + off_h;
                if (h < 0 || h >= g->ih) continue;
                const int64_t line = slots_h ? l : h - s->ih0;
                const uint64_t d = (uint64_t)(((image * s->lines + l) * g->ow + j0) * at.dy_pixel);
                const uint64_t e = (uint64_t)(image * at.x_image + line * at.x_line + x0 * at.x_pixel);
                uint64_t pair = rows_dy ? d | e << 32 : e | d << 32;
                for (int64_t j = j0; j < j1; j++, pair += step) *to++ = pair;
            }
        tap_end[t] = to - pairs;
    }
}

/* The lists of a block, made unless they are there. */
static void use_pairs(weights_run *r, const weights_pixels *s) {
    const weights_plan *p = r->p;
    const int64_t slot = p->listings > 1 ? s->place : 0;
    fnn_weights_pair *pairs = r->all_pairs + slot * p->listing_pairs;
    int64_t *tap_end = r->all_tap_ends + slot * p->taps;
    if (r->listed[slot] != s->place + 1) list_pairs(r, s, pairs, tap_end);
    r->listed[slot] = s->place + 1, r->pairs = pairs, r->tap_end = tap_end;
}

/* ---- packing -------------------------------------------------------------------------------------------- */

/* Panels of channels of pixels: where they go and which of how many. */
typedef struct weights_target {
    float *dst;
    int64_t panel_floats, panels, from, to, channels;
    int rows; /* the width of panels of rows, 0 for columns */
} weights_target;

static void pack(const weights_run *r, const weights_target *t, float *dst, const float *src, int64_t step,
                 int64_t pixels) {
    r->k->weights_pack(dst, t->panel_floats, t->panels, t->from, t->to, t->channels, t->rows, src, step, pixels);
}

/* Channels of the lines of x that a block meets. */
static void pack_x(const weights_run *r, const weights_pixels *s, int64_t group, const weights_target *t) {
    const weights_plan *p = r->p;
    const conv2d_problem *g = r->g;
    const int64_t width = t->rows ? t->rows : r->k->weights_nr, channel = group * (g->ic / g->groups);
    const int64_t lines = g->kh == 1 ? s->lines : s->ih1 - s->ih0;
    const int64_t j0 = g->kw == 1 ? first_at(0, -g->padding[2], g->stride[1], g->ow) : 0;
    const int64_t j1 = g->kw == 1 ? first_at(g->iw, -g->padding[2], g->stride[1], g->ow) : g->iw;
    const int64_t w0 = g->kw == 1 ? j0 * g->stride[1] - g->padding[2] : 0, step = g->kw == 1 ? g->stride[1] : 1;
    for (int64_t image = 0; image < s->images && j0 < j1; image++)
        for (int64_t l = 0; l < lines; l++) {
            const int64_t h = g->kh == 1 ? (s->oh0 + l) * g->stride[0] - g->padding[0] : s->ih0 + l;
            if (h < 0 || h >= g->ih) continue;
            const float *src = r->x + (((s->image + image) * g->ih + h) * g->iw + w0) * g->ic + channel;
            pack(r, t, t->dst + ((image * p->slot_h + l) * p->slot_w + j0) * width, src, step * g->ic, j1 - j0);
        }
}

/* Lines of x with zeros where the filter leaves them on a side. */
static void pack_spans(const weights_run *r, const weights_pixels *s) {
    const weights_plan *p = r->p;
    const conv2d_problem *g = r->g;
    const int64_t lines = g->kh == 1 ? s->lines : s->ih1 - s->ih0;
    const int64_t left = gemm_min(g->padding[2] * g->ic, p->span_line);
    const int64_t inside = gemm_min(g->iw * g->ic, p->span_line - left), right = p->span_line - left - inside;
    for (int64_t image = 0; image < s->images; image++)
        for (int64_t l = 0; l < lines; l++) {
            const int64_t h = g->kh == 1 ? (s->oh0 + l) * g->stride[0] - g->padding[0] : s->ih0 + l;
            if (h < 0 || h >= g->ih) continue;
            float *d = r->rows + (image * p->slot_h + l) * p->span_line;
            memset(d, 0, (size_t)left * sizeof *d);
            memcpy(d + left, r->x + ((s->image + image) * g->ih + h) * g->iw * g->ic, (size_t)inside * sizeof *d);
            memset(d + left + inside, 0, (size_t)right * sizeof *d);
        }
}

static void pack_rows(const weights_run *r, const weights_pixels *s, const weights_panels *w, float *dst) {
    const weights_plan *p = r->p;
    const weights_target t = {dst, p->row_panel_floats, p->row_panels, w->i0, w->i1, p->rows, (int)p->row_width};
    if (p->form == WEIGHTS_ROWS_SPANS)
        pack_spans(r, s);
    else if (p->form == WEIGHTS_ROWS_DY)
        pack(r, &t, dst, dy_at(r, s, w->group), r->g->oc, s->images * s->lines * r->g->ow);
    else
        pack_x(r, s, w->group, &t);
}

static void pack_columns(const weights_run *r, const weights_pixels *s, int64_t group, int64_t j) {
    const weights_plan *p = r->p;
    const weights_target t = {r->columns, 0, p->column_panels, j, j + 1, p->columns, 0};
    if (p->form == WEIGHTS_ROWS_DY)
        pack_x(r, s, group, &t);
    else
        pack(r, &t, r->columns, dy_at(r, s, group), r->g->oc, s->images * s->lines * r->g->ow);
}

/* ---- blocks --------------------------------------------------------------------------------------------- */

/* Asks for a share of a piece of memory: part i of n. */
static void ask_part(fnn_weights_ahead *q, const float *from, int64_t floats, int64_t i, int64_t n, int64_t pairs) {
    const int64_t first = floats * i / n, count = floats * (i + 1) / n - first;
    q->from = from + first;
    q->step = gemm_min(16, gemm_ceil_div(count, gemm_max(1, pairs)));
    q->pairs = q->step > 0 ? gemm_ceil_div(count, q->step) : 0;
}

/* While panel j of a block is computed: its share of what the next block uses, all channels, in the order of memory;
 * panel by panel is slower, though less, for it leaves the machine's own prefetching behind. kept: that block's packed
 * rows, or NULL. */
static void look_ahead(const weights_run *r, const weights_pixels *next, const weights_panels *w, int64_t j,
                       const float *kept, fnn_weights_block *t) {
    const weights_plan *p = r->p;
    const conv2d_problem *g = r->g;
    const int by_dy = p->form == WEIGHTS_ROWS_DY;
    const int64_t pairs = (w->i1 - w->i0) * r->tap_end[p->taps - 1], n = w->j1 - w->j0;
    const float *dy = dy_at(r, next, 0), *x = x_at(r, next, 0);
    const int64_t dy_floats = next->images * next->lines * g->ow * g->oc;
    const int64_t x_floats = ((next->images - 1) * g->ih + next->ih1 - next->ih0) * g->iw * g->ic;
    const int64_t rows = kept ? p->row_floats : by_dy ? dy_floats : x_floats, columns = by_dy ? x_floats : dy_floats;
    const int64_t share = (int64_t)((double)pairs * (double)rows / (double)(rows + columns));
    ask_part(&t->ahead[0], kept ? kept : by_dy ? dy : x, rows, j - w->j0, n, share);
    ask_part(&t->ahead[1], by_dy ? x : dy, columns, j - w->j0, n, pairs - share);
}

/* Asks for n lines of memory, step floats apart, after all else that was asked for. */
static void ask_lines(fnn_weights_block *t, const float *from, int64_t n, int64_t step) {
    for (fnn_weights_ahead *q = t->ahead; q < t->ahead + WEIGHTS_AHEAD; q++)
        if (q->pairs <= 0) {
            *q = (fnn_weights_ahead){from, n, step};
            return;
        }
}

/* While the last sums of a panel of a 1x1 are formed: the places in dw where they will go, few floats of each of many
 * lines that are far apart. */
static void ask_dw(const weights_run *r, const weights_panels *w, int64_t j, fnn_weights_block *t) {
    const weights_plan *p = r->p;
    const conv2d_problem *g = r->g;
    const int64_t icg = g->ic / g->groups, ocg = g->oc / g->groups, nr = r->k->weights_nr;
    const int64_t first = weights_row(p, w->i0), m = weights_row(p, w->i1) - first;
    const float *dw = r->dw + w->group * ocg * icg;
    if (g->kh * g->kw > 1) return;
    if (p->form == WEIGHTS_ROWS_DY)
        for (int64_t e = 0; e < gemm_min(nr, p->columns - j * nr); e += FNN_LINE)
            ask_lines(t, dw + first * icg + j * nr + e, m, icg);
    else if (m == icg)
        ask_lines(t, dw + j * nr * icg, gemm_min(nr, p->columns - j * nr) * icg / FNN_LINE, FNN_LINE);
}

/* While panel j of the only block is computed: the columns of the next, if their pixels are a steady distance apart. */
static void ask_columns(const weights_run *r, const weights_panels *w, int64_t j, fnn_weights_block *t) {
    const weights_plan *p = r->p;
    const conv2d_problem *g = r->g;
    const int by_dy = p->form == WEIGHTS_ROWS_DY;
    const weights_pixels s = block_at(r, 0);
    if (j + 1 == w->j1 || (by_dy && !conv2d_is_pointwise(g))) return;
    const int64_t at = (j + 1) * r->k->weights_nr, n = gemm_min(r->k->weights_nr, p->columns - at);
    const float *src = (by_dy ? x_at(r, &s, w->group) : dy_at(r, &s, w->group)) + at;
    for (int64_t e = 0; e < n; e += FNN_LINE) ask_lines(t, src + e, g->n * g->oh * g->ow, by_dy ? g->ic : g->oc);
}

/* What is the same for all panels of columns. */
static fnn_weights_block block_of(const weights_run *r, const weights_pixels *s, const weights_panels *w,
                                  const float *rows) {
    const weights_plan *p = r->p;
    fnn_weights_block t = {.rows = p->rows,
                           .row_panels = p->row_panels,
                           .row0 = w->i0,
                           .row1 = w->i1,
                           .a_panel = p->row_panel_floats,
                           .a = rows,
                           .taps = p->taps,
                           .pairs = r->pairs,
                           .tap_end = r->tap_end,
                           .taps_outside = p->taps_outside};
    if (p->rows_in_place) t.a = p->form == WEIGHTS_ROWS_DY ? dy_at(r, s, w->group) : x_at(r, s, w->group);
    return t;
}

static void panel(const weights_run *r, const weights_pixels *s, int64_t group, int64_t j, fnn_weights_block *t) {
    const weights_plan *p = r->p;
    const int64_t nr = r->k->weights_nr;
    t->columns = gemm_min(nr, p->columns - j * nr);
    t->b = r->columns;
    if (!p->columns_in_place)
        pack_columns(r, s, group, j);
    else
        t->b = (p->form == WEIGHTS_ROWS_DY ? x_at(r, s, group) : dy_at(r, s, group)) + j * nr;
    r->k->weights_block(t);
}

/* Panels of columns over the blocks of a chunk. keep: every block's rows have a place; kept: they are there. */
static void walk_blocks(weights_run *r, int64_t chunk, const weights_panels *w, int keep, int kept, float *partial) {
    const weights_plan *p = r->p;
    const int64_t b0 = p->blocks * chunk / p->chunks, b1 = p->blocks * (chunk + 1) / p->chunks;
    for (int64_t b = b0; b < b1; b++) {
        const weights_pixels s = block_at(r, b);
        float *rows = r->rows + (keep ? (b - b0) * p->row_floats : 0);
        if (!kept && !p->rows_in_place) pack_rows(r, &s, w, rows);
        use_pairs(r, &s);
        fnn_weights_block t = block_of(r, &s, w, rows);
        t.add = b > b0;
        const weights_pixels next = block_at(r, gemm_min(b + 1, p->blocks - 1));
        for (int64_t j = w->j0; j < w->j1; j++) {
            if (b + 1 < b1)
                look_ahead(r, &next, w, j, kept ? rows + p->row_floats : NULL, &t);
            else if (p->chunks == 1)
                ask_dw(r, w, j, &t);
            t.c = partial + (j - w->j0) * p->partial_floats;
            panel(r, &s, w->group, j, &t);
        }
    }
}

/* Panels [i0, i1) of rows by one of columns, all taps, into their places in dw. c: where the first of these rows is. */
static void turn_panels(const weights_run *r, int64_t group, int64_t i0, int64_t i1, int64_t j, const float *c) {
    const weights_plan *p = r->p;
    const conv2d_problem *g = r->g;
    const int64_t nr = r->k->weights_nr, icg = g->ic / g->groups, ocg = g->oc / g->groups, taps = g->kh * g->kw;
    const int64_t filter = icg * taps, n = gemm_min(nr, p->columns - j * nr);
    if (i1 - i0 > 1 && taps > 1) {
        for (int64_t i = i0; i < i1; i++)
            turn_panels(r, group, i, i + 1, j, c + (weights_row(p, i) - weights_row(p, i0)) * p->taps * nr);
        return;
    }
    const int64_t first = weights_row(p, i0), m = weights_row(p, i1) - first;
    float *dw = r->dw + group * ocg * filter;
    fnn_weights_turn t = {.width = filter, .apart = m * nr, .count = taps, .n = n, .rounds = m, .src_round = nr};
    if (p->form == WEIGHTS_ROWS_DY) {
        t.width = taps, t.dst_round = filter;
        r->k->weights_turn(dw + first * filter + j * nr * taps, c, &t);
    } else if (p->form == WEIGHTS_ROWS_X) {
        t.dst_round = taps;
        if (taps == 1) t.rounds = 1, t.apart = nr, t.count = m;
        r->k->weights_turn(dw + j * nr * filter + first * taps, c, &t);
    } else {
        t.count = 1, t.rounds = g->kh, t.dst_round = g->kw, t.src_round = m * nr;
        for (int64_t e = 0; e < m; e++)
            r->k->weights_turn(dw + j * nr * filter + (first + e) % icg * taps + (first + e) / icg, c + e * nr, &t);
    }
}

/* All pixels are one block: panels of dw are finished one by one. */
static void region_of_one_block(weights_run *r, const weights_panels *all) {
    const weights_plan *p = r->p;
    const weights_pixels s = block_at(r, 0);
    use_pairs(r, &s);
    for (int64_t q = 0; q < p->row_parts; q++) {
        weights_panels w = *all;
        const int64_t panels = all->i1 - all->i0;
        w.i0 = all->i0 + panels * q / p->row_parts, w.i1 = all->i0 + panels * (q + 1) / p->row_parts;
        if (w.i0 == w.i1) continue;
        if (!p->rows_in_place) pack_rows(r, &s, &w, r->rows);
        for (int64_t j = w.j0; j < w.j1; j++) {
            fnn_weights_block t = block_of(r, &s, &w, r->rows);
            t.c = r->partial;
            ask_columns(r, &w, j, &t);
            ask_dw(r, &w, j, &t);
            panel(r, &s, w.group, j, &t);
            turn_panels(r, w.group, w.i0, w.i1, j, r->partial);
        }
    }
}

/* Panels of columns of one chunk, as many together as keep their partial sums near. */
static void region(weights_run *r, int64_t chunk, const weights_panels *all) {
    const weights_plan *p = r->p;
    const int64_t panels = all->j1 - all->j0, parts = gemm_ceil_div(panels, p->together);
    const int keep = p->keep_rows && panels > p->together;
    for (int64_t i = 0; i < parts; i++) {
        weights_panels w = *all;
        w.j0 = all->j0 + panels * i / parts, w.j1 = all->j0 + panels * (i + 1) / parts;
        float *partial = r->partial;
        if (p->chunks > 1)
            partial += ((chunk * r->g->groups + w.group) * p->column_panels + w.j0) * p->partial_floats;
        walk_blocks(r, chunk, &w, keep, keep && i > 0, partial);
        for (int64_t j = w.j0; j < w.j1 && p->chunks == 1; j++)
            turn_panels(r, w.group, w.i0, w.i1, j, partial + (j - w.j0) * p->partial_floats);
    }
}

/* Sums the chunks' results and turns them; threads share the panels. */
static void merge(const weights_run *r, const fnn_team *team) {
    const weights_plan *p = r->p;
    const int64_t nr = r->k->weights_nr, all = r->g->groups * p->column_panels;
    int64_t lo, hi;
    fnn_share(all * p->row_panels, team->tid, team->n, &lo, &hi);
    for (int64_t u = lo; u < hi; u++) {
        const int64_t i = u % p->row_panels, j = u / p->row_panels;
        const int64_t first = weights_row(p, i), m = weights_row(p, i + 1) - first;
        float *c = r->partial + j * p->partial_floats + first * p->taps * nr;
        r->k->weights_sum(c, p->chunks, all * p->partial_floats, m * p->taps * nr);
        turn_panels(r, j / p->column_panels, i, i + 1, j % p->column_panels, c);
    }
}

/* ---- op ------------------------------------------------------------------------------------------------- */

static fnn_status init(fnn_op *op) {
    weights_plan *p = op->plan = malloc(sizeof *p);
    if (!p) return fnn_fail(op, FNN_NO_MEMORY, "no memory for a plan");
    const conv2d_problem *g = op->problem;
    fnn_weights_plan_init(p, op->k, g);
    op->units = p->chunks * g->groups * p->row_splits * p->column_panels;
    op->scratch_thread = p->pairs_bytes + p->rows_bytes + p->columns_bytes;
    if (p->chunks == 1)
        op->scratch_thread += (size_t)(p->partial_floats * p->together) * 4;
    else
        op->scratch_shared = (size_t)(p->partial_floats * p->column_panels * g->groups * p->chunks) * 4;
    return FNN_OK;
}

/* Computes units from u on, before hi, that make a rectangle of rows and columns; returns how many. */
static int64_t take(weights_run *r, int64_t u, int64_t hi) {
    const weights_plan *p = r->p;
    const int64_t columns = p->column_panels, j0 = u % columns, split = u / columns % p->row_splits;
    const int64_t which = u / columns / p->row_splits, rest = hi - u;
    const int64_t whole = j0 == 0 ? gemm_min(rest / columns, p->row_splits - split) : 0, splits = gemm_max(1, whole);
    const int64_t j1 = whole > 0 ? columns : gemm_min(columns, j0 + rest);
    const weights_panels w = {which % r->g->groups, j0, j1, p->row_panels * split / p->row_splits,
                              p->row_panels * (split + splits) / p->row_splits};
    if (p->one_block)
        region_of_one_block(r, &w);
    else
        region(r, which / r->g->groups, &w);
    return splits * (j1 - j0);
}

static void run(const fnn_op *op, void *const *buf, void *scratch, const fnn_team *team) {
    const weights_plan *p = op->plan;
    const conv2d_problem *g = op->problem;
    char *mine = fnn_thread_scratch(op, scratch, team->tid);
    weights_run r = {.p = p, .g = g, .k = op->k, .dy = buf[0], .x = buf[1], .dw = buf[2]};
    r.listed = (int64_t *)mine, r.all_tap_ends = r.listed + p->listings;
    r.all_pairs = (fnn_weights_pair *)(r.all_tap_ends + p->listings * p->taps);
    memset(r.listed, 0, (size_t)p->listings * sizeof *r.listed);
    r.rows = (float *)(mine + p->pairs_bytes);
    r.columns = (float *)(mine + p->pairs_bytes + p->rows_bytes);
    r.partial = p->chunks > 1 ? scratch : mine + p->pairs_bytes + p->rows_bytes + p->columns_bytes;
    int64_t lo, hi;
    fnn_share(op->units, team->tid, team->n, &lo, &hi);
    for (int64_t u = lo; u < hi;) u += take(&r, u, hi);
    if (p->chunks == 1) return;
    fnn_team_wait(team);
    merge(&r, team);
}

const conv2d_algorithm fnn_conv2d_taps_bwd_weights = {"taps",           CONV2D_DIRECT, fnn_weights_applies,
                                                      fnn_weights_cost, init,          run};
