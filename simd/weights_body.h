/* weights_body.h - block-quantised weights of ROWS rows out of their packed form (repack.h), written once for
 * every instruction set: the names in here (ivec, i_load, ...) are those of vec_*.h. A group of 32 values
 * becomes 8 vectors of bytes and a few vectors of scales. Weights are unsigned there, u = q + offset, except
 * 8-bit ones where SIGNED_WEIGHTS. */

/* Scales of ROWS rows, for one group. */
typedef struct scales {
    fvec d, m;           /* d_w and m_w */
    ivec s0, s1, n0, n1; /* multipliers of the two halves of the group, where the format has them */
    fvec f0, f1, g0, g1; /* and these as floats, where step() wants them so */
} scales;

INLINE ivec mask8(ivec v, int bits) {
    return i_and(v, i_set8(bits));
}
/* Byte i of each lane as an integer with a sign. */
INLINE ivec signed_byte_of(ivec v, int i) {
    return i_right_signed(i_left(v, 24 - 8 * i), 24);
}

/* ---------------------------------------------------------------------- scales
 *
 * p is where row 0 of this vector stands in the packed block: word v of the block is at p + 64*v, after the
 * head. */

/* 2^(e - 128) from E8M0 bytes: an exponent from e = 2 on, below that one of the top mantissa bits. */
INLINE fvec e8m0_halves(const uint8_t *p) {
    const ivec e = i_bytes(p);
    return f_of_bits(i_if_ge(e, i_set(2), i_left(i_sub(e, i_set(1)), 23), i_left_each(i_set(0x200000), e)));
}

/* Bits [at, at + n) of each lane, n <= 8, moved to bit 0. */
INLINE ivec bits_at(ivec v, int at, int n) {
    return i_and(at ? i_right(v, at) : v, i_set((1 << n) - 1));
}

/* sc and mn of group g of Q4_K and Q5_K (the drawing is in gguf/formats.h): word 1 of the block holds sc of
 * groups 0-3, word 2 mn of them; groups 4-7 have their low bits in word 3, their high ones above those of the
 * first four. */
INLINE void k4_scales(const uint8_t *p, const int g, scales *s) {
    const ivec sc = i_load(p + 64), mn = i_load(p + 128);
    const int at = g % 4 * 8;
    if (g < 4) {
        s->d = f_mul(s->d, f_of_int(bits_at(sc, at, 6)));
        s->m = f_mul(s->m, f_of_int(bits_at(mn, at, 6)));
    } else {
        const ivec low = i_load(p + 192);
        s->d = f_mul(s->d, f_of_int(i_or(bits_at(low, at, 4), i_left(bits_at(sc, at + 6, 2), 4))));
        s->m = f_mul(s->m, f_of_int(i_or(bits_at(low, at + 4, 4), i_left(bits_at(mn, at + 6, 2), 4))));
    }
}

INLINE void q2_k_scales(const uint8_t *p, const int g, scales *s) {
    const ivec v = i_load(p + (1 + g / 2) * 64);
    const int at = g % 2 * 16;
    s->s0 = bits_at(v, at, 4);
    s->n0 = bits_at(v, at + 4, 4);
    s->s1 = bits_at(v, at + 8, 4);
    s->n1 = bits_at(v, at + 12, 4);
}

/* Multiplier i of 16: 4 low bits in words 0 and 1, 2 high bits in word 2; less 32. */
INLINE ivec q3_k_multiplier(const uint8_t *p, const int i) {
    const ivec low = bits_at(i_load(p + 64 * (i / 4 % 2)), i % 4 * 8 + (i < 8 ? 0 : 4), 4);
    const ivec high = bits_at(i_load(p + 128), i % 4 * 8 + i / 4 * 2, 2);
    return i_sub(i_or(low, i_left(high, 4)), i_set(32));
}

INLINE void iq4_xs_scales(const uint8_t *p, const int g, scales *s) {
    const ivec low = bits_at(i_load(p + 64), 4 * g, 4), high = bits_at(i_load(p), 16 + 2 * g, 2);
    s->d = f_mul(s->d, f_of_int(i_sub(i_or(low, i_left(high, 4)), i_set(32))));
}

/* What all groups of a block share. head: of the first row of this vector; p: its first word. */
INLINE scales block_scales(vb_type type, const uint8_t *head, const uint8_t *p) {
    scales s = {.d = f_zero(), .m = f_zero()};
    switch (type) {
    case VB_Q8_0:
    case VB_Q4_0:
    case VB_Q5_0:
    case VB_IQ4_NL:
    case VB_Q6_K:
    case VB_Q3_K: s.d = f_halves(head); break;
    case VB_MXFP4: s.d = e8m0_halves(head); break;
    case VB_Q4_1:
    case VB_Q5_1:
        s.d = f_low_half(i_load(p));
        s.m = f_high_half(i_xor(i_load(p), i_set(INT32_MIN))); /* m_w = -(file's m) */
        break;
    case VB_Q2_K:
    case VB_Q4_K:
    case VB_Q5_K:
        s.d = f_low_half(i_load(p));
        s.m = f_high_half(i_load(p));
        break;
    case VB_IQ4_XS: s.d = f_low_half(i_load(p)); break;
    default: break;
    }
    return s;
}

/* The scales of group g of the block at p. */
INLINE scales group_scales(vb_type type, const uint8_t *p, scales s, const int g) {
    switch (type) {
    case VB_Q4_K:
    case VB_Q5_K: k4_scales(p, g, &s); break;
    case VB_Q2_K: q2_k_scales(p, g, &s); break;
    case VB_Q3_K:
        s.s0 = q3_k_multiplier(p, 2 * g);
        s.s1 = q3_k_multiplier(p, 2 * g + 1);
        break;
    case VB_Q6_K:
        s.s0 = signed_byte_of(i_load(p + 64 * (g / 2)), g % 2 * 2);
        s.s1 = signed_byte_of(i_load(p + 64 * (g / 2)), g % 2 * 2 + 1);
        break;
    case VB_IQ4_XS: iq4_xs_scales(p, g, &s); break;
    default: break;
    }
    return s;
}

/* ---------------------------------------------------------------------- weights */

/* Four vectors in pair order at p: low nibbles are quads 0-3, high nibbles quads 4-7. */
INLINE void nibbles(const uint8_t *p, ivec w[8]) {
    EACH(k, 4) {
        const ivec v = i_load(p + 64 * k);
        w[k] = mask8(v, 15);
        w[k + 4] = i_high_nibbles(v);
    }
}

INLINE void look_up(const int8_t *table, int offset, ivec w[8]) {
    EACH(k, 8) w[k] = i_look_up(table, offset, w[k]);
}

/* q = u - offset. Where SIGNED_WEIGHTS, 8-bit weights stay signed. */
INLINE int offset_of(vb_type type) {
    const vb_format *f = vb_format_of(type);
    return SIGNED_WEIGHTS && f->bits == 8 ? 0 : f->offset;
}

/* Quad k of group g of a packed block whose words start at p, in formats whose groups share words. */
INLINE ivec quad(vb_type type, const uint8_t *p, const int g, const int k) {
    switch (type) {
    case VB_Q4_K: {
        const ivec v = i_load(p + 64 * (4 + g / 2 * 8 + k));
        return g % 2 ? i_high_nibbles(v) : mask8(v, 15);
    }
    case VB_Q5_K: {
        const ivec v = i_load(p + 64 * (g < 2 ? 5 + 2 * k : 12 + g / 2 * 8 + k));
        const ivec low = g % 2 ? i_high_nibbles(v) : mask8(v, 15);
        return i_or_bits(low, i_load(p + 64 * (4 + 2 * k)), 4 - g, 16);
    }
    case VB_Q6_K: {
        const uint8_t *half = p + 64 * (4 + g / 4 * 24);
        const int j = g % 4;
        const ivec v = i_load(half + 64 * (3 * k + 1 + j % 2));
        return i_or_bits(j / 2 ? i_high_nibbles(v) : mask8(v, 15), i_load(half + 64 * (3 * k)), 4 - 2 * j,
                         48);
    }
    case VB_Q2_K: return mask8(i_right(i_load(p + 64 * (5 + g / 4 * 8 + k)), g % 4 * 2), 3);
    case VB_Q3_K: {
        const ivec low = mask8(i_right(i_load(p + 64 * (g < 4 ? 4 + 2 * k : 19 + k)), g % 4 * 2), 3);
        return i_or_bits(low, i_load(p + 64 * (3 + 2 * k)), 2 - g, 4);
    }
    default: return i_zero();
    }
}

/* Group g of the packed block whose words start at p. */
INLINE void unpack(vb_type type, const uint8_t *p, const int g, ivec w[8]) {
    switch (type) {
    case VB_Q8_0:
        EACH(k, 8) {
            w[k] = i_load(p + 64 * k);
            if (SIGNED_WEIGHTS) w[k] = i_xor(w[k], i_set8(128));
        }
        break;
    case VB_Q4_0: nibbles(p, w); break;
    case VB_Q4_1: nibbles(p + 64, w); break;
    case VB_IQ4_NL:
        nibbles(p, w);
        look_up(vb_iq4_table, offset_of(type), w);
        break;
    case VB_MXFP4:
        nibbles(p, w);
        look_up(vb_e2m1_twice, offset_of(type), w);
        break;
    case VB_IQ4_XS:
        nibbles(p + 64 * (2 + 4 * g), w);
        look_up(vb_iq4_table, offset_of(type), w);
        break;
    case VB_Q5_0:
    case VB_Q5_1: {
        const uint8_t *at = p + (type == VB_Q5_0 ? 0 : 64);
        const ivec fifth = i_load(at);
        nibbles(at + 64, w);
        EACH(k, 8) w[k] = i_or_bits(w[k], fifth, 4 - k, 16);
        break;
    }
    case VB_Q2_K:
    case VB_Q3_K:
    case VB_Q4_K:
    case VB_Q5_K:
    case VB_Q6_K: EACH(k, 8) w[k] = quad(type, p, g, k); break;
    default: break;
    }
}
