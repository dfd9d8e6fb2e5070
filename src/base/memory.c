/* Blocks for arenas and scratch: aligned to 64 bytes, to 2 MB pages where they are large enough to use them. */
#include "../fastnn.h"

#include <stdlib.h>
#include <string.h>
#if defined(__linux__)
#include <sys/mman.h>
#endif

#define HUGE_PAGE ((size_t)2 << 20)

void *fnn_alloc(size_t bytes) {
    const size_t align = bytes >= HUGE_PAGE ? HUGE_PAGE : FNN_ALIGN;
    void *p = NULL;
    if (posix_memalign(&p, align, bytes ? (bytes + align - 1) / align * align : align)) return NULL;
#if defined(__linux__) && defined(MADV_HUGEPAGE)
    if (align == HUGE_PAGE) madvise(p, bytes, MADV_HUGEPAGE);
#endif
    return p;
}

void fnn_free(void *p) { free(p); }
