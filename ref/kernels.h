/* kernels.h - the kernel contract. Everything that costs time goes through one const table of functions: ref/
 * fills it with plain C, and each set in simd/ fills one of its own with faster code that gives the same bits
 * (P1; docs/numerics.md).
 *
 * What makes the same bits cheap: integer sums may be reordered freely, float sums may not. So inside a group
 * of 32 values a kernel may unpack, interleave and add as it likes; across groups it adds floats in group
 * order, one accumulator per output. SIMD goes across output rows, tokens or lanes that the contract names,
 * never across a float sum that has an order.
 *
 * Notation: fmaf(a, b, c) is the correctly rounded a*b + c; everything else rounds after each operation, to
 * nearest even, in float32 unless said otherwise. Subnormal numbers are kept.
 *
 * References:
 * - the order of sums and the integer activation formats: docs/numerics.md
 * - RMSNorm: Zhang and Sennrich 1910.07467; RoPE: Su et al. 2104.09864; SwiGLU: Shazeer 2002.05202;
 *   grouped-query attention: Ainslie et al. 2305.13245
 */
#ifndef VB_KERNELS_H
#define VB_KERNELS_H

#include "base/base.h"

/* A weight matrix of `rows` outputs and `cols` inputs, as mapped from the file: row r starts at data +
 * r*row_bytes. */
typedef struct vb_matrix {
    vb_type type;
    int rows, cols;
    const uint8_t *data;
    size_t row_bytes;
    /* The same weights interleaved for a SIMD tier (simd/repack.h), or NULL. ref/ never looks at it. */
    const void *packed;
} vb_matrix;

/* `rows` activation vectors of n values each: in float32, and, where block-quantised weights will read them,
 * as integers per group of 32 values (docs/numerics.md, "Activations").
 *
 *   L = 127 (q8, planes = 1) or 16256 = 127*128 (q16, planes = 2)
 *   a = max |x_i| over the group (taken on bit patterns)
 *   a < 2^-100:  d = 0, q_i = 0
 *   otherwise:   d = a / L,  q_i = clamp(round_half_even(x_i * (L / a)), -L, L)
 *   q16: q = 128*hi + lo, lo in [-64, 63], hi = (q + 64) >> 7; plane 0 holds hi, plane 1 holds lo
 *   q8: plane 0 holds q
 */
typedef struct vb_acts {
    int rows, n;
    int planes;           /* 1 or 2; 0 when only f is filled */
    const float *f;       /* (rows, n) */
    const int8_t *q;      /* (planes, rows, n) */
    const float *d;       /* (rows, n/32) */
    const int32_t *sum16; /* (rows, n/16) exact sum of 16 q (of the whole q, both planes together) */
} vb_acts;

/* y[t*ldy + r] = row r of w times vector t of x, for r in [row0, row1) and every t.
 *
 * Block-quantised w. Group b of 32 values of a row has integers q_i, a scale d_w, a minimum m_w and two
 * integer multipliers each, s[2] and n[2], so that value_i = d_w*s[i/16]*q_i - m_w*n[i/16] (gguf/unpack.h).
 * With the activations' integers x_i and scale d_x:
 *
 *   isum = s[0]*sum_{i<16} q_i*x_i + s[1]*sum_{i>=16} q_i*x_i           exact, int32
 *   msum = n[0]*sum_{i<16} x_i     + n[1]*sum_{i>=16} x_i               exact, int32
 *   acc  = +0                                                           before the first group
 *   acc  = fmaf(d_x, fmaf(d_w, (float)isum, -(m_w*(float)msum)), acc)   for b = 0, 1, 2, ...
 *   y    = acc
 *
 * (formats without a minimum have m_w = 0; then the inner term is d_w*(float)isum).
 *
 * F32, F16, BF16 w: 16 lanes over the whole row, weights converted to float32 without loss:
 *
 *   lane[j] = +0                                                        for j = 0..15
 *   lane[i mod 16] = fmaf(w_i, x_i, lane[i mod 16])                     for i = 0, 1, 2, ...
 *   y = tree(lane):  lane[j] = lane[j] + lane[j+s]                      for j < s, for s = 8, 4, 2, 1 in turn
 *                    y = lane[0]
 */
typedef void (*vb_matmul_fn)(const vb_matrix *w, const vb_acts *x, int row0, int row1, float *y, size_t ldy);

/* Attention of one key head: the query heads that share it, times the rows (tokens) of a call. Row t sees the
 * positions first <= j < n of its own sequence. j below is always the position itself, so that a window moves
 * no number to another lane, and never the slot of the cache where the position lies.
 *
 *   s_j   = tree16(q, k_j) * scale            the 16-lane dot above, lane = dimension mod 16
 *   s_j   = y of row k_j, in blocks of Q8_0, and q rounded as above with L = 127, its d_x then d_x*scale:
 *           acc = fmaf(d_x*scale, d_k*(float)isum, acc) for the blocks in order     where k_type is VB_Q8I
 *   m     = max_j s_j                         and of the head's sink, if it has one
 *   e_j   = vb_expf(s_j - m)
 *   sum   = tree over 16 lanes, lane[j mod 16] = lane[j mod 16] + e_j, j ascending
 *           and then, with a sink: sum = sum + vb_expf(sink - m)
 *   out_d = acc_d / sum,  acc_d = fmaf(e_j, v_j[d], acc_d) for j = first, first + 1, ...; acc_d = +0 at first
 *
 * No sum runs over rows, heads or dimensions, and no score needs another one. So the work may be split by
 * positions (scores), by rows and heads (everything) and by dimensions (values): three functions, to be
 * called one after the other. What a row does not see takes no part in any sum, whatever it is. */
typedef struct vb_attention_row {
    const float *q; /* (heads, head_dim) */
    float *scores;  /* (heads, ld): s_j, later e_j, at [j]. Where a row does not see j: anything */
    float *sums;    /* (heads) */
    float *out;     /* (heads, head_dim) */
    int first, n;   /* 0 <= first < n <= ld */
    /* Where the positions from `base` on lie: j in slot path[j - base]. NULL: j in slot j. Rows with the same
     * path give the same pointer, so that what they share is read once. */
    const int32_t *path;
} vb_attention_row;

typedef struct vb_attention {
    const void *k, *v;         /* slot s starts at k + s*k_stride, v + s*v_stride bytes */
    size_t k_stride, v_stride; /* bytes between two slots */
    vb_type k_type, v_type;
    int heads; /* query heads that share the key head */
    int head_dim;
    float scale;
    const float *sinks; /* (heads) or NULL */
    int base;           /* positions below it lie in the slot of the same number, for all rows */
    int n_rows;
    const vb_attention_row *rows;
    size_t ld; /* a multiple of VB_ATTEND_BLOCK */
} vb_attention;

/* Positions that are read together. */
enum { VB_ATTEND_BLOCK = 32 };
/* Floats of scratch memory that a call of attend_scores or attend_values with so many queries (rows times
 * heads) needs. */
static inline size_t vb_attend_room(int head_dim, size_t queries) {
    return ((size_t)VB_ATTEND_BLOCK + queries) * (((size_t)head_dim + 15) / 16 * 16);
}

/* The slot of row t's position j. */
static inline size_t vb_attention_slot(const vb_attention *a, int t, int j) {
    const int32_t *path = a->rows[t].path;
    return (size_t)(path && j >= a->base ? path[j - a->base] : j);
}

typedef struct vb_kernels {
    const char *name;

    /* One vector of n values (a multiple of 32) to integers as above. q: plane p at q + p*plane_stride; d
     * (n/32), sum16 (n/16). Returns 0, or VB_ERR_NUMERIC when a value is not finite (outputs then
     * unspecified). */
    int (*quantize)(const float *x, int n, int planes, int8_t *q, size_t plane_stride, float *d,
                    int32_t *sum16);

    /* By vb_type; every supported type has an entry. */
    vb_matmul_fn matmul[VB_TYPE_LIMIT];

    /* y_i = (x_i * r) * w_i,  r = 1/sqrtf(tree16(x, x)/n + eps) */
    void (*rmsnorm)(const float *x, const float *w, int n, float eps, float *y);

    /* y_i = ((x_i - mean)*r)*w_i + b_i,  r = 1/sqrtf(tree16(c, c)/n + eps),  c_i = x_i - mean
     * mean = tree(lane)/n, lane[i mod 16] = lane[i mod 16] + x_i; without b nothing is added */
    void (*layernorm)(const float *x, const float *w, const float *b, int n, float eps, float *y);

    /* Rotates pairs within the first `rot` values of each head, in place:
     *   (a, b) -> (fmaf(a, c, -(b*s)), fmaf(a, s, b*c))
     * pairs (2j, 2j+1) or, with `halves`, (j, j + rot/2), j < rot/2; cos, sin: (rot/2) for this position. */
    void (*rope)(float *x, int heads, int head_dim, int rot, bool halves, const float *cos, const float *sin);

    /* s_j of all rows and heads for j0 <= j < j1; j0 is a multiple of VB_ATTEND_BLOCK, j1 too or nothing is
     * seen from there on. The scores between j1 and the next multiple become anything. */
    void (*attend_scores)(const vb_attention *a, int j0, int j1, float *room);
    /* e_j and sum of one head of one row. */
    void (*attend_softmax)(const vb_attention *a, int row, int head);
    /* out_d of all rows for heads h0 <= h < h1 and dimensions d0 <= d < d1; d0 is a multiple of 16, d1 too or
     * head_dim. */
    void (*attend_values)(const vb_attention *a, int h0, int h1, int d0, int d1, float *room);

    /* h_i = (g_i / (1 + vb_expf(-g_i))) * u_i */
    void (*swiglu)(const float *g, const float *u, int n, float *h);

    /* h_i = ((0.5*g_i) * (1 + vb_tanhf(a * fmaf(b, (g_i*g_i)*g_i, g_i)))) * u_i
     * with a = 0x1.988454p-1 (sqrt(2/pi)) and b = 0x1.6e4e26p-5 (0.044715): GELU in its tanh form */
    void (*geglu)(const float *g, const float *u, int n, float *h);

    /* g_i = min(g_i, 7), u_i = max(min(u_i, 7), -7); h_i = (g_i / (1 + vb_expf(-(a*g_i)))) * (u_i + 1) with
     * a = 0x1.b3b646p+0 (1.702): gpt-oss's gate. h may be g. */
    void (*swiglu_clamped)(const float *g, const float *u, int n, float *h);

    /* x_i = c * vb_tanhf(x_i / c) */
    void (*softcap)(float *x, int n, float c);

    /* y_i = y_i + x_i */
    void (*add)(const float *x, int n, float *y);

    /* y_i = fmaf(a, x_i, y_i) */
    void (*add_scaled)(const float *x, int n, float a, float *y);

    /* n floats to float16, round to nearest even (the F16 KV cache). */
    void (*to_half)(const float *x, int n, uint16_t *y);

    /* w_i = floor(2^40 * vb_exp(z_i)), z_i <= 0 (docs/speculation.md: the integer law). */
    void (*exp_weights)(const double *z, int n, uint64_t *w);

    /* sum = sum + vb_exp((float64)x_j - (float64)max) for j = 0, 1, 2, ..., sum = +0 at first, float64;
     * finite x_j <= max (the softmax of reported log-probabilities). */
    double (*exp_sum)(const float *x, int n, float max);
} vb_kernels;

/* The scalar reference: complete, plain C, no intrinsics. */
extern const vb_kernels vb_kernels_ref;

/* vb_logprob (verbatim.h) with the exp_sum of this set: the same bits. */
double vb_logprob_by(const vb_kernels *kernels, const float *logits, int n_vocab, int32_t id);

#endif
