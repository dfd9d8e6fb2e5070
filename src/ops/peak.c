/* fma_peak: a loop of register multiply-adds on every thread, so that a benchmark can state its share of the peak. */
#include "../kernels/table.h"

#define PEAK_FIELDS(I, D, A, T) I(T, units) I(T, iterations)
FNN_PROBLEM(peak_problem, PEAK_FIELDS)

#define CHAINS 12 /* PEAK_CHAINS of kernels/peak.h */

static fnn_status peak_init(fnn_op *op) {
    const peak_problem *p = op->problem;
    if (p->units < 1 || p->iterations < 1)
        return fnn_fail(op, FNN_INVALID, "fma_peak: expected units and iterations >= 1, got %lld and %lld",
                        (long long)p->units, (long long)p->iterations);
    op->units = p->units;
    op->flops = 2.0 * CHAINS * op->k->vl * (double)p->iterations * (double)p->units;
    op->algorithm = "fma loop";
    return FNN_OK;
}

static void peak_run(const fnn_op *op, void *const *buf, void *scratch, const fnn_team *team) {
    const peak_problem *p = op->problem;
    float *y = buf[0];
    int64_t lo, hi;
    (void)scratch;
    fnn_share(p->units, team->tid, team->n, &lo, &hi);
    for (int64_t u = lo; u < hi; u++) op->k->fma_loop(p->iterations, y + u);
}

FNN_OP_CLASS(fma_peak, peak_problem, "y", peak_init, peak_run);
