/* Waiting for a word to change: spin for a while, then sleep. A futex on Linux, one mutex and condition elsewhere. */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <time.h>

#include "parallel.h"

#if defined(__linux__)
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

/* Yielding after this long lets a preempted team mate run where other programs fill the processors. */
#define YIELD_AFTER_NS 20000
#define POLLS_PER_CLOCK 64

static inline void relax(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ __volatile__("yield" ::: "memory");
#endif
}

long long fnn_now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static int spin_for_change(atomic_uint *word, unsigned seen, long spin_ns) {
    for (int i = 0; i < POLLS_PER_CLOCK; i++) {
        if (atomic_load_explicit(word, memory_order_acquire) != seen) return 1;
        relax();
    }
    if (spin_ns <= 0) return 0;
    const long long start = fnn_now_ns();
    for (;;) {
        for (int i = 0; i < POLLS_PER_CLOCK; i++) {
            if (atomic_load_explicit(word, memory_order_acquire) != seen) return 1;
            relax();
        }
        const long long spent = fnn_now_ns() - start;
        if (spent > spin_ns) return 0;
        if (spent > YIELD_AFTER_NS) sched_yield();
    }
}

#if defined(__linux__)

static void sleep_while(atomic_uint *word, unsigned seen) {
    while (atomic_load(word) == seen) syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, seen, NULL, NULL, 0);
}
static void wake_all(atomic_uint *word) { syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 0x7fffffff, NULL, NULL, 0); }
void fnn_sleep_after_fork(void) {}

#else

static pthread_mutex_t sleep_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t sleep_cond = PTHREAD_COND_INITIALIZER;

static void sleep_while(atomic_uint *word, unsigned seen) {
    pthread_mutex_lock(&sleep_lock);
    while (atomic_load(word) == seen) pthread_cond_wait(&sleep_cond, &sleep_lock);
    pthread_mutex_unlock(&sleep_lock);
}
static void wake_all(atomic_uint *word) {
    (void)word;
    pthread_mutex_lock(&sleep_lock);
    pthread_cond_broadcast(&sleep_cond);
    pthread_mutex_unlock(&sleep_lock);
}
void fnn_sleep_after_fork(void) {
    pthread_mutex_init(&sleep_lock, NULL);
    pthread_cond_init(&sleep_cond, NULL);
}

#endif

void fnn_wait_change(atomic_uint *word, unsigned seen, atomic_int *sleepers, long spin_ns) {
    if (spin_for_change(word, seen, spin_ns)) return;
    /* Either this count is seen by the waker or the new word is seen here: both sides are seq_cst. */
    atomic_fetch_add(sleepers, 1);
    sleep_while(word, seen);
    atomic_fetch_sub(sleepers, 1);
}

void fnn_wake(atomic_uint *word, atomic_int *sleepers) {
    if (atomic_load(sleepers) > 0) wake_all(word);
}
