/* The backward of a 1x1 convolution y = u w and of batch norm, with its activation, of y. Batch norm's sums are there
 * already; the gradient of y is made a block of rows at a time, and in the cache both products take it. Graphs get
 * these ops from fastnn/graph/fusion/. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../kernels/table.h"

#define BLOCK_FLOATS 16384       /* of the gradient in a block */
#define PARTIAL_FLOATS (1 << 18) /* of the weights' gradients of all chunks ... */
#define CHUNKS_LEAST 4           /* ... which are so many at least, */
#define CHUNKS_MOST 16           /* and at most */
#define ALIASING_FLOATS 1024     /* rows this far apart share a set of the first-level cache */
#define SLACK 64                 /* floats past the last row that a whole vector may read */

#define POINTWISE_FIELDS(I, D, A, T) I(T, rows) I(T, c) I(T, ic) D(T, eps) I(T, activation)
FNN_PROBLEM(pointwise_problem, POINTWISE_FIELDS)

enum { DY, X, MEAN, VAR, WEIGHT, BIAS, DWEIGHT, DBIAS, U, W, DU, DW, SUM, GATE };

/* A pure function of the shape and the level's tiles. */
typedef struct pointwise_plan {
    int64_t block_rows, blocks, chunks; /* a chunk of blocks has sums of its own */
    int64_t ld, period;                 /* floats of a row of a block; of an array of coefficients */
    int64_t u_panels, y_panels;         /* of the products' columns */
    int64_t packed_floats, part_floats;
} pointwise_plan;

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t most(int64_t a, int64_t b) { return a > b ? a : b; }
static int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

static fnn_status check(fnn_op *op) {
    const pointwise_problem *q = op->problem;
    if (q->rows < 0 || q->c < 1 || q->ic < 1)
        return fnn_fail(op, FNN_INVALID, "expected rows >= 0 and channels >= 1, got %lld, %lld and %lld",
                        (long long)q->rows, (long long)q->c, (long long)q->ic);
    if (q->activation != FNN_ACT_NONE && q->activation != FNN_ACT_RELU && q->activation != FNN_ACT_SILU)
        return fnn_fail(op, FNN_UNSUPPORTED, "expected no activation, ReLU or SiLU, got %lld",
                        (long long)q->activation);
    return FNN_OK;
}

static size_t coefficient_bytes(const pointwise_plan *p) {
    return fnn_round_up(5 * (size_t)p->period * sizeof(float));
}

static size_t rows_bytes(const pointwise_plan *p) { return fnn_round_up((size_t)p->block_rows * sizeof(int64_t)); }

static fnn_status init(fnn_op *op) {
    const pointwise_problem *q = op->problem;
    const fnn_status status = check(op);
    if (status != FNN_OK) return status;
    pointwise_plan *p = op->plan = malloc(sizeof *p);
    if (!p) return fnn_fail(op, FNN_NO_MEMORY, "no memory for a plan");
    const int64_t mr = op->k->gemm_mr;
    *p = (pointwise_plan){.ld = q->c % ALIASING_FLOATS ? q->c : q->c + FNN_LINE, .period = op->k->norm_period(q->c)};
    p->block_rows = most(mr, least(GEMM_MC, BLOCK_FLOATS / q->c / mr * mr));
    p->blocks = ceil_div(q->rows, p->block_rows);
    p->u_panels = ceil_div(q->ic, op->k->gemm_nr), p->y_panels = ceil_div(q->c, op->k->weights_nr);
    p->packed_floats = p->u_panels * op->k->gemm_nr * q->c;
    p->part_floats = p->y_panels * op->k->weights_nr * q->ic;
    p->chunks = least(p->blocks, most(CHUNKS_LEAST, least(CHUNKS_MOST, PARTIAL_FLOATS / p->part_floats)));
    op->units = most(1, p->chunks);
    op->scratch_shared = (size_t)(p->packed_floats + p->chunks * p->part_floats) * sizeof(float);
    op->scratch_thread = coefficient_bytes(p) + 2 * rows_bytes(p) + (size_t)(p->block_rows * p->ld + SLACK) * 4;
    op->flops = (4.0 * (double)q->ic + 7.0) * (double)q->rows * (double)q->c;
    op->bytes = 8.0 * (double)q->rows * (double)(q->c + q->ic);
    op->algorithm = "rows in blocks";
    return FNN_OK;
}

typedef struct pointwise_run {
    const fnn_op *op;
    const pointwise_problem *q;
    const pointwise_plan *p;
    void *const *buf;
    float *packed, *parts; /* shared */
    fnn_norm norm;
    int64_t *rows;           /* where a block's rows of du begin */
    fnn_weights_pair *pairs; /* of a block's rows */
    float *g;                /* a block of the gradient */
} pointwise_run;

/* Batch norm's arrays, from the sums over all rows that dweight and dbias are. */
static fnn_norm fill_coefficients(const pointwise_run *r, float *to) {
    const pointwise_problem *q = r->q;
    const int64_t period = r->p->period;
    const float *var = r->buf[VAR], *weight = r->buf[WEIGHT], *bias = r->buf[BIAS];
    const float *dweight = r->buf[DWEIGHT], *dbias = r->buf[DBIAS];
    float *mean = to, *scale = mean + period, *shift = scale + period, *offset = shift + period,
          *slope = offset + period;
    for (int64_t j = 0; j < q->c; j++) {
        const double inverse = 1.0 / sqrt((double)var[j] + q->eps), count = (double)q->rows;
        mean[j] = ((const float *)r->buf[MEAN])[j];
        scale[j] = (float)inverse * (weight ? weight[j] : 1.0f);
        shift[j] = bias ? bias[j] : 0.0f;
        offset[j] = (float)((double)dbias[j] / count);
        slope[j] = (float)((double)dweight[j] * inverse / count);
    }
    for (int i = 0; i < 5; i++)
        for (int64_t j = q->c; j < period; j++) to[i * period + j] = to[i * period + j - q->c];
    return (fnn_norm){.mean = mean, .scale = scale, .bias = shift, .offset = offset, .slope = slope};
}

static pointwise_run run_of(const fnn_op *op, void *const *buf, void *scratch, int tid) {
    pointwise_run r = {.op = op, .q = op->problem, .p = op->plan, .buf = buf, .packed = scratch};
    char *mine = fnn_thread_scratch(op, scratch, tid);
    r.parts = r.packed + r.p->packed_floats;
    r.norm = fill_coefficients(&r, (float *)mine);
    r.rows = (int64_t *)(mine + coefficient_bytes(r.p));
    r.pairs = (fnn_weights_pair *)((char *)r.rows + rows_bytes(r.p));
    r.g = (float *)((char *)r.pairs + rows_bytes(r.p));
    for (int64_t i = 0; i < r.p->block_rows; i++) {
        r.rows[i] = i * r.q->ic;
        r.pairs[i] = (uint64_t)(i * r.q->ic) | (uint64_t)(i * r.p->ld) << 32;
    }
    return r;
}

/* This thread's panels of w, for the product by it. */
static void pack(const pointwise_run *r, const fnn_team *team) {
    const int64_t nr = r->op->k->gemm_nr, ic = r->q->ic, c = r->q->c;
    int64_t lo, hi;
    fnn_share(r->p->u_panels, team->tid, team->n, &lo, &hi);
    for (int64_t j = lo; j < hi; j++)
        r->op->k->pack_columns(r->packed + j * nr * c, (const float *)r->buf[W] + j * nr, ic, 1,
                               least(nr, ic - j * nr), c);
}

/* The gradient of y in n rows from `row`. */
static void make_gradient(const pointwise_run *r, int64_t row, int64_t n) {
    const int64_t c = r->q->c, ld = r->p->ld, lines = ld == c ? 1 : n, count = ld == c ? n * c : c;
    const float *dy = (const float *)r->buf[DY] + row * c, *x = (const float *)r->buf[X] + row * c;
    for (int64_t i = 0; i < lines; i++)
        r->op->k->norm_grad_apply(&r->norm, dy + i * c, x + i * c, count, r->p->period, (int)r->q->activation, 0,
                                  r->g + i * ld);
}

/* du in n rows from `row`; meanwhile those of dy from `next` on come nearer. */
static void times_weights(const pointwise_run *r, int64_t row, int64_t n, int64_t next) {
    const fnn_kernels *k = r->op->k;
    const int64_t ic = r->q->ic, c = r->q->c, at = row * ic;
    const float *sum = r->buf[SUM], *gate = r->buf[GATE];
    float *du = (float *)r->buf[DU] + at;
    const fnn_gemm_block block = {.m = n,
                                  .n = ic,
                                  .k = c,
                                  .a = r->g,
                                  .a_row = r->p->ld,
                                  .b = r->packed,
                                  .b_panel = k->gemm_nr * c,
                                  .c = du,
                                  .rows = r->rows,
                                  .last = 1,
                                  .rows_first = 1,
                                  .next_a = r->g,
                                  .next_c = r->g,
                                  .soon = (const float *)r->buf[DY] + next * c,
                                  .soon_lines = 1,
                                  .soon_floats = r->p->block_rows * c,
                                  .soon_stride = 0};
    k->gemm_block(&block);
    if (sum || gate) k->sum_and_gate(du, sum ? sum + at : NULL, gate ? gate + at : NULL, n * ic);
}

/* What n rows from `row` add to a chunk's part of dw; meanwhile those of x and u from `next` on come nearer. */
static void times_inputs(const pointwise_run *r, int64_t row, int64_t n, int64_t next, float *part, int add) {
    const fnn_kernels *k = r->op->k;
    const int64_t ic = r->q->ic, c = r->q->c, nr = k->weights_nr, panels = ceil_div(ic, k->weights_mr);
    const int64_t block = r->p->block_rows, pairs = r->p->y_panels * panels * n, step = ceil_div(block * c, pairs);
    const float *u = r->buf[U], *x = (const float *)r->buf[X] + next * c;
    fnn_weights_block t = {.rows = ic,
                           .row_panels = panels,
                           .row1 = panels,
                           .a = u + row * ic,
                           .taps = 1,
                           .pairs = r->pairs,
                           .tap_end = &n,
                           .add = add};
    t.ahead[0] = (fnn_weights_ahead){u + next * ic, ceil_div(block * ic, FNN_LINE), FNN_LINE};
    t.ahead[1] = (fnn_weights_ahead){x, pairs, least(step, FNN_LINE)};
    for (int64_t j = 0; j < r->p->y_panels; j++) {
        t.columns = least(nr, c - j * nr);
        t.b = r->g + j * nr;
        t.c = part + j * nr * ic;
        k->weights_block(&t);
    }
}

/* Blocks of a chunk, the last first: what batch norm's sums read last is still near. */
static void run_chunk(const pointwise_run *r, int64_t chunk) {
    const pointwise_plan *p = r->p;
    const int64_t b0 = p->blocks * chunk / p->chunks, b1 = p->blocks * (chunk + 1) / p->chunks;
    for (int64_t b = b1 - 1; b >= b0; b--) {
        const int64_t row = b * p->block_rows, n = least(p->block_rows, r->q->rows - row);
        const int64_t next = most(0, b - 1) * p->block_rows;
        make_gradient(r, row, n);
        times_inputs(r, row, n, next, r->parts + chunk * p->part_floats, b < b1 - 1);
        times_weights(r, row, n, next);
    }
}

/* This thread's panels of dw: the sum of all chunks', turned. */
static void merge(const pointwise_run *r, const fnn_team *team) {
    const fnn_kernels *k = r->op->k;
    const int64_t ic = r->q->ic, c = r->q->c, nr = k->weights_nr;
    int64_t lo, hi;
    fnn_share(r->p->y_panels, team->tid, team->n, &lo, &hi);
    for (int64_t j = lo; j < hi; j++) {
        float *part = r->parts + j * nr * ic;
        k->weights_sum(part, r->p->chunks, r->p->part_floats, nr * ic);
        const fnn_weights_turn t = {.width = ic, .apart = nr, .count = ic, .n = least(nr, c - j * nr), .rounds = 1};
        k->weights_turn((float *)r->buf[DW] + j * nr * ic, part, &t);
    }
}

static void run(const fnn_op *op, void *const *buf, void *scratch, const fnn_team *team) {
    const pointwise_run r = run_of(op, buf, scratch, team->tid);
    if (r.p->chunks == 0) {
        if (team->tid == 0) memset(buf[DW], 0, (size_t)(r.q->c * r.q->ic) * sizeof(float));
        return;
    }
    pack(&r, team);
    fnn_team_wait(team);
    int64_t lo, hi;
    fnn_share(r.p->chunks, team->tid, team->n, &lo, &hi);
    for (int64_t chunk = hi - 1; chunk >= lo; chunk--) run_chunk(&r, chunk);
    fnn_team_wait(team);
    merge(&r, team);
}

FNN_OP_CLASS(norm_pointwise_bwd, pointwise_problem, "dy x mean var ?weight ?bias dweight dbias u w du dw ?sum ?gate",
             init, run);
