/* What a training step asks of its values: whether they are finite, and the coefficient that clips their norm. */
#include <math.h>

#include "../kernels/table.h"

#define COUNT_FIELDS(I, D, A, T) I(T, n)
FNN_PROBLEM(count_problem, COUNT_FIELDS)

#define BLOCK 16384

static fnn_status check_finite_init(fnn_op *op) {
    const count_problem *p = op->problem;
    if (p->n < 0)
        return fnn_fail(op, FNN_INVALID, "check_finite: expected at least 0 elements, got %lld", (long long)p->n);
    op->units = (p->n + BLOCK - 1) / BLOCK;
    op->scratch_shared = (size_t)op->units;
    op->flops = (double)p->n;
    op->bytes = 4.0 * (double)p->n;
    op->algorithm = "elementwise";
    return FNN_OK;
}

static void check_finite_run(const fnn_op *op, void *const *buf, void *scratch, const fnn_team *team) {
    const count_problem *p = op->problem;
    const float *x = buf[0];
    int32_t *flag = buf[1];
    unsigned char *bad = scratch;
    int64_t lo, hi;
    fnn_share(op->units, team->tid, team->n, &lo, &hi);
    for (int64_t unit = lo; unit < hi; unit++) {
        const int64_t left = p->n - unit * BLOCK;
        bad[unit] = !op->k->all_finite(left < BLOCK ? left : BLOCK, x + unit * BLOCK);
    }
    fnn_team_wait(team);
    if (team->tid != 0) return;
    *flag = 0;
    for (int64_t unit = 0; unit < op->units; unit++) *flag |= bad[unit];
}

FNN_OP_CLASS(check_finite, count_problem, "x flag", check_finite_init, check_finite_run);

#define CLIP_FIELDS(I, D, A, T) D(T, max_norm)
FNN_PROBLEM(clip_problem, CLIP_FIELDS)

#define MOST_SCALARS 8

static fnn_status add_scalars_init(fnn_op *op) {
    const count_problem *p = op->problem;
    if (p->n < 1 || p->n > MOST_SCALARS)
        return fnn_fail(op, FNN_INVALID, "add_scalars: expected 1 to %d scalars, got %lld", MOST_SCALARS,
                        (long long)p->n);
    op->algorithm = "scalar";
    return FNN_OK;
}

/* y = carry + x0 + ... for the first n; carry, if there is one, may be y. */
static void add_scalars_run(const fnn_op *op, void *const *buf, void *scratch, const fnn_team *team) {
    const count_problem *p = op->problem;
    double sum = buf[0] ? *(const float *)buf[0] : 0;
    (void)scratch, (void)team;
    for (int64_t i = 0; i < p->n; i++) sum += *(const float *)buf[1 + i];
    *(float *)buf[1 + MOST_SCALARS] = (float)sum;
}

FNN_OP_CLASS(add_scalars, count_problem, "?carry x0 ?x1 ?x2 ?x3 ?x4 ?x5 ?x6 ?x7 y", add_scalars_init,
             add_scalars_run);

static fnn_status clip_coef_init(fnn_op *op) {
    const clip_problem *p = op->problem;
    if (!(p->max_norm >= 0))
        return fnn_fail(op, FNN_INVALID, "clip_coef: expected max_norm of at least 0, got %g", p->max_norm);
    op->algorithm = "scalar";
    return FNN_OK;
}

/* norm may be the same memory as squares. A NaN norm makes a NaN coefficient. */
static void clip_coef_run(const fnn_op *op, void *const *buf, void *scratch, const fnn_team *team) {
    const clip_problem *p = op->problem;
    const double norm = sqrt((double)*(const float *)buf[0]), coef = p->max_norm / (norm + 1e-6);
    (void)scratch, (void)team;
    *(float *)buf[1] = (float)(coef > 1.0 ? 1.0 : coef);
    *(float *)buf[2] = (float)norm;
}

FNN_OP_CLASS(clip_coef, clip_problem, "squares coef norm", clip_coef_init, clip_coef_run);
