/* fastnn: the one public header. What the binding and the ops share.
 *
 * An operation is a class (static description), an op (one problem, checked and planned by init) and a run
 * (a thread's share of the work; allocates nothing, opens no parallel region). A program is an array of steps
 * that one team of threads walks with a barrier between steps.
 */
#ifndef FASTNN_H
#define FASTNN_H

#include <stddef.h>
#include <stdint.h>

#define FNN_MAX_NDIM 6
#define FNN_ALIGN 64

typedef enum { FNN_OK = 0, FNN_INVALID, FNN_UNSUPPORTED, FNN_NO_MEMORY } fnn_status;

/* ---- threads -------------------------------------------------------------------------------------------- */

/* One thread's view of the team that runs a step: n threads, this one is tid. */
typedef struct fnn_team {
    int tid, n;
    struct fnn_barrier *barrier;
} fnn_team;

/* All n threads of the team meet; a no-op in a team of one. */
void fnn_team_wait(const fnn_team *team);

/* The contiguous share [lo, hi) of units that thread tid of n owns; balanced to within one unit. */
static inline void fnn_share(int64_t units, int tid, int n, int64_t *lo, int64_t *hi) {
    *lo = units * tid / n;
    *hi = units * (tid + 1) / n;
}

/* ---- operations ----------------------------------------------------------------------------------------- */

/* A field of a problem struct: count int64_t ('i') or double ('d') at offset. */
typedef struct fnn_field {
    const char *name;
    char type;
    int count;
    size_t offset;
} fnn_field;

typedef struct fnn_op fnn_op;

/* One way to run an op: the numbers that ask for it and its kind, whether it can and may be chosen, its estimated cycles. */
typedef struct fnn_candidate {
    const char *name;
    int algorithm, family, applies, allowed;
    double cycles;
} fnn_candidate;

typedef struct fnn_op_class {
    const char *name;
    const char *buffers; /* names in the order of buf[], e.g. "x w ?bias y"; '?': may be NULL */
    size_t problem_bytes;
    const fnn_field *fields;
    int n_fields;
    /* Checks op->problem, chooses the algorithm, fills plan, units, scratch, flops, bytes, algorithm. On failure
     * returns a status and writes the reason with its numbers to op->error. */
    fnn_status (*init)(fnn_op *op);
    /* Thread team->tid does its share. scratch: the shared part, then one part a thread (fnn_thread_scratch). */
    void (*run)(const fnn_op *op, void *const *buf, void *scratch, const fnn_team *team);
    /* Fills in the i-th way to run the op; 0 past the last. NULL where there is but one. */
    int (*candidate)(const fnn_op *op, int i, fnn_candidate *out);
} fnn_op_class;

struct fnn_op {
    const fnn_op_class *cls;
    const struct fnn_kernels *k;           /* kernels of the level that was active at creation */
    void *problem;                         /* what was asked: the class's problem struct */
    const void *choice;                    /* the algorithm, where the class has several */
    void *plan;                            /* what init chose; malloc'ed by init, freed with the op; may be NULL */
    int64_t units;                         /* pieces of work that threads divide among them; 1: always one thread */
    size_t scratch_shared, scratch_thread; /* bytes */
    double flops, bytes;                   /* for the grain rule and reports; bytes read + written */
    const char *algorithm;                 /* short name of what init chose, static storage */
    char error[256];
};

/* Problem structs are declared once, as a field list, and give both the struct and its field table:
 *   #define POOL_FIELDS(I, D, A, T) I(T, n) I(T, c) D(T, eps) A(T, shape, FNN_MAX_NDIM)
 *   FNN_PROBLEM(pool_problem, POOL_FIELDS)                                                                     */
#define FNN_STRUCT_I(T, name) int64_t name;
#define FNN_STRUCT_D(T, name) double name;
#define FNN_STRUCT_A(T, name, n) int64_t name[n];
#define FNN_TABLE_I(T, name) {#name, 'i', 1, offsetof(T, name)},
#define FNN_TABLE_D(T, name) {#name, 'd', 1, offsetof(T, name)},
#define FNN_TABLE_A(T, name, n) {#name, 'i', n, offsetof(T, name)},
#define FNN_PROBLEM(T, FIELDS)                                                                                       \
    typedef struct T {                                                                                               \
        FIELDS(FNN_STRUCT_I, FNN_STRUCT_D, FNN_STRUCT_A, T)                                                          \
    } T;                                                                                                             \
    static const fnn_field T##_fields[] = {FIELDS(FNN_TABLE_I, FNN_TABLE_D, FNN_TABLE_A, T)};

/* The class of one operation; listed once more in ops/ops.inc, nowhere else. */
#define FNN_OP_CLASS(op_name, T, buffer_names, init_fn, run_fn)                                                      \
    const fnn_op_class fnn_class_##op_name = {                                                                       \
        #op_name, buffer_names, sizeof(T), T##_fields, (int)(sizeof T##_fields / sizeof T##_fields[0]),              \
        init_fn,  run_fn,       NULL}

static inline size_t fnn_round_up(size_t bytes) { return (bytes + FNN_ALIGN - 1) / FNN_ALIGN * FNN_ALIGN; }

static inline void *fnn_thread_scratch(const fnn_op *op, void *scratch, int tid) {
    return (char *)scratch + fnn_round_up(op->scratch_shared) + (size_t)tid * fnn_round_up(op->scratch_thread);
}

/* Formats the reason into op->error and returns status. */
fnn_status fnn_fail(fnn_op *op, fnn_status status, const char *format, ...) __attribute__((format(printf, 3, 4)));

int fnn_op_class_count(void);
const fnn_op_class *fnn_op_class_at(int i);
const fnn_op_class *fnn_op_class_find(const char *name);

/* A new op for a copy of problem, or NULL with the reason in error (size 256) and *status set. */
fnn_op *fnn_op_new(const fnn_op_class *cls, const void *problem, fnn_status *status, char *error);
void fnn_op_free(fnn_op *op);
size_t fnn_op_scratch_bytes(const fnn_op *op, int n_threads);

/* ---- programs ------------------------------------------------------------------------------------------- */

typedef struct fnn_step {
    const fnn_op *op;
    void **buf;
    const int32_t *stop_if; /* not NULL: after this step, a nonzero value ends the run */
    int apart; /* so many steps right before this one touch nothing that it writes, and write nothing that it touches */
} fnn_step;

/* Runs steps [0, n_steps) with a team of n_threads (denormals flushed, the caller's state restored after).
 * Returns n_steps, or the index of the step whose stop_if ended it. scratch: the largest fnn_op_scratch_bytes. */
int fnn_run(const fnn_step *steps, int n_steps, int n_threads, void *scratch);
/* The same, and what each step took, in seconds; a wait for other threads counts to the step that needs it. */
int fnn_run_timed(const fnn_step *steps, int n_steps, int n_threads, void *scratch, double *seconds);

/* An op is shared among threads only where its estimated time on one exceeds the grain (nanoseconds; tests set 0). */
void fnn_set_grain(double nanoseconds);
double fnn_get_grain(void);
/* Threads that took part in the last parallel step since the last call: for tests. */
int fnn_last_team_size(void);
/* Whether the run under way is the first, the third, ... of the process. An op that reads more than a cache holds, run
 * after run, goes through it forwards and backwards in turn: what it read last is still near, and is read first. */
int fnn_run_is_odd(void);

/* ---- memory: base/ -------------------------------------------------------------------------------------- */

void *fnn_alloc(size_t bytes); /* aligned; uninitialised; NULL when there is none */
void fnn_free(void *p);

/* ---- threads and levels: base/ -------------------------------------------------------------------------- */

typedef void (*fnn_team_fn)(void *arg, const fnn_team *team);
void fnn_run_team(fnn_team_fn fn, void *arg, int n); /* on the back end that fnn_set_team_backend chose */
int fnn_set_team_backend(const char *name);          /* "pthreads" | "openmp"; 0: done, -1: not built */
const char *fnn_team_backend(void);
int fnn_has_openmp(void);
int fnn_default_threads(char *why, size_t size); /* min(affinity, cgroup quota, physical cores) and the reason */

int fnn_level_count(void);         /* levels compiled in, lowest first */
const char *fnn_level_name(int i); /* "baseline" "avx2" "avx512" "amx" | "neon" | "portable" */
int fnn_level_detected(void);      /* highest compiled level that the processor and the OS support */
int fnn_level_active(void);
int fnn_set_level(int i);           /* 0: done, -1: beyond what was detected */
const char *fnn_cpu_features(void); /* what cpuid and XCR0 say, as words */

#endif
