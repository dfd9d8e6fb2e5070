/* The vector names in GCC/Clang vector extensions, for any VL (float lanes). An ISA's header sets VL, defines
 * V_HAVE_<NAME> and its own version of what the compiler does not find by itself, then includes this one.
 *
 *   vf, vi, vm   float lanes, int32 lanes, lane mask; + - * / and comparisons with scalars' meaning on vf and vi
 *   v_load v_store             unaligned, VL floats        v_load_n v_store_n   the first n < VL lanes, rest 0 / kept
 *   v_set1 v_zero v_fma(a,b,c)=a*b+c  v_max v_min v_sqrt v_abs
 *   v_max(a,b), v_min(a,b)     b where either is NaN (as maxps does)
 *   v_head(n) -> vm            the first n lanes
 *   v_lt v_le v_eq -> vm       v_sel(m, a, b)  a where m, else b        v_ordered(a,b) -> vm, neither is NaN
 *   v_same v_at_least(vi, vi) -> vm    equal, a >= b without signs
 *   v_turn_halves(vi)          the upper and lower 16 bits of each lane change places
 *   v_round    to nearest even, |x| < 2^22        v_to_int  of an integral float        v_from_int
 *   v_bits v_float             reinterpret        v_shl(vi, n)
 *   v_scale2(x, n)             x * 2^n for integral n in [-250, 250]
 *   v_above_floor(x)           x - floor(x), for x <= 0; perhaps 1 where x is whole, and then the next takes 1 less
 *   v_scale2_floor(y, x)       y * 2^floor(x), 0 below 2^-126
 *   v_mul_even(a, b)           the even lanes times b, unsigned, 64 bits each: low halves in even lanes, high in odd ones
 *   v_sum v_hmax               over lanes, in one fixed order
 *   v_load_u8                  VL bytes as floats         v_load_bytes v_store_bytes   as int32 lanes, their low bytes
 *   v_permute(x, lanes)        x[lanes[i]] for each lane i; v_permute2(a, b, lanes): of a and b, one after the other
 *   v_load_quads(row, k)       4 floats from each of row[0], row[4], row[8] ... at offset k, one quad a group of 4 lanes
 *   v_transpose_quads(r)       r[0..3] in place: 4x4 transposes within each group of 4 lanes
 *   v_transpose_groups(r)      r[0..VL / 4 - 1] in place: group j of r[i] and group i of r[j] change places
 *   v_stream(p, x)             a store past the caches where there is one; p at a whole vector. Before another thread may
 *                              read what was stored: v_stream_end()
 *   v_soon(p)                  what is at p will be read soon
 *   v_soon_own(p)              ... and written: other processors give up their copies now, where the level can ask
 *   v_over(a, b)               a / b for b in [2^-60, 2^125], to one unit in the last place
 */
#ifndef FASTNN_VEC_GNU_H
#define FASTNN_VEC_GNU_H

#include <math.h>
#include <stdint.h>
#include <string.h>

typedef float vf __attribute__((vector_size(VL * 4)));
typedef int32_t vi __attribute__((vector_size(VL * 4)));
typedef vi vm;

static inline vf v_load(const float *p) {
    vf x;
    memcpy(&x, p, sizeof x);
    return x;
}
static inline void v_store(float *p, vf x) { memcpy(p, &x, sizeof x); }
#ifndef V_HAVE_STREAM
static inline void v_stream(float *p, vf x) { v_store(p, x); }
static inline void v_stream_end(void) {}
#endif
static inline void v_soon(const float *p) { __builtin_prefetch(p); }
static inline void v_soon_own(const float *p) { __builtin_prefetch(p, 1); }
#if !defined(V_HAVE_PARTIAL) && VL == 4
static inline vf v_load_n(const float *p, int n) {
    return (vf){n > 0 ? p[0] : 0.0f, n > 1 ? p[1] : 0.0f, n > 2 ? p[2] : 0.0f, n > 3 ? p[3] : 0.0f};
}
static inline void v_store_n(float *p, vf x, int n) {
    if (n > 0) p[0] = x[0];
    if (n > 1) p[1] = x[1];
    if (n > 2) p[2] = x[2];
    if (n > 3) p[3] = x[3];
}
#elif !defined(V_HAVE_PARTIAL)
static inline vf v_load_n(const float *p, int n) {
    float lanes[VL] = {0};
    memcpy(lanes, p, (size_t)n * sizeof(float));
    return v_load(lanes);
}
static inline void v_store_n(float *p, vf x, int n) {
    float lanes[VL];
    v_store(lanes, x);
    memcpy(p, lanes, (size_t)n * sizeof(float));
}
#endif
/* x - 0 is x for every x, -0 included, so the compiler leaves a bare broadcast; 0 + x is not. */
static inline vf v_set1(float x) { return x - (vf){0}; }
static inline vf v_zero(void) { return (vf){0}; }
#ifndef V_HAVE_FMA
static inline vf v_fma(vf a, vf b, vf c) { return a * b + c; }
#endif
static inline vi v_bits(vf x) { return (vi)x; }
static inline vf v_float(vi x) { return (vf)x; }
static inline vi v_shl(vi x, int n) { return x << n; }
static inline vf v_sel(vm m, vf a, vf b) { return (vf)(((vi)a & m) | ((vi)b & ~m)); }
static inline vm v_lt(vf a, vf b) { return a < b; }
#ifndef V_HAVE_HEAD
static inline vm v_head(int n) {
    vi lane;
    for (int i = 0; i < VL; i++) lane[i] = i;
    return lane < n;
}
#endif
static inline vm v_le(vf a, vf b) { return a <= b; }
static inline vm v_eq(vf a, vf b) { return a == b; }
static inline vm v_ordered(vf a, vf b) { return (a == a) & (b == b); }
static inline vm v_same(vi a, vi b) { return a == b; }
static inline vm v_at_least(vi a, vi b) { return (a ^ INT32_MIN) >= (b ^ INT32_MIN); }
static inline vi v_turn_halves(vi x) { return (x << 16) | ((x >> 16) & 0xffff); }
static inline vm vm_or(vm a, vm b) { return a | b; }
static inline vm vm_and(vm a, vm b) { return a & b; }
static inline vm vm_not(vm a) { return ~a; }
#ifndef V_HAVE_MINMAX
static inline vf v_max(vf a, vf b) { return v_sel(a > b, a, b); }
static inline vf v_min(vf a, vf b) { return v_sel(a < b, a, b); }
#endif
static inline vf v_over(vf a, vf b) { return a / b; }
#ifndef V_HAVE_SQRT
static inline vf v_sqrt(vf x) {
    vf y;
    for (int i = 0; i < VL; i++) y[i] = sqrtf(x[i]);
    return y;
}
#endif
static inline vf v_abs(vf x) { return (vf)((vi)x & 0x7fffffff); }
static inline vi v_to_int(vf x) { return __builtin_convertvector(x, vi); }
static inline vf v_from_int(vi x) { return __builtin_convertvector(x, vf); }
#ifndef V_HAVE_ROUND
/* Adding 1.5 * 2^23 pushes the fraction out of the mantissa, rounding to nearest even on the way. */
static inline vf v_round(vf x) {
    const vf magic = v_set1(12582912.0f);
    return (x + magic) - magic;
}
#endif
#ifndef V_HAVE_SCALE2
/* In two factors, so that results near both ends of the range come out right; NaN stays NaN. */
static inline vf v_scale2(vf x, vf n) {
    const vi whole = v_to_int(n), half = whole >> 1;
    return x * v_float(v_shl(half + 127, 23)) * v_float(v_shl(whole - half + 127, 23));
}
#endif
/* Below -126 what is left is so low that the power is 0. */
static inline vf v_floor_low(vf x) { return v_round(v_max(v_set1(-126.75f), x) - 0.5f); }
static inline vf v_above_floor(vf x) { return v_max(v_set1(-126.75f), x) - v_floor_low(x); }
static inline vf v_scale2_floor(vf y, vf x) { return y * v_float(v_shl(v_to_int(v_floor_low(x)) + 127, 23)); }
static inline vi v_xor3(vi a, vi b, vi c) { return a ^ b ^ c; }
#ifndef V_HAVE_MUL_EVEN
static inline vi v_mul_even(vi a, uint32_t b) {
    vi product;
    for (int i = 0; i < VL; i += 2) {
        const uint64_t wide = (uint64_t)(uint32_t)a[i] * b;
        product[i] = (int32_t)wide;
        product[i + 1] = (int32_t)(wide >> 32);
    }
    return product;
}
#endif
/* Pairwise over lanes: the order is a property of the level, never of the data's position. */
#if !defined(V_HAVE_ACROSS) && VL == 4
static inline float v_sum(vf x) { return (x[0] + x[2]) + (x[1] + x[3]); }
static inline float v_hmax(vf x) {
    const float a = x[0] > x[2] ? x[0] : x[2], b = x[1] > x[3] ? x[1] : x[3];
    return a > b ? a : b;
}
#elif !defined(V_HAVE_ACROSS)
static inline float v_sum(vf x) {
    float lanes[VL];
    v_store(lanes, x);
    for (int half = VL / 2; half > 0; half /= 2)
        for (int i = 0; i < half; i++) lanes[i] += lanes[i + half];
    return lanes[0];
}
static inline float v_hmax(vf x) {
    float m = x[0];
    for (int i = 1; i < VL; i++) m = x[i] > m ? x[i] : m;
    return m;
}
#endif
#ifndef V_HAVE_PERMUTE
static inline vf v_permute(vf x, vi lanes) {
    vf y;
    for (int i = 0; i < VL; i++) y[i] = x[lanes[i]];
    return y;
}
#endif
#ifndef V_HAVE_PERMUTE2
static inline vf v_permute2(vf a, vf b, vi lanes) {
    vf y;
    for (int i = 0; i < VL; i++) y[i] = lanes[i] < VL ? a[lanes[i]] : b[lanes[i] - VL];
    return y;
}
#endif
#ifndef V_HAVE_BYTES
static inline vi v_load_bytes(const uint8_t *p) {
    vi x;
    for (int i = 0; i < VL; i++) x[i] = p[i];
    return x;
}
static inline void v_store_bytes(uint8_t *p, vi x) {
    for (int i = 0; i < VL; i++) p[i] = (uint8_t)x[i];
}
static inline vf v_load_u8(const uint8_t *p) {
    vf y;
    for (int i = 0; i < VL; i++) y[i] = (float)p[i];
    return y;
}
#endif
#ifndef V_HAVE_QUADS /* VL is 4 */
static inline vf v_load_quads(const float *const *row, int64_t k) { return v_load(row[0] + k); }
static inline void v_transpose_groups(vf r[1]) { (void)r; }
static inline void v_transpose_quads(vf r[4]) {
    const vf a = r[0], b = r[1], c = r[2], d = r[3];
    r[0] = (vf){a[0], b[0], c[0], d[0]};
    r[1] = (vf){a[1], b[1], c[1], d[1]};
    r[2] = (vf){a[2], b[2], c[2], d[2]};
    r[3] = (vf){a[3], b[3], c[3], d[3]};
}
#endif

#endif
