/* Convolution and its two gradients: three op classes that choose among the algorithms of algorithms.h. */
#include <string.h>

#include "algorithms.h"
#include "live.h"

/* clang-format off */
static const conv2d_algorithm *const forward[] = {
    &fnn_conv2d_depthwise_tiles,
    &fnn_conv2d_depthwise,
    &fnn_conv2d_strip,
    &fnn_conv2d_planes,
    &fnn_conv2d_turns,
    &fnn_conv2d_gemm,
    &fnn_conv2d_small,
    &fnn_conv2d_patches,
    &fnn_conv2d_winograd_2,
    &fnn_conv2d_winograd_4,
    &fnn_conv2d_winograd_5,
    &fnn_conv2d_tiles,
    NULL,
};
static const conv2d_algorithm *const bwd_data[] = {
    &fnn_conv2d_depthwise_tiles_bwd_data,
    &fnn_conv2d_depthwise_bwd_data,
    &fnn_conv2d_scatter_bwd_data,
    &fnn_conv2d_strip_bwd_data,
    &fnn_conv2d_planes_bwd_data,
    &fnn_conv2d_turns_bwd_data,
    &fnn_conv2d_gemm_bwd_data,
    &fnn_conv2d_small_bwd_data,
    &fnn_conv2d_winograd_2_bwd_data,
    &fnn_conv2d_winograd_4_bwd_data,
    &fnn_conv2d_winograd_5_bwd_data,
    &fnn_conv2d_tiles_bwd_data,
    NULL,
};
static const conv2d_algorithm *const bwd_weights[] = {
    &fnn_conv2d_depthwise_tiles_bwd_weights,
    &fnn_conv2d_depthwise_bwd_weights,
    &fnn_conv2d_gemm_bwd_weights,
    &fnn_conv2d_small_bwd_weights,
    &fnn_conv2d_taps_bwd_weights,
    &fnn_conv2d_groups_bwd_weights,
    &fnn_conv2d_winograd_2_bwd_weights,
    &fnn_conv2d_winograd_4_bwd_weights,
    &fnn_conv2d_winograd_5_bwd_weights,
    &fnn_conv2d_tiles_bwd_weights,
    NULL,
};
/* clang-format on */

/* Whether precision and override let a row run. */
static int is_allowed(const conv2d_problem *p, const conv2d_algorithm *row) {
    if (p->algorithm != CONV2D_AUTO) return p->algorithm == (int64_t)row->family;
    if (row->family == CONV2D_WINOGRAD_4) return p->precision == CONV2D_FAST;
    return row->family == CONV2D_DIRECT || p->precision != CONV2D_EXACT;
}

/* The problem as it was asked and without its dead taps (the same, where there are none). */
typedef struct both {
    conv2d_problem asked, narrow;
} both;

/* The gradient for the weights leaves out dead taps by itself, without a copy of what it writes. */
static both both_of(const conv2d_problem *p, const conv2d_algorithm *const *rows) {
    both b = {fnn_conv2d_asked(p), fnn_conv2d_asked(p)};
    if (rows != bwd_weights) fnn_conv2d_drop_taps(&b.narrow);
    return b;
}

/* SiLU is applied to what has left the registers and is still near. */
static int ends_in_silu(const conv2d_algorithm *row) {
    return row == &fnn_conv2d_gemm || row == &fnn_conv2d_patches || row == &fnn_conv2d_depthwise_tiles;
}

/* The one that a row would run: the narrow one if it can; NULL if it can do neither. */
static const conv2d_problem *problem_for(const fnn_op *op, const conv2d_algorithm *row, const both *b) {
    if (b->asked.activation == FNN_ACT_SILU && !ends_in_silu(row)) return NULL;
    if (row->applies(op->k, &b->narrow)) return &b->narrow;
    return row->applies(op->k, &b->asked) ? &b->asked : NULL;
}

static const conv2d_algorithm *choose(const fnn_op *op, const conv2d_algorithm *const *rows, const both *b) {
    const conv2d_problem *p = op->problem;
    const conv2d_algorithm *best = NULL;
    double least = 0;
    for (int64_t i = 0; rows[i]; i++) {
        const conv2d_problem *its = problem_for(op, rows[i], b);
        if (!its) continue;
        if (p->algorithm == CONV2D_FIRST_ROW + i) return rows[i];
        if (!is_allowed(p, rows[i])) continue;
        const double cycles = rows[i]->cost(op->k, its);
        if (!best || cycles < least) best = rows[i], least = cycles;
    }
    return best;
}

static fnn_status init(fnn_op *op, const conv2d_algorithm *const *rows) {
    conv2d_problem *p = op->problem;
    fnn_status status = fnn_conv2d_check(op, p);
    if (status != FNN_OK) return status;
    const both b = both_of(p, rows);
    const conv2d_algorithm *row = choose(op, rows, &b);
    if (!row)
        return fnn_fail(
            op, FNN_UNSUPPORTED,
            "expected an algorithm that can run this convolution (%lldx%lld, stride %lld and %lld, %lld to "
            "%lld channels), got number %lld",
            (long long)p->kh, (long long)p->kw, (long long)p->stride[0], (long long)p->stride[1], (long long)p->ic,
            (long long)p->oc, (long long)p->algorithm);
    op->choice = row;
    op->algorithm = row->name;
    *p = *problem_for(op, row, &b);
    if (!p->whole.narrowed) return row->init(op);
    status = fnn_conv2d_check(op, p);
    if (status == FNN_OK) status = row->init(op);
    /* Behind all that the row shares. */
    p->whole.at = fnn_round_up(op->scratch_shared);
    op->scratch_shared = p->whole.at + (size_t)(conv2d_filters(p) * p->kh * p->kw) * sizeof(float);
    return status;
}

static int candidate(const fnn_op *op, const conv2d_algorithm *const *rows, int i, fnn_candidate *out) {
    for (int j = 0; j < i; j++)
        if (!rows[j]) return 0;
    if (i < 0 || !rows[i]) return 0;
    const both b = both_of(op->problem, rows);
    const conv2d_problem *its = problem_for(op, rows[i], &b);
    *out = (fnn_candidate){.name = rows[i]->name,
                           .algorithm = CONV2D_FIRST_ROW + i,
                           .family = (int)rows[i]->family,
                           .applies = its != NULL,
                           .allowed = its && is_allowed(op->problem, rows[i]),
                           .cycles = its ? rows[i]->cost(op->k, its) : 0};
    return 1;
}

static void run(const fnn_op *op, void *const *buf, void *scratch, const fnn_team *team) {
    ((const conv2d_algorithm *)op->choice)->run(op, buf, scratch, team);
}

/* On the live taps of the weights alone where the problem is narrow. */
static void run_narrow(const fnn_op *op, void *const *buf, int buffers, void *scratch, const fnn_team *team) {
    const conv2d_problem *p = op->problem;
    if (!p->whole.narrowed) {
        run(op, buf, scratch, team);
        return;
    }
    void *narrow[STATISTICS + 1];
    memcpy(narrow, buf, (size_t)buffers * sizeof *buf);
    narrow[W] = (char *)scratch + p->whole.at;
    fnn_conv2d_live_taps(p, buf[W], narrow[W], team);
    fnn_team_wait(team);
    run(op, narrow, scratch, team);
}

/* ---- the three classes ---------------------------------------------------------------------------------- */

static fnn_status forward_init(fnn_op *op) { return init(op, forward); }
static fnn_status bwd_data_init(fnn_op *op) { return init(op, bwd_data); }
static fnn_status bwd_weights_init(fnn_op *op) { return init(op, bwd_weights); }

static int forward_candidate(const fnn_op *op, int i, fnn_candidate *out) { return candidate(op, forward, i, out); }
static int bwd_data_candidate(const fnn_op *op, int i, fnn_candidate *out) { return candidate(op, bwd_data, i, out); }
static int bwd_weights_candidate(const fnn_op *op, int i, fnn_candidate *out) {
    return candidate(op, bwd_weights, i, out);
}

static void forward_run(const fnn_op *op, void *const *buf, void *scratch, const fnn_team *team) {
    run_narrow(op, buf, STATISTICS + 1, scratch, team);
}

/* Whether what runs the gradient of the input sees to the sum and the gate by itself. */
static int finishes(const fnn_op *op) {
    if (op->choice == &fnn_conv2d_gemm_bwd_data) return fnn_conv2d_gemm_finishes(op);
    return op->choice == &fnn_conv2d_winograd_2_bwd_data || op->choice == &fnn_conv2d_winograd_4_bwd_data ||
           op->choice == &fnn_conv2d_winograd_5_bwd_data;
}

static void bwd_data_run(const fnn_op *op, void *const *buf, void *scratch, const fnn_team *team) {
    const conv2d_problem *p = op->problem;
    run_narrow(op, buf, DX_BUFFERS, scratch, team);
    if (!buf[DX_SUM] && !buf[DX_GATE]) return;
    if (finishes(op)) return;
    int64_t lo, hi;
    fnn_team_wait(team);
    fnn_share(p->n * p->ih, team->tid, team->n, &lo, &hi);
    const int64_t line = p->iw * p->ic, at = lo * line;
    const float *sum = buf[DX_SUM], *gate = buf[DX_GATE];
    op->k->sum_and_gate((float *)buf[DX] + at, sum ? sum + at : NULL, gate ? gate + at : NULL, (hi - lo) * line);
}

static const fnn_field forward_fields[] = {CONV2D_FIELDS(FNN_TABLE_I, FNN_TABLE_D, FNN_TABLE_A, conv2d_problem)};
static const fnn_field gradient_fields[] = {CONV2D_GEOMETRY(FNN_TABLE_I, FNN_TABLE_D, FNN_TABLE_A, conv2d_problem)};

#define CONV2D_CLASS(op_name, buffer_names, fields, pass, run_fn)                                                    \
    const fnn_op_class fnn_class_##op_name = {                                                                       \
        #op_name,    buffer_names, sizeof(conv2d_problem), fields, (int)(sizeof fields / sizeof fields[0]),          \
        pass##_init, run_fn,       pass##_candidate}

CONV2D_CLASS(conv2d, "x w ?bias ?residual ?in_scale ?in_shift y ?statistics", forward_fields, forward, forward_run);
CONV2D_CLASS(conv2d_bwd_data, "dy w dx ?sum ?gate", gradient_fields, bwd_data, bwd_data_run);
CONV2D_CLASS(conv2d_bwd_weights, "dy x dw", gradient_fields, bwd_weights, run);
