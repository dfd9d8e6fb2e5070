/* One step of an optimizer on one parameter, made ready once and then applied to any range of its elements. */
#ifndef FASTNN_OPS_OPTIM_H
#define FASTNN_OPS_OPTIM_H

#include "../kernels/table.h"

typedef enum { FNN_SGD, FNN_ADAGRAD, FNN_RMSPROP, FNN_ADAM, FNN_OPTIMIZERS } fnn_optimizer;

typedef struct fnn_update {
    fnn_optim o;
    fnn_optimizer optimizer;
    float *p, *state[3];
} fnn_update;

/* step counts the steps done before this one; hyper holds run-time scalars in double, state the arrays in the order of
 * the optimizer's op. variant: nesterov (SGD), decoupled (Adam). */
fnn_update fnn_update_of(fnn_optimizer optimizer, int maximize, int variant, float *p, const float *step,
                         const double *hyper, void *const *state);

/* Elements [from, from + n) of the parameter and its state, by their gradient g. */
void fnn_update_apply(const fnn_update *u, const fnn_kernels *kernels, int64_t from, int64_t n, const float *g);

/* The last thing of a step, which counts it: no thread may still need the old count. */
void fnn_update_count(float *step, const fnn_team *team);

int fnn_optimizer_arrays(fnn_optimizer optimizer); /* that a step reads and writes, the parameter among them */

#endif
