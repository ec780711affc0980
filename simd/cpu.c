/* cpu.c - CPU features by CPUID, and by XGETBV whether the operating system saves the registers that they use
 * (a kernel that does not would lose them at every switch of threads).
 *
 * Sources: Intel SDM volume 2, CPUID; volume 1, 13.3 and 14.3 (XCR0 bits 1, 2: SSE, AVX; 5, 6, 7: AVX-512).
 * AMD's manuals agree. */
#include "cpu.h"

#if defined(__x86_64__) && defined(__GNUC__)

#include <cpuid.h>

static uint64_t xcr0(void) {
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (uint64_t)high << 32 | low;
}

static bool all(uint32_t reg, uint32_t bits) {
    return (reg & bits) == bits;
}

unsigned vb_cpu_features(void) {
    uint32_t a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d)) return 0;
    if (!all(c, bit_OSXSAVE | bit_AVX | bit_FMA | bit_F16C)) return 0;
    const uint64_t saved = xcr0();
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return 0;
    if ((saved & 0x06) != 0x06 || !all(b, bit_AVX2)) return 0;
    if ((saved & 0xe6) != 0xe6) return VB_CPU_AVX2;
    if (!all(b, bit_AVX512F | bit_AVX512BW | bit_AVX512VL | bit_AVX512DQ) || !all(c, bit_AVX512VNNI))
        return VB_CPU_AVX2;
    return VB_CPU_AVX2 | VB_CPU_AVX512;
}

#else

unsigned vb_cpu_features(void) {
    return 0;
}

#endif
