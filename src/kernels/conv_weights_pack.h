/* Operands of conv_weights.h into panels, and its tiles into OIHW. */
#ifndef FASTNN_KERNELS_CONV_WEIGHTS_PACK_H
#define FASTNN_KERNELS_CONV_WEIGHTS_PACK_H

/* First channel of a panel: rows are cut evenly, columns into whole panels. */
static inline int64_t weights_first(int rows, int64_t channels, int64_t panels, int64_t i) {
    return rows ? channels * i / panels : i * WEIGHTS_NR;
}

static inline __attribute__((always_inline)) void weights_pack_panel(float *dst, const int64_t width, int64_t count,
                                                                     const float *src, int64_t step, int64_t pixels) {
    if (count >= width) {
        for (int64_t p = 0; p < pixels; p++, src += step, dst += width)
            for (int64_t c = 0; c < width; c += VL) v_store(dst + c, v_load(src + c));
        return;
    }
    for (int64_t p = 0; p < pixels; p++, src += step, dst += width)
        for (int64_t c = 0; c < count; c += VL)
            v_store(dst + c, gemm_read(src + c, count - c >= VL ? VL : (int)(count - c)));
}

/* Channels of pixels src[0], src[step] ... into panels [from, to) at dst[panel][pixel][width]; lanes past a panel's own
 * channels hold its neighbour's or anything. A few pixels go into all panels before the next few, so that memory is
 * read in order. rows: the width of panels of rows, 0 for columns. */
static void weights_pack(float *dst, int64_t panel_floats, int64_t panels, int64_t from, int64_t to, int64_t channels,
                         int rows, const float *src, int64_t step, int64_t pixels) {
    const int64_t few = to - from > 1 ? 16 : pixels;
    for (int64_t p = 0; p < pixels; p += few)
        for (int64_t i = from; i < to; i++) {
            const int64_t first = weights_first(rows, channels, panels, i), now = pixels - p < few ? pixels - p : few;
            const float *s = src + p * step + first;
            float *d = dst + (i - from) * panel_floats;
            if (rows == WEIGHTS_LD)
                weights_pack_panel(d + p * WEIGHTS_LD, WEIGHTS_LD, channels - first, s, step, now);
            else if (rows)
                weights_pack_panel(d + p * WEIGHTS_LD_ONE, WEIGHTS_LD_ONE, channels - first, s, step, now);
            else
                weights_pack_panel(d + p * WEIGHTS_NR, WEIGHTS_NR, channels - first, s, step, now);
        }
}

/* Up to VL sources by n, from the first on, counted through the rounds. */
static void weights_turn_group(float *dst, const float *src, const fnn_weights_turn *t, int64_t first, int lanes) {
    const int64_t width = t->width, n = t->n;
    const float *row[VL];
    int64_t at = first % t->count;
    src += first / t->count * t->src_round;
    for (int i = 0; i < VL; i++) {
        row[i] = src + at * t->apart;
        if (i + 1 < lanes && ++at == t->count) at = 0, src += t->src_round;
    }
    int64_t p = 0;
    for (; p + 4 <= n; p += 4, dst += 4 * width) {
        vf r[4];
        for (int q = 0; q < 4; q++) r[q] = v_load_quads(row + q, p);
        v_transpose_quads(r);
        for (int q = 0; q < 4; q++) {
            if (lanes == VL)
                v_store(dst + q * width, r[q]);
            else
                v_store_n(dst + q * width, r[q], lanes);
        }
    }
    for (; p < n; p++, dst += width)
        for (int i = 0; i < lanes; i++) dst[i] = row[i][p];
}

/* Writes the turned elements and nothing else. Rounds that adjoin in dst are one. */
static void weights_turn(float *dst, const float *src, const fnn_weights_turn *t) {
    const int adjoin = t->count > 1 && t->dst_round == t->count;
    const int64_t rounds = adjoin ? 1 : t->rounds, count = adjoin ? t->rounds * t->count : t->count;
    for (int64_t q = 0; q < rounds; q++, dst += t->dst_round, src += t->src_round) {
        if (t->width == 1) {
            for (int64_t p = 0; p < t->n; p += VL) {
                const int lanes = t->n - p < VL ? (int)(t->n - p) : VL;
                if (lanes == VL)
                    v_store(dst + p, v_load(src + p));
                else
                    v_store_n(dst + p, v_load_n(src + p, lanes), lanes);
            }
        } else if (count == 1) {
            for (int64_t p = 0; p < t->n; p++) dst[p * t->width] = src[p];
        } else {
            for (int64_t first = 0; first < count; first += VL)
                weights_turn_group(dst + first, src, t, first, count - first < VL ? (int)(count - first) : VL);
        }
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
