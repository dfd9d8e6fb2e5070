/* Structs and enums that kernels and ops share. Values of the enums are part of the binding: Python passes them by
 * number and checks the names at import. */
#ifndef FASTNN_KERNELS_TYPES_H
#define FASTNN_KERNELS_TYPES_H

#include <stdint.h>

/* ---- gemm and convolution ------------------------------------------------------------------------------- */

typedef enum { FNN_ACT_NONE, FNN_ACT_RELU, FNN_ACT_LEAKY_RELU, FNN_ACT_SILU /* batch norm's alone */ } fnn_activation;

#define GEMM_MC                                                                                                      \
    168 /* rows of a packed block of A: whole tiles at every level; also the rows of one statistics block */
#define GEMM_NC 512 /* columns of a privately packed block of B: with KC, a share of the L2 */
#define GEMM_KC_MAX 512
#define FNN_FEW_ROWS 24 /* most rows of a product by gemm_few_nt and gemm_few_nn */

/* One block of C = A B on packed panels of B; the last block along k also applies the epilogue. */
typedef struct fnn_gemm_block {
    int64_t m, n, k;
    const float *a;
    int64_t a_row;  /* a is read in place: floats from one row to the next, k contiguous; ... */
    int64_t a_step; /* ... or floats from one k to the next, rows contiguous; both 0: a is packed */
    const float *b; /* first panel; panels are b_panel floats apart and hold rows of k from 0, */
    int64_t b_panel;
    int64_t b_first; /* of which this block uses b_first .. b_first + k */
    int64_t b_row;   /* gemm_few: floats from one row of b (nn) or one column (nt) to the next */
    int backwards;   /* gemm_few_nt: the last columns first */
    float *c;        /* element (i, j) is c[rows[i] + j] */
    const int64_t *rows;
    int add_c, last;
    const float *bias;     /* per column, or NULL */
    const float *residual; /* addressed as c, or NULL */
    float *mean, *m2;      /* statistics of the block per column, or NULL */
    int activation;
    float slope;
    const float *soon;   /* what will be packed next, to be brought nearer meanwhile, or NULL: */
    int64_t soon_lines;  /* so many pieces of */
    int64_t soon_floats; /* contiguous floats, */
    int64_t soon_stride; /* so far apart */
    int rows_first;      /* rows after rows instead of panel after panel; while each tile of rows is computed, */
    const float *next_a, *next_c;         /* from here on (and then on from there), */
    int64_t next_a_floats, next_c_floats; /* so many floats are brought nearer, to be read and to be written */
    const struct fnn_gather *finish;      /* or NULL; with rows_first: each tile's rows are made ... */
    float *made;                          /* ... here, a_row apart, */
    const float *raw;                     /* from these, */
    int64_t raw_row, channel;             /* so far apart, from that channel on */
} fnn_gemm_block;

/* A block of a product whose transpose is wanted. */
typedef struct fnn_gemm_turn {
    int64_t rows, columns; /* of src, whose rows have room for whole quads */
    const float *src;
    int64_t src_row;
    float *dst; /* element (i, j) of src goes to dst[j * dst_row + i] */
    int64_t dst_row;
    int add;
    const float *bias, *residual; /* bias per row of src; residual addressed as dst; or NULL */
    int activation;
    float slope;
} fnn_gemm_turn;

/* Grid rows that gather their k from an NHWC source, tap by tap; see kernels/conv.h. */
typedef struct fnn_gather {
    int64_t src_h, src_w, pixel; /* the source's extent; floats from one pixel to the next */
    int64_t grid_h, grid_w, step_h, step_w;
    int64_t n_taps, run, span, channels; /* run = span * channels floats a tap */
    const int32_t *tap_h, *tap_w;
    int prologue; /* source values become act(x * scale + shift), scale and shift per channel or NULL */
    const float *scale, *shift;
    int activation;
    float slope;
} fnn_gather;

/* Along one side, the taps that meet one destination coordinate and where in the source: arithmetic sequences. */
typedef struct fnn_walk {
    int32_t count, tap, tap_step, src, src_step;
} fnn_walk;

/* How the lines of a source are copied for a direct convolution; see kernels/conv_strip.h. */
typedef struct fnn_strip_copy {
    int64_t src_w, src_pixel;     /* extent of a line; floats from one of its pixels to the next */
    int64_t first, step, columns; /* source columns first, first + step, ...: so many, zeros outside */
    int64_t channels, pixel;      /* floats copied a pixel; floats from one copy to the next */
    int prologue;                 /* copies become act(x * scale + shift), scale and shift per channel or NULL */
    const float *scale, *shift;
    int activation;
    float slope;
} fnn_strip_copy;

/* How weights are packed for it. */
typedef struct fnn_strip_weights {
    int64_t taps, channels, channel_stride, column_stride, group_stride;
    const int64_t *place; /* of each tap: rows of the panel before its first channel */
} fnn_strip_weights;

/* Neighbouring taps of a line that outputs [lo, hi) of a strip are given. */
typedef struct fnn_strip_pass {
    int64_t lo, hi;
    int64_t first;              /* their place among the line's rows of the panel */
    int64_t n_segments, length; /* contiguous floats of a pixel's row, */
    const int64_t *segment;     /* so far from it */
} fnn_strip_pass;

#define STRIP_PASSES 8

/* A strip of outputs by one panel of weights. */
typedef struct fnn_strip {
    const float *a;                      /* copied lines from source line h0 on, at the strip's first pixel */
    int64_t h0, line, row, run;          /* floats between lines, between neighbouring outputs, between runs */
    int64_t src_h, step;                 /* lines of the source; of them, from one output line to the next */
    int64_t n_taps, tap_first, tap_step; /* output line i meets i * step + tap_first, then every tap_step */
    int64_t line_k;                      /* rows of the panel for a line of taps, all segments */
    const float *b;                      /* the panel: [lines of taps][segments][length][columns] */
    int64_t n;                           /* its columns */
    int runs, width;                     /* outputs of the strip */
    int n_passes;                        /* the last one: all outputs */
    fnn_strip_pass pass[STRIP_PASSES];
    float *c; /* element (line 0, the first output, column 0) */
    int64_t c_line, c_pixel, c_run;
    int accumulate;               /* with one pass only */
    const float *bias, *residual; /* bias at column 0, or NULL; residual addressed as c, or NULL */
    int activation;
    float slope;
    const float *ahead, *then; /* what will be needed next, to be brought nearer meanwhile: cache lines */
    int64_t ahead_lines, then_lines;
} fnn_strip;

/* Lines of up to a few vectors of outputs and m <= 4 channels of them; see kernels/conv_planes.h. */
typedef struct fnn_planes {
    const float *a;                      /* turned lines from source line h0 on: first plane of the group, output 0 */
    int64_t h0, line, plane;             /* floats between lines, between planes */
    int64_t src_h, step;                 /* lines of the source; of them, from one output line to the next */
    int64_t n_taps, tap_first, tap_step; /* output line i meets i * step + tap_first, then every tap_step */
    int64_t n_shifts, channels;          /* taps of a line, planes of the group */
    const int64_t *shift;                /* of each tap, in floats */
    const float *w;                      /* [lines of taps][channels][shifts][m] */
    int64_t m, outputs;
    float *c; /* element (line 0, output 0, channel 0) */
    int64_t c_line, c_pixel;
    int accumulate;
    const float *bias, *residual;
    int activation;
    float slope;
} fnn_planes;

/* A convolution of narrow groups, or its gradient for the input; kernels/conv_turns.h. */
typedef struct fnn_turns {
    int64_t channels, group; /* of a pixel, and of a group */
    int64_t kh, top, left;   /* padding */
    int64_t src_h, src_w, dst_w;
    int64_t vectors, columns; /* of channels; copied pixels of a line */
    int64_t line, vector;     /* floats of a copied line; from one vector's copies to the next's */
    int backward;             /* weights are those of the gradient */
    const float *ahead;       /* what will be copied next, to be brought nearer meanwhile: ... */
    int64_t ahead_lines;      /* ... so many cache lines */
    float *y;
    const float *bias, *residual; /* residual addressed as y; or NULL */
    int accumulate, activation;
    float slope;
} fnn_turns;

/* A depthwise convolution (or its gradient for the input) as seen from the pixels it writes; kernels/depthwise.h. */
typedef struct fnn_depthwise {
    int64_t channels, multiplier; /* channels written; output channels per input channel */
    int64_t dst_w, src_w, src_channels, kw;
    int backward;
    const fnn_walk *columns; /* dst_w of them */
    const float *bias;
    int activation;
    float slope;
} fnn_depthwise;

#define FNN_DEPTHWISE_SPREAD 0 /* for a stride: the gradient for the input of stride 2 */

/* Lines [row0, row1) of one image of a depthwise convolution with a square kernel of 3 or 5; kernels/depthwise_tile.h,
 * kernels/depthwise_sums.h. top and left: padding of the destination's view of the source. */
typedef struct fnn_depthwise_band {
    int64_t kernel, stride, channels;
    int64_t src_h, src_w, dst_h, dst_w, top, left;
    int64_t row0, row1;
    const float *src, *weights, *bias;
    const float *residual; /* addressed as dst; dy where the weights' gradient is summed */
    float *dst, *sums;     /* [tap][channel] */
    int activation;
    float slope;
    int past; /* dst past the caches */
} fnn_depthwise_band;

/* One line of output pixels for the gradient of depthwise weights. */
typedef struct fnn_depthwise_line {
    int64_t channels, multiplier; /* output channels; per input channel */
    int64_t src_w, src_channels, dst_w, kw;
    int64_t stride_w, pad_left, dilation_w;
} fnn_depthwise_line;

/* An output pixel and an input pixel that meet in a tap: where the rows' and the columns' operand begin, in floats,
 * in the low and the high half. */
typedef uint64_t fnn_weights_pair;

/* Memory that will be used next, to be brought nearer meanwhile: from there on, step floats a pair. */
#define WEIGHTS_AHEAD 4
typedef struct fnn_weights_ahead {
    const float *from;
    int64_t pairs, step;
} fnn_weights_ahead;

/* A panel of columns of the weights' gradient by panels [row0, row1) of rows and all taps, over one block of pixels;
 * kernels/conv_weights.h. */
typedef struct fnn_weights_block {
    int64_t rows, row_panels, row0, row1;
    int64_t a_panel; /* floats from one packed panel of rows to the next; 0: rows adjoin */
    int64_t columns; /* of this panel */
    const float *a, *b;
    int64_t taps;
    const fnn_weights_pair *pairs; /* those of tap t end at tap_end[t] */
    const int64_t *tap_end;
    float *c; /* panel of rows after panel of rows: [tap][row][column] */
    int add, taps_outside;
    fnn_weights_ahead ahead[WEIGHTS_AHEAD];
} fnn_weights_block;

/* Lines of dy of one image and some vectors of channels for the gradient of narrow groups' weights; h0: the first line
 * of x that they meet, or where it would be; kernels/conv_weights_groups.h. */
typedef struct fnn_weights_groups {
    int64_t group, channels; /* channels of a group, of a pixel */
    int64_t kh, kw, stride[2], dilation[2];
    int64_t ih, iw, h0, left;
    int64_t lines, ow;
    int64_t vectors;
    int lanes;           /* of the last vector */
    const float *dy, *x; /* the first of these lines; the image; both at the first vector */
    fnn_weights_ahead ahead[WEIGHTS_AHEAD];
} fnn_weights_groups;

/* dst[q * dst_round + p * width + i] = src[q * src_round + i * apart + p], q < rounds, i < count, p < n. */
typedef struct fnn_weights_turn {
    int64_t width, apart, count, n, rounds, dst_round, src_round;
} fnn_weights_turn;

/* Passes over memory in order ask for what lies so many floats ahead. */
#define FNN_SOON 256
#define FNN_LINE 16 /* floats of a cache line */

/* An output of more floats than this is written past the caches where the op can: none of them would still hold its
 * beginning when it is read, and the lines need not be read before they are written. */
#define FNN_PAST (4 << 20)

/* Whether the kernel of an elementwise operation of such a cost, with so many operands, stores past the caches
 * itself; pow has ten loops, too many to have twice. */
#define FNN_ELT_STREAMS(cost, reads) ((cost) >= ((reads) == 1 ? 20 : 40) && (cost) < 60)

/* A row of n elements on its way past the caches: y = e scale. */
typedef struct fnn_going {
    const float *e;
    float scale;
    int64_t n;
    float *y;
} fnn_going;

/* Tiles of NHWC images, one a lane: tile (image, i, j) starts at pixel (first_h + i * step_h, first_w + j * step_w),
 * which may be outside. See kernels/conv_small.h. */
typedef struct fnn_small_tiles {
    int64_t images, h, w, c;
    int64_t grid_h, grid_w, first_h, first_w, step_h, step_w;
    int64_t rows, columns; /* pixels of a tile */
} fnn_small_tiles;

/* Neighbouring pixels of a line of a tile that are computed together, and what they read: for each kh per_kh places in
 * the turned tile and in the weights. */
typedef struct fnn_small_block {
    int64_t column, pixels, per_kh;
    const int32_t *x_at, *w_at;
} fnn_small_block;

typedef struct fnn_small {
    fnn_small_tiles from, to;
    int64_t outputs, w_out; /* channels written; weights from one to the next */
    int64_t x_pixel, x_row; /* floats of the turned tile from one output pixel or line to the next */
    int64_t n_blocks;
    const fnn_small_block *block;
    const int32_t *kh_range;       /* first and end for each line */
    int64_t x_floats, line_floats; /* of scratch */
    int accumulate;
    int activation, late_activation; /* at once, or after y and residual were added */
    float slope;
} fnn_small;

typedef struct fnn_small_outer {
    fnn_small_tiles from, grad;
    int64_t outputs, taps, rows, columns; /* taps: of all input channels, in the order of dw; rows, columns: of dy */
    int64_t lines;                        /* of dy that are taken at once */
    int64_t x_floats, x_row;              /* the turned tile, and from one line of dy to the next in it */
    const int32_t *x_at, *pixel_at;       /* each tap's place in it; and each pixel's of those lines */
} fnn_small_outer;
/* Winograd's convolution (kernels/winograd.h): tiles of m x m output pixels of a map of h x w pixels. A side that is no
 * multiple of m ends in tiles of m - 1, whose last value in that direction (of the point at infinity) takes part in no
 * pixel and is left out. Tiles are numbered by part, then image, row and column, so that those that have a value adjoin:
 * part 0 is short in width, 1 is whole, 2 short in height, 3 in both. */
#define WINO_CHANNELS 128 /* most channels transformed at once */
#define WINO_PARTS 4

typedef struct fnn_wino_map {
    int64_t m, taps;     /* 4 or 2, of a filter 3 wide; 2, of one 5 wide */
    int64_t h, w, pixel; /* the map's extent; floats from one pixel to the next */
    int64_t images;
    int64_t tiles_h, tiles_w; /* of one image */
    int64_t whole_h, whole_w; /* how many of them are not short: the first */
    int64_t top, left;        /* padding: tile (0, 0) begins at pixel (-top, -left) */
} fnn_wino_map;

typedef struct fnn_wino_epilogue {
    float *y;
    int add_y;
    const float *bias, *residual; /* or NULL; residual is addressed as y */
    int activation;
    float slope;
    const float *gate; /* or NULL: addressed as y, which is 0 where it is not positive */
} fnn_wino_epilogue;

typedef struct fnn_wino_filters {
    int64_t m, taps;
    int64_t column_stride, k_stride; /* of filters of taps x taps contiguous values */
    int flip;                        /* taps in reverse order */
} fnn_wino_filters;

/* ---- elementwise, copies -------------------------------------------------------------------------------- */

typedef enum { FNN_FLOAT32 = 0, FNN_UINT8 = 1, FNN_INT32 = 2, FNN_INT64 = 3, FNN_UINT64 = 4 } fnn_dtype;

/* rows x n elements of two operands, strides in elements; y is dense. */
typedef struct fnn_binary_rows {
    int64_t rows, n;
    const float *a, *b;
    int64_t a_row, a_col, b_row, b_col;
    float *y;
} fnn_binary_rows;

/* rows x n elements from x to y, strides in elements. */
typedef struct fnn_copy_2d {
    int64_t rows, n, x_row, x_col, y_row, y_col;
} fnn_copy_2d;

/* rows x c elements of x, strides in elements, to y; shift and factor one a column. */
typedef struct fnn_normalize {
    int64_t rows, c, x_row, x_col, y_row, y_col;
    const float *shift, *factor;
} fnn_normalize;

/* ---- pooling -------------------------------------------------------------------------------------------- */

/* One window along one axis: its taps inside the input are first, first + step, ... (count of them); label is the
 * first tap's share of the index that max pooling stores, size what an average counts. */
typedef struct fnn_window {
    int64_t first, count, label, size;
} fnn_window;

/* A window that holds an input position, and the label that it gives to it. */
typedef struct fnn_hit {
    int64_t window, label;
} fnn_hit;

/* The hits [lo, hi) of one input position, windows ascending. */
typedef struct fnn_cover {
    int64_t lo, hi;
} fnn_cover;

typedef struct fnn_pool_axis {
    int64_t in, out;
    int64_t step;             /* between taps: the dilation */
    int64_t label_step;       /* between the labels of neighbouring taps */
    int64_t whole0, whole1;   /* windows with all their taps inside, where pooling's kernel is set */
    const fnn_window *window; /* [out] */
    const fnn_cover *cover;   /* [in] */
    const fnn_hit *hit;
} fnn_pool_axis;

typedef struct fnn_pool {
    int64_t c;
    int64_t kernel, pad_w; /* 2 or 3 where that is height and width of windows at stride 2, else 0 */
    fnn_pool_axis h, w;
    int past;            /* results past the caches */
    const int32_t *lane; /* see pool_flat.h; NULL: none */
    int wide;            /* indices are int32, else uint8 */
    double divisor;      /* of every window; 0: each window's own size */
    double norm_type;    /* power mean */
    double window_size;  /* kernel height times width */
} fnn_pool;

/* ---- normalisation -------------------------------------------------------------------------------------- */

#define FNN_NORM_COLUMNS 512 /* channels of a block of sums at most */
#define FNN_NORM_MERGED 64   /* channels whose blocks are merged at a time */

/* Per channel, repeated to the kernels' period. scale: weight / sqrt(var + eps). bias NULL (backward only): no ReLU.
 * Backward in training: offset is the mean of the gradient g, slope the mean of g (x - mean) over the variance. */
typedef struct fnn_norm {
    const float *mean, *scale, *bias, *offset, *slope;
} fnn_norm;

/* How many sums a channel of an image has: see gated_norm.h. */
enum { FNN_GATED_POOL = 1, FNN_GATED_GRAD = 5 };

typedef struct fnn_lrn {
    int64_t c, size;
    double alpha, beta, k;
} fnn_lrn;

/* ---- losses --------------------------------------------------------------------------------------------- */

typedef enum {
    FNN_LOSS_MSE = 0,
    FNN_LOSS_L1 = 1,
    FNN_LOSS_SMOOTH_L1 = 2,
    FNN_LOSS_HUBER = 3,
    FNN_LOSS_BCE = 4,
    FNN_LOSS_BCE_LOGITS = 5
} fnn_loss_kind;

/* weight and pos_weight may be NULL, and belong to the two binary cross entropies only. */
typedef struct fnn_pointwise_loss {
    fnn_loss_kind kind;
    float knee;
    const float *x, *t, *weight, *pos_weight;
} fnn_pointwise_loss;

/* What each class of a row asks for: weight (keep target + spread). target NULL: 0; weight NULL: 1. */
typedef struct fnn_class_shares {
    const float *target, *weight;
    float keep, spread;
} fnn_class_shares;

/* ---- measurement ---------------------------------------------------------------------------------------- */

#define FNN_STREAM_ARRAYS 8

/* One pass over arrays of equal length: `reads` that are read, then `updates` read and written in place, then `writes`
 * only written, past the caches if `past` is set. */
typedef struct fnn_stream {
    float *array[FNN_STREAM_ARRAYS];
    int reads, updates, writes, past;
} fnn_stream;

/* ---- optimizers ----------------------------------------------------------------------------------------- */

/* The scalars of one step, in float, made from the hyper-parameters in double. fresh: the share of the new gradient in
 * a running average (1 - dampening, 1 - alpha, 1 - beta1), fresh2 that of its square in Adam's second. */
typedef struct fnn_optim {
    float lr, weight_decay, momentum, eps, alpha, beta2, fresh, fresh2;
    float shrink;     /* factor on the parameter before the step: decoupled weight decay */
    float root_scale; /* 1 / square root of the second moment's bias correction */
    int maximize, nesterov, first;
} fnn_optim;

/* What a block of a gradient moves while it leaves the registers: parameters and their momentum (or NULL), `row` floats
 * from one of the block's rows to the next. Of tiles of registers: */
typedef struct fnn_gemm_update {
    const fnn_optim *o;
    float *p, *buffer;
    int64_t row;
    float *packed;     /* or NULL: where B's panels are made, right before their first use, ... */
    const float *from; /* ... of k rows */
    int64_t from_row;  /* so far apart */
} fnn_gemm_update;

#include "tile_types.h"

#endif
