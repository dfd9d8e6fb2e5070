/* Optimizers: one pass over a parameter, its gradient and its state, in PyTorch's order of operations. */
#ifndef FASTNN_KERNELS_OPTIM_H
#define FASTNN_KERNELS_OPTIM_H

#include "optim_sgd.h"

/* a + weight (b - a), from the nearer end. */
static inline vf opt_mix(vf a, vf b, float weight) {
    return weight < 0.5f ? v_fma(b - a, v_set1(weight), a) : v_fma(b - a, v_set1(weight - 1.0f), b);
}

static void opt_adagrad(const fnn_optim *o, int64_t count, float *p, const float *g, float *state_sum) {
    for (int64_t j = 0; j < count; j += VL) {
        const int n = opt_lanes(j, count);
        const vf value = opt_load(p + j, n), d = opt_gradient(o, value, g + j, n);
        const vf sum = v_fma(d, d, opt_load(state_sum + j, n));
        opt_store(state_sum + j, sum, n);
        opt_store(p + j, v_fma(d / (v_sqrt(sum) + o->eps), v_set1(-o->lr), value), n);
    }
}

static void opt_rmsprop(const fnn_optim *o, int64_t count, float *p, const float *g, float *square_avg,
                        float *grad_avg, float *buffer) {
    for (int64_t j = 0; j < count; j += VL) {
        const int n = opt_lanes(j, count);
        const vf value = opt_load(p + j, n), d = opt_gradient(o, value, g + j, n);
        vf average = v_fma(opt_load(square_avg + j, n), v_set1(o->alpha), d * d * o->fresh);
        opt_store(square_avg + j, average, n);
        if (grad_avg) {
            const vf centre = opt_mix(opt_load(grad_avg + j, n), d, o->fresh);
            opt_store(grad_avg + j, centre, n);
            average = v_fma(-centre, centre, average);
        }
        vf update = d / (v_sqrt(average) + o->eps);
        if (buffer) {
            update = v_fma(opt_load(buffer + j, n), v_set1(o->momentum), update);
            opt_store(buffer + j, update, n);
        }
        opt_store(p + j, v_fma(update, v_set1(-o->lr), value), n);
    }
}

/* lr is already divided by the first moment's bias correction; root_scale divides by the second's square root. */
static void opt_adam(const fnn_optim *o, int64_t count, float *p, const float *g, float *mean, float *square,
                     float *largest) {
    for (int64_t j = 0; j < count; j += VL) {
        const int n = opt_lanes(j, count);
        vf value = opt_load(p + j, n);
        const vf d = opt_gradient(o, value, g + j, n);
        if (o->shrink != 1.0f) value *= o->shrink;
        const vf m = opt_mix(opt_load(mean + j, n), d, o->fresh);
        vf v = v_fma(opt_load(square + j, n), v_set1(o->beta2), d * d * o->fresh2);
        opt_store(mean + j, m, n);
        opt_store(square + j, v, n);
        if (largest) {
            const vf before = opt_load(largest + j, n);
            v = v_sel(v_ordered(before, before), v_max(before, v), before); /* NaN stays, whichever has it */
            opt_store(largest + j, v, n);
        }
        const vf root = v_fma(v_sqrt(v), v_set1(o->root_scale), v_set1(o->eps));
        opt_store(p + j, v_fma(m / root, v_set1(-o->lr), value), n);
    }
}

#endif
