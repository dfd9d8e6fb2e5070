/* Strided copies. Everything is two dimensions at a time: rows and n columns, each with its stride in elements. */
#ifndef FASTNN_KERNELS_COPY_H
#define FASTNN_KERNELS_COPY_H

#include "shuffle.h"

static void fill(int64_t n, float value, float *y) {
    const vf v = v_set1(value);
    int64_t i = 0;
    for (; i + VL <= n; i += VL) v_store(y + i, v);
    if (i < n) v_store_n(y + i, v, (int)(n - i));
}

/* A copy whose whole vectors of y go past the caches; past_end before another thread may read them. */
static void past_store(int64_t n, const float *x, float *y) {
    const int64_t over = (int64_t)((uintptr_t)y / sizeof(float) % VL), head = over ? VL - over : 0;
    int64_t i = head < n ? head : n;
    if (i > 0) v_store_n(y, v_load_n(x, (int)i), (int)i);
    for (; i + VL <= n; i += VL) v_stream(y + i, v_load(x + i));
    if (i < n) v_store_n(y + i, v_load_n(x + i, (int)(n - i)), (int)(n - i));
}
static void past_end(void) { v_stream_end(); }

#define COPY_2D(T)                                                                                                   \
    for (int64_t r = 0; r < c->rows; r++) {                                                                          \
        const T *px = (const T *)x + r * c->x_row;                                                                   \
        T *py = (T *)y + r * c->y_row;                                                                               \
        for (int64_t i = 0; i < c->n; i++) py[i * c->y_col] = px[i * c->x_col];                                      \
    }

/* itemsize 1, 4 or 8. */
static void copy_2d(const fnn_copy_2d *c, int64_t itemsize, const void *x, void *y) {
    if (c->x_col == 1 && c->y_col == 1) {
        const char *px = x;
        char *py = y;
        for (int64_t r = 0; r < c->rows; r++, px += c->x_row * itemsize, py += c->y_row * itemsize)
            memcpy(py, px, (size_t)(c->n * itemsize));
    } else if (itemsize == 4 && c->x_col == 0 && c->y_col == 1) {
        for (int64_t r = 0; r < c->rows; r++) fill(c->n, ((const float *)x)[r * c->x_row], (float *)y + r * c->y_row);
    } else if (itemsize == 4) {
        COPY_2D(float)
    } else if (itemsize == 8) {
        COPY_2D(int64_t)
    } else {
        COPY_2D(uint8_t)
    }
}

/* A few interleaved streams: y[i][j] = x[j][i], count streams of n. Constant counts let the compiler shuffle. */
#define COPY_INTERLEAVE(count)                                                                                       \
    for (int64_t i = 0; i < n; i++)                                                                                  \
        for (int j = 0; j < count; j++) y[i * count + j] = x[j * x_stride + i];
#define COPY_DEINTERLEAVE(count)                                                                                     \
    for (int64_t i = 0; i < n; i++)                                                                                  \
        for (int j = 0; j < count; j++) y[j * y_stride + i] = x[i * count + j];

static int copy_interleave(int64_t n, int64_t count, const float *restrict x, int64_t x_stride, float *restrict y) {
    if (count == 2) {
        COPY_INTERLEAVE(2)
    } else if (count == 3) {
        COPY_INTERLEAVE(3)
    } else if (count == 4) {
        COPY_INTERLEAVE(4)
    } else
        return 0;
    return 1;
}

static int copy_deinterleave(int64_t n, int64_t count, const float *restrict x, float *restrict y, int64_t y_stride) {
    if (count == 2) {
        COPY_DEINTERLEAVE(2)
    } else if (count == 3) {
        COPY_DEINTERLEAVE(3)
    } else if (count == 4) {
        COPY_DEINTERLEAVE(4)
    } else
        return 0;
    return 1;
}

/* One tile of at most VL x VL: rows of x to columns of y. */
static inline void transpose_tile(int rows, int cols, const float *x, int64_t x_row, float *y, int64_t y_row) {
    vf tile[VL];
    for (int j = 0; j < VL; j++) tile[j] = j < cols ? v_load_n(x + j * x_row, rows) : v_zero();
    v_transpose(tile);
    for (int i = 0; i < VL; i++)
        if (i < rows) v_store_n(y + i * y_row, tile[i], cols);
}

/* y[i][j] = x[j][i] for rows i and cols j, both contiguous in their own array. */
static void copy_transpose(int64_t rows, int64_t cols, const float *x, int64_t x_row, float *y, int64_t y_row) {
    if (y_row == cols && copy_interleave(rows, cols, x, x_row, y)) return;
    if (x_row == rows && copy_deinterleave(cols, rows, x, y, y_row)) return;
    for (int64_t i = 0; i < rows; i += VL)
        for (int64_t j = 0; j < cols; j += VL)
            transpose_tile(rows - i < VL ? (int)(rows - i) : VL, cols - j < VL ? (int)(cols - j) : VL,
                           x + j * x_row + i, x_row, y + i * y_row + j, y_row);
}

/* Any number type to float. Rows of three become interleaved colours: the usual first step of images. */
#define CONVERT_2D(T)                                                                                                \
    if (c->n == 3 && c->x_row == 1 && c->y_col == 1 && c->y_row == 3) {                                              \
        const T *restrict p0 = x, *restrict p1 = p0 + c->x_col, *restrict p2 = p1 + c->x_col;                        \
        float *restrict py = y;                                                                                      \
        for (int64_t r = 0; r < c->rows; r++) {                                                                      \
            py[3 * r] = (float)p0[r];                                                                                \
            py[3 * r + 1] = (float)p1[r];                                                                            \
            py[3 * r + 2] = (float)p2[r];                                                                            \
        }                                                                                                            \
    } else {                                                                                                         \
        for (int64_t r = 0; r < c->rows; r++) {                                                                      \
            const T *px = (const T *)x + r * c->x_row;                                                               \
            float *py = y + r * c->y_row;                                                                            \
            if (c->x_col == 1 && c->y_col == 1)                                                                      \
                for (int64_t i = 0; i < c->n; i++) py[i] = (float)px[i];                                             \
            else                                                                                                     \
                for (int64_t i = 0; i < c->n; i++) py[i * c->y_col] = (float)px[i * c->x_col];                       \
        }                                                                                                            \
    }

static void convert_2d(const fnn_copy_2d *c, int64_t dtype, const void *x, float *y) {
    switch (dtype) {
    case FNN_FLOAT32: CONVERT_2D(float) break;
    case FNN_UINT8: CONVERT_2D(uint8_t) break;
    case FNN_INT32: CONVERT_2D(int32_t) break;
    case FNN_INT64: CONVERT_2D(int64_t) break;
    default: CONVERT_2D(uint64_t) break;
    }
}

#endif
