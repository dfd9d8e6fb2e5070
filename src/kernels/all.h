/* Every kernel body, for one level: included once by each isa/<level>.c after its simd header, which fills in
 *   FNN_LEVEL  the level's name, GEMM_MR and GEMM_NV (rows and vectors of the register tile), GEMM_KC (longest k),
 *   DW_COLUMNS (columns of the depthwise tile), SMALL_R and SMALL_P (channels and pixels of conv_small.h\'s).
 * Everything here is static: copies compiled with other flags can never be merged by the linker. */
#include "table.h"
#include "peak.h"

#include "math.h"
#include "eltwise.h"
#include "binary.h"
#include "reduce.h"
#include "copy.h"
#include "normalize.h"
#include "softmax.h"
#include "random.h"

#include "gemm.h"
#include "gemm_few.h"
#include "pack.h"
#include "conv.h"
#include "conv_weights.h"
#include "conv_weights_pack.h"
#include "conv_weights_groups.h"
#include "conv_strip.h"
#include "conv_planes.h"
#include "conv_turns.h"
#include "conv_small.h"
#include "depthwise.h"
#include "depthwise_tile.h"
#include "depthwise_sums.h"
#include "winograd.h"

#include "pool_rows.h"
#include "norm.h"
#include "gated_norm.h"
#include "norm_pool.h"
#include "lrn.h"
#include "loss.h"
#include "optim.h"
#include "gemm_update.h"

const fnn_kernels FNN_TABLE = {
    .level = FNN_LEVEL,
#include "fill.inc"
};
