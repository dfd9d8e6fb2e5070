/* The loops of every matrix product: C[m x n] (+)= A[m x k] B[k x n], for a batch of equal-sized ones.
 *
 * Two ways to walk it, chosen by shape. Shared: B is packed once for all threads, who then share C's rows; for many
 * rows against weights. Private: threads share C's rows or columns (and chunks of k where C is too small to share),
 * and each packs the blocks it needs. Either way an element of C is one sum in the order of k, cut where kc and the
 * chunks say, which depend on the shape alone. */
#ifndef FASTNN_OPS_GEMM_CORE_H
#define FASTNN_OPS_GEMM_CORE_H

#include "../kernels/table.h"

typedef struct gemm_source gemm_source;

/* Packs rows [first, first + count) of A (or columns of B) over k values [k0, k0 + k) into panels at dst. */
typedef void gemm_pack_fn(const gemm_source *s, const fnn_kernels *kernels, int64_t batch, int64_t first,
                          int64_t count, int64_t k0, int64_t k, float *dst);

/* Where an operand comes from. Strided: element (i, p) of batch b is data[b * batch_stride + i * stride +
 * p * k_stride]; where line_rows is set, rows come in lines of so many, line_stride apart, and i * stride becomes
 * i / line_rows * line_stride + i % line_rows * stride. The others use what they need of it. */
struct gemm_source {
    gemm_pack_fn *pack;
    const float *data;
    int64_t batch_stride, stride, k_stride;
    int64_t line_rows, line_stride;
    const fnn_gather *gather;
    int finished;       /* strided rows of A whose values are finished by gather's prologue on the way */
    const int32_t *tap; /* offsets of the taps within a filter */
    const fnn_strip_weights *filters; /* all taps of all channels: where they go */
    int64_t n_taps, channels;
};

gemm_pack_fn fnn_gemm_pack_strided_a, fnn_gemm_pack_strided_b, fnn_gemm_pack_gather_a, fnn_gemm_pack_gather_b,
    fnn_gemm_pack_weights_b, fnn_gemm_pack_filters_b;

/* Row i of C lies at y * stride_h + x * stride_w + image * stride_n, (image, y, x) its place in the grid. zeros: what
 * lies between it and the next row, or the end of its image, is filled with zeros. */
typedef struct gemm_rows {
    int64_t grid_h, grid_w, stride_n, stride_h, stride_w;
    int zeros;
} gemm_rows;

static inline gemm_rows gemm_plain_rows(int64_t ld) { return (gemm_rows){1, INT64_MAX, 0, 0, ld, 0}; }

typedef struct gemm_plan {
    int64_t m, n, k, batch;
    int64_t kc;              /* length of a block along k */
    int64_t nc;              /* shared: columns of B packed at once */
    int64_t row_unit;        /* shared: rows that stay on one thread */
    int64_t chunks, chunk_k; /* private: cuts of k with partial results of their own */
    int64_t units_per_batch; /* pieces of C along the side that threads share */
    int64_t panels;          /* of B */
    int64_t mc;              /* most rows of a packed block of A */
    int shared, by_rows;
    int tiles;   /* as gemm_tiles.h does it: by_rows says that rows stream, mc what stays of the other side */
    int swapped; /* on tiles: B's columns, which stream, are the first operand of the tiles, and A's rows the second */
    int taken;   /* on tiles: blocks of C are made in scratch, for gemm_call's taker */
    int turned;  /* C's transpose is wanted: blocks of it are made in scratch */
    int64_t group; /* not 0: rows first, so many columns of B at a time, which stay in the second-level cache */
} gemm_plan;

typedef struct gemm_call {
    const gemm_plan *plan;
    const fnn_kernels *kernels;
    gemm_source a, b;
    float *c;
    int64_t c_batch; /* from one batch's C to the next; bias: plan->n */
    gemm_rows rows;
    int64_t turned_row; /* plan->turned: element (i, j) of C goes to c[j * turned_row + i], and bias is per row */
    float *partials;    /* chunks > 1: [chunk][batch][m][n], merged by the caller */
    int accumulate;     /* C += A B */
    const float *bias, *residual;
    int activation;
    float slope;
    const float *late_sum,
        *late_gate;    /* addressed as c: added to what is done, and where that is not positive it is 0 */
    float *statistics; /* [row block of GEMM_MC][mean, m2][batch * n], or NULL; shared plans with statistics only */
    /* plan->taken: gets rows [i, i + m) of columns [j, j + n) of C, `row` floats apart, which are not kept. */
    void (*take)(void *taker, int64_t i, int64_t m, int64_t j, int64_t n, const float *c, int64_t row);
    void *taker;
    const fnn_gemm_update *update; /* the same, of all of C, for SGD's step; or NULL */
} gemm_call;

typedef enum {
    GEMM_FREE,       /* shared or private, as the shape suggests */
    GEMM_SHARED,     /* B can only be packed in whole columns */
    GEMM_STATISTICS, /* shared, and C's row blocks of GEMM_MC rows stay whole */
    GEMM_REDUCTION,  /* private, and a long k may be cut into chunks */
} gemm_mode;

void fnn_gemm_plan_init(gemm_plan *plan, const fnn_kernels *kernels, gemm_mode mode, int64_t batch, int64_t m,
                        int64_t n, int64_t k);
/* After that, where A's rows or columns are contiguous, C's transpose is wanted and rows are many more than columns.
 * Returns whether it can be so. */
int fnn_gemm_plan_turned(gemm_plan *plan, const fnn_kernels *kernels, int64_t m, int64_t n, int64_t k);
/* The same of any product, B being so small that all of it stays in the second-level cache. */
void fnn_gemm_plan_filters(gemm_plan *plan, const fnn_kernels *kernels, int64_t m, int64_t n, int64_t k);
/* After that, where A's rows are contiguous along k and will be given with fnn_gemm_pack_strided_a. */
void fnn_gemm_plan_rows(gemm_plan *plan, const fnn_kernels *kernels);
int64_t fnn_gemm_group(const fnn_kernels *kernels, int64_t m, int64_t n, int64_t k);
int64_t fnn_gemm_units(const gemm_plan *plan);
size_t fnn_gemm_shared_bytes(const gemm_plan *plan); /* packed B or partials */
size_t fnn_gemm_thread_bytes(const gemm_plan *plan);

/* The whole product; partials, where planned, are left at scratch in shared memory for the caller to merge after
 * fnn_team_wait. */
void fnn_gemm_run(const fnn_op *op, const gemm_call *call, void *scratch, const fnn_team *team);

/* Its two halves in shared mode, for callers that put several products behind one barrier. */
void fnn_gemm_pack_shared(const gemm_call *call, int64_t j0, int64_t n, float *b, const fnn_team *team);
void fnn_gemm_run_shared(const gemm_call *call, int64_t j0, int64_t n, const float *b, void *thread_scratch,
                         const fnn_team *team);

static inline int64_t gemm_ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
static inline int64_t gemm_min(int64_t a, int64_t b) { return a < b ? a : b; }
static inline int64_t gemm_max(int64_t a, int64_t b) { return a > b ? a : b; }

#endif
