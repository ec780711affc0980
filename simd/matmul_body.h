/* matmul_body.h - block-quantised matrices times activation vectors, written once for every instruction set:
 * the names in here (ivec, dot, ...) are those of vec_*.h. The formula is vb_matmul_fn's (ref/kernels.h); the
 * layout of the weights is repack.h's, so that int32 lane r is row r and a vector holds 4 neighbouring values
 * of each of ROWS rows.
 *
 * One pass over the weights serves all tokens: a group is unpacked into 8 vectors, then a loop over the
 * tokens does the dot instructions and the float step on each. Weights are unsigned there (u = q + offset),
 * and isum starts from -offset*xsum instead of 0: sum (u - offset)*x = sum u*x - offset*sum x, exactly. */

/* Scales of ROWS rows, for one group. */
typedef struct scales {
    fvec d, m;           /* d_w and m_w */
    ivec s0, s1, n0, n1; /* multipliers of the two halves of the group, where the format has them */
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

/* Bits of the largest weight, unsigned or signed as unpack() gives them. */
INLINE int bits_of(vb_type type) {
    switch (type) {
    case VB_Q8_0:
    case VB_IQ4_NL:
    case VB_IQ4_XS: return 8;
    case VB_Q6_K: return 6;
    case VB_Q5_0:
    case VB_Q5_1:
    case VB_Q5_K:
    case VB_MXFP4: return 5;
    default: return 4;
    }
}

/* q = u - offset. Where SIGNED_WEIGHTS, 8-bit weights stay signed. */
INLINE int offset_of(vb_type type) {
    switch (type) {
    case VB_Q8_0:
    case VB_IQ4_NL:
    case VB_IQ4_XS: return SIGNED_WEIGHTS ? 0 : 128;
    case VB_Q4_0: return 8;
    case VB_Q5_0: return 16;
    case VB_MXFP4: return 12;
    case VB_Q6_K: return 32;
    case VB_Q3_K: return 4;
    case VB_Q2_K: return -1; /* no offset: the tile's a, b are the sums themselves, for the minimum */
    default: return 0;
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
    case VB_Q4_K:
        EACH(k, 8) {
            const ivec v = i_load(p + 64 * (4 + g / 2 * 8 + k));
            w[k] = g % 2 ? i_high_nibbles(v) : mask8(v, 15);
        }
        break;
    case VB_Q5_K:
        EACH(k, 8) {
            const ivec v = i_load(p + 64 * (g < 2 ? 5 + 2 * k : 12 + g / 2 * 8 + k));
            w[k] = g % 2 ? i_high_nibbles(v) : mask8(v, 15);
            w[k] = i_or_bits(w[k], i_load(p + 64 * (4 + 2 * k)), 4 - g, 16);
        }
        break;
    case VB_Q6_K: {
        const uint8_t *half = p + 64 * (4 + g / 4 * 24);
        const int j = g % 4;
        EACH(k, 8) {
            const ivec v = i_load(half + 64 * (3 * k + 1 + j % 2));
            w[k] = j / 2 ? i_high_nibbles(v) : mask8(v, 15);
            w[k] = i_or_bits(w[k], i_load(half + 64 * (3 * k)), 4 - 2 * j, 48);
        }
        break;
    }
    case VB_Q2_K: EACH(k, 8) w[k] = mask8(i_right(i_load(p + 64 * (5 + g / 4 * 8 + k)), g % 4 * 2), 3); break;
    case VB_Q3_K:
        EACH(k, 8) {
            w[k] = mask8(i_right(i_load(p + 64 * (g < 4 ? 4 + 2 * k : 19 + k)), g % 4 * 2), 3);
            w[k] = i_or_bits(w[k], i_load(p + 64 * (3 + 2 * k)), 2 - g, 4);
        }
        break;
    default: break;
    }
}

/* ---------------------------------------------------------------------- one group, some tokens */

INLINE vb_tile_kind kind_of(vb_type type) {
    if (type == VB_Q4_1 || type == VB_Q5_1 || type == VB_Q4_K || type == VB_Q5_K) return VB_TILE_FLOAT;
    return type == VB_Q6_K || type == VB_Q3_K || type == VB_Q2_K ? VB_TILE_HALVES : VB_TILE_OFFSET;
}

/* start[i] + the whole integers' dot product; with two planes 128*hi + lo. start = NULL: 0. */
INLINE void dots(const int n, int planes, ivec *acc, const int32_t *start, const quads *w, int bits,
                 const int32_t *x, int k0, int k1) {
    const size_t stride = 8 * (size_t)planes;
    EACH(i, n) acc[i] = planes == 1 && start ? i_set(start[i]) : i_zero();
    dot(n, acc, w, bits, x, stride, k0, k1);
    if (planes == 1) return;
    EACH(i, n) acc[i] = i_left(acc[i], 7);
    if (start) EACH(i, n) acc[i] = i_add(acc[i], i_set(start[i]));
    dot(n, acc, w, bits, x + 8, stride, k0, k1);
}

INLINE ivec mul_add(ivec a, ivec b, ivec c, ivec d) {
    return i_add(i_mul(a, b), i_mul(c, d));
}

/* The step of the contract for n tokens, the first of them at `record`:
 * acc[i] = fmaf(d_x, fmaf(d_w, isum, -(m_w*msum)), acc[i]). */
INLINE void step(vb_type type, const int n, int planes, const quads *w, const scales *s, const vb_tile *x,
                 size_t record, fvec *acc) {
    const vb_tile_kind kind = kind_of(type);
    const bool min = type == VB_Q2_K;
    const int bits = bits_of(type);
    const int32_t *q = x->q + 8 * record * (size_t)planes;
    const int32_t *a = x->a + record, *b = x->b + record;
    ivec isum[STEP], half[STEP];
    fvec inner[STEP];
    if (kind == VB_TILE_HALVES) {
        dots(n, planes, isum, min ? NULL : a, w, bits, q, 0, 4);
        dots(n, planes, half, min ? NULL : b, w, bits, q, 4, 8);
        EACH(i, n) isum[i] = mul_add(s->s0, isum[i], s->s1, half[i]);
    } else {
        dots(n, planes, isum, kind == VB_TILE_OFFSET && offset_of(type) ? a : NULL, w, bits, q, 0, 8);
    }
    EACH(i, n) {
        const fvec sum = f_of_int(isum[i]);
        if (kind == VB_TILE_FLOAT) {
            inner[i] = f_fms(s->d, sum, f_mul(s->m, f_of_bits(i_set(a[i]))));
        } else if (min) {
            const ivec msum = mul_add(s->n0, i_set(a[i]), s->n1, i_set(b[i]));
            inner[i] = f_fms(s->d, sum, f_mul(s->m, f_of_int(msum)));
        } else {
            inner[i] = f_mul(s->d, sum);
        }
    }
    EACH(i, n) acc[i] = f_fma(f_set(x->d[record + (size_t)i]), inner[i], acc[i]);
}

/* Group g of the block at p for all tokens, whose records start at `record`. */
INLINE void group(vb_type type, int planes, const uint8_t *p, const int g, const scales *block,
                  const vb_tile *x, size_t record, fvec *acc) {
    const scales s = group_scales(type, p, *block, g);
    quads w;
    unpack(type, p, g, w.u);
    prepare(&w, bits_of(type));
    int t = 0;
    for (; t + STEP <= x->tokens; t += STEP) step(type, STEP, planes, &w, &s, x, record + (size_t)t, acc + t);
    for (; t < x->tokens; t++) step(type, 1, planes, &w, &s, x, record + (size_t)t, acc + t);
}

/* ---------------------------------------------------------------------- slices of rows */

/* Formats with planes of bits apart from each other: the CPU does not see by itself that memory is read in
 * order. */
INLINE bool hidden_order(vb_type type) {
    return type == VB_Q3_K || type == VB_Q5_K || type == VB_Q6_K;
}

enum {
    AHEAD = 8192 /* bytes of weights asked for ahead of their use, when several tokens keep the CPU busy
                      between loads */
};

/* `groups` groups of VB_LANES rows at p, the tile's groups from `first` on, into the accumulators:
 * acc[v*tokens + t] for rows v*ROWS .. and token t. next: the slice that will be wanted after this one, or
 * NULL. */
INLINE void slice(vb_type type, int planes, const uint8_t *p, const uint8_t *next, int groups, int first,
                  const vb_tile *x, fvec *acc) {
    const vb_interleave l = vb_interleave_of(type);
    const size_t head = (size_t)(VB_LANES * l.head_bytes), size = head + (size_t)(64 * l.words);
    const size_t tokens = (size_t)x->tokens;
    const uint8_t *const end = p + (size_t)(groups / l.groups) * size;
    for (int g = 0; g < groups; p += size) {
        const size_t record = (size_t)(first + g) * tokens;
        g += l.groups;
        const size_t left = (size_t)(end - p);
        const uint8_t *ahead = left > AHEAD || !next ? p + AHEAD : next + (AHEAD - left);
        for (int v = 0; v < VB_LANES / ROWS; v++) {
            const uint8_t *words = p + head + 4 * ROWS * v;
            fvec *to = acc + (size_t)v * tokens;
            const scales s = block_scales(type, p + v * ROWS * l.head_bytes, words);
            EACH(j, l.groups) {
                if (v == 0 && next && (tokens > 2 || hidden_order(type)))
                    for (size_t i = 0; i < size / (size_t)l.groups; i += 64)
                        prefetch(ahead + (size_t)j * (size / (size_t)l.groups) + i);
                group(type, planes, words, j, &s, x, record + (size_t)j * tokens, to);
            }
        }
    }
}

typedef enum move { CLEAR, LOAD, STORE } move;

/* Accumulators of rows [from, to) of the VB_LANES at y, from and to relative to y; others are cleared, and
 * never stored. */
INLINE void move_rows(const vb_tile *x, fvec *acc, float *y, size_t ldy, int from, int to, move what) {
    for (int v = 0; v < VB_LANES / ROWS; v++, from -= ROWS, to -= ROWS, y += ROWS, acc += x->tokens) {
        const int a = from < 0 ? 0 : from, b = to > ROWS ? ROWS : to;
        if (a >= b && what == STORE) continue;
        for (int t = 0; t < x->tokens; t++) {
            if (what == STORE)
                f_store_part(y + (size_t)t * ldy, acc[t], a, b);
            else
                acc[t] = what == CLEAR || a >= b ? f_zero() : f_load_part(y + (size_t)t * ldy, a, b);
        }
    }
}

typedef void slice_fn(const uint8_t *p, const uint8_t *next, int groups, int first, const vb_tile *x,
                      fvec *acc);

/* Weights as mapped are interleaved a few groups at a time, on the way into the kernel. */
enum { ON_THE_FLY = 8 };

/* Groups [g, g + n) of `groups` of a row block: the same share of the next block's bytes is asked for. 16
 * rows are too many streams for a CPU to notice by itself. */
static void prefetch_part(const uint8_t *p, size_t bytes, int g, int n, int groups) {
    const size_t from = bytes * (size_t)g / (size_t)groups, to = bytes * (size_t)(g + n) / (size_t)groups;
    for (size_t i = from; i < to; i += 64) prefetch(p + i);
}

static void slice_mapped(slice_fn *fn, const vb_matrix *w, int row, int g0, const vb_tile *x, fvec *acc) {
    _Alignas(64) uint8_t buffer[ON_THE_FLY * 34 * VB_LANES]; /* Q8_0 is the widest */
    const int per = vb_interleave_of(w->type).groups, groups = w->cols / 32;
    const uint8_t *next = w->data + (size_t)(row + VB_LANES) * w->row_bytes;
    const bool more = row + 2 * VB_LANES <= w->rows;
    for (int g = 0; g < x->groups; g += ON_THE_FLY) {
        const int n = x->groups - g < ON_THE_FLY ? x->groups - g : ON_THE_FLY;
        if (more) prefetch_part(next, VB_LANES * w->row_bytes, g0 + g, n, groups);
        pack(w, row, (size_t)((g0 + g) / per), (size_t)(n / per), buffer);
        fn(buffer, NULL, n, g, x, acc);
    }
}

static void matmul(slice_fn *fn, const vb_matrix *w, const vb_acts *x, int row0, int row1, float *y,
                   size_t ldy) {
    const int groups = w->cols / 32;
    vb_tile tile;
    fvec acc[VB_TILE_TOKENS * (VB_LANES / ROWS)];
    for (int t0 = 0; t0 < x->rows; t0 += VB_TILE_TOKENS) {
        const int tokens = x->rows - t0 < VB_TILE_TOKENS ? x->rows - t0 : VB_TILE_TOKENS;
        const int most = vb_tile_groups(tokens, x->planes);
        for (int g0 = 0; g0 < groups; g0 += most) {
            vb_tile_fill(&tile, x, t0, tokens, g0, groups - g0 < most ? groups - g0 : most, kind_of(w->type),
                         offset_of(w->type));
            for (int row = row0 / VB_LANES * VB_LANES; row < row1; row += VB_LANES) {
                float *out = y + (size_t)t0 * ldy + row;
                move_rows(&tile, acc, out, ldy, row0 - row, row1 - row, g0 == 0 ? CLEAR : LOAD);
                if (w->packed) {
                    const size_t before = w->row_bytes * (size_t)g0 / (size_t)groups;
                    const uint8_t *p = (const uint8_t *)w->packed + (size_t)row * w->row_bytes;
                    p += before * VB_LANES;
                    fn(p, p + VB_LANES * w->row_bytes, tile.groups, 0, &tile, acc);
                } else {
                    slice_mapped(fn, w, row, g0, &tile, acc);
                }
                move_rows(&tile, acc, out, ldy, row0 - row, row1 - row, STORE);
            }
        }
    }
}

#define KERNEL(name, type)                                                                                   \
    static void slice_##name##_1(const uint8_t *p, const uint8_t *next, int groups, int first,               \
                                 const vb_tile *x, fvec *acc) {                                              \
        slice(type, 1, p, next, groups, first, x, acc);                                                      \
    }                                                                                                        \
    static void slice_##name##_2(const uint8_t *p, const uint8_t *next, int groups, int first,               \
                                 const vb_tile *x, fvec *acc) {                                              \
        slice(type, 2, p, next, groups, first, x, acc);                                                      \
    }                                                                                                        \
    static void matmul_##name(const vb_matrix *w, const vb_acts *x, int row0, int row1, float *y,            \
                              size_t ldy) {                                                                  \
        matmul(x->planes == 2 ? slice_##name##_2 : slice_##name##_1, w, x, row0, row1, y, ldy);              \
    }

KERNEL(q4_0, VB_Q4_0)
KERNEL(q4_1, VB_Q4_1)
KERNEL(q5_0, VB_Q5_0)
KERNEL(q5_1, VB_Q5_1)
KERNEL(q8_0, VB_Q8_0)
KERNEL(q2_k, VB_Q2_K)
KERNEL(q3_k, VB_Q3_K)
KERNEL(q4_k, VB_Q4_K)
KERNEL(q5_k, VB_Q5_K)
KERNEL(q6_k, VB_Q6_K)
KERNEL(iq4_nl, VB_IQ4_NL)
KERNEL(iq4_xs, VB_IQ4_XS)
KERNEL(mxfp4, VB_MXFP4)
