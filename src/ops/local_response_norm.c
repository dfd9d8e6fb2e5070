/* Local response normalisation of channels-last pixels, forward and backward. */
#include "../kernels/table.h"

#define BLOCK_ELEMENTS 4096

#define LRN_FIELDS(I, D, A, T) I(T, pixels) I(T, c) I(T, size) D(T, alpha) D(T, beta) D(T, k)
FNN_PROBLEM(lrn_problem, LRN_FIELDS)

static int64_t block_pixels(int64_t c) { return c < BLOCK_ELEMENTS ? BLOCK_ELEMENTS / c : 1; }

static fnn_status lrn_init(fnn_op *op) {
    const lrn_problem *q = op->problem;
    const double elements = (double)q->pixels * (double)q->c;
    if (q->pixels < 0 || q->c < 0 || q->size < 1) {
        return fnn_fail(op, FNN_INVALID, "expected pixels and channels >= 0 and size >= 1, got %lld, %lld and %lld",
                        (long long)q->pixels, (long long)q->c, (long long)q->size);
    }
    const int64_t block = q->c > 0 ? block_pixels(q->c) : 1;
    op->units = q->c > 0 ? (q->pixels + block - 1) / block : 0;
    op->scratch_thread = 2 * sizeof(float) * (size_t)(q->c + q->size + op->k->vl);
    op->flops = elements * (double)(q->size + 20);
    op->bytes = 12.0 * elements;
    op->algorithm = "channel windows";
    return FNN_OK;
}

static fnn_lrn description(const lrn_problem *q) { return (fnn_lrn){q->c, q->size, q->alpha, q->beta, q->k}; }

static int64_t pixels_of(const lrn_problem *q, int64_t block, int64_t *first) {
    *first = block * block_pixels(q->c);
    return q->pixels - *first < block_pixels(q->c) ? q->pixels - *first : block_pixels(q->c);
}

static void lrn_run(const fnn_op *op, void *const *buf, void *scratch, const fnn_team *team) {
    const lrn_problem *q = op->problem;
    const fnn_lrn p = description(q);
    int64_t lo, hi, first;
    fnn_share(op->units, team->tid, team->n, &lo, &hi);
    for (int64_t block = lo; block < hi; block++) {
        const int64_t n = pixels_of(q, block, &first);
        op->k->lrn_pixels(&p, (const float *)buf[0] + first * q->c, n, (float *)buf[1] + first * q->c,
                          fnn_thread_scratch(op, scratch, team->tid));
    }
}

static void lrn_bwd_run(const fnn_op *op, void *const *buf, void *scratch, const fnn_team *team) {
    const lrn_problem *q = op->problem;
    const fnn_lrn p = description(q);
    int64_t lo, hi, first;
    fnn_share(op->units, team->tid, team->n, &lo, &hi);
    for (int64_t block = lo; block < hi; block++) {
        const int64_t n = pixels_of(q, block, &first), at = first * q->c;
        op->k->lrn_bwd_pixels(&p, (const float *)buf[0] + at, (const float *)buf[1] + at, n, (float *)buf[2] + at,
                              fnn_thread_scratch(op, scratch, team->tid));
    }
}

FNN_OP_CLASS(local_response_norm, lrn_problem, "x y", lrn_init, lrn_run);
FNN_OP_CLASS(local_response_norm_bwd, lrn_problem, "dy x dx", lrn_init, lrn_bwd_run);
