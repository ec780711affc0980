/* gguf_writer.c - writes GGUF files in memory, and rounds numbers to block formats. */
#include "tests/gguf_writer.h"

#include "gguf/formats.h"
#include "gguf/half.h"
#include "base/rng.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---------------------------------------------------------------------------------------------- memory */

static void die(const char *what) {
    perror(what);
    abort();
}

static void *grow(void *p, size_t size) {
    void *q = realloc(p, size ? size : 1);
    if (!q) die("gguf_writer: realloc");
    return q;
}

static void put(uint8_t **data, size_t *size, size_t *cap, const void *bytes, size_t n) {
    if (*size + n > *cap) {
        *cap = 2 * *cap + n;
        *data = grow(*data, *cap);
    }
    if (n) memcpy(*data + *size, bytes, n);
    *size += n;
}

/* An unsigned integer of `width` bytes, little endian. */
static void put_le(uint8_t **data, size_t *size, size_t *cap, uint64_t v, int width) {
    uint8_t b[8];
    for (int i = 0; i < width; i++) b[i] = (uint8_t)(v >> 8 * i);
    put(data, size, cap, b, (size_t)width);
}

/* ---------------------------------------------------------------------------------------------- building */

gw *gw_new(void) {
    gw *w = grow(NULL, sizeof *w);
    memset(w, 0, sizeof *w);
    memcpy(w->magic, "GGUF", 4);
    w->version = 3;
    w->alignment = 32;
    return w;
}

void gw_free(gw *w) {
    if (!w) return;
    for (size_t i = 0; i < w->tensors_len; i++) {
        free(w->tensors[i].name);
        free(w->tensors[i].data);
    }
    free(w->tensors);
    free(w->kv);
    free(w);
}

static void kv_le(gw *w, uint64_t v, int width) {
    put_le(&w->kv, &w->kv_size, &w->kv_cap, v, width);
}

void gw_raw_bytes(gw *w, const void *bytes, size_t size) {
    put(&w->kv, &w->kv_size, &w->kv_cap, bytes, size);
}

void gw_raw(gw *w, const char *key, size_t key_len, uint32_t type, const void *value, size_t size) {
    kv_le(w, key_len, 8);
    gw_raw_bytes(w, key, key_len);
    kv_le(w, type, 4);
    gw_raw_bytes(w, value, size);
    w->n_kv++;
}

static void scalar(gw *w, const char *key, uint32_t type, uint64_t v, int width) {
    gw_raw(w, key, strlen(key), type, NULL, 0);
    kv_le(w, v, width);
}

void gw_u8(gw *w, const char *key, uint8_t v) {
    scalar(w, key, VB_VALUE_U8, v, 1);
}
void gw_u16(gw *w, const char *key, uint16_t v) {
    scalar(w, key, VB_VALUE_U16, v, 2);
}
void gw_u32(gw *w, const char *key, uint32_t v) {
    scalar(w, key, VB_VALUE_U32, v, 4);
}
void gw_i32(gw *w, const char *key, int32_t v) {
    scalar(w, key, VB_VALUE_I32, (uint64_t)v, 4);
}
void gw_u64(gw *w, const char *key, uint64_t v) {
    scalar(w, key, VB_VALUE_U64, v, 8);
}
void gw_i64(gw *w, const char *key, int64_t v) {
    scalar(w, key, VB_VALUE_I64, (uint64_t)v, 8);
}
void gw_f32(gw *w, const char *key, float v) {
    scalar(w, key, VB_VALUE_F32, vb_float_bits(v), 4);
}
void gw_bool(gw *w, const char *key, bool v) {
    scalar(w, key, VB_VALUE_BOOL, v, 1);
}

void gw_f64(gw *w, const char *key, double v) {
    uint64_t bits;
    memcpy(&bits, &v, sizeof bits);
    scalar(w, key, VB_VALUE_F64, bits, 8);
}

void gw_strn(gw *w, const char *key, const char *v, size_t len) {
    gw_raw(w, key, strlen(key), VB_VALUE_STRING, NULL, 0);
    kv_le(w, len, 8);
    gw_raw_bytes(w, v, len);
}

void gw_str(gw *w, const char *key, const char *v) {
    gw_strn(w, key, v, strlen(v));
}

void gw_array(gw *w, const char *key, vb_value_type elem, const void *data, uint64_t count, size_t size) {
    gw_raw(w, key, strlen(key), VB_VALUE_ARRAY, NULL, 0);
    kv_le(w, (uint32_t)elem, 4);
    kv_le(w, count, 8);
    gw_raw_bytes(w, data, size);
}

void gw_array_str(gw *w, const char *key, const char *const *v, size_t count) {
    gw_array(w, key, VB_VALUE_STRING, NULL, count, 0);
    for (size_t i = 0; i < count; i++) {
        kv_le(w, strlen(v[i]), 8);
        gw_raw_bytes(w, v[i], strlen(v[i]));
    }
}

void gw_alignment(gw *w, uint32_t alignment) {
    gw_u32(w, "general.alignment", alignment);
    w->alignment = alignment;
}

static uint64_t round_up(uint64_t n, uint64_t to) {
    return to ? (n + to - 1) / to * to : n;
}

void gw_tensor(gw *w, const char *name, uint32_t type, uint32_t n_dims, const uint64_t *dims,
               const void *data, uint64_t bytes) {
    if (w->tensors_len == w->tensors_cap) {
        w->tensors_cap = 2 * w->tensors_cap + 8;
        w->tensors = grow(w->tensors, w->tensors_cap * sizeof *w->tensors);
    }
    gw_tensor_entry *t = &w->tensors[w->tensors_len++];
    memset(t, 0, sizeof *t);
    t->name_bytes = strlen(name);
    t->name_len = t->name_bytes;
    t->name = grow(NULL, t->name_bytes + 1);
    memcpy(t->name, name, t->name_bytes + 1);
    t->n_dims = n_dims;
    for (uint32_t i = 0; i < n_dims && i < 8; i++) t->dims[i] = dims[i];
    t->type = type;
    t->offset = w->next_offset;
    t->bytes = bytes;
    t->data = grow(NULL, bytes);
    if (data) {
        memcpy(t->data, data, bytes);
    } else {
        memset(t->data, 0, bytes);
    }
    w->next_offset = round_up(t->offset + bytes, w->alignment);
    w->n_tensors++;
}

uint8_t *gw_finish(gw *w, size_t *size) {
    uint8_t *out = NULL;
    size_t n = 0, cap = 0;
    put(&out, &n, &cap, w->magic, 4);
    put_le(&out, &n, &cap, w->version, 4);
    put_le(&out, &n, &cap, w->n_tensors, 8);
    put_le(&out, &n, &cap, w->n_kv, 8);
    w->kv_at = n;
    put(&out, &n, &cap, w->kv, w->kv_size);
    w->tensors_at = n;
    uint64_t end = 0;
    for (size_t i = 0; i < w->tensors_len; i++) {
        const gw_tensor_entry *t = &w->tensors[i];
        put_le(&out, &n, &cap, t->name_len, 8);
        put(&out, &n, &cap, t->name, t->name_bytes);
        put_le(&out, &n, &cap, t->n_dims, 4);
        for (uint32_t d = 0; d < t->n_dims && d < 8; d++) put_le(&out, &n, &cap, t->dims[d], 8);
        put_le(&out, &n, &cap, t->type, 4);
        put_le(&out, &n, &cap, t->offset, 8);
        /* A planted offset may lie anywhere: the file is only made longer for plausible ones. */
        if (t->offset < (1u << 30) && t->offset + t->bytes > end) end = t->offset + t->bytes;
    }
    w->data_at = round_up(n, w->alignment);
    if (w->tensors_len) {
        const size_t head = n;
        n = (size_t)(w->data_at + end);
        out = grow(out, n);
        memset(out + head, 0, n - head);
        for (size_t i = 0; i < w->tensors_len; i++) {
            const gw_tensor_entry *t = &w->tensors[i];
            if (t->bytes && t->offset < (1u << 30)) memcpy(out + w->data_at + t->offset, t->data, t->bytes);
        }
    }
    *size = n;
    return out;
}

/* ---------------------------------------------------------------------------------------------- files */

void gw_write_bytes(const char *path, const void *bytes, size_t size) {
    FILE *f = fopen(path, "wb");
    if (!f || (size && fwrite(bytes, 1, size, f) != size) || fclose(f)) die(path);
}

void gw_write(gw *w, const char *path) {
    size_t n;
    uint8_t *bytes = gw_finish(w, &n);
    gw_write_bytes(path, bytes, n);
    free(bytes);
}

void gw_temp_path(char *path) {
    const char *dir = getenv("TMPDIR");
    snprintf(path, 256, "%s/verbatim-XXXXXX", dir && *dir && strlen(dir) < 200 ? dir : "/tmp");
    int fd = mkstemp(path);
    if (fd < 0) die(path);
    close(fd);
}

/* ---------------------------------------------------------------------------------------------- a sample */

gw *gw_sample(void) {
    static const char *const tokens[] = {"<unk>", "", "a", "hello"};
    float values[32 * 4];
    gw *w = gw_new();
    gw_str(w, "general.architecture", "llama");
    gw_u8(w, "t.u8", 200);
    gw_raw(w, "t.i8", 4, VB_VALUE_I8, "\x80", 1);
    gw_u16(w, "t.u16", 65535);
    gw_raw(w, "t.i16", 5, VB_VALUE_I16, "\xfe\xff", 2);
    gw_u32(w, "t.u32", 4000000000u);
    gw_i32(w, "t.i32", -5);
    gw_f32(w, "t.f32", 0.1f);
    gw_bool(w, "t.bool", true);
    gw_u64(w, "t.u64", UINT64_MAX);
    gw_i64(w, "t.i64", INT64_MIN);
    gw_f64(w, "t.f64", 0.1);
    gw_array_str(w, "t.strings", tokens, 4);
    gw_array(w, "t.ints", VB_VALUE_I32, (int32_t[]){7, -8, 9}, 3, 12);
    gw_array(w, "t.bools", VB_VALUE_BOOL, "\0\1", 2, 2);
    gw_array(w, "t.empty", VB_VALUE_U8, NULL, 0, 0);
    gw_strn(w, "t.bytes", "a\0b\xff", 4);
    for (int i = 0; i < 32 * 4; i++) values[i] = (float)i;
    gw_tensor(w, "a.weight", VB_F32, 2, (uint64_t[]){32, 4}, values, sizeof values);
    gw_tensor(w, "b.weight", VB_Q8_0, 1, (uint64_t[]){64}, NULL, 68);
    gw_tensor(w, "c.weight", VB_F16, 4, (uint64_t[]){3, 1, 2, 1}, NULL, 12);
    return w;
}

/* ---------------------------------------------------------------------------------------------- numbers */

uint64_t gw_next(gw_rng *r) {
    return vb_splitmix64(&r->state);
}

float gw_normal(gw_rng *r) {
    int32_t sum = 0;
    for (int i = 0; i < 3; i++) {
        const uint64_t z = gw_next(r);
        for (int k = 0; k < 64; k += 16) sum += (int32_t)(z >> k & 0xffff);
    }
    /* 12 uniform integers in [0, 65535]: mean 12*32767.5, variance 12*(2^32 - 1)/12 = (2^16)^2, nearly. */
    return (float)(sum - 393210) * (1.0f / 65536.0f);
}

static void put_half(uint8_t *p, float f) {
    const uint16_t h = vb_float_to_half(f);
    p[0] = (uint8_t)h;
    p[1] = (uint8_t)(h >> 8);
}

static int clamp_round(float x, int lo, int hi) {
    const float r = rintf(x);
    if (r < (float)lo) return lo;
    return r > (float)hi ? hi : (int)r;
}

/* 4 and 5 bits. With a minimum:  d = (hi - lo)/(2^bits - 1),    q = round((x - lo)/d).
 *               Without:         d = amax/(2^(bits-1) - 1),     q = round(x/d) + 2^(bits-1).
 * Scales are used as rounded to float16. */
static void quantize_nibbles(const float *x, int bits, bool with_min, uint8_t *out) {
    const int top = (1 << bits) - 1, middle = 1 << (bits - 1);
    float lo = x[0], hi = x[0];
    for (int i = 1; i < 32; i++) {
        if (x[i] < lo) lo = x[i];
        if (x[i] > hi) hi = x[i];
    }
    const float amax = -lo > hi ? -lo : hi;
    put_half(out, with_min ? (hi - lo) / (float)top : amax / (float)(middle - 1));
    if (with_min) put_half(out + 2, lo);
    const float d = vb_half_to_float(vb_load_le16(out));
    const float base = with_min ? vb_half_to_float(vb_load_le16(out + 2)) : 0.0f;
    uint8_t *high = out + (with_min ? 4 : 2), *low = high + (bits == 5 ? 4 : 0);
    memset(high, 0, (size_t)(low + 16 - high));
    for (int i = 0; i < 32; i++) {
        const float scaled = d > 0 ? (x[i] - base) / d : 0.0f;
        const int q = clamp_round(with_min ? scaled : scaled + (float)middle, 0, top);
        low[i % 16] = (uint8_t)(low[i % 16] | (q & 15) << (i < 16 ? 0 : 4));
        if (bits == 5) high[i / 8] = (uint8_t)(high[i / 8] | (q >> 4) << i % 8);
    }
}

static void quantize_q8_0(const float *x, uint8_t *out) {
    float amax = 0;
    for (int i = 0; i < 32; i++) {
        if (fabsf(x[i]) > amax) amax = fabsf(x[i]);
    }
    put_half(out, amax / 127.0f);
    const float d = vb_half_to_float(vb_load_le16(out));
    for (int i = 0; i < 32; i++) out[2 + i] = (uint8_t)(int8_t)(d > 0 ? clamp_round(x[i] / d, -127, 127) : 0);
}

bool gw_quantize(vb_type type, const float *x, size_t n, uint8_t *out) {
    const size_t values = (size_t)vb_type_block_values((int)type),
                 bytes = (size_t)vb_type_block_bytes((int)type);
    if (!values || n % values) return false;
    for (size_t i = 0; i < n; i += values, out += bytes, x += values) {
        switch (type) {
        case VB_F32: memcpy(out, x, 4); break; /* little-endian machines only, like the rest of Verbatim */
        case VB_F16: put_half(out, *x); break;
        case VB_BF16:
            out[0] = (uint8_t)vb_float_to_bf16(*x);
            out[1] = (uint8_t)(vb_float_to_bf16(*x) >> 8);
            break;
        case VB_Q4_0: quantize_nibbles(x, 4, false, out); break;
        case VB_Q4_1: quantize_nibbles(x, 4, true, out); break;
        case VB_Q5_0: quantize_nibbles(x, 5, false, out); break;
        case VB_Q5_1: quantize_nibbles(x, 5, true, out); break;
        case VB_Q8_0: quantize_q8_0(x, out); break;
        default: return false;
        }
    }
    return true;
}

/* Where a block's float16 scales lie and how large they must be for values of standard deviation 1, when all
 * other bits are uniform: sqrt(E[sc^2] * E[q^2]) = 1/d. Types with a minimum get the minimum bits equal to
 * the scale bits (see same_minimum) and dmin = d * mean(q), so that the mean is 0. */
typedef struct random_layout {
    int d_at, dmin_at; /* -1: none */
    float d, dmin;
} random_layout;

static bool random_layout_of(vb_type type, random_layout *r) {
    switch (type) {
    case VB_Q4_0: *r = (random_layout){0, -1, 0.2157f, 0}; return true;
    case VB_Q4_1: *r = (random_layout){0, 2, 0.2169f, -1.627f}; return true;
    case VB_Q5_0: *r = (random_layout){0, -1, 0.1082f, 0}; return true;
    case VB_Q5_1: *r = (random_layout){0, 2, 0.1083f, -1.679f}; return true;
    case VB_Q8_0: *r = (random_layout){0, -1, 0.01353f, 0}; return true;
    case VB_Q2_K: *r = (random_layout){80, 82, 0.1016f, 0.1524f}; return true;
    case VB_Q3_K: *r = (random_layout){108, -1, 0.02307f, 0}; return true;
    case VB_Q4_K: *r = (random_layout){0, 2, 0.005941f, 0.04455f}; return true;
    case VB_Q5_K: *r = (random_layout){0, 2, 0.002966f, 0.04597f}; return true;
    case VB_Q6_K: *r = (random_layout){208, -1, 0.0007322f, 0}; return true;
    case VB_IQ4_NL: *r = (random_layout){0, -1, 0.01483f, 0}; return true;
    case VB_IQ4_XS: *r = (random_layout){0, -1, 0.0008024f, 0}; return true;
    default: return false;
    }
}

/* Makes every minimum equal to its scale. */
static void same_minimum(vb_type type, uint8_t *block) {
    if (type == VB_Q2_K) {
        for (int g = 0; g < 16; g++) block[g] = (uint8_t)((block[g] & 15) * 17);
    } else if (type == VB_Q4_K || type == VB_Q5_K) {
        for (int k = 0; k < 4; k++) {
            block[8 + k] = block[4 + k];
            block[12 + k] = (uint8_t)((block[12 + k] & 15) * 17);
        }
    }
}

bool gw_random_blocks(vb_type type, gw_rng *rng, float std, size_t n, uint8_t *out) {
    const size_t values = (size_t)vb_type_block_values((int)type),
                 bytes = (size_t)vb_type_block_bytes((int)type);
    if (!values || n % values) return false;
    for (size_t b = 0; b < n / values; b++, out += bytes) {
        if (values == 1) {
            const float x = std * gw_normal(rng);
            gw_quantize(type, &x, 1, out);
            continue;
        }
        for (size_t i = 0; i < bytes; i++) out[i] = (uint8_t)(gw_next(rng) >> 56);
        same_minimum(type, out);
        random_layout r;
        if (type == VB_MXFP4) {
            /* E2M1 numbers have standard deviation 2.93;
             * a power of two near std/2.93, at random one of two. */
            int e;
            frexpf(std * 0.341f, &e);
            out[0] = (uint8_t)(127 + e - (int)(gw_next(rng) >> 63));
        } else if (random_layout_of(type, &r)) {
            /* Scales spread by a factor of 0.75 to 1.25, so that blocks differ. */
            const float spread = std * (0.75f + (float)(gw_next(rng) >> 56) * (0.5f / 255.0f));
            put_half(out + r.d_at, r.d * spread);
            if (r.dmin_at >= 0) put_half(out + r.dmin_at, r.dmin * spread);
        } else {
            return false;
        }
    }
    return true;
}
