/* The multiply-add peak of a level: independent chains in registers and nothing else. What benchmarks divide by. */
#ifndef FASTNN_KERNELS_PEAK_H
#define FASTNN_KERNELS_PEAK_H

#include "table.h"

/* Chains that hide the latency of two units (4 to 5 cycles each) and still fit the smallest register file. */
#define PEAK_CHAINS 12

static void fma_loop(int64_t iterations, float *sink) {
    vf acc[PEAK_CHAINS];
    const vf a = v_set1(0.999f), b = v_set1(1e-3f);
    for (int i = 0; i < PEAK_CHAINS; i++) acc[i] = v_set1((float)i);
    for (int64_t k = 0; k < iterations; k++) {
#pragma GCC unroll 12
        for (int i = 0; i < PEAK_CHAINS; i++) acc[i] = v_fma(acc[i], a, b);
    }
    vf total = v_zero();
    for (int i = 0; i < PEAK_CHAINS; i++) total = total + acc[i];
    *sink = v_sum(total);
}

#endif
