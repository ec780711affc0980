/* group_body.h - one group of 32 values, or the groups of a block whose bits stand in the same words, of
 * ROWS rows times the activations of some tokens: the dot instructions and the contract's float step (the
 * formula is vb_matmul_fn's, ref/kernels.h). Written once for every instruction set; the names in here (ivec,
 * dot, ...) are those of vec.h and weights_body.h.
 *
 * Weights are unsigned there (u = q + offset), and isum starts from -offset*xsum instead of 0:
 * sum (u - offset)*x = sum u*x - offset*sum x, exactly. */

/* What the records of a type hold for this set. The sums of one plane are small: where the halves of a group
 * have scales of their own, a set may multiply int16 sums (SCALED) or floats (BIASED) instead of int32. */
INLINE vb_tile_kind kind_of(vb_type type, int planes) {
    const vb_tile_kind kind = vb_format_of(type)->kind;
    if (SCALED && planes == 1 && vb_format_halves(type)) return VB_TILE_PAIRS;
    if (BIASED && planes == 1 && kind == VB_TILE_SUMS) return VB_TILE_FLOATS;
    return kind;
}
INLINE int bits_of(vb_type type) {
    return vb_format_of(type)->bits;
}

/* Sums that start from BIAS, the bits of 1.5*2^23, are floats as they stand, 1.5*2^23 + sum, exactly as long
 * as |sum| < 2^22: one plane's are at most 32*128*127 = 520,192. */
enum { BIAS = 0x4b400000 };
INLINE bool biased(vb_type type, int planes) {
    return BIASED && planes == 1 && kind_of(type, planes) != VB_TILE_PAIRS;
}
INLINE fvec f_of_sum(vb_type type, int planes, ivec sum) {
    return biased(type, planes) ? f_sub(f_of_bits(sum), f_set(0x1.8p+23f)) : f_of_int(sum);
}

/* Sums stand in arrays [side][n]: of `side` vectors of rows, each with n tokens.
 *
 * acc += the whole integers' dot products over quads [k0, k1), times `scale` where the set is SCALED and the
 * type's halves have one; with two planes that is 128*hi + lo. */
INLINE void dots(const int side, const int n, int planes, ivec *acc, const quads *w, int bits,
                 const ivec *scale, const int32_t *x, int k0, int k1) {
    const size_t stride = 8 * (size_t)planes;
    if (planes == 1) {
        dot(side, n, acc, w, bits, scale, x, stride, k0, k1);
        return;
    }
    ivec both[SIDE * STEP];
    EACH(i, side * n) both[i] = i_zero();
    dot(side, n, both, w, bits, NULL, x, stride, k0, k1);
    EACH(i, side * n) both[i] = i_left(both[i], 7);
    dot(side, n, both, w, bits, NULL, x + 8, stride, k0, k1);
    EACH(i, side * n) acc[i] = i_add(acc[i], both[i]);
}

INLINE ivec mul_add(ivec a, ivec b, ivec c, ivec d) {
    return i_add(i_mul(a, b), i_mul(c, d));
}

/* The multipliers of a group's halves in the form that step() wants: for VB_TILE_PAIRS each in both int16 of
 * its lane, and n0 the pair that meets the record's, of minimums or of offsets; for BIASED sums floats. */
INLINE ivec pair(ivec low, ivec high) {
    return i_or(i_and(low, i_set(0xffff)), i_left(high, 16));
}
INLINE scales scales_for(vb_type type, int planes, scales s) {
    const int offset = offset_of(type);
    if (!vb_format_halves(type)) return s;
    if (kind_of(type, planes) == VB_TILE_PAIRS) {
        if (vb_format_of(type)->kind == VB_TILE_SUMS)
            s.n0 = pair(s.n0, s.n1);
        else
            s.n0 = pair(i_mul(s.s0, i_set(-offset)), i_mul(s.s1, i_set(-offset)));
        s.s0 = pair(s.s0, s.s0);
        s.s1 = pair(s.s1, s.s1);
    } else if (biased(type, planes)) {
        s.f0 = f_of_int(s.s0);
        s.f1 = f_of_int(s.s1);
        if (kind_of(type, planes) == VB_TILE_FLOATS) {
            s.g0 = f_of_int(s.n0);
            s.g1 = f_of_int(s.n1);
        }
    }
    return s;
}

/* What an activation's record starts the sums of a group from, and what its float step needs. */
typedef struct records {
    const int32_t *q; /* tokens x planes x 8 words */
    const int32_t *a, *b;
    const float *d;
} records;

INLINE records records_at(const vb_tile *x, size_t record, int planes) {
    return (records){x->q + 8 * record * (size_t)planes, x->a + record, x->b + record, x->d + record};
}

/* Sums of the formats without a minimum start from a record's a (and b: second half). */
INLINE bool starts_from_record(vb_type type, int planes) {
    const vb_tile_kind kind = kind_of(type, planes);
    return (kind == VB_TILE_OFFSET || kind == VB_TILE_HALVES) && offset_of(type) != 0;
}

/* The exact sum of the group, from that of its first half or of all of it, as a float rounded once. */
INLINE fvec whole_sum(vb_type type, int planes, ivec isum, ivec half, const scales *s) {
    if (!vb_format_halves(type) || kind_of(type, planes) == VB_TILE_PAIRS)
        return f_of_sum(type, planes, isum);
    if (biased(type, planes)) /* products below 16*32*127*128 < 2^23, exact, and so is their sum */
        return f_fma(s->f1, f_of_sum(type, planes, half), f_mul(s->f0, f_of_sum(type, planes, isum)));
    return f_of_int(mul_add(s->s0, isum, s->s1, half));
}

/* d_w*sum - m_w*msum, as the contract has it. */
INLINE fvec less_minimum(vb_type type, int planes, fvec sum, const scales *s, const int32_t *a,
                         const int32_t *b) {
    fvec msum;
    switch (kind_of(type, planes)) {
    case VB_TILE_FLOAT: msum = f_of_bits(i_set(*a)); break;
    case VB_TILE_SUMS: msum = f_of_int(mul_add(s->n0, i_set(*a), s->n1, i_set(*b))); break;
    case VB_TILE_FLOATS: /* 15*16*127 at most: exact */
        msum = f_fma(s->g1, f_of_bits(i_set(*b)), f_mul(s->g0, f_of_bits(i_set(*a))));
        break;
    case VB_TILE_PAIRS:
        if (vb_format_of(type)->kind != VB_TILE_SUMS) return f_mul(s->d, sum);
        msum = f_of_int(i_mul_pairs(s->n0, i_set(*a)));
        break;
    default: return f_mul(s->d, sum);
    }
    return f_fms(s->d, sum, f_mul(s->m, msum));
}

/* The float step of the contract for n tokens, from the sums of the group, or of its halves:
 * acc[i] = fmaf(d_x, fmaf(d_w, isum, -(m_w*msum)), acc[i]), for `side` vectors of rows whose acc are `apart`
 * from each other. */
INLINE void float_step(vb_type type, const int side, const int n, int planes, const ivec *isum,
                       const ivec *half, const scales *s, const records *r, fvec *acc, size_t apart) {
    fvec inner[SIDE * STEP];
    EACH(i, n) {
        EACH(v, side) {
            const int j = v * n + i;
            const fvec sum =
                whole_sum(type, planes, isum[j], vb_format_halves(type) ? half[j] : isum[j], s + v);
            inner[j] = less_minimum(type, planes, sum, s + v, r->a + i, r->b + i);
        }
    }
    EACH(i, n) {
        const fvec d = f_set(r->d[i]);
        EACH(v, side) {
            fvec *to = acc + (size_t)v * apart + i;
            *to = f_fma(d, inner[v * n + i], *to);
        }
    }
}

/* What the sums of a group, and of its second half, start from. */
INLINE void start_sums(vb_type type, const int side, const int n, int planes, const scales *s,
                       const records *r, ivec *isum, ivec *half) {
    const bool start = starts_from_record(type, planes);
    const ivec nothing = biased(type, planes) ? i_set(BIAS) : i_zero();
    if (kind_of(type, planes) == VB_TILE_PAIRS) {
        const bool minimum = vb_format_of(type)->kind == VB_TILE_SUMS;
        EACH(i, side * n) isum[i] = minimum ? i_zero() : i_mul_pairs(s[i / n].n0, i_set(r->a[i % n]));
        return;
    }
    EACH(i, side * n) isum[i] = start ? i_set(r->a[i % n]) : nothing;
    if (vb_format_halves(type)) EACH(i, side * n) half[i] = start ? i_set(r->b[i % n]) : nothing;
}

/* acc += quads [k0, k1), all of one half where the type has halves. */
INLINE void half_dots(vb_type type, const int side, const int n, int planes, ivec *isum, ivec *half,
                      const quads *w, const scales *s, const int32_t *x, int k0, int k1) {
    const bool pairs = kind_of(type, planes) == VB_TILE_PAIRS, second = vb_format_halves(type) && k0 >= 4;
    ivec scale[SIDE];
    EACH(v, side) {
        if (pairs) scale[v] = second ? s[v].s1 : s[v].s0;
    }
    dots(side, n, planes, second && !pairs ? half : isum, w, bits_of(type), pairs ? scale : NULL, x, k0, k1);
}

/* The exact sums of n tokens over a group, or over its halves. */
INLINE void sums(vb_type type, const int side, const int n, int planes, const quads *w, const scales *s,
                 const records *r, ivec *isum, ivec *half) {
    const bool halves = vb_format_halves(type);
    start_sums(type, side, n, planes, s, r, isum, half);
    half_dots(type, side, n, planes, isum, half, w, s, r->q, 0, halves ? 4 : 8);
    if (halves) half_dots(type, side, n, planes, isum, half, w, s, r->q, 4, 8);
}

/* Sums and the float step for SIDE vectors of rows and n tokens. */
INLINE void step(vb_type type, const int n, int planes, const quads *w, const scales *s, records r, fvec *acc,
                 size_t apart) {
    ivec isum[SIDE * STEP], half[SIDE * STEP];
    sums(type, SIDE, n, planes, w, s, &r, isum, half);
    float_step(type, SIDE, n, planes, isum, half, s, &r, acc, apart);
}

/* One token, and groups [g, g + together) of the block at p, whose records start at `record`. Memory
 * decides here: every word is loaded once and in order, which is how the CPU reads ahead best, and the bits
 * of several groups are taken out of it. */
INLINE void one_token(vb_type type, int planes, const uint8_t *p, const int g, const scales *block,
                      const vb_tile *x, size_t record, fvec *acc) {
    const int n = vb_format_of(type)->together;
    ivec isum[4], half[4];
    records r[4];
    scales s[4];
    EACH(j, n) {
        r[j] = records_at(x, record + (size_t)j, planes);
        s[j] = scales_for(type, planes, group_scales(type, p, *block, g + j));
        start_sums(type, 1, 1, planes, &s[j], &r[j], &isum[j], &half[j]);
    }
    EACH(i, 8 / QUADS) {
        const int k0 = QUADS * i, k1 = k0 + QUADS;
        EACH(j, n) {
            quads w;
            EACH(k, QUADS) w.u[k0 + k] = quad(type, p, g + j, k0 + k);
            prepare(&w, bits_of(type), k0, k1);
            half_dots(type, 1, 1, planes, &isum[j], &half[j], &w, &s[j], r[j].q, k0, k1);
        }
    }
    EACH(j, n) float_step(type, 1, 1, planes, &isum[j], &half[j], &s[j], &r[j], acc, 0);
}
