/* half.h - float16 and bfloat16 to float32 and back, in portable C: no intrinsics, no tables, no libm.
 *
 *   float16    s eeeee mmmmmmmmmm                  bias 15    2^-24 (least subnormal) .. 65504
 *   bfloat16   s eeeeeeee mmmmmmm                  bias 127   the upper half of a float32
 *   float32    s eeeeeeee mmmmmmmmmmmmmmmmmmmmmmm  bias 127
 *
 * Widening is exact. Narrowing rounds to nearest, ties to even, overflows to infinity and keeps NaN a NaN
 * (quiet, upper payload bits kept). These are the bits that F16C and NEON instructions give, so that SIMD
 * code may use those. Source of the formats: IEEE 754-2019, 3.6. */
#ifndef VB_HALF_H
#define VB_HALF_H

#include <stdint.h>
#include <string.h>

static inline uint32_t vb_float_bits(float f) {
    uint32_t u;
    memcpy(&u, &f, sizeof u);
    return u;
}

static inline float vb_bits_float(uint32_t u) {
    float f;
    memcpy(&f, &u, sizeof f);
    return f;
}

static inline float vb_half_to_float(uint16_t h) {
    const uint32_t sign = (uint32_t)(h & 0x8000u) << 16;
    const uint32_t rest = h & 0x7fffu;
    /* Normal numbers move their exponent from bias 15 to 127: +112. Infinity and NaN move from 31 to 255:
     * +224. */
    const uint32_t normal = (rest << 13) + (rest >= 0x7c00u ? 224u << 23 : 112u << 23);
    /* Zero and subnormals are the integer `rest` in units of 2^-24. */
    const uint32_t small = vb_float_bits((float)(int32_t)rest * 0x1p-24f);
    return vb_bits_float(sign | (rest < 0x0400u ? small : normal));
}

static inline uint16_t vb_float_to_half(float f) {
    const uint32_t bits = vb_float_bits(f);
    const uint32_t sign = (bits >> 16) & 0x8000u;
    const uint32_t rest = bits & 0x7fffffffu;
    uint32_t out;
    if (rest > 0x7f800000u) {
        out = 0x7e00u | ((rest >> 13) & 0x03ffu);
    } else if (rest >= 0x47800000u) { /* 65536 and above, infinity */
        out = 0x7c00u;
    } else if (rest < 0x38800000u) {
        /* Below 2^-14: the result is |f| rounded to a multiple of 2^-24. In [0.5, 1) that is one unit in the
         * last place of a float32, so adding 0.5 does the rounding. */
        out = vb_float_bits(vb_bits_float(rest) + 0.5f) - 0x3f000000u;
    } else {
        /* Drop 13 bits: add just under half a unit, and one more when the bit that stays is odd. A carry out
         * of the mantissa raises the exponent, up to infinity from 65520 on. */
        out = (rest + 0x0fffu + ((rest >> 13) & 1u) - (112u << 23)) >> 13;
    }
    return (uint16_t)(sign | out);
}

static inline float vb_bf16_to_float(uint16_t b) {
    return vb_bits_float((uint32_t)b << 16);
}

static inline uint16_t vb_float_to_bf16(float f) {
    const uint32_t bits = vb_float_bits(f);
    if ((bits & 0x7fffffffu) > 0x7f800000u) return (uint16_t)(bits >> 16 | 0x0040u);
    return (uint16_t)((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}

#endif
