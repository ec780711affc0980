/* kernels_neon.c - the kernel table for NEON, which every aarch64 CPU has. The text is in *_body.h, the words
 * it is written in are vec_neon.h's. */
#include "simd/simd.h"

#if VB_ARM64

#include "gguf/formats.h"
#include "simd/tile.h"

#include <math.h>
#include <string.h>

#define VB_NEON_DOT 0
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

void vb_pack_neon(const vb_matrix *w, int row, size_t block0, size_t blocks, uint8_t *out) {
    pack(w, row, block0, blocks, out);
}

const vb_kernels vb_kernels_neon = VB_TABLE("neon");

#endif
