/* Rows of pooling, for the ops: pool.h's pixels, but windows of 2x2 and 3x3 at stride 2 that are whole take a shorter
 * way, with all taps in registers and nothing partial. It gives the same bits. */
#ifndef FASTNN_KERNELS_POOL_ROWS_H
#define FASTNN_KERNELS_POOL_ROWS_H

#include "pool_flat.h"

/* Of windows, or pairs of pixels, [w0, w1) those whose whole vectors end inside: the vector of w's last channels ends
 * VL behind first + w * step. */
static inline int64_t pool_room(int64_t w0, int64_t w1, int64_t first, int64_t step, int64_t limit) {
    while (w1 > w0 && first + (w1 - 1) * step + VL > limit) w1--;
    return w1;
}
static inline int64_t pool_last_vector(int64_t c0, int64_t c1) { return c0 + (c1 - c0 - 1) / VL * VL; }

/* Windows of row o for the shorter way: [*w0, *w1). */
static inline void pool_whole_windows(const fnn_pool *p, int64_t o, int64_t c0, int64_t c1, int64_t *w0,
                                      int64_t *w1) {
    *w0 = *w1 = 0;
    if (!p->kernel || p->wide || o < p->h.whole0 || o >= p->h.whole1 || p->w.whole0 >= p->w.whole1) return;
    int64_t end = p->w.whole1;
    if ((c1 - c0) % VL) {
        const int64_t last = pool_last_vector(c0, c1), k = p->kernel - 1;
        const int64_t tap = ((p->h.window[o].first + k) * p->w.in + k - p->pad_w) * p->c + last;
        end = pool_room(p->w.whole0, end, last, p->c, pool_limit(p, c0, c1, p->w.out * p->c));
        end = pool_room(p->w.whole0, end, tap, 2 * p->c, p->h.in * p->w.in * p->c);
    }
    if (end > p->w.whole0) *w0 = p->w.whole0, *w1 = end;
}

/* Pairs of pixels 2 b - pad and the next, b in [*b0, *b1), of input row i: pixel one is in windows b - 1 (of 3) and b,
 * pixel two in window b. whole: only where those windows are. */
static inline void pool_pairs(const fnn_pool *p, int64_t i, int64_t c0, int64_t c1, int whole, int64_t *b0,
                              int64_t *b1) {
    const fnn_cover rows = p->h.cover[i];
    *b0 = *b1 = 0;
    if (!p->kernel || p->wide || rows.lo == rows.hi) return;
    for (int64_t a = rows.lo; a < rows.hi && whole; a++)
        if (p->h.hit[a].window < p->h.whole0 || p->h.hit[a].window >= p->h.whole1) return;
    int64_t from = (p->pad_w + 1) / 2, end = (p->w.in - 2 + p->pad_w) / 2 + 1;
    const int64_t before = p->kernel == 3, first = before + (whole ? p->w.whole0 : 0);
    from = from < first ? first : from;
    const int64_t windows = whole ? p->w.whole1 : p->w.out;
    end = p->w.in < 2 ? 0 : end > windows ? windows : end;
    if ((c1 - c0) % VL && end > from) {
        const int64_t last = pool_last_vector(c0, c1), row = rows.lo < rows.hi ? p->h.hit[rows.hi - 1].window : 0;
        end = pool_room(from, end, last + (1 - p->pad_w) * p->c, 2 * p->c, pool_limit(p, c0, c1, p->w.in * p->c));
        end = pool_room(from, end, last + row * p->w.out * p->c, p->c, p->h.out * p->w.out * p->c);
    }
    if (end > from) *b0 = from, *b1 = end;
}

/* Whether results from `to` on go past the caches. */
static inline int pool_past(const fnn_pool *p, int64_t c0, const float *to) {
    return p->past && p->c % VL == 0 && c0 % VL == 0 && (uintptr_t)to % sizeof(vf) == 0;
}
static inline void pool_put(float *to, vf value, int past) {
    if (past)
        v_stream(to, value);
    else
        v_store(to, value);
}

/* A pair of pixels; the first one's overhang would reach what the second has already. */
static inline void pool_store_pair(float *dx, int64_t pixel, int64_t c, int64_t c1, vf one, vf two, int past) {
    if (c1 - c < VL && pixel > VL)
        v_store_n(dx + c, one, (int)(c1 - c));
    else
        pool_put(dx + c, one, past);
    pool_put(dx + pixel + c, two, past);
}

/* A pixel is in one or two rows of windows of 3, in one of windows of 2, or in none. */
#define POOL_BY_ROWS(pairs, lines, ...)                                                                              \
    if (p->kernel == 2)                                                                                              \
        pairs(2, 1, lines, __VA_ARGS__);                                                                             \
    else if (rows.hi - rows.lo == 1)                                                                                 \
        pairs(3, 1, lines, __VA_ARGS__);                                                                             \
    else                                                                                                             \
        pairs(3, 2, lines, __VA_ARGS__)
#define POOL_BY_LINES(pairs, ...)                                                                                    \
    if (lines == 2) {                                                                                                \
        POOL_BY_ROWS(pairs, 2, __VA_ARGS__);                                                                         \
    } else {                                                                                                         \
        POOL_BY_ROWS(pairs, 1, __VA_ARGS__);                                                                         \
    }

/* How many rows from i on, 2 at most, go together: both are in the last row of windows of the first. */
static inline int pool_lines(const fnn_pool *p, int64_t i, int64_t most) {
    if (most < 2) return 1;
    const fnn_cover one = p->h.cover[i], two = p->h.cover[i + 1];
    if (one.lo == one.hi || two.hi - two.lo != 1) return 1;
    const fnn_hit first = p->h.hit[one.hi - 1], second = p->h.hit[two.lo];
    return first.window == second.window && second.label == first.label + p->h.label_step ? 2 : 1;
}

/* The calls around a row's shorter part [W0, W1) of N pixels: first, then that, then the rest. What it stores past
 * the caches is settled once for all rows, by past_end: to wait for it row by row takes up to a fifth of the time. */
#define POOL_ROW(W0, W1, N, pixels, shorter)                                                                         \
    do {                                                                                                             \
        if ((W0) > 0) pixels(0, W0);                                                                                 \
        if ((W0) < (W1)) {                                                                                           \
            shorter;                                                                                                 \
        }                                                                                                            \
        if ((W1) < (N)) pixels(W1, N);                                                                               \
    } while (0)

/* What a window asks for: of the two rows that the windows above had not what comes POOL_SOON later, at their end in the
 * two rows below. first: the window's first element within its row. */
#define POOL_SOON 1024
static inline int64_t pool_ahead(int64_t first, int64_t row) {
    return POOL_SOON + (first + POOL_SOON < row ? 0 : row);
}
POOL_INLINE void pool_soon(const int K, const float *q, int64_t row, int64_t pixel, int64_t ahead) {
    POOL_UNROLL for (int i = K - 2; i < K; i++) POOL_UNROLL for (int j = 0; j < 2; j++)
        v_soon(q + i * row + j * pixel + ahead);
}

/* ---- maximum -------------------------------------------------------------------------------------------- */

/* Windows [w0, w1) of which the border leaves the taps [R0, R1) x [S0, S1). Returns whether no tap but a window's
 * first is NaN; other NaNs take the longer way. */
POOL_INLINE int max_pool_taps(const int K, const int R0, const int R1, const int S0, const int S1, const fnn_pool *p,
                              int64_t o, int64_t w0, int64_t w1, int64_t c0, int64_t c1, const float *x, float *y,
                              uint8_t *index) {
    const int width = S1 - S0, taps = (R1 - R0) * width;
    const int64_t row = p->w.in * p->c, top = p->h.window[o].first - R0;
    const int past = pool_past(p, c0, y + w0 * p->c);
    vm ordered = v_head(VL);
    for (int64_t w = w0; w < w1; w++) {
        const int64_t first = (2 * w - p->pad_w) * p->c, ahead = pool_ahead(first, row);
        const float *from = x + top * row + first;
        for (int64_t c = c0; c < c1; c += VL) {
            const float *q = from + c;
            vf tap[9];
            pool_soon(K, q, row, p->c, ahead);
            POOL_UNROLL for (int t = 0; t < taps; t++)
                tap[t] = v_load(q + (R0 + t / width) * row + (S0 + t % width) * p->c);
            vf best = tap[0], place = v_float(pool_label(R0 * K + S0));
            POOL_UNROLL for (int t = 1; t < taps; t++) {
                const int label = (R0 + t / width) * K + S0 + t % width;
                place = v_sel(v_lt(best, tap[t]), v_float(pool_label(label)), place);
                best = v_max(tap[t], best);
            }
            POOL_UNROLL for (int t = 1; t < taps; t += 2)
                ordered = vm_and(ordered, v_ordered(tap[t], tap[t + 1 < taps ? t + 1 : t]));
            pool_put(y + w * p->c + c, best, past);
            v_store_bytes(index + w * p->c + c, v_bits(place));
        }
    }
    return v_sum(v_sel(ordered, v_zero(), v_set1(1.0f))) == 0.0f;
}

/* What the border leaves of a window of 3 along an axis. */
typedef enum { POOL_ALL, POOL_NOT_FIRST, POOL_NOT_LAST, POOL_FEWER } pool_rest;
static inline pool_rest pool_rest_of(const fnn_pool_axis *axis, int64_t o) {
    const fnn_window w = axis->window[o];
    if (w.count == 3) return POOL_ALL;
    if (w.count != 2) return POOL_FEWER;
    return w.label == 0 ? POOL_NOT_LAST : POOL_NOT_FIRST;
}

/* The windows [w0, w1), all whole but for what `rows` and `cols` say; 0 where that takes the longer way. */
static int max_pool_whole(const fnn_pool *p, pool_rest rows, pool_rest cols, int64_t o, int64_t w0, int64_t w1,
                          int64_t c0, int64_t c1, const float *x, float *y, uint8_t *index) {
#define MAX_TAPS(K, R0, R1, S0, S1) max_pool_taps(K, R0, R1, S0, S1, p, o, w0, w1, c0, c1, x, y, index)
    if (p->kernel == 2) return MAX_TAPS(2, 0, 2, 0, 2);
    if (rows == POOL_ALL && cols == POOL_ALL) return MAX_TAPS(3, 0, 3, 0, 3);
    if (rows == POOL_NOT_FIRST && cols == POOL_ALL) return MAX_TAPS(3, 1, 3, 0, 3);
    if (rows == POOL_NOT_LAST && cols == POOL_ALL) return MAX_TAPS(3, 0, 2, 0, 3);
    if (rows == POOL_ALL && cols == POOL_NOT_FIRST) return MAX_TAPS(3, 0, 3, 1, 3);
    if (rows == POOL_ALL && cols == POOL_NOT_LAST) return MAX_TAPS(3, 0, 3, 0, 2);
    return 0;
}

static void max_pool_row(const fnn_pool *p, int64_t o, int64_t c0, int64_t c1, const float *x, float *y,
                         void *index) {
    const int borders = p->kernel == 3 && !p->wide && (c1 - c0) % VL == 0;
    const pool_rest rows = borders ? pool_rest_of(&p->h, o) : POOL_ALL;
    int64_t w0, w1;
    if (pool_is_flat_row(p, o) && !p->wide) {
        if (!pool_flat(POOL_MAX, p, o, x, y, index)) max_pool_pixels(p, o, 0, p->w.out, c0, c1, x, y, index);
        return;
    }
    pool_whole_windows(p, o, c0, c1, &w0, &w1);
    if (rows == POOL_NOT_FIRST || rows == POOL_NOT_LAST) w0 = p->w.whole0, w1 = p->w.whole1;
#define MAX_LONGER(from, to) max_pool_pixels(p, o, from, to, c0, c1, x, y, index)
#define MAX_PART(from, to, cols)                                                                                     \
    do {                                                                                                             \
        if (!max_pool_whole(p, rows, cols, o, from, to, c0, c1, x, y, index)) MAX_LONGER(from, to);                  \
    } while (0)
#define MAX_PIXELS(from, to)                                                                                         \
    do {                                                                                                             \
        if (borders && (to) - (from) == 1)                                                                           \
            MAX_PART(from, to, pool_rest_of(&p->w, from));                                                           \
        else                                                                                                         \
            MAX_LONGER(from, to);                                                                                    \
    } while (0)
    POOL_ROW(w0, w1, p->w.out, MAX_PIXELS, MAX_PART(w0, w1, POOL_ALL));
}

/* What is added to the pixels one and two of a row whose window has this label and, of windows of 3, the window before. */
POOL_INLINE void max_pool_bwd_add(const int K, int64_t label, vi place, vf d, vi place_before, vf d_before, vf *one,
                                  vf *two) {
    if (K == 3) *one += v_sel(v_same(place_before, pool_label(label + 2)), d_before, v_zero());
    *one += v_sel(v_same(place, pool_label(label)), d, v_zero());
    *two += v_sel(v_same(place, pool_label(label + 1)), d, v_zero());
}

/* The pairs of one row, in R rows of windows, and with `lines` 2 those of the next row, which the last of them has too:
 * dy then comes at the rate at which dx goes. */
POOL_INLINE void max_pool_bwd_pairs(const int K, const int R, const int lines, const fnn_pool *p, fnn_cover rows,
                                    int64_t b0, int64_t b1, int64_t c0, int64_t c1, const float *dy,
                                    const uint8_t *index, float *dx) {
    const fnn_hit hit[2] = {p->h.hit[rows.lo], p->h.hit[rows.hi - 1]};
    const int64_t pixel = p->c, line = p->w.in * pixel;
    const int past = pool_past(p, c0, dx + (2 * b0 - p->pad_w) * pixel);
    for (int64_t b = b0; b < b1; b++) {
        float *to = dx + (2 * b - p->pad_w) * pixel;
        for (int64_t c = c0; c < c1; c += VL) {
            vf one = v_zero(), two = v_zero(), three = v_zero(), four = v_zero();
            POOL_UNROLL for (int a = 0; a < R; a++) {
                const int64_t label = hit[a].label, at = (hit[a].window * p->w.out + b) * pixel + c;
                const int64_t before = K == 3 ? at - pixel : at;
                const vf d = v_load(dy + at), d_before = v_load(dy + before);
                const vi place = v_load_bytes(index + at), place_before = v_load_bytes(index + before);
                max_pool_bwd_add(K, label, place, d, place_before, d_before, &one, &two);
                if (lines < 2 || a < R - 1) continue;
                v_soon(dy + at + POOL_SOON), v_soon((const float *)(index + at + POOL_SOON));
                max_pool_bwd_add(K, label + K, place, d, place_before, d_before, &three, &four);
            }
            pool_store_pair(to, pixel, c, c1, one, two, past);
            if (lines == 2) pool_store_pair(to + line, pixel, c, c1, three, four, past);
        }
    }
}

/* Rows i and perhaps, where `most` is more than one, the next; returns how many. */
static int64_t max_pool_bwd_rows(const fnn_pool *p, int64_t i, int64_t most, int64_t c0, int64_t c1, const float *dy,
                                 const void *index, float *dx) {
    int64_t b0, b1;
    const fnn_cover rows = p->h.cover[i];
    if (p->lane && !p->wide && rows.lo < rows.hi) {
        pool_bwd_flat(POOL_MAX, p, p->h.hit[rows.lo], &(pool_grads){.dy = dy, .index = index, .dx = dx});
        if (2 * p->w.out < p->w.in) max_pool_bwd_pixels(p, i, 2 * p->w.out, p->w.in, c0, c1, dy, index, dx);
        return 1;
    }
    pool_pairs(p, i, c0, c1, 0, &b0, &b1);
    const int64_t j0 = b0 < b1 ? 2 * b0 - p->pad_w : 0, j1 = j0 + 2 * (b1 - b0);
    const int lines = b0 < b1 ? pool_lines(p, i, most) : 1;
#define MAX_BWD_PIXELS(from, to)                                                                                     \
    for (int l = 0; l < lines; l++)                                                                                  \
    max_pool_bwd_pixels(p, i + l, from, to, c0, c1, dy, index, dx + l * p->w.in * p->c)
#define MAX_BWD_PAIRS POOL_BY_LINES(max_pool_bwd_pairs, p, rows, b0, b1, c0, c1, dy, index, dx)
    POOL_ROW(j0, j1, p->w.in, MAX_BWD_PIXELS, MAX_BWD_PAIRS);
    return lines;
}

/* ---- average -------------------------------------------------------------------------------------------- */

POOL_INLINE void avg_pool_whole(const int K, const fnn_pool *p, int64_t o, int64_t w0, int64_t w1, int64_t c0,
                                int64_t c1, const float *x, float *y) {
    const int64_t row = p->w.in * p->c, top = p->h.window[o].first;
    const int past = pool_past(p, c0, y + w0 * p->c);
    const vf divisor = v_set1((float)(K * K)), inverse = v_set1(1.0f / (float)(K * K));
    (void)inverse;
    for (int64_t w = w0; w < w1; w++) {
        const int64_t first = (2 * w - p->pad_w) * p->c, ahead = pool_ahead(first, row);
        const float *from = x + top * row + first;
        for (int64_t c = c0; c < c1; c += VL) {
            const float *q = from + c;
            vf sum = v_zero();
            pool_soon(K, q, row, p->c, ahead);
            POOL_UNROLL for (int i = 0; i < K; i++) {
                vf line = v_zero();
                POOL_UNROLL for (int j = 0; j < K; j++) line += v_load(q + i * row + j * p->c);
                sum += line;
            }
            pool_put(y + w * p->c + c, POOL_OVER(K, sum, divisor, inverse), past);
        }
    }
}

/* One window that is the whole image: each row's sum, then theirs, for four vectors of channels at a time. All channels
 * of a row come before the next row, so that memory is read in as many streams as a row has pixels. */
static int64_t avg_pool_global(const fnn_pool *p, int64_t c0, int64_t c1, const float *x, float *y) {
    const vf divisor = v_set1(pool_divisor(p, p->h.window[0], p->w.window[0]));
    const int64_t h = p->h.window[0].count, w = p->w.window[0].count, end = c0 + (c1 - c0) / (4 * VL) * (4 * VL);
    x += (p->h.window[0].first * p->w.in + p->w.window[0].first) * p->c;
    for (int64_t i = 0; i < h; i++, x += p->w.in * p->c) {
        for (int64_t c = c0; c < end; c += 4 * VL) {
            vf line[4] = {v_zero(), v_zero(), v_zero(), v_zero()};
            const float *q = x + c;
            for (int64_t j = 0; j < w; j++, q += p->c) {
                POOL_UNROLL for (int v = 0; v < 4; v++) {
                    v_soon(q + v * VL + FNN_SOON);
                    line[v] += v_load(q + v * VL);
                }
            }
            POOL_UNROLL for (int v = 0; v < 4; v++) {
                float *to = y + c + v * VL;
                const vf sum = i > 0 ? v_load(to) + line[v] : line[v];
                v_store(to, i < h - 1 ? sum : sum / divisor);
            }
        }
    }
    return h > 0 && end > c0 ? end : c0;
}

static void avg_pool_row(const fnn_pool *p, int64_t o, int64_t c0, int64_t c1, const float *x, float *y) {
    int64_t w0 = 0, w1 = 0;
    if (p->divisor == 0 && pool_is_flat_row(p, o)) {
        pool_flat(POOL_AVG, p, o, x, y, NULL);
        return;
    }
    if (p->divisor == 0) pool_whole_windows(p, o, c0, c1, &w0, &w1);
    if (p->h.out == 1 && p->w.out == 1) c0 = avg_pool_global(p, c0, c1, x, y);
#define AVG_PIXELS(from, to) avg_pool_pixels(p, o, from, to, c0, c1, x, y)
#define AVG_WHOLE                                                                                                    \
    if (p->kernel == 2)                                                                                              \
        avg_pool_whole(2, p, o, w0, w1, c0, c1, x, y);                                                               \
    else                                                                                                             \
        avg_pool_whole(3, p, o, w0, w1, c0, c1, x, y)
    POOL_ROW(w0, w1, p->w.out, AVG_PIXELS, AVG_WHOLE);
}

POOL_INLINE void avg_pool_bwd_pairs(const int K, const int R, const int lines, const fnn_pool *p, fnn_cover rows,
                                    int64_t b0, int64_t b1, int64_t c0, int64_t c1, const float *dy, float *dx) {
    const fnn_hit hit[2] = {p->h.hit[rows.lo], p->h.hit[rows.hi - 1]};
    const int64_t pixel = p->c, line = p->w.in * pixel;
    const int past = pool_past(p, c0, dx + (2 * b0 - p->pad_w) * pixel);
    const vf divisor = v_set1((float)(K * K)), inverse = v_set1(1.0f / (float)(K * K));
    (void)inverse;
    for (int64_t b = b0; b < b1; b++) {
        float *to = dx + (2 * b - p->pad_w) * pixel;
        for (int64_t c = c0; c < c1; c += VL) {
            vf one = v_zero(), two = v_zero(), three = v_zero(), four = v_zero();
            POOL_UNROLL for (int a = 0; a < R; a++) {
                const int64_t at = (hit[a].window * p->w.out + b) * pixel + c;
                const vf share = POOL_OVER(K, v_load(dy + at), divisor, inverse);
                const vf before = K == 3 ? POOL_OVER(K, v_load(dy + at - pixel), divisor, inverse) : v_zero();
                if (K == 3) one += before;
                one += share;
                two += share;
                if (lines < 2 || a < R - 1) continue;
                v_soon(dy + at + POOL_SOON);
                if (K == 3) three += before;
                three += share;
                four += share;
            }
            pool_store_pair(to, pixel, c, c1, one, two, past);
            if (lines == 2) pool_store_pair(to + line, pixel, c, c1, three, four, past);
        }
    }
}

static int64_t avg_pool_bwd_rows(const fnn_pool *p, int64_t i, int64_t most, int64_t c0, int64_t c1, const float *dy,
                                 float *dx) {
    const fnn_cover rows = p->h.cover[i];
    int64_t b0 = 0, b1 = 0;
    if (p->h.out == 1 && p->w.out == 1 && rows.lo < rows.hi && p->w.window[0].count == p->w.in && p->c >= VL) {
        avg_pool_bwd_global(p, c0, c1, dy, dx);
        return 1;
    }
    if (p->divisor == 0 && pool_is_flat(p, rows)) {
        pool_bwd_flat(POOL_AVG, p, p->h.hit[rows.lo], &(pool_grads){.dy = dy, .dx = dx});
        if (2 * p->w.out < p->w.in) avg_pool_bwd_pixels(p, i, 2 * p->w.out, p->w.in, c0, c1, dy, dx);
        return 1;
    }
    if (p->divisor == 0) pool_pairs(p, i, c0, c1, 1, &b0, &b1);
    const int64_t j0 = b0 < b1 ? 2 * b0 - p->pad_w : 0, j1 = j0 + 2 * (b1 - b0);
    const int lines = b0 < b1 ? pool_lines(p, i, most) : 1;
#define AVG_BWD_PIXELS(from, to)                                                                                     \
    for (int l = 0; l < lines; l++) avg_pool_bwd_pixels(p, i + l, from, to, c0, c1, dy, dx + l * p->w.in * p->c)
#define AVG_BWD_PAIRS POOL_BY_LINES(avg_pool_bwd_pairs, p, rows, b0, b1, c0, c1, dy, dx)
    POOL_ROW(j0, j1, p->w.in, AVG_BWD_PIXELS, AVG_BWD_PAIRS);
    return lines;
}

/* ---- power mean: the shorter way is for squares --------------------------------------------------------- */

POOL_INLINE void lp_pool_whole(const int K, const fnn_pool *p, int64_t o, int64_t w0, int64_t w1, int64_t c0,
                               int64_t c1, const float *x, float *y) {
    const int64_t row = p->w.in * p->c, top = p->h.window[o].first;
    const int past = pool_past(p, c0, y + w0 * p->c);
    for (int64_t w = w0; w < w1; w++) {
        const int64_t first = (2 * w - p->pad_w) * p->c, ahead = pool_ahead(first, row);
        const float *from = x + top * row + first;
        for (int64_t c = c0; c < c1; c += VL) {
            vf sum = v_zero();
            pool_soon(K, from + c, row, p->c, ahead);
            POOL_UNROLL for (int i = 0; i < K; i++) POOL_UNROLL for (int j = 0; j < K; j++) {
                const vf v = v_load(from + c + i * row + j * p->c);
                sum += v * v;
            }
            pool_put(y + w * p->c + c, v_sqrt(sum), past);
        }
    }
}

static void lp_pool_row(const fnn_pool *p, int64_t o, int64_t c0, int64_t c1, const float *x, float *y) {
    int64_t w0 = 0, w1 = 0;
    if (p->norm_type == 2.0 && pool_is_flat_row(p, o)) {
        pool_flat(POOL_LP, p, o, x, y, NULL);
        return;
    }
    if (p->norm_type == 2.0) pool_whole_windows(p, o, c0, c1, &w0, &w1);
#define LP_PIXELS(from, to) lp_pool_pixels(p, o, from, to, c0, c1, x, y)
#define LP_WHOLE                                                                                                     \
    if (p->kernel == 2)                                                                                              \
        lp_pool_whole(2, p, o, w0, w1, c0, c1, x, y);                                                                \
    else                                                                                                             \
        lp_pool_whole(3, p, o, w0, w1, c0, c1, x, y)
    POOL_ROW(w0, w1, p->w.out, LP_PIXELS, LP_WHOLE);
}

POOL_INLINE void lp_pool_bwd_pairs(const int K, const fnn_pool *p, fnn_cover rows, int64_t b0, int64_t b1, int64_t c0,
                                   int64_t c1, const float *dy, const float *x, const float *y, float *dx) {
    const int64_t pixel = p->c;
    const int past = pool_past(p, c0, dx + (2 * b0 - p->pad_w) * pixel);
    for (int64_t b = b0; b < b1; b++) {
        const int64_t j = (2 * b - p->pad_w) * pixel;
        for (int64_t c = c0; c < c1; c += VL) {
            vf one = v_zero(), two = v_zero();
            for (int64_t a = rows.lo; a < rows.hi; a++) {
                const int64_t at = (p->h.hit[a].window * p->w.out + b) * pixel + c;
                const vf share = lp_share(dy, y, at);
                if (K == 3) one += lp_share(dy, y, at - pixel);
                one += share;
                two += share;
            }
            pool_store_pair(dx + j, pixel, c, c1, one * v_load(x + j + c), two * v_load(x + j + pixel + c), past);
        }
    }
}

static void lp_pool_bwd_row(const fnn_pool *p, int64_t i, int64_t c0, int64_t c1, const float *dy, const float *x,
                            const float *y, float *dx) {
    int64_t b0 = 0, b1 = 0;
    if (p->norm_type == 2.0 && pool_is_flat(p, p->h.cover[i])) {
        pool_bwd_flat(POOL_LP, p, p->h.hit[p->h.cover[i].lo], &(pool_grads){dy, x, y, NULL, dx});
        if (2 * p->w.out < p->w.in) lp_pool_bwd_pixels(p, i, 2 * p->w.out, p->w.in, c0, c1, dy, x, y, dx);
        return;
    }
    if (p->norm_type == 2.0) pool_pairs(p, i, c0, c1, 1, &b0, &b1);
    const int64_t j0 = b0 < b1 ? 2 * b0 - p->pad_w : 0, j1 = j0 + 2 * (b1 - b0);
#define LP_BWD_PIXELS(from, to) lp_pool_bwd_pixels(p, i, from, to, c0, c1, dy, x, y, dx)
#define LP_BWD_PAIRS                                                                                                 \
    if (p->kernel == 2)                                                                                              \
        lp_pool_bwd_pairs(2, p, p->h.cover[i], b0, b1, c0, c1, dy, x, y, dx);                                        \
    else                                                                                                             \
        lp_pool_bwd_pairs(3, p, p->h.cover[i], b0, b1, c0, c1, dy, x, y, dx)
    POOL_ROW(j0, j1, p->w.in, LP_BWD_PIXELS, LP_BWD_PAIRS);
}

#endif
