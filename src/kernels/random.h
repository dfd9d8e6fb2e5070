/* Random bits as a function of (seed, counter, stream, index): Philox-4x32-10, from J. Salmon, M. Moraes, R. Dror and
 * D. Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011. Nothing depends on threads or vector width. */
#ifndef FASTNN_KERNELS_RANDOM_H
#define FASTNN_KERNELS_RANDOM_H

#include "math.h"
#include "shuffle.h"

typedef struct philox_key {
    uint32_t seed_lo, seed_hi, stream, counter;
} philox_key;

/* A counter's four words stand in the low halves of 64-bit lanes of four vectors, where products are made; the high
 * halves hold what is left of them. Sets of VL / 2 counters at a time, since the ten rounds of one are a chain of
 * latencies. */
#define PHILOX_SETS (VL == 16 ? 4 : 2)
#define PHILOX_WORDS (2 * VL * PHILOX_SETS)

typedef uint64_t philox_lanes __attribute__((vector_size(VL * 4)));
static inline vi philox_high(vi x) { return (vi)((philox_lanes)x >> 32); }
/* The low halves of a, then those of b. */
static inline vi philox_join(vi a, vi b) { return (vi)(((philox_lanes)a & 0xffffffffu) | ((philox_lanes)b << 32)); }

/* Counters first .. first + VL / 2: the first half of them in even 64-bit lanes, the others between them, so that
 * philox_store finds the words of four or fewer lanes in order. */
static inline void philox_counters(uint64_t first, vi *lo, vi *hi) {
    static const uint64_t order[8] = {0, VL / 4, 1, VL / 4 + 1, 2, VL / 4 + 2, 3, VL / 4 + 3};
    philox_lanes counter;
    memcpy(&counter, order, sizeof counter);
    counter += first;
    *lo = (vi)counter;
    *hi = philox_high((vi)counter);
}

/* Words of VL / 2 counters to memory, counter by counter. */
static inline void philox_store(vi c0, vi c1, vi c2, vi c3, uint32_t *words) {
    const vi front = philox_join(c0, c1), back = philox_join(c2, c3);
    const vi out[2] = {v_pair_lo(front, back), v_pair_hi(front, back)};
    memcpy(words, out, sizeof out);
}

/* The PHILOX_WORDS words of the counters from first on, in order. */
static inline void philox_words(uint64_t first, philox_key key, uint32_t *words) {
    vi c0[PHILOX_SETS], c1[PHILOX_SETS], c2[PHILOX_SETS], c3[PHILOX_SETS];
    for (int s = 0; s < PHILOX_SETS; s++) {
        philox_counters(first + (uint64_t)(s * VL / 2), &c0[s], &c1[s]);
        c2[s] = (vi){0} + (int32_t)key.stream;
        c3[s] = (vi){0} + (int32_t)key.counter;
    }
    uint32_t k0 = key.seed_lo, k1 = key.seed_hi;
#pragma GCC unroll 10
    for (int round = 0; round < 10; round++) {
        for (int s = 0; s < PHILOX_SETS; s++) {
            const vi p0 = v_mul_even(c0[s], 0xD2511F53u), p1 = v_mul_even(c2[s], 0xCD9E8D57u);
            c0[s] = v_xor3(philox_high(p1), c1[s], (vi){0} + (int32_t)k0);
            c1[s] = p1;
            c2[s] = v_xor3(philox_high(p0), c3[s], (vi){0} + (int32_t)k1);
            c3[s] = p0;
        }
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    for (int s = 0; s < PHILOX_SETS; s++) philox_store(c0[s], c1[s], c2[s], c3[s], words + 2 * VL * s);
}

/* factor[i] = scale where word `first + i` is at least threshold, else 0; a threshold of 2^32 drops everything. */
static void dropout_factors(int64_t first, int64_t n, const uint64_t *rng, uint32_t stream, uint64_t threshold,
                            float scale, float *factor) {
    const philox_key key = {(uint32_t)rng[0], (uint32_t)(rng[0] >> 32), stream, (uint32_t)rng[1]};
    const uint32_t last_dropped = (uint32_t)(threshold - 1);
    const vi limit = ((vi){0} + (int32_t)last_dropped) ^ SIGN_BIT;
    uint32_t words[PHILOX_WORDS];
    if (threshold == 0 || threshold >> 32) {
        for (int64_t i = 0; i < n; i++) factor[i] = threshold == 0 ? scale : 0.0f;
        return;
    }
    for (int64_t i = 0; i < n;) {
        const int64_t counter = (first + i) / 4, skip = (first + i) % 4;
        philox_words((uint64_t)counter, key, words);
        if (skip == 0 && n - i >= PHILOX_WORDS) { /* unsigned order, by flipping the sign bits */
            for (int k = 0; k < PHILOX_WORDS / VL; k++, i += VL) {
                vi word;
                memcpy(&word, words + k * VL, sizeof word);
                v_store(factor + i, v_float(((word ^ SIGN_BIT) > limit) & v_bits(v_set1(scale))));
            }
            continue;
        }
        const int64_t count = n - i < PHILOX_WORDS - skip ? n - i : PHILOX_WORDS - skip;
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
