/* Backward-weights tap by tap on packed lines (kernels/conv_weights.h); conv2d_bwd_weights.c hands over to it. */
#ifndef FASTNN_OPS_CONV2D_WEIGHTS_TAPS_H
#define FASTNN_OPS_CONV2D_WEIGHTS_TAPS_H

#include "conv2d_problem.h"

/* Which operand gives the rows of the register tile. Spans: the kw * ic floats that a line of the filter meets, where a
 * pixel has few channels. */
typedef enum { WEIGHTS_ROWS_DY, WEIGHTS_ROWS_X, WEIGHTS_ROWS_SPANS } weights_form;

typedef struct weights_taps_plan {
    weights_form form;
    int64_t rows, columns, row_panels, column_panels, taps; /* of a group */
    int64_t lines, images; /* of dy in a block of pixels: some lines of one image, or several images */
    int64_t blocks_per_image, blocks, chunk_blocks, chunks;
    int64_t slot_h, slot_w;            /* packed lines an image of a block, pixels a line, of x */
    int64_t span_line;                 /* floats of a packed line of spans */
    int64_t together;                  /* column panels whose partial sums stay near */
    int64_t row_floats, column_floats; /* a block's rows; one panel of its columns */
    int keep_rows; /* packed rows of a whole chunk are kept for the panels of columns that follow */
    int dy_in_place, taps_outside;
    size_t pairs_bytes, rows_bytes, columns_bytes; /* of a thread's scratch */
} weights_taps_plan;

#endif
