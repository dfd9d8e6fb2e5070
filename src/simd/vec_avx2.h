/* AVX2 + FMA: eight lanes. */
#include <immintrin.h>

#define VL 8
#define V_HAVE_PARTIAL
#define V_HAVE_FMA
#define V_HAVE_MINMAX
#define V_HAVE_SQRT
#define V_HAVE_ROUND
#define V_HAVE_QUADS
#define V_HAVE_MUL_EVEN
#define V_HAVE_BYTES
#define V_HAVE_PERMUTE
#define V_HAVE_PERMUTE2
#define V_HAVE_ACROSS
#define V_HAVE_STREAM

typedef float vf __attribute__((vector_size(32)));

static inline __m256i v_first_lanes(int n) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
static inline void v_stream(float *p, vf x) { _mm256_stream_ps(p, (__m256)x); }
static inline void v_stream_end(void) { _mm_sfence(); }
static inline vf v_load_n(const float *p, int n) { return (vf)_mm256_maskload_ps(p, v_first_lanes(n)); }
static inline void v_store_n(float *p, vf x, int n) { _mm256_maskstore_ps(p, v_first_lanes(n), (__m256)x); }
static inline vf v_fma(vf a, vf b, vf c) { return (vf)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c); }
static inline vf v_max(vf a, vf b) { return (vf)_mm256_max_ps((__m256)a, (__m256)b); }
static inline vf v_min(vf a, vf b) { return (vf)_mm256_min_ps((__m256)a, (__m256)b); }
static inline vf v_sqrt(vf x) { return (vf)_mm256_sqrt_ps((__m256)x); }
static inline vf v_round(vf x) {
    return (vf)_mm256_round_ps((__m256)x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
static inline vf v_load_quads(const float *const *row, long k) {
    return (vf)_mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(row[0] + k)), _mm_loadu_ps(row[4] + k), 1);
}
static inline void v_transpose_quads(vf r[4]) {
    const __m256 a = (__m256)r[0], b = (__m256)r[1], c = (__m256)r[2], d = (__m256)r[3];
    const __m256 ab_lo = _mm256_unpacklo_ps(a, b), ab_hi = _mm256_unpackhi_ps(a, b);
    const __m256 cd_lo = _mm256_unpacklo_ps(c, d), cd_hi = _mm256_unpackhi_ps(c, d);
    r[0] = (vf)_mm256_shuffle_ps(ab_lo, cd_lo, 0x44);
    r[1] = (vf)_mm256_shuffle_ps(ab_lo, cd_lo, 0xee);
    r[2] = (vf)_mm256_shuffle_ps(ab_hi, cd_hi, 0x44);
    r[3] = (vf)_mm256_shuffle_ps(ab_hi, cd_hi, 0xee);
}

static inline void v_transpose_groups(vf r[2]) {
    const __m256 a = (__m256)r[0], b = (__m256)r[1];
    r[0] = (vf)_mm256_permute2f128_ps(a, b, 0x20);
    r[1] = (vf)_mm256_permute2f128_ps(a, b, 0x31);
}

/* The pairwise order of vec_gnu.h: lane i meets lane i + half. */
static inline float v_sum(vf x) {
    const __m128 s = _mm_add_ps(_mm256_castps256_ps128((__m256)x), _mm256_extractf128_ps((__m256)x, 1));
    const __m128 pair = _mm_add_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_add_ss(pair, _mm_movehdup_ps(pair)));
}
static inline float v_hmax(vf x) {
    const __m128 s = _mm_max_ps(_mm256_castps256_ps128((__m256)x), _mm256_extractf128_ps((__m256)x, 1));
    const __m128 pair = _mm_max_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_max_ss(pair, _mm_movehdup_ps(pair)));
}

#include "vec_gnu.h"

static inline vf v_permute(vf x, vi lanes) { return (vf)_mm256_permutevar8x32_ps((__m256)x, (__m256i)lanes); }
static inline vf v_permute2(vf a, vf b, vi lanes) {
    return v_sel(lanes > VL - 1, v_permute(b, lanes), v_permute(a, lanes)); /* their low three bits count */
}
static inline vi v_mul_even(vi a, uint32_t b) { return (vi)_mm256_mul_epu32((__m256i)a, _mm256_set1_epi64x(b)); }
static inline vi v_load_bytes(const uint8_t *p) {
    return (vi)_mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)p));
}
static inline vf v_load_u8(const uint8_t *p) { return v_from_int(v_load_bytes(p)); }
static inline void v_store_bytes(uint8_t *p, vi x) {
    const __m256i low_bytes = _mm256_set1_epi64x(0x0c080400);
    const __m256i quads = _mm256_shuffle_epi8((__m256i)x, low_bytes);
    const __m128i eight = _mm_unpacklo_epi32(_mm256_castsi256_si128(quads), _mm256_extracti128_si256(quads, 1));
    _mm_storel_epi64((__m128i *)p, eight);
}
