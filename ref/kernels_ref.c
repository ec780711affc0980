/* kernels_ref.c - the scalar reference: kernels.h's formulas as plain loops, in the order in which they are
 * written there. No intrinsics, no threads, no #if on an instruction set. Every other set of kernels must
 * give these bits.
 *
 * Multiplying by a power of two, converting between integers and floats below 2^24, and comparing are exact;
 * fmaf is the correctly rounded one of C11. */
#include "ref/kernels.h"

#include "gguf/half.h"
#include "ref/mathf.h"
#include "gguf/unpack.h"

#include <math.h>
#include <string.h>

enum { LANES = 16, TOKEN_TILE = 32, COLUMN_TILE = 512 };

/* ---------------------------------------------------------------------- float dots */

/* lane[i mod 16] = fmaf(w_i, x_i, lane[i mod 16]); a caller that comes in pieces makes all but the last a
 * multiple of 16 long. */
static void dot_lanes(const float *w, const float *x, int n, float lane[LANES]) {
    int i = 0;
    for (; i + LANES <= n; i += LANES) {
        for (int l = 0; l < LANES; l++) lane[l] = fmaf(w[i + l], x[i + l], lane[l]);
    }
    for (; i < n; i++) lane[i % LANES] = fmaf(w[i], x[i], lane[i % LANES]);
}

static float tree(float lane[LANES]) {
    for (int s = LANES / 2; s > 0; s /= 2) {
        for (int l = 0; l < s; l++) lane[l] = lane[l] + lane[l + s];
    }
    return lane[0];
}

/* n values of a float type, from element `first`, as float32;
 * without a copy where they are float32 already. */
static const float *as_floats(vb_type type, const void *data, size_t first, int n, float *buffer) {
    if (type == VB_F32) return (const float *)data + first;
    const uint16_t *h = (const uint16_t *)data + first;
    if (type == VB_F16) {
        for (int i = 0; i < n; i++) buffer[i] = vb_half_to_float(h[i]);
    } else {
        for (int i = 0; i < n; i++) buffer[i] = vb_bf16_to_float(h[i]);
    }
    return buffer;
}

static void matmul_floats(const vb_matrix *w, const vb_acts *x, int row0, int row1, float *y, size_t ldy) {
    const int n = w->cols;
    float lane[TOKEN_TILE][LANES], buffer[COLUMN_TILE];
    for (int r = row0; r < row1; r++) {
        const void *row = w->data + (size_t)r * w->row_bytes;
        for (int t0 = 0; t0 < x->rows; t0 += TOKEN_TILE) {
            const int t1 = x->rows - t0 < TOKEN_TILE ? x->rows : t0 + TOKEN_TILE;
            memset(lane, 0, sizeof lane);
            for (int i = 0; i < n; i += COLUMN_TILE) {
                const int len = n - i < COLUMN_TILE ? n - i : COLUMN_TILE;
                const float *values = as_floats(w->type, row, (size_t)i, len, buffer);
                for (int t = t0; t < t1; t++)
                    dot_lanes(values, x->f + (size_t)t * (size_t)n + i, len, lane[t - t0]);
            }
            for (int t = t0; t < t1; t++) y[(size_t)t * ldy + (size_t)r] = tree(lane[t - t0]);
        }
    }
}

/* ---------------------------------------------------------------------- integer dots */

static int32_t dot16(const int8_t *q, const int8_t *x) {
    int32_t sum = 0;
    for (int i = 0; i < 16; i++) sum += (int32_t)q[i] * (int32_t)x[i];
    return sum;
}

static int32_t scaled_dot(const vb_block32 *w, const int8_t *x) {
    return w->scale[0] * dot16(w->q, x) + w->scale[1] * dot16(w->q + 16, x + 16);
}

/* acc = fmaf(d_x, fmaf(d_w, (float)isum, -(m_w*(float)msum)), acc) for group b of vector t. */
static float add_group(const vb_block32 *w, const vb_acts *x, int t, int b, float acc) {
    const size_t n = (size_t)x->n, row = (size_t)t, group = (size_t)b;
    const int8_t *q = x->q + row * n + 32 * group;
    int32_t isum = scaled_dot(w, q);
    if (x->planes == 2) isum = 128 * isum + scaled_dot(w, q + (size_t)x->rows * n);
    const int32_t *sum16 = x->sum16 + row * (n / 16) + 2 * group;
    const int32_t msum = w->min[0] * sum16[0] + w->min[1] * sum16[1];
    const float inner = fmaf(w->d, (float)isum, -(w->m * (float)msum));
    return fmaf(x->d[row * (n / 32) + group], inner, acc);
}

/* All block-quantised types: a group is taken apart once and meets all vectors. */
static void matmul_blocks(const vb_matrix *w, const vb_acts *x, int row0, int row1, float *y, size_t ldy) {
    vb_unpack_fn *const unpack = vb_unpacker((int)w->type);
    float acc[TOKEN_TILE];
    vb_block32 block;
    for (int r = row0; r < row1; r++) {
        const uint8_t *row = w->data + (size_t)r * w->row_bytes;
        for (int t0 = 0; t0 < x->rows; t0 += TOKEN_TILE) {
            const int t1 = x->rows - t0 < TOKEN_TILE ? x->rows : t0 + TOKEN_TILE;
            memset(acc, 0, sizeof acc);
            for (int b = 0; b < w->cols / 32; b++) {
                unpack(row, (size_t)b, &block);
                for (int t = t0; t < t1; t++) acc[t - t0] = add_group(&block, x, t, b, acc[t - t0]);
            }
            for (int t = t0; t < t1; t++) y[(size_t)t * ldy + (size_t)r] = acc[t - t0];
        }
    }
}

/* ---------------------------------------------------------------------- activations */

/* max |x_i| over n values on bit patterns: for finite floats their order is that of the bits without the
 * sign, and everything from 0x7f800000 up is infinite or NaN. */
static uint32_t max_bits(const float *x, int n) {
    uint32_t max = 0;
    for (int i = 0; i < n; i++) {
        const uint32_t bits = vb_float_bits(x[i]) & 0x7fffffffu;
        if (bits > max) max = bits;
    }
    return max;
}

/* One group of 32: q8 to hi alone (lo NULL), q16 to hi and lo. */
static void quantize_group(const float *x, uint32_t max, int8_t *hi, int8_t *lo, float *d, int32_t *sum16) {
    const int limit = lo ? 16256 : 127;
    const float a = vb_bits_float(max);
    const bool zero = max < 0x0d800000u; /* 2^-100 */
    const float inverse = zero ? 0.0f : (float)limit / a;
    *d = zero ? 0.0f : a / (float)limit;
    sum16[0] = sum16[1] = 0;
    for (int i = 0; i < 32; i++) {
        /* Adding 1.5*2^23 leaves no bits below 1: round to nearest, ties to even.
         * Zero groups give x*0 = 0. */
        const float rounded = (x[i] * inverse + 0x1.8p23f) - 0x1.8p23f;
        int q = (int)rounded;
        if (q > limit) q = limit;
        if (q < -limit) q = -limit;
        sum16[i / 16] += q;
        if (lo) {
            const int h =
                ((q + 64 + 16384) >> 7) - 128; /* floor((q + 64)/128), shifting no negative number */
            hi[i] = (int8_t)h;
            lo[i] = (int8_t)(q - 128 * h);
        } else {
            hi[i] = (int8_t)q;
        }
    }
}

static int quantize(const float *x, int n, int planes, int8_t *q, size_t plane_stride, float *d,
                    int32_t *sum16) {
    for (int b = 0; b < n / 32; b++) {
        const uint32_t max = max_bits(x + 32 * b, 32);
        if (max >= 0x7f800000u) return VB_ERR_NUMERIC;
        int8_t *hi = q + 32 * b;
        quantize_group(x + 32 * b, max, hi, planes == 2 ? hi + plane_stride : NULL, d + b, sum16 + 2 * b);
    }
    return VB_OK;
}

/* ---------------------------------------------------------------------- the rest */

static void rmsnorm(const float *x, const float *w, int n, float eps, float *y) {
    float lane[LANES] = {0};
    dot_lanes(x, x, n, lane);
    const float r = 1.0f / sqrtf(tree(lane) / (float)n + eps);
    for (int i = 0; i < n; i++) y[i] = (x[i] * r) * w[i];
}

static void layernorm(const float *x, const float *w, const float *b, int n, float eps, float *y) {
    float sums[LANES] = {0}, lane[LANES] = {0};
    for (int i = 0; i < n; i++) sums[i % LANES] = sums[i % LANES] + x[i];
    const float mean = tree(sums) / (float)n;
    for (int i = 0; i < n; i++) {
        const float c = x[i] - mean;
        lane[i % LANES] = fmaf(c, c, lane[i % LANES]);
    }
    const float r = 1.0f / sqrtf(tree(lane) / (float)n + eps);
    for (int i = 0; i < n; i++) {
        const float scaled = ((x[i] - mean) * r) * w[i];
        y[i] = b ? scaled + b[i] : scaled;
    }
}

static void rope(float *x, int heads, int head_dim, int rot, bool halves, const float *cosine,
                 const float *sine) {
    const int step = halves ? 1 : 2, apart = halves ? rot / 2 : 1;
    for (int h = 0; h < heads; h++) {
        float *head = x + (size_t)h * (size_t)head_dim;
        for (int j = 0; j < rot / 2; j++) {
            const float a = head[j * step], b = head[j * step + apart];
            const float c = cosine[j], s = sine[j];
            head[j * step] = fmaf(a, c, -(b * s));
            head[j * step + apart] = fmaf(a, s, b * c);
        }
    }
}

/* Dimensions i..i+len-1 of a cached key or value, in pieces of 16 at most. */
static const float *cached(const void *rows, size_t stride, vb_type type, size_t slot, int i, int len,
                           float *buffer) {
    const char *row = (const char *)rows + slot * stride;
    const size_t block = (size_t)vb_type_block_values((int)type);
    if (block == 1) return as_floats(type, row, (size_t)i, len, buffer);
    float values[32];
    const size_t at = (size_t)i / block;
    vb_dequantize_row(type, row + at * (size_t)vb_type_block_bytes((int)type), block, values);
    memcpy(buffer, values + (size_t)i - at * block, (size_t)len * sizeof *buffer);
    return buffer;
}

static float dot_key(const vb_attention *a, const float *q, size_t slot) {
    float lane[LANES] = {0}, buffer[LANES];
    for (int i = 0; i < a->head_dim; i += LANES) {
        const int len = a->head_dim - i < LANES ? a->head_dim - i : LANES;
        dot_lanes(q + i, cached(a->k, a->k_stride, a->k_type, slot, i, len, buffer), len, lane);
    }
    return tree(lane);
}

/* Scores of head h of row t, of keys in blocks of Q8_0 that meet a rounded query: block by block. */
static void integer_scores(const vb_attention *a, int t, int h, int from, int to) {
    const vb_attention_row *row = &a->rows[t];
    const float *q = row->q + (size_t)h * (size_t)a->head_dim;
    vb_unpack_fn *const unpack = vb_unpacker((int)VB_Q8_0);
    float *s = row->scores + (size_t)h * a->ld;
    for (int j = from; j < to; j++) s[j] = 0.0f;
    for (int b = 0; b < a->head_dim / 32; b++) {
        int8_t x[32] = {0};
        float d = 0.0f;
        int32_t sum16[2];
        quantize(q + 32 * b, 32, 1, x, 0, &d, sum16); /* finite: the pass has looked */
        d = d * a->scale;
        for (int j = from; j < to; j++) {
            vb_block32 key;
            unpack((const uint8_t *)a->k + vb_attention_slot(a, t, j) * a->k_stride, (size_t)b, &key);
            s[j] = fmaf(d, key.d * (float)scaled_dot(&key, x), s[j]);
        }
    }
}

static void attend_scores(const vb_attention *a, int j0, int j1, float *room) {
    (void)room;
    for (int t = 0; t < a->n_rows; t++) {
        const vb_attention_row *row = &a->rows[t];
        if (a->k_type == VB_Q8I) {
            for (int h = 0; h < a->heads; h++)
                integer_scores(a, t, h, j0 > row->first ? j0 : row->first, j1 < row->n ? j1 : row->n);
            continue;
        }
        for (int j = j0 > row->first ? j0 : row->first; j < j1 && j < row->n; j++) {
            const size_t slot = vb_attention_slot(a, t, j);
            for (int h = 0; h < a->heads; h++)
                row->scores[(size_t)h * a->ld + (size_t)j] =
                    dot_key(a, row->q + (size_t)h * (size_t)a->head_dim, slot) * a->scale;
        }
    }
}

static void attend_softmax(const vb_attention *a, int t, int h) {
    const vb_attention_row *row = &a->rows[t];
    float *s = row->scores + (size_t)h * a->ld, lane[LANES] = {0};
    float max = a->sinks ? a->sinks[h] : -INFINITY;
    for (int j = row->first; j < row->n; j++) {
        if (s[j] > max) max = s[j];
    }
    for (int j = row->first; j < row->n; j++) {
        s[j] = vb_expf(s[j] - max);
        lane[j % LANES] = lane[j % LANES] + s[j];
    }
    row->sums[h] = tree(lane);
    if (a->sinks) row->sums[h] = row->sums[h] + vb_expf(a->sinks[h] - max);
}

/* out_d of one head of one row. */
static void sum_values(const vb_attention *a, int t, int h, int d0, int d1) {
    const vb_attention_row *row = &a->rows[t];
    const float *e = row->scores + (size_t)h * a->ld;
    float *out = row->out + (size_t)h * (size_t)a->head_dim, buffer[LANES];
    for (int d = d0; d < d1; d++) out[d] = 0.0f;
    for (int j = row->first; j < row->n; j++) {
        const size_t slot = vb_attention_slot(a, t, j);
        for (int i = d0; i < d1; i += LANES) {
            const int len = d1 - i < LANES ? d1 - i : LANES;
            const float *v = cached(a->v, a->v_stride, a->v_type, slot, i, len, buffer);
            for (int l = 0; l < len; l++) out[i + l] = fmaf(e[j], v[l], out[i + l]);
        }
    }
    for (int d = d0; d < d1; d++) out[d] = out[d] / row->sums[h];
}

static void attend_values(const vb_attention *a, int h0, int h1, int d0, int d1, float *room) {
    (void)room;
    for (int t = 0; t < a->n_rows; t++) {
        for (int h = h0; h < h1; h++) sum_values(a, t, h, d0, d1);
    }
}

static void swiglu(const float *g, const float *u, int n, float *h) {
    for (int i = 0; i < n; i++) h[i] = (g[i] / (1.0f + vb_expf(-g[i]))) * u[i];
}

static void geglu(const float *g, const float *u, int n, float *h) {
    for (int i = 0; i < n; i++) {
        const float cube = (g[i] * g[i]) * g[i];
        const float t = vb_tanhf(0x1.988454p-1f * fmaf(0x1.6e4e26p-5f, cube, g[i]));
        h[i] = ((0.5f * g[i]) * (1.0f + t)) * u[i];
    }
}

static void swiglu_clamped(const float *g, const float *u, int n, float *h) {
    for (int i = 0; i < n; i++) {
        const float gate = g[i] > 7.0f ? 7.0f : g[i], below = u[i] > 7.0f ? 7.0f : u[i];
        const float up = below < -7.0f ? -7.0f : below;
        h[i] = (gate / (1.0f + vb_expf(-(0x1.b3b646p+0f * gate)))) * (up + 1.0f);
    }
}

static void softcap(float *x, int n, float c) {
    for (int i = 0; i < n; i++) x[i] = c * vb_tanhf(x[i] / c);
}

static void add(const float *x, int n, float *y) {
    for (int i = 0; i < n; i++) y[i] = y[i] + x[i];
}

static void add_scaled(const float *x, int n, float a, float *y) {
    for (int i = 0; i < n; i++) y[i] = fmaf(a, x[i], y[i]);
}

static void to_half(const float *x, int n, uint16_t *y) {
    for (int i = 0; i < n; i++) y[i] = vb_float_to_half(x[i]);
}

/* 2^40 times a number in [0, 1] is exact, and the conversion drops the fraction. */
static void exp_weights(const double *z, int n, uint64_t *w) {
    for (int i = 0; i < n; i++) w[i] = (uint64_t)(0x1p40 * vb_exp(z[i]));
}

static double exp_sum(const float *x, int n, float max) {
    double sum = 0.0;
    for (int j = 0; j < n; j++) sum = sum + vb_exp((double)x[j] - (double)max);
    return sum;
}

const vb_kernels vb_kernels_ref = {
    .name = "ref",
    .quantize = quantize,
    .matmul =
        {
            [VB_F32] = matmul_floats,
            [VB_F16] = matmul_floats,
            [VB_BF16] = matmul_floats,
            [VB_Q4_0] = matmul_blocks,
            [VB_Q4_1] = matmul_blocks,
            [VB_Q5_0] = matmul_blocks,
            [VB_Q5_1] = matmul_blocks,
            [VB_Q8_0] = matmul_blocks,
            [VB_Q2_K] = matmul_blocks,
            [VB_Q3_K] = matmul_blocks,
            [VB_Q4_K] = matmul_blocks,
            [VB_Q5_K] = matmul_blocks,
            [VB_Q6_K] = matmul_blocks,
            [VB_IQ4_NL] = matmul_blocks,
            [VB_IQ4_XS] = matmul_blocks,
            [VB_MXFP4] = matmul_blocks,
        },
    .rmsnorm = rmsnorm,
    .layernorm = layernorm,
    .rope = rope,
    .attend_scores = attend_scores,
    .attend_softmax = attend_softmax,
    .attend_values = attend_values,
    .swiglu = swiglu,
    .geglu = geglu,
    .swiglu_clamped = swiglu_clamped,
    .softcap = softcap,
    .add = add,
    .add_scaled = add_scaled,
    .to_half = to_half,
    .exp_weights = exp_weights,
    .exp_sum = exp_sum,
};
