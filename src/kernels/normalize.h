/* Pixels of any supported number type to normalised floats, (x - shift) factor by channel: two roundings, as NumPy's
 * two passes have. */
#ifndef FASTNN_KERNELS_NORMALIZE_H
#define FASTNN_KERNELS_NORMALIZE_H

/* Channels last on both sides, fewer than VL: constants repeat after c vectors, and once more as often as they fit. */
#define NORMALIZE_FEW(T)                                                                                             \
    static inline void normalize_few_##T(const fnn_normalize *q, const T *restrict x, float *restrict y) {           \
        float shift[VL * VL], factor[VL * VL];                                                                       \
        const int64_t step = VL / q->c * q->c * VL, n = q->rows * q->c;                                              \
        for (int64_t i = 0, j = 0; i < VL * VL; i++, j = j + 1 < q->c ? j + 1 : 0) {                                 \
            shift[i] = q->shift[j];                                                                                  \
            factor[i] = q->factor[j];                                                                                \
        }                                                                                                            \
        int64_t at = 0;                                                                                              \
        for (; at + step <= n; at += step)                                                                           \
            for (int64_t i = 0; i < step; i += VL)                                                                   \
                for (int64_t j = i; j < i + VL; j++) y[at + j] = ((float)x[at + j] - shift[j]) * factor[j];          \
        for (int64_t i = 0; at + i < n; i++) y[at + i] = ((float)x[at + i] - shift[i]) * factor[i];                  \
    }

/* Three planes become interleaved colours: the usual first step of images. */
#define NORMALIZE_COLOURS(T)                                                                                         \
    static inline void normalize_colours_##T(const fnn_normalize *q, const T *restrict p0, float *restrict y) {      \
        const T *restrict p1 = p0 + q->x_col, *restrict p2 = p1 + q->x_col;                                          \
        const float *s = q->shift, *f = q->factor, s0 = s[0], s1 = s[1], s2 = s[2], f0 = f[0], f1 = f[1], f2 = f[2]; \
        for (int64_t r = 0; r < q->rows; r++) {                                                                      \
            y[3 * r] = ((float)p0[r] - s0) * f0;                                                                     \
            y[3 * r + 1] = ((float)p1[r] - s1) * f1;                                                                 \
            y[3 * r + 2] = ((float)p2[r] - s2) * f2;                                                                 \
        }                                                                                                            \
    }

#define NORMALIZE_ANY(T)                                                                                             \
    static inline void normalize_any_##T(const fnn_normalize *q, const T *x, float *y) {                             \
        if (q->x_col == 1 && q->y_col == 1) {                                                                        \
            for (int64_t r = 0; r < q->rows; r++, x += q->x_row, y += q->y_row)                                      \
                for (int64_t j = 0; j < q->c; j++) y[j] = ((float)x[j] - q->shift[j]) * q->factor[j];                \
            return;                                                                                                  \
        }                                                                                                            \
        for (int64_t j = 0; j < q->c; j++, x += q->x_col, y += q->y_col) {                                           \
            const float shift = q->shift[j], factor = q->factor[j];                                                  \
            if (q->x_row == 1 && q->y_row == 1)                                                                      \
                for (int64_t r = 0; r < q->rows; r++) y[r] = ((float)x[r] - shift) * factor;                         \
            else                                                                                                     \
                for (int64_t r = 0; r < q->rows; r++) y[r * q->y_row] = ((float)x[r * q->x_row] - shift) * factor;   \
        }                                                                                                            \
    }

#define NORMALIZE(T)                                                                                                 \
    NORMALIZE_FEW(T)                                                                                                 \
    NORMALIZE_COLOURS(T)                                                                                             \
    NORMALIZE_ANY(T)                                                                                                 \
    static inline void normalize_##T(const fnn_normalize *q, const T *x, float *y) {                                 \
        if (q->x_col == 1 && q->y_col == 1 && q->x_row == q->c && q->y_row == q->c && q->c < VL)                     \
            normalize_few_##T(q, x, y);                                                                              \
        else if (q->c == 3 && q->x_row == 1 && q->y_row == 3 && q->y_col == 1)                                       \
            normalize_colours_##T(q, x, y);                                                                          \
        else                                                                                                         \
            normalize_any_##T(q, x, y);                                                                              \
    }
NORMALIZE(float)
NORMALIZE(uint8_t)

/* dtype: FNN_FLOAT32 or FNN_UINT8. */
static void normalize_2d(const fnn_normalize *q, int64_t dtype, const void *x, float *y) {
    if (dtype == FNN_UINT8)
        normalize_uint8_t(q, x, y);
    else
        normalize_float(q, x, y);
}

#endif
