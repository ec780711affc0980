/* dots.c - level 3: activations rounded to integers, the integer sums of every group, and products of
 * matrices (docs/numerics.md, "Activations" and "Products"). The integers come from the quantize kernel; sums
 * are taken here from the blocks' parts; products come from the matmul kernel, weights as mapped and packed,
 * whose results must agree. */
#include "conformance/inputs.h"

#include "simd/repack.h"
#include "simd/simd.h"
#include "gguf/unpack.h"

#include <stdlib.h>
#include <string.h>

enum { N = 256, ROWS = 17, GROUPS = N / 32 };

static const char *const CASES[] = {"normal", "largest", "ties8", "ties16", "edges"};
enum { N_CASES = sizeof CASES / sizeof CASES[0] };

/* One group of 32 of the case "edges". */
static void edge_group(cf_rng *r, int group, float *x) {
    static const float size[GROUPS] = {0.0f,    0x1p-101f, 0x1p-99f,  0x1p-140f,
                                       0x1p60f, 1.0f,      0x1p-100f, 0x1p-60f};
    for (int i = 0; i < 32; i++) {
        const float v = cf_normal(r);
        x[i] = size[group] * v;
    }
    if (group == 5) x[7] = -40.0f; /* the largest is negative, the others small beside it */
    if (group == 6) {
        for (int i = 0; i < 32; i++) x[i] = i % 2 ? 0x1p-100f : -0x1p-101f; /* just not zero */
    }
}

static void make_vector(cf_rng *r, int k, float *x) {
    for (int i = 0; i < N; i++) {
        const int at = i % 32;
        const float v = cf_normal(r);
        if (k == 0) x[i] = v;
        if (k == 1) x[i] = v < 0 ? -3.0f : 3.0f;
        /* With the largest value equal to L the inverse is 1, and halves are ties. */
        if (k == 2) x[i] = at == 0 ? 127.0f : (float)(4 * at - 64) + 0.5f;
        if (k == 3) x[i] = at == 0 ? -16256.0f : (float)(999 * at - 16000) + 0.5f;
    }
    for (int g = 0; k == 4 && g < GROUPS; g++) edge_group(r, g, x + 32 * g);
}

typedef struct acts {
    float f[N], d[GROUPS];
    int8_t q[2 * N];
    int16_t whole[N];
    int32_t sum16[N / 16];
    vb_acts view;
} acts;

static int make_acts(const vb_kernels *kernels, const float *x, int planes, acts *a, vb_error *err) {
    memcpy(a->f, x, sizeof a->f);
    if (kernels->quantize(x, N, planes, a->q, N, a->d, a->sum16))
        return vb_fail(err, VB_ERR_NUMERIC, "an input of the dots is not finite");
    for (int i = 0; i < N; i++) a->whole[i] = (int16_t)(planes == 2 ? 128 * a->q[i] + a->q[N + i] : a->q[i]);
    a->view =
        (vb_acts){.rows = 1, .n = N, .planes = planes, .f = a->f, .q = a->q, .d = a->d, .sum16 = a->sum16};
    return VB_OK;
}

static const char *precision(int planes) {
    return planes == 2 ? "q16" : "q8";
}

/* isum and msum of every group of every row. */
static void add_sums(vb_buf *out, const vb_matrix *w, const acts *a) {
    vb_buf m = {0};
    vb_buf_addf(out, ",\"isum\":[");
    for (int i = 0; i < ROWS * GROUPS; i++) {
        vb_block32 b;
        int32_t isum[2] = {0, 0}, xsum[2] = {0, 0};
        const int16_t *x = a->whole + 32 * (i % GROUPS);
        vb_unpack32(w->type, w->data + (size_t)(i / GROUPS) * w->row_bytes, (size_t)(i % GROUPS), &b);
        for (int j = 0; j < 32; j++) {
            isum[j / 16] += (int32_t)b.q[j] * x[j];
            xsum[j / 16] += x[j];
        }
        vb_buf_addf(out, i ? ",%d" : "%d", (int)(b.scale[0] * isum[0] + b.scale[1] * isum[1]));
        vb_buf_addf(&m, i ? ",%d" : "%d", (int)(b.min[0] * xsum[0] + b.min[1] * xsum[1]));
    }
    vb_buf_addf(out, "],\"msum\":[");
    if (m.s) vb_buf_add(out, m.s, m.n);
    if (m.failed) out->failed = true;
    vb_buf_addf(out, "]");
    vb_buf_free(&m);
}

/* All cases and precisions with one matrix. */
static int dots_of(vb_buf *out, const vb_kernels *kernels, const vb_matrix *w, float x[N_CASES][N],
                   vb_error *err) {
    const bool blocks = vb_type_block_values((int)w->type) > 1;
    for (int i = 0; i < N_CASES * (blocks ? 2 : 1); i++) {
        const int k = blocks ? i / 2 : i, planes = blocks ? i % 2 + 1 : 1;
        acts a;
        float y[ROWS] = {0}, packed[ROWS] = {0};
        int rc = make_acts(kernels, x[k], planes, &a, err);
        if (rc) return rc;
        vb_matrix mapped = *w;
        mapped.packed = NULL;
        kernels->matmul[w->type](&mapped, &a.view, 0, ROWS, y, ROWS);
        kernels->matmul[w->type](w, &a.view, 0, ROWS, packed, ROWS);
        if (memcmp(y, packed, sizeof y))
            return vb_fail(err, VB_ERR_NUMERIC, "%s, %s: packed weights give other bits under kernels %s",
                           vb_type_name((int)w->type), CASES[k], kernels->name);
        vb_buf_addf(out, "{\"dots\":\"%s\",\"case\":\"%s\"", vb_type_name((int)w->type), CASES[k]);
        if (blocks) {
            vb_buf_addf(out, ",\"precision\":\"%s\"", precision(planes));
            add_sums(out, w, &a);
        }
        vb_buf_addf(out, ",\"y\":\"");
        cf_add_f32(out, y, ROWS);
        vb_buf_addf(out, "\"}\n");
    }
    return VB_OK;
}

static int one_type(vb_buf *out, cf_rng *r, const vb_kernels *kernels, vb_type type, float x[N_CASES][N],
                    vb_error *err) {
    const size_t block = (size_t)vb_type_block_values((int)type),
                 bytes = (size_t)vb_type_block_bytes((int)type);
    const size_t row_bytes = N / block * bytes;
    uint8_t *data = NULL, *packed = NULL;
    int rc = vb_alloc((void **)&data, ROWS, row_bytes, "weights", err);
    if (rc) return rc;
    for (size_t b = 0; b < ROWS * N / block; b++)
        cf_random_block(r, type, (int)(b / 3 % 6), data + b * bytes);
    vb_matrix w = {.type = type, .rows = ROWS, .cols = N, .data = data, .row_bytes = row_bytes};
    const size_t size = vb_packed_bytes(&w);
    if (size) {
        rc = vb_alloc((void **)&packed, size, 1, "packed weights", err);
        if (rc) goto cleanup;
        for (int row = 0; row < ROWS; row += VB_LANES)
            vb_pack(&w, row, 0, N / block, packed + (size_t)row * row_bytes);
        w.packed = packed;
    }
    vb_buf_addf(out, "{\"weights\":\"%s\",\"id\":%d,\"rows\":%d,\"cols\":%d,\"blocks\":\"",
                vb_type_name((int)type), (int)type, ROWS, N);
    cf_add_bytes(out, data, ROWS * row_bytes);
    vb_buf_addf(out, "\"}\n");
    rc = dots_of(out, kernels, &w, x, err);
cleanup:
    free(packed);
    free(data);
    return rc;
}

int cf_make_dots(vb_buf *out, const cf_config *config, vb_error *err) {
    const vb_kernels *kernels;
    float x[N_CASES][N];
    cf_rng r = {0x646f7473};
    int rc = vb_kernels_choose(config->kernels, &kernels, err);
    if (rc) return rc;
    cf_add_header(out, "dots", "verbatim record --out DIR");
    for (int k = 0; k < N_CASES; k++) {
        make_vector(&r, k, x[k]);
        vb_buf_addf(out, "{\"case\":\"%s\",\"n\":%d,\"x\":\"", CASES[k], (int)N);
        cf_add_f32(out, x[k], N);
        vb_buf_addf(out, "\"}\n");
        for (int planes = 1; planes <= 2; planes++) {
            acts a;
            if ((rc = make_acts(kernels, x[k], planes, &a, err))) return rc;
            vb_buf_addf(out, "{\"activations\":\"%s\",\"precision\":\"%s\",\"q\":\"", CASES[k],
                        precision(planes));
            cf_add_i16(out, a.whole, N);
            vb_buf_addf(out, "\",\"d\":\"");
            cf_add_f32(out, a.d, GROUPS);
            vb_buf_addf(out, "\"}\n");
        }
    }
    for (int type = 0; type < VB_TYPE_LIMIT && !rc; type++)
        if (vb_type_block_values(type)) rc = one_type(out, &r, kernels, (vb_type)type, x, err);
    if (rc) return rc;
    cf_add_end(out);
    return vb_buf_done(out, "a vector file", err);
}
