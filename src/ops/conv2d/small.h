/* What the passes of the small convolution share: how an image is cut into tiles, one a lane (kernels/conv_small.h). */
#ifndef FASTNN_OPS_CONV2D_SMALL_H
#define FASTNN_OPS_CONV2D_SMALL_H

#include "algorithms.h"

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

/* Tiles as wide as the image lie in memory as one line: fewer, longer runs to turn. Above and below nothing may be
 * missing but whole tiles. */
static inline fnn_small_tiles small_as_line(fnn_small_tiles t) {
    const int64_t last = t.first_h + (t.grid_h - 1) * t.step_h + t.rows;
    if (t.grid_w > 1 || t.first_w != 0 || t.columns != t.w || t.first_h != 0 || last > t.h) return t;
    t.grid_w = t.grid_h, t.grid_h = 1;
    t.step_w = t.step_h * t.w, t.step_h = 0;
    t.columns *= t.rows, t.rows = 1;
    t.w *= t.h, t.h = 1;
    return t;
}

/* Room for the lines that kernels/conv_small.h keeps for what is outside; in, out: floats of a line of the tiles. */
static inline int64_t small_edge_floats(const fnn_kernels *k, int64_t in, int64_t rows_in, int64_t out) {
    return gemm_max(in * gemm_max(rows_in, k->vl + 1), out * (k->vl + 1));
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
