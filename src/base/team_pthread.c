/* Teams of POSIX threads: workers made once, kept, and woken for each team. */
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

#include "parallel.h"

#define WORKER_STACK (4 << 20)
/* A worker that shares a processor moves, but no more often than this: the scheduler may know better. */
#define MOVE_INTERVAL_NS 5000000
#define MAX_SPREAD 256

typedef struct worker {
    _Alignas(FNN_CACHE_LINE) atomic_uint go; /* advanced to start a job */
    atomic_int asleep;
    unsigned done;   /* the last value of go that was served: the worker's own */
    long long moved; /* when it last left a processor to another thread */
    int tid;
    atomic_int cpu; /* where its last job began */
} worker;

static struct {
    pthread_mutex_t lock; /* one team at a time; other callers wait for it */
    worker **workers;     /* tid 1, 2, ...: the caller is thread 0 */
    int count, room;
    fnn_barrier end; /* all of the team meet here, within the job and at its end */
    fnn_team_fn fn;
    void *arg;
    int n;
    int cpu; /* the caller's */
} pool = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* Each thread gives way to the caller and to workers before it. */
static void spread(worker *w) {
    int taken[MAX_SPREAD], shared = 0;
    const int here = fnn_current_cpu();
    atomic_store_explicit(&w->cpu, here, memory_order_relaxed);
    if (here < 0 || pool.n > MAX_SPREAD || pool.n > fnn_available_cpus()) return;
    taken[0] = pool.cpu;
    for (int i = 1; i < w->tid; i++) taken[i] = atomic_load_explicit(&pool.workers[i - 1]->cpu, memory_order_relaxed);
    for (int i = 0; i < w->tid; i++) shared |= taken[i] == here;
    if (!shared || fnn_now_ns() - w->moved < MOVE_INTERVAL_NS) return;
    fnn_leave_cpus(taken, w->tid);
    w->moved = fnn_now_ns();
    atomic_store_explicit(&w->cpu, fnn_current_cpu(), memory_order_relaxed);
}

static void serve(int tid) {
    const fnn_team team = {.tid = tid, .n = pool.n, .barrier = &pool.end};
    pool.fn(pool.arg, &team);
    fnn_barrier_wait(&pool.end);
}

static void *worker_main(void *self) {
    worker *w = self;
    for (;;) {
        fnn_wait_change(&w->go, w->done, &w->asleep, fnn_spin_ns(w->tid + 1));
        w->done++;
        spread(w);
        serve(w->tid);
    }
    return NULL;
}

static int start_worker(worker *w) {
    pthread_t thread;
    pthread_attr_t attr;
    sigset_t all, before;
    if (pthread_attr_init(&attr) != 0) return -1;
    pthread_attr_setstacksize(&attr, WORKER_STACK);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    /* Signals are the program's own threads' business, but for those that a thread brings on itself. */
    sigfillset(&all);
    sigdelset(&all, SIGSEGV);
    sigdelset(&all, SIGBUS);
    sigdelset(&all, SIGFPE);
    sigdelset(&all, SIGILL);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    const int failed = pthread_create(&thread, &attr, worker_main, w);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attr);
#if defined(__linux__)
    if (!failed) pthread_setname_np(thread, "fastnn");
#endif
    return failed ? -1 : 0;
}

static int add_worker(void) {
    if (pool.count == pool.room) {
        const int room = pool.room ? 2 * pool.room : 16;
        worker **grown = realloc(pool.workers, (size_t)room * sizeof *grown);
        if (!grown) return -1;
        pool.workers = grown;
        pool.room = room;
    }
    worker *w = aligned_alloc(FNN_CACHE_LINE, sizeof *w);
    if (!w) return -1;
    atomic_init(&w->go, 0);
    atomic_init(&w->asleep, 0);
    atomic_init(&w->cpu, -1);
    w->done = 0;
    w->moved = -MOVE_INTERVAL_NS;
    w->tid = pool.count + 1;
    if (start_worker(w) != 0) {
        free(w);
        return -1;
    }
    pool.workers[pool.count++] = w;
    return 0;
}

void fnn_team_pthreads(fnn_team_fn fn, void *arg, int n) {
    pthread_mutex_lock(&pool.lock);
    while (pool.count < n - 1)
        if (add_worker() != 0) break;
    if (n > pool.count + 1) n = pool.count + 1;
    fnn_barrier_init(&pool.end, n);
    pool.fn = fn;
    pool.arg = arg;
    pool.n = n;
    pool.cpu = fnn_current_cpu();
    for (int i = 0; i < n - 1; i++) {
        worker *w = pool.workers[i];
        atomic_fetch_add(&w->go, 1);
        fnn_wake(&w->go, &w->asleep);
    }
    serve(0);
    pthread_mutex_unlock(&pool.lock);
}

/* The workers stayed in the parent; their structs are forgotten, for the parent may have been in the middle of using
 * the allocator's view of them. */
void fnn_team_pthreads_after_fork(void) {
    pthread_mutex_init(&pool.lock, NULL);
    pool.workers = NULL;
    pool.count = pool.room = 0;
    pool.end = (fnn_barrier){.n = 0};
}
