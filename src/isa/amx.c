/* x86-64 with AVX-512 and AMX for bfloat16: the kernels of avx512, and matrix products on tiles. Its table stands in
 * avx512.c, whose kernels it names. */
#include "../simd/vec_avx512.h"

#include "../kernels/table.h"
#include "../kernels/tile_lines.h"
#include "../kernels/tile_pixels.h"

const fnn_tiles fnn_tiles_amx = {
    .begin = tile_begin,
    .end = tile_end,
    .split = tile_split_side,
    .block = tile_block,
    .lines = tile_lines,
    .split_line = tile_split_line,
    .split_pixel_rows = tile_split_pixel_rows,
    .split_pixel_columns = tile_split_pixel_columns,
};
