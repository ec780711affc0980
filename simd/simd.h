/* simd.h - what the SIMD files share. A file for one instruction set compiles to nothing on other machines;
 * on its own it switches the instruction set on for its functions only, so the build needs no flags per file
 * and one binary serves all. */
#ifndef VB_SIMD_H
#define VB_SIMD_H

#include "repack.h"

#if defined(__x86_64__) && defined(__GNUC__)
#define VB_X86 1
#else
#define VB_X86 0
#endif

/* Unroll the next loop entirely (its bounds are constants): its arrays then live in registers. Speed only. */
#if defined(__clang__)
#define VB_UNROLL _Pragma("clang loop unroll(full)")
#elif defined(__GNUC__)
#define VB_UNROLL _Pragma("GCC unroll 16")
#else
#define VB_UNROLL
#endif

/* for (int i = 0; i < n; i++), unrolled. */
#define EACH(i, n) VB_UNROLL for (int i = 0; i < (n); i++)

/* How this set interleaves rows; NULL if it reads them as mapped. */
vb_pack_fn *vb_packer(const vb_kernels *set);

#if VB_X86
extern const vb_kernels vb_kernels_avx2, vb_kernels_avx512;
vb_pack_fn vb_pack_avx2, vb_pack_avx512;
#endif

#endif
