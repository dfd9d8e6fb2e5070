/* Four lanes in plain vector extensions, whatever the compiler makes of them; on x86-64 SSE2 where it makes too much. */
#define VL 4
#ifdef __SSE2__
#include <emmintrin.h>
#define V_HAVE_MINMAX
#define V_HAVE_SQRT
#define V_HAVE_PARTIAL
#define V_HAVE_MUL_EVEN
#define V_HAVE_STREAM
typedef float vf __attribute__((vector_size(16)));
static inline void v_stream(float *p, vf x) { _mm_stream_ps(p, (__m128)x); }
static inline void v_stream_end(void) { _mm_sfence(); }
static inline vf v_max(vf a, vf b) { return (vf)_mm_max_ps((__m128)a, (__m128)b); }
static inline vf v_min(vf a, vf b) { return (vf)_mm_min_ps((__m128)a, (__m128)b); }
static inline vf v_sqrt(vf x) { return (vf)_mm_sqrt_ps((__m128)x); }
/* A pair and a single one: a branch a lane takes twice the code, and this is in every loop. */
static inline vf v_load_n(const float *p, int n) {
    if (n >= VL) return (vf)_mm_loadu_ps(p);
    const __m128 one = n & 1 ? _mm_load_ss(p + (n & 2)) : _mm_setzero_ps();
    return (vf)(n & 2 ? _mm_movelh_ps(_mm_loadl_pi(_mm_setzero_ps(), (const __m64 *)p), one) : one);
}
static inline void v_store_n(float *p, vf x, int n) {
    __m128 one = (__m128)x;
    if (n >= VL) {
        _mm_storeu_ps(p, one);
        return;
    }
    if (n & 2) {
        _mm_storel_pi((__m64 *)p, one);
        one = _mm_movehl_ps(one, one);
    }
    if (n & 1) _mm_store_ss(p + (n & 2), one);
}
#endif

#include "vec_gnu.h"

#ifdef __SSE2__
static inline vi v_mul_even(vi a, uint32_t b) { return (vi)_mm_mul_epu32((__m128i)a, _mm_set1_epi64x(b)); }
#endif
