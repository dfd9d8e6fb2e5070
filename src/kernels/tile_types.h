/* What products on tiles are told (see tiles.h): a part of types.h, which includes it. */
#ifndef FASTNN_KERNELS_TILE_TYPES_H
#define FASTNN_KERNELS_TILE_TYPES_H

#include <stdint.h>

#define FNN_TILE 16   /* rows or columns of a panel */
#define FNN_TILE_K 32 /* values along k of a step */
#define FNN_TILE_PARTS 3
#define FNN_TILE_STEP (FNN_TILE_PARTS * FNN_TILE * FNN_TILE_K) /* halfs of a panel's step */

/* Rows of A or columns of B that are split into panels. Their neighbours in memory are neighbours along k, and each
 * begins at a line; or they lie across k, whose values are `step` floats apart, and line[0] is where the first begins. */
typedef enum { FNN_TILE_ROWS, FNN_TILE_ROWS_ACROSS, FNN_TILE_COLUMNS, FNN_TILE_COLUMNS_ACROSS } fnn_tile_kind;
typedef struct fnn_tile_side {
    fnn_tile_kind kind;
    int64_t count, k, step;
    const float *const *line;
    const struct fnn_gather *finish; /* or NULL; of rows: the prologue, from that channel on */
    int64_t channel;
    uint16_t *dst;
    int64_t panel; /* halfs from one panel to the next */
} fnn_tile_side;

/* Sixteen rows of A that lie in lines (tile_lines.h): where the values of step 0 would begin, and the steps it has. */
typedef struct fnn_tile_line {
    int64_t at, first, steps;
} fnn_tile_line;

/* One block of C = A B; the last block along k also applies the epilogue. */
typedef struct fnn_tile_block {
    int64_t m, n, steps; /* rows and columns; steps along k */
    const uint16_t *a, *b;
    int64_t a_panel, b_panel;  /* halfs from one panel to the next */
    const fnn_tile_line *line; /* or NULL; of m / 16, whose values of step p lie step[p] further ... */
    const int64_t *step;
    int64_t a_row, a_part; /* ... with so many halfs from row to row, and from part to part */
    int a_rows;            /* of each sixteen that there are */
    float *c;              /* element (i, j) is c[rows[i] + j], nowhere where rows[i] is negative; */
    const int64_t *rows;
    int turned; /* or A's rows are C's columns, and B's columns its rows: element (i, j) is c[rows[j] + i] */
    int add_c, last;
    const float *bias;                            /* per column of C, or NULL */
    const float *residual, *late_sum, *late_gate; /* addressed as c, or NULL */
    int activation;
    float slope;
    const struct fnn_gemm_update *update; /* or NULL: C is a gradient, which is not stored but moves these */
    const fnn_tile_side *next;            /* or NULL: what is split meanwhile */
} fnn_tile_block;

/* One step along k of operands whose values along k are pixels: `channels` of each of 32, from `channel` on, in panels
 * of `width`. */
typedef struct fnn_tile_pixels {
    const float *const *pixel;
    int64_t channel, channels, width;
    int64_t next; /* floats from each to the pixel of the next step */
    uint16_t *dst;
    int64_t panel; /* halfs from one panel to the next */
} fnn_tile_pixels;

/* The kernels of a level that has tiles. A thread calls begin before it multiplies, end after. */
typedef struct fnn_tiles {
    void (*begin)(void);
    void (*end)(void);
    void (*split)(const fnn_tile_side *s);
    void (*block)(const fnn_tile_block *g);
    void (*lines)(const fnn_tile_block *g);                                       /* a block whose A lies in lines */
    void (*split_line)(const float *src, int64_t n, uint16_t *dst, int64_t part); /* zeros up to a whole step */
    void (*split_pixel_rows)(const fnn_tile_pixels *s);                           /* of A */
    void (*split_pixel_columns)(const fnn_tile_pixels *s);                        /* of B */
} fnn_tiles;

#endif
