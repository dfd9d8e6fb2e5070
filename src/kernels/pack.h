/* Packing of strided matrices into panels panel[k][width] (see gemm.h). Two cases: neighbours within a panel are
 * neighbours in memory (copy), or neighbours along k are (transpose). Stores may run up to VL - 1 floats past a
 * panel's row into the next one, which is written later; buffers end in VL floats of slack. */
#ifndef FASTNN_KERNELS_PACK_H
#define FASTNN_KERNELS_PACK_H

/* dst[p * width + i] = row[i][p] for i < count <= width, p < k; lanes past count hold anything. */
static inline __attribute__((always_inline)) void pack_transpose(float *dst, const int width, const float *const *row,
                                                                 int count, int64_t k) {
    for (int first = 0; first < count; first += VL) {
        const float *group[VL];
        for (int i = 0; i < VL; i++) group[i] = row[first + i < count ? first + i : count - 1];
        float *d = dst + first;
        int64_t p = 0;
        for (; p + 4 <= k; p += 4, d += 4 * width) {
            vf r[4];
            for (int q = 0; q < 4; q++) r[q] = v_load_quads(group + q, p);
            v_transpose_quads(r);
            for (int q = 0; q < 4; q++) v_store(d + q * width, r[q]);
        }
        const int lanes = count - first < VL ? count - first : VL;
        for (; p < k; p++, d += width)
            for (int i = 0; i < lanes; i++) d[i] = group[i][p];
    }
}

/* dst[p * width + i] = src[p * ld + i] for i < count <= width, p < k. */
static inline __attribute__((always_inline)) void pack_copy(float *dst, const int width, const float *src, int64_t ld,
                                                            int count, int64_t k) {
    for (int64_t p = 0; p < k; p++, src += ld, dst += width)
        for (int i = 0; i < count; i += VL) {
            if (count - i >= VL)
                v_store(dst + i, v_load(src + i));
            else
                v_store(dst + i, v_load_n(src + i, count - i));
        }
}

#define PACK_SIDE 4   /* panels that are filled side by side: fewer, longer pieces of each row of src ... */
#define PACK_AHEAD 12 /* ... asked for so many rows ahead, as rows far apart are no stream to the processor */

/* The same for PACK_SIDE whole panels of GEMM_MR. The last row's stores stop in time: the next panel begins there. */
static void pack_copy_side(float *dst, const float *src, int64_t ld, int64_t k) {
    const int width = GEMM_MR;
    for (int64_t p = 0; p < k; p++, src += ld, dst += width) {
        for (int i = 0; i < PACK_SIDE * width; i += GEMM_LINE) v_soon(src + PACK_AHEAD * ld + i);
        for (int q = 0; q < PACK_SIDE; q++)
            for (int i = 0; i < width; i += VL) {
                const float *from = src + q * width + i;
                float *to = dst + q * width * k + i;
                const int lanes = width - i;
                if (lanes >= VL)
                    v_store(to, v_load(from));
                else if (p < k - 1)
                    v_store(to, v_load_n(from, lanes));
                else
                    v_store_n(to, v_load_n(from, lanes), lanes);
            }
    }
}

/* One panel of a matrix whose element (i, p) is src[i * row_stride + p * k_stride]. */
static inline __attribute__((always_inline)) void pack_panel(float *dst, const int width, const float *src,
                                                             int64_t row_stride, int64_t k_stride, int count,
                                                             int64_t k) {
    if (row_stride == 1) {
        if (count == width)
            pack_copy(dst, width, src, k_stride, width, k);
        else
            pack_copy(dst, width, src, k_stride, count, k);
    } else if (k_stride == 1) {
        const float *row[GEMM_NR > GEMM_MR ? GEMM_NR : GEMM_MR];
        for (int i = 0; i < count; i++) row[i] = src + i * row_stride;
        pack_transpose(dst, width, row, count, k);
    } else {
        for (int64_t p = 0; p < k; p++)
            for (int i = 0; i < count; i++) dst[p * width + i] = src[i * row_stride + p * k_stride];
    }
}

/* Rows of A: m of them into panels of GEMM_MR. */
static void pack_rows(float *dst, const float *src, int64_t row_stride, int64_t k_stride, int64_t m, int64_t k) {
    int64_t i = 0;
    if (row_stride == 1)
        for (; i + PACK_SIDE * GEMM_MR <= m; i += PACK_SIDE * GEMM_MR)
            pack_copy_side(dst + i * k, src + i, k_stride, k);
    for (; i < m; i += GEMM_MR)
        pack_panel(dst + i * k, GEMM_MR, src + i * row_stride, row_stride, k_stride,
                   (int)(m - i < GEMM_MR ? m - i : GEMM_MR), k);
}

/* Columns of B: n of them into panels of GEMM_NR, the last as wide as it needs to be. */
static void pack_columns(float *dst, const float *src, int64_t k_stride, int64_t column_stride, int64_t n,
                         int64_t k) {
    for (int64_t j = 0; j < n; j += GEMM_NR) {
        const int count = (int)(n - j < GEMM_NR ? n - j : GEMM_NR);
        const float *s = src + j * column_stride;
        float *d = dst + j * k;
        if (count > (GEMM_NV - 1) * VL)
            pack_panel(d, GEMM_NV * VL, s, column_stride, k_stride, count, k);
        else if (count <= VL)
            pack_panel(d, VL, s, column_stride, k_stride, count, k);
        else
            pack_panel(d, 2 * VL, s, column_stride, k_stride, count, k);
    }
}

/* dst[j][i] = the finished value of src[i][j]: a product that was computed the other way round. */
static void gemm_turn(const fnn_gemm_turn *t) {
    const vf slope = v_set1(t->slope);
    for (int64_t i = 0; i < t->rows; i += VL) {
        const int lanes = t->rows - i < VL ? (int)(t->rows - i) : VL;
        const vf bias = t->bias ? gemm_read(t->bias + i, lanes) : v_zero();
        const float *row[VL];
        for (int q = 0; q < VL; q++) row[q] = t->src + (i + (q < lanes ? q : lanes - 1)) * t->src_row;
        for (int64_t j = 0; j < t->columns; j += 4) {
            vf r[4];
            for (int q = 0; q < 4; q++) r[q] = v_load_quads(row + q, j);
            v_transpose_quads(r);
            for (int q = 0; q < 4 && j + q < t->columns; q++) {
                const int64_t at = (j + q) * t->dst_row + i;
                vf v = r[q];
                if (t->add) v += gemm_read(t->dst + at, lanes);
                v += bias;
                if (t->residual) v += gemm_read(t->residual + at, lanes);
                v_store_n(t->dst + at, act_apply(v, t->activation, slope), lanes);
            }
        }
    }
}

#endif
