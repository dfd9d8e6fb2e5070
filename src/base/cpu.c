/* Detection of instruction sets: cpuid and XCR0 on x86, given by the architecture on aarch64. */
#define _GNU_SOURCE
#include "cpu.h"

#include <pthread.h>
#include <stdint.h>
#include <string.h>

#include "../fastnn.h"

static fnn_cpu cpu;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void add_word(const char *word) {
    const size_t used = strlen(cpu.features);
    if (used + strlen(word) + 2 > sizeof cpu.features) return;
    if (used) strcat(cpu.features, " ");
    strcat(cpu.features, word);
}

#if defined(__x86_64__)

#include <cpuid.h>

typedef struct bit {
    const char *name; /* as Linux spells it in /proc/cpuinfo */
    uint32_t leaf;
    int reg; /* of eax ebx ecx edx */
    int bit;
} bit;

enum { EAX, EBX, ECX, EDX };

static const bit bits[] = {
    {"sse2", 1, EDX, 26},     {"sse4_1", 1, ECX, 19},      {"sse4_2", 1, ECX, 20},      {"fma", 1, ECX, 12},
    {"f16c", 1, ECX, 29},     {"avx", 1, ECX, 28},         {"avx2", 7, EBX, 5},         {"bmi2", 7, EBX, 8},
    {"avx512f", 7, EBX, 16},  {"avx512dq", 7, EBX, 17},    {"avx512cd", 7, EBX, 28},    {"avx512bw", 7, EBX, 30},
    {"avx512vl", 7, EBX, 31}, {"avx512_vnni", 7, ECX, 11}, {"avx512_fp16", 7, EDX, 23}, {"amx_bf16", 7, EDX, 22},
    {"amx_tile", 7, EDX, 24},
};

static uint64_t read_xcr0(void) {
    uint32_t r[4];
    if (!__get_cpuid(1, &r[0], &r[1], &r[2], &r[3]) || !(r[ECX] & (1u << 27))) return 0; /* OSXSAVE */
    uint32_t low, high;
    __asm__ __volatile__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (uint64_t)high << 32 | low;
}

static int has(const bit *b) {
    uint32_t r[4];
    return __get_cpuid_count(b->leaf, 0, &r[0], &r[1], &r[2], &r[3]) && (r[b->reg] >> b->bit & 1);
}

static int has_all(const char *const *names) {
    for (; *names; names++) {
        int found = 0;
        for (size_t i = 0; i < sizeof bits / sizeof bits[0]; i++)
            found |= strcmp(bits[i].name, *names) == 0 && has(&bits[i]);
        if (!found) return 0;
    }
    return 1;
}

/* Linux saves tiles only for processes that ask: tile data are component 18 of what it saves. */
#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#define ARCH_REQ_XCOMP_PERM 0x1023
static int may_use_tiles(void) { return syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, 18L) == 0; }
#else
static int may_use_tiles(void) { return 0; }
#endif

static void detect(void) {
    static const char *const avx2[] = {"avx", "avx2", "fma", "f16c", NULL};
    static const char *const avx512[] = {"avx512f", "avx512cd", "avx512bw", "avx512dq", "avx512vl", NULL};
    static const char *const amx[] = {"amx_tile", "amx_bf16", NULL};
    const uint64_t xcr0 = read_xcr0();
    const int os_ymm = (xcr0 & 0x06) == 0x06, os_zmm = (xcr0 & 0xe6) == 0xe6;
    cpu.avx2 = os_ymm && has_all(avx2);
    cpu.avx512 = cpu.avx2 && os_zmm && has_all(avx512);
    const int os_tiles = (xcr0 & 0x60000) == 0x60000;
    cpu.amx = cpu.avx512 && os_tiles && has_all(amx) && may_use_tiles();
    for (size_t i = 0; i < sizeof bits / sizeof bits[0]; i++)
        if (has(&bits[i])) add_word(bits[i].name);
    add_word(os_zmm ? "os:zmm" : os_ymm ? "os:ymm" : "os:xmm");
}

#elif defined(__aarch64__)

#if defined(__linux__)
#include <sys/auxv.h>
#endif

static void detect(void) {
    cpu.neon = 1;
    add_word("asimd");
#if defined(__linux__)
    const unsigned long caps = getauxval(AT_HWCAP);
    if (caps & (1ul << 10)) add_word("asimdhp");
    if (caps & (1ul << 20)) add_word("asimddp");
    if (caps & (1ul << 22)) add_word("sve");
#endif
}

#else

static void detect(void) { add_word("none"); }

#endif

const fnn_cpu *fnn_cpu_get(void) {
    pthread_once(&once, detect);
    return &cpu;
}

const char *fnn_cpu_features(void) { return fnn_cpu_get()->features; }
