/* See live.h. */
#include <string.h>

#include "live.h"

/* Whether any output along a side meets the map with this tap. */
static int is_live(int64_t tap, int64_t in, int64_t out, int64_t stride, int64_t before, int64_t dilation) {
    for (int64_t i = 0; i < out; i++) {
        const int64_t at = i * stride - before + tap * dilation;
        if (at >= 0 && at < in) return 1;
    }
    return 0;
}

/* Moves [first, last] inwards over dead taps, as far as padding stays a padding; nothing where all are dead. */
static void narrow(int64_t in, int64_t out, int64_t kernel, int64_t stride, const int64_t *padding, int64_t dilation,
                   int64_t *first, int64_t *last) {
    int64_t lo = 0, hi = kernel - 1;
    while (lo < kernel && !is_live(lo, in, out, stride, padding[0], dilation)) lo++;
    while (hi > lo && !is_live(hi, in, out, stride, padding[0], dilation)) hi--;
    if (lo == kernel) lo = 0, hi = kernel - 1;
    *first = gemm_min(lo, padding[0] / dilation);
    *last = gemm_max(hi, kernel - 1 - padding[1] / dilation);
}

void fnn_conv2d_drop_taps(conv2d_problem *p) {
    int64_t h0, h1, w0, w1;
    narrow(p->ih, p->oh, p->kh, p->stride[0], p->padding, p->dilation[0], &h0, &h1);
    narrow(p->iw, p->ow, p->kw, p->stride[1], p->padding + 2, p->dilation[1], &w0, &w1);
    if (h1 - h0 + 1 == p->kh && w1 - w0 + 1 == p->kw) return;
    p->whole = (conv2d_whole){.narrowed = 1, .kh = p->kh, .kw = p->kw, .first_h = h0, .first_w = w0};
    memcpy(p->whole.padding, p->padding, sizeof p->padding);
    p->padding[0] -= h0 * p->dilation[0], p->padding[1] -= (p->kh - 1 - h1) * p->dilation[0];
    p->padding[2] -= w0 * p->dilation[1], p->padding[3] -= (p->kw - 1 - w1) * p->dilation[1];
    p->kh = h1 - h0 + 1, p->kw = w1 - w0 + 1;
}

conv2d_problem fnn_conv2d_asked(const conv2d_problem *p) {
    conv2d_problem asked = *p;
    if (!p->whole.narrowed) return asked;
    asked.kh = p->whole.kh, asked.kw = p->whole.kw;
    memcpy(asked.padding, p->whole.padding, sizeof asked.padding);
    asked.whole = (conv2d_whole){0};
    return asked;
}

void fnn_conv2d_live_taps(const conv2d_problem *p, const float *w, float *live, const fnn_team *team) {
    const conv2d_whole *whole = &p->whole;
    int64_t lo, hi;
    fnn_share(conv2d_filters(p), team->tid, team->n, &lo, &hi);
    for (int64_t f = lo; f < hi; f++)
        for (int64_t i = 0; i < p->kh; i++) {
            const float *line = w + (f * whole->kh + whole->first_h + i) * whole->kw + whole->first_w;
            for (int64_t j = 0; j < p->kw; j++) live[(f * p->kh + i) * p->kw + j] = line[j];
        }
}
