/* aarch64 NEON: four lanes. Masked access goes through memory; there is no masked load. */
#include <arm_neon.h>

#define VL 4
#define V_HAVE_FMA
#define V_HAVE_SQRT
#define V_HAVE_ROUND

typedef float vf __attribute__((vector_size(16)));

static inline vf v_fma(vf a, vf b, vf c) { return (vf)vfmaq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b); }
static inline vf v_sqrt(vf x) { return (vf)vsqrtq_f32((float32x4_t)x); }
static inline vf v_round(vf x) { return (vf)vrndnq_f32((float32x4_t)x); }

#include "vec_gnu.h"
