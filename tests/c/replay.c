/* Runs recorded programs: for levels of another architecture under an emulator, and for all kernels under sanitizers.
 *
 *     replay LEVEL THREADS PROGRAMS RESULTS
 *
 * tests/replay.py writes PROGRAMS and reads RESULTS. Memory that a program does not write first is poisoned; each
 * buffer has margins that must survive. Ends with 1 at the first error, saying where. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fastnn.h"

enum { MARGIN = 256, INPUT = 1, OUTPUT = 2, POISON = 0xFF };

typedef struct slot {
    char *memory; /* MARGIN bytes before and after it are watched */
    int64_t bytes, kind;
} slot;

static FILE *in;

static void fail(const char *what, const char *detail) {
    fprintf(stderr, "replay: %s %s\n", what, detail);
    exit(1);
}

static void read_bytes(void *to, size_t bytes) {
    if (bytes && fread(to, 1, bytes, in) != bytes) fail("the file of programs ends early", "");
}

static int64_t read_int(void) {
    int64_t value;
    read_bytes(&value, sizeof value);
    return value;
}

static void read_name(char name[128]) {
    const int64_t length = read_int();
    if (length < 0 || length > 127) fail("expected a name of at most 127 bytes", "");
    read_bytes(name, (size_t)length);
    name[length] = '\0';
}

static void *allocate(size_t bytes) {
    void *p = fnn_alloc(bytes);
    if (!p) fail("no memory", "");
    memset(p, POISON, bytes);
    return p;
}

static slot read_slot(void) {
    slot s;
    s.kind = read_int();
    s.bytes = read_int();
    s.memory = (char *)allocate((size_t)s.bytes + 2 * MARGIN) + MARGIN;
    if (s.kind & INPUT) read_bytes(s.memory, (size_t)s.bytes);
    return s;
}

static void check_margins(const slot *s, const char *who) {
    for (int i = 0; i < MARGIN; i++)
        if ((unsigned char)s->memory[-1 - i] != POISON || (unsigned char)s->memory[s->bytes + i] != POISON)
            fail("written outside of a buffer of", who);
}

static void read_field(const fnn_op_class *cls, char *problem) {
    char name[128];
    read_name(name);
    const int64_t count = read_int();
    for (int i = 0; i < cls->n_fields; i++) {
        const fnn_field *f = &cls->fields[i];
        if (strcmp(f->name, name) != 0) continue;
        if (count > f->count) fail("too many values for the field", name);
        for (int64_t j = 0; j < count; j++) {
            const int64_t is_double = read_int();
            union {
                int64_t whole;
                double real;
            } value = {.whole = read_int()};
            if (f->type == 'd' && !is_double) value.real = (double)value.whole;
            if (f->type != 'd' && is_double) fail("expected whole numbers for", name);
            memcpy(problem + f->offset + 8 * j, &value, sizeof value);
        }
        return;
    }
    fail("no such field:", name);
}

static void read_step(fnn_step *step, const slot *slots, int64_t n_slots) {
    char name[128];
    read_name(name);
    const fnn_op_class *cls = fnn_op_class_find(name);
    if (!cls) fail("no such operation:", name);
    char *problem = calloc(1, cls->problem_bytes + 8), error[256];
    if (!problem) fail("no memory", "");
    for (int64_t i = read_int(); i > 0; i--) read_field(cls, problem);
    fnn_status status = FNN_OK;
    step->op = fnn_op_new(cls, problem, &status, error);
    if (!step->op) fail(name, error);
    free(problem);
    const int64_t n = read_int();
    step->buf = calloc((size_t)n + 1, sizeof(void *));
    if (!step->buf) fail("no memory", "");
    for (int64_t i = 0; i < n; i++) {
        const int64_t at = read_int();
        if (at >= n_slots) fail("no such slot in", name);
        step->buf[i] = at < 0 ? NULL : slots[at].memory;
    }
}

static void run_program(int threads, FILE *out) {
    char name[128];
    read_name(name);
    const int64_t n_slots = read_int();
    slot *slots = calloc((size_t)n_slots + 1, sizeof *slots);
    if (!slots) fail("no memory", "");
    for (int64_t i = 0; i < n_slots; i++) slots[i] = read_slot();
    const int64_t n_steps = read_int();
    fnn_step *steps = calloc((size_t)n_steps + 1, sizeof *steps);
    if (!steps) fail("no memory", "");
    size_t most = 64;
    for (int64_t i = 0; i < n_steps; i++) {
        read_step(&steps[i], slots, n_slots);
        const size_t bytes = fnn_op_scratch_bytes(steps[i].op, threads);
        if (most < bytes) most = bytes;
    }
    void *scratch = allocate(most);
    fnn_run(steps, (int)n_steps, threads, scratch);
    for (int64_t i = 0; i < n_slots; i++) {
        check_margins(&slots[i], name);
        if (slots[i].kind & OUTPUT) fwrite(slots[i].memory, 1, (size_t)slots[i].bytes, out);
        fnn_free(slots[i].memory - MARGIN);
    }
    for (int64_t i = 0; i < n_steps; i++) {
        fnn_op_free((fnn_op *)steps[i].op);
        free(steps[i].buf);
    }
    fnn_free(scratch);
    free(steps);
    free(slots);
}

int main(int argc, char **argv) {
    if (argc != 5) fail("expected LEVEL THREADS PROGRAMS RESULTS", "");
    int level = fnn_level_count() - 1;
    while (level >= 0 && strcmp(fnn_level_name(level), argv[1]) != 0) level--;
    if (level < 0 || fnn_set_level(level) != 0) fail("this machine or build has no level", argv[1]);
    fnn_set_grain(0);
    in = fopen(argv[3], "rb");
    FILE *out = fopen(argv[4], "wb");
    if (!in || !out) fail("cannot open", in ? argv[4] : argv[3]);
    for (int64_t n = read_int(); n > 0; n--) run_program(atoi(argv[2]), out);
    fclose(in);
    if (fclose(out) != 0) fail("cannot write", argv[4]);
    return 0;
}
