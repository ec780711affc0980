/* unpack.c - decodes blocks of weights. One function per format; the layouts are drawn in formats.h and the
 * meaning of the result is defined in unpack.h. Nothing here depends on the machine: bytes in, integers and
 * exact floats out. */
#include "gguf/unpack.h"

#include "gguf/half.h"

#include <math.h>

/* ----------------------------------------------------------------------------------- helpers */

static float half_at(const uint8_t *p) {
    return vb_half_to_float(vb_load_le16(p));
}

static void no_minimum(vb_block32 *out) {
    out->m = 0.0f;
    out->min[0] = out->min[1] = 0;
}

static void unit_scale(vb_block32 *out) {
    out->scale[0] = out->scale[1] = 1;
}

/* 16 bytes in pair order to 32 indices 0..15. */
static void nibbles(const uint8_t *qs, int8_t *q) {
    for (int j = 0; j < 16; j++) {
        q[j] = (int8_t)(qs[j] & 15);
        q[j + 16] = (int8_t)(qs[j] >> 4);
    }
}

/* The same, with bit i of the little-endian word at qh as bit 4 of value i. */
static void nibbles_and_fifth(const uint8_t *qs, const uint8_t *qh, int8_t *q) {
    nibbles(qs, q);
    for (int i = 0; i < 32; i++) q[i] = (int8_t)(q[i] | (qh[i / 8] >> i % 8 & 1) << 4);
}

static void add_to_all(int8_t *q, int n) {
    for (int i = 0; i < 32; i++) q[i] = (int8_t)(q[i] + n);
}

static void look_up(const int8_t *table, int8_t *q) {
    for (int i = 0; i < 32; i++) q[i] = table[q[i]];
}

/* Group `g` (0..7) of 32 values in the 2-bit planes of 64 bytes: half g/4, plane g%4. */
static void two_bit_plane(const uint8_t *qs, size_t g, int8_t *q) {
    const uint8_t *p = qs + 32 * (g / 4);
    for (int l = 0; l < 32; l++) q[l] = (int8_t)(p[l] >> 2 * (g % 4) & 3);
}

/* ----------------------------------------------------------------------------------- 32 values per block */

static void unpack_q4_0(const uint8_t *row, size_t group, vb_block32 *out) {
    const vb_block_q4_0 *b = (const vb_block_q4_0 *)row + group;
    nibbles(b->qs, out->q);
    add_to_all(out->q, -8);
    out->d = half_at(b->d);
    unit_scale(out);
    no_minimum(out);
}

static void unpack_q4_1(const uint8_t *row, size_t group, vb_block32 *out) {
    const vb_block_q4_1 *b = (const vb_block_q4_1 *)row + group;
    nibbles(b->qs, out->q);
    out->d = half_at(b->d);
    unit_scale(out);
    out->m = -half_at(b->m); /* the file adds its m, unpack.h subtracts */
    out->min[0] = out->min[1] = 1;
}

static void unpack_q5_0(const uint8_t *row, size_t group, vb_block32 *out) {
    const vb_block_q5_0 *b = (const vb_block_q5_0 *)row + group;
    nibbles_and_fifth(b->qs, b->qh, out->q);
    add_to_all(out->q, -16);
    out->d = half_at(b->d);
    unit_scale(out);
    no_minimum(out);
}

static void unpack_q5_1(const uint8_t *row, size_t group, vb_block32 *out) {
    const vb_block_q5_1 *b = (const vb_block_q5_1 *)row + group;
    nibbles_and_fifth(b->qs, b->qh, out->q);
    out->d = half_at(b->d);
    unit_scale(out);
    out->m = -half_at(b->m);
    out->min[0] = out->min[1] = 1;
}

static void unpack_q8_0(const uint8_t *row, size_t group, vb_block32 *out) {
    const vb_block_q8_0 *b = (const vb_block_q8_0 *)row + group;
    memcpy(out->q, b->qs, 32);
    out->d = half_at(b->d);
    unit_scale(out);
    no_minimum(out);
}

static void unpack_iq4_nl(const uint8_t *row, size_t group, vb_block32 *out) {
    const vb_block_iq4_nl *b = (const vb_block_iq4_nl *)row + group;
    nibbles(b->qs, out->q);
    look_up(vb_iq4_table, out->q);
    out->d = half_at(b->d);
    unit_scale(out);
    no_minimum(out);
}

/* 2^(e - 128) as a float32: normal from e = 2 on (2^-126), below that one of the two top mantissa bits. */
static float half_of_e8m0(uint8_t e) {
    return vb_bits_float(e >= 2 ? (uint32_t)(e - 1) << 23 : 0x200000u << e);
}

static void unpack_mxfp4(const uint8_t *row, size_t group, vb_block32 *out) {
    const vb_block_mxfp4 *b = (const vb_block_mxfp4 *)row + group;
    nibbles(b->qs, out->q);
    look_up(vb_e2m1_twice, out->q); /* twice the number, hence half the scale */
    out->d = half_of_e8m0(b->e);
    unit_scale(out);
    no_minimum(out);
}

/* ----------------------------------------------------------------------------------- 256 values per block */

static void unpack_q2_k(const uint8_t *row, size_t group, vb_block32 *out) {
    const vb_block_q2_k *b = (const vb_block_q2_k *)row + group / 8;
    const size_t g = group % 8;
    two_bit_plane(b->qs, g, out->q);
    out->d = half_at(b->d);
    out->m = half_at(b->dmin);
    for (int k = 0; k < 2; k++) {
        out->scale[k] = b->scales[2 * g + (size_t)k] & 15;
        out->min[k] = b->scales[2 * g + (size_t)k] >> 4;
    }
}

/* The 6-bit scale of 16-value group `g` (0..15). */
static int q3_k_scale(const uint8_t *scales, size_t g) {
    const int low = g < 8 ? scales[g] & 15 : scales[g - 8] >> 4;
    const int high = scales[8 + g % 4] >> 2 * (g / 4) & 3;
    return low | high << 4;
}

static void unpack_q3_k(const uint8_t *row, size_t group, vb_block32 *out) {
    const vb_block_q3_k *b = (const vb_block_q3_k *)row + group / 8;
    const size_t g = group % 8;
    two_bit_plane(b->qs, g, out->q);
    for (int l = 0; l < 32; l++) out->q[l] = (int8_t)(out->q[l] + (b->hmask[l] >> g & 1) * 4 - 4);
    out->d = half_at(b->d);
    out->scale[0] = q3_k_scale(b->scales, 2 * g) - 32;
    out->scale[1] = q3_k_scale(b->scales, 2 * g + 1) - 32;
    no_minimum(out);
}

/* Scale and minimum of 32-value group `g` (0..7) of Q4_K and Q5_K, 6 bits each. */
static void k4_scale(const uint8_t *scales, size_t g, int *sc, int *mn) {
    if (g < 4) {
        *sc = scales[g] & 63;
        *mn = scales[4 + g] & 63;
    } else {
        const size_t k = g - 4;
        *sc = (scales[8 + k] & 15) | (scales[k] >> 6) << 4;
        *mn = scales[8 + k] >> 4 | (scales[4 + k] >> 6) << 4;
    }
}

/* What Q4_K and Q5_K share. Both products are exact: 11 bits times 6. */
static void k4_common(const uint8_t *d, const uint8_t *dmin, const uint8_t *scales, const uint8_t *qs,
                      size_t g, vb_block32 *out) {
    int sc = 0, mn = 0;
    k4_scale(scales, g, &sc, &mn);
    out->d = half_at(d) * (float)sc;
    out->m = half_at(dmin) * (float)mn;
    unit_scale(out);
    out->min[0] = out->min[1] = 1;
    const uint8_t *p = qs + 32 * (g / 2);
    for (int l = 0; l < 32; l++) out->q[l] = (int8_t)(p[l] >> 4 * (g % 2) & 15);
}

static void unpack_q4_k(const uint8_t *row, size_t group, vb_block32 *out) {
    const vb_block_q4_k *b = (const vb_block_q4_k *)row + group / 8;
    k4_common(b->d, b->dmin, b->scales, b->qs, group % 8, out);
}

static void unpack_q5_k(const uint8_t *row, size_t group, vb_block32 *out) {
    const vb_block_q5_k *b = (const vb_block_q5_k *)row + group / 8;
    const size_t g = group % 8;
    k4_common(b->d, b->dmin, b->scales, b->qs, g, out);
    for (int l = 0; l < 32; l++) out->q[l] = (int8_t)(out->q[l] | (b->qh[l] >> g & 1) << 4);
}

/* Two's complement. */
static int32_t signed_byte(uint8_t b) {
    return (b ^ 0x80) - 0x80;
}

static void unpack_q6_k(const uint8_t *row, size_t group, vb_block32 *out) {
    const vb_block_q6_k *b = (const vb_block_q6_k *)row + group / 8;
    const size_t g = group % 8;
    /* Half g/4 of the block; inside it groups 0 and 1 are the low nibbles, 2 and 3 the high ones of the same
     * bytes. */
    const uint8_t *p = b->ql + 64 * (g / 4) + 32 * (g % 2);
    two_bit_plane(b->qh, g, out->q);
    for (int l = 0; l < 32; l++) {
        const int low = p[l] >> 4 * (g % 4 / 2) & 15;
        out->q[l] = (int8_t)((low | out->q[l] << 4) - 32);
    }
    out->d = half_at(b->d);
    out->scale[0] = signed_byte(b->scales[2 * g]);
    out->scale[1] = signed_byte(b->scales[2 * g + 1]);
    no_minimum(out);
}

static void unpack_iq4_xs(const uint8_t *row, size_t group, vb_block32 *out) {
    const vb_block_iq4_xs *b = (const vb_block_iq4_xs *)row + group / 8;
    const size_t g = group % 8;
    const int low = b->scales_l[g / 2] >> 4 * (g % 2) & 15;
    const int high = vb_load_le16(b->scales_h) >> 2 * g & 3;
    nibbles(b->qs + 16 * g, out->q);
    look_up(vb_iq4_table, out->q);
    out->d = half_at(b->d) * (float)((low | high << 4) - 32);
    unit_scale(out);
    no_minimum(out);
}

/* ----------------------------------------------------------------------------------- any type */

vb_unpack_fn *vb_unpacker(int type) {
    switch (type) {
    case VB_Q4_0: return unpack_q4_0;
    case VB_Q4_1: return unpack_q4_1;
    case VB_Q5_0: return unpack_q5_0;
    case VB_Q5_1: return unpack_q5_1;
    case VB_Q8_0: return unpack_q8_0;
    case VB_Q2_K: return unpack_q2_k;
    case VB_Q3_K: return unpack_q3_k;
    case VB_Q4_K: return unpack_q4_k;
    case VB_Q5_K: return unpack_q5_k;
    case VB_Q6_K: return unpack_q6_k;
    case VB_IQ4_NL: return unpack_iq4_nl;
    case VB_IQ4_XS: return unpack_iq4_xs;
    case VB_MXFP4: return unpack_mxfp4;
    default: return NULL;
    }
}

void vb_unpack32(vb_type type, const void *row, size_t group, vb_block32 *out) {
    vb_unpacker((int)type)(row, group, out);
}

/* Value i of a row of F32, F16 or BF16. */
static float plain_value(vb_type type, const uint8_t *row, size_t i) {
    if (type == VB_F16) return vb_half_to_float(vb_load_le16(row + 2 * i));
    if (type == VB_BF16) return vb_bf16_to_float(vb_load_le16(row + 2 * i));
    const uint8_t *p = row + 4 * i;
    return vb_bits_float((uint32_t)vb_load_le16(p) | (uint32_t)vb_load_le16(p + 2) << 16);
}

void vb_dequantize_row(vb_type type, const void *row, size_t n, float *out) {
    vb_unpack_fn *unpack = vb_unpacker((int)type);
    if (!unpack) {
        for (size_t i = 0; i < n; i++) out[i] = plain_value(type, row, i);
        return;
    }
    for (size_t group = 0; group < n / 32; group++) {
        vb_block32 b;
        unpack(row, group, &b);
        /* scale*q has at most 13 bits and m*min is exact, so that fmaf rounds the exact value, once. */
        for (int i = 0; i < 32; i++) {
            const int half = i / 16;
            const float minimum = b.m * (float)b.min[half];
            *out++ = fmaf(b.d, (float)(b.scale[half] * b.q[i]), -minimum);
        }
    }
}

void vb_dequantize_row_f64(vb_type type, const void *row, size_t n, double *out) {
    vb_unpack_fn *unpack = vb_unpacker((int)type);
    if (!unpack) {
        for (size_t i = 0; i < n; i++) out[i] = (double)plain_value(type, row, i);
        return;
    }
    for (size_t group = 0; group < n / 32; group++) {
        vb_block32 b;
        unpack(row, group, &b);
        for (int i = 0; i < 32; i++) {
            const int half = i / 16;
            const double minimum = (double)b.m * b.min[half];
            *out++ = (double)b.d * (b.scale[half] * b.q[i]) - minimum;
        }
    }
}

/* ----------------------------------------------------------------------------------- validation */

/* A float is not finite when its exponent bits are all ones. Adding the lowest exponent bit then carries into
 * the place of the sign, which the mask has cleared: (x & exponent) + lowest has the sign bit set. That also
 * works on several numbers side by side in one word, for no carry goes further. */

static bool bad_half(const uint8_t *p) {
    return (vb_load_le16(p) & 0x7c00u) == 0x7c00u;
}

/* First of n blocks, `stride` bytes apart, whose float16 at p, or at q unless it is NULL, is not finite; n if
 * there is none. A first pass over a stretch only collects whether there is one, without branches; a stretch
 * fits the cache, so that a large model comes from memory once. */
static uint64_t find_bad_half(const uint8_t *p, const uint8_t *q, uint64_t n, size_t stride) {
    for (uint64_t start = 0; start < n; start += 1024) {
        const uint64_t end = n - start < 1024 ? n : start + 1024;
        unsigned any = 0;
        for (uint64_t i = start; i < end; i++) any |= (vb_load_le16(p + i * stride) & 0x7c00u) + 0x0400u;
        for (uint64_t i = start; q && i < end; i++) any |= (vb_load_le16(q + i * stride) & 0x7c00u) + 0x0400u;
        if (!(any & 0x8000u)) continue;
        for (uint64_t i = start; i < end; i++) {
            if (bad_half(p + i * stride) || (q && bad_half(q + i * stride))) return i;
        }
    }
    return n;
}

/* First of n numbers of `bytes` bytes each, side by side, that is not finite; n if there is none. `exponent`
 * and `lowest` are 64-bit words of the masks above; a stretch of 4096 bytes at a time. */
static uint64_t find_bad_value(const uint8_t *p, uint64_t n, size_t bytes, uint64_t exponent,
                               uint64_t lowest) {
    const uint64_t sign = exponent + lowest;
    const uint64_t per_stretch = 4096 / bytes;
    for (uint64_t start = 0; start < n; start += per_stretch) {
        uint64_t word[512], any = 0;
        const uint64_t count = n - start < per_stretch ? n - start : per_stretch;
        if (count < per_stretch) memset(word, 0, sizeof word);
        memcpy(word, p + start * bytes, (size_t)count * bytes);
        for (int i = 0; i < 512; i++) any |= (word[i] & exponent) + lowest;
        for (uint64_t i = 0; (any & sign) && i < count; i++) {
            const uint64_t shift = 8 * bytes * (i % (8 / bytes));
            const uint64_t x = (word[i * bytes / 8] & exponent) + lowest;
            if (x & sign & ((UINT64_C(1) << (8 * bytes)) - 1) << shift) return start + i;
        }
    }
    return n;
}

static uint64_t find_bad_e8m0(const uint8_t *p, uint64_t n) {
    for (uint64_t i = 0; i < n; i++) {
        if (p[i * sizeof(vb_block_mxfp4)] > 252) return i;
    }
    return n;
}

enum { NONE = -1 };

/* Where the float16 scales lie in a block: d and a second one; NONE if there is no such field. */
static void scale_offsets(vb_type type, int *d, int *second) {
    *second = NONE;
    switch (type) {
    case VB_Q4_1: *d = offsetof(vb_block_q4_1, d), *second = offsetof(vb_block_q4_1, m); break;
    case VB_Q5_1: *d = offsetof(vb_block_q5_1, d), *second = offsetof(vb_block_q5_1, m); break;
    case VB_Q2_K: *d = offsetof(vb_block_q2_k, d), *second = offsetof(vb_block_q2_k, dmin); break;
    case VB_Q4_K: *d = offsetof(vb_block_q4_k, d), *second = offsetof(vb_block_q4_k, dmin); break;
    case VB_Q5_K: *d = offsetof(vb_block_q5_k, d), *second = offsetof(vb_block_q5_k, dmin); break;
    case VB_Q3_K: *d = offsetof(vb_block_q3_k, d); break;
    case VB_Q6_K: *d = offsetof(vb_block_q6_k, d); break;
    default: *d = 0; break; /* Q4_0, Q5_0, Q8_0, IQ4_NL, IQ4_XS */
    }
}

int64_t vb_validate_blocks(vb_type type, const void *data, uint64_t n_blocks, const char **what) {
    const uint8_t *p = data;
    const char *field = "value";
    uint64_t bad = n_blocks;
    if (type == VB_F32) {
        bad = find_bad_value(p, n_blocks, 4, UINT64_C(0x7f8000007f800000), UINT64_C(0x0080000000800000));
    } else if (type == VB_BF16) {
        bad = find_bad_value(p, n_blocks, 2, UINT64_C(0x7f807f807f807f80), UINT64_C(0x0080008000800080));
    } else if (type == VB_F16) {
        bad = find_bad_value(p, n_blocks, 2, UINT64_C(0x7c007c007c007c00), UINT64_C(0x0400040004000400));
    } else if (type == VB_MXFP4) {
        field = "scale e";
        bad = find_bad_e8m0(p, n_blocks);
    } else {
        const size_t stride = (size_t)vb_type_block_bytes((int)type);
        int d, second;
        scale_offsets(type, &d, &second);
        field = "scale d";
        bad = find_bad_half(p + d, second == NONE ? NULL : p + second, n_blocks, stride);
        if (bad < n_blocks && !bad_half(p + d + bad * stride))
            field = type == VB_Q4_1 || type == VB_Q5_1 ? "minimum m" : "minimum dmin";
    }
    if (bad == n_blocks) return -1;
    if (what) *what = field;
    return (int64_t)bad;
}
