/* Four lanes in plain vector extensions: SSE2 on x86-64, whatever the compiler makes of them elsewhere. */
#define VL 4
#ifdef __SSE2__
#include <emmintrin.h>
#define V_HAVE_MULWIDE
#define V_HAVE_STREAM
typedef float vf __attribute__((vector_size(16)));
static inline void v_stream(float *p, vf x) { _mm_stream_ps(p, (__m128)x); }
static inline void v_stream_end(void) { _mm_sfence(); }
#endif

#include "vec_gnu.h"

#ifdef __SSE2__
/* Products of the even and of the odd lanes, put together again. */
static inline void v_mulwide(vi a, uint32_t b, vi *hi, vi *lo) {
    const __m128i factor = _mm_set1_epi64x(b), odd_lanes = _mm_srli_epi64((__m128i)a, 32);
    const __m128i even = _mm_mul_epu32((__m128i)a, factor), odd = _mm_mul_epu32(odd_lanes, factor);
    const __m128i low_half = _mm_set1_epi64x(0xffffffff);
    *hi = (vi)_mm_or_si128(_mm_srli_epi64(even, 32), _mm_andnot_si128(low_half, odd));
    *lo = (vi)_mm_or_si128(_mm_and_si128(low_half, even), _mm_slli_epi64(odd, 32));
}
#endif
