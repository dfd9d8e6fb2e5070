/* Backward-weights tap by tap (kernels/conv_weights.h): what weights_plan.c chooses and weights_taps.c
 * runs. Blocks of pixels are some whole lines of dy or some whole images; chunks of blocks have partial results of
 * their own where dw alone gives too few units; a unit is a chunk, a group, a share of the rows and a panel of
 * columns. */
#ifndef FASTNN_OPS_CONV2D_WEIGHTS_TAPS_H
#define FASTNN_OPS_CONV2D_WEIGHTS_TAPS_H

#include "algorithms.h"

/* Which operand gives the rows of the register tile. Spans: the kw * ic floats that a line of the filter meets, where a
 * pixel has few channels. */
typedef enum { WEIGHTS_ROWS_DY, WEIGHTS_ROWS_X, WEIGHTS_ROWS_SPANS } weights_form;

typedef struct weights_plan {
    weights_form form;
    int64_t rows, columns, row_panels, column_panels, taps; /* of a group */
    int64_t lines, images;                                  /* of dy in a block */
    int64_t blocks_per_image, blocks, chunk_blocks, chunks;
    int64_t slot_h, slot_w;          /* packed lines an image of a block, pixels a line, of x */
    int64_t span_line;               /* floats of a packed line of spans */
    int64_t together;                /* panels of columns whose partial sums stay near while the blocks go by */
    int64_t row_splits;              /* units along the rows, where there are few others */
    int64_t row_width;               /* floats a pixel of a packed panel of rows */
    int64_t row_parts;               /* a single block takes its rows in so many parts, which stay near */
    int64_t row_panel_floats;        /* of a block; 0: rows adjoin */
    int64_t row_floats;              /* a block's packed rows */
    int64_t listings, listing_pairs; /* lists of pairs that are kept; most pairs of one */
    int64_t partial_floats;          /* a panel of columns by all rows and taps */
    int one_block;                   /* all pixels at once: no partial results */
    int keep_rows;                   /* packed rows of a whole chunk are kept for the panels of columns that follow */
    int rows_in_place, columns_in_place, taps_outside;
    size_t pairs_bytes, rows_bytes, columns_bytes; /* of a thread's scratch */
} weights_plan;

void fnn_weights_plan_init(weights_plan *p, const fnn_kernels *k, const conv2d_problem *g);
int fnn_weights_applies(const fnn_kernels *k, const conv2d_problem *g);
double fnn_weights_cost(const fnn_kernels *k, const conv2d_problem *g);

static inline int64_t weights_row(const weights_plan *p, int64_t panel) { return p->rows * panel / p->row_panels; }

#endif
