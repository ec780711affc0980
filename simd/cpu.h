/* cpu.h - what this CPU can run, as the operating system lets it. */
#ifndef VB_CPU_H
#define VB_CPU_H

#include "base/base.h"

enum {
    VB_CPU_AVX2 = 1, /* AVX2, FMA, F16C, and registers of 256 bits saved by the system */
    VB_CPU_AVX512 =
        2, /* the above, AVX-512 F, BW, VL, DQ and VNNI, and registers of 512 bits and masks saved */
    VB_CPU_NEON = 4,     /* every aarch64 */
    VB_CPU_DOTPROD = 8,  /* FEAT_DotProd: SDOT */
    VB_CPU_I8MM = 16,    /* FEAT_I8MM: SMMLA */
    VB_CPU_AVXVNNI = 64, /* AVX-VNNI: vpdpbusd on registers of 256 bits, without AVX-512 */
    VB_CPU_AMX = 32      /* AMX-TILE and AMX-INT8, and the system lends their registers */
};

/* A set of VB_CPU_*. Where the CPU has AMX this asks Linux for the use of its registers, for all threads. */
unsigned vb_cpu_features(void);

#endif
