/* Keeping a team's threads on processors of their own. Schedulers wake a thread on its waker's processor when they
 * take the others for busy, and a virtual machine's halted processors look busy: two threads that spin and yield
 * would then share one processor for seconds while another idles. */
#define _GNU_SOURCE
#include <sched.h>
#include <unistd.h>

#include "parallel.h"

#if defined(__linux__)

#define MAX_CPUS 4096

int fnn_current_cpu(void) { return sched_getcpu(); }

/* The set is on the stack: a worker may come here within a step, which allocates nothing. */
void fnn_leave_cpus(const int *taken, int n) {
    cpu_set_t set[MAX_CPUS / CPU_SETSIZE];
    /* The main thread's mask, as taskset or the user last set it; this thread's own may be an earlier choice. */
    if (sched_getaffinity(getpid(), sizeof set, set) != 0) return;
    for (int i = 0; i < n; i++)
        if (taken[i] >= 0 && taken[i] < MAX_CPUS) CPU_CLR_S(taken[i], sizeof set, set);
    if (CPU_COUNT_S(sizeof set, set) > 0) sched_setaffinity(0, sizeof set, set);
}

#else

int fnn_current_cpu(void) { return -1; }
void fnn_leave_cpus(const int *taken, int n) { (void)taken, (void)n; }

#endif
