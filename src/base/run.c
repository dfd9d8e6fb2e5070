/* Programs: one team walks the steps. */
#include "fpu.h"
#include "parallel.h"

/* A crude estimate of one thread, only to tell tiny work from the rest: FLOPs and bytes a nanosecond, from the caches,
 * where all tiny work is. */
#define FLOPS_PER_NS 64.0
#define BYTES_PER_NS 64.0
#define DEFAULT_GRAIN_NS 5000.0
/* A program that moves no more than this stays in one processor's cache. What another thread takes over there has to
 * come from that cache, at so many bytes a nanosecond: worth it for what computes much on few bytes only. */
#define NEAR_BYTES 4e6
#define FAR_BYTES_PER_NS 20.0
#define FAST_FLOPS_PER_NS 120.0

static _Atomic double grain_ns = DEFAULT_GRAIN_NS;
static atomic_int last_team_size = 1;
static atomic_uint runs;

void fnn_set_grain(double nanoseconds) { atomic_store(&grain_ns, nanoseconds); }
double fnn_get_grain(void) { return atomic_load(&grain_ns); }
int fnn_last_team_size(void) { return atomic_exchange(&last_team_size, 1); }

int fnn_run_is_odd(void) { return (int)(atomic_load_explicit(&runs, memory_order_relaxed) & 1); }

typedef struct program {
    const fnn_step *steps;
    int n_steps, n_threads;
    int near; /* whether all its data are in the cache of the thread that runs serial steps */
    double grain;
    void *scratch;
    double *seconds;       /* of each step, NULL where nobody asks */
    long long start;       /* of the first step */
    atomic_int stopped_at; /* index of the step whose flag was set, or -1 */
} program;

/* Whether a step is shared among threads; follows: the step before was, and this one goes on with its data. */
static int is_parallel(const program *p, int i, int follows) {
    const fnn_op *op = p->steps[i].op;
    if (op->units <= 1) return 0;
    if (!p->near || follows || p->grain <= 0) return op->flops / FLOPS_PER_NS + op->bytes / BYTES_PER_NS >= p->grain;
    const double saved = op->flops / FAST_FLOPS_PER_NS * (1 - 1.0 / p->n_threads);
    return saved - op->bytes / FAR_BYTES_PER_NS >= p->grain;
}

/* A single step finds its data as the run before left them, which shared them in the same way. So does a program that
 * only reads its weights: each thread has its part of them near. One that may be stopped is a training step. */
static int is_near(const fnn_step *steps, int n_steps) {
    double bytes = 0;
    int stoppable = 0;
    for (int i = 0; i < n_steps; i++) bytes += steps[i].op->bytes, stoppable |= steps[i].stop_if != NULL;
    return stoppable && n_steps > 1 && bytes <= NEAR_BYTES;
}

static void run_step(const program *p, int i, const fnn_team *team) {
    const fnn_step *step = &p->steps[i];
    step->op->cls->run(step->op, step->buf, p->scratch, team);
}

/* Thread 0 reads the flag for all, since the steps after it may reuse its memory. The others compare with their own
 * index: thread 0 may already have stopped at a later step. */
static int stops(program *p, int i, const fnn_team *team) {
    if (team->tid == 0 && *p->steps[i].stop_if != 0) atomic_store(&p->stopped_at, i);
    fnn_team_wait(team);
    return atomic_load(&p->stopped_at) == i;
}

static void note_time(const program *p, int i, long long *last) {
    const long long now = fnn_now_ns();
    p->seconds[i] = 1e-9 * (double)(now - *last);
    *last = now;
}

/* Every thread of the team walks all steps. All meet before a step that has something in common with one since they
 * last met, if another thread may have had a part in that; serial steps follow each other on thread 0. */
static void walk(void *arg, const fnn_team *team) {
    program *p = arg;
    const fnn_team alone = {.tid = 0, .n = 1, .barrier = NULL};
    const fpu_state before = fpu_flush_denormals();
    long long last = p->start;
    int parallel = 0;
    int met = 0;             /* the first step since all met */
    int shared = p->n_steps; /* the first parallel one since then */
    for (int i = 0; i < p->n_steps; i++) {
        parallel = team->n > 1 && is_parallel(p, i, parallel && p->steps[i].apart == 0);
        if ((parallel ? met : shared) < i - p->steps[i].apart) {
            fnn_team_wait(team);
            met = i;
            shared = p->n_steps;
        }
        if (parallel) {
            if (team->tid == 0) atomic_store(&last_team_size, team->n);
            run_step(p, i, team);
            if (shared > i) shared = i;
        } else if (team->tid == 0) {
            run_step(p, i, &alone);
        }
        if (p->seconds && team->tid == 0) note_time(p, i, &last);
        if (!p->steps[i].stop_if) continue;
        if (parallel) fnn_team_wait(team); /* the flag is whole */
        if (stops(p, i, team)) break;
        met = i + 1;
        shared = p->n_steps;
    }
    fpu_set(before);
}

int fnn_run_timed(const fnn_step *steps, int n_steps, int n_threads, void *scratch, double *seconds) {
    program p = {.steps = steps,
                 .n_steps = n_steps,
                 .n_threads = n_threads,
                 .near = n_threads > 1 && is_near(steps, n_steps),
                 .grain = fnn_get_grain(),
                 .scratch = scratch,
                 .seconds = seconds,
                 .start = seconds ? fnn_now_ns() : 0,
                 .stopped_at = -1};
    int parallel = 0;
    atomic_fetch_add_explicit(&runs, 1, memory_order_relaxed);
    for (int i = 0; i < n_steps && !parallel; i++) parallel = is_parallel(&p, i, 0);
    fnn_run_team(walk, &p, parallel ? n_threads : 1);
    const int stopped_at = atomic_load(&p.stopped_at);
    return stopped_at < 0 ? n_steps : stopped_at;
}

int fnn_run(const fnn_step *steps, int n_steps, int n_threads, void *scratch) {
    return fnn_run_timed(steps, n_steps, n_threads, scratch, NULL);
}
