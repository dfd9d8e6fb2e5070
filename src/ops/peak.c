/* What benchmarks divide by. fma_peak: a loop of register multiply-adds on every thread. stream: one pass over arrays,
 * some read, some updated in place, some written. */
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

/* ---- stream --------------------------------------------------------------------------------------------- */

/* elements: of each array, a multiple of 128. past: what is only written goes past the caches. */
#define STREAM_FIELDS(I, D, A, T) I(T, elements) I(T, reads) I(T, updates) I(T, writes) I(T, past)
FNN_PROBLEM(stream_problem, STREAM_FIELDS)

#define STREAM_UNIT 128 /* elements of one step of the widest level */

static fnn_status stream_init(fnn_op *op) {
    const stream_problem *p = op->problem;
    const int64_t arrays = p->reads + p->updates + p->writes;
    if (p->elements < 0 || p->elements % STREAM_UNIT != 0)
        return fnn_fail(op, FNN_INVALID, "stream: expected a multiple of %d elements, got %lld", STREAM_UNIT,
                        (long long)p->elements);
    if (p->reads < 0 || p->updates < 0 || p->writes < 0 || arrays < 1 || arrays > FNN_STREAM_ARRAYS)
        return fnn_fail(op, FNN_INVALID, "stream: expected 1 to %d arrays, got %lld", FNN_STREAM_ARRAYS,
                        (long long)arrays);
    op->units = p->elements / STREAM_UNIT;
    op->scratch_thread = sizeof(float);
    op->bytes = 4.0 * (double)(arrays + p->updates) * (double)p->elements;
    op->algorithm = p->past ? "past the caches" : "through the caches";
    return FNN_OK;
}

static void stream_run(const fnn_op *op, void *const *buf, void *scratch, const fnn_team *team) {
    const stream_problem *p = op->problem;
    fnn_stream s = {
        .reads = (int)p->reads, .updates = (int)p->updates, .writes = (int)p->writes, .past = p->past != 0};
    int64_t lo, hi;
    for (int i = 0; i < FNN_STREAM_ARRAYS; i++) s.array[i] = buf[i];
    fnn_share(op->units, team->tid, team->n, &lo, &hi);
    *(float *)fnn_thread_scratch(op, scratch, team->tid) = op->k->stream_pass(&s, lo * STREAM_UNIT, hi * STREAM_UNIT);
}

FNN_OP_CLASS(stream, stream_problem, "a0 ?a1 ?a2 ?a3 ?a4 ?a5 ?a6 ?a7", stream_init, stream_run);
