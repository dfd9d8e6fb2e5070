/* Teams of threads, for base/ only: ops see fnn_team and fnn_team_wait, both in fastnn.h. */
#ifndef FASTNN_BASE_PARALLEL_H
#define FASTNN_BASE_PARALLEL_H

#include <stdatomic.h>

#include "../fastnn.h"

#define FNN_CACHE_LINE 64

/* Counts arrivals, then advances the phase on which the early ones wait. Reusable at once: a late leaver only
 * compares the phase with the one it saw. */
typedef struct fnn_barrier {
    _Alignas(FNN_CACHE_LINE) atomic_int arrived;
    _Alignas(FNN_CACHE_LINE) atomic_uint phase;
    atomic_int sleepers;
    int n;
    long spin_ns;
} fnn_barrier;

long long fnn_now_ns(void); /* of a clock that only goes forward */

/* Not while a thread may still arrive at it. */
void fnn_barrier_init(fnn_barrier *barrier, int n);
void fnn_barrier_wait(fnn_barrier *barrier);

/* Processors that affinity and the cgroup's quota leave to this process, as found at the first call. */
int fnn_available_cpus(void);
/* The processor this thread runs on, -1 where the system does not tell. */
int fnn_current_cpu(void);
/* Moves this thread off the processors taken, where its process may use others. It stays off them. */
void fnn_leave_cpus(const int *taken, int n);
/* How long a thread of a team of n spins before it sleeps: nothing where the team exceeds the processors. */
long fnn_spin_ns(int n);

/* Returns once *word differs from seen (acquire): spins for spin_ns, then sleeps. *sleepers counts the sleeping. */
void fnn_wait_change(atomic_uint *word, unsigned seen, atomic_int *sleepers, long spin_ns);
/* After *word was changed (seq_cst): wakes every sleeper, without a system call where there is none. */
void fnn_wake(atomic_uint *word, atomic_int *sleepers);
/* In a forked child: the locks behind sleeping may have been held by threads that no longer exist. */
void fnn_sleep_after_fork(void);

/* The two back ends: fn(arg, team) on n threads, the caller being thread 0. Fewer where the system refuses more. */
void fnn_team_pthreads(fnn_team_fn fn, void *arg, int n);
void fnn_team_openmp(fnn_team_fn fn, void *arg, int n);
void fnn_team_pthreads_after_fork(void);

#endif
