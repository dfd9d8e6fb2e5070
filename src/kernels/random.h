/* Random bits as a function of (seed, counter, stream, index): Philox-4x32 of seven rounds, the fewest that pass all
 * of BigCrush, from J. Salmon, M. Moraes, R. Dror and D. Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC
 * 2011. Nothing depends on threads or vector width.
 *
 * A word decides for two elements: as it is, and with its halves exchanged. Either way all its 32 bits are
 * compared, so each element is dropped with its exact probability; only where the upper halves tie, once in 2^16, do
 * the two know of each other. Of 32 elements the first 16 have 16 words as they are, the others the same words
 * exchanged. */
#ifndef FASTNN_KERNELS_RANDOM_H
#define FASTNN_KERNELS_RANDOM_H

#include "math.h"
#include "shuffle.h"

/* A counter's four words stand in the low halves of 64-bit lanes of four vectors, where products are made; the high
 * halves hold what is left of them. Sets of VL / 2 counters at a time, since the rounds of one are a chain of
 * latencies. */
#define PHILOX_SETS (VL == 16 ? 4 : 2)
#define PHILOX_WORDS (2 * VL * PHILOX_SETS)
#define DRAWN_TOGETHER 32
#define PHILOX_DRAWS (2 * PHILOX_WORDS)
_Static_assert(PHILOX_DRAWS % DRAWN_TOGETHER == 0 && DRAWN_TOGETHER / 2 % VL == 0, "whole vectors, whole groups");
#define DROPOUT_SOON 1024 /* floats ahead: it computes for long enough */

/* In every 64-bit lane: the high half of x, twice; the low half of a, then that of b. */
static inline vi philox_high(vi x) { return v_odd(x); }
static inline vi philox_join(vi a, vi b) { return v_even_pairs(a, b); }

/* Counters first .. first + VL / 2: the first half of them in even 64-bit lanes, the others between them, so that
 * philox_store finds the words of four or fewer lanes in order. */
typedef uint64_t philox_lanes __attribute__((vector_size(VL * 4)));
static inline void philox_counters(uint64_t first, vi *lo, vi *hi) {
    static const uint64_t order[8] = {0, VL / 4, 1, VL / 4 + 1, 2, VL / 4 + 2, 3, VL / 4 + 3};
    philox_lanes counter;
    memcpy(&counter, order, sizeof counter);
    counter += first;
    *lo = (vi)counter;
    *hi = philox_high((vi)counter);
}

/* The keys of the rounds. */
#define PHILOX_ROUNDS 7
typedef struct philox_schedule {
    uint32_t stream, counter, k0[PHILOX_ROUNDS], k1[PHILOX_ROUNDS];
} philox_schedule;

static inline void philox_schedule_init(philox_schedule *s, const uint64_t *rng, uint32_t stream) {
    s->stream = stream, s->counter = (uint32_t)rng[1];
    for (uint32_t round = 0; round < PHILOX_ROUNDS; round++) {
        s->k0[round] = (uint32_t)rng[0] + round * 0x9E3779B9u;
        s->k1[round] = (uint32_t)(rng[0] >> 32) + round * 0xBB67AE85u;
    }
}

/* The PHILOX_WORDS words of the counters from first on, in order. */
static inline __attribute__((always_inline)) void philox_words(uint64_t first, const philox_schedule *key,
                                                               vi words[2 * PHILOX_SETS]) {
    vi c0[PHILOX_SETS], c1[PHILOX_SETS], c2[PHILOX_SETS], c3[PHILOX_SETS];
    for (int s = 0; s < PHILOX_SETS; s++) {
        philox_counters(first + (uint64_t)(s * VL / 2), &c0[s], &c1[s]);
        c2[s] = (vi){0} + (int32_t)key->stream;
        c3[s] = (vi){0} + (int32_t)key->counter;
    }
#pragma GCC unroll 7
    for (int round = 0; round < PHILOX_ROUNDS; round++) {
        const vi k0 = (vi){0} + (int32_t)key->k0[round], k1 = (vi){0} + (int32_t)key->k1[round];
        for (int s = 0; s < PHILOX_SETS; s++) {
            const vi p0 = v_mul_even(c0[s], 0xD2511F53u), p1 = v_mul_even(c2[s], 0xCD9E8D57u);
            c0[s] = v_xor3(philox_high(p1), c1[s], k0);
            c1[s] = p1;
            c2[s] = v_xor3(philox_high(p0), c3[s], k1);
            c3[s] = p0;
        }
    }
    for (int s = 0; s < PHILOX_SETS; s++) {
        const vi front = philox_join(c0[s], c1[s]), back = philox_join(c2[s], c3[s]);
        words[2 * s] = v_pair_lo(front, back), words[2 * s + 1] = v_pair_hi(front, back);
    }
}

/* Vector v of the PHILOX_DRAWS draws that these words give. */
static inline __attribute__((always_inline)) vi philox_draw(const vi words[2 * PHILOX_SETS], int v) {
    const int at = v * VL % DRAWN_TOGETHER, half = DRAWN_TOGETHER / 2;
    const vi word = words[(v * VL / DRAWN_TOGETHER * half + at % half) / VL];
    return at < half ? word : v_turn_halves(word);
}

/* A draw keeps its element where it is at least threshold; a threshold of 2^32 drops everything. Elements first ..
 * first + n, but no more than one set of draws gives; returns how many. */
static inline int64_t dropout_few(int64_t first, int64_t n, const philox_schedule *key, uint64_t threshold,
                                  float scale, float *factor) {
    vi words[2 * PHILOX_SETS], draws[4 * PHILOX_SETS];
    uint32_t draw[PHILOX_DRAWS];
    const int64_t skip = first % DRAWN_TOGETHER, count = n < PHILOX_DRAWS - skip ? n : PHILOX_DRAWS - skip;
    philox_words((uint64_t)(first / DRAWN_TOGETHER) * (DRAWN_TOGETHER / 8), key, words);
    for (int v = 0; v < 4 * PHILOX_SETS; v++) draws[v] = philox_draw(words, v);
    memcpy(draw, draws, sizeof draw);
    for (int64_t j = 0; j < count; j++) factor[j] = draw[skip + j] >= threshold ? scale : 0.0f;
    return count;
}

/* factor[i] = scale where draw `first + i` keeps, else 0. */
static void dropout_factors(int64_t first, int64_t n, const uint64_t *rng, uint32_t stream, uint64_t threshold,
                            float scale, float *factor) {
    philox_schedule key;
    philox_schedule_init(&key, rng, stream);
    for (int64_t i = 0; i < n;) i += dropout_few(first + i, n - i, &key, threshold, scale, factor + i);
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

/* y[i] = x[i] scale where draw `first + i` keeps, else 0; first begins a group. past: y goes past the caches. */
static inline __attribute__((always_inline)) void dropout_words(int64_t first, int64_t n, const philox_schedule *key,
                                                                uint64_t threshold, float scale, const float *x,
                                                                float *y, int past) {
    const vi limit = (vi){0} + (int32_t)(uint32_t)threshold;
    int64_t i = 0;
    for (; i + PHILOX_DRAWS <= n; i += PHILOX_DRAWS) {
        vi words[2 * PHILOX_SETS];
        for (int j = 0; j < PHILOX_DRAWS; j += FNN_LINE) v_soon(x + i + j + DROPOUT_SOON);
        philox_words((uint64_t)(first + i) / 8, key, words);
        for (int v = 0; v < 4 * PHILOX_SETS; v++) {
            const vm keep = v_at_least(philox_draw(words, v), limit);
            const vf value = v_sel(keep, v_load(x + i + v * VL) * scale, v_zero());
            if (past)
                v_stream(y + i + v * VL, value);
            else
                v_store(y + i + v * VL, value);
        }
    }
    if (i < n) {
        float factor[PHILOX_DRAWS];
        dropout_few(first + i, n - i, key, threshold, scale, factor);
        for (int64_t j = 0; j < n - i; j += VL) {
            const int m = n - i - j < VL ? (int)(n - i - j) : VL;
            v_store_n(y + i + j, v_dropped(v_load_n(x + i + j, m), v_load_n(factor + j, m)), m);
        }
    }
}

static void dropout_elements(int64_t first, int64_t n, const uint64_t *rng, uint32_t stream, uint64_t threshold,
                             float scale, const float *x, float *y, int past) {
    philox_schedule key;
    if (threshold == 0 || threshold >> 32) {
        dropout_run(n, x, threshold == 0 ? scale : 0.0f, y);
        return;
    }
    philox_schedule_init(&key, rng, stream);
    if (past && (uintptr_t)y % sizeof(vf) == 0) {
        dropout_words(first, n, &key, threshold, scale, x, y, 1);
        v_stream_end();
    } else {
        dropout_words(first, n, &key, threshold, scale, x, y, 0);
    }
}

#endif
