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

#define PACK_STEP 8 /* rows of src at a time */

/* dst[q][p * width + i] = src[p * ld + q * width + i] for q < panels, i < width, p < k: a few rows of src are read from
 * end to end, which costs fewer pages and lines than a panel after the other. The last row's stores stop in time: the
 * next panel begins there. */
static inline __attribute__((always_inline)) void pack_side_by_side(float *dst, const int width, const float *src,
                                                                    int64_t ld, int64_t panels, int64_t k) {
    for (int64_t p0 = 0; p0 < k; p0 += PACK_STEP)
        for (int64_t q = 0; q < panels; q++) {
            const float *s = src + p0 * ld + q * width;
            float *d = dst + q * width * k + p0 * width;
            const int64_t end = p0 + PACK_STEP < k ? PACK_STEP : k - p0, whole = p0 + end < k ? end : end - 1;
            for (int64_t p = 0; p < whole; p++, s += ld, d += width)
                for (int i = 0; i < width; i += VL) v_store(d + i, v_load(s + i));
            if (whole == end) continue;
            for (int i = 0; i < width; i += VL) {
                if (width - i >= VL)
                    v_store(d + i, v_load(s + i));
                else
                    v_store_n(d + i, v_load_n(s + i, width - i), width - i);
            }
        }
}

/* One panel of a matrix whose element (i, p) is src[i * row_stride + p * k_stride]. */
static inline __attribute__((always_inline)) void pack_panel(float *dst, const int width, const float *src,
                                                             int64_t row_stride, int64_t k_stride, int count,
                                                             int64_t k) {
    if (row_stride == 1) {
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
    if (row_stride == 1) {
        i = m / GEMM_MR * GEMM_MR;
        pack_side_by_side(dst, GEMM_MR, src, k_stride, m / GEMM_MR, k);
    }
    for (; i < m; i += GEMM_MR)
        pack_panel(dst + i * k, GEMM_MR, src + i * row_stride, row_stride, k_stride,
                   (int)(m - i < GEMM_MR ? m - i : GEMM_MR), k);
}

/* Columns of B: n of them into panels of GEMM_NR, the last as wide as it needs to be. */
static void pack_columns(float *dst, const float *src, int64_t k_stride, int64_t column_stride, int64_t n,
                         int64_t k) {
    int64_t j = 0;
    if (column_stride == 1) {
        j = n / GEMM_NR * GEMM_NR;
        pack_side_by_side(dst, GEMM_NR, src, k_stride, n / GEMM_NR, k);
    }
    for (; j < n; j += GEMM_NR) {
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
