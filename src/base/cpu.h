/* What the processor can do and the operating system lets it. */
#ifndef FASTNN_BASE_CPU_H
#define FASTNN_BASE_CPU_H

typedef struct fnn_cpu {
    int avx2;   /* AVX2, FMA, F16C and the state of 16 ymm registers saved by the OS */
    int avx512; /* avx2, AVX-512 F CD BW DQ VL, and the OS saves zmm and mask registers */
    int amx;    /* avx512, AMX tiles and bfloat16, and the OS gave this process leave to use them */
    int neon;
    char features[512];
} fnn_cpu;

const fnn_cpu *fnn_cpu_get(void);

#endif
