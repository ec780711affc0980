/* prove.c - what a backend is worth: its products on random weights beside the reference's.
 *
 * The bound of the class `bounded`. Let u = 2^-24. A sum of n float32 products in any order, each operand
 * rounded once, is within about (n + 4)*u*S of the exact sum, S = sum_i |w_i|*|x_i| [Higham, Accuracy and
 * Stability of Numerical Algorithms, 2nd ed., section 3.1]. The contract's value is such a sum as well, so
 * two that follow the definition differ by at most 2*(n + 4)*u*S. A backend that rounds operands further
 * (float16 tensor units, activations that were never made integers) is far outside on the lengths tried here,
 * and refused: its numbers would be other numbers, not the same ones in another order. */
#include "offload/session.h"

#include "gguf/half.h"
#include "gguf/unpack.h"
#include "base/rng.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---------------------------------------------------------------------------------------- random operands */

/* In [-1, 1). */
static float uniform(uint64_t *state) {
    return (float)((int64_t)(vb_splitmix64(state) >> 40) - (1 << 23)) * 0x1p-23f;
}

/* A float16 of either sign between 2^-8 and 2^-4. */
static void put_scale(uint8_t *at, uint64_t *state) {
    const uint64_t r = vb_splitmix64(state);
    const uint16_t bits = (uint16_t)(0x1c00u + r % 0x1000u + (r >> 63 << 15));
    memcpy(at, &bits, sizeof bits);
}

/* One block of any type: random bits with moderate scales. */
static void random_block(vb_type type, uint8_t *out, uint64_t *state) {
    const int bytes = vb_type_block_bytes((int)type);
    for (int i = 0; i < bytes; i++) out[i] = (uint8_t)(vb_splitmix64(state) >> 56);
    switch (type) {
    case VB_F32: {
        const float x = uniform(state);
        memcpy(out, &x, sizeof x);
        break;
    }
    case VB_F16: put_scale(out, state); break;
    case VB_BF16: {
        const uint32_t bits = vb_float_bits(uniform(state)) >> 16;
        const uint16_t half = (uint16_t)bits;
        memcpy(out, &half, sizeof half);
        break;
    }
    case VB_Q4_1:
    case VB_Q5_1:
    case VB_Q4_K:
    case VB_Q5_K:
        put_scale(out, state);
        put_scale(out + 2, state);
        break;
    case VB_Q2_K:
        put_scale(out + 80, state);
        put_scale(out + 82, state);
        break;
    case VB_Q3_K: put_scale(out + 108, state); break;
    case VB_Q6_K: put_scale(out + 208, state); break;
    case VB_MXFP4: out[0] = (uint8_t)(118 + vb_splitmix64(state) % 8); break;
    default: put_scale(out, state); break; /* d comes first */
    }
}

/* Vectors with an outlier here and there, as activations have them; now and then a group of zeros. */
static void random_vectors(float *f, size_t n, uint64_t *state) {
    for (size_t i = 0; i < n; i++) {
        f[i] = uniform(state);
        if (vb_splitmix64(state) % 97 == 0) f[i] *= 50.0f;
    }
    for (size_t i = 0; i + 32 <= n; i += 32)
        if (vb_splitmix64(state) % 31 == 0) memset(f + i, 0, 32 * sizeof *f);
}

/* ---------------------------------------------------------------------------------------- the bound */

/* x_i of vector t as the product sees it. */
static double operand(const vb_acts *x, bool quantized, size_t t, size_t i) {
    const size_t n = (size_t)x->n, at = t * n + i;
    if (!quantized) return (double)x->f[at];
    const int high = (int)x->q[at];
    const int q = x->planes == 2 ? 128 * high + (int)x->q[(size_t)x->rows * n + at] : high;
    return (double)x->d[t * (n / 32) + i / 32] * q;
}

/* S of output row r and vector t. */
static double size_of_products(const vb_matrix *w, const vb_acts *x, int r, int t) {
    const uint8_t *row = w->data + (size_t)r * w->row_bytes;
    const bool quantized = vb_type_is_quantized((int)w->type);
    double sum = 0.0;
    if (quantized) {
        vb_block32 b;
        for (size_t i = 0; i < (size_t)w->cols; i++) {
            if (i % 32 == 0) vb_unpack32(w->type, row, i / 32, &b);
            const size_t half = i % 32 / 16;
            const double value =
                fabs((double)b.d * b.scale[half] * b.q[i % 32]) + fabs((double)b.m * b.min[half]);
            sum += value * fabs(operand(x, true, (size_t)t, i));
        }
        return sum;
    }
    const size_t bytes = (size_t)vb_type_block_bytes((int)w->type);
    for (size_t i = 0; i < (size_t)w->cols; i++) {
        float value;
        vb_dequantize_row(w->type, row + i * bytes, 1, &value);
        sum += fabs((double)value * operand(x, false, (size_t)t, i));
    }
    return sum;
}

bool vb_offload_within(vb_offload_class class, const vb_matrix *w, const vb_acts *x, int r, int t, float got,
                       float want, double *error) {
    if (vb_float_bits(got) == vb_float_bits(want)) return true;
    if (class == VB_OFFLOAD_BITWISE || !isfinite(got)) return false;
    const double bound = 2.0 * (w->cols + 4) * 0x1p-24, difference = fabs((double)got - (double)want);
    if (!error && difference <= bound * fabs((double)want)) return true; /* S is at least about |want| */
    const double size = size_of_products(w, x, r, t);
    const double relative = size > 0         ? difference / size
                            : difference > 0 ? INFINITY
                                             : 0.0; /* +0 and -0 are near */
    if (error && relative > *error) *error = relative;
    return relative <= bound;
}

/* ---------------------------------------------------------------------------------------- the trial */

enum { MOST_ROWS = 48, MOST_COLS = 768, MOST_VECTORS = 70 };

typedef struct trial {
    vb_offload *o;
    uint8_t *weights; /* MOST_ROWS rows of MOST_COLS values */
    float *f, *d;
    int8_t *q;
    int32_t *sum16;
    float *got, *want; /* (MOST_VECTORS, MOST_ROWS) */
    uint64_t state, failed;
} trial;

static int make_acts(trial *p, int n, int cols, int planes, vb_acts *x) {
    const size_t count = (size_t)n * (size_t)cols;
    random_vectors(p->f, count, &p->state);
    *x =
        (vb_acts){.rows = n, .n = cols, .planes = planes, .f = p->f, .q = p->q, .d = p->d, .sum16 = p->sum16};
    for (int t = 0; t < n && planes; t++) {
        const size_t at = (size_t)t * (size_t)cols;
        if (vb_kernels_ref.quantize(p->f + at, cols, planes, p->q + at, count, p->d + at / 32,
                                    p->sum16 + at / 16))
            return VB_ERR_NUMERIC;
    }
    return VB_OK;
}

/* One product. Lowers the class to what it shows. */
static int try_product(trial *p, vb_type type, int rows, int cols, int n, int planes, vb_error *err) {
    vb_offload_info *info = &p->o->info;
    const int values = vb_type_block_values((int)type), bytes = vb_type_block_bytes((int)type);
    const size_t row_bytes = (size_t)(cols / values) * (size_t)bytes;
    const vb_matrix w = {
        .type = type, .rows = rows, .cols = cols, .data = p->weights, .row_bytes = row_bytes};
    const vb_offload_matrix view = vb_offload_view(&w);
    const vb_offload_backend *b = p->o->backend;
    void *handle = NULL;
    vb_acts x;
    if (!b->accepts(p->o->self, &view, n, planes)) return VB_OK;
    for (size_t at = 0; at < (size_t)rows * row_bytes; at += (size_t)bytes)
        random_block(type, p->weights + at, &p->state);
    int rc = make_acts(p, n, cols, planes, &x);
    if (rc) return vb_fail(err, rc, "offload: the random activations are not finite");
    if (b->attach && b->attach(p->o->self, &view, &handle) != 0) return VB_OK;
    memset(p->got, 0xff, (size_t)n * (size_t)rows * sizeof *p->got); /* NaN: what is not written is seen */
    const int done = vb_offload_call(p->o, handle, &w, &x, p->got, NULL);
    if (b->detach) b->detach(p->o->self, handle);
    if (done != VB_OFFLOAD_DONE) {
        p->failed += done != VB_OFFLOAD_DECLINED;
        return VB_OK;
    }
    vb_kernels_ref.matmul[type](&w, &x, 0, rows, p->want, (size_t)rows);
    info->products++;
    info->types |= UINT64_C(1) << type;
    for (int t = 0; t < n; t++) {
        for (int r = 0; r < rows; r++) {
            const size_t at = (size_t)t * (size_t)rows + (size_t)r;
            if (vb_offload_within(VB_OFFLOAD_BITWISE, &w, &x, r, t, p->got[at], p->want[at], NULL)) continue;
            info->class_ = VB_OFFLOAD_BOUNDED;
            double *error =
                (r + t) % 4 == 0 ? &info->error : NULL; /* all are checked, some measured: it takes long */
            if (vb_offload_within(VB_OFFLOAD_BOUNDED, &w, &x, r, t, p->got[at], p->want[at], error)) continue;
            return vb_fail(err, VB_ERR_UNSUPPORTED,
                           "offload backend %.64s is refused: a product of %s weights (%d x %d, %d vectors) "
                           "gave %.9g, the "
                           "contract %.9g: that is not rounding",
                           info->name, vb_type_name((int)type), rows, cols, n, (double)p->got[at],
                           (double)p->want[at]);
        }
    }
    return VB_OK;
}

static int try_type(trial *p, vb_type type, vb_error *err) {
    static const int shapes[][2] = {{1, 256}, {33, 512}, {48, 768}};
    static const int counts[] = {1, 3, 8, 17, 70};
    const bool quantized = vb_type_is_quantized((int)type);
    int rc = VB_OK;
    for (int planes = quantized; planes <= quantized + 1; planes++)
        for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++)
            for (size_t i = 0; i < sizeof counts / sizeof counts[0] && !rc; i++)
                rc = try_product(p, type, shapes[s][0], shapes[s][1], counts[i], planes, err);
    return rc;
}

int vb_offload_prove(vb_offload *o, vb_error *err) {
    const size_t acts = (size_t)MOST_VECTORS * MOST_COLS, outputs = (size_t)MOST_VECTORS * MOST_ROWS;
    const char *what = "the trial of the offload backend";
    trial p = {.o = o, .state = 1};
    int rc;
    o->info.class_ = VB_OFFLOAD_BITWISE;
    if ((rc = vb_alloc((void **)&p.weights, (size_t)MOST_ROWS * MOST_COLS, sizeof(float), what, err)) ||
        (rc = vb_alloc((void **)&p.f, acts, sizeof *p.f, what, err)) ||
        (rc = vb_alloc((void **)&p.q, 2 * acts, sizeof *p.q, what, err)) ||
        (rc = vb_alloc((void **)&p.d, acts / 32, sizeof *p.d, what, err)) ||
        (rc = vb_alloc((void **)&p.sum16, acts / 16, sizeof *p.sum16, what, err)) ||
        (rc = vb_alloc((void **)&p.got, outputs, sizeof *p.got, what, err)) ||
        (rc = vb_alloc((void **)&p.want, outputs, sizeof *p.want, what, err)))
        goto cleanup;
    for (int type = 0; type < VB_TYPE_LIMIT && !rc; type++)
        if (vb_type_name(type)) rc = try_type(&p, (vb_type)type, err);
    if (!rc && o->info.products == 0)
        rc = vb_fail(err, VB_ERR_UNSUPPORTED,
                     "offload backend %.64s is refused: it computed none of the products it was tried on "
                     "(%llu failed)",
                     o->info.name, (unsigned long long)p.failed);
cleanup:
    free(p.weights);
    free(p.f);
    free(p.q);
    free(p.d);
    free(p.sum16);
    free(p.got);
    free(p.want);
    return rc;
}
