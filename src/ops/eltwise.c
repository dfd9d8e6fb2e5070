/* Elementwise operations with one data operand: y = f(x) and dx = f'(dy, x or y), over n elements of one layout. */
#include "../kernels/table.h"
#include "nest.h"
#include "past.h"

/* a, b: the numbers of the operation (slope; bounds; scale and shift ...), 0 where it has none. */
#define ELTWISE_FIELDS(I, D, A, T) I(T, n) D(T, a) D(T, b)
FNN_PROBLEM(eltwise_problem, ELTWISE_FIELDS)

static fnn_status eltwise_init(fnn_op *op, double cost, int reads) {
    const eltwise_problem *p = op->problem;
    if (p->n < 0)
        return fnn_fail(op, FNN_INVALID, "%s: expected at least 0 elements, got %lld", op->cls->name,
                        (long long)p->n);
    op->units = fnn_spans(p->n);
    op->flops = cost * (double)p->n;
    op->bytes = 4.0 * (reads + 1) * (double)p->n;
    op->algorithm = "elementwise";
    return FNN_OK;
}

#define FNN_UNARY(name, cost)                                                                                        \
    static fnn_status name##_op_init(fnn_op *op) { return eltwise_init(op, cost, 1); }                               \
    static void name##_op_run(const fnn_op *op, void *const *buf, void *scratch, const fnn_team *team) {             \
        const eltwise_problem *p = op->problem;                                                                      \
        const float *x = buf[0];                                                                                     \
        float *y = buf[1];                                                                                           \
        int64_t lo, hi;                                                                                              \
        (void)scratch;                                                                                               \
        fnn_share_spans(p->n, team, &lo, &hi);                                                                       \
        if (FNN_ELT_STREAMS(cost, 1) && x != y) {                                                                    \
            FNN_PAST_ITSELF(op->k, p->n, lo, hi, y, op->k->elt_##name(n, x + at, y + at, p->a, p->b, past));         \
            return;                                                                                                  \
        }                                                                                                            \
        FNN_IN_PIECES(op->k, p->n, lo, hi, FNN_PIECE_OF(cost), y, x == y,                                            \
                      op->k->elt_##name(n, x + at, to, p->a, p->b, 0));                                              \
    }                                                                                                                \
    FNN_OP_CLASS(name, eltwise_problem, "x y", name##_op_init, name##_op_run);

#define FNN_UNARY_BWD(name, cost)                                                                                    \
    static fnn_status name##_op_init(fnn_op *op) { return eltwise_init(op, cost, 2); }                               \
    static void name##_op_run(const fnn_op *op, void *const *buf, void *scratch, const fnn_team *team) {             \
        const eltwise_problem *p = op->problem;                                                                      \
        const float *dy = buf[0], *x = buf[1];                                                                       \
        float *dx = buf[2];                                                                                          \
        int64_t lo, hi;                                                                                              \
        (void)scratch;                                                                                               \
        fnn_share_spans(p->n, team, &lo, &hi);                                                                       \
        if (FNN_ELT_STREAMS(cost, 2) && x != dx && dy != dx) {                                                       \
            FNN_PAST_ITSELF(op->k, p->n, lo, hi, dx,                                                                 \
                            op->k->elt_##name(n, dy + at, x + at, dx + at, p->a, p->b, past));                       \
            return;                                                                                                  \
        }                                                                                                            \
        FNN_IN_PIECES(op->k, p->n, lo, hi, FNN_PIECE_OF(cost), dx, x == dx || dy == dx,                              \
                      op->k->elt_##name(n, dy + at, x + at, to, p->a, p->b, 0));                                     \
    }                                                                                                                \
    FNN_OP_CLASS(name, eltwise_problem, "dy x dx", name##_op_init, name##_op_run);

#define FNN_UNARY_OWN(name, cost) FNN_UNARY(name, cost)
#define FNN_UNARY_BWD_OWN(name, cost) FNN_UNARY_BWD(name, cost)
#include "../kernels/eltwise.inc"
