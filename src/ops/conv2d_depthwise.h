/* Depthwise convolution in its three passes; the ops of conv2d*.c hand over to these. */
#ifndef FASTNN_OPS_CONV2D_DEPTHWISE_H
#define FASTNN_OPS_CONV2D_DEPTHWISE_H

#include "conv2d_problem.h"

typedef struct depthwise_epilogue {
    const float *bias, *residual;
    int activation;
    float slope;
} depthwise_epilogue;

fnn_status fnn_depthwise_forward_init(fnn_op *op, const conv2d_geometry *g);
void fnn_depthwise_forward_run(const fnn_op *op, const float *x, const float *w, const depthwise_epilogue *e,
                               float *y, void *scratch, const fnn_team *team);

fnn_status fnn_depthwise_bwd_data_init(fnn_op *op, const conv2d_geometry *g);
void fnn_depthwise_bwd_data_run(const fnn_op *op, const float *dy, const float *w, float *dx, void *scratch,
                                const fnn_team *team);

fnn_status fnn_depthwise_bwd_weights_init(fnn_op *op, const conv2d_geometry *g);
void fnn_depthwise_bwd_weights_run(const fnn_op *op, const float *dy, const float *x, float *dw, void *scratch,
                                   const fnn_team *team);

#endif
