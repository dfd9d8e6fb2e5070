/* Random bits as a function of (seed, counter, stream, index): Philox-4x32-10, from J. Salmon, M. Moraes, R. Dror and
 * D. Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011. Nothing depends on threads or vector width. */
#ifndef FASTNN_KERNELS_RANDOM_H
#define FASTNN_KERNELS_RANDOM_H

#include "shuffle.h"

typedef struct philox_key {
    uint32_t seed_lo, seed_hi, stream, counter;
} philox_key;

/* The 4 * VL words of the counters first .. first + VL - 1, in the order counter by counter. */
static inline void philox_words(uint64_t first, philox_key key, uint32_t *words) {
    int32_t lo[VL], hi[VL];
    for (int i = 0; i < VL; i++) {
        lo[i] = (int32_t)(uint32_t)(first + (uint64_t)i);
        hi[i] = (int32_t)(uint32_t)((first + (uint64_t)i) >> 32);
    }
    vi c0, c1, c2 = (vi){0} + (int32_t)key.stream, c3 = (vi){0} + (int32_t)key.counter;
    memcpy(&c0, lo, sizeof c0);
    memcpy(&c1, hi, sizeof c1);
    uint32_t k0 = key.seed_lo, k1 = key.seed_hi;
    for (int round = 0; round < 10; round++) {
        vi hi0, lo0, hi1, lo1;
        v_mulwide(c0, 0xD2511F53u, &hi0, &lo0);
        v_mulwide(c2, 0xCD9E8D57u, &hi1, &lo1);
        c0 = hi1 ^ c1 ^ (int32_t)k0;
        c1 = lo1;
        c2 = hi0 ^ c3 ^ (int32_t)k1;
        c3 = lo0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    const vf even_lo = v_zip_lo(v_float(c0), v_float(c2)), even_hi = v_zip_hi(v_float(c0), v_float(c2));
    const vf odd_lo = v_zip_lo(v_float(c1), v_float(c3)), odd_hi = v_zip_hi(v_float(c1), v_float(c3));
    const vf out[4] = {v_zip_lo(even_lo, odd_lo), v_zip_hi(even_lo, odd_lo), v_zip_lo(even_hi, odd_hi),
                       v_zip_hi(even_hi, odd_hi)};
    memcpy(words, out, sizeof out);
}

/* factor[i] = scale where word `first + i` is at least threshold, else 0; a threshold of 2^32 drops everything. */
static void dropout_factors(int64_t first, int64_t n, const uint64_t *rng, uint32_t stream, uint64_t threshold,
                            float scale, float *factor) {
    const philox_key key = {(uint32_t)rng[0], (uint32_t)(rng[0] >> 32), stream, (uint32_t)rng[1]};
    const uint32_t last_dropped = (uint32_t)(threshold - 1);
    uint32_t words[4 * VL];
    if (threshold == 0 || threshold >> 32) {
        for (int64_t i = 0; i < n; i++) factor[i] = threshold == 0 ? scale : 0.0f;
        return;
    }
    for (int64_t i = 0; i < n;) {
        const int64_t counter = (first + i) / 4, skip = (first + i) % 4;
        philox_words((uint64_t)counter, key, words);
        const int64_t count = n - i < 4 * VL - skip ? n - i : 4 * VL - skip;
        for (int64_t j = 0; j < count; j++) factor[i + j] = words[skip + j] > last_dropped ? scale : 0.0f;
        i += count;
    }
}

/* x * factor, and 0 for factor 0 whatever x is. */
static inline vf v_dropped(vf x, vf factor) { return v_sel(v_lt(v_zero(), factor), x * factor, v_zero()); }

/* One row of factors for all rows. */
static void dropout_rows(int64_t rows, int64_t n, const float *x, const float *factor, float *y) {
    for (int64_t r = 0; r < rows; r++, x += n, y += n)
        for (int64_t i = 0; i < n; i += VL) {
            const int m = n - i < VL ? (int)(n - i) : VL;
            v_store_n(y + i, v_dropped(v_load_n(x + i, m), v_load_n(factor + i, m)), m);
        }
}

/* One factor for a run. */
static void dropout_run(int64_t n, const float *x, float factor, float *y) {
    for (int64_t i = 0; i < n; i += VL) {
        const int m = n - i < VL ? (int)(n - i) : VL;
        v_store_n(y + i, v_dropped(v_load_n(x + i, m), v_set1(factor)), m);
    }
}

#endif
