# Declarations of src/fastnn.h, as far as the binding uses them.

from libc.stdint cimport int32_t, int64_t

cdef extern from "fastnn.h" nogil:
    ctypedef enum fnn_status:
        FNN_OK
        FNN_INVALID
        FNN_UNSUPPORTED
        FNN_NO_MEMORY

    ctypedef struct fnn_field:
        const char *name
        char type
        int count
        size_t offset

    ctypedef struct fnn_op

    ctypedef struct fnn_candidate:
        const char *name
        int algorithm, family, applies, allowed
        double cycles

    ctypedef struct fnn_op_class:
        const char *name
        const char *buffers
        size_t problem_bytes
        const fnn_field *fields
        int n_fields
        int (*candidate)(const fnn_op *op, int i, fnn_candidate *out)

    ctypedef struct fnn_op:
        const fnn_op_class *cls
        int64_t units
        size_t scratch_shared, scratch_thread
        double flops, bytes
        const char *algorithm

    ctypedef struct fnn_step:
        const fnn_op *op
        void **buf
        const int32_t *stop_if
        int apart

    ctypedef struct fnn_kernels:
        const char *level
        int vl, gemm_mr, gemm_nr

    int fnn_op_class_count()
    const fnn_op_class *fnn_op_class_at(int i)
    const fnn_op_class *fnn_op_class_find(const char *name)
    fnn_op *fnn_op_new(const fnn_op_class *cls, const void *problem, fnn_status *status, char *error)
    void fnn_op_free(fnn_op *op)
    size_t fnn_op_scratch_bytes(const fnn_op *op, int n_threads)

    int fnn_run_timed(const fnn_step *steps, int n_steps, int n_threads, void *scratch, double *seconds)
    void fnn_set_grain(double nanoseconds)
    double fnn_get_grain()
    int fnn_last_team_size()

    void *fnn_alloc(size_t bytes)
    void fnn_free(void *p)

    int fnn_set_team_backend(const char *name)
    const char *fnn_team_backend()
    int fnn_has_openmp()
    int fnn_default_threads(char *why, size_t size)
    int fnn_level_count()
    const char *fnn_level_name(int i)
    int fnn_level_detected()
    int fnn_level_active()
    int fnn_set_level(int i)
    const char *fnn_cpu_features()

cdef extern from "kernels/table.h" nogil:
    const fnn_kernels *fnn_kernels_active()
