/* Operands whose values along k are pixels, any 32 of them a step: what the gradient of a convolution's weights sums
 * over. Channels are the rows of A and the columns of B. */
#ifndef FASTNN_KERNELS_TILE_PIXELS_H
#define FASTNN_KERNELS_TILE_PIXELS_H

#include "tiles.h"

/* Sixteen pixels' channels from `first` on; asks for those of what comes next. */
static inline __attribute__((always_inline)) void tile_read_pixels(const fnn_tile_pixels *s, int half, int64_t first,
                                                                   vf r[VL]) {
    const float *const *pixel = s->pixel + half * FNN_TILE;
    const int64_t at = s->channel + first, lanes = s->channels - first;
    if (lanes >= VL)
        for (int i = 0; i < VL; i++) r[i] = v_load(pixel[i] + at), v_soon(pixel[i] + at + s->next);
    else
        for (int i = 0; i < VL; i++) r[i] = v_load_n(pixel[i] + at, (int)lanes), v_soon(pixel[i] + at + s->next);
}

static void tile_split_pixel_rows(const fnn_tile_pixels *s) {
    uint16_t *dst = s->dst;
    for (int64_t first = 0; first < s->channels; first += s->width, dst += s->panel) {
        vf low[VL], high[VL];
        tile_read_pixels(s, 0, first, low);
        tile_transpose(low);
        tile_read_pixels(s, 1, first, high);
        tile_transpose(high);
        for (int i = 0; i < VL; i++) tile_store_row(dst + i * FNN_TILE_K, TILE_HALFS, low[i], high[i]);
    }
}

static void tile_split_pixel_columns(const fnn_tile_pixels *s) {
    uint16_t *dst = s->dst;
    for (int64_t first = 0; first < s->channels; first += s->width, dst += s->panel)
        for (int half = 0; half < 2; half++) {
            vf r[VL];
            tile_read_pixels(s, half, first, r);
            for (int i = 0; i < VL; i += 2) tile_store_pairs(dst + (half * FNN_TILE + i) * FNN_TILE, r[i], r[i + 1]);
        }
}

#endif
