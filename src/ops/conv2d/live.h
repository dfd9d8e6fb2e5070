/* Taps that only ever meet padding are left out: on maps smaller than the filter's reach a problem is replaced by that
 * of the taps between the first and the last that any output meets, with weights of that size in scratch. A 3x3 filter
 * on 1x1 maps becomes a 1x1 filter. */
#ifndef FASTNN_OPS_CONV2D_LIVE_H
#define FASTNN_OPS_CONV2D_LIVE_H

#include "problem.h"

/* Narrows the filter in place and notes in p->whole what it was; and back. */
void fnn_conv2d_drop_taps(conv2d_problem *p);
conv2d_problem fnn_conv2d_asked(const conv2d_problem *p);

static inline int64_t conv2d_filters(const conv2d_problem *p) { return p->oc * (p->ic / p->groups); }

/* A thread's share of copying the live taps out of w. */
void fnn_conv2d_live_taps(const conv2d_problem *p, const float *w, float *live, const fnn_team *team);

#endif
