/* softmax, log_softmax and their backward along the middle one of (outer, n, inner). */
#include "past.h"

#define SOFTMAX_FIELDS(I, D, A, T) I(T, outer) I(T, n) I(T, inner)
FNN_PROBLEM(softmax_problem, SOFTMAX_FIELDS)

/* Columns one unit covers where the axis is not the contiguous one. */
#define PANEL 64
/* Rows made at a time on their way past the caches, 0 where they do not go there. */
#define LONGEST 8192
static int64_t piece_rows(const softmax_problem *p) {
    if (p->inner != 1 || p->outer * p->n <= FNN_PAST || p->n > LONGEST) return 0;
    return p->n < FNN_PIECE ? FNN_PIECE / p->n : 1;
}
static int64_t panels(const softmax_problem *p) { return p->inner == 1 ? 1 : (p->inner + PANEL - 1) / PANEL; }

static fnn_status softmax_init(fnn_op *op) {
    const softmax_problem *p = op->problem;
    if (p->outer < 0 || p->n < 0 || p->inner < 0)
        return fnn_fail(op, FNN_INVALID, "%s: expected sizes of at least 0, got %lld x %lld x %lld", op->cls->name,
                        (long long)p->outer, (long long)p->n, (long long)p->inner);
    const double size = (double)p->outer * (double)p->n * (double)p->inner;
    op->units = p->n == 0 || p->inner == 0 ? 0 : p->outer * panels(p);
    op->scratch_thread = (size_t)((piece_rows(p) + (piece_rows(p) > 0)) * p->n) *
                         sizeof(float); /* two rows at least */
    op->flops = 24 * size;
    op->bytes = 12 * size;
    op->algorithm = p->inner == 1 ? "rows" : "columns";
    return FNN_OK;
}

/* Unit to the offset of its first element and its number of columns. */
static int64_t locate(const softmax_problem *p, int64_t unit, int64_t *width) {
    const int64_t column = unit % panels(p) * PANEL;
    *width = p->inner - column < PANEL ? p->inner - column : PANEL;
    return unit / panels(p) * p->n * p->inner + column;
}

/* The rows [lo, hi): `make`, a statement, puts n of them, from `at` on, at `to`. */
#define ROWS(make)                                                                                                   \
    do {                                                                                                             \
        const int64_t some = piece_rows(p), most = some ? some : hi - lo;                                            \
        float *piece = fnn_thread_scratch(op, scratch, team->tid);                                                   \
        for (int64_t row = lo, n; row < hi; row += n) {                                                              \
            n = hi - row < most ? hi - row : most;                                                                   \
            const int64_t at = row * p->n;                                                                           \
            float *to = some ? piece : out + at;                                                                     \
            make;                                                                                                    \
            if (some) op->k->past_store(n * p->n, piece, out + at);                                                  \
        }                                                                                                            \
        if (some) op->k->past_end();                                                                                 \
    } while (0)

#define SOFTMAX_OP(name)                                                                                             \
    static void name##_op_run(const fnn_op *op, void *const *buf, void *scratch, const fnn_team *team) {             \
        const softmax_problem *p = op->problem;                                                                      \
        const float *x = buf[0];                                                                                     \
        float *out = buf[1];                                                                                         \
        int64_t lo, hi, width;                                                                                       \
        fnn_share(op->units, team->tid, team->n, &lo, &hi);                                                          \
        if (p->inner == 1) ROWS(op->k->name##_rows(n, p->n, x + at, to));                                            \
        for (int64_t unit = lo; p->inner != 1 && unit < hi; unit++) {                                                \
            const int64_t at = locate(p, unit, &width);                                                              \
            op->k->name##_cols(p->n, width, p->inner, x + at, out + at);                                             \
        }                                                                                                            \
    }

#define SOFTMAX_BWD_OP(name)                                                                                         \
    static void name##_op_run(const fnn_op *op, void *const *buf, void *scratch, const fnn_team *team) {             \
        const softmax_problem *p = op->problem;                                                                      \
        const float *dy = buf[0], *y = buf[1];                                                                       \
        float *out = buf[2];                                                                                         \
        int64_t lo, hi, width;                                                                                       \
        fnn_share(op->units, team->tid, team->n, &lo, &hi);                                                          \
        if (p->inner == 1) ROWS(op->k->name##_rows(n, p->n, dy + at, y + at, to));                                   \
        for (int64_t unit = lo; p->inner != 1 && unit < hi; unit++) {                                                \
            const int64_t at = locate(p, unit, &width);                                                              \
            op->k->name##_cols(p->n, width, p->inner, dy + at, y + at, out + at);                                    \
        }                                                                                                            \
    }                                                                                                                \
    FNN_OP_CLASS(name, softmax_problem, "dy y dx", softmax_init, name##_op_run);

SOFTMAX_OP(softmax)
SOFTMAX_OP(log_softmax)
FNN_OP_CLASS(log_softmax, softmax_problem, "x y", softmax_init, log_softmax_op_run);

/* Rows past the caches, each stored while the exponentials of the next are made. e: two rows. */
static void rows_past(const fnn_op *op, int64_t rows, const float *x, float *e, float *y) {
    const int64_t n = ((const softmax_problem *)op->problem)->n;
    fnn_going before = {.y = y};
    for (int64_t r = 0; r < rows; r++) {
        float *own = e + r % 2 * n;
        const double sum = op->k->softmax_row_past(n, x + r * n, own, &before);
        before = (fnn_going){.e = own, .scale = (float)(1.0 / sum), .n = n, .y = y + r * n};
    }
    op->k->softmax_row_past(0, NULL, NULL, &before);
    op->k->past_end();
}

static void softmax_run(const fnn_op *op, void *const *buf, void *scratch, const fnn_team *team) {
    const softmax_problem *p = op->problem;
    int64_t lo, hi;
    if (piece_rows(p) == 0 || p->n <= op->k->vl) {
        softmax_op_run(op, buf, scratch, team);
        return;
    }
    fnn_share(op->units, team->tid, team->n, &lo, &hi);
    rows_past(op, hi - lo, (const float *)buf[0] + lo * p->n, fnn_thread_scratch(op, scratch, team->tid),
              (float *)buf[1] + lo * p->n);
}

FNN_OP_CLASS(softmax, softmax_problem, "x y", softmax_init, softmax_run);

SOFTMAX_BWD_OP(softmax_bwd)
SOFTMAX_BWD_OP(log_softmax_bwd)
