/* Convolutions on tiles: a row of A is what one output meets of a line of taps, a run of neighbours along k.
 *
 * Source lines are copied as for strips (conv_strip.h), then split: each part is a copy of its own, of the same
 * layout. The runs of neighbouring outputs begin at one distance from each other, so a tile loads up to 16 of them
 * as they are: nothing is gathered, and each value is split once for all taps and all columns of B. */
#ifndef FASTNN_KERNELS_TILE_LINES_H
#define FASTNN_KERNELS_TILE_LINES_H

#include "tiles.h"

#define TILE_TALL 4 /* tiles of A beside one column of B's: as many sums as hide what a multiplication takes */

static void tile_split_line(const float *src, int64_t n, uint16_t *dst, int64_t part) {
    for (int64_t i = 0; i < n; i += FNN_TILE_K)
        tile_store_row(dst + i, part, tile_load(src + i, n - i), tile_load(src + i + VL, n - i - VL));
}

/* R tiles of A by one of B, whose parts stay. One tile of A at a time is loaded for its products with all of them. */
static inline __attribute__((always_inline)) void tile_tall_sum(const int R, const fnn_tile_line *line,
                                                                const uint16_t *b, const fnn_tile_block *g,
                                                                float *sum, tile_meanwhile *meanwhile) {
    const int64_t row = g->a_row * (int64_t)sizeof *b, end = line->first + line->steps;
    _tile_zero(0);
    if (R > 1) _tile_zero(1);
    if (R > 2) _tile_zero(2);
    if (R > 2) _tile_zero(3);
#define TILE_ROW(r, part)                                                                                            \
    if (R > (r)) {                                                                                                   \
        _tile_loadd(4, g->a + (line[r].at + g->step[p] + (part) * g->a_part), row);                                  \
        if ((part) == 0) _tile_dpbf16ps(r, 4, 7);                                                                    \
        if ((part) <= 1) _tile_dpbf16ps(r, 4, 6);                                                                    \
        _tile_dpbf16ps(r, 4, 5);                                                                                     \
    }
#define TILE_ROWS(part)                                                                                              \
    do {                                                                                                             \
        TILE_ROW(0, part) TILE_ROW(1, part) TILE_ROW(2, part) TILE_ROW(3, part)                                      \
    } while (0)
    for (int64_t p = line->first; p < end; p++, b += FNN_TILE_STEP) {
        _tile_loadd(5, b, TILE_BYTES);
        _tile_loadd(6, b + TILE_HALFS, TILE_BYTES);
        _tile_loadd(7, b + 2 * TILE_HALFS, TILE_BYTES);
        TILE_ROWS(0);
        TILE_ROWS(1);
        TILE_ROWS(2);
        tile_do_meanwhile(meanwhile);
    }
    _tile_stored(0, sum, TILE_BYTES);
    if (R > 1) _tile_stored(1, sum + FNN_TILE * FNN_TILE, TILE_BYTES);
    if (R > 2) _tile_stored(2, sum + 2 * FNN_TILE * FNN_TILE, TILE_BYTES);
    if (R > 2) _tile_stored(3, sum + 3 * FNN_TILE * FNN_TILE, TILE_BYTES);
}

/* How many of the lines from t on have the same steps: 1, 2 or, of TILE_TALL that one column may take, 4. */
static int64_t tile_alike(const fnn_tile_block *g, int64_t t, int64_t most) {
    const int64_t left = g->m / FNN_TILE - t;
    int64_t n = 1;
    while (n < most && n < left && g->line[t + n].first == g->line[t].first &&
           g->line[t + n].steps == g->line[t].steps)
        n++;
    return n == 3 ? 2 : n;
}

static void tile_lines(const fnn_tile_block *g) {
    tile_square square[2];
    tile_meanwhile meanwhile = {.g = g, .steps = 1};
    const int64_t side = 2 * FNN_TILE;
    int now = 0;
    for (int64_t j = 0; j < g->n; j += side) {
        const int64_t n = g->n - j < side ? g->n - j : side;
        if (j == 0 || n <= FNN_TILE) tile_shape(g->a_rows, n > FNN_TILE ? 6 : 5);
        for (int64_t t = 0, r; t < g->m / FNN_TILE; t += r, now = !now) {
            const fnn_tile_line *line = g->line + t;
            const uint16_t *b = g->b + j / FNN_TILE * g->b_panel + line->first * FNN_TILE_STEP;
            const int64_t p = line->first, end = p + line->steps;
            tile_square *q = &square[now];
            r = tile_alike(g, t, n > FNN_TILE ? 2 : TILE_TALL);
            q->m = r * FNN_TILE, q->n = n, q->row = t * FNN_TILE, q->column = j, q->done = 0;
            q->width = n > FNN_TILE ? side : FNN_TILE;
            meanwhile.now = q, meanwhile.rows = TILE_TALL * FNN_TILE / (line->steps > 0 ? line->steps : 1) + 1;
            if (n > FNN_TILE && r == 2)
                tile_sum(2, 2, 1, g->a, line->at, line[1].at - line->at, b, g, p, end, q->sum, &meanwhile);
            else if (n > FNN_TILE)
                tile_sum(1, 2, 1, g->a, line->at, 0, b, g, p, end, q->sum, &meanwhile);
            else if (r == 4)
                tile_tall_sum(4, line, b, g, q->sum, &meanwhile);
            else if (r == 2)
                tile_tall_sum(2, line, b, g, q->sum, &meanwhile);
            else
                tile_tall_sum(1, line, b, g, q->sum, &meanwhile);
            if (meanwhile.before) tile_finish(g, meanwhile.before, meanwhile.before->m);
            meanwhile.before = q;
        }
    }
    if (meanwhile.before) tile_finish(g, meanwhile.before, meanwhile.before->m);
}

#endif
