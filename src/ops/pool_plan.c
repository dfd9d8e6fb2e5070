/* Windows and covers of pooling as tables, made once when an op is created. */
#include "pool_plan.h"

#include <stdlib.h>
#include <string.h>

#define SPLIT_CHANNELS 64 /* channels of a piece where rows alone are too few to share */
#define ENOUGH_UNITS 16

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t most(int64_t a, int64_t b) { return a > b ? a : b; }
/* Quotients of a >= 0 and b > 0. */
static int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

/* Windows that slide: output o has its taps at o * stride - padding + t * dilation for t in [0, kernel). */
static void slide(fnn_pool_axis *axis, fnn_window *window, fnn_cover *cover, const fnn_pool_windows *ws, int which) {
    const int64_t kernel = ws->kernel[which], stride = ws->stride[which], padding = ws->padding[which];
    const int64_t dilation = ws->dilation[which], span = (kernel - 1) * dilation;
    for (int64_t o = 0; o < axis->out; o++) {
        const int64_t start = o * stride - padding, stop = least(start + kernel, axis->in + padding);
        const int64_t skipped = start < 0 ? ceil_div(-start, dilation) : 0;
        const int64_t inside = start < axis->in ? least(kernel, ceil_div(axis->in - start, dilation)) : 0;
        const int64_t taps = most(inside - skipped, 0);
        const int64_t clipped = least(stop, axis->in) - most(start, 0);
        window[o] = (fnn_window){start + skipped * dilation, taps, taps ? skipped * axis->label_step : 0,
                                 ws->count_include_pad ? stop - start : clipped};
    }
    for (int64_t i = 0; i < axis->in; i++) {
        const int64_t reach = i + padding;
        const int64_t lo = reach > span ? ceil_div(reach - span, stride) : 0, hi = reach / stride + 1;
        cover[i] = (fnn_cover){least(lo, axis->out), least(hi, axis->out)};
    }
}

/* Windows that cut the input into out parts: floor(o in / out) up to ceil((o + 1) in / out). */
static void divide(fnn_pool_axis *axis, fnn_window *window, fnn_cover *cover) {
    const int64_t in = axis->in, out = axis->out;
    for (int64_t o = 0; o < out; o++) {
        const int64_t first = o * in / out, count = ceil_div((o + 1) * in, out) - first;
        window[o] = (fnn_window){first, count, first * axis->label_step, count};
    }
    for (int64_t i = 0; i < in; i++) cover[i] = (fnn_cover){i * out / in, ceil_div((i + 1) * out, in)};
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

static void fill_axis(fnn_pool_axis *axis, const fnn_pool_geometry *g, const fnn_pool_windows *ws, int which,
                      char **memory) {
    axis->in = g->input_size[which];
    axis->out = g->output_size[which];
    axis->step = ws->kernel ? ws->dilation[which] : 1;
    const int64_t columns = ws->kernel ? ws->kernel[1] : g->input_size[1];
    axis->label_step = which == 0 ? columns : 1;
    fnn_window *window = (fnn_window *)*memory;
    fnn_cover *cover = (fnn_cover *)(window + axis->out);
    *memory = (char *)(cover + axis->in);
    axis->window = window;
    axis->cover = cover;
    if (ws->kernel)
        slide(axis, window, cover, ws, which);
    else
        divide(axis, window, cover);
}

fnn_status fnn_pool_init(fnn_op *op, const fnn_pool_windows *ws) {
    fnn_pool_geometry g;
    memcpy(&g, op->problem, sizeof g);
    const fnn_status status = check(op, &g, ws);
    if (status != FNN_OK) return status;
    const size_t windows = (size_t)(g.output_size[0] + g.output_size[1]) * sizeof(fnn_window);
    const size_t covers = (size_t)(g.input_size[0] + g.input_size[1]) * sizeof(fnn_cover);
    fnn_pool_plan *plan = calloc(1, sizeof *plan + windows + covers);
    if (!plan) return fnn_fail(op, FNN_NO_MEMORY, "no memory for %zu bytes of windows", windows + covers);
    op->plan = plan;
    char *memory = (char *)(plan + 1);
    plan->pool.c = g.c;
    fill_axis(&plan->pool.h, &g, ws, 0, &memory);
    fill_axis(&plan->pool.w, &g, ws, 1, &memory);
    const int64_t rows = g.n * (ws->backward ? g.input_size[0] : g.output_size[0]);
    const double inputs = (double)(g.n * g.c * g.input_size[0] * g.input_size[1]);
    const double outputs = (double)(g.n * g.c * g.output_size[0] * g.output_size[1]);
    plan->splits = rows < ENOUGH_UNITS && g.c >= 2 * SPLIT_CHANNELS ? g.c / SPLIT_CHANNELS : 1;
    op->units = g.c > 0 ? rows * plan->splits : 0;
    op->flops = ws->kernel ? outputs * (double)(ws->kernel[0] * ws->kernel[1]) : inputs;
    op->bytes = 4.0 * (inputs + outputs);
    op->algorithm = ws->backward ? "gather windows" : "gather taps";
    return FNN_OK;
}
