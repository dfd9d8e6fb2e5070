/* What benchmarks divide by: the multiply-add peak of a level (independent chains in registers and nothing else), and
 * the bandwidth of a pass over arrays (one addition an element). */
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

#define STREAM_STEP 8 /* vectors of each array at a time */

/* Adds up what is read and puts the sum into every array that is written; returns a sum that depends on all reads.
 * What is read is asked for FNN_SOON ahead, which pays past the caches. */
static inline float stream_vectors(const fnn_stream *s, int64_t from, int64_t to, int past) {
    const int updated = s->reads + s->updates, all = updated + s->writes;
    vf total = v_zero();
    for (int64_t i = from; i + STREAM_STEP * VL <= to; i += STREAM_STEP * VL) {
        vf sum[STREAM_STEP];
        for (int v = 0; v < STREAM_STEP; v++) sum[v] = v_zero();
        for (int a = 0; a < updated; a++) {
            const float *p = s->array[a] + i;
            for (int j = 0; j < STREAM_STEP * VL; j += FNN_LINE) v_soon(p + FNN_SOON + j);
            for (int v = 0; v < STREAM_STEP; v++) sum[v] = sum[v] + v_load(p + v * VL);
            if (a < s->reads) continue;
            for (int v = 0; v < STREAM_STEP; v++) v_store(s->array[a] + i + v * VL, sum[v]);
        }
        for (int a = updated; a < all; a++)
            for (int v = 0; v < STREAM_STEP; v++)
                if (past)
                    v_stream(s->array[a] + i + v * VL, sum[v]);
                else
                    v_store(s->array[a] + i + v * VL, sum[v]);
        for (int v = 0; v < STREAM_STEP; v++) total = total + sum[v];
    }
    return v_sum(total);
}

/* Elements [from, to), whole steps of STREAM_STEP vectors; the arrays stand at whole cache lines. */
static float stream_pass(const fnn_stream *s, int64_t from, int64_t to) {
    if (!s->past) return stream_vectors(s, from, to, 0);
    const float total = stream_vectors(s, from, to, 1);
    v_stream_end();
    return total;
}

#endif
