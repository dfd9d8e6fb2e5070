/* softmax, log_softmax and their backward along the middle one of (outer, n, inner). */
#include "../kernels/table.h"

#define SOFTMAX_FIELDS(I, D, A, T) I(T, outer) I(T, n) I(T, inner)
FNN_PROBLEM(softmax_problem, SOFTMAX_FIELDS)

/* Columns one unit covers where the axis is not the contiguous one. */
#define PANEL 64
static int64_t panels(const softmax_problem *p) { return p->inner == 1 ? 1 : (p->inner + PANEL - 1) / PANEL; }

static fnn_status softmax_init(fnn_op *op) {
    const softmax_problem *p = op->problem;
    if (p->outer < 0 || p->n < 0 || p->inner < 0)
        return fnn_fail(op, FNN_INVALID, "%s: expected sizes of at least 0, got %lld x %lld x %lld", op->cls->name,
                        (long long)p->outer, (long long)p->n, (long long)p->inner);
    const double size = (double)p->outer * (double)p->n * (double)p->inner;
    op->units = p->n == 0 || p->inner == 0 ? 0 : p->outer * panels(p);
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

#define SOFTMAX_OP(name)                                                                                             \
    static void name##_op_run(const fnn_op *op, void *const *buf, void *scratch, const fnn_team *team) {             \
        const softmax_problem *p = op->problem;                                                                      \
        const float *x = buf[0];                                                                                     \
        float *y = buf[1];                                                                                           \
        int64_t lo, hi, width;                                                                                       \
        (void)scratch;                                                                                               \
        fnn_share(op->units, team->tid, team->n, &lo, &hi);                                                          \
        for (int64_t unit = lo; unit < hi; unit++) {                                                                 \
            const int64_t at = locate(p, unit, &width);                                                              \
            if (p->inner == 1)                                                                                       \
                op->k->name##_row(p->n, x + at, y + at);                                                             \
            else                                                                                                     \
                op->k->name##_cols(p->n, width, p->inner, x + at, y + at);                                           \
        }                                                                                                            \
    }                                                                                                                \
    FNN_OP_CLASS(name, softmax_problem, "x y", softmax_init, name##_op_run);

#define SOFTMAX_BWD_OP(name)                                                                                         \
    static void name##_op_run(const fnn_op *op, void *const *buf, void *scratch, const fnn_team *team) {             \
        const softmax_problem *p = op->problem;                                                                      \
        const float *dy = buf[0], *y = buf[1];                                                                       \
        float *dx = buf[2];                                                                                          \
        int64_t lo, hi, width;                                                                                       \
        (void)scratch;                                                                                               \
        fnn_share(op->units, team->tid, team->n, &lo, &hi);                                                          \
        for (int64_t unit = lo; unit < hi; unit++) {                                                                 \
            const int64_t at = locate(p, unit, &width);                                                              \
            if (p->inner == 1)                                                                                       \
                op->k->name##_row(p->n, dy + at, y + at, dx + at);                                                   \
            else                                                                                                     \
                op->k->name##_cols(p->n, width, p->inner, dy + at, y + at, dx + at);                                 \
        }                                                                                                            \
    }                                                                                                                \
    FNN_OP_CLASS(name, softmax_problem, "dy y dx", softmax_init, name##_op_run);

SOFTMAX_OP(softmax)
SOFTMAX_OP(log_softmax)
SOFTMAX_BWD_OP(softmax_bwd)
SOFTMAX_BWD_OP(log_softmax_bwd)
