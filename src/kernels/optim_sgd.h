/* SGD's step, alone or at the end of the tile that makes the gradient. */
#ifndef FASTNN_KERNELS_OPTIM_SGD_H
#define FASTNN_KERNELS_OPTIM_SGD_H

#include "types.h"

static inline vf opt_load(const float *p, int n) {
    v_soon(p + FNN_SOON);
    return n == VL ? v_load(p) : v_load_n(p, n);
}
static inline void opt_store(float *p, vf x, int n) {
    if (n == VL)
        v_store(p, x);
    else
        v_store_n(p, x, n);
}
static inline int opt_lanes(int64_t j, int64_t n) { return n - j < VL ? (int)(n - j) : VL; }

/* The gradient with its sign and the weight's share. */
static inline vf opt_gradient(const fnn_optim *o, vf p, const float *g, int n) {
    const vf gradient = o->maximize ? -opt_load(g, n) : opt_load(g, n);
    return o->weight_decay != 0.0f ? v_fma(p, v_set1(o->weight_decay), gradient) : gradient;
}

/* The momentum after a gradient d. */
static inline vf opt_momentum(vf b, vf d, vf momentum, vf fresh) { return v_fma(b, momentum, d * fresh); }

static void opt_sgd(const fnn_optim *o, int64_t count, float *p, const float *g, float *buffer) {
    for (int64_t j = 0; j < count; j += VL) {
        const int n = opt_lanes(j, count);
        const vf value = opt_load(p + j, n);
        vf d = opt_gradient(o, value, g + j, n);
        if (buffer) {
            vf b = d;
            if (!o->first) b = opt_momentum(opt_load(buffer + j, n), d, v_set1(o->momentum), v_set1(o->fresh));
            opt_store(buffer + j, b, n);
            d = o->nesterov ? v_fma(b, v_set1(o->momentum), d) : b;
        }
        opt_store(p + j, v_fma(d, v_set1(-o->lr), value), n);
    }
}

#endif
