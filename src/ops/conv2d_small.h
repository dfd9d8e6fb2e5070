/* What the passes of the small convolution share: how an image is cut into tiles, one a lane (kernels/conv_small.h). */
#ifndef FASTNN_OPS_CONV2D_SMALL_H
#define FASTNN_OPS_CONV2D_SMALL_H

#include "conv2d_algorithms.h"

#define SMALL_CHANNELS 16
#define SMALL_TAPS 2048              /* most taps of all input channels */
#define SMALL_TILE_FLOATS (96 << 10) /* most that the turned tiles of all lanes may take */
#define SMALL_TURN 3.0               /* cycles to turn a vector */
#define SMALL_LINE 60.0              /* cycles a line of the tiles, beside its values */
#define SMALL_CALL 15.0              /* cycles a call of a register tile */
#define SMALL_EFFICIENCY 0.85        /* of the multiply-add rate, in the register tile */
#define SMALL_WEIGHTS_EFFICIENCY 0.75

/* Extent of the input that a number of neighbouring output pixels see. */
static inline int64_t small_reach(int64_t pixels, int64_t stride, int64_t kernel, int64_t dilation) {
    return (pixels - 1) * stride + (kernel - 1) * dilation + 1;
}

/* Cycles that one tap takes a register tile of r x p: multiply-adds, loads, or the latency of a chain. */
static inline double small_step_cycles(int64_t r, int64_t p, int64_t other_loads, double efficiency) {
    const double adds = 0.5 * (double)(r * p), loads = 0.5 * (double)(r + p + other_loads);
    const double longer = adds > loads ? adds : loads;
    return (longer > 4 ? longer : 4) / efficiency;
}

/* The same for n outputs in equal parts of at most most. */
static inline double small_parts_cycles(int64_t n, int64_t most, int64_t p, int64_t other_loads, double efficiency) {
    const int64_t parts = gemm_ceil_div(n, most);
    double sum = 0;
    for (int64_t i = 0; i < parts; i++)
        sum += small_step_cycles(n * (i + 1) / parts - n * i / parts, p, other_loads, efficiency);
    return sum;
}

/* A few units are hard to share: cost in total, with a preference for more. */
static inline double small_total_cycles(int64_t groups, double each) { return ((double)groups + 0.2) * each; }

#endif
