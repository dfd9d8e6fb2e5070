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

void fnn_leave_cpus(const int *taken, int n) {
    cpu_set_t *set = CPU_ALLOC(MAX_CPUS);
    const size_t size = CPU_ALLOC_SIZE(MAX_CPUS);
    /* The main thread's mask, as taskset or the user last set it; this thread's own may be an earlier choice. */
    if (set && sched_getaffinity(getpid(), size, set) == 0) {
        for (int i = 0; i < n; i++)
            if (taken[i] >= 0 && taken[i] < MAX_CPUS) CPU_CLR_S(taken[i], size, set);
        if (CPU_COUNT_S(size, set) > 0) sched_setaffinity(0, size, set);
    }
    CPU_FREE(set);
}

#else

int fnn_current_cpu(void) { return -1; }
void fnn_leave_cpus(const int *taken, int n) { (void)taken, (void)n; }

#endif
