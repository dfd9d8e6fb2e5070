/* Four lanes in plain vector extensions: SSE2 on x86-64, whatever the compiler makes of them elsewhere. */
#define VL 4
#ifdef __SSE2__
#include <emmintrin.h>
#define V_HAVE_MUL_EVEN
#define V_HAVE_STREAM
typedef float vf __attribute__((vector_size(16)));
static inline void v_stream(float *p, vf x) { _mm_stream_ps(p, (__m128)x); }
static inline void v_stream_end(void) { _mm_sfence(); }
#endif

#include "vec_gnu.h"

#ifdef __SSE2__
static inline vi v_mul_even(vi a, uint32_t b) { return (vi)_mm_mul_epu32((__m128i)a, _mm_set1_epi64x(b)); }
#endif
