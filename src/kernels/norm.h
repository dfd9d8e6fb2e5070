/* Batch normalisation over a matrix of rows (N H W) and channels, channels contiguous.
 *
 * A narrow row is taken `repeat` at a time, as one row `repeat` times as wide of whole vectors, with the per-channel
 * arrays repeated to match; columns then fold back into channels in ascending order.
 * Sums run over groups of a few rows, all columns of a group before the next: that reads memory nearly in order, and
 * rounding errors grow with the roots of both counts. */
#ifndef FASTNN_KERNELS_NORM_H
#define FASTNN_KERNELS_NORM_H

#include "eltwise.h"
#include "gemm.h"
#include "types.h"

#define NORM_NARROW 64                /* fewer channels are repeated to at least so many columns, */
#define NORM_WIDTH (NORM_NARROW * 16) /* which gives so many at most */
#define NORM_GROUP 8                  /* rows of a group, fewer of wide ones: see norm_group */
#define NORM_STRIP 4                  /* vectors of columns whose sums are in registers */
#define NORM_AHEAD 16384              /* elements between two jumps back of a descending pass */
_Static_assert(NORM_WIDTH >= FNN_NORM_COLUMNS, "the arrays of a block hold its columns");

static inline int64_t norm_repeat(int64_t c) {
    if (c >= NORM_NARROW) return 1;
    int64_t repeat = VL;
    while (repeat % 2 == 0 && c * (repeat / 2) % VL == 0 && c * (repeat / 2) >= NORM_NARROW) repeat /= 2;
    return repeat;
}

static int64_t norm_period(int64_t c) { return c * norm_repeat(c); }

static inline void norm_spread(float *dst, const float *src, int64_t c, int64_t repeat) {
    for (int64_t r = 0; r < repeat; r++) memcpy(dst + r * c, src, (size_t)c * sizeof(float));
}

static inline void norm_fold(float *dst, const float *src, int64_t c, int64_t repeat) {
    for (int64_t j = 0; j < c; j++) {
        float sum = src[j];
        for (int64_t r = 1; r < repeat; r++) sum += src[r * c + j];
        dst[j] = sum;
    }
}

/* Rows whose sums are made together. Each is a stream of its own in each of `arrays`, and memory feeds four of them
 * best; short rows that follow each other are one. */
static inline int64_t norm_group(int64_t width, int64_t stride, int arrays) {
    if (width <= FNN_SOON / 2) return NORM_GROUP;
    return width < FNN_SOON || width < stride || arrays == 1 ? NORM_GROUP / 2 : NORM_GROUP / 4;
}

/* How far ahead of column j its stream goes on some columns later: in the same row, or in the next group's. */
static inline int64_t norm_ahead(int64_t j, int64_t width, int64_t stride, int arrays) {
    const int64_t soon = arrays == 1 && width == stride ? FNN_SOON / 2 : FNN_SOON;
    if (width < FNN_SOON) return FNN_SOON;
    return j + soon < width ? soon : soon - width + norm_group(width, stride, arrays) * stride;
}

static inline vf norm_load(const float *p, int n) { return n == VL ? v_load(p) : v_load_n(p, n); }
static inline void norm_store(float *p, vf x, int n) {
    if (n == VL)
        v_store(p, x);
    else
        v_store_n(p, x, n);
}
static inline int norm_lanes(int64_t j, int64_t width) { return width - j < VL ? (int)(width - j) : VL; }

/* The gradient by what the forward's activation (ReLU or SiLU) was applied to, (x - mean) scale + bias: d is x - mean. */
static inline vf norm_inner(int activation, vf dy, vf d, vf scale, vf bias) {
    const vf value = v_fma(d, scale, bias), none = v_zero();
    return activation == FNN_ACT_SILU ? act_silu_bwd(dy, value, none, none) : act_relu_bwd(dy, value, none, none);
}

/* ---- sums over rows ------------------------------------------------------------------------------------- */

/* The last two for the gradient of an activation's output. */
typedef enum { NORM_STATS, NORM_GRAD, NORM_GRAD_RELU, NORM_GRAD_SILU } norm_mode;

/* Per column: what is taken off x; scale and bias of the forward where there is an activation; the two sums. */
typedef struct norm_columns {
    float middle[NORM_WIDTH], scale[NORM_WIDTH], bias[NORM_WIDTH], sum[NORM_WIDTH], product_sum[NORM_WIDTH];
} norm_columns;

/* With d = x - middle: NORM_STATS adds d to sum and d^2 to product_sum, NORM_GRAD dy and dy d. `count` vectors of
 * columns from j on, the last of `lanes` lanes. */
static inline __attribute__((always_inline)) void norm_strip(norm_mode mode, const float *x, const float *dy,
                                                             int64_t rows, int64_t stride, norm_columns *p,
                                                             int64_t width, int64_t j, int count, int lanes) {
    vf s[NORM_STRIP], q[NORM_STRIP], middle[NORM_STRIP];
    const int64_t ahead = norm_ahead(j, width, stride, mode == NORM_STATS ? 1 : 2);
    for (int v = 0; v < count; v++) {
        s[v] = q[v] = v_zero();
        middle[v] = v_load(p->middle + j + v * VL);
    }
    for (int64_t row = 0; row < rows; row++) {
        const float *here = x + row * stride + j, *there = mode == NORM_STATS ? here : dy + row * stride + j;
        for (int k = 0; k < count * VL; k += FNN_LINE) {
            v_soon(here + ahead + k);
            if (mode != NORM_STATS) v_soon(there + ahead + k);
        }
        for (int v = 0; v < count; v++) {
            vf d = norm_load(here + v * VL, lanes) - middle[v];
            if (lanes < VL) d = v_sel(v_head(lanes), d, v_zero());
            vf g = mode == NORM_STATS ? d : norm_load(there + v * VL, lanes);
            if (mode >= NORM_GRAD_RELU)
                g = norm_inner(mode == NORM_GRAD_SILU ? FNN_ACT_SILU : FNN_ACT_RELU, g, d,
                               v_load(p->scale + j + v * VL), v_load(p->bias + j + v * VL));
            s[v] += g;
            q[v] = v_fma(g, d, q[v]);
        }
    }
    for (int v = 0; v < count; v++) {
        v_store(p->sum + j + v * VL, v_load(p->sum + j + v * VL) + s[v]);
        v_store(p->product_sum + j + v * VL, v_load(p->product_sum + j + v * VL) + q[v]);
    }
}

static inline __attribute__((always_inline)) void norm_rows(norm_mode mode, const float *x, const float *dy,
                                                            int64_t rows, int64_t stride, int64_t width,
                                                            norm_columns *p) {
    const int64_t group = norm_group(width, stride, mode == NORM_STATS ? 1 : 2);
    for (int64_t row = 0; row < rows; row += group) {
        const int64_t count = rows - row < group ? rows - row : group, at = row * stride;
        int64_t j = 0;
        for (; j + NORM_STRIP * VL <= width; j += NORM_STRIP * VL)
            norm_strip(mode, x + at, dy + at, count, stride, p, width, j, NORM_STRIP, VL);
        for (; j + VL <= width; j += VL) norm_strip(mode, x + at, dy + at, count, stride, p, width, j, 1, VL);
        if (j < width) norm_strip(mode, x + at, dy + at, count, stride, p, width, j, 1, (int)(width - j));
    }
}

/* The sums of a block of c channels; narrow rows as one wide one, what is left of them as one row more. */
static inline __attribute__((always_inline)) void norm_block(norm_mode mode, const float *x, const float *dy,
                                                             int64_t rows, int64_t stride, int64_t c,
                                                             const float *middle, const float *scale,
                                                             const float *bias, float *sum, float *product_sum) {
    norm_columns p;
    const int64_t repeat = stride == c ? norm_repeat(c) : 1, width = c * repeat;
    const int64_t whole = rows / repeat, rest = rows % repeat * c, at = whole * repeat * stride;
    const size_t bytes = (size_t)(width + VL) * sizeof(float);
    norm_spread(p.middle, middle, c, repeat);
    if (mode >= NORM_GRAD_RELU) {
        norm_spread(p.scale, scale, c, repeat);
        norm_spread(p.bias, bias, c, repeat);
    }
    memset(p.sum, 0, bytes < sizeof p.sum ? bytes : sizeof p.sum);
    memset(p.product_sum, 0, bytes < sizeof p.sum ? bytes : sizeof p.sum);
    norm_rows(mode, x, dy, whole, repeat * stride, width, &p);
    norm_rows(mode, x + at, dy + at, rest > 0, 0, rest, &p);
    norm_fold(sum, p.sum, c, repeat);
    norm_fold(product_sum, p.product_sum, c, repeat);
}

/* ---- statistics ----------------------------------------------------------------------------------------- */

/* mean (relative to shift) and M2 of c <= FNN_NORM_COLUMNS channels over `rows` rows of x, `stride` apart.
 * Differences are taken to the mean of the block's first rows. Were those as far from the block's mean as the block's
 * own spread allows, M2 would still keep all but log2(rows / NORM_GROUP) of its bits. */
static void norm_stats_block(const float *x, int64_t rows, int64_t stride, int64_t c, const float *shift, float *mean,
                             float *m2) {
    float near[FNN_NORM_COLUMNS];
    const int64_t first = rows < NORM_GROUP ? 1 : NORM_GROUP;
    for (int64_t j = 0; j < c; j++) near[j] = x[j];
    for (int64_t r = 1; r < first; r++)
        for (int64_t j = 0; j < c; j++) near[j] += x[r * stride + j];
    for (int64_t j = 0; j < c; j++) near[j] /= (float)first;
    norm_block(NORM_STATS, x, x, rows, stride, c, near, NULL, NULL, mean, m2);
    for (int64_t j = 0; j < c; j++) {
        const float sum = mean[j], drift = sum / (float)rows;
        m2[j] -= sum * drift;
        /* An infinity has made M2 NaN: the mean too. */
        mean[j] = (near[j] - shift[j]) + (drift + m2[j] * 0.0f);
        m2[j] = m2[j] < 0.0f ? 0.0f : m2[j];
    }
}

/* Chan's merge of block means and M2s, in order. partial: for each of `blocks` blocks two runs of `stride` floats,
 * the means and the M2s; the last block has last_rows rows, the others block_rows. */
static void norm_merge_stats(const float *partial, int64_t blocks, int64_t stride, int64_t c, int64_t block_rows,
                             int64_t last_rows, const float *shift, float *mean, float *var) {
    double middle[FNN_NORM_MERGED], m2[FNN_NORM_MERGED], count = 0;
    for (int64_t j = 0; j < c; j++) middle[j] = m2[j] = 0;
    for (int64_t b = 0; b < blocks; b++) {
        const float *block_mean = partial + 2 * b * stride, *block_m2 = block_mean + stride;
        const double rows = (double)(b == blocks - 1 ? last_rows : block_rows), total = count + rows;
        const double share = rows / total, cross = count * share;
        for (int64_t j = 0; j < c; j++) {
            const double delta = (double)block_mean[j] - middle[j];
            middle[j] += delta * share;
            m2[j] += (double)block_m2[j] + delta * delta * cross;
        }
        count = total;
    }
    for (int64_t j = 0; j < c; j++) {
        mean[j] = count > 0 ? (float)((double)shift[j] + middle[j]) : NAN;
        var[j] = (float)(m2[j] / count);
    }
}

/* ---- gradients' sums ------------------------------------------------------------------------------------ */

/* Sums of g and of g (x - mean) of c <= FNN_NORM_COLUMNS channels over the rows of a block; g is dy, or what the
 * forward's activation makes of it. */
static void norm_grad_block(const float *dy, const float *x, int64_t rows, int64_t stride, int64_t c,
                            const float *mean, const float *scale, const float *bias, int activation, float *sum,
                            float *product_sum) {
    if (activation == FNN_ACT_RELU)
        norm_block(NORM_GRAD_RELU, x, dy, rows, stride, c, mean, scale, bias, sum, product_sum);
    else if (activation == FNN_ACT_SILU)
        norm_block(NORM_GRAD_SILU, x, dy, rows, stride, c, mean, scale, bias, sum, product_sum);
    else
        norm_block(NORM_GRAD, x, dy, rows, stride, c, mean, NULL, NULL, sum, product_sum);
}

/* Sums over blocks of two runs of `stride` floats each, in order. */
static void norm_merge_sums(const float *partial, int64_t blocks, int64_t stride, int64_t c, double *sum,
                            double *product_sum) {
    for (int64_t j = 0; j < c; j++) sum[j] = product_sum[j] = 0;
    for (int64_t b = 0; b < blocks; b++) {
        const float *s = partial + 2 * b * stride, *q = s + stride;
        for (int64_t j = 0; j < c; j++) {
            sum[j] += (double)s[j];
            product_sum[j] += (double)q[j];
        }
    }
}

/* ---- application ---------------------------------------------------------------------------------------- */

/* Elementwise over `count` elements from a channel 0 on, the last of them first: a sum over all of them went before, and
 * what it read last is still near. Columns come in periods; `value` may use `at` (of the element), j (of the column) and
 * n (lanes). */
#define NORM_DESCEND(out, value)                                                                                     \
    const int aligned = past && period % VL == 0 && (uintptr_t)(out) % sizeof(vf) == 0;                              \
    const int64_t leap = period < NORM_AHEAD ? NORM_AHEAD / period * period : period;                                \
    for (int64_t start = count > 0 ? (count - 1) / leap * leap : -1; start >= 0; start -= leap) {                    \
        const int64_t stop = count - start < leap ? count : start + leap;                                            \
        if (aligned) {                                                                                               \
            NORM_PERIODS(v_stream((out) + at, value), v_store_n((out) + at, value, n))                               \
        } else {                                                                                                     \
            NORM_PERIODS(v_store((out) + at, value), v_store_n((out) + at, value, n))                                \
        }                                                                                                            \
    }                                                                                                                \
    if (aligned) v_stream_end();
#define NORM_PERIODS(whole, part)                                                                                    \
    for (int64_t base = start; base < stop; base += period) {                                                        \
        const int64_t width = stop - base < period ? stop - base : period;                                           \
        int64_t j = 0;                                                                                               \
        for (; j + VL <= width; j += VL) {                                                                           \
            const int64_t at = base + j;                                                                             \
            const int n = VL;                                                                                        \
            whole;                                                                                                   \
        }                                                                                                            \
        if (j < width) {                                                                                             \
            const int64_t at = base + j;                                                                             \
            const int n = (int)(width - j);                                                                          \
            part;                                                                                                    \
        }                                                                                                            \
    }

static inline vf norm_soon(const float *p, int n) {
    v_soon(p + FNN_SOON);
    return norm_load(p, n);
}

/* (x - mean) scale + bias */
static inline vf norm_value(const fnn_norm *q, const float *x, int64_t j, int n) {
    const vf d = norm_soon(x, n) - norm_load(q->mean + j, n);
    return v_fma(d, norm_load(q->scale + j, n), norm_load(q->bias + j, n));
}

/* y = act((x - mean) scale + bias); arrays of norm_period(c) = period floats. past: y goes past the caches. */
static void norm_apply(const fnn_norm *q, const float *x, int64_t count, int64_t period, int activation, float slope,
                       int past, float *y) {
    if (activation == FNN_ACT_RELU) {
        NORM_DESCEND(y, act_apply(norm_value(q, x + at, j, n), FNN_ACT_RELU, v_zero()))
    } else if (activation == FNN_ACT_SILU) {
        NORM_DESCEND(y, v_silu(norm_value(q, x + at, j, n)))
    } else {
        NORM_DESCEND(y, act_apply(norm_value(q, x + at, j, n), activation, v_set1(slope)))
    }
}

/* y = (x - mean) scale + bias + residual, then perhaps ReLU. */
static void norm_apply_sum(const fnn_norm *q, const float *x, const float *residual, int64_t count, int64_t period,
                           int relu, int past, float *y) {
    if (relu) {
        NORM_DESCEND(y, act_apply(norm_value(q, x + at, j, n) + norm_soon(residual + at, n), FNN_ACT_RELU, v_zero()))
    } else {
        NORM_DESCEND(y, norm_value(q, x + at, j, n) + norm_soon(residual + at, n))
    }
}

/* (dy - offset - (x - mean) slope) scale */
static inline vf norm_grad_value(const fnn_norm *q, const float *dy, const float *x, int64_t j, int n,
                                 int activation) {
    const vf d = norm_soon(x, n) - norm_load(q->mean + j, n), scale = norm_load(q->scale + j, n);
    vf g = norm_soon(dy, n);
    if (activation) g = norm_inner(activation, g, d, scale, norm_load(q->bias + j, n));
    return ((g - norm_load(q->offset + j, n)) - d * norm_load(q->slope + j, n)) * scale;
}

/* The same without offset and slope: x counts for the activation alone, without one not even where it is NaN. */
static inline vf norm_scaled(const fnn_norm *q, const float *dy, const float *x, int64_t j, int n, int activation) {
    vf g = norm_soon(dy, n);
    const vf scale = norm_load(q->scale + j, n);
    if (!activation) return g * scale;
    return norm_inner(activation, g, norm_soon(x, n) - norm_load(q->mean + j, n), scale, norm_load(q->bias + j, n)) *
           scale;
}

static void norm_grad_apply(const fnn_norm *q, const float *dy, const float *x, int64_t count, int64_t period,
                            int activation, int past, float *dx) {
    if (q->slope && activation == FNN_ACT_RELU) {
        NORM_DESCEND(dx, norm_grad_value(q, dy + at, x + at, j, n, FNN_ACT_RELU))
    } else if (q->slope && activation) {
        NORM_DESCEND(dx, norm_grad_value(q, dy + at, x + at, j, n, FNN_ACT_SILU))
    } else if (q->slope) {
        NORM_DESCEND(dx, norm_grad_value(q, dy + at, x + at, j, n, FNN_ACT_NONE))
    } else {
        NORM_DESCEND(dx, norm_scaled(q, dy + at, x + at, j, n, activation))
    }
}

#endif
