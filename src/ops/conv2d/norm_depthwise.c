/* Depthwise convolution, and the gradient of its weights, of an input that is batch norm with an activation of x: a
 * few lines at a time are normalised into a thread's scratch and read from there by the tiles of depthwise_tiles.c, so
 * that the whole of them is nowhere. The bits are those of one after the other. Graphs get these ops from
 * fastnn/graph/fusion/. */
#include <math.h>
#include <string.h>

#include "depthwise_tiles.h"

#define LINES_BYTES (768 << 10) /* of the lines in scratch, which stay in the second level, but for the least */

typedef struct norm_problem {
    conv2d_problem conv;
    double eps;
    int64_t norm_activation; /* none, ReLU or SiLU */
} norm_problem;

static const fnn_field fields[] = {CONV2D_GEOMETRY(FNN_TABLE_I, FNN_TABLE_D, FNN_TABLE_A, conv2d_problem) //
                                   {"eps", 'd', 1, offsetof(norm_problem, eps)},
                                   {"norm_activation", 'i', 1, offsetof(norm_problem, norm_activation)}};

/* A thread's lines [first, end) of the image at x, at `at`; and the norm that makes them. */
typedef struct norm_lines {
    fnn_norm norm;
    int64_t period, first, end;
    const float *x;
    float *at;
} norm_lines;

/* Lines of the output made at once, even in number: their source lines fit in scratch. */
static int64_t band_rows(const conv2d_problem *g) {
    const int64_t room = LINES_BYTES / gemm_max(1, g->iw * g->ic * (int64_t)sizeof(float));
    const int64_t rows = (room - g->kh) / g->stride[0] + 1;
    return gemm_max(TILES_LINES, rows / TILES_LINES * TILES_LINES);
}

static fnn_status norm_init(fnn_op *op, const conv2d_algorithm *row) {
    const norm_problem *p = op->problem;
    const conv2d_problem *g = &p->conv;
    fnn_status status = fnn_conv2d_check(op, g);
    if (status != FNN_OK) return status;
    const int known = p->norm_activation == FNN_ACT_NONE || p->norm_activation == FNN_ACT_RELU ||
                      p->norm_activation == FNN_ACT_SILU;
    if (!known || !row->applies(op->k, g))
        return fnn_fail(
            op, FNN_UNSUPPORTED,
            "expected a depthwise convolution of 3x3 or 5x5 at stride 1 or 2 and activation 0, 1 or 3, got "
            "%lldx%lld, stride %lld, %lld channels in %lld groups, activation %lld",
            (long long)g->kh, (long long)g->kw, (long long)g->stride[0], (long long)g->ic, (long long)g->groups,
            (long long)p->norm_activation);
    status = row->init(op);
    const int64_t lines = (band_rows(g) - 1) * g->stride[0] + g->kh;
    op->scratch_thread = sizeof(float) * (size_t)(3 * op->k->norm_period(g->ic) + lines * g->iw * g->ic);
    op->algorithm = "normalised lines";
    return status;
}

/* norm: mean var ?weight ?bias */
static norm_lines lines_of(const fnn_op *op, void *const *norm, void *scratch, const fnn_team *team) {
    const norm_problem *p = op->problem;
    const float *mean = norm[0], *var = norm[1], *weight = norm[2], *bias = norm[3];
    const int64_t c = p->conv.ic, period = op->k->norm_period(c);
    float *at = fnn_thread_scratch(op, scratch, team->tid);
    for (int64_t j = 0; j < period; j++) {
        at[j] = mean[j % c];
        at[period + j] = (float)(1.0 / sqrt((double)var[j % c] + p->eps)) * (weight ? weight[j % c] : 1.0f);
        at[2 * period + j] = bias ? bias[j % c] : 0.0f;
    }
    return (norm_lines){
        .norm = {.mean = at, .scale = at + period, .bias = at + 2 * period}, .period = period, .at = at + 3 * period};
}

/* Makes lines [first, end) of the image at x; those that are there already move up. */
static void make_lines(const fnn_op *op, norm_lines *l, const float *x, int64_t first, int64_t end) {
    const norm_problem *p = op->problem;
    const int64_t line = p->conv.iw * p->conv.ic;
    const int64_t kept = l->x == x && first >= l->first && first < l->end ? l->end - first : 0;
    if (kept && first > l->first)
        memmove(l->at, l->at + (first - l->first) * line, (size_t)(kept * line) * sizeof(float));
    if (first + kept < end)
        op->k->norm_apply(&l->norm, x + (first + kept) * line, (end - first - kept) * line, l->period,
                          (int)p->norm_activation, 0.0f, 0, l->at + kept * line);
    l->x = x, l->first = first, l->end = end;
}

/* A few lines of the band after the other. */
static void in_bands(const fnn_op *op, norm_lines *l, fnn_depthwise_band *b, const float *x,
                     void (*kernel)(const fnn_depthwise_band *)) {
    const conv2d_problem *g = op->problem;
    const int64_t last = b->row1, rows = band_rows(g), line = g->iw * g->ic;
    for (int64_t row = b->row0; row < last; row += rows) {
        fnn_depthwise_band part = *b;
        part.row0 = row, part.row1 = gemm_min(last, row + rows);
        const int64_t whole = gemm_ceil_div(part.row1 - row, TILES_LINES) * TILES_LINES;
        const int64_t first = gemm_max(0, row * g->stride[0] - g->padding[0]);
        const int64_t end = (row + whole - 1) * g->stride[0] - g->padding[0] + g->kh;
        if (first < gemm_min(end, g->ih)) make_lines(op, l, x, first, gemm_min(end, g->ih));
        part.src = l->at - l->first * line;
        kernel(&part);
    }
}

static void forward_lines(const fnn_op *op, void *source, fnn_depthwise_band *b, const float *x) {
    in_bands(op, source, b, x, op->k->depthwise_band);
}
static void sums_lines(const fnn_op *op, void *source, fnn_depthwise_band *b, const float *x) {
    in_bands(op, source, b, x, op->k->depthwise_sums);
}

static fnn_status forward_init(fnn_op *op) { return norm_init(op, &fnn_conv2d_depthwise_tiles); }
static fnn_status bwd_weights_init(fnn_op *op) { return norm_init(op, &fnn_conv2d_depthwise_tiles_bwd_weights); }

static void forward_run(const fnn_op *op, void *const *buf, void *scratch, const fnn_team *team) {
    norm_lines lines = lines_of(op, buf + 3, scratch, team);
    fnn_tiles_forward(op, buf[0], buf[1], buf[2], NULL, buf[7], scratch, team, forward_lines, &lines);
}

static void bwd_weights_run(const fnn_op *op, void *const *buf, void *scratch, const fnn_team *team) {
    norm_lines lines = lines_of(op, buf + 2, scratch, team);
    fnn_tiles_bwd_weights(op, buf[0], buf[1], buf[6], scratch, team, sums_lines, &lines);
}

#define NORM_CLASS(op_name, buffers, pass)                                                                           \
    const fnn_op_class fnn_class_##op_name = {                                                                       \
        #op_name,   buffers, sizeof(norm_problem), fields, (int)(sizeof fields / sizeof fields[0]), pass##_init,     \
        pass##_run, NULL}

NORM_CLASS(norm_conv2d, "x w ?bias mean var ?norm_weight ?norm_bias y", forward);
NORM_CLASS(norm_conv2d_bwd_weights, "dy x mean var ?norm_weight ?norm_bias dw", bwd_weights);
