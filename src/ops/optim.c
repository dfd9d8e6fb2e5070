/* Optimizer steps. hyper holds run-time scalars in double; step counts the steps done before this one. Every thread
 * reads both, turns them into float factors once, and updates its share; then one thread raises step. */
#include <math.h>

#include "../kernels/table.h"

#define BLOCK_ELEMENTS 1024

#define OPTIM_FIELDS(I, D, A, T) I(T, count) I(T, maximize)
FNN_PROBLEM(optim_problem, OPTIM_FIELDS)

#define SGD_FIELDS(I, D, A, T) OPTIM_FIELDS(I, D, A, T) I(T, nesterov)
FNN_PROBLEM(sgd_problem, SGD_FIELDS)

#define ADAM_FIELDS(I, D, A, T) OPTIM_FIELDS(I, D, A, T) I(T, decoupled)
FNN_PROBLEM(adam_problem, ADAM_FIELDS)

static fnn_status plan_step(fnn_op *op, int64_t count, int arrays) {
    if (count < 0) return fnn_fail(op, FNN_INVALID, "expected count >= 0, got %lld", (long long)count);
    const int64_t blocks = (count + BLOCK_ELEMENTS - 1) / BLOCK_ELEMENTS;
    op->units = blocks > 0 ? blocks : 1;
    op->flops = 4.0 * arrays * (double)count;
    op->bytes = 8.0 * arrays * (double)count;
    op->algorithm = "one pass";
    return FNN_OK;
}

static fnn_status optim_init(fnn_op *op) {
    const optim_problem *q = op->problem;
    return plan_step(op, q->count, 3);
}
static fnn_status sgd_init(fnn_op *op) {
    const sgd_problem *q = op->problem;
    return plan_step(op, q->count, 2);
}
static fnn_status adam_init(fnn_op *op) {
    const adam_problem *q = op->problem;
    return plan_step(op, q->count, 3);
}

/* Elements [*from, *from + n) of this thread, whole blocks of the parameter; returns n. */
static int64_t own_elements(const fnn_op *op, int64_t count, const fnn_team *team, int64_t *from) {
    int64_t lo, hi;
    fnn_share(op->units, team->tid, team->n, &lo, &hi);
    *from = lo * BLOCK_ELEMENTS;
    const int64_t to = hi * BLOCK_ELEMENTS < count ? hi * BLOCK_ELEMENTS : count;
    return to > *from ? to - *from : 0;
}

/* No thread may still need the old count. */
static void raise_step(float *step, const fnn_team *team) {
    fnn_team_wait(team);
    if (team->tid == 0) *step += 1.0f;
}

static float *offset(void *array, int64_t from) { return array ? (float *)array + from : NULL; }

/* hyper: lr, momentum, dampening, weight_decay */
static void sgd_run(const fnn_op *op, void *const *buf, void *scratch, const fnn_team *team) {
    const sgd_problem *q = op->problem;
    const double *hyper = buf[3];
    int64_t from;
    const int64_t n = own_elements(op, q->count, team, &from);
    const fnn_optim o = {.lr = (float)hyper[0],
                         .momentum = (float)hyper[1],
                         .fresh = (float)(1.0 - hyper[2]),
                         .weight_decay = (float)hyper[3],
                         .maximize = q->maximize != 0,
                         .nesterov = q->nesterov != 0,
                         .first = *(const float *)buf[2] == 0.0f};
    (void)scratch;
    op->k->opt_sgd(&o, n, offset(buf[0], from), offset(buf[1], from), hyper[1] != 0 ? offset(buf[4], from) : NULL);
    raise_step(buf[2], team);
}

/* hyper: lr, lr_decay, weight_decay, eps */
static void adagrad_run(const fnn_op *op, void *const *buf, void *scratch, const fnn_team *team) {
    const optim_problem *q = op->problem;
    const double *hyper = buf[3], step = (double)*(const float *)buf[2];
    int64_t from;
    const int64_t n = own_elements(op, q->count, team, &from);
    const fnn_optim o = {.lr = (float)(hyper[0] / (1.0 + step * hyper[1])),
                         .weight_decay = (float)hyper[2],
                         .eps = (float)hyper[3],
                         .maximize = q->maximize != 0};
    (void)scratch;
    op->k->opt_adagrad(&o, n, offset(buf[0], from), offset(buf[1], from), offset(buf[4], from));
    raise_step(buf[2], team);
}

/* hyper: lr, alpha, eps, weight_decay, momentum */
static void rmsprop_run(const fnn_op *op, void *const *buf, void *scratch, const fnn_team *team) {
    const optim_problem *q = op->problem;
    const double *hyper = buf[3];
    int64_t from;
    const int64_t n = own_elements(op, q->count, team, &from);
    const fnn_optim o = {.lr = (float)hyper[0],
                         .alpha = (float)hyper[1],
                         .fresh = (float)(1.0 - hyper[1]),
                         .eps = (float)hyper[2],
                         .weight_decay = (float)hyper[3],
                         .momentum = (float)hyper[4],
                         .maximize = q->maximize != 0};
    (void)scratch;
    op->k->opt_rmsprop(&o, n, offset(buf[0], from), offset(buf[1], from), offset(buf[4], from), offset(buf[5], from),
                       hyper[4] > 0 ? offset(buf[6], from) : NULL);
    raise_step(buf[2], team);
}

/* hyper: lr, beta1, beta2, eps, weight_decay */
static void adam_run(const fnn_op *op, void *const *buf, void *scratch, const fnn_team *team) {
    const adam_problem *q = op->problem;
    const double *hyper = buf[3], step = (double)*(const float *)buf[2] + 1.0;
    const double lr = hyper[0], beta1 = hyper[1], beta2 = hyper[2], decay = hyper[4];
    int64_t from;
    const int64_t n = own_elements(op, q->count, team, &from);
    const fnn_optim o = {.lr = (float)(lr / (1.0 - pow(beta1, step))),
                         .root_scale = (float)(1.0 / sqrt(1.0 - pow(beta2, step))),
                         .fresh = (float)(1.0 - beta1),
                         .beta2 = (float)beta2,
                         .fresh2 = (float)(1.0 - beta2),
                         .eps = (float)hyper[3],
                         .weight_decay = q->decoupled ? 0.0f : (float)decay,
                         .shrink = q->decoupled ? (float)(1.0 - lr * decay) : 1.0f,
                         .maximize = q->maximize != 0};
    (void)scratch;
    op->k->opt_adam(&o, n, offset(buf[0], from), offset(buf[1], from), offset(buf[4], from), offset(buf[5], from),
                    offset(buf[6], from));
    raise_step(buf[2], team);
}

FNN_OP_CLASS(sgd_step, sgd_problem, "p g step hyper ?momentum_buffer", sgd_init, sgd_run);
FNN_OP_CLASS(adagrad_step, optim_problem, "p g step hyper state_sum", optim_init, adagrad_run);
FNN_OP_CLASS(rmsprop_step, optim_problem, "p g step hyper square_avg ?grad_avg ?momentum_buffer", optim_init,
             rmsprop_run);
FNN_OP_CLASS(adam_step, adam_problem, "p g step hyper exp_avg exp_avg_sq ?max_exp_avg_sq", adam_init, adam_run);
