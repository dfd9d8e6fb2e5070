/* Programs: one team walks the steps. */
#include "fpu.h"
#include "parallel.h"

/* A crude estimate of one thread, only to tell tiny work from the rest: FLOPs and bytes a nanosecond, from the caches,
 * where all tiny work is. */
#define FLOPS_PER_NS 64.0
#define BYTES_PER_NS 64.0
#define DEFAULT_GRAIN_NS 5000.0

static _Atomic double grain_ns = DEFAULT_GRAIN_NS;
static atomic_int last_team_size = 1;

void fnn_set_grain(double nanoseconds) { atomic_store(&grain_ns, nanoseconds); }
double fnn_get_grain(void) { return atomic_load(&grain_ns); }
int fnn_last_team_size(void) { return atomic_exchange(&last_team_size, 1); }

typedef struct program {
    const fnn_step *steps;
    int n_steps;
    double grain;
    void *scratch;
    atomic_int stopped_at; /* index of the step whose flag was set, or -1 */
} program;

static int is_parallel(const program *p, int i) {
    const fnn_op *op = p->steps[i].op;
    return op->units > 1 && op->flops / FLOPS_PER_NS + op->bytes / BYTES_PER_NS >= p->grain;
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

/* Every thread of the team walks all steps; a barrier stands on each side of a parallel one, none between two
 * serial ones. */
static void walk(void *arg, const fnn_team *team) {
    program *p = arg;
    const fnn_team alone = {.tid = 0, .n = 1, .barrier = NULL};
    const fpu_state before = fpu_flush_denormals();
    int in_step = 0; /* thread 0 may be busy with serial steps */
    for (int i = 0; i < p->n_steps; i++) {
        if (team->n > 1 && is_parallel(p, i)) {
            if (in_step) fnn_team_wait(team);
            if (team->tid == 0) atomic_store(&last_team_size, team->n);
            run_step(p, i, team);
            fnn_team_wait(team);
            in_step = 0;
        } else {
            if (team->tid == 0) run_step(p, i, &alone);
            in_step = 1;
        }
        if (!p->steps[i].stop_if) continue;
        if (stops(p, i, team)) break;
        in_step = 0;
    }
    fpu_set(before);
}

int fnn_run(const fnn_step *steps, int n_steps, int n_threads, void *scratch) {
    program p = {.steps = steps, .n_steps = n_steps, .grain = fnn_get_grain(), .scratch = scratch, .stopped_at = -1};
    int parallel = 0;
    for (int i = 0; i < n_steps && !parallel; i++) parallel = is_parallel(&p, i);
    fnn_run_team(walk, &p, parallel ? n_threads : 1);
    const int stopped_at = atomic_load(&p.stopped_at);
    return stopped_at < 0 ? n_steps : stopped_at;
}
