/* Four lanes in plain vector extensions: SSE2 on x86-64, whatever the compiler makes of them elsewhere. */
#define VL 4
#include "vec_gnu.h"
