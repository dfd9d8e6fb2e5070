/* Lane shuffles for any VL: interleaving two vectors, transposing VL of them. */
#ifndef FASTNN_KERNELS_SHUFFLE_H
#define FASTNN_KERNELS_SHUFFLE_H

#if VL == 4
#define ZIP_LO 0, 4, 1, 5
#define ZIP_HI 2, 6, 3, 7
#define PAIR_LO 0, 1, 4, 5
#define PAIR_HI 2, 3, 6, 7
#define EVEN_PAIRS 0, 4, 2, 6
#define ODD 1, 1, 3, 3
#elif VL == 8
#define ZIP_LO 0, 8, 1, 9, 2, 10, 3, 11
#define ZIP_HI 4, 12, 5, 13, 6, 14, 7, 15
#define PAIR_LO 0, 1, 8, 9, 4, 5, 12, 13
#define PAIR_HI 2, 3, 10, 11, 6, 7, 14, 15
#define EVEN_PAIRS 0, 8, 2, 10, 4, 12, 6, 14
#define ODD 1, 1, 3, 3, 5, 5, 7, 7
#elif VL == 16
#define ZIP_LO 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23
#define ZIP_HI 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31
#define PAIR_LO 0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29
#define PAIR_HI 2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31
#define EVEN_PAIRS 0, 16, 2, 18, 4, 20, 6, 22, 8, 24, 10, 26, 12, 28, 14, 30
#define ODD 1, 1, 3, 3, 5, 5, 7, 7, 9, 9, 11, 11, 13, 13, 15, 15
#else
#error "shuffle.h: no interleaving for this VL"
#endif

/* zip: a0 b0 a1 b1 ... of the first (lo) or second (hi) halves. pair: in each four lanes, the first (lo) or last (hi) two of
 * a, then of b. even_pairs: a0 b0 a2 b2 ...; odd: a1 a1 a3 a3 ... */
#ifdef __clang__
static inline vf v_zip_lo(vf a, vf b) { return __builtin_shufflevector(a, b, ZIP_LO); }
static inline vf v_zip_hi(vf a, vf b) { return __builtin_shufflevector(a, b, ZIP_HI); }
static inline vi v_pair_lo(vi a, vi b) { return __builtin_shufflevector(a, b, PAIR_LO); }
static inline vi v_pair_hi(vi a, vi b) { return __builtin_shufflevector(a, b, PAIR_HI); }
static inline vi v_even_pairs(vi a, vi b) { return __builtin_shufflevector(a, b, EVEN_PAIRS); }
static inline vi v_odd(vi a) { return __builtin_shufflevector(a, a, ODD); }
#else
static inline vf v_zip_lo(vf a, vf b) { return __builtin_shuffle(a, b, (vi){ZIP_LO}); }
static inline vf v_zip_hi(vf a, vf b) { return __builtin_shuffle(a, b, (vi){ZIP_HI}); }
static inline vi v_pair_lo(vi a, vi b) { return __builtin_shuffle(a, b, (vi){PAIR_LO}); }
static inline vi v_pair_hi(vi a, vi b) { return __builtin_shuffle(a, b, (vi){PAIR_HI}); }
static inline vi v_even_pairs(vi a, vi b) { return __builtin_shuffle(a, b, (vi){EVEN_PAIRS}); }
static inline vi v_odd(vi a) { return __builtin_shuffle(a, (vi){ODD}); }
#endif

/* Lane j of row i to lane i of row j. Interleaving row i with row i + VL/2, log2(VL) times, is the transposition. */
static inline void v_transpose(vf row[VL]) {
    for (int step = 1; step < VL; step *= 2) {
        vf next[VL];
        for (int i = 0; i < VL / 2; i++) {
            next[2 * i] = v_zip_lo(row[i], row[i + VL / 2]);
            next[2 * i + 1] = v_zip_hi(row[i], row[i + VL / 2]);
        }
        for (int i = 0; i < VL; i++) row[i] = next[i];
    }
}

#endif
