/* Operations as objects: the registry of classes, creation, errors. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../fastnn.h"
#include "../kernels/table.h"

#define FNN_OP(name) extern const fnn_op_class fnn_class_##name;
#include "../ops/ops.inc"
#undef FNN_OP

static const fnn_op_class *const classes[] = {
#define FNN_OP(name) &fnn_class_##name,
#include "../ops/ops.inc"
#undef FNN_OP
    NULL,
};

int fnn_op_class_count(void) { return (int)(sizeof classes / sizeof classes[0]) - 1; }

const fnn_op_class *fnn_op_class_at(int i) { return i >= 0 && i < fnn_op_class_count() ? classes[i] : NULL; }

const fnn_op_class *fnn_op_class_find(const char *name) {
    for (int i = 0; i < fnn_op_class_count(); i++)
        if (strcmp(classes[i]->name, name) == 0) return classes[i];
    return NULL;
}

fnn_status fnn_fail(fnn_op *op, fnn_status status, const char *format, ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(op->error, sizeof op->error, format, args);
    va_end(args);
    return status;
}

static fnn_status init_op(fnn_op *op, const fnn_op_class *cls, const void *problem) {
    op->cls = cls;
    op->k = fnn_kernels_active();
    op->units = 1;
    op->algorithm = "";
    op->problem = malloc(cls->problem_bytes ? cls->problem_bytes : 1);
    if (!op->problem) return fnn_fail(op, FNN_NO_MEMORY, "no memory for the problem of %s", cls->name);
    memcpy(op->problem, problem, cls->problem_bytes);
    return cls->init(op);
}

fnn_op *fnn_op_new(const fnn_op_class *cls, const void *problem, fnn_status *status, char *error) {
    fnn_op *op = calloc(1, sizeof *op);
    error[0] = '\0';
    if (!op) {
        snprintf(error, sizeof op->error, "no memory for an operation %s", cls->name);
        *status = FNN_NO_MEMORY;
        return NULL;
    }
    *status = init_op(op, cls, problem);
    if (*status == FNN_OK) return op;
    memcpy(error, op->error, sizeof op->error);
    fnn_op_free(op);
    return NULL;
}

void fnn_op_free(fnn_op *op) {
    if (!op) return;
    free(op->plan);
    free(op->problem);
    free(op);
}

size_t fnn_op_scratch_bytes(const fnn_op *op, int n_threads) {
    return fnn_round_up(op->scratch_shared) + (size_t)n_threads * fnn_round_up(op->scratch_thread);
}
