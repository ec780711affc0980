/* inputs.c - seeded inputs, and the frame of a file. */
#include "conformance/inputs.h"

#include "base/rng.h"

#include <string.h>

uint64_t cf_next(cf_rng *r) {
    return vb_splitmix64(&r->state);
}

float cf_normal(cf_rng *r) {
    int32_t sum = -6 * 65535;
    for (int i = 0; i < 3; i++) {
        uint64_t v = cf_next(r);
        for (int k = 0; k < 4; k++, v >>= 16) sum += (int32_t)(v & 65535);
    }
    return (float)sum * 0x1p-16f;
}

/* Where the scales of a block lie: two float16 at most, or one power of two. */
static const struct {
    vb_type type;
    int d, m; /* byte offsets; m -1: none */
} SCALES[] = {{VB_Q4_0, 0, -1}, {VB_Q4_1, 0, 2},    {VB_Q5_0, 0, -1},   {VB_Q5_1, 0, 2},
              {VB_Q8_0, 0, -1}, {VB_Q2_K, 80, 82},  {VB_Q3_K, 108, -1}, {VB_Q4_K, 0, 2},
              {VB_Q5_K, 0, 2},  {VB_Q6_K, 208, -1}, {VB_IQ4_NL, 0, -1}, {VB_IQ4_XS, 0, -1}};

/* A float16 between 2^-9 and 2^-5, or as the style says. */
static uint16_t scale16(cf_rng *r, int style) {
    const uint16_t random = (uint16_t)cf_next(r);
    if (style == 6) return random & 0x83ffu; /* subnormal or zero, either sign */
    if (style == 7)
        return (uint16_t)(0xf800u | (random & 0x3ffu)); /* -32768 and beyond, the largest exponent */
    return (uint16_t)((random & 0x83ffu) | (6u + (random >> 10 & 3u)) << 10);
}

static void put16(uint8_t *at, uint16_t v) {
    at[0] = (uint8_t)v;
    at[1] = (uint8_t)(v >> 8);
}

static void random_float(cf_rng *r, vb_type type, int style, uint8_t *out) {
    float x = cf_normal(r);
    uint32_t bits;
    if (style == 6) x *= type == VB_F16 ? 0x1p-20f : 0x1p-130f;
    if (style == 7) x *= type == VB_F16 ? 0x1p12f : 0x1p100f;
    memcpy(&bits, &x, sizeof bits);
    if (type == VB_F32) {
        put16(out, (uint16_t)bits);
        put16(out + 2, (uint16_t)(bits >> 16));
    } else if (type == VB_BF16) {
        put16(out, (uint16_t)(bits >> 16));
    } else { /* a random float16, its exponent below the infinite one */
        const uint16_t h = (uint16_t)cf_next(r);
        put16(out, style == 6 ? h & 0x83ffu : (h & 0x7c00u) == 0x7c00u ? h & 0xbfffu : h);
    }
}

void cf_random_block(cf_rng *r, vb_type type, int style, uint8_t *out) {
    const int bytes = vb_type_block_bytes((int)type);
    if (vb_type_block_values((int)type) == 1) {
        random_float(r, type, style, out);
        return;
    }
    for (int i = 0; i < bytes; i++) out[i] = style == 4 ? 0 : style == 5 ? 255 : (uint8_t)(cf_next(r) >> 56);
    if (type == VB_MXFP4) out[0] = style == 6 ? 0 : style == 7 ? 252 : (uint8_t)(118 + (cf_next(r) & 7));
    for (size_t i = 0; i < sizeof SCALES / sizeof SCALES[0]; i++) {
        if (SCALES[i].type != type) continue;
        put16(out + SCALES[i].d, scale16(r, style));
        if (SCALES[i].m >= 0) put16(out + SCALES[i].m, scale16(r, style));
    }
}

json_t *cf_header(const char *kind, const char *command) {
    return json_pack("{s:s, s:i, s:s, s:s, s:s, s:s}", "verbatim", "vectors", "version", CF_VERSION, "kind",
                     kind, "origin", "contract", "licence", CF_LICENCE, "command", command);
}

void cf_add_header(vb_buf *out, const char *kind, const char *command) {
    cf_add_json(out, cf_header(kind, command));
}

void cf_add_end(vb_buf *out) {
    size_t lines = 0;
    for (const char *at = out->s; at && (at = strchr(at, '\n')); at++) lines++;
    vb_buf_addf(out, "{\"end\":%zu}\n", lines);
}

void cf_add_end_of(vb_buf *out, size_t n) {
    vb_buf_addf(out, "{\"end\":%zu}\n", n);
}

int cf_part_range(cf_part part, size_t n, const char *what, size_t *from, size_t *to, bool *last,
                  vb_error *err) {
    const size_t shards = part.shards > 0 ? (size_t)part.shards : 1,
                 i = part.shards > 0 ? (size_t)part.shard : 0;
    if (part.shards > 0 && shards > n)
        return vb_fail(err, VB_ERR_ARGUMENT, "%zu parts of %zu %s: there can be as many parts as %s at most",
                       shards, n, what, what);
    *from = n * i / shards;
    *to = n * (i + 1) / shards;
    *last = i + 1 == shards;
    return VB_OK;
}
