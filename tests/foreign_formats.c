/* foreign_formats.c - blocks and products of foreign.h's engine, from docs/numerics.md and gguf/formats.h. */
#include "tests/foreign.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *const NAMES[FF_LAST] = {
    [FF_NONE] = "no bug",
    [FF_F16_FLUSH] = "F16: subnormal numbers read as 0",
    [FF_Q40_INTERLEAVED] = "Q4_0: neighbours in a byte instead of halves",
    [FF_Q50_FIFTH] = "Q5_0: fifth bits of the wrong half",
    [FF_Q80_UNSIGNED] = "Q8_0: bytes without a sign",
    [FF_Q4K_NO_MIN] = "Q4_K: minimum term lost",
    [FF_Q4K_SCALE] = "Q4_K: scales 4 to 7 from the wrong nibble",
    [FF_Q4K_HALVES] = "Q4_K: low and high nibbles exchanged",
    [FF_Q6K_OFFSET] = "Q6_K: offset 32 missing",
    [FF_Q6K_SCALE] = "Q6_K: one scale for 32 values instead of 16",
    [FF_Q6K_UNSIGNED] = "Q6_K: scales without a sign",
    [FF_MXFP4_BIAS] = "MXFP4: exponent off by one",
    [FF_HALF_AWAY] = "activations rounded half away from zero",
    [FF_TRUNCATED] = "activations truncated",
    [FF_AMAX_SIGNED] = "activations scaled by the largest value, not magnitude",
    [FF_SATURATING] = "dot saturates at 16 bits (maddubs)",
    [FF_NO_MSUM] = "minimums' sum lost in the product",
    [FF_GROUPS_BACKWARD] = "groups added in another order",
};

const char *ff_fault_name(ff_fault f) {
    return NAMES[f];
}

/* ------------------------------------------------------------------------------------------------ formats */

static double half_of(const uint8_t *b, ff_fault f) {
    const unsigned bits = (unsigned)b[0] | (unsigned)b[1] << 8, exponent = bits >> 10 & 31,
                   fraction = bits & 1023;
    const double sign = bits >> 15 ? -1 : 1;
    if (!exponent) return f == FF_F16_FLUSH ? sign * 0 : sign * ldexp((double)fraction, -24);
    return sign * ldexp((double)(1024 + fraction), (int)exponent - 25);
}

/* A group of 32 values as docs/numerics.md, "Weights", takes it apart. */
typedef struct group {
    int q[32], scale[2], min[2];
    double d, m;
} group;

static void nibbles(const uint8_t *b, int *q) {
    for (int i = 0; i < 16; i++) {
        q[i] = b[i] & 15;
        q[i + 16] = b[i] >> 4;
    }
}

static void q4k(const uint8_t *b, int g, ff_fault f, group *out) {
    const uint8_t *s = b + 4;
    int sc = g < 4 ? s[g] & 63 : (s[g + 4] & 15) | s[g - 4] >> 6 << 4;
    const int mn = g < 4 ? s[g + 4] & 63 : s[g + 4] >> 4 | s[g] >> 6 << 4;
    if (f == FF_Q4K_SCALE && g >= 4) sc = s[g + 4] >> 4 | s[g - 4] >> 6 << 4;
    const bool high = (g & 1) != (f == FF_Q4K_HALVES);
    for (int i = 0; i < 32; i++) {
        const uint8_t v = b[16 + 32 * (g / 2) + i];
        out->q[i] = high ? v >> 4 : v & 15;
    }
    out->d = half_of(b, f) * sc;
    out->m = half_of(b + 2, f) * mn;
    out->min[0] = out->min[1] = f == FF_Q4K_NO_MIN ? 0 : 1;
}

static void q6k(const uint8_t *b, int g, ff_fault f, group *out) {
    const uint8_t *low = b + 64 * (g / 4), *high = b + 128 + 32 * (g / 4);
    for (int i = 0; i < 32; i++) {
        const uint8_t l = low[32 * (g % 2) + i];
        out->q[i] = (g % 4 < 2 ? l & 15 : l >> 4) | (high[i] >> 2 * (g % 4) & 3) << 4;
        if (f != FF_Q6K_OFFSET) out->q[i] -= 32;
    }
    for (int k = 0; k < 2; k++) {
        const uint8_t s = b[192 + 2 * g + (f == FF_Q6K_SCALE ? 0 : k)];
        out->scale[k] = f == FF_Q6K_UNSIGNED ? (int)s : (int)(int8_t)s;
    }
    out->d = half_of(b + 208, f);
}

/* Group g of the block at b; false for types that are not decoded here. */
static bool decode(const char *type, const uint8_t *b, int g, ff_fault f, group *out) {
    static const int e2m1[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};
    *out = (group){.scale = {1, 1}};
    if (!strcmp(type, "Q4_0")) {
        nibbles(b + 2, out->q);
        for (int i = 0; i < 32 && f == FF_Q40_INTERLEAVED; i++) out->q[i] = b[2 + i / 2] >> 4 * (i % 2) & 15;
        for (int i = 0; i < 32; i++) out->q[i] -= 8;
        out->d = half_of(b, f);
    } else if (!strcmp(type, "Q5_0")) {
        nibbles(b + 6, out->q);
        for (int i = 0; i < 32; i++) {
            const int j = f == FF_Q50_FIFTH ? i % 16 : i;
            out->q[i] = (out->q[i] | (b[2 + j / 8] >> j % 8 & 1) << 4) - 16;
        }
        out->d = half_of(b, f);
    } else if (!strcmp(type, "Q8_0")) {
        for (int i = 0; i < 32; i++) out->q[i] = f == FF_Q80_UNSIGNED ? (int)b[2 + i] : (int)(int8_t)b[2 + i];
        out->d = half_of(b, f);
    } else if (!strcmp(type, "MXFP4")) {
        nibbles(b + 1, out->q);
        for (int i = 0; i < 32; i++) out->q[i] = e2m1[out->q[i]];
        out->d = ldexp(1, b[0] - (f == FF_MXFP4_BIAS ? 127 : 128));
    } else if (!strcmp(type, "Q4_K")) {
        q4k(b, g, f, out);
    } else if (!strcmp(type, "Q6_K")) {
        q6k(b, g, f, out);
    } else {
        return false;
    }
    return true;
}

/* ------------------------------------------------------------------------------------------------ level 2 */

static const char *text_of(const json_t *o, const char *key) {
    const char *s = json_string_value(json_object_get(o, key));
    return s ? s : "";
}

static uint8_t *bytes_of(const char *hex, size_t *n) {
    *n = strlen(hex) / 2;
    uint8_t *b = malloc(*n + 1);
    for (size_t i = 0; b && i < *n; i++) {
        const char pair[3] = {hex[2 * i], hex[2 * i + 1], 0};
        b[i] = (uint8_t)strtoul(pair, NULL, 16);
    }
    return b;
}

static void set_floats(json_t *line, const char *key, const float *x, size_t n) {
    vb_buf t = {0};
    cf_add_f32(&t, x, n);
    json_object_set_new(line, key, json_string(t.s ? t.s : ""));
    vb_buf_free(&t);
}

static void block_line(json_t *line, ff_fault f) {
    const char *type = text_of(line, "type");
    const int id = (int)json_integer_value(json_object_get(line, "id")), values = vb_type_block_values(id);
    const int n = (int)json_integer_value(json_object_get(line, "n"));
    float x[256];
    size_t size;
    uint8_t *b = bytes_of(text_of(line, "blocks"), &size);
    bool known = b != NULL && n <= 256;
    if (known && !strcmp(type, "F16")) {
        for (int i = 0; i < n; i++) x[i] = (float)half_of(b + 2 * i, f);
    } else {
        known = known && values > 1;
        for (int g = 0; known && g < n / 32; g++) {
            group p;
            known = decode(type, b, g, f, &p);
            for (int i = 0; known && i < 32; i++) {
                const int half = i / 16;
                x[32 * g + i] = (float)(p.d * p.scale[half] * p.q[i] - p.m * p.min[half]);
            }
        }
    }
    if (known) set_floats(line, "f32", x, (size_t)n);
    free(b);
}

/* ------------------------------------------------------------------------------------------------ level 3 */

enum { CASES = 16, LENGTH = 1024, ROWS = 64 };

/* What the lines before a product said. */
typedef struct memory {
    struct {
        char name[16], precision[8];
        int n;
        float x[LENGTH], d[LENGTH / 32];
        int q[LENGTH];
    } of[CASES];
    int n, rows, cols, id;
    char type[16];
    uint8_t *blocks;
} memory;

static int find(memory *m, const char *name, const char *precision) {
    for (int i = 0; i < m->n; i++)
        if (!strcmp(m->of[i].name, name) && !strcmp(m->of[i].precision, precision)) return i;
    if (m->n == CASES) return CASES - 1;
    snprintf(m->of[m->n].name, sizeof m->of[0].name, "%s", name);
    snprintf(m->of[m->n].precision, sizeof m->of[0].precision, "%s", precision);
    return m->n++;
}

static void activations_line(memory *m, json_t *line, ff_fault f) {
    const char *precision = text_of(line, "precision");
    const int from = find(m, text_of(line, "activations"), ""),
              at = find(m, text_of(line, "activations"), precision);
    const int n = m->of[from].n, limit = !strcmp(precision, "q8") ? 127 : 16256;
    vb_buf hex = {0};
    m->of[at].n = n;
    for (int g = 0; g < n / 32; g++) {
        const float *x = m->of[from].x + 32 * g;
        float largest = 0;
        for (int i = 0; i < 32; i++) largest = fmaxf(largest, f == FF_AMAX_SIGNED ? x[i] : fabsf(x[i]));
        const bool zero = largest < 0x1p-100f;
        const float inverse = zero ? 0 : (float)limit / largest;
        m->of[at].d[g] = zero ? 0 : largest / (float)limit;
        for (int i = 0; i < 32; i++) {
            const float v = x[i] * inverse;
            const float r = f == FF_HALF_AWAY ? roundf(v) : f == FF_TRUNCATED ? truncf(v) : rintf(v);
            m->of[at].q[32 * g + i] = (int)fminf(fmaxf(r, (float)-limit), (float)limit);
            const int16_t digits = (int16_t)m->of[at].q[32 * g + i];
            cf_add_i16(&hex, &digits, 1);
        }
    }
    json_object_set_new(line, "q", json_string(hex.s ? hex.s : ""));
    set_floats(line, "d", m->of[at].d, (size_t)n / 32);
    vb_buf_free(&hex);
}

static int saturate(int v) {
    return v > 32767 ? 32767 : v < -32768 ? -32768 : v;
}

/* The exact integers of one group, or what maddubs makes of them: weights with 128 added, so that one side
 * has no sign, in pairs that saturate; the 128 taken off again at the end. q16: two planes. */
static int isum_of(const group *p, const int *x, bool wide, ff_fault f) {
    int sum = 0;
    if (f != FF_SATURATING) {
        for (int i = 0; i < 32; i++) sum += p->scale[i / 16] * p->q[i] * x[i];
        return sum;
    }
    for (int plane = 0; plane < (wide ? 2 : 1); plane++) {
        int part = 0;
        for (int i = 0; i < 32; i += 2) {
            int y[2];
            for (int k = 0; k < 2; k++) {
                const int high = (x[i + k] + 64) >> 7, low = x[i + k] - 128 * high;
                y[k] = !wide ? x[i + k] : plane ? high : low;
            }
            part += p->scale[i / 16] *
                    (saturate((p->q[i] + 128) * y[0] + (p->q[i + 1] + 128) * y[1]) - 128 * (y[0] + y[1]));
        }
        sum += plane ? 128 * part : part;
    }
    return sum;
}

static void dots_line(const memory *m, int at, json_t *line, ff_fault f) {
    const int values = vb_type_block_values(m->id), bytes = vb_type_block_bytes(m->id), groups = m->cols / 32;
    json_t *isums = json_array(), *msums = json_array();
    float y[ROWS];
    group p;
    if (values > 1 && decode(m->type, m->blocks, 0, f, &p)) {
        for (int r = 0; r < m->rows; r++) {
            float acc = 0;
            float inner[LENGTH / 32];
            for (int g = 0; g < groups; g++) {
                decode(m->type, m->blocks + (size_t)((r * m->cols + 32 * g) / values * bytes),
                       g % (values / 32), f, &p);
                const int *x = m->of[at].q + 32 * g;
                const int isum = isum_of(&p, x, !strcmp(m->of[at].precision, "q16"), f);
                int msum = 0;
                for (int i = 0; i < 32 && f != FF_NO_MSUM; i++) msum += p.min[i / 16] * x[i];
                json_array_append_new(isums, json_integer(isum));
                json_array_append_new(msums, json_integer(msum));
                inner[g] = fmaf((float)p.d, (float)isum, -((float)p.m * (float)msum));
            }
            for (int k = 0; k < groups; k++) {
                const int g = f == FF_GROUPS_BACKWARD ? groups - 1 - k : k;
                acc = fmaf(m->of[at].d[g], inner[g], acc);
            }
            y[r] = acc;
        }
        json_object_set(line, "isum", isums);
        json_object_set(line, "msum", msums);
        set_floats(line, "y", y, (size_t)m->rows);
    }
    json_decref(isums);
    json_decref(msums);
}

static void product_line(memory *m, json_t *line, ff_fault f) {
    if (json_object_get(line, "x")) {
        const int at = find(m, text_of(line, "case"), "");
        m->of[at].n = (int)json_integer_value(json_object_get(line, "n"));
        if (m->of[at].n > LENGTH || !cf_parse_f32(text_of(line, "x"), (size_t)m->of[at].n, m->of[at].x))
            m->of[at].n = 0;
    } else if (json_object_get(line, "activations")) {
        activations_line(m, line, f);
    } else if (json_object_get(line, "weights")) {
        size_t n;
        free(m->blocks);
        m->blocks = bytes_of(text_of(line, "blocks"), &n);
        m->id = (int)json_integer_value(json_object_get(line, "id"));
        m->rows = (int)json_integer_value(json_object_get(line, "rows"));
        m->cols = (int)json_integer_value(json_object_get(line, "cols"));
        snprintf(m->type, sizeof m->type, "%s", text_of(line, "weights"));
    } else if (json_object_get(line, "dots") && m->rows <= ROWS && m->cols <= LENGTH) {
        dots_line(m, find(m, text_of(line, "case"), text_of(line, "precision")), line, f);
    }
}

int ff_record(vb_buf *out, const char *ours, ff_fault fault, vb_error *err) {
    char *text = NULL;
    size_t n;
    memory *m = calloc(1, sizeof *m);
    int rc = m ? cf_read_file(ours, &text, &n, err) : vb_fail(err, VB_ERR_MEMORY, "out of memory");
    bool blocks = false;
    for (char *at = text; !rc && *at;) {
        const size_t len = strcspn(at, "\n");
        json_t *line = json_loadb(at, len, 0, NULL);
        if (json_object_get(line, "kind"))
            blocks = !strcmp(text_of(line, "kind"), "blocks");
        else if (blocks && json_object_get(line, "blocks"))
            block_line(line, fault);
        else if (!blocks)
            product_line(m, line, fault);
        cf_add_json(out, line);
        at += len + (at[len] == '\n');
    }
    if (!rc) rc = vb_buf_done(out, "a vector file", err);
    if (m) free(m->blocks);
    free(m);
    free(text);
    return rc;
}
