/* Gradient for the input of a convolution with few input channels. As an implicit GEMM its columns would leave most
 * of a vector empty; here the products of dy's pixels with all taps, [pixels][taps * ic], are made a few lines at a
 * time and added to the pixels they belong to. Threads share bands of lines of dx, and compute what theirs need. */
#ifndef FASTNN_OPS_CONV2D_SCATTER_H
#define FASTNN_OPS_CONV2D_SCATTER_H

#include "conv2d_problem.h"

int fnn_scatter_applies(const fnn_kernels *kernels, const conv2d_geometry *g);
fnn_status fnn_scatter_init(fnn_op *op, const conv2d_geometry *g);
void fnn_scatter_run(const fnn_op *op, const float *dy, const float *w, float *dx, void *scratch,
                     const fnn_team *team);

#endif
