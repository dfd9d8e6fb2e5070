/* Optimizer steps. Every thread reads hyper-parameters and count, turns them into float factors once, and updates its
 * share; then one thread raises the count. */
#include <math.h>

#include "optim.h"

#define BLOCK_ELEMENTS 1024

/* ---- a step, ready to be applied ------------------------------------------------------------------------- */

/* hyper: lr, momentum, dampening, weight_decay */
static fnn_optim sgd_of(const double *hyper, double step) {
    return (fnn_optim){.lr = (float)hyper[0],
                       .momentum = (float)hyper[1],
                       .fresh = (float)(1.0 - hyper[2]),
                       .weight_decay = (float)hyper[3],
                       .first = step == 0.0};
}

/* hyper: lr, lr_decay, weight_decay, eps */
static fnn_optim adagrad_of(const double *hyper, double step) {
    return (fnn_optim){
        .lr = (float)(hyper[0] / (1.0 + step * hyper[1])), .weight_decay = (float)hyper[2], .eps = (float)hyper[3]};
}

/* hyper: lr, alpha, eps, weight_decay, momentum */
static fnn_optim rmsprop_of(const double *hyper) {
    return (fnn_optim){.lr = (float)hyper[0],
                       .alpha = (float)hyper[1],
                       .fresh = (float)(1.0 - hyper[1]),
                       .eps = (float)hyper[2],
                       .weight_decay = (float)hyper[3],
                       .momentum = (float)hyper[4]};
}

/* hyper: lr, beta1, beta2, eps, weight_decay */
static fnn_optim adam_of(const double *hyper, double step, int decoupled) {
    const double lr = hyper[0], beta1 = hyper[1], beta2 = hyper[2], decay = hyper[4];
    return (fnn_optim){.lr = (float)(lr / (1.0 - pow(beta1, step + 1.0))),
                       .root_scale = (float)(1.0 / sqrt(1.0 - pow(beta2, step + 1.0))),
                       .fresh = (float)(1.0 - beta1),
                       .beta2 = (float)beta2,
                       .fresh2 = (float)(1.0 - beta2),
                       .eps = (float)hyper[3],
                       .weight_decay = decoupled ? 0.0f : (float)decay,
                       .shrink = decoupled ? (float)(1.0 - lr * decay) : 1.0f};
}

fnn_update fnn_update_of(fnn_optimizer optimizer, int maximize, int variant, float *p, const float *step,
                         const double *hyper, void *const *state) {
    fnn_update u = {.optimizer = optimizer, .p = p, .state = {state[0]}};
    switch (optimizer) {
    case FNN_SGD:
        u.o = sgd_of(hyper, *step), u.o.nesterov = variant;
        if (hyper[1] == 0) u.state[0] = NULL;
        break;
    case FNN_ADAGRAD: u.o = adagrad_of(hyper, *step); break;
    case FNN_RMSPROP:
        u.o = rmsprop_of(hyper);
        u.state[1] = state[1], u.state[2] = hyper[4] > 0 ? state[2] : NULL;
        break;
    default: u.o = adam_of(hyper, *step, variant); u.state[1] = state[1], u.state[2] = state[2];
    }
    u.o.maximize = maximize;
    return u;
}

static float *offset(float *array, int64_t from) { return array ? array + from : NULL; }

void fnn_update_apply(const fnn_update *u, const fnn_kernels *kernels, int64_t from, int64_t n, const float *g) {
    float *p = u->p + from, *s0 = offset(u->state[0], from), *s1 = offset(u->state[1], from),
          *s2 = offset(u->state[2], from);
    switch (u->optimizer) {
    case FNN_SGD: kernels->opt_sgd(&u->o, n, p, g, s0); break;
    case FNN_ADAGRAD: kernels->opt_adagrad(&u->o, n, p, g, s0); break;
    case FNN_RMSPROP: kernels->opt_rmsprop(&u->o, n, p, g, s0, s1, s2); break;
    default: kernels->opt_adam(&u->o, n, p, g, s0, s1, s2);
    }
}

void fnn_update_count(float *step, const fnn_team *team) {
    fnn_team_wait(team);
    if (team->tid == 0) *step += 1.0f;
}

int fnn_optimizer_arrays(fnn_optimizer optimizer) { return optimizer == FNN_SGD ? 2 : 3; }

/* ---- ops: p, g, step, hyper, state ----------------------------------------------------------------------- */

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
    return plan_step(op, q->count, fnn_optimizer_arrays(FNN_ADAGRAD));
}
static fnn_status sgd_init(fnn_op *op) {
    const sgd_problem *q = op->problem;
    return plan_step(op, q->count, fnn_optimizer_arrays(FNN_SGD));
}
static fnn_status adam_init(fnn_op *op) {
    const adam_problem *q = op->problem;
    return plan_step(op, q->count, fnn_optimizer_arrays(FNN_ADAM));
}

/* Whole blocks of the parameter go to a thread. */
static void run_step(const fnn_op *op, fnn_optimizer optimizer, int64_t maximize, int64_t variant, int64_t count,
                     void *const *buf, const fnn_team *team) {
    int64_t lo, hi;
    fnn_share(op->units, team->tid, team->n, &lo, &hi);
    const int64_t from = lo * BLOCK_ELEMENTS, to = hi * BLOCK_ELEMENTS < count ? hi * BLOCK_ELEMENTS : count;
    const fnn_update u = fnn_update_of(optimizer, maximize != 0, variant != 0, buf[0], buf[2], buf[3], buf + 4);
    if (to > from) fnn_update_apply(&u, op->k, from, to - from, (const float *)buf[1] + from);
    fnn_update_count(buf[2], team);
}

static void sgd_run(const fnn_op *op, void *const *buf, void *scratch, const fnn_team *team) {
    const sgd_problem *q = op->problem;
    (void)scratch;
    run_step(op, FNN_SGD, q->maximize, q->nesterov, q->count, buf, team);
}

static void adagrad_run(const fnn_op *op, void *const *buf, void *scratch, const fnn_team *team) {
    const optim_problem *q = op->problem;
    (void)scratch;
    run_step(op, FNN_ADAGRAD, q->maximize, 0, q->count, buf, team);
}

static void rmsprop_run(const fnn_op *op, void *const *buf, void *scratch, const fnn_team *team) {
    const optim_problem *q = op->problem;
    (void)scratch;
    run_step(op, FNN_RMSPROP, q->maximize, 0, q->count, buf, team);
}

static void adam_run(const fnn_op *op, void *const *buf, void *scratch, const fnn_team *team) {
    const adam_problem *q = op->problem;
    (void)scratch;
    run_step(op, FNN_ADAM, q->maximize, q->decoupled, q->count, buf, team);
}

FNN_OP_CLASS(sgd_step, sgd_problem, "p g step hyper ?momentum_buffer", sgd_init, sgd_run);
FNN_OP_CLASS(adagrad_step, optim_problem, "p g step hyper state_sum", optim_init, adagrad_run);
FNN_OP_CLASS(rmsprop_step, optim_problem, "p g step hyper square_avg ?grad_avg ?momentum_buffer", optim_init,
             rmsprop_run);
FNN_OP_CLASS(adam_step, adam_problem, "p g step hyper exp_avg exp_avg_sq ?max_exp_avg_sq", adam_init, adam_run);
