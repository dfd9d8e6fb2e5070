/* (x - shift) factor by channel, of bytes or floats: the first step of images that come as they are stored. */
#include "../kernels/table.h"
#include "nest.h"

#define COLOURS 3 /* planes that the kernel reads together; others one after the other, */
#define NEAR 64   /* pixels at a time, so that what is written beside each other stays in the first-level cache */

/* dtype: of x, FNN_FLOAT32 or FNN_UINT8. x_last, y_last: channels are the fastest axis there, else one plane each. */
#define NORMALIZE_FIELDS(I, D, A, T) I(T, dtype) I(T, n) I(T, c) I(T, pixels) I(T, x_last) I(T, y_last)
FNN_PROBLEM(normalize_problem, NORMALIZE_FIELDS)

static int64_t itemsize(const normalize_problem *p) { return p->dtype == FNN_UINT8 ? 1 : 4; }

static fnn_status normalize_init(fnn_op *op) {
    const normalize_problem *p = op->problem;
    if (p->dtype != FNN_FLOAT32 && p->dtype != FNN_UINT8)
        return fnn_fail(op, FNN_UNSUPPORTED, "normalize_channels: expected dtype %d or %d, got %lld", FNN_FLOAT32,
                        FNN_UINT8, (long long)p->dtype);
    if (p->n < 0 || p->c < 0 || p->pixels < 0)
        return fnn_fail(op, FNN_INVALID, "normalize_channels: expected extents >= 0, got %lld, %lld and %lld",
                        (long long)p->n, (long long)p->c, (long long)p->pixels);
    op->units = p->c > 0 ? fnn_spans(p->n * p->pixels) : 0;
    op->flops = 2.0 * (double)p->n * (double)p->c * (double)p->pixels;
    op->bytes = (double)(itemsize(p) + 4) * (double)p->n * (double)p->c * (double)p->pixels;
    op->algorithm = p->x_last == p->y_last ? "in order" : "interleaved";
    return FNN_OK;
}

static void normalize_run(const fnn_op *op, void *const *buf, void *scratch, const fnn_team *team) {
    const normalize_problem *p = op->problem;
    const char *x = buf[0];
    float *y = buf[3];
    fnn_normalize q = {.c = p->c,
                       .x_row = p->x_last ? p->c : 1,
                       .x_col = p->x_last ? 1 : p->pixels,
                       .y_row = p->y_last ? p->c : 1,
                       .y_col = p->y_last ? 1 : p->pixels,
                       .shift = buf[1],
                       .factor = buf[2]};
    int64_t lo, hi;
    (void)scratch;
    fnn_share_spans(p->c > 0 ? p->n * p->pixels : 0, team, &lo, &hi);
    const int64_t most = p->y_last && !p->x_last && p->c != COLOURS ? NEAR : hi;
    while (lo < hi) { /* a plane ends with its image */
        const int64_t image = lo / p->pixels, end = p->x_last && p->y_last ? hi : (image + 1) * p->pixels;
        const int64_t first = image * p->pixels * p->c, at = lo - image * p->pixels;
        q.rows = (end < hi ? end : hi) - lo;
        if (q.rows > most) q.rows = most;
        op->k->normalize_2d(&q, p->dtype, x + (first + at * q.x_row) * itemsize(p), y + first + at * q.y_row);
        lo += q.rows;
    }
}

FNN_OP_CLASS(normalize_channels, normalize_problem, "x shift factor y", normalize_init, normalize_run);
