/* The only file with OpenMP pragmas; compiled with OpenMP where the build's probe ran, empty otherwise. */
#include "parallel.h"

#ifdef FNN_HAVE_OPENMP
#include <omp.h>

void fnn_team_openmp(fnn_team_fn fn, void *arg, int n) {
    fnn_barrier barrier = {.n = 0};
#pragma omp parallel num_threads(n)
    {
        /* The runtime may have granted fewer than n. The barrier at the end of single publishes the count. */
#pragma omp single
        fnn_barrier_init(&barrier, omp_get_num_threads());
        const fnn_team team = {.tid = omp_get_thread_num(), .n = omp_get_num_threads(), .barrier = &barrier};
        fn(arg, &team);
    }
}
#else
typedef int fnn_no_openmp; /* ISO C forbids an empty file */
#endif
