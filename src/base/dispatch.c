/* Levels: which tables of kernels were compiled, which the machine can run, which one is active. The build defines
 * FNN_HAVE_<LEVEL> for each file of isa/ that it compiled beside the floor. */
#include <stdatomic.h>

#include "../kernels/table.h"
#include "cpu.h"

extern const fnn_kernels fnn_kernels_baseline;
#ifdef FNN_HAVE_AVX2
extern const fnn_kernels fnn_kernels_avx2;
#endif
#ifdef FNN_HAVE_AVX512
extern const fnn_kernels fnn_kernels_avx512;
#endif
#ifdef FNN_HAVE_AMX
extern const fnn_kernels fnn_kernels_amx;
#endif
#ifdef FNN_HAVE_NEON
extern const fnn_kernels fnn_kernels_neon;
#endif

static const fnn_kernels *const tables[] = {
    &fnn_kernels_baseline,
#ifdef FNN_HAVE_AVX2
    &fnn_kernels_avx2,
#endif
#ifdef FNN_HAVE_AVX512
    &fnn_kernels_avx512,
#endif
#ifdef FNN_HAVE_AMX
    &fnn_kernels_amx,
#endif
#ifdef FNN_HAVE_NEON
    &fnn_kernels_neon,
#endif
};

static atomic_int active = -1; /* -1: nothing chosen yet, so what was detected */

static int supported(const fnn_kernels *table) {
    const fnn_cpu *cpu = fnn_cpu_get();
    (void)cpu;
#ifdef FNN_HAVE_AVX2
    if (table == &fnn_kernels_avx2) return cpu->avx2;
#endif
#ifdef FNN_HAVE_AVX512
    if (table == &fnn_kernels_avx512) return cpu->avx512;
#endif
#ifdef FNN_HAVE_AMX
    if (table == &fnn_kernels_amx) return cpu->amx;
#endif
#ifdef FNN_HAVE_NEON
    if (table == &fnn_kernels_neon) return cpu->neon;
#endif
    return table == &fnn_kernels_baseline;
}

int fnn_level_count(void) { return (int)(sizeof tables / sizeof tables[0]); }

const char *fnn_level_name(int i) { return i >= 0 && i < fnn_level_count() ? tables[i]->level : ""; }

int fnn_level_detected(void) {
    int level = fnn_level_count() - 1;
    while (!supported(tables[level])) level--;
    return level;
}

int fnn_level_active(void) {
    const int level = atomic_load(&active);
    return level >= 0 ? level : fnn_level_detected();
}

int fnn_set_level(int i) {
    if (i < 0 || i > fnn_level_detected()) return -1;
    atomic_store(&active, i);
    return 0;
}

const fnn_kernels *fnn_kernels_active(void) { return tables[fnn_level_active()]; }
