/* group_body.h - one group of 32 values, or the groups of a block whose bits stand in the same words, of
 * ROWS rows times the activations of some tokens: the dot instructions and the contract's float step (the
 * formula is vb_matmul_fn's, ref/kernels.h). Written once for every instruction set; the names in here (ivec,
 * dot, ...) are those of vec.h and weights_body.h.
 *
 * Weights are unsigned there (u = q + offset), and isum starts from -offset*xsum instead of 0:
 * sum (u - offset)*x = sum u*x - offset*sum x, exactly. */

INLINE vb_tile_kind kind_of(vb_type type) {
    return vb_format_of(type)->kind;
}
INLINE int bits_of(vb_type type) {
    return vb_format_of(type)->bits;
}

/* acc[i] += the whole integers' dot product over quads [k0, k1); with two planes that is 128*hi + lo. */
INLINE void dots(const int n, int planes, ivec *acc, const quads *w, int bits, const int32_t *x, int k0,
                 int k1) {
    const size_t stride = 8 * (size_t)planes;
    if (planes == 1) {
        dot(n, acc, w, bits, x, stride, k0, k1);
        return;
    }
    ivec both[STEP];
    EACH(i, n) both[i] = i_zero();
    dot(n, both, w, bits, x, stride, k0, k1);
    EACH(i, n) both[i] = i_left(both[i], 7);
    dot(n, both, w, bits, x + 8, stride, k0, k1);
    EACH(i, n) acc[i] = i_add(acc[i], both[i]);
}

INLINE ivec mul_add(ivec a, ivec b, ivec c, ivec d) {
    return i_add(i_mul(a, b), i_mul(c, d));
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
INLINE bool starts_from_record(vb_type type) {
    return (kind_of(type) == VB_TILE_OFFSET || kind_of(type) == VB_TILE_HALVES) && offset_of(type) != 0;
}

/* The float step of the contract for n tokens, from the sums of the group, or of its halves:
 * acc[i] = fmaf(d_x, fmaf(d_w, isum, -(m_w*msum)), acc[i]). */
INLINE void float_step(vb_type type, const int n, ivec *isum, const ivec *half, const scales *s,
                       const records *r, fvec *acc) {
    const vb_tile_kind kind = kind_of(type);
    fvec inner[STEP];
    if (vb_format_halves(type)) EACH(i, n) isum[i] = mul_add(s->s0, isum[i], s->s1, half[i]);
    EACH(i, n) {
        const fvec sum = f_of_int(isum[i]);
        if (kind == VB_TILE_FLOAT) {
            inner[i] = f_fms(s->d, sum, f_mul(s->m, f_of_bits(i_set(r->a[i]))));
        } else if (kind == VB_TILE_SUMS) {
            const ivec msum = mul_add(s->n0, i_set(r->a[i]), s->n1, i_set(r->b[i]));
            inner[i] = f_fms(s->d, sum, f_mul(s->m, f_of_int(msum)));
        } else {
            inner[i] = f_mul(s->d, sum);
        }
    }
    EACH(i, n) acc[i] = f_fma(f_set(r->d[i]), inner[i], acc[i]);
}

/* What the sums of a group, and of its second half, start from. */
INLINE void start_sums(vb_type type, const int n, const records *r, ivec *isum, ivec *half) {
    const bool start = starts_from_record(type);
    EACH(i, n) isum[i] = start ? i_set(r->a[i]) : i_zero();
    if (vb_format_halves(type)) EACH(i, n) half[i] = start ? i_set(r->b[i]) : i_zero();
}

/* Dots and the float step for n tokens. */
INLINE void step(vb_type type, const int n, int planes, const quads *w, const scales *s, records r,
                 fvec *acc) {
    const bool halves = vb_format_halves(type);
    const int bits = bits_of(type);
    ivec isum[STEP], half[STEP];
    start_sums(type, n, &r, isum, half);
    dots(n, planes, isum, w, bits, r.q, 0, halves ? 4 : 8);
    if (halves) dots(n, planes, half, w, bits, r.q, 4, 8);
    float_step(type, n, isum, half, s, &r, acc);
}

/* One token, and groups [g, g + together) of the block at p, whose records start at `record`. Memory
 * decides here: every word is loaded once and in order, which is how the CPU reads ahead best, and the bits
 * of several groups are taken out of it. */
INLINE void one_token(vb_type type, int planes, const uint8_t *p, const int g, const scales *block,
                      const vb_tile *x, size_t record, fvec *acc) {
    const int n = vb_format_of(type)->together;
    const bool halves = vb_format_halves(type);
    ivec isum[4], half[4];
    records r[4];
    EACH(j, n) {
        r[j] = records_at(x, record + (size_t)j, planes);
        start_sums(type, 1, &r[j], &isum[j], &half[j]);
    }
    EACH(i, 8 / QUADS) {
        const int k0 = QUADS * i, k1 = k0 + QUADS;
        EACH(j, n) {
            quads w;
            EACH(k, QUADS) w.u[k0 + k] = quad(type, p, g + j, k0 + k);
            prepare(&w, bits_of(type), k0, k1);
            dots(1, planes, halves && k0 >= 4 ? &half[j] : &isum[j], &w, bits_of(type), r[j].q, k0, k1);
        }
    }
    EACH(j, n) {
        const scales s = group_scales(type, p, *block, g + j);
        float_step(type, 1, &isum[j], &half[j], &s, &r[j], acc);
    }
}
