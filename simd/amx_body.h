/* amx_body.h - a group's sums for sixteen tokens at a time, by AMX: what matmul_body.h calls wide_* in the
 * set that has matrix instructions. The others include narrow_body.h in its place.
 *
 * A tile is up to 16 rows of 64 bytes. TDPBSUD multiplies tile A (16 tokens, one group of signed activations
 * each) by tile B (the group's unsigned weights as the interleaved form has them: row k holds values 4k..4k+3
 * of each of 16 rows of the matrix) and adds into tile C (16 tokens x 16 rows of int32):
 *
 *   C[t][r] += sum over k < 8, i < 4 of A[t][4k + i]*B[k][4r + i]       exact, like every int32 sum here
 *
 * Then C goes to memory, and the float step of the contract takes it up token by token as usual. Where the
 * halves of a group have scales of their own, A and B hold one half (16 values), and there are two C. Two
 * planes of activations are two products: isum = 128*C_hi + C_lo.
 *
 * Instructions: Intel SDM volume 2, LDTILECFG, TILELOADD, TDPBSUD, TILESTORED, TILERELEASE. In assembly,
 * because gcc's and clang's intrinsics do not tell the compiler what memory they touch. */

enum {
    SIXTEEN = 16,
    WIDE_FROM = 32 /* tokens of a call. Below, the dot instructions do it: a float step per group leaves the
                      tiles little to win, and nothing where they are not full */
};

/* What LDTILECFG reads. Tiles 0 and 1: C; 4 and 5: A; 6 and 7: B. */
typedef struct tile_shapes {
    uint8_t palette, start_row, zero[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
} tile_shapes;

static const tile_shapes shapes_whole = {
    1, 0, {0}, {64, 64, 0, 0, 32, 32, 64, 64}, {16, 16, 0, 0, 16, 16, 8, 8}};
static const tile_shapes shapes_halves = {
    1, 0, {0}, {64, 64, 0, 0, 16, 16, 64, 64}, {16, 16, 0, 0, 16, 16, 4, 4}};

INLINE void wide_open(bool halves, int tokens) {
    if (tokens < WIDE_FROM) return;
    const tile_shapes *shapes = halves ? &shapes_halves : &shapes_whole;
    __asm__ volatile("ldtilecfg %0" : : "m"(*shapes) : "memory");
}
INLINE void wide_close(int tokens) {
    if (tokens >= WIDE_FROM) __asm__ volatile("tilerelease" : : : "memory");
}

#define TILE_ZERO(tile) __asm__ volatile("tilezero %%tmm" #tile : : : "memory")
#define TILE_LOAD(tile, from, apart)                                                                         \
    __asm__ volatile("tileloadd (%0,%1,1), %%tmm" #tile : : "r"(from), "r"(apart) : "memory")
#define TILE_STORE(tile, to, apart)                                                                          \
    __asm__ volatile("tilestored %%tmm" #tile ", (%0,%1,1)" : : "r"(to), "r"(apart) : "memory")
/* c += a (signed) x b (unsigned) */
#define TILE_DOT(c, a, b) __asm__ volatile("tdpbsud %%tmm" #b ", %%tmm" #a ", %%tmm" #c : : : "memory")

typedef int32_t tile_sums[SIXTEEN][VB_LANES];

/* The sums of sixteen tokens whose integers start at q: sums[0] and [1] are the group's, or its halves', over
 * the (upper) plane; [2] and [3] those over the lower plane. The weights are in tiles 6 and 7. */
INLINE void tile_products(bool halves, int planes, const int32_t *q, tile_sums sums[4]) {
    const size_t apart = 32 * (size_t)planes, row = sizeof sums[0][0];
    for (int p = 0; p < planes; p++) {
        TILE_ZERO(0);
        TILE_LOAD(4, q + 8 * p, apart);
        TILE_DOT(0, 4, 6);
        TILE_STORE(0, sums[2 * p], row);
        if (!halves) continue;
        TILE_ZERO(1);
        TILE_LOAD(5, q + 8 * p + 4, apart);
        TILE_DOT(1, 5, 7);
        TILE_STORE(1, sums[2 * p + 1], row);
    }
}

/* start + the sum of token t, of both planes. */
INLINE ivec tile_sum(tile_sums sums[4], int which, int planes, int t, const int32_t *start) {
    ivec sum = i_load((const uint8_t *)sums[which][t]);
    if (planes == 2) sum = i_add(i_left(sum, 7), i_load((const uint8_t *)sums[which + 2][t]));
    return start ? i_add(sum, i_set(start[t])) : sum;
}

/* As many of the tile's tokens as fill sixteens. Returns their number. */
INLINE int wide_group(vb_type type, int planes, const quads *w, const scales *s, const vb_tile *x,
                      size_t record, fvec *acc) {
    const bool halves = vb_format_halves(type), start = starts_from_record(type, planes);
    _Alignas(64) tile_sums sums[4];
    if (x->tokens < WIDE_FROM) return 0;
    TILE_LOAD(6, w->u, sizeof w->u[0]);
    if (halves) TILE_LOAD(7, w->u + 4, sizeof w->u[0]);
    int t = 0;
    for (; t + SIXTEEN <= x->tokens; t += SIXTEEN) {
        const records r = records_at(x, record + (size_t)t, planes);
        tile_products(halves, planes, r.q, sums);
        for (int i = 0; i < SIXTEEN; i++) {
            const records one = {NULL, r.a + i, r.b + i, r.d + i};
            ivec isum = tile_sum(sums, 0, planes, i, start ? r.a : NULL), half = i_zero();
            if (halves) half = tile_sum(sums, 1, planes, i, start ? r.b : NULL);
            float_step(type, 1, 1, planes, &isum, &half, s, &one, acc + t + i, 0);
        }
    }
    return t;
}
