/* The table of kernels: one const instance a level, filled in isa/<level>.c from kernels.inc. Ops call through
 * op->k only; no code outside isa/ may name a kernel function. */
#ifndef FASTNN_KERNELS_TABLE_H
#define FASTNN_KERNELS_TABLE_H

#include "../fastnn.h"
#include "types.h"

typedef struct fnn_kernels {
    const char *level;
    int vl; /* float lanes of a vector */
    int gemm_mr, gemm_nr, gemm_kc;
    int weights_mr, weights_nr, weights_ld; /* tile of conv_weights.h; floats a pixel of a panel of its rows; */
    int weights_mr_one, weights_ld_one;     /* where columns are one vector */
    int strip_mr, strip_nr, planes_nv;
    int small_r, small_p;
    const fnn_tiles *tiles; /* or NULL */
#define FNN_KERNEL(ret, name, args) ret(*name) args;
#include "kernels.inc"
#undef FNN_KERNEL
} fnn_kernels;

const fnn_kernels *fnn_kernels_active(void);

#endif
