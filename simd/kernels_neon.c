/* kernels_neon.c - the kernel table for NEON, which every aarch64 CPU has. The text is in *_body.h, the words
 * it is written in are vec_neon.h's. */
#include "simd.h"

#if VB_ARM64

#include "formats.h"
#include "tile.h"

#include <math.h>
#include <string.h>

#define VB_NEON_DOT 0
#include "vec_neon.h"

#include "pack_body.h"
#include "weights_body.h"
#include "matmul_body.h"
#include "float_body.h"
#include "ops_body.h"
#include "table_body.h"

void vb_pack_neon(const vb_matrix *w, int row, size_t block0, size_t blocks, uint8_t *out) {
    pack(w, row, block0, blocks, out);
}

const vb_kernels vb_kernels_neon = VB_TABLE("neon");

#endif
