/* What depthwise_tiles.c and norm_depthwise.c share. */
#ifndef FASTNN_OPS_CONV2D_DEPTHWISE_TILES_H
#define FASTNN_OPS_CONV2D_DEPTHWISE_TILES_H

#include "algorithms.h"

#define TILES_LINES 2 /* of a unit, as of a register tile */

typedef struct tiles_plan {
    conv2d_problem g;
    int64_t chunks, images, parts, lines; /* a chunk is images, or lines of one of the parts of an image */
} tiles_plan;

/* Lines [row0, row1) of the band, of one image whose source begins at x (b.src is not set), are made. */
typedef void fnn_tiles_lines(const fnn_op *op, void *source, fnn_depthwise_band *b, const float *x);

/* Runs of this thread's lines of the output, through `lines`, which gets `source` too. */
void fnn_tiles_forward(const fnn_op *op, const float *x, const float *w, const float *bias, const float *residual,
                       float *y, void *scratch, const fnn_team *team, fnn_tiles_lines *lines, void *source);
void fnn_tiles_bwd_weights(const fnn_op *op, const float *dy, const float *x, float *dw, void *scratch,
                           const fnn_team *team, fnn_tiles_lines *lines, void *source);

#endif
