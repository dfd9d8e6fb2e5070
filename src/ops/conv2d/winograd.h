/* What the passes of Winograd's convolution share: shapes of the transformed operands, and costs. */
#ifndef FASTNN_OPS_CONV2D_WINOGRAD_H
#define FASTNN_OPS_CONV2D_WINOGRAD_H

#include "algorithms.h"

/* Cycles of a vector, measured (docs/kernels-winograd.md): a transformed value of a map, of a product on its way
 * back, of a filter; and the share of the multiply-add rate in between. Near ties stay with the direct algorithm, whose
 * rounding errors are smaller: hence the margin. */
#define WINO_DATA_CYCLES 6.0
#define WINO_RESULT_CYCLES 5.0
#define WINO_FILTER_CYCLES 5.5
#define WINO_EFFICIENCY 0.8
#define WINO_MARGIN 1.1

#define WINO_PAD 16 /* floats between values, so that a tile's values fall into different sets of the caches */

static inline int wino_values(int64_t m) { return (int)((m + 2) * (m + 2)); }

/* 3x3, stride 1, one group, channels enough to fill vectors. */
static inline int wino_applies(const conv2d_problem *p) {
    return p->kh == 3 && p->kw == 3 && p->stride[0] == 1 && p->stride[1] == 1 && p->dilation[0] == 1 &&
           p->dilation[1] == 1 && p->groups == 1 && p->ic >= 16 && p->oc >= 16;
}

static inline int64_t wino_tiles(const fnn_wino_map *map, int64_t n) { return n * map->tiles_h * map->tiles_w; }

/* A long side in equal pieces of whole vectors, none longer than WINO_CHANNELS. */
static inline int64_t wino_piece(const fnn_kernels *kernels, int64_t channels) {
    const int64_t pieces = gemm_ceil_div(channels, WINO_CHANNELS);
    return gemm_ceil_div(gemm_ceil_div(channels, pieces), kernels->vl) * kernels->vl;
}

/* Columns of a panel, and of it in memory: whole vectors. */
static inline int64_t wino_panel_columns(const fnn_kernels *kernels, int64_t columns, int64_t panel) {
    return gemm_min(kernels->gemm_nr, columns - panel * kernels->gemm_nr);
}
static inline int64_t wino_width(const fnn_kernels *kernels, int64_t columns) {
    return gemm_ceil_div(columns, kernels->vl) * kernels->vl;
}

#endif
