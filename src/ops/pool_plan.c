/* Windows and covers of pooling as tables, made once when an op is created. */
#include "pool_plan.h"

#include <stdlib.h>
#include <string.h>

#define SPLIT_CHANNELS 64 /* channels of a piece where rows alone are too few to share */
#define ENOUGH_UNITS 16
#define PAST_BYTES                                                                                                   \
    (4 << 20) /* larger tensors exceed the caches: what is stored there would first be read for nothing */

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t most(int64_t a, int64_t b) { return a > b ? a : b; }
/* Quotients of a >= 0 and b > 0. */
static int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

/* Windows that slide: output o has its taps at o * stride - padding + t * dilation for t in [0, kernel). */
static void slide(const fnn_pool_axis *axis, fnn_window *window, const fnn_pool_windows *ws, int which) {
    const int64_t kernel = ws->kernel[which], stride = ws->stride[which], padding = ws->padding[which];
    const int64_t dilation = ws->dilation[which];
    for (int64_t o = 0; o < axis->out; o++) {
        const int64_t start = o * stride - padding, stop = least(start + kernel, axis->in + padding);
        const int64_t skipped = start < 0 ? ceil_div(-start, dilation) : 0;
        const int64_t inside = start < axis->in ? least(kernel, ceil_div(axis->in - start, dilation)) : 0;
        const int64_t clipped = least(stop, axis->in) - most(start, 0);
        window[o] = (fnn_window){start + skipped * dilation, most(inside - skipped, 0), skipped * axis->label_step,
                                 ws->count_include_pad ? stop - start : clipped};
    }
}

/* Windows that cut the input into out parts: floor(o in / out) up to ceil((o + 1) in / out). */
static void divide(const fnn_pool_axis *axis, fnn_window *window) {
    const int64_t in = axis->in, out = axis->out;
    for (int64_t o = 0; o < out; o++) {
        const int64_t first = o * in / out, count = ceil_div((o + 1) * in, out) - first;
        window[o] = (fnn_window){first, count, first * axis->label_step, count};
    }
}

static int64_t count_hits(const fnn_window *window, int64_t out) {
    int64_t hits = 0;
    for (int64_t o = 0; o < out; o++) hits += window[o].count;
    return hits;
}

/* The windows turned round: for each input position those that hold it. */
static void list_hits(const fnn_pool_axis *axis, fnn_cover *cover, fnn_hit *hit) {
    int64_t total = 0;
    for (int64_t i = 0; i < axis->in; i++) cover[i] = (fnn_cover){0, 0};
    for (int64_t o = 0; o < axis->out; o++)
        for (int64_t t = 0; t < axis->window[o].count; t++) cover[axis->window[o].first + t * axis->step].hi++;
    for (int64_t i = 0; i < axis->in; i++) {
        const int64_t hits = cover[i].hi;
        cover[i] = (fnn_cover){total, total};
        total += hits;
    }
    for (int64_t o = 0; o < axis->out; o++) {
        const fnn_window w = axis->window[o];
        for (int64_t t = 0; t < w.count; t++)
            hit[cover[w.first + t * axis->step].hi++] = (fnn_hit){o, w.label + t * axis->label_step};
    }
}

static fnn_status check(fnn_op *op, const fnn_pool_geometry *g, const fnn_pool_windows *ws) {
    static const char *const axis[2] = {"height", "width"};
    if (g->n < 0 || g->c < 0) {
        return fnn_fail(op, FNN_INVALID, "expected batch and channels >= 0, got %lld and %lld", (long long)g->n,
                        (long long)g->c);
    }
    for (int i = 0; i < 2; i++) {
        const long long in = g->input_size[i], out = g->output_size[i];
        if (in < 0 || out < 0 || (in == 0 && out > 0))
            return fnn_fail(op, FNN_INVALID, "cannot pool %s %lld to %lld", axis[i], in, out);
        if (!ws->kernel || out == 0) continue;
        const long long kernel = ws->kernel[i], stride = ws->stride[i], padding = ws->padding[i];
        if (kernel <= 0 || stride <= 0 || padding < 0 || ws->dilation[i] <= 0) {
            return fnn_fail(
                op, FNN_INVALID,
                "expected kernel, stride and dilation > 0 and padding >= 0, got %lld, %lld, %lld and %lld", kernel,
                stride, (long long)ws->dilation[i], padding);
        }
        if ((out - 1) * stride - padding >= in) {
            return fnn_fail(op, FNN_INVALID, "window %lld of %s starts at %lld, beyond the input of %lld", out - 1,
                            axis[i], (out - 1) * stride - padding, in);
        }
    }
    return FNN_OK;
}

static void fill_windows(fnn_pool_axis *axis, fnn_window *window, const fnn_pool_geometry *g,
                         const fnn_pool_windows *ws, int which) {
    const int64_t columns = ws->kernel ? ws->kernel[1] : g->input_size[1];
    *axis = (fnn_pool_axis){.in = g->input_size[which],
                            .out = g->output_size[which],
                            .step = ws->kernel ? ws->dilation[which] : 1,
                            .label_step = which == 0 ? columns : 1,
                            .window = window};
    if (ws->kernel)
        slide(axis, window, ws, which);
    else
        divide(axis, window);
}

/* Square windows of 2 or 3 at stride 2: pool_rows.h has its own way through those that are whole. */
static int64_t common_kernel(const fnn_pool_windows *ws) {
    const int64_t *k = ws->kernel, *s = ws->stride, *d = ws->dilation;
    return k && k[0] == k[1] && (k[0] == 2 || k[0] == 3) && s[0] == 2 && s[1] == 2 && d[0] == 1 && d[1] == 1 ? k[0]
                                                                                                             : 0;
}

/* Windows with all their taps; backward, where taps outside have no part, those that count as many as a whole one. */
static int is_whole(const fnn_pool_axis *axis, int64_t o, int64_t kernel, int backward) {
    return (backward || axis->window[o].count == kernel) && axis->window[o].size == kernel;
}

static void find_whole(fnn_pool_axis *axis, int64_t kernel, int backward) {
    int64_t o = 0;
    while (o < axis->out && !is_whole(axis, o, kernel, backward)) o++;
    axis->whole0 = o;
    while (o < axis->out && is_whole(axis, o, kernel, backward)) o++;
    axis->whole1 = o;
}

static fnn_status make_tables(fnn_op *op, const fnn_pool_geometry *g, const fnn_pool_windows *ws) {
    fnn_pool_axis axes[2];
    int64_t windows = g->output_size[0] + g->output_size[1], covers = g->input_size[0] + g->input_size[1], hits = 0;
    const size_t fixed = sizeof(fnn_pool_plan) + (size_t)windows * sizeof(fnn_window);
    fnn_pool_plan *plan = calloc(1, fixed);
    op->plan = plan;
    if (!plan) return fnn_fail(op, FNN_NO_MEMORY, "no memory for %lld windows", (long long)windows);
    fnn_window *window = (fnn_window *)(plan + 1);
    for (int i = 0; i < 2; i++) {
        fill_windows(&axes[i], window, g, ws, i);
        hits += count_hits(window, axes[i].out);
        window += axes[i].out;
    }
    if (ws->backward) {
        plan = realloc(plan, fixed + (size_t)covers * sizeof(fnn_cover) + (size_t)hits * sizeof(fnn_hit));
        if (!plan) return fnn_fail(op, FNN_NO_MEMORY, "no memory for %lld places in windows", (long long)hits);
        op->plan = plan;
    }
    window = (fnn_window *)(plan + 1);
    fnn_cover *cover = (fnn_cover *)(window + windows);
    fnn_hit *hit = (fnn_hit *)(cover + covers);
    for (int i = 0; i < 2; i++) {
        axes[i].window = window;
        window += axes[i].out;
        if (!ws->backward) continue;
        list_hits(&axes[i], cover, hit);
        axes[i].cover = cover;
        axes[i].hit = hit;
        cover += axes[i].in;
        hit += count_hits(axes[i].window, axes[i].out);
    }
    const int64_t kernel = common_kernel(ws);
    for (int i = 0; i < 2 && kernel; i++) find_whole(&axes[i], kernel, ws->backward);
    plan->pool = (fnn_pool){
        .c = g->c, .kernel = kernel, .pad_w = kernel ? ws->padding[1] : 0, .h = axes[0], .w = axes[1]};
    return FNN_OK;
}

/* Lanes of pool_flat: as many windows as fill a vector, two at least. */
static const int32_t *find_forward_lanes(fnn_pool_plan *plan, int64_t vl, int64_t padding) {
    const fnn_pool *p = &plan->pool;
    if (p->kernel != 2 || padding != 0 || p->c < 1 || 2 * p->c > vl || vl > FNN_POOL_LANES || vl <= 4) return NULL;
    const int64_t windows = vl / p->c;
    plan->lane[0] = (int32_t)windows;
    for (int64_t l = 0; l < vl; l++) {
        const int64_t from = l < windows * p->c ? l / p->c * 2 * p->c + l % p->c : 0;
        plan->lane[1 + l] = (int32_t)from, plan->lane[1 + vl + l] = (int32_t)(from + p->c);
    }
    return plan->lane;
}

/* Lanes of pool_bwd_flat: element f of a row of dx comes from window f / 2c, tap f % 2c / c, channel f % c. */
static const int32_t *find_lanes(fnn_pool_plan *plan, int64_t vl, int64_t padding) {
    const fnn_pool *p = &plan->pool;
    const int64_t pair = 2 * p->c;
    if (p->kernel != 2 || padding != 0 || pair > vl || vl > FNN_POOL_LANES || p->c < 1) return NULL;
    int64_t phases = 1;
    while (phases * vl % pair) phases++;
    plan->lane[0] = (int32_t)phases, plan->lane[1] = (int32_t)(phases * vl / pair);
    int32_t *q = plan->lane + 2;
    for (int64_t i = 0; i < phases; i++, q += 1 + 2 * vl) {
        const int64_t first = i * vl / pair * p->c;
        q[0] = (int32_t)first;
        for (int64_t l = 0; l < vl; l++) {
            const int64_t f = i * vl + l, from = f / pair * p->c + f % p->c - first;
            if (from >= vl) return NULL;
            q[1 + l] = (int32_t)from, q[1 + vl + l] = (int32_t)(f % pair / p->c);
        }
    }
    return plan->lane;
}

fnn_status fnn_pool_init(fnn_op *op, const fnn_pool_windows *ws) {
    fnn_pool_geometry g;
    memcpy(&g, op->problem, sizeof g);
    fnn_status status = check(op, &g, ws);
    if (status == FNN_OK) status = make_tables(op, &g, ws);
    if (status != FNN_OK) return status;
    fnn_pool_plan *plan = op->plan;
    const int64_t rows = g.n * (ws->backward ? g.input_size[0] : g.output_size[0]);
    const double inputs = (double)(g.n * g.c * g.input_size[0] * g.input_size[1]);
    const double outputs = (double)(g.n * g.c * g.output_size[0] * g.output_size[1]);
    plan->pool.past = 4.0 * (inputs > outputs ? inputs : outputs) >= PAST_BYTES;
    if (ws->kernel && ws->padding[0] == 0)
        plan->pool.lane = ws->backward ? find_lanes(plan, op->k->vl, ws->padding[1])
                                       : find_forward_lanes(plan, op->k->vl, ws->padding[1]);
    plan->splits = rows < ENOUGH_UNITS && g.c >= 2 * SPLIT_CHANNELS ? g.c / SPLIT_CHANNELS : 1;
    op->units = g.c > 0 ? rows * plan->splits : 0;
    op->flops = ws->kernel ? outputs * (double)(ws->kernel[0] * ws->kernel[1]) : inputs;
    op->bytes = 4.0 * (inputs + outputs);
    op->algorithm = ws->backward ? "gather windows" : "gather taps";
    return FNN_OK;
}
