/* Matrix products: linear and its gradients, matmul. All matrices in C order.
 *
 *   linear              y = x w^T + bias      x (rows, in), w (out, in), y (rows, out)
 *   linear_bwd_data     dx = dy w
 *   linear_bwd_weights  dw = dy^T x           long batches are summed in chunks of rows fixed by shape
 *   matmul              y = op(a) op(b)       a batch of them
 */
#include <stdlib.h>

#include "gemm_once.h"
#include "gemm_tiles.h"

#define FEW_PANELS 4     /* of columns, up to which a product goes rows first */
#define FEW_UNIT 16      /* columns: a cache line of C */
#define LONG_PANEL 12288 /* floats of a panel of B past which it does not stay in the first-level cache */
#define LONG_ROWS 256    /* of A, from which on blocks are longer along k then, ... */
#define LONG_MC 112      /* ... and of so many rows */

/* How a product's operands lie in memory: what follows each other along the rows of C, or along k. */
typedef enum { ANY_ORDER, NN, NT } product_order;

typedef struct product_plan {
    gemm_plan gemm;
    product_order few; /* which kernel of gemm_few.h does it all, or ANY_ORDER */
    int once;          /* as gemm_once.h does it */
} product_plan;

/* Few rows: packing would cost more than it saves, and threads share the columns. The limits are where the two ways
 * took the same time; the wider the vectors, the larger is the share of packing. */
static int is_few(const fnn_op *op, int64_t m, int64_t n, int64_t k, product_order order) {
    const int64_t vl = op->k->vl, narrow = order == NT ? k < 16 * vl : n < 2 * vl;
    return order != ANY_ORDER && m > 0 && m <= FNN_FEW_ROWS && m <= (narrow ? 12 : 24) * vl / 16;
}

/* A panel of B that is too long for the first-level cache anyway may as well be longer: C, whose rows come from far,
 * is read and written half as often. */
static void plan_long(gemm_plan *p, const fnn_kernels *kernels) {
    const int64_t mr = kernels->gemm_mr, blocks = gemm_max(1, gemm_ceil_div(p->k, 2 * kernels->gemm_kc));
    const int64_t kc = gemm_ceil_div(gemm_ceil_div(p->k, blocks), 4) * 4;
    if (!p->shared || p->m <= LONG_ROWS || kernels->gemm_nr * kernels->gemm_kc <= LONG_PANEL) return;
    if (kc <= kernels->gemm_kc) return;
    p->kc = kc, p->mc = LONG_MC / mr * mr;
}

/* Plans one product for op: units, scratch and FLOPs follow from it. */
static fnn_status plan_product(fnn_op *op, int64_t batch, int64_t m, int64_t n, int64_t k, gemm_mode mode,
                               product_order order) {
    if (batch < 0 || m < 0 || n < 0 || k < 0)
        return fnn_fail(op, FNN_INVALID,
                        "expected sizes of at least 0, got batch %lld of (%lld, %lld) by (%lld, %lld)",
                        (long long)batch, (long long)m, (long long)k, (long long)k, (long long)n);
    product_plan *plan = op->plan = malloc(sizeof *plan);
    if (!plan) return fnn_fail(op, FNN_NO_MEMORY, "no memory for the plan");
    fnn_gemm_plan_init(&plan->gemm, op->k, mode, batch, m, n, k);
    plan->few = is_few(op, m, n, k, order) ? order : ANY_ORDER;
    const gemm_order lies = {order != ANY_ORDER, order == NT};
    const int tiles = !plan->few && (order == NT ? fnn_gemm_plan_tiles_along(&plan->gemm, op->k)
                                                 : fnn_gemm_plan_tiles(&plan->gemm, op->k, lies));
    if (tiles) order = ANY_ORDER;
    /* Of a narrow batch and wide weights the batch is packed, and the weights are read where they are. */
    if (order == NT && batch == 1 && !plan->few) fnn_gemm_plan_turned(&plan->gemm, op->k, n, m, k);
    if (order != ANY_ORDER && !plan->gemm.turned && n <= FEW_PANELS * op->k->gemm_nr)
        fnn_gemm_plan_rows(&plan->gemm, op->k);
    plan->once = order == NN && !plan->few && !plan->gemm.turned && fnn_gemm_is_once(&plan->gemm, op->k);
    if (!plan->few && !plan->once && !plan->gemm.group && !tiles) plan_long(&plan->gemm, op->k);
    if (plan->few) {
        op->units = batch * gemm_ceil_div(n, FEW_UNIT);
    } else if (plan->once) {
        op->units = fnn_gemm_once_units(&plan->gemm);
        op->scratch_thread = fnn_gemm_once_thread_bytes(&plan->gemm, op->k);
    } else {
        op->units = fnn_gemm_units(&plan->gemm);
        op->scratch_shared = fnn_gemm_shared_bytes(&plan->gemm);
        op->scratch_thread = fnn_gemm_thread_bytes(&plan->gemm);
    }
    op->flops = 2.0 * (double)batch * (double)m * (double)n * (double)k;
    op->bytes = 4.0 * (double)batch * ((double)m * (double)k + (double)k * (double)n + (double)m * (double)n);
    op->algorithm = plan->few ? "gemm-few-rows" : plan->gemm.tiles ? "gemm-tiles" : "gemm";
    return FNN_OK;
}

static gemm_call product(const fnn_op *op, gemm_source a, gemm_source b, float *c) {
    const gemm_plan *plan = &((const product_plan *)op->plan)->gemm;
    if (plan->turned) { /* the product's rows are columns of the plan's */
        const gemm_source rows = b;
        b = a, b.pack = fnn_gemm_pack_strided_b;
        a = rows, a.pack = fnn_gemm_pack_strided_a;
    }
    return (gemm_call){.plan = plan,
                       .kernels = op->k,
                       .a = a,
                       .b = b,
                       .c = c,
                       .c_batch = plan->turned ? 0 : plan->m * plan->n,
                       .turned_row = plan->m,
                       .rows = gemm_plain_rows(plan->n)};
}

static gemm_source rows_of(const float *data, int64_t stride, int64_t k_stride) {
    return (gemm_source){.pack = fnn_gemm_pack_strided_a, .data = data, .stride = stride, .k_stride = k_stride};
}

static gemm_source columns_of(const float *data, int64_t k_stride, int64_t stride) {
    return (gemm_source){.pack = fnn_gemm_pack_strided_b, .data = data, .stride = stride, .k_stride = k_stride};
}

/* This thread's columns of a product of few rows. */
static void run_few(const gemm_call *call, product_order order, const fnn_team *team) {
    const gemm_plan *p = call->plan;
    const int64_t per = gemm_ceil_div(p->n, FEW_UNIT);
    int64_t rows[FNN_FEW_ROWS], lo, hi;
    for (int64_t i = 0; i < p->m; i++) rows[i] = i * p->n;
    fnn_share(per * p->batch, team->tid, team->n, &lo, &hi);
    for (int64_t u = lo, next; u < hi; u = next) {
        const int64_t batch = u / per, start = batch * per;
        next = gemm_min(hi, start + per);
        const int64_t j = (u - start) * FEW_UNIT, at = batch * call->c_batch + j;
        fnn_gemm_block g = {.m = p->m,
                            .n = gemm_min(p->n, (next - start) * FEW_UNIT) - j,
                            .k = p->k,
                            .a = call->a.data + batch * call->a.batch_stride,
                            .a_row = call->a.stride,
                            .b = call->b.data + batch * call->b.batch_stride + j * call->b.stride,
                            .b_row = order == NT ? call->b.stride : call->b.k_stride,
                            .c = call->c + at,
                            .rows = rows,
                            .add_c = call->accumulate,
                            .last = 1,
                            .bias = call->bias ? call->bias + j : NULL,
                            .residual = call->residual ? call->residual + at : NULL,
                            .activation = call->activation,
                            .slope = call->slope,
                            .backwards = fnn_run_is_odd()};
        if (order == NT)
            call->kernels->gemm_few_nt(&g);
        else
            call->kernels->gemm_few_nn(&g);
    }
}

static void run_product(const fnn_op *op, const gemm_call *call, void *scratch, const fnn_team *team) {
    const product_plan *plan = op->plan;
    if (plan->few)
        run_few(call, plan->few, team);
    else if (plan->once)
        fnn_gemm_run_once(call, fnn_thread_scratch(op, scratch, team->tid), team);
    else
        fnn_gemm_run(op, call, scratch, team);
}

/* ---- linear --------------------------------------------------------------------------------------------- */

#define LINEAR_FIELDS(I, D, A, T)                                                                                    \
    I(T, rows) I(T, in_features) I(T, out_features) I(T, activation) D(T, slope) I(T, accumulate)
FNN_PROBLEM(linear_problem, LINEAR_FIELDS)

static fnn_status linear_init(fnn_op *op) {
    const linear_problem *p = op->problem;
    if (p->activation < FNN_ACT_NONE || p->activation > FNN_ACT_LEAKY_RELU)
        return fnn_fail(op, FNN_INVALID, "expected activation 0 to 2, got %lld", (long long)p->activation);
    return plan_product(op, 1, p->rows, p->out_features, p->in_features, GEMM_FREE, NT);
}

static void linear_run(const fnn_op *op, void *const *buf, void *scratch, const fnn_team *team) {
    const linear_problem *p = op->problem;
    gemm_call call = product(op, rows_of(buf[0], p->in_features, 1), columns_of(buf[1], 1, p->in_features), buf[4]);
    call.bias = buf[2], call.residual = buf[3];
    call.activation = (int)p->activation, call.slope = (float)p->slope, call.accumulate = (int)p->accumulate;
    run_product(op, &call, scratch, team);
}

FNN_OP_CLASS(linear, linear_problem, "x w ?bias ?residual y", linear_init, linear_run);

#define LINEAR_BWD_FIELDS(I, D, A, T) I(T, rows) I(T, in_features) I(T, out_features)
FNN_PROBLEM(linear_bwd_problem, LINEAR_BWD_FIELDS)

static fnn_status linear_bwd_data_init(fnn_op *op) {
    const linear_bwd_problem *p = op->problem;
    return plan_product(op, 1, p->rows, p->in_features, p->out_features, GEMM_FREE, NN);
}

static void linear_bwd_data_run(const fnn_op *op, void *const *buf, void *scratch, const fnn_team *team) {
    const linear_bwd_problem *p = op->problem;
    const gemm_call call = product(op, rows_of(buf[0], p->out_features, 1), columns_of(buf[1], p->in_features, 1),
                                   buf[2]);
    run_product(op, &call, scratch, team);
}

FNN_OP_CLASS(linear_bwd_data, linear_bwd_problem, "dy w dx", linear_bwd_data_init, linear_bwd_data_run);

static fnn_status linear_bwd_weights_init(fnn_op *op) {
    const linear_bwd_problem *p = op->problem;
    return plan_product(op, 1, p->out_features, p->in_features, p->rows, GEMM_REDUCTION, ANY_ORDER);
}

static void linear_bwd_weights_run(const fnn_op *op, void *const *buf, void *scratch, const fnn_team *team) {
    const linear_bwd_problem *p = op->problem;
    const gemm_plan *plan = &((const product_plan *)op->plan)->gemm;
    gemm_call call = product(op, rows_of(buf[0], 1, p->out_features), columns_of(buf[1], p->in_features, 1), buf[2]);
    call.partials = scratch;
    run_product(op, &call, scratch, team);
    if (plan->chunks == 1) return;
    fnn_team_wait(team);
    const int64_t row = p->in_features;
    int64_t lo, hi;
    fnn_share(plan->m, team->tid, team->n, &lo, &hi);
    for (int64_t i = lo; i < hi; i++)
        op->k->conv_merge_weights(call.c + i * row, call.partials + i * row, plan->chunks, plan->m * row, 1, row,
                                  row);
}

FNN_OP_CLASS(linear_bwd_weights, linear_bwd_problem, "dy x dw", linear_bwd_weights_init, linear_bwd_weights_run);

/* ---- matmul --------------------------------------------------------------------------------------------- */

#define MATMUL_FIELDS(I, D, A, T) I(T, batch) I(T, m) I(T, n) I(T, k) I(T, transpose_a) I(T, transpose_b)
FNN_PROBLEM(matmul_problem, MATMUL_FIELDS)

static fnn_status matmul_init(fnn_op *op) {
    const matmul_problem *p = op->problem;
    const product_order order = p->transpose_a ? ANY_ORDER : p->transpose_b ? NT : NN;
    return plan_product(op, p->batch, p->m, p->n, p->k, GEMM_FREE, order);
}

static void matmul_run(const fnn_op *op, void *const *buf, void *scratch, const fnn_team *team) {
    const matmul_problem *p = op->problem;
    gemm_source a = p->transpose_a ? rows_of(buf[0], 1, p->m) : rows_of(buf[0], p->k, 1);
    gemm_source b = p->transpose_b ? columns_of(buf[1], 1, p->k) : columns_of(buf[1], p->n, 1);
    a.batch_stride = p->m * p->k, b.batch_stride = p->k * p->n;
    const gemm_call call = product(op, a, b, buf[2]);
    run_product(op, &call, scratch, team);
}

FNN_OP_CLASS(matmul, matmul_problem, "a b y", matmul_init, matmul_run);
