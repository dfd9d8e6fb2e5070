/* The barrier, and the choice of a back end for teams. */
#include "parallel.h"

#include <pthread.h>
#include <string.h>

#define SPIN_NS 1000000

long fnn_spin_ns(int n) { return n <= fnn_available_cpus() ? SPIN_NS : 0; }

void fnn_barrier_init(fnn_barrier *barrier, int n) {
    atomic_store_explicit(&barrier->arrived, 0, memory_order_relaxed);
    barrier->n = n;
    barrier->spin_ns = fnn_spin_ns(n);
}

void fnn_barrier_wait(fnn_barrier *barrier) {
    /* All is read before arriving: after the last arrival the barrier may be set up for another team. */
    const int n = barrier->n;
    const long spin_ns = barrier->spin_ns;
    const unsigned phase = atomic_load_explicit(&barrier->phase, memory_order_relaxed);
    if (atomic_fetch_add_explicit(&barrier->arrived, 1, memory_order_acq_rel) + 1 < n) {
        fnn_wait_change(&barrier->phase, phase, &barrier->sleepers, spin_ns);
        return;
    }
    atomic_store_explicit(&barrier->arrived, 0, memory_order_relaxed);
    atomic_store(&barrier->phase, phase + 1);
    fnn_wake(&barrier->phase, &barrier->sleepers);
}

void fnn_team_wait(const fnn_team *team) {
    if (team->n > 1) fnn_barrier_wait(team->barrier);
}

/* ---- back ends ------------------------------------------------------------------------------------------ */

/* pthreads is the default: libgomp's threads spin on after a region, and a forked child that enters one hangs. */
static atomic_int use_openmp;
static atomic_int forked;

static void after_fork_in_child(void) {
    atomic_store(&forked, 1);
    fnn_sleep_after_fork();
    fnn_team_pthreads_after_fork();
}

static void register_fork_handler(void) { pthread_atfork(NULL, NULL, after_fork_in_child); }

static void watch_forks(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, register_fork_handler);
}

int fnn_has_openmp(void) {
#ifdef FNN_HAVE_OPENMP
    return 1;
#else
    return 0;
#endif
}

int fnn_set_team_backend(const char *name) {
    const int openmp = strcmp(name, "openmp") == 0;
    if ((openmp && !fnn_has_openmp()) || (!openmp && strcmp(name, "pthreads") != 0)) return -1;
    watch_forks();
    atomic_store(&use_openmp, openmp);
    return 0;
}

const char *fnn_team_backend(void) {
    return atomic_load(&use_openmp) && !atomic_load(&forked) ? "openmp" : "pthreads";
}

void fnn_run_team(fnn_team_fn fn, void *arg, int n) {
    if (n <= 1) {
        const fnn_team alone = {.tid = 0, .n = 1, .barrier = NULL};
        fn(arg, &alone);
        return;
    }
    watch_forks();
#ifdef FNN_HAVE_OPENMP
    /* A child of fork must not enter libgomp again, whoever entered it in the parent. */
    if (atomic_load(&use_openmp) && !atomic_load(&forked)) {
        fnn_team_openmp(fn, arg, n);
        return;
    }
#endif
    fnn_team_pthreads(fn, arg, n);
}
