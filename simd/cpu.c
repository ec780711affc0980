/* cpu.c - CPU features by CPUID, and by XGETBV whether the operating system saves the registers that they use
 * (a kernel that does not would lose them at every switch of threads). Linux hands out AMX's tiles, 8 KiB a
 * thread, only to processes that ask.
 *
 * Sources: Intel SDM volume 2, CPUID; volume 1, 13.3 and 14.3 (XCR0 bits 1, 2: SSE, AVX; 5, 6, 7: AVX-512;
 * 17, 18: AMX's shapes and tiles); Linux, Documentation/arch/x86/xstate.rst (ARCH_REQ_XCOMP_PERM).
 * AMD's manuals agree. aarch64: Linux, Documentation/arch/arm64/elf_hwcaps.rst; Apple, "Determining
 * instruction set characteristics". */
#include "simd/cpu.h"

#include "include/verbatim.h"

#if defined(__x86_64__) && defined(__GNUC__)

#include <cpuid.h>

#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>

static bool system_lends_tiles(void) {
    enum { ASK_FOR_PERMISSION = 0x1023, TILES = 18 };
    return syscall(SYS_arch_prctl, ASK_FOR_PERMISSION, TILES) == 0;
}
#else
static bool system_lends_tiles(void) {
    return false;
}
#endif

static uint64_t xcr0(void) {
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (uint64_t)high << 32 | low;
}

static bool all(uint32_t reg, uint32_t bits) {
    return (reg & bits) == bits;
}

/* Leaf 7, sub-leaf 1, which CPUs have whose sub-leaf 0 says so in EAX; bit 4 of its EAX. */
static bool has_avx_vnni(void) {
    enum { AVX_VNNI = 1 << 4 };
    uint32_t a, b, c, d;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || a < 1) return false;
    return __get_cpuid_count(7, 1, &a, &b, &c, &d) && all(a, AVX_VNNI);
}

unsigned vb_cpu_features(void) {
    uint32_t a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d)) return 0;
    if (!all(c, bit_OSXSAVE | bit_AVX | bit_FMA | bit_F16C)) return 0;
    const uint64_t saved = xcr0();
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return 0;
    if ((saved & 0x06) != 0x06 || !all(b, bit_AVX2)) return 0;
    const unsigned found = VB_CPU_AVX2 | (has_avx_vnni() ? VB_CPU_AVXVNNI : 0);
    if ((saved & 0xe6) != 0xe6) return found;
    if (!all(b, bit_AVX512F | bit_AVX512BW | bit_AVX512VL | bit_AVX512DQ) || !all(c, bit_AVX512VNNI))
        return found;
    enum { TILE = 1 << 24, INT8 = 1 << 25, TILES_SAVED = 0x60000 };
    const bool amx = all(d, TILE | INT8) && (saved & TILES_SAVED) == TILES_SAVED && system_lends_tiles();
    return found | VB_CPU_AVX512 | (amx ? VB_CPU_AMX : 0);
}

#elif defined(__aarch64__)

#if defined(__linux__)
#include <sys/auxv.h>
#ifndef HWCAP_ASIMDDP
#define HWCAP_ASIMDDP (1 << 20)
#endif
#ifndef HWCAP2_I8MM
#define HWCAP2_I8MM (1 << 13)
#endif
static bool has_dotprod(void) {
    return (getauxval(AT_HWCAP) & HWCAP_ASIMDDP) != 0;
}
static bool has_i8mm(void) {
    return (getauxval(AT_HWCAP2) & HWCAP2_I8MM) != 0;
}
#elif defined(__APPLE__)
#include <sys/sysctl.h>
static bool has(const char *name) {
    int value = 0;
    size_t size = sizeof value;
    return !sysctlbyname(name, &value, &size, NULL, 0) && size == sizeof value && value != 0;
}
static bool has_dotprod(void) {
    return has("hw.optional.arm.FEAT_DotProd");
}
static bool has_i8mm(void) {
    return has("hw.optional.arm.FEAT_I8MM");
}
#else /* what the compiler was told that it may assume */
#ifndef __ARM_FEATURE_DOTPROD
#define __ARM_FEATURE_DOTPROD 0
#endif
#ifndef __ARM_FEATURE_MATMUL_INT8
#define __ARM_FEATURE_MATMUL_INT8 0
#endif
static bool has_dotprod(void) {
    return __ARM_FEATURE_DOTPROD;
}
static bool has_i8mm(void) {
    return __ARM_FEATURE_MATMUL_INT8;
}
#endif

unsigned vb_cpu_features(void) {
    unsigned found = VB_CPU_NEON;
    if (has_dotprod()) found |= VB_CPU_DOTPROD;
    if (has_i8mm()) found |= VB_CPU_I8MM;
    return found;
}

#else

unsigned vb_cpu_features(void) {
    return 0;
}

#endif

const char *vb_cpu_describe(void) {
    const unsigned found = vb_cpu_features();
    if (found & VB_CPU_AVX2) {
        static const char *const words[2][3] = {
            {"AVX2 with FMA and F16C", "AVX2 with FMA and F16C, AVX-512 (F, BW, VL, DQ) with VNNI",
             "AVX2 with FMA and F16C, AVX-512 (F, BW, VL, DQ) with VNNI, AMX with INT8"},
            {"AVX2 with FMA and F16C, AVX-VNNI",
             "AVX2 with FMA and F16C, AVX-VNNI, AVX-512 (F, BW, VL, DQ) with VNNI",
             "AVX2 with FMA and F16C, AVX-VNNI, AVX-512 (F, BW, VL, DQ) with VNNI, AMX with INT8"}};
        return words[(found & VB_CPU_AVXVNNI) != 0][found & VB_CPU_AMX ? 2 : (found & VB_CPU_AVX512) != 0];
    }
    if (!(found & VB_CPU_NEON)) return "nothing that kernels are written for";
    if ((found & VB_CPU_DOTPROD) && (found & VB_CPU_I8MM)) return "NEON, DotProd, I8MM";
    return found & VB_CPU_DOTPROD ? "NEON, DotProd" : found & VB_CPU_I8MM ? "NEON, I8MM" : "NEON";
}
