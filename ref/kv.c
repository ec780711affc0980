/* kv.c - see kv.h. */
#include "ref/kv.h"

#include "gguf/formats.h"
#include "gguf/half.h"

#include <math.h>
#include <string.h>

static const struct {
    vb_type type;
    int block; /* values */
    size_t bytes;
    uint32_t limit;
} TYPES[] = {
    {VB_F32, 1, 4, 0x7f800000u},
    {VB_F16, 1, 2, 0x477ff000u},  /* 65520 */
    {VB_BF16, 1, 2, 0x7f7f8000u}, /* halfway between the largest and infinity */
    {VB_Q8_0, 32, sizeof(vb_block_q8_0), 0x4afdf020u},
    {VB_Q4_0, 32, sizeof(vb_block_q4_0), 0x48fff000u},
    {VB_Q8I, 32, sizeof(vb_block_q8_0), 0x4afdf020u},
};
enum { N_TYPES = sizeof TYPES / sizeof TYPES[0], BLOCK = 32 };

static int row_of(vb_type type) {
    int i = 0;
    while (i < N_TYPES && TYPES[i].type != type) i++;
    return i;
}

bool vb_kv_type(int i, vb_type *type) {
    if (i < 0 || i >= N_TYPES) return false;
    *type = TYPES[i].type;
    return true;
}

bool vb_kv_keys_only(vb_type type) {
    return type == VB_Q8I;
}

const char *vb_kv_name(vb_type type) {
    return type == VB_Q8I ? "Q8I" : vb_type_name((int)type);
}

int vb_kv_block(vb_type type) {
    const int i = row_of(type);
    return i < N_TYPES ? TYPES[i].block : 0;
}

size_t vb_kv_bytes(vb_type type, int n) {
    const int i = row_of(type);
    return (size_t)(n / TYPES[i].block) * TYPES[i].bytes;
}

uint32_t vb_kv_limit(vb_type type) {
    return TYPES[row_of(type)].limit;
}

/* ---------------------------------------------------------------------- blocks */

/* The value of greatest size, the first of equals. */
static float extreme(const float *x) {
    float most = x[0];
    for (int i = 1; i < BLOCK; i++) {
        if (fabsf(x[i]) > fabsf(most)) most = x[i];
    }
    return most;
}

/* round_half_even(x * inverse), within [low, high]. */
static int rounded(float x, float inverse, int low, int high) {
    const float q = rintf(x * inverse);
    return q < (float)low ? low : q > (float)high ? high : (int)q;
}

/* Puts the scale d in front of a block; returns 1/d as it reads back, 0 where that is 0. */
static float put_scale(float d, uint8_t *to) {
    const uint16_t half = vb_float_to_half(d);
    const float back = vb_half_to_float(half);
    memcpy(to, &half, sizeof half);
    return back != 0.0f ? 1.0f / back : 0.0f;
}

static void store_q8_0(const float *x, uint8_t *to) {
    const float inverse = put_scale(fabsf(extreme(x)) / 127.0f, to);
    for (int i = 0; i < BLOCK; i++) to[2 + i] = (uint8_t)(int8_t)rounded(x[i], inverse, -127, 127);
}

/* Byte i holds values i and i + 16. */
static void store_q4_0(const float *x, uint8_t *to) {
    const float inverse = put_scale(extreme(x) / -8.0f, to);
    for (int i = 0; i < BLOCK / 2; i++) {
        const int low = rounded(x[i], inverse, -8, 7) + 8;
        const int high = rounded(x[i + BLOCK / 2], inverse, -8, 7) + 8;
        to[2 + i] = (uint8_t)(low | high << 4);
    }
}

void vb_kv_store(vb_type type, const float *x, int n, void *to) {
    uint8_t *at = to;
    const int i = row_of(type);
    switch (type) {
    case VB_F32: memcpy(to, x, (size_t)n * sizeof *x); return;
    case VB_BF16:
        for (int j = 0; j < n; j++, at += 2) {
            const uint16_t bits = vb_float_to_bf16(x[j]);
            memcpy(at, &bits, sizeof bits);
        }
        return;
    case VB_Q8_0:
    case VB_Q8I:
        for (int j = 0; j < n; j += BLOCK, at += TYPES[i].bytes) store_q8_0(x + j, at);
        return;
    case VB_Q4_0:
        for (int j = 0; j < n; j += BLOCK, at += TYPES[i].bytes) store_q4_0(x + j, at);
        return;
    default:
        for (int j = 0; j < n; j++, at += 2) {
            const uint16_t bits = vb_float_to_half(x[j]);
            memcpy(at, &bits, sizeof bits);
        }
        return;
    }
}
