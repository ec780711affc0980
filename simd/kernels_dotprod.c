/* kernels_dotprod.c - the kernel table for NEON with dot instructions (FEAT_DotProd: most aarch64 CPUs since
 * 2018). The text is in *_body.h, the words it is written in are vec_neon.h's. */
#include "simd/simd.h"

#if VB_ARM64_DOTPROD

#include "gguf/formats.h"
#include "simd/tile.h"

#include <math.h>
#include <string.h>

#ifdef __clang__
#pragma clang attribute push(__attribute__((target("arch=armv8.2-a+dotprod"))), apply_to = function)
#else
#pragma GCC target("arch=armv8.2-a+dotprod")
#endif

#define VB_NEON_DOT 1
#include "simd/vec_neon.h"
#include "simd/vec.h"

#include "simd/pack_body.h"
#include "simd/weights_body.h"
#include "simd/group_body.h"
#include "simd/narrow_body.h"
#include "simd/matmul_body.h"
#include "simd/float_body.h"
#include "simd/ops_body.h"
#include "simd/attention_body.h"
#include "simd/table_body.h"

void vb_pack_dotprod(const vb_matrix *w, int row, size_t block0, size_t blocks, uint8_t *out) {
    pack(w, row, block0, blocks, out);
}

const vb_kernels vb_kernels_dotprod = VB_TABLE("dotprod");

#ifdef __clang__
#pragma clang attribute pop
#endif
#endif
