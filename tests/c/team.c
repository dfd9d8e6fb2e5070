/* The team code alone, to be run under the thread and address sanitizers: programs of serial and parallel steps on
 * both back ends, more threads than processors, two callers at once, a forked child. Prints the cost of a barrier. */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "fastnn.h"

#define CHECK(condition)                                                                                             \
    do {                                                                                                             \
        if (!(condition)) {                                                                                          \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                                          \
            exit(1);                                                                                                 \
        }                                                                                                            \
    } while (0)

enum { CELLS = 1000, STEPS = 40 };

static double seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Step k makes each cell from its neighbours before it: a missing barrier changes the result. */
static void run_mix(const fnn_op *op, void *const *buf, void *scratch, const fnn_team *team) {
    const uint64_t *x = buf[0];
    uint64_t *y = buf[1];
    int64_t lo, hi;
    (void)scratch;
    fnn_share(op->units, team->tid, team->n, &lo, &hi);
    for (int64_t i = lo; i < hi; i++) y[i] = 3 * x[(i + 1) % CELLS] + 5 * x[(i + CELLS - 1) % CELLS] + (uint64_t)i;
}

/* A barrier inside a step: sums by blocks, then thread 0 adds them up. */
static void run_sum(const fnn_op *op, void *const *buf, void *scratch, const fnn_team *team) {
    const uint64_t *x = buf[0];
    uint64_t *block_sum = scratch;
    int64_t lo, hi;
    fnn_share(op->units, team->tid, team->n, &lo, &hi);
    for (int64_t b = lo; b < hi; b++) {
        block_sum[b] = 0;
        for (int64_t i = b * 100; i < (b + 1) * 100; i++) block_sum[b] += x[i];
    }
    fnn_team_wait(team);
    if (team->tid != 0) return;
    uint64_t sum = 0;
    for (int64_t b = 0; b < op->units; b++) sum += block_sum[b];
    *(uint64_t *)buf[1] = sum;
}

static void run_nothing(const fnn_op *op, void *const *buf, void *scratch, const fnn_team *team) {
    (void)op, (void)buf, (void)scratch, (void)team;
}

/* The first thread to come waits, for ten seconds at most, until another comes to a later step. */
static void run_hold(const fnn_op *op, void *const *buf, void *scratch, const fnn_team *team) {
    atomic_int *const came = buf[0];
    (void)op, (void)scratch;
    if (team->tid != 1) return;
    for (int i = 0; i < 10000 && !atomic_load(came); i++) usleep(1000);
}

static void run_come(const fnn_op *op, void *const *buf, void *scratch, const fnn_team *team) {
    atomic_int *const came = buf[0];
    (void)op, (void)scratch;
    if (team->tid == 0) atomic_store(came, atomic_load((atomic_int *)buf[1]) + 1);
}

static const fnn_op_class mix_class = {.name = "mix", .run = run_mix};
static const fnn_op_class sum_class = {.name = "sum", .run = run_sum};
static const fnn_op_class hold_class = {.name = "hold", .run = run_hold};
static const fnn_op_class come_class = {.name = "come", .run = run_come};
static const fnn_op_class nothing_class = {.name = "nothing", .run = run_nothing};

typedef struct job {
    fnn_op serial, parallel, sum;
    fnn_step steps[STEPS + 1];
    void *buf[STEPS + 1][2];
    uint64_t a[CELLS], b[CELLS], total;
    uint64_t scratch[16];
} job;

/* Serial and parallel steps in an irregular pattern, ping-pong between a and b. */
static void set_up(job *j) {
    memset(j, 0, sizeof *j);
    j->serial = (fnn_op){.cls = &mix_class, .units = CELLS};
    j->parallel = (fnn_op){.cls = &mix_class, .units = CELLS, .flops = 1e9};
    j->sum = (fnn_op){.cls = &sum_class, .units = CELLS / 100, .flops = 1e9};
    for (int i = 0; i < CELLS; i++) j->a[i] = (uint64_t)i;
    for (int k = 0; k < STEPS; k++) {
        j->buf[k][0] = k % 2 ? j->b : j->a;
        j->buf[k][1] = k % 2 ? j->a : j->b;
        j->steps[k] = (fnn_step){.op = (k * 7 % 5) < 2 ? &j->serial : &j->parallel, .buf = j->buf[k]};
    }
    j->buf[STEPS][0] = STEPS % 2 ? j->b : j->a;
    j->buf[STEPS][1] = &j->total;
    j->steps[STEPS] = (fnn_step){.op = &j->sum, .buf = j->buf[STEPS]};
}

static uint64_t total_with(int n_threads) {
    job *j = malloc(sizeof *j);
    CHECK(j);
    set_up(j);
    CHECK(fnn_run(j->steps, STEPS + 1, n_threads, j->scratch) == STEPS + 1);
    const uint64_t total = j->total;
    free(j);
    return total;
}

static void test_same_for_every_count(void) {
    fnn_last_team_size();
    const uint64_t expected = total_with(1);
    CHECK(fnn_last_team_size() == 1);
    for (int round = 0; round < 20; round++) {
        const int n = 1 + round * 5 % 9;
        CHECK(total_with(n) == expected);
        CHECK(fnn_last_team_size() == n);
    }
}

/* Three jobs, a step of each in turn: two steps right before each have nothing in common with it. */
static void test_apart(int n_threads) {
    enum { LANES = 3 };
    const uint64_t expected = total_with(1);
    job *j[LANES];
    fnn_step steps[LANES * (STEPS + 1)];
    for (int lane = 0; lane < LANES; lane++) {
        CHECK((j[lane] = malloc(sizeof **j)));
        set_up(j[lane]);
    }
    for (int k = 0; k < LANES * STEPS; k++) {
        steps[k] = j[k % LANES]->steps[k / LANES];
        steps[k].apart = LANES - 1;
    }
    for (int lane = 0; lane < LANES; lane++) steps[LANES * STEPS + lane] = j[lane]->steps[STEPS]; /* one scratch */
    double spent[LANES * (STEPS + 1)];
    CHECK(fnn_run_timed(steps, LANES * (STEPS + 1), n_threads, j[0]->scratch, spent) == LANES * (STEPS + 1));
    for (int k = 0; k < LANES * (STEPS + 1); k++) CHECK(spent[k] >= 0);
    for (int lane = 0; lane < LANES; lane++) {
        CHECK(j[lane]->total == expected);
        free(j[lane]);
    }
}

/* A step that is apart begins while another thread still is in the one before. */
static void test_apart_does_not_wait(int serial, int n_threads) {
    atomic_int came[2] = {0, 0};
    void *first[] = {&came[0]}, *second[] = {&came[0], &came[1]};
    const fnn_op hold = {.cls = &hold_class, .units = 2, .flops = 1e9};
    const fnn_op come = {.cls = &come_class, .units = serial ? 1 : 2, .flops = 1e9};
    fnn_step steps[] = {{.op = &hold, .buf = first}, {.op = &come, .buf = second, .apart = 1}};
    const double start = seconds();
    CHECK(fnn_run(steps, 2, n_threads, NULL) == 2);
    CHECK(seconds() - start < 5 && atomic_load(&came[0]) == 1);
}

static void test_stop(int n_threads) {
    static const int32_t no = 0, yes = 1;
    job *j = malloc(sizeof *j);
    CHECK(j);
    for (int at = 0; at <= STEPS; at++) {
        set_up(j);
        for (int k = 0; k <= STEPS; k += 3) j->steps[k].stop_if = &no;
        j->steps[at].stop_if = &yes;
        CHECK(fnn_run(j->steps, STEPS + 1, n_threads, j->scratch) == at);
    }
    free(j);
}

static void *call_often(void *expected) {
    for (int i = 0; i < 50; i++) CHECK(total_with(3) == *(uint64_t *)expected);
    return NULL;
}

static void test_two_callers(void) {
    uint64_t expected = total_with(1);
    pthread_t other;
    CHECK(pthread_create(&other, NULL, call_often, &expected) == 0);
    call_often(&expected);
    pthread_join(other, NULL);
}

static void test_fork(void) {
    const uint64_t expected = total_with(3);
    const pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        alarm(60);
        _exit(total_with(3) == expected ? 0 : 1);
    }
    int status = -1;
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    CHECK(total_with(3) == expected);
}

/* One barrier a step: the end of a parallel step is also the start of the next. */
static void report_barrier(int n_threads) {
    enum { N = 2000 };
    fnn_op op = {.cls = &nothing_class, .units = n_threads, .flops = 1e9};
    fnn_step *steps = calloc(N, sizeof *steps);
    CHECK(steps);
    double best = 1;
    for (int k = 0; k < N; k++) steps[k] = (fnn_step){.op = &op};
    for (int round = 0; round < 20; round++) {
        const double start = seconds();
        fnn_run(steps, N, n_threads, NULL);
        const double spent = (seconds() - start) / N;
        if (spent < best) best = spent;
    }
    free(steps);
    printf("%s, %d threads: %.0f ns a parallel step of no work\n", fnn_team_backend(), n_threads, best * 1e9);
}

int main(int argc, char **argv) {
    const char *const backends[] = {"pthreads", "openmp"};
    /* libgomp is not instrumented: the thread sanitizer sees races that its locks exclude. */
    const int count = argc > 1 && strcmp(argv[1], "pthreads") == 0 ? 1 : 2;
    for (int i = 0; i < count; i++) {
        CHECK(fnn_set_team_backend(backends[i]) == 0);
        test_same_for_every_count();
        for (int n = 1; n <= 3; n++) test_stop(n);
        for (int n = 1; n <= 3; n++) test_apart(n);
        for (int serial = 0; serial < 2; serial++) test_apart_does_not_wait(serial, 2);
        test_two_callers();
        test_fork();
        report_barrier(2);
    }
    puts("ok");
    return 0;
}
