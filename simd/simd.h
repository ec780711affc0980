/* simd.h - what the SIMD files share. A file for one instruction set compiles to nothing on other machines;
 * on its own it switches the instruction set on for its functions only, so the build needs no flags per file
 * and one binary serves all. */
#ifndef VB_SIMD_H
#define VB_SIMD_H

#include "simd/repack.h"

#if defined(__x86_64__) && defined(__GNUC__)
#define VB_X86 1
#else
#define VB_X86 0
#endif

/* AVX-VNNI: compilers that know it. */
#if VB_X86 && defined(__clang__)
#define VB_AVXVNNI (__clang_major__ >= 12)
#elif VB_X86
#define VB_AVXVNNI (__GNUC__ >= 11)
#else
#define VB_AVXVNNI 0
#endif

/* AMX: compilers that know it, and Linux, which has to be asked for the tiles' registers. */
#if VB_X86 && defined(__linux__) && defined(__clang__)
#define VB_AMX (__clang_major__ >= 12)
#elif VB_X86 && defined(__linux__)
#define VB_AMX (__GNUC__ >= 11)
#else
#define VB_AMX 0
#endif

#if defined(__aarch64__) && defined(__ARM_NEON) && defined(__GNUC__) && !defined(__AARCH64EB__)
#define VB_ARM64 1
#else
#define VB_ARM64 0
#endif

/* Before version 16 clang has these instructions only where the whole file is compiled for a CPU that has
 * them. gcc has both from version 10 on. */
#if defined(__clang__)
#define VB_ARM64_TARGETS (__clang_major__ >= 16)
#elif defined(__GNUC__)
#define VB_ARM64_TARGETS (__GNUC__ >= 10)
#else
#define VB_ARM64_TARGETS 0
#endif
#if VB_ARM64 && (defined(__ARM_FEATURE_DOTPROD) || VB_ARM64_TARGETS)
#define VB_ARM64_DOTPROD 1
#else
#define VB_ARM64_DOTPROD 0
#endif
#if VB_ARM64_DOTPROD && (defined(__ARM_FEATURE_MATMUL_INT8) || VB_ARM64_TARGETS)
#define VB_ARM64_I8MM 1
#else
#define VB_ARM64_I8MM 0
#endif

#define INLINE static inline __attribute__((always_inline))

/* Unroll the next loop entirely (its bounds are constants): its arrays then live in registers. Speed only. */
#if defined(__clang__)
#define VB_UNROLL _Pragma("clang loop unroll(full)")
#elif defined(__GNUC__)
#define VB_UNROLL _Pragma("GCC unroll 16")
#else
#define VB_UNROLL
#endif

/* for (int i = 0; i < n; i++), unrolled. */
#define EACH(i, n)                                                                                           \
    VB_UNROLL for (int i = 0; i < (n); i++) /* NOLINT(bugprone-macro-parentheses): i is a name */

/* The set of this name ("auto" or NULL: the best this CPU runs), after VERBATIM_KERNELS. VB_ERR_UNSUPPORTED
 * names what is there. */
int vb_kernels_choose(const char *name, const vb_kernels **out, vb_error *err);

/* Set i of this build, "ref" first, best last, whether this CPU can run it or not; NULL behind the last. */
const vb_kernels *vb_kernel_set(int i);

/* How this set interleaves rows; NULL if it reads them as mapped. */
vb_pack_fn *vb_packer(const vb_kernels *set);

#if VB_X86
extern const vb_kernels vb_kernels_avx2, vb_kernels_avx512;
vb_pack_fn vb_pack_avx2, vb_pack_avx512;
#endif
#if VB_AVXVNNI
extern const vb_kernels vb_kernels_avxvnni;
vb_pack_fn vb_pack_avxvnni;
#endif
#if VB_AMX
extern const vb_kernels vb_kernels_amx;
vb_pack_fn vb_pack_amx;
#endif
#if VB_ARM64
extern const vb_kernels vb_kernels_neon;
vb_pack_fn vb_pack_neon;
#endif
#if VB_ARM64_DOTPROD
extern const vb_kernels vb_kernels_dotprod;
vb_pack_fn vb_pack_dotprod;
#endif
#if VB_ARM64_I8MM
extern const vb_kernels vb_kernels_i8mm;
vb_pack_fn vb_pack_i8mm;
#endif

#endif
