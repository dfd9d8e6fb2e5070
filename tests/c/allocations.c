/* Loaded before the C library, it counts what is asked of the allocator. */
#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>

void *__libc_malloc(size_t);
void *__libc_calloc(size_t, size_t);
void *__libc_realloc(void *, size_t);
void *__libc_memalign(size_t, size_t);

static atomic_long count;

long allocations(void) { return atomic_load(&count); }

void *malloc(size_t bytes) {
    atomic_fetch_add(&count, 1);
    return __libc_malloc(bytes);
}

void *calloc(size_t n, size_t bytes) {
    atomic_fetch_add(&count, 1);
    return __libc_calloc(n, bytes);
}

void *realloc(void *p, size_t bytes) {
    atomic_fetch_add(&count, 1);
    return __libc_realloc(p, bytes);
}

void *memalign(size_t alignment, size_t bytes) {
    atomic_fetch_add(&count, 1);
    return __libc_memalign(alignment, bytes);
}

void *aligned_alloc(size_t alignment, size_t bytes) { return memalign(alignment, bytes); }

int posix_memalign(void **p, size_t alignment, size_t bytes) {
    *p = memalign(alignment, bytes);
    return *p ? 0 : ENOMEM;
}
