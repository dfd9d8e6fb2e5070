/* Denormals as zero, on input and output, for the calling thread. */
#ifndef FASTNN_BASE_FPU_H
#define FASTNN_BASE_FPU_H

#include <stdint.h>

#if defined(__x86_64__)

#include <xmmintrin.h>
#define FPU_FLUSH 0x8040u /* FTZ and DAZ of MXCSR */
typedef unsigned fpu_state;
static inline fpu_state fpu_get(void) { return _mm_getcsr(); }
static inline void fpu_set(fpu_state state) { _mm_setcsr(state); }

#elif defined(__aarch64__)

#define FPU_FLUSH (UINT64_C(1) << 24) /* FZ of FPCR: inputs and results both */
typedef uint64_t fpu_state;
static inline fpu_state fpu_get(void) {
    fpu_state state;
    __asm__ __volatile__("mrs %0, fpcr" : "=r"(state));
    return state;
}
static inline void fpu_set(fpu_state state) { __asm__ __volatile__("msr fpcr, %0" ::"r"(state)); }

#else

#define FPU_FLUSH 0u
typedef unsigned fpu_state;
static inline fpu_state fpu_get(void) { return 0; }
static inline void fpu_set(fpu_state state) { (void)state; }

#endif

/* Returns the state to give back to fpu_set. */
static inline fpu_state fpu_flush_denormals(void) {
    const fpu_state before = fpu_get();
    fpu_set(before | FPU_FLUSH);
    return before;
}

#endif
