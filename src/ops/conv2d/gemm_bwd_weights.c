/* Gradient of a convolution with respect to its weights: dw = dy^T X, X the gathered taps of x, never whole in
 * memory. Rows are output channels, columns (kh, kw, ic), k runs over the output pixels of the batch, in chunks fixed
 * by shape where dw alone is too small to share. The result is turned to OIHW while the chunks are summed. */
#include <stdlib.h>

#include "../gemm_tiles.h"
#include "algorithms.h"

#define DIRECT_EFFICIENCY 0.95 /* of a 1x1 whose product is dw: no partial results, no turn */
#define DIRECT_PACK 0.75       /* cycles a value of its operands, which are packed in blocks of a matrix product */
#define CHUNK_PACK 0.3         /* what a value of another 1x1 takes more than one that is gathered near its use */

typedef struct bwd_weights_plan {
    gemm_plan gemm;
    fnn_gather gather;
    int direct; /* 1x1 in one chunk: the product is dw */
    int32_t taps[];
} bwd_weights_plan;

static int applies(const fnn_kernels *kernels, const conv2d_problem *p) {
    (void)kernels, (void)p;
    return 1;
}

/* Pixels lie across, in both operands. */
static const gemm_order across = {0, 0};

static double cost(const fnn_kernels *kernels, const conv2d_problem *p) {
    const int64_t filter = p->ic / p->groups * p->kh * p->kw, ocg = p->oc / p->groups;
    const double pixels = (double)(p->n * p->oh * p->ow);
    if (conv2d_is_pointwise(p) && fnn_gemm_takes_tiles(kernels, across, ocg, filter, (int64_t)pixels))
        return (double)p->groups * fnn_gemm_tile_cycles(kernels, across, ocg, filter, (int64_t)pixels);
    gemm_plan plan;
    fnn_gemm_plan_init(&plan, kernels, GEMM_REDUCTION, p->groups, ocg, filter, p->n * p->oh * p->ow);
    if (conv2d_is_pointwise(p) && plan.chunks == 1)
        return (double)p->groups * (conv2d_tile_cycles(kernels, (double)ocg, filter, pixels, DIRECT_EFFICIENCY) +
                                    DIRECT_PACK * pixels * (double)(filter + ocg));
    const double pack = conv2d_gather_cycles(p->ic / p->groups) + (conv2d_is_pointwise(p) ? CHUNK_PACK : 0);
    return (double)p->groups *
           (conv2d_tile_cycles(kernels, (double)ocg, filter, pixels, CONV2D_GEMM_WEIGHTS_EFFICIENCY) +
            pack * pixels * (double)(filter + ocg));
}

static fnn_status init(fnn_op *op) {
    const conv2d_problem *g = op->problem;
    const int64_t taps = g->kh * g->kw, filter = taps * (g->ic / g->groups);
    bwd_weights_plan *plan = op->plan = malloc(sizeof *plan + (size_t)(2 * taps) * sizeof(int32_t));
    if (!plan) return fnn_fail(op, FNN_NO_MEMORY, "no memory for %lld taps", (long long)taps);
    plan->gather = fnn_conv2d_gather(g, 1, plan->taps, plan->taps + taps);
    fnn_gemm_plan_init(&plan->gemm, op->k, GEMM_REDUCTION, g->groups, g->oc / g->groups, filter,
                       g->n * g->oh * g->ow);
    if (conv2d_is_pointwise(g) && fnn_gemm_plan_tiles(&plan->gemm, op->k, across)) op->algorithm = "gemm-tiles";
    plan->direct = taps == 1 && plan->gemm.chunks == 1;
    op->units = fnn_gemm_units(&plan->gemm);
    op->scratch_shared = (size_t)(plan->direct ? 0 : plan->gemm.chunks * g->oc * filter) * sizeof(float);
    op->scratch_thread = fnn_gemm_thread_bytes(&plan->gemm);
    return FNN_OK;
}

static void run(const fnn_op *op, void *const *buf, void *scratch, const fnn_team *team) {
    const conv2d_problem *g = op->problem;
    const bwd_weights_plan *plan = op->plan;
    const int64_t icg = g->ic / g->groups, ocg = g->oc / g->groups, taps = g->kh * g->kw, filter = taps * icg;
    const gemm_source a = {
        .pack = fnn_gemm_pack_strided_a, .data = buf[0], .batch_stride = ocg, .stride = 1, .k_stride = g->oc};
    gemm_source b = {.pack = fnn_gemm_pack_gather_b, .data = buf[1], .batch_stride = icg, .gather = &plan->gather};
    if (conv2d_is_pointwise(g)) b.pack = fnn_gemm_pack_strided_b, b.stride = 1, b.k_stride = g->ic;
    const gemm_call call = {.plan = &plan->gemm,
                            .kernels = op->k,
                            .a = a,
                            .b = b,
                            .c = plan->direct ? buf[2] : scratch,
                            .c_batch = ocg * filter,
                            .rows = gemm_plain_rows(filter),
                            .partials = scratch};
    fnn_gemm_run(op, &call, scratch, team);
    if (plan->direct) return;
    fnn_team_wait(team);
    int64_t lo, hi;
    fnn_share(g->oc, team->tid, team->n, &lo, &hi);
    for (int64_t o = lo; o < hi; o++)
        op->k->conv_merge_weights((float *)buf[2] + o * filter, (const float *)scratch + o * filter,
                                  plan->gemm.chunks, g->oc * filter, taps, icg, icg);
}

const conv2d_algorithm fnn_conv2d_gemm_bwd_weights = {"gemm", CONV2D_DIRECT, applies, cost, init, run};
