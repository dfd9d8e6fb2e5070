/* Matrix products on tiles (kernels/tiles.h), where the level has them and they gain.
 *
 * One side of C, its rows or its columns, is resident: a chunk of its panels is made for a block along k and stays in
 * the second-level cache. The other side streams: each pair of panels is made right before its only use. Threads share
 * the pairs; nothing is packed for another thread, and none waits. The blocks depend on the shape alone. */
#ifndef FASTNN_OPS_GEMM_TILES_H
#define FASTNN_OPS_GEMM_TILES_H

#include "gemm_core.h"

/* Whether an operand's neighbours in memory are neighbours along k; else they are rows of A, columns of B. */
typedef struct gemm_order {
    int a_along_k, b_along_k;
} gemm_order;

/* Whether the level has tiles and a product is estimated to take less on them than by vectors. */
int fnn_gemm_takes_tiles(const fnn_kernels *kernels, gemm_order order, int64_t m, int64_t n, int64_t k);
/* Estimated cycles of a product on one thread; HUGE_VAL where there are no tiles. */
double fnn_gemm_tile_cycles(const fnn_kernels *kernels, gemm_order order, int64_t m, int64_t n, int64_t k);
/* After fnn_gemm_plan_init, where both operands are strided and no statistics are wanted: puts the product on tiles if
 * it takes them. Returns whether it does. */
int fnn_gemm_plan_tiles(gemm_plan *plan, const fnn_kernels *kernels, gemm_order order);
/* The same where both operands lie along k and A needs no prologue: where columns of B stream, they take the part of A,
 * whose panels need no transposing on the way; squares of C are transposed instead. */
int fnn_gemm_plan_tiles_along(gemm_plan *plan, const fnn_kernels *kernels);
/* Of a planned product: if its sums are made in one block along k, gives all blocks of C to a taker, or to an update
 * (gemm_call). Returns whether it does; sums are the same either way. */
int fnn_gemm_plan_taken(gemm_plan *plan);

int64_t fnn_gemm_tile_units(const gemm_plan *plan);
size_t fnn_gemm_tile_bytes(const gemm_plan *plan); /* scratch of a thread */
void fnn_gemm_run_tiles(const gemm_call *call, void *thread_scratch, const fnn_team *team);

#endif
