/* AVX-512 F, BW, DQ, VL: sixteen lanes, masks in their own registers. The names are explained in vec_gnu.h. */
#ifndef FASTNN_VEC_AVX512_H
#define FASTNN_VEC_AVX512_H

#include <immintrin.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#define VL 16
typedef float vf __attribute__((vector_size(64)));
typedef int32_t vi __attribute__((vector_size(64)));
typedef __mmask16 vm;

static inline vf v_load(const float *p) { return (vf)_mm512_loadu_ps(p); }
static inline void v_store(float *p, vf x) { _mm512_storeu_ps(p, (__m512)x); }
static inline void v_stream(float *p, vf x) { _mm512_stream_ps(p, (__m512)x); }
static inline void v_stream_end(void) { _mm_sfence(); }
static inline void v_soon(const float *p) { __builtin_prefetch(p); }
/* The builtin would be an ordinary prefetch without -mprfchw; every processor of this level has the instruction. */
static inline void v_soon_own(const float *p) { __asm__ volatile("prefetchw %0" : : "m"(*p)); }
static inline __mmask16 v_first_lanes(int n) { return (__mmask16)((1u << n) - 1u); }
static inline vf v_load_n(const float *p, int n) { return (vf)_mm512_maskz_loadu_ps(v_first_lanes(n), p); }
static inline void v_store_n(float *p, vf x, int n) { _mm512_mask_storeu_ps(p, v_first_lanes(n), (__m512)x); }
static inline vf v_set1(float x) { return (vf)_mm512_set1_ps(x); }
static inline vf v_zero(void) { return (vf)_mm512_setzero_ps(); }
static inline vf v_fma(vf a, vf b, vf c) { return (vf)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c); }
static inline vi v_bits(vf x) { return (vi)x; }
static inline vf v_float(vi x) { return (vf)x; }
static inline vi v_shl(vi x, int n) { return x << n; }
static inline vf v_sel(vm m, vf a, vf b) { return (vf)_mm512_mask_blend_ps(m, (__m512)b, (__m512)a); }
static inline vm v_head(int n) { return v_first_lanes(n); }
static inline vm v_lt(vf a, vf b) { return _mm512_cmp_ps_mask((__m512)a, (__m512)b, _CMP_LT_OQ); }
static inline vm v_le(vf a, vf b) { return _mm512_cmp_ps_mask((__m512)a, (__m512)b, _CMP_LE_OQ); }
static inline vm v_eq(vf a, vf b) { return _mm512_cmp_ps_mask((__m512)a, (__m512)b, _CMP_EQ_OQ); }
static inline vm v_ordered(vf a, vf b) { return _mm512_cmp_ps_mask((__m512)a, (__m512)b, _CMP_ORD_Q); }
static inline vm v_same(vi a, vi b) { return _mm512_cmpeq_epi32_mask((__m512i)a, (__m512i)b); }
static inline vm v_at_least(vi a, vi b) { return _mm512_cmpge_epu32_mask((__m512i)a, (__m512i)b); }
static inline vi v_turn_halves(vi x) { return (vi)_mm512_rol_epi32((__m512i)x, 16); }
static inline vm vm_or(vm a, vm b) { return (vm)(a | b); }
static inline vm vm_and(vm a, vm b) { return (vm)(a & b); }
static inline vm vm_not(vm a) { return (vm)~a; }
static inline vf v_max(vf a, vf b) { return (vf)_mm512_max_ps((__m512)a, (__m512)b); }
static inline vf v_min(vf a, vf b) { return (vf)_mm512_min_ps((__m512)a, (__m512)b); }
static inline vf v_sqrt(vf x) { return (vf)_mm512_sqrt_ps((__m512)x); }
static inline vf v_abs(vf x) { return (vf)((vi)x & 0x7fffffff); }
/* A division takes as long as a dozen other operations; this is four. */
static inline vf v_over(vf a, vf b) {
    const __m512 near = _mm512_rcp14_ps((__m512)b);
    const __m512 rest = _mm512_fnmadd_ps((__m512)b, near, _mm512_set1_ps(1.0f));
    return a * (vf)_mm512_fmadd_ps(near, rest, near);
}
static inline vi v_to_int(vf x) { return (vi)_mm512_cvtps_epi32((__m512)x); }
static inline vf v_from_int(vi x) { return (vf)_mm512_cvtepi32_ps((__m512i)x); }
static inline vf v_round(vf x) {
    return (vf)_mm512_roundscale_ps((__m512)x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
static inline vf v_scale2(vf x, vf n) { return (vf)_mm512_scalef_ps((__m512)x, (__m512)n); }
static inline vf v_above_floor(vf x) {
    return (vf)_mm512_reduce_ps((__m512)x, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
}
static inline vf v_scale2_floor(vf y, vf x) { return (vf)_mm512_scalef_ps((__m512)y, (__m512)x); }
static inline vi v_mul_even(vi a, uint32_t b) { return (vi)_mm512_mul_epu32((__m512i)a, _mm512_set1_epi64(b)); }
static inline vi v_xor3(vi a, vi b, vi c) {
    return (vi)_mm512_ternarylogic_epi32((__m512i)a, (__m512i)b, (__m512i)c, 0x96);
}
/* The pairwise order of vec_gnu.h: lane i meets lane i + half. */
static inline float v_sum(vf x) {
    const __m256 half = _mm256_add_ps(_mm512_castps512_ps256((__m512)x), _mm512_extractf32x8_ps((__m512)x, 1));
    const __m128 s = _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));
    const __m128 pair = _mm_add_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_add_ss(pair, _mm_movehdup_ps(pair)));
}
static inline float v_hmax(vf x) { return _mm512_reduce_max_ps((__m512)x); }
static inline vf v_permute(vf x, vi lanes) { return (vf)_mm512_permutexvar_ps((__m512i)lanes, (__m512)x); }
static inline vf v_permute2(vf a, vf b, vi lanes) {
    return (vf)_mm512_permutex2var_ps((__m512)a, (__m512i)lanes, (__m512)b);
}
static inline vi v_load_bytes(const uint8_t *p) {
    return (vi)_mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)p));
}
static inline void v_store_bytes(uint8_t *p, vi x) {
    _mm_storeu_si128((__m128i *)p, _mm512_cvtepi32_epi8((__m512i)x));
}
static inline vf v_load_u8(const uint8_t *p) { return v_from_int(v_load_bytes(p)); }
static inline vf v_load_quads(const float *const *row, int64_t k) {
    __m512 x = _mm512_castps128_ps512(_mm_loadu_ps(row[0] + k));
    x = _mm512_insertf32x4(x, _mm_loadu_ps(row[4] + k), 1);
    x = _mm512_insertf32x4(x, _mm_loadu_ps(row[8] + k), 2);
    return (vf)_mm512_insertf32x4(x, _mm_loadu_ps(row[12] + k), 3);
}
static inline void v_transpose_quads(vf r[4]) {
    const __m512 a = (__m512)r[0], b = (__m512)r[1], c = (__m512)r[2], d = (__m512)r[3];
    const __m512 ab_lo = _mm512_unpacklo_ps(a, b), ab_hi = _mm512_unpackhi_ps(a, b);
    const __m512 cd_lo = _mm512_unpacklo_ps(c, d), cd_hi = _mm512_unpackhi_ps(c, d);
    r[0] = (vf)_mm512_shuffle_ps(ab_lo, cd_lo, 0x44);
    r[1] = (vf)_mm512_shuffle_ps(ab_lo, cd_lo, 0xee);
    r[2] = (vf)_mm512_shuffle_ps(ab_hi, cd_hi, 0x44);
    r[3] = (vf)_mm512_shuffle_ps(ab_hi, cd_hi, 0xee);
}
static inline void v_transpose_groups(vf r[4]) {
    const __m512 a = (__m512)r[0], b = (__m512)r[1], c = (__m512)r[2], d = (__m512)r[3];
    const __m512 ab_lo = _mm512_shuffle_f32x4(a, b, 0x44), ab_hi = _mm512_shuffle_f32x4(a, b, 0xee);
    const __m512 cd_lo = _mm512_shuffle_f32x4(c, d, 0x44), cd_hi = _mm512_shuffle_f32x4(c, d, 0xee);
    r[0] = (vf)_mm512_shuffle_f32x4(ab_lo, cd_lo, 0x88);
    r[1] = (vf)_mm512_shuffle_f32x4(ab_lo, cd_lo, 0xdd);
    r[2] = (vf)_mm512_shuffle_f32x4(ab_hi, cd_hi, 0x88);
    r[3] = (vf)_mm512_shuffle_f32x4(ab_hi, cd_hi, 0xdd);
}

#endif
