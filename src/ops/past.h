/* Outputs that no cache would hold until they are read: made a piece at a time in the L1, and stored from there past the
 * caches. So the lines need not be read before they are written, and kernels need not know. */
#ifndef FASTNN_OPS_PAST_H
#define FASTNN_OPS_PAST_H

#include "../kernels/table.h"

#define FNN_PIECE 512 /* floats: long enough for a kernel's loop, short enough that reading goes on meanwhile */

/* What takes long to compute reads and writes less unevenly in shorter ones. */
#define FNN_PIECE_OF(cost) ((cost) < 20 ? FNN_PIECE : FNN_PIECE / 2)

/* The elements [lo, hi) of an output y of `size` elements. `make`, a statement, puts n of them, from `at` on, at `to`:
 * where they go past the caches `most` at a time. An output that is also an input stays in the caches. */
#define FNN_IN_PIECES(k, size, lo, hi, most, y, is_input, make)                                                      \
    do {                                                                                                             \
        _Alignas(FNN_ALIGN) float piece[FNN_PIECE];                                                                  \
        const int past = (size) > FNN_PAST && !(is_input);                                                           \
        for (int64_t at = (lo), n; at < (hi); at += n) {                                                             \
            n = past && (hi) - at > (most) ? (most) : (hi) - at;                                                     \
            float *to = past ? piece : (y) + at;                                                                     \
            make;                                                                                                    \
            if (past) (k)->past_store(n, piece, (y) + at);                                                           \
        }                                                                                                            \
        if (past) (k)->past_end();                                                                                   \
    } while (0)

/* The same of a kernel that stores past the caches itself where `past` says so and y is at a line's beginning: it makes n
 * elements from `at` on. What lies before the first whole line is made alone. */
#define FNN_PAST_ITSELF(k, size, lo, hi, y, make)                                                                    \
    do {                                                                                                             \
        const int64_t over = (int64_t)(-(uintptr_t)((y) + (lo)) % FNN_ALIGN / sizeof(float));                        \
        const int64_t head = (size) <= FNN_PAST ? 0 : over < (hi) - (lo) ? over : (hi) - (lo);                       \
        int64_t at = (lo), n = head;                                                                                 \
        int past = 0;                                                                                                \
        if (n > 0) make;                                                                                             \
        at += head, n = (hi) - at, past = (size) > FNN_PAST;                                                         \
        make;                                                                                                        \
        if (past) (k)->past_end();                                                                                   \
    } while (0)

#endif
