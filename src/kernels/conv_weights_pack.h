/* Operands of conv_weights.h into panels, and its tiles into OIHW. */
#ifndef FASTNN_KERNELS_CONV_WEIGHTS_PACK_H
#define FASTNN_KERNELS_CONV_WEIGHTS_PACK_H

/* First channel of a panel: rows are cut evenly, columns into whole panels. */
static inline int64_t weights_first(int rows, int64_t channels, int64_t panels, int64_t i) {
    return rows ? channels * i / panels : i * WEIGHTS_NR;
}

/* Channels of pixels src[0], src[step] ... into panels dst[panel][pixel][width]; lanes past a panel's own channels hold
 * its neighbour's or zeros. */
static void weights_pack(float *dst, int rows, int64_t panel_floats, int64_t panels, int64_t channels,
                         const float *src, int64_t step, int64_t pixels) {
    const int64_t width = rows ? WEIGHTS_LD : WEIGHTS_NR;
    for (int64_t i = 0; i < panels; i++) {
        const int64_t first = weights_first(rows, channels, panels, i), count = channels - first;
        const float *s = src + first;
        float *d = dst + i * panel_floats;
        if (count >= width) {
            for (int64_t p = 0; p < pixels; p++, s += step, d += width)
                for (int64_t c = 0; c < width; c += VL) v_store(d + c, v_load(s + c));
            continue;
        }
        for (int64_t p = 0; p < pixels; p++, s += step, d += width)
            for (int64_t c = 0; c < count; c += VL)
                v_store(d + c, gemm_read(s + c, count - c >= VL ? VL : (int)(count - c)));
    }
}

/* dst[p * width + i] = src[i * apart + p] for i < count, p < n, and nothing else is written. */
static void weights_turn(float *dst, int64_t width, const float *src, int64_t apart, int64_t count, int64_t n) {
    if (width == 1) {
        for (int64_t p = 0; p < n; p += VL) {
            const int lanes = n - p < VL ? (int)(n - p) : VL;
            v_store_n(dst + p, gemm_read(src + p, lanes), lanes);
        }
        return;
    }
    if (count == 1) {
        for (int64_t p = 0; p < n; p++) dst[p * width] = src[p];
        return;
    }
    for (int64_t first = 0; first < count; first += VL) {
        const float *row[VL];
        const int lanes = count - first < VL ? (int)(count - first) : VL;
        for (int i = 0; i < VL; i++) row[i] = src + (first + (i < lanes ? i : lanes - 1)) * apart;
        float *d = dst + first;
        int64_t p = 0;
        for (; p + 4 <= n; p += 4, d += 4 * width) {
            vf r[4];
            for (int q = 0; q < 4; q++) r[q] = v_load_quads(row + q, p);
            v_transpose_quads(r);
            for (int q = 0; q < 4; q++) v_store_n(d + q * width, r[q], lanes);
        }
        for (; p < n; p++, d += width)
            for (int i = 0; i < lanes; i++) d[i] = row[i][p];
    }
}

/* The sum of partial results, chunk after chunk, in place of the first. n is whole vectors. */
static void weights_sum(float *part, int64_t chunks, int64_t apart, int64_t n) {
    for (int64_t e = 0; e < n; e += VL) {
        vf sum = v_load(part + e);
        for (int64_t i = 1; i < chunks; i++) sum += v_load(part + i * apart + e);
        v_store(part + e, sum);
    }
}

#endif
