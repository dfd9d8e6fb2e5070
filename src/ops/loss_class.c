/* Losses over rows of classes: cross entropy with class indices or probabilities, negative log-likelihood,
 * multi-class margin. A row gives a loss and the weight with which it counts in a mean; sums run over fixed blocks of
 * rows in double. A class index outside [0, classes) that is not ignore_index makes its row NaN. */
#include <math.h>
#include <string.h>

#include "past.h"

#define BLOCK_ELEMENTS 2048 /* of rows whose sums are one: few enough to share a handful of rows evenly */
#define LONGEST 8192        /* classes of a row that is made before it is stored past the caches */

enum { REDUCE_NONE = 0, REDUCE_SUM = 1, REDUCE_MEAN = 2 };

/* The leading fields of every problem here. */
#define ROW_FIELDS(I, D, A, T) I(T, rows) I(T, classes) I(T, reduce)
typedef struct row_problem {
    int64_t rows, classes, reduce;
} row_problem;

#define NLL_FIELDS(I, D, A, T) ROW_FIELDS(I, D, A, T) I(T, ignore_index)
FNN_PROBLEM(nll_problem, NLL_FIELDS)

#define ENTROPY_FIELDS(I, D, A, T) NLL_FIELDS(I, D, A, T) D(T, label_smoothing)
FNN_PROBLEM(entropy_problem, ENTROPY_FIELDS)

#define SOFT_FIELDS(I, D, A, T) ROW_FIELDS(I, D, A, T) D(T, label_smoothing)
FNN_PROBLEM(soft_problem, SOFT_FIELDS)

#define MARGIN_FIELDS(I, D, A, T) ROW_FIELDS(I, D, A, T) I(T, p) I(T, divide) D(T, margin)
FNN_PROBLEM(margin_problem, MARGIN_FIELDS)

/* ---- what all share ------------------------------------------------------------------------------------- */

typedef struct row_loss {
    double loss, weight;
} row_loss;

/* buf: the op's own buffers, without dy. */
typedef row_loss (*row_fn)(const fnn_op *op, void *const *buf, int64_t row);
/* scale: dy over the divisor. */
typedef void (*row_slope_fn)(const fnn_op *op, void *const *buf, int64_t row, float scale, float *dx);
typedef double (*weight_fn)(const fnn_op *op, void *const *buf, int64_t row);

static row_problem shape_of(const fnn_op *op) {
    row_problem q;
    memcpy(&q, op->problem, sizeof q);
    return q;
}

static int64_t block_rows(const row_problem *q) {
    return q->classes > 0 && q->classes < BLOCK_ELEMENTS ? BLOCK_ELEMENTS / q->classes : 1;
}
static int64_t block_count(const row_problem *q) { return (q->rows + block_rows(q) - 1) / block_rows(q); }

static int64_t rows_of(const row_problem *q, int64_t block, int64_t *first) {
    *first = block * block_rows(q);
    return q->rows - *first < block_rows(q) ? q->rows : *first + block_rows(q);
}

/* Whether a gradient's rows are made one at a time and stored past the caches. */
static int goes_past(const row_problem *q) { return q->rows * q->classes > FNN_PAST && q->classes <= LONGEST; }

static fnn_status init(fnn_op *op) {
    const row_problem q = shape_of(op);
    if (q.rows < 0 || q.classes < 0) {
        return fnn_fail(op, FNN_INVALID, "expected rows and classes >= 0, got %lld and %lld", (long long)q.rows,
                        (long long)q.classes);
    }
    const int64_t blocks = block_count(&q);
    op->units = blocks > 0 ? blocks : 1;
    op->scratch_shared = sizeof(row_loss) * (size_t)blocks;
    op->scratch_thread = goes_past(&q) ? 2 * sizeof(float) * (size_t)q.classes : 0; /* entropy_rows_past has two */
    op->flops = 16.0 * (double)q.rows * (double)q.classes;
    op->bytes = 8.0 * (double)q.rows * (double)q.classes;
    op->algorithm = "rows";
    return FNN_OK;
}

static row_loss merge(const row_loss *partials, int64_t blocks) {
    row_loss total = {0, 0};
    for (int64_t b = 0; b < blocks; b++) {
        total.loss += partials[b].loss;
        total.weight += partials[b].weight;
    }
    return total;
}

static void run_rows(const fnn_op *op, void *const *buf, float *y, row_loss *partials, const fnn_team *team,
                     row_fn fn) {
    const row_problem q = shape_of(op);
    int64_t lo, hi, row;
    fnn_share(block_count(&q), team->tid, team->n, &lo, &hi);
    for (int64_t block = lo; block < hi; block++) {
        row_loss sum = {0, 0};
        for (const int64_t stop = rows_of(&q, block, &row); row < stop; row++) {
            const row_loss one = fn(op, buf, row);
            if (q.reduce == REDUCE_NONE) y[row] = (float)one.loss;
            sum.loss += one.loss;
            sum.weight += one.weight;
        }
        partials[block] = sum;
    }
    fnn_team_wait(team);
    if (team->tid != 0 || q.reduce == REDUCE_NONE) return;
    const row_loss total = merge(partials, block_count(&q));
    *y = (float)(q.reduce == REDUCE_MEAN ? total.loss / total.weight : total.loss);
}

/* What dy is divided by. weight_fn: a row's weight in a mean; NULL: 1. buf: without dy. */
static double divisor_of(const fnn_op *op, void *const *buf, row_loss *partials, const fnn_team *team,
                         weight_fn weigh) {
    const row_problem q = shape_of(op);
    int64_t lo, hi, row;
    if (q.reduce != REDUCE_MEAN) return 1.0;
    if (!weigh) return (double)q.rows;
    fnn_share(block_count(&q), team->tid, team->n, &lo, &hi);
    for (int64_t block = lo; block < hi; block++) {
        row_loss sum = {0, 0};
        for (const int64_t stop = rows_of(&q, block, &row); row < stop; row++) sum.weight += weigh(op, buf, row);
        partials[block] = sum;
    }
    fnn_team_wait(team);
    return merge(partials, block_count(&q)).weight;
}

static float row_scale(const row_problem *q, const float *dy, int64_t row, double divisor) {
    return (float)((double)dy[q->reduce == REDUCE_NONE ? row : 0] / divisor);
}

/* buf[0] is dy, dx the last buffer. */
static void run_rows_bwd(const fnn_op *op, void *const *buf, float *dx, void *scratch, const fnn_team *team,
                         row_slope_fn fn, weight_fn weigh) {
    const row_problem q = shape_of(op);
    const int past = goes_past(&q);
    const double divisor = divisor_of(op, buf + 1, scratch, team, weigh);
    float *piece = fnn_thread_scratch(op, scratch, team->tid);
    int64_t lo, hi, row;
    fnn_share(block_count(&q), team->tid, team->n, &lo, &hi);
    for (int64_t block = lo; block < hi; block++) {
        for (const int64_t stop = rows_of(&q, block, &row); row < stop; row++) {
            fn(op, buf + 1, row, row_scale(&q, buf[0], row, divisor), past ? piece : dx + row * q.classes);
            if (past) op->k->past_store(q.classes, piece, dx + row * q.classes);
        }
    }
    if (past) op->k->past_end();
}

static void fill(float *dx, int64_t n, float value) {
    for (int64_t j = 0; j < n; j++) dx[j] = value;
}

/* The weight of a class index: 0 for ignore_index, NaN for what is no class. */
static double class_weight(int64_t target, const float *weight, int64_t classes, int64_t ignore_index) {
    if (target == ignore_index) return 0.0;
    if (target < 0 || target >= classes) return (double)NAN;
    return weight ? (double)weight[target] : 1.0;
}

#define ROW_LOSS(name, T, names, inputs, value_fn, slope_fn, weigh)                                                  \
    static void name##_bwd_run(const fnn_op *op, void *const *buf, void *scratch, const fnn_team *team) {            \
        run_rows_bwd(op, buf, buf[inputs + 1], scratch, team, slope_fn, weigh);                                      \
    }                                                                                                                \
    ROW_LOSS_OWN(name, T, names, inputs, value_fn)
/* name##_bwd_run is there already. */
#define ROW_LOSS_OWN(name, T, names, inputs, value_fn)                                                               \
    static void name##_run(const fnn_op *op, void *const *buf, void *scratch, const fnn_team *team) {                \
        run_rows(op, buf, buf[inputs], scratch, team, value_fn);                                                     \
    }                                                                                                                \
    FNN_OP_CLASS(name, T, names " y", init, name##_run);                                                             \
    FNN_OP_CLASS(name##_bwd, T, "dy " names " dx", init, name##_bwd_run);

/* ---- cross entropy with class indices ------------------------------------------------------------------- */

static double entropy_weight(const fnn_op *op, void *const *buf, int64_t row) {
    const entropy_problem *q = op->problem;
    return class_weight(((const int64_t *)buf[1])[row], buf[2], q->classes, q->ignore_index);
}

static fnn_class_shares entropy_shares(const entropy_problem *q, const float *weight) {
    return (fnn_class_shares){NULL, weight, 0.0f, (float)(q->label_smoothing / (double)q->classes)};
}

static row_loss entropy_row(const fnn_op *op, void *const *buf, int64_t row) {
    const entropy_problem *q = op->problem;
    const float *x = (const float *)buf[0] + row * q->classes;
    const int64_t target = ((const int64_t *)buf[1])[row];
    const double weight = entropy_weight(op, buf, row);
    float largest, log_sum;
    double mass;
    if (target == q->ignore_index) return (row_loss){0, 0};
    if (isnan(weight) && (target < 0 || target >= q->classes)) return (row_loss){(double)NAN, weight};
    log_sum = (float)log(op->k->loss_exp_sum(x, q->classes, &largest, NULL));
    row_loss result = {-weight * ((double)x[target] - (double)largest - (double)log_sum), weight};
    if (q->label_smoothing == 0) return result;
    const fnn_class_shares shares = entropy_shares(q, buf[2]);
    result.loss *= 1.0 - q->label_smoothing;
    result.loss -= op->k->loss_class_dot(&shares, x, q->classes, largest, log_sum, &mass);
    return result;
}

/* Without smoothing: dx = e times what is returned. A target that is none makes all of e 0 or NaN. */
static float entropy_terms(const fnn_op *op, void *const *buf, int64_t row, float scale, double sum, float *e) {
    const entropy_problem *q = op->problem;
    const int64_t target = ((const int64_t *)buf[1])[row];
    if (target == q->ignore_index || target < 0 || target >= q->classes) {
        fill(e, q->classes, target == q->ignore_index ? 0.0f : NAN);
        return 1.0f;
    }
    e[target] = (float)((double)e[target] - sum);
    return (float)(entropy_weight(op, buf, row) * (double)scale / sum);
}

static void entropy_slope(const fnn_op *op, void *const *buf, int64_t row, float scale, float *dx) {
    const entropy_problem *q = op->problem;
    const float *x = (const float *)buf[0] + row * q->classes;
    const int64_t target = ((const int64_t *)buf[1])[row];
    const double weight = entropy_weight(op, buf, row);
    float largest;
    double mass = 0;
    if (target == q->ignore_index || target < 0 || target >= q->classes) {
        fill(dx, q->classes, target == q->ignore_index ? 0.0f : NAN);
        return;
    }
    const double sum = op->k->loss_exp_sum(x, q->classes, &largest, dx);
    const fnn_class_shares shares = entropy_shares(q, buf[2]);
    if (q->label_smoothing == 0) {
        const float factor = entropy_terms(op, buf, row, scale, sum, dx);
        op->k->loss_class_slope(&shares, dx, q->classes, factor, scale, dx);
        return;
    }
    op->k->loss_class_dot(&shares, x, q->classes, 0.0f, 0.0f, &mass);
    const double own = (1.0 - q->label_smoothing) * weight;
    op->k->loss_class_slope(&shares, dx, q->classes, (float)((mass + own) * (double)scale / sum), scale, dx);
    dx[target] -= scale * (float)own;
}

/* Rows past the caches: each goes while the exponentials of the next are made. */
static void entropy_rows_past(const fnn_op *op, void *const *buf, void *scratch, const fnn_team *team) {
    const row_problem q = shape_of(op);
    const double divisor = divisor_of(op, buf + 1, scratch, team, entropy_weight);
    const float *x = buf[1];
    float *e = fnn_thread_scratch(op, scratch, team->tid), *dx = buf[4];
    fnn_going before = {.y = dx};
    int64_t lo, hi, row, last;
    fnn_share(block_count(&q), team->tid, team->n, &lo, &hi);
    if (lo == hi) return;
    rows_of(&q, lo, &row);
    for (const int64_t stop = rows_of(&q, hi - 1, &last); row < stop; row++) {
        float *own = e + row % 2 * q.classes;
        const double sum = op->k->softmax_row_past(q.classes, x + row * q.classes, own, &before);
        const float factor = entropy_terms(op, buf + 1, row, row_scale(&q, buf[0], row, divisor), sum, own);
        before = (fnn_going){.e = own, .scale = factor, .n = q.classes, .y = dx + row * q.classes};
    }
    op->k->softmax_row_past(0, NULL, NULL, &before);
    op->k->past_end();
}

static void cross_entropy_bwd_run(const fnn_op *op, void *const *buf, void *scratch, const fnn_team *team) {
    const row_problem q = shape_of(op);
    if (goes_past(&q) && ((const entropy_problem *)op->problem)->label_smoothing == 0)
        entropy_rows_past(op, buf, scratch, team);
    else
        run_rows_bwd(op, buf, buf[4], scratch, team, entropy_slope, entropy_weight);
}

ROW_LOSS_OWN(cross_entropy, entropy_problem, "x target ?weight", 3, entropy_row)

/* ---- cross entropy with class probabilities ------------------------------------------------------------- */

static fnn_class_shares soft_shares(const soft_problem *q, const float *target, const float *weight) {
    return (fnn_class_shares){target, weight, (float)(1.0 - q->label_smoothing),
                              (float)(q->label_smoothing / (double)q->classes)};
}

static row_loss soft_row(const fnn_op *op, void *const *buf, int64_t row) {
    const soft_problem *q = op->problem;
    const float *x = (const float *)buf[0] + row * q->classes;
    const fnn_class_shares shares = soft_shares(q, (const float *)buf[1] + row * q->classes, buf[2]);
    float largest, log_sum;
    double mass;
    log_sum = (float)log(op->k->loss_exp_sum(x, q->classes, &largest, NULL));
    return (row_loss){-op->k->loss_class_dot(&shares, x, q->classes, largest, log_sum, &mass), 1.0};
}

static void soft_slope(const fnn_op *op, void *const *buf, int64_t row, float scale, float *dx) {
    const soft_problem *q = op->problem;
    const float *x = (const float *)buf[0] + row * q->classes;
    const fnn_class_shares shares = soft_shares(q, (const float *)buf[1] + row * q->classes, buf[2]);
    float largest;
    double mass;
    op->k->loss_class_dot(&shares, x, q->classes, 0.0f, 0.0f, &mass);
    const double sum = op->k->loss_exp_sum(x, q->classes, &largest, dx);
    op->k->loss_class_slope(&shares, dx, q->classes, (float)(mass * (double)scale / sum), scale, dx);
}

ROW_LOSS(cross_entropy_soft, soft_problem, "x target ?weight", 3, soft_row, soft_slope, NULL)

/* ---- negative log-likelihood ---------------------------------------------------------------------------- */

static double nll_weight(const fnn_op *op, void *const *buf, int64_t row) {
    const nll_problem *q = op->problem;
    return class_weight(((const int64_t *)buf[1])[row], buf[2], q->classes, q->ignore_index);
}

static row_loss nll_row(const fnn_op *op, void *const *buf, int64_t row) {
    const nll_problem *q = op->problem;
    const int64_t target = ((const int64_t *)buf[1])[row];
    const double weight = nll_weight(op, buf, row);
    if (target == q->ignore_index) return (row_loss){0, 0};
    if (target < 0 || target >= q->classes) return (row_loss){(double)NAN, weight};
    return (row_loss){-weight * (double)((const float *)buf[0])[row * q->classes + target], weight};
}

static void nll_slope(const fnn_op *op, void *const *buf, int64_t row, float scale, float *dx) {
    const nll_problem *q = op->problem;
    const int64_t target = ((const int64_t *)buf[1])[row];
    const int is_class = target >= 0 && target < q->classes;
    fill(dx, q->classes, target == q->ignore_index || is_class ? 0.0f : NAN);
    if (target != q->ignore_index && is_class) dx[target] = (float)(-nll_weight(op, buf, row) * (double)scale);
}

ROW_LOSS(nll_loss, nll_problem, "x target ?weight", 3, nll_row, nll_slope, nll_weight)

/* ---- multi-class margin --------------------------------------------------------------------------------- */

/* What a row's sum of margins is multiplied by; NaN where the target is no class. */
static double margin_factor(const margin_problem *q, int64_t target, const float *weight) {
    if (target < 0 || target >= q->classes) return (double)NAN;
    return (weight ? (double)weight[target] : 1.0) / (q->divide ? (double)q->classes : 1.0);
}

static row_loss margin_row(const fnn_op *op, void *const *buf, int64_t row) {
    const margin_problem *q = op->problem;
    const float *x = (const float *)buf[0] + row * q->classes;
    const int64_t target = ((const int64_t *)buf[1])[row];
    const double factor = margin_factor(q, target, buf[2]);
    if (target < 0 || target >= q->classes) return (row_loss){factor, 1.0};
    const float offset = (float)q->margin - x[target];
    const double before = op->k->loss_margin_sum(x, target, offset, (int)q->p);
    const double after = op->k->loss_margin_sum(x + target + 1, q->classes - target - 1, offset, (int)q->p);
    return (row_loss){factor * (before + after), 1.0};
}

static void margin_slope(const fnn_op *op, void *const *buf, int64_t row, float scale, float *dx) {
    const margin_problem *q = op->problem;
    const float *x = (const float *)buf[0] + row * q->classes;
    const int64_t target = ((const int64_t *)buf[1])[row];
    if (target < 0 || target >= q->classes) {
        fill(dx, q->classes, NAN);
        return;
    }
    const float offset = (float)q->margin - x[target];
    const float factor = (float)(margin_factor(q, target, buf[2]) * (double)scale);
    const int64_t from = target + 1;
    const double before = op->k->loss_margin_slope(x, target, offset, (int)q->p, factor, dx);
    const double after = op->k->loss_margin_slope(x + from, q->classes - from, offset, (int)q->p, factor, dx + from);
    dx[target] = (float)-(before + after);
}

ROW_LOSS(multi_margin_loss, margin_problem, "x target ?weight", 3, margin_row, margin_slope, NULL)
