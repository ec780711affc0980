/* test_gguf_blocks.c - float16 conversions and the decoding of every block format.
 *
 * The decoder under test (gguf/unpack.c) is compared, on random blocks, with a slow one written here from the
 * diagrams of formats.h alone and built the other way round: it says for every value at which bit of the
 * block each of its bits lies, and gathers them one by one. Besides, some values of each format are worked
 * out by hand. */
#include "tests/gguf_writer.h"
#include "gguf/half.h"
#include "gguf/unpack.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* ----------------------------------------------------------------------------------- float16 */

static double half_by_formula(uint16_t h) {
    const int e = h >> 10 & 31, m = h & 1023;
    const double value = e ? ldexp(1024 + m, e - 25) : ldexp(m, -24);
    return h >> 15 ? -value : value;
}

static bool half_is_finite(uint16_t h) {
    return (h >> 10 & 31) != 31;
}

static void test_half_to_float(void **state) {
    (void)state;
    for (uint32_t i = 0; i < 65536; i++) {
        const uint16_t h = (uint16_t)i;
        const float f = vb_half_to_float(h);
        if (half_is_finite(h)) {
            assert_true((double)f == half_by_formula(h) && !!signbit(f) == h >> 15);
        } else {
            assert_true(h & 1023 ? isnan(f) : isinf(f) && !!signbit(f) == h >> 15);
        }
        /* There and back changes nothing, but makes a signalling NaN quiet. */
        assert_int_equal(vb_float_to_half(f), isnan(f) ? h | 0x0200 : h);
    }
}

/* Between every two neighbouring float16 numbers: the middle goes to the even one, everything else to the
 * nearer one. */
static void test_float_to_half(void **state) {
    (void)state;
    for (uint16_t h = 0; h < 0x7c00; h++) {
        const float low = vb_half_to_float(h);
        const float high = h == 0x7bff ? 65536.0f : vb_half_to_float((uint16_t)(h + 1));
        const float middle = 0.5f * (low + high); /* exact */
        const uint16_t up = (uint16_t)(h + 1);
        for (int negative = 0; negative < 2; negative++) {
            const int sign = negative ? 0x8000 : 0;
            const float s = sign ? -1.0f : 1.0f;
            assert_int_equal(vb_float_to_half(s * low), sign | h);
            assert_int_equal(vb_float_to_half(s * middle), sign | (h & 1 ? up : h));
            assert_int_equal(vb_float_to_half(s * nextafterf(middle, 0.0f)), sign | h);
            assert_int_equal(vb_float_to_half(s * nextafterf(middle, 1e9f)), sign | up);
            assert_int_equal(vb_float_to_half(s * nextafterf(high, 0.0f)), sign | up);
        }
    }
    assert_int_equal(vb_float_to_half(1e30f), 0x7c00);
    assert_int_equal(vb_float_to_half(-INFINITY), 0xfc00);
    assert_int_equal(vb_float_to_half(0x1p-149f), 0);
    assert_int_equal(vb_float_to_half(-0.0f), 0x8000);
    assert_int_equal(vb_float_to_half(vb_bits_float(0x7f800001)), 0x7e00); /* a NaN stays one */
}

static void test_bf16(void **state) {
    (void)state;
    for (uint32_t i = 0; i < 65536; i++) {
        const float f = vb_bf16_to_float((uint16_t)i);
        assert_int_equal(vb_float_bits(f), i << 16);
        if (!isnan(f)) assert_int_equal(vb_float_to_bf16(f), i);
    }
    assert_int_equal(vb_float_to_bf16(vb_bits_float(0x3f808000)), 0x3f80); /* the middle, to even */
    assert_int_equal(vb_float_to_bf16(vb_bits_float(0x3f818000)), 0x3f82);
    assert_int_equal(vb_float_to_bf16(vb_bits_float(0x3f808001)), 0x3f81);
    assert_int_equal(vb_float_to_bf16(vb_bits_float(0x7f7fffff)), 0x7f80); /* overflow */
    assert_true(isnan(vb_bf16_to_float(vb_float_to_bf16(vb_bits_float(0x7f800001)))));
}

/* ----------------------------------------------------------------------------------- the slow decoder */

static int bit(const uint8_t *block, int byte, int n) {
    return block[byte] >> n & 1;
}

/* `n` consecutive bits of one byte, from bit `from` up. */
static int bits(const uint8_t *block, int byte, int from, int n) {
    int v = 0;
    for (int k = 0; k < n; k++) v |= bit(block, byte, from + k) << k;
    return v;
}

static double half_in(const uint8_t *block, int byte) {
    return half_by_formula((uint16_t)(block[byte] + 256 * block[byte + 1]));
}

/* The integer of value i of a format of 32 values whose nibbles begin at byte qs. */
static int nibble32(const uint8_t *block, int qs, int i) {
    return bits(block, qs + i % 16, i < 16 ? 0 : 4, 4);
}

/* Bit 4, from a word of 32 bits at byte qh. */
static int fifth32(const uint8_t *block, int qh, int i) {
    return bit(block, qh + i / 8, i % 8) << 4;
}

/* The 2-bit field of value i of 256, from 64 bytes at byte qs. */
static int field256(const uint8_t *block, int qs, int i) {
    const int h = i / 128, plane = i % 128 / 32, l = i % 32;
    return bits(block, qs + 32 * h + l, 2 * plane, 2);
}

static double iq4(int q) {
    static const double table[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                     1,    13,   25,  38,  53,  69,  89,  113};
    return table[q];
}

/* sign | exponent | mantissa, bias 1; a zero exponent is subnormal. */
static double e2m1(int q) {
    const int e = q >> 1 & 3, m = q & 1;
    const double value = e ? ldexp(2 + m, e - 2) : 0.5 * m;
    return q & 8 ? -value : value;
}

/* Scale and minimum number g of Q4_K and Q5_K: 12 bytes from byte 4. */
static int k4_sc(const uint8_t *b, int g) {
    return g < 4 ? bits(b, 4 + g, 0, 6) : bits(b, 12 + g - 4, 0, 4) + 16 * bits(b, 4 + g - 4, 6, 2);
}
static int k4_mn(const uint8_t *b, int g) {
    return g < 4 ? bits(b, 8 + g, 0, 6) : bits(b, 12 + g - 4, 4, 4) + 16 * bits(b, 8 + g - 4, 6, 2);
}

static double slow_q2_k(const uint8_t *b, int i) {
    const int g = i / 16;
    return half_in(b, 80) * bits(b, g, 0, 4) * field256(b, 16, i) - half_in(b, 82) * bits(b, g, 4, 4);
}

static double slow_q3_k(const uint8_t *b, int i) {
    const int g = i / 16;
    const int q = field256(b, 32, i) + 4 * bit(b, i % 32, i / 32);
    const int sc = bits(b, 96 + g % 8, g < 8 ? 0 : 4, 4) + 16 * bits(b, 104 + g % 4, 2 * (g / 4), 2);
    return half_in(b, 108) * (sc - 32) * (q - 4);
}

static double slow_q4_k(const uint8_t *b, int i) {
    const int q = bits(b, 16 + 32 * (i / 64) + i % 32, i % 64 < 32 ? 0 : 4, 4);
    return half_in(b, 0) * k4_sc(b, i / 32) * q - half_in(b, 2) * k4_mn(b, i / 32);
}

static double slow_q5_k(const uint8_t *b, int i) {
    const int low = bits(b, 48 + 32 * (i / 64) + i % 32, i % 64 < 32 ? 0 : 4, 4);
    const int q = low + 16 * bit(b, 16 + i % 32, i / 32);
    return half_in(b, 0) * k4_sc(b, i / 32) * q - half_in(b, 2) * k4_mn(b, i / 32);
}

static double slow_q6_k(const uint8_t *b, int i) {
    const int h = i / 128, k = i % 64;
    const int q = bits(b, 64 * h + k, i % 128 < 64 ? 0 : 4, 4) + 16 * field256(b, 128, i);
    const int sc = b[192 + i / 16];
    return half_in(b, 208) * (sc < 128 ? sc : sc - 256) * (q - 32);
}

static double slow_iq4_xs(const uint8_t *b, int i) {
    const int g = i / 32;
    const int sc = bits(b, 4 + g / 2, g % 2 ? 4 : 0, 4) + 16 * bits(b, 2 + g / 4, 2 * (g % 4), 2);
    return half_in(b, 0) * (sc - 32) * iq4(nibble32(b, 8 + 16 * g, i % 32));
}

/* Value i of one block, in float64. */
static double slow_value(vb_type type, const uint8_t *b, int i) {
    switch (type) {
    case VB_Q4_0: return half_in(b, 0) * (nibble32(b, 2, i) - 8);
    case VB_Q4_1: return half_in(b, 0) * nibble32(b, 4, i) + half_in(b, 2);
    case VB_Q5_0: return half_in(b, 0) * (nibble32(b, 6, i) + fifth32(b, 2, i) - 16);
    case VB_Q5_1: return half_in(b, 0) * (nibble32(b, 8, i) + fifth32(b, 4, i)) + half_in(b, 2);
    case VB_Q8_0: return half_in(b, 0) * (b[2 + i] < 128 ? b[2 + i] : b[2 + i] - 256);
    case VB_IQ4_NL: return half_in(b, 0) * iq4(nibble32(b, 2, i));
    case VB_MXFP4: return ldexp(e2m1(nibble32(b, 1, i)), b[0] - 127);
    case VB_Q2_K: return slow_q2_k(b, i);
    case VB_Q3_K: return slow_q3_k(b, i);
    case VB_Q4_K: return slow_q4_k(b, i);
    case VB_Q5_K: return slow_q5_k(b, i);
    case VB_Q6_K: return slow_q6_k(b, i);
    case VB_IQ4_XS: return slow_iq4_xs(b, i);
    default: return NAN;
    }
}

/* ----------------------------------------------------------------------------------- comparison */

static const vb_type quantized[] = {VB_Q4_0, VB_Q4_1, VB_Q5_0, VB_Q5_1,   VB_Q8_0,   VB_Q2_K, VB_Q3_K,
                                    VB_Q4_K, VB_Q5_K, VB_Q6_K, VB_IQ4_NL, VB_IQ4_XS, VB_MXFP4};
enum { N_TYPES = sizeof quantized / sizeof quantized[0], BLOCKS = 3000, MOST_BYTES = 210 };

/* Byte offsets of the float16 fields, -1 for none; what the diagrams say. */
static void half_fields(vb_type type, int *d, int *second) {
    *d = type == VB_Q2_K ? 80 : type == VB_Q3_K ? 108 : type == VB_Q6_K ? 208 : type == VB_MXFP4 ? -1 : 0;
    *second = type == VB_Q2_K                                                            ? 82
              : type == VB_Q4_1 || type == VB_Q5_1 || type == VB_Q4_K || type == VB_Q5_K ? 2
                                                                                         : -1;
}

/* Random bits everywhere, scales of any finite value: float16 subnormals, zeros and the largest included. */
static void random_block(vb_type type, gw_rng *r, uint8_t *block) {
    const int bytes = vb_type_block_bytes((int)type);
    for (int i = 0; i < bytes; i++) block[i] = (uint8_t)(gw_next(r) >> 32);
    int at[2];
    half_fields(type, &at[0], &at[1]);
    for (int k = 0; k < 2; k++) {
        if (at[k] >= 0 && (block[at[k] + 1] & 0x7c) == 0x7c) block[at[k] + 1] ^= 0x40;
    }
    if (type == VB_MXFP4 && block[0] > 252) block[0] = (uint8_t)(block[0] - 250); /* 3..5 */
}

static void compare_type(vb_type type, gw_rng *r) {
    static uint8_t row[BLOCKS * MOST_BYTES];
    const int values = vb_type_block_values((int)type), bytes = vb_type_block_bytes((int)type);
    for (int b = 0; b < BLOCKS; b++) random_block(type, r, row + b * bytes);
    assert_int_equal(vb_validate_blocks(type, row, BLOCKS, NULL), -1);
    static float f32[BLOCKS * 256];
    static double f64[BLOCKS * 256];
    const size_t n = (size_t)values * BLOCKS;
    vb_dequantize_row(type, row, n, f32);
    vb_dequantize_row_f64(type, row, n, f64);
    for (size_t i = 0; i < n; i++) {
        const double want =
            slow_value(type, row + i / (size_t)values * (size_t)bytes, (int)(i % (size_t)values));
        if (f64[i] != want || f32[i] != (float)want) {
            fail_msg("%s, value %zu: %a and %a, expected %a", vb_type_name((int)type), i, f64[i],
                     (double)f32[i], want);
        }
    }
    /* unpack.h's formula, and the bounds that the integer kernels rely on. */
    for (size_t group = 0; group < n / 32; group++) {
        vb_block32 u;
        memset(&u, 0x5a, sizeof u);
        vb_unpack32(type, row, group, &u);
        for (int i = 0; i < 32; i++) {
            const int half = i / 16;
            const double v = (double)u.d * u.scale[half] * u.q[i] - (double)u.m * u.min[half];
            assert_true(v == f64[32 * group + (size_t)i]);
        }
        assert_true(u.scale[0] >= -128 && u.scale[0] <= 127 && u.min[0] >= 0 && u.min[0] <= 15);
        assert_true(u.scale[1] >= -128 && u.scale[1] <= 127 && u.min[1] >= 0 && u.min[1] <= 15);
    }
}

static void test_against_slow_decoder(void **state) {
    (void)state;
    gw_rng r = {42};
    for (int t = 0; t < N_TYPES; t++) compare_type(quantized[t], &r);
    print_message("%d types, %d random blocks each\n", N_TYPES, BLOCKS);
}

static void test_plain_types(void **state) {
    (void)state;
    uint8_t row[4 * 64];
    float f32[64];
    double f64[64];
    gw_rng r = {43};
    for (size_t i = 0; i < sizeof row; i++)
        row[i] = (uint8_t)(i % 4 == 3 || i % 2 ? 0x3a : gw_next(&r) >> 40);
    vb_dequantize_row(VB_F32, row, 64, f32);
    assert_memory_equal(f32, row, sizeof row);
    vb_dequantize_row_f64(VB_F32, row, 64, f64);
    for (int i = 0; i < 64; i++) assert_true(f64[i] == (double)f32[i]);
    vb_dequantize_row(VB_F16, row, 64, f32);
    vb_dequantize_row_f64(VB_F16, row, 64, f64);
    for (int i = 0; i < 64; i++)
        assert_true((double)f32[i] == half_in(row, 2 * i) && f64[i] == (double)f32[i]);
    vb_dequantize_row(VB_BF16, row, 64, f32);
    for (int i = 0; i < 64; i++)
        assert_int_equal(vb_float_bits(f32[i]), (uint32_t)vb_load_le16(row + 2 * i) << 16);
    assert_null(vb_unpacker(VB_F32));
    assert_null(vb_unpacker(99));
    assert_false(vb_type_is_quantized(VB_BF16));
    assert_true(vb_type_is_quantized(VB_MXFP4));
}

/* ----------------------------------------------------------------------------------- by hand */

/* A block that is zero but for a few bytes, and the values worked out from the diagrams on paper. 0x3800 is
 * 0.5, 0x4000 is 2, 0xbc00 is -1 in float16. */
typedef struct by_hand {
    vb_type type;
    struct {
        int at, byte;
    } bytes[12];
    int n;
    struct {
        int i;
        double value;
    } values[4];
} by_hand;

static const by_hand cases[] = {
    /* d = 0.5; byte 3 of qs is 0xa7: v[3] = 0.5*(7 - 8), v[19] = 0.5*(10 - 8); v[0] = 0.5*(0 - 8) */
    {VB_Q4_0, {{1, 0x38}, {2 + 3, 0xa7}}, 4, {{3, -0.5}, {19, 1}, {0, -4}, {31, -4}}},
    /* d = 0.5, m = -1: 0.5*7 - 1, 0.5*10 - 1 */
    {VB_Q4_1, {{1, 0x38}, {3, 0xbc}, {4 + 3, 0xa7}}, 3, {{3, 2.5}, {19, 4}, {0, -1}}},
    /* bit 19 of qh (byte 2, bit 3) and bit 0: v[19] = 0.5*(10 + 16 - 16), v[0] = 0.5*(0 + 16 - 16) */
    {VB_Q5_0, {{1, 0x38}, {2, 1}, {4, 8}, {6 + 3, 0xa7}}, 4, {{3, -4.5}, {19, 5}, {0, 0}, {1, -8}}},
    {VB_Q5_1, {{1, 0x38}, {3, 0xbc}, {6, 8}, {8 + 3, 0xa7}}, 3, {{3, 2.5}, {19, 12}, {0, -1}}},
    {VB_Q8_0, {{1, 0x38}, {2, 0x80}, {2 + 31, 0x7f}}, 3, {{0, -64}, {31, 63.5}, {1, 0}}},
    /* d = 2, indices 7 (-10) and 10 (25), index 0 elsewhere (-127) */
    {VB_IQ4_NL, {{1, 0x40}, {2 + 3, 0xa7}}, 3, {{3, -20}, {19, 50}, {0, -254}}},
    /* e = 130: 2^3 times 6 (index 7) and -1 (index 10) */
    {VB_MXFP4, {{0, 130}, {1 + 3, 0xa7}}, 3, {{3, 48}, {19, -8}, {0, 0}}},
    /* e = 0: 2^-127 times 0.5 and 6, subnormal in float32 */
    {VB_MXFP4, {{0, 0}, {1, 0x71}}, 2, {{0, 0x1p-128}, {16, 6 * 0x1p-127}}},
    /* e = 1 */
    {VB_MXFP4, {{0, 1}, {1, 0x71}}, 2, {{0, 0x1p-127}, {16, 6 * 0x1p-126}}},
    /* d = 0.5, dmin = 2. v[128 + 64 + 5]: byte 16 + 32 + 5, bits 4-5; group 12: sc 3, mn 2: 0.5*3*2 - 2*2 */
    {VB_Q2_K, {{81, 0x38}, {83, 0x40}, {16 + 32 + 5, 0x20}, {12, 0x23}}, 3, {{197, -1}, {196, -4}, {0, 0}}},
    /* d = 0.5. v[197] as before with q = 2; hmask[5] bit 6 adds 4. Group 12: low bits in the high nibble of
     * byte 4 of the scales (9), high bits in byte 8 (12 % 4 = 0), bits 6-7 (2): 9 + 32 = 41.
     * 0.5*(41 - 32)*(6 - 4) = 9. Group 0: scale byte 0 is 0: 0.5*(0 - 32)*(0 - 4) = 64 */
    {VB_Q3_K,
     {{109, 0x38}, {32 + 32 + 5, 0x20}, {5, 0x40}, {96 + 4, 0x90}, {96 + 8, 0x80}},
     3,
     {{197, 9}, {196, -18}, {0, 64}}},
    /* d = 0.5, dmin = 2. v[32*5 + 7]: byte 16 + 2*32 + 7, high nibble = 11. Scale 5: low bits in byte 12 + 1
     * (0x93: sc 3, mn 9), high bits in bytes 4 + 1 (0x40: 1) and 8 + 1 (0x80: 2): sc = 3 + 16 = 19,
     * mn = 9 + 32 = 41. 0.5*19*11 - 2*41 = 22.5 */
    {VB_Q4_K,
     {{1, 0x38}, {3, 0x40}, {16 + 64 + 7, 0xb0}, {12 + 1, 0x93}, {4 + 1, 0x40}, {8 + 1, 0x80}},
     3,
     {{167, 22.5}, {166, -82}, {0, 0}}},
    /* the same with bit 4 from qh[7] bit 5: q = 27: 0.5*19*27 - 82 */
    {VB_Q5_K,
     {{1, 0x38},
      {3, 0x40},
      {48 + 64 + 7, 0xb0},
      {16 + 7, 0x20},
      {12 + 1, 0x93},
      {4 + 1, 0x40},
      {8 + 1, 0x80}},
     3,
     {{167, 174.5}, {166, -82}, {0, 0}}},
    /* v[128 + 64 + 5]: low bits in the high nibble of byte 64 + 5 (13), high bits in qh byte 128 + 32 + 5,
     * bits 4-5 (2): q = 13 + 32 = 45; scale 12 = -3: 0.5*(-3)*(45 - 32) */
    {VB_Q6_K,
     {{209, 0x38}, {64 + 5, 0xd0}, {128 + 32 + 5, 0x20}, {192 + 12, 0xfd}},
     3,
     {{197, -19.5}, {196, 48}, {0, 0}}},
    /* d = 0.5. Group 5: scales_l[2] high nibble 9, scales_h bits 10-11 (byte 3, bits 2-3) 2: 41 - 32 = 9.
     * v[32*5 + 16 + 3]: byte 8 + 80 + 3, high nibble 10 -> 25: 0.5*9*25; v[163]: index 7 -> -10.
     * v[0]: 0.5*(0 - 32)*(-127) */
    {VB_IQ4_XS,
     {{1, 0x38}, {4 + 2, 0x90}, {3, 0x08}, {8 + 80 + 3, 0xa7}},
     3,
     {{179, 112.5}, {163, -45}, {0, 2032}}},
};

static void test_by_hand(void **state) {
    (void)state;
    for (size_t c = 0; c < sizeof cases / sizeof cases[0]; c++) {
        const by_hand *h = &cases[c];
        uint8_t block[MOST_BYTES] = {0};
        float v[256];
        for (int k = 0; k < 12; k++) {
            if (h->bytes[k].byte) block[h->bytes[k].at] = (uint8_t)h->bytes[k].byte;
        }
        vb_dequantize_row(h->type, block, (size_t)vb_type_block_values((int)h->type), v);
        for (int k = 0; k < h->n; k++) {
            const int i = h->values[k].i;
            if ((double)v[i] != h->values[k].value) {
                fail_msg("%s, v[%d] = %g, by hand %g", vb_type_name((int)h->type), i, (double)v[i],
                         h->values[k].value);
            }
        }
    }
}

/* ----------------------------------------------------------------------------------- validation */

static void expect_bad(vb_type type, uint8_t *row, int64_t n, int64_t want, const char *field) {
    const char *what = "";
    const int64_t got = vb_validate_blocks(type, row, (uint64_t)n, &what);
    if (got != want || (want >= 0 && strcmp(what, field))) {
        fail_msg("%s: bad block %lld (%s), expected %lld (%s)", vb_type_name((int)type), (long long)got, what,
                 (long long)want, field);
    }
}

static void test_validation(void **state) {
    (void)state;
    static uint8_t row[BLOCKS * MOST_BYTES];
    static const uint16_t bad_halves[] = {0x7c00, 0xfc00, 0x7c01, 0xffff};
    gw_rng r = {44};
    for (int t = 0; t < N_TYPES; t++) {
        const vb_type type = quantized[t];
        const int bytes = vb_type_block_bytes((int)type);
        int at[2];
        half_fields(type, &at[0], &at[1]);
        for (int b = 0; b < BLOCKS; b++) random_block(type, &r, row + b * bytes);
        for (int k = 0; k < 2; k++) {
            static const int where[] = {0, 1, 1023, 1024, BLOCKS - 1};
            const char *field = k == 0                               ? "scale d"
                                : type == VB_Q4_1 || type == VB_Q5_1 ? "minimum m"
                                                                     : "minimum dmin";
            for (size_t j = 0; at[k] >= 0 && j < sizeof where / sizeof where[0]; j++) {
                uint8_t *p = row + where[j] * bytes + at[k];
                const uint8_t keep[2] = {p[0], p[1]};
                const uint16_t half = bad_halves[gw_next(&r) % 4];
                p[0] = (uint8_t)half;
                p[1] = (uint8_t)(half >> 8);
                expect_bad(type, row, BLOCKS, where[j], field);
                expect_bad(type, row, where[j], -1, field); /* what lies behind is not looked at */
                memcpy(p, keep, 2);
            }
        }
        expect_bad(type, row, BLOCKS, -1, "");
        if (type == VB_MXFP4) {
            row[17 * 7] = 253; /* 2^126 times 6 is beyond float32 */
            expect_bad(type, row, BLOCKS, 7, "scale e");
            row[17 * 7] = 255;
            expect_bad(type, row, BLOCKS, 7, "scale e");
            row[17 * 7] = 252;
            expect_bad(type, row, BLOCKS, -1, "");
        }
    }
}

static void test_validation_plain(void **state) {
    (void)state;
    float f[3000] = {0};
    uint16_t h[3000] = {0};
    f[2999] = INFINITY;
    expect_bad(VB_F32, (uint8_t *)f, 3000, 2999, "value");
    f[2000] = NAN;
    expect_bad(VB_F32, (uint8_t *)f, 3000, 2000, "value");
    f[2000] = f[2999] = 0x1.fffffep127f;
    expect_bad(VB_F32, (uint8_t *)f, 3000, -1, "");
    h[1024] = 0xfc00;
    expect_bad(VB_F16, (uint8_t *)h, 3000, 1024, "value");
    expect_bad(VB_BF16, (uint8_t *)h, 3000, -1, "");
    h[5] = 0x7f81;
    expect_bad(VB_BF16, (uint8_t *)h, 3000, 5, "value");
    expect_bad(VB_BF16, (uint8_t *)h, 0, -1, "");
}

/* ----------------------------------------------------------------------------------- the writer's weights */

/* Blocks that gguf_writer.c makes have the mean and spread that it says,
 * and rounding to nearest stays near. */
static void test_writer(void **state) {
    (void)state;
    enum { N = 256 * 64 };
    static float x[N], y[N];
    static uint8_t row[N * 4];
    gw_rng r = {45};
    static const vb_type plain[] = {VB_F32, VB_F16, VB_BF16};
    for (int t = 0; t < N_TYPES + 3; t++) {
        const vb_type type = t < N_TYPES ? quantized[t] : plain[t - N_TYPES];
        double sum = 0, squares = 0;
        assert_true(gw_random_blocks(type, &r, 0.1f, N, row));
        vb_dequantize_row(type, row, N, y);
        for (int i = 0; i < N; i++) sum += (double)y[i], squares += (double)y[i] * (double)y[i];
        const double std = sqrt(squares / N), slack = type == VB_MXFP4 ? 0.6 : 0.05;
        if (fabs(sum / N) > 0.012 || fabs(std / 0.1 - 1) > slack) {
            fail_msg("%s: mean %g, standard deviation %g", vb_type_name((int)type), sum / N, std);
        }
        for (int i = 0; i < N; i++) x[i] = gw_normal(&r);
        if (!gw_quantize(type, x, N, row)) continue;
        vb_dequantize_row(type, row, N, y);
        double error = 0;
        for (int i = 0; i < N; i++) { /* no fmax: gcc 12 for aarch64 fails on the reduction */
            const double e = fabs((double)(x[i] - y[i]));
            if (e > error) error = e;
        }
        if (error > 0.5) fail_msg("%s: rounding moved a value by %g", vb_type_name((int)type), error);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_half_to_float), cmocka_unit_test(test_float_to_half),
        cmocka_unit_test(test_bf16),          cmocka_unit_test(test_against_slow_decoder),
        cmocka_unit_test(test_plain_types),   cmocka_unit_test(test_by_hand),
        cmocka_unit_test(test_validation),    cmocka_unit_test(test_validation_plain),
        cmocka_unit_test(test_writer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
