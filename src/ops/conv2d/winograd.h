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
#define WINO_WIDE_CYCLES 8.0 /* of a filter 5 wide */
#define WINO_COLD 0.5        /* cycles until a weight is there, ... */
#define WINO_COLD_TURNED 1.2 /* ... where they are read across, for the gradient of the input */
#define WINO_EFFICIENCY 0.8
#define WINO_MARGIN 1.1

#define WINO_PAD 16 /* floats between values, so that a tile's values fall into different sets of the caches */

/* Of a tile: m pixels and a filter so many taps wide. */
static inline int wino_values(int64_t m, int64_t taps) { return (int)((m + taps - 1) * (m + taps - 1)); }

/* Stride 1, one group, channels enough to fill vectors. */
static inline int wino_applies(const conv2d_problem *p, int64_t taps) {
    return p->kh == taps && p->kw == taps && p->stride[0] == 1 && p->stride[1] == 1 && p->dilation[0] == 1 &&
           p->dilation[1] == 1 && p->groups == 1 && p->ic >= 16 && p->oc >= 16;
}

static inline double wino_filter_cycles(const conv2d_problem *p) {
    return p->kh == 5 ? WINO_WIDE_CYCLES : WINO_FILTER_CYCLES;
}

/* The grid of tiles for n maps of h x w output pixels. */
static inline void wino_grid(fnn_wino_map *map, int64_t n, int64_t h, int64_t w) {
    map->images = n;
    map->tiles_h = gemm_ceil_div(h, map->m), map->tiles_w = gemm_ceil_div(w, map->m);
    map->whole_h = gemm_max(0, h - map->tiles_h * (map->m - 1));
    map->whole_w = gemm_max(0, w - map->tiles_w * (map->m - 1));
}

static inline int64_t wino_tiles(const fnn_wino_map *map) { return map->images * map->tiles_h * map->tiles_w; }

/* Those of the tiles [first, first + count) that have a value: from first + lo on, so many. */
typedef struct wino_range {
    int64_t lo, count;
} wino_range;

static inline wino_range wino_having(const fnn_wino_map *map, int64_t value, int64_t first, int64_t count) {
    const int64_t last = map->m + map->taps - 2, n = map->images, short_h = map->tiles_h - map->whole_h;
    const int64_t whole = n * map->whole_h * map->tiles_w; /* parts 0 and 1 */
    const int64_t short_w = n * map->whole_h * (map->tiles_w - map->whole_w);
    int64_t from = 0, to = wino_tiles(map);
    if (value / (last + 1) == last) to = whole;
    if (value % (last + 1) == last) from = short_w, to = gemm_min(to, whole + n * short_h * map->whole_w);
    from = gemm_max(from, first), to = gemm_min(to, first + count);
    return from < to ? (wino_range){from - first, to - from} : (wino_range){0, 0};
}

/* Products of a value of a tile and one of a filter, all values together. */
static inline double wino_values_of(const conv2d_problem *p, int64_t m, int64_t h, int64_t w) {
    const int64_t last = m + p->kh - 2;
    fnn_wino_map map = {.m = m};
    wino_grid(&map, p->n, h, w);
    return (double)p->n * (double)(map.tiles_h * last + map.whole_h) * (double)(map.tiles_w * last + map.whole_w);
}

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
