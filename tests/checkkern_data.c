/* checkkern_data.c - see checkkern.h. */
#include "tests/checkkern.h"

#include "gguf/half.h"
#include "simd/repack.h"
#include "gguf/unpack.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { MAX_BLOCKS = 512 };
static struct {
    void *at;
    size_t size;
} blocks[MAX_BLOCKS];
static int n_blocks;

void *ck_guarded(size_t n) {
    const size_t page = (size_t)sysconf(_SC_PAGESIZE), inside = (n + page - 1) / page * page;
    uint8_t *p = mmap(NULL, inside + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED || n_blocks == MAX_BLOCKS || mprotect(p + inside, page, PROT_NONE)) {
        fprintf(stderr, "checkkern: no memory for %zu bytes\n", n);
        exit(2);
    }
    blocks[n_blocks].at = p;
    blocks[n_blocks++].size = inside + page;
    return p + inside - n;
}

void ck_release(void) {
    while (n_blocks > 0) {
        n_blocks--;
        munmap(blocks[n_blocks].at, blocks[n_blocks].size);
    }
}

/* ---------------------------------------------------------------------- weights */

/* Byte offsets of the float16 fields of a block; -1: none. */
static void half_fields(vb_type type, int at[2]) {
    at[0] = 0;
    at[1] = -1;
    if (type == VB_Q4_1 || type == VB_Q5_1 || type == VB_Q4_K || type == VB_Q5_K) at[1] = 2;
    if (type == VB_Q3_K) at[0] = 108;
    if (type == VB_Q6_K) at[0] = 208;
    if (type == VB_Q2_K) {
        at[0] = 80;
        at[1] = 82;
    }
}

static uint16_t half_of_style(ck_weights_style style, gw_rng *rng) {
    static const uint16_t small[] = {0x0000, 0x8000, 0x0001, 0x8001, 0x03ff, 0x0400, 0x8400, 0x0200};
    const uint64_t r = gw_next(rng);
    if (style == CK_LARGE) return (uint16_t)(0x7bffu | (r & 1) << 15);
    if (style == CK_SMALL) return small[r % 8];
    return (uint16_t)(vb_float_to_half(0.001f + (float)(r >> 48) * 1e-6f) | (r & 1) << 15);
}

static void set_scales(vb_type type, uint8_t *block, ck_weights_style style, gw_rng *rng) {
    if (type == VB_MXFP4) {
        const uint8_t r = (uint8_t)(gw_next(rng) >> 56);
        block[0] = (uint8_t)(style == CK_LARGE ? 227 : style == CK_SMALL ? r % 4 : 110 + r % 16);
        return;
    }
    int at[2];
    half_fields(type, at);
    for (int i = 0; i < 2 && at[i] >= 0; i++) {
        const uint16_t h = half_of_style(style, rng);
        block[at[i]] = (uint8_t)h;
        block[at[i] + 1] = (uint8_t)(h >> 8);
    }
}

static void fill_blocks(vb_type type, uint8_t *data, size_t bytes, ck_weights_style style, gw_rng *rng) {
    static const uint8_t pattern[CK_WEIGHTS_STYLES] = {[CK_ONE_BITS] = 0xff, [CK_LOWEST] = 0xaa};
    const size_t size = (size_t)vb_type_block_bytes((int)type);
    const bool random = style == CK_NORMAL || style == CK_LARGE || style == CK_SMALL;
    for (size_t i = 0; i < bytes; i++) {
        data[i] = random ? (uint8_t)(gw_next(rng) >> 56) : pattern[style];
        if (style == CK_LOWEST && type == VB_Q8_0) data[i] = 0x80;
    }
    for (size_t i = 0; i + size <= bytes; i += size) set_scales(type, data + i, style, rng);
}

static void fill_plain(vb_type type, uint8_t *data, size_t n, ck_weights_style style, gw_rng *rng) {
    for (size_t i = 0; i < n; i++) {
        float x = gw_normal(rng);
        if (style == CK_ZERO_BITS) x = (gw_next(rng) & 1) ? 0.0f : -0.0f;
        if (style == CK_LARGE) x = x < 0 ? -65504.0f : 65504.0f;
        if (style == CK_SMALL) x *= 0x1p-20f; /* subnormal in float16 */
        const uint16_t h = type == VB_F16 ? vb_float_to_half(x) : vb_float_to_bf16(x);
        if (type == VB_F32)
            memcpy(data + 4 * i, &x, 4);
        else
            memcpy(data + 2 * i, &h, 2);
    }
}

static const void *packed_form(const vb_matrix *w) {
    const size_t bytes = vb_packed_bytes(w);
    if (!bytes) return NULL;
    uint8_t *p = ck_guarded(bytes);
    const size_t per_row = w->row_bytes / (size_t)vb_type_block_bytes((int)w->type);
    for (int r = 0; r < w->rows; r += VB_LANES) vb_pack(w, r, 0, per_row, p + (size_t)r * w->row_bytes);
    return p;
}

vb_matrix ck_matrix(vb_type type, int rows, int cols, ck_weights_style style, gw_rng *rng) {
    vb_matrix w = {.type = type, .rows = rows, .cols = cols};
    const int values = vb_type_block_values((int)type);
    w.row_bytes = (size_t)(cols / values) * (size_t)vb_type_block_bytes((int)type);
    const size_t bytes = (size_t)rows * w.row_bytes;
    uint8_t *data = ck_guarded(bytes);
    if (values == 1)
        fill_plain(type, data, (size_t)rows * (size_t)cols, style, rng);
    else
        fill_blocks(type, data, bytes, style, rng);
    w.data = data;
    w.packed = packed_form(&w);
    return w;
}

/* ---------------------------------------------------------------------- activations */

void ck_floats(float *x, int n, ck_acts_style style, gw_rng *rng) {
    for (int i = 0; i < n; i++) {
        const float sign = (gw_next(rng) & 1) ? 1.0f : -1.0f;
        ck_acts_style s = style;
        if (style == CK_MIXED) s = (ck_acts_style)((i / 32 + n) % CK_MIXED);
        switch (s) {
        case CK_CONSTANT: x[i] = 1.5f; break;
        case CK_SIGNS: x[i] = 3.0f * sign; break;
        case CK_ZEROS: x[i] = 0.0f * sign; break;
        case CK_TINY: x[i] = gw_normal(rng) * (i / 32 % 2 ? 0x1p-101f : 0x1p-149f); break;
        case CK_HUGE: x[i] = gw_normal(rng) * 1e18f; break;
        default: x[i] = gw_normal(rng); break;
        }
    }
}

vb_acts ck_acts(int rows, int n, int planes, ck_acts_style style, gw_rng *rng) {
    const size_t R = (size_t)rows, N = (size_t)n, P = (size_t)planes;
    float *f = ck_guarded(R * N * sizeof *f);
    vb_acts x = {.rows = rows, .n = n, .planes = planes, .f = f};
    for (size_t t = 0; t < R; t++) ck_floats(f + t * N, n, style, rng);
    if (!planes) return x;
    int8_t *q = ck_guarded(P * R * N);
    float *d = ck_guarded(R * (N / 32) * sizeof *d);
    int32_t *sum16 = ck_guarded(R * (N / 16) * sizeof *sum16);
    for (size_t t = 0; t < R; t++) {
        if (vb_kernels_ref.quantize(f + t * N, n, planes, q + t * N, R * N, d + t * (N / 32),
                                    sum16 + t * (N / 16))) {
            fprintf(stderr, "checkkern: activations are not finite\n");
            exit(2);
        }
    }
    x.q = q;
    x.d = d;
    x.sum16 = sum16;
    return x;
}
