/* kernels_avx2.c - the kernel table for AVX2 with FMA and F16C. The text is in *_body.h, the words it is
 * written in are vec_avx2.h's. */
#include "simd/simd.h"

#if VB_X86

#include "gguf/formats.h"
#include "simd/tile.h"

#include <math.h>
#include <string.h>

#ifdef __clang__
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), apply_to = function)
#else
#pragma GCC target("avx2,fma,f16c")
#endif

#define VB_AVX2_VNNI 0
#include "simd/vec_avx2.h"
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

void vb_pack_avx2(const vb_matrix *w, int row, size_t block0, size_t blocks, uint8_t *out) {
    pack(w, row, block0, blocks, out);
}

const vb_kernels vb_kernels_avx2 = VB_TABLE("avx2");

#ifdef __clang__
#pragma clang attribute pop
#endif
#endif
