/* The ways to run a convolution: one row an algorithm and pass. An op of conv2d.c takes the cheapest row that applies.
 *
 * The choice is a pure function of the problem (shape, epilogue, precision, override) and of the level's vector and
 * tile; never of thread counts, caches or timings. To add an algorithm: its files, and its row in conv2d.c. */
#ifndef FASTNN_OPS_CONV2D_ALGORITHMS_H
#define FASTNN_OPS_CONV2D_ALGORITHMS_H

#include "problem.h"

/* What an algorithm computes, for the precision in force and for overrides. Winograd's with tiles 6 wide are one family:
 * F(4x4, 3x3) and F(2x2, 5x5). */
typedef enum { CONV2D_DIRECT = 1, CONV2D_WINOGRAD_2 = 2, CONV2D_WINOGRAD_4 = 3 } conv2d_family;

/* Values of the field precision: Winograd's F(2x2, 3x3) is for high and fast, the others for fast. */
enum { CONV2D_EXACT, CONV2D_HIGH, CONV2D_FAST };

/* Values of the field algorithm: the cheapest; the cheapest of a family; or a row of the pass's table. */
enum { CONV2D_AUTO, CONV2D_FIRST_ROW = 16 };

typedef struct conv2d_algorithm {
    const char *name;
    conv2d_family family;
    /* Whether it can do all that the problem asks. */
    int (*applies)(const fnn_kernels *kernels, const conv2d_problem *p);
    /* Estimated cycles on one thread. */
    double (*cost)(const fnn_kernels *kernels, const conv2d_problem *p);
    fnn_status (*init)(fnn_op *op);
    void (*run)(const fnn_op *op, void *const *buf, void *scratch, const fnn_team *team);
} conv2d_algorithm;

/* Buffers of the forward pass; the others are dy w dx and dy x dw. What the gradient of the input is added to, and the
 * output of the ReLU that it goes through, come behind: conv2d.c sees to them unless the row does. */
enum { X, W, BIAS, RESIDUAL, IN_SCALE, IN_SHIFT, Y, STATISTICS };
enum { DX = 2, DX_SUM, DX_GATE, DX_BUFFERS };

/* Rows of the general algorithm, which takes every problem. */
extern const conv2d_algorithm fnn_conv2d_gemm, fnn_conv2d_gemm_bwd_data, fnn_conv2d_gemm_bwd_weights;
int fnn_conv2d_gemm_finishes(const fnn_op *op); /* DX_SUM and DX_GATE by itself */

extern const conv2d_algorithm fnn_conv2d_depthwise, fnn_conv2d_depthwise_bwd_data, fnn_conv2d_depthwise_bwd_weights;
extern const conv2d_algorithm fnn_conv2d_depthwise_tiles, fnn_conv2d_depthwise_tiles_bwd_data,
    fnn_conv2d_depthwise_tiles_bwd_weights;
extern const conv2d_algorithm fnn_conv2d_strip, fnn_conv2d_strip_bwd_data;
extern const conv2d_algorithm fnn_conv2d_tiles, fnn_conv2d_tiles_bwd_data, fnn_conv2d_tiles_bwd_weights;
extern const conv2d_algorithm fnn_conv2d_planes, fnn_conv2d_planes_bwd_data;
extern const conv2d_algorithm fnn_conv2d_turns, fnn_conv2d_turns_bwd_data;
extern const conv2d_algorithm fnn_conv2d_scatter_bwd_data;
extern const conv2d_algorithm fnn_conv2d_patches;
extern const conv2d_algorithm fnn_conv2d_taps_bwd_weights, fnn_conv2d_groups_bwd_weights;
extern const conv2d_algorithm fnn_conv2d_small, fnn_conv2d_small_bwd_data, fnn_conv2d_small_bwd_weights;
extern const conv2d_algorithm fnn_conv2d_winograd_2, fnn_conv2d_winograd_4, fnn_conv2d_winograd_5,
    fnn_conv2d_winograd_2_bwd_data, fnn_conv2d_winograd_4_bwd_data, fnn_conv2d_winograd_5_bwd_data,
    fnn_conv2d_winograd_2_bwd_weights, fnn_conv2d_winograd_4_bwd_weights, fnn_conv2d_winograd_5_bwd_weights;

/* Shares of the multiply-add rate that the general algorithm's tile loop reaches, and cycles a gathered value. */
#define CONV2D_GEMM_EFFICIENCY 0.9
#define CONV2D_GEMM_ROWS_EFFICIENCY 0.95 /* 1x1, rows first: nothing gathered */
#define CONV2D_GEMM_WEIGHTS_EFFICIENCY 0.85
#define CONV2D_GEMM_PACK 0.15
#define CONV2D_GEMM_PACK_FEW 0.65 /* where a pixel's channels are a short run */
#define CONV2D_GEMM_WEIGHT 1.5    /* cycles a packed weight that comes from memory ... */
#define CONV2D_GEMM_TURNED 3.4    /* ... with its taps for the gradient of the input */

static inline double conv2d_gather_cycles(int64_t channels) {
    return channels > 16 ? CONV2D_GEMM_PACK : CONV2D_GEMM_PACK_FEW;
}

/* Cycles of multiply-adds of m x n x k where columns come in whole vectors, at two vectors a cycle times efficiency. */
static inline double conv2d_tile_cycles(const fnn_kernels *kernels, double m, int64_t n, double k,
                                        double efficiency) {
    return m * (double)gemm_ceil_div(n, kernels->vl) * k / (2 * efficiency);
}

#endif
