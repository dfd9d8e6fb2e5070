/* Pooling to a given output size: window o covers floor(o in / out) up to ceil((o + 1) in / out). Max-pooling indices
 * are ih * IW + iw of the winner, int32. */
#include "pool_plan.h"

FNN_PROBLEM(adaptive_pool_problem, POOL_GEOMETRY)

static fnn_status init(fnn_op *op, int backward, int maximum) {
    const adaptive_pool_problem *q = op->problem;
    const fnn_pool_windows ws = {NULL, NULL, NULL, NULL, 0, backward};
    if (maximum && (double)q->input_size[0] * (double)q->input_size[1] > 2147483647.0) {
        return fnn_fail(op, FNN_UNSUPPORTED, "an image of %lld x %lld does not fit int32 indices",
                        (long long)q->input_size[0], (long long)q->input_size[1]);
    }
    const fnn_status status = fnn_pool_init(op, &ws);
    if (status == FNN_OK) ((fnn_pool_plan *)op->plan)->pool.wide = 1;
    return status;
}
static fnn_status avg_init(fnn_op *op) { return init(op, 0, 0); }
static fnn_status avg_bwd_init(fnn_op *op) { return init(op, 1, 0); }
static fnn_status max_init(fnn_op *op) { return init(op, 0, 1); }
static fnn_status max_bwd_init(fnn_op *op) { return init(op, 1, 1); }

FNN_OP_CLASS(adaptive_avg_pool2d, adaptive_pool_problem, "x y", avg_init, fnn_avg_pool_run);
FNN_OP_CLASS(adaptive_avg_pool2d_bwd, adaptive_pool_problem, "dy dx", avg_bwd_init, fnn_avg_pool_bwd_run);
FNN_OP_CLASS(adaptive_max_pool2d, adaptive_pool_problem, "x y index", max_init, fnn_max_pool_run);
FNN_OP_CLASS(adaptive_max_pool2d_bwd, adaptive_pool_problem, "dy index dx", max_bwd_init, fnn_max_pool_bwd_run);
