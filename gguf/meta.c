/* meta.c - values of metadata entries, converted without loss or refused (verbatim.h). */
#include "gguf/formats.h"
#include "gguf/gguf.h"

#include <string.h>

uint64_t vb_value_size(uint32_t type) {
    static const uint8_t size[] = {
        [VB_VALUE_U8] = 1,  [VB_VALUE_I8] = 1,  [VB_VALUE_U16] = 2, [VB_VALUE_I16] = 2,
        [VB_VALUE_U32] = 4, [VB_VALUE_I32] = 4, [VB_VALUE_F32] = 4, [VB_VALUE_BOOL] = 1,
        [VB_VALUE_U64] = 8, [VB_VALUE_I64] = 8, [VB_VALUE_F64] = 8,
    };
    return type < sizeof size ? size[type] : 0;
}

const vb_meta *vb_metas_find(const vb_metas *m, const char *key) {
    return vb_names_find(&m->names, key);
}

/* An integer of any width: its 64 bits, sign-extended, and whether it is negative. */
static bool get_integer(const vb_meta *m, uint64_t i, uint64_t *bits, bool *negative) {
    const bool is_signed = m->elem == VB_VALUE_I8 || m->elem == VB_VALUE_I16 || m->elem == VB_VALUE_I32 ||
                           m->elem == VB_VALUE_I64;
    const bool is_unsigned = m->elem == VB_VALUE_U8 || m->elem == VB_VALUE_U16 || m->elem == VB_VALUE_U32 ||
                             m->elem == VB_VALUE_U64;
    if (i >= m->count || !(is_signed || is_unsigned)) return false;
    const uint64_t size = vb_value_size((uint32_t)m->elem);
    uint64_t v = 0;
    for (uint64_t k = 0; k < size; k++) v |= (uint64_t)m->raw[i * size + k] << 8 * k;
    *negative = is_signed && v >> (8 * size - 1);
    if (*negative && size < 8) v |= UINT64_MAX << 8 * size;
    *bits = v;
    return true;
}

bool vb_meta_u64(const vb_meta *m, uint64_t i, uint64_t *out) {
    uint64_t bits;
    bool negative;
    if (!get_integer(m, i, &bits, &negative) || negative) return false;
    *out = bits;
    return true;
}

bool vb_meta_i64(const vb_meta *m, uint64_t i, int64_t *out) {
    uint64_t bits;
    bool negative;
    if (!get_integer(m, i, &bits, &negative) || (!negative && bits > INT64_MAX)) return false;
    memcpy(out, &bits, sizeof bits);
    return true;
}

/* True when a 64-bit integer survives the way to float64: its significant bits are at most 53 wide. */
static bool fits_double(uint64_t magnitude) {
    while (magnitude && !(magnitude & 1)) magnitude >>= 1;
    return magnitude < UINT64_C(1) << 53;
}

bool vb_meta_f64(const vb_meta *m, uint64_t i, double *out) {
    uint64_t bits;
    bool negative;
    if (i >= m->count) return false;
    if (m->elem == VB_VALUE_F32) {
        float f;
        memcpy(&f, m->raw + 4 * i, sizeof f);
        *out = (double)f;
        return true;
    }
    if (m->elem == VB_VALUE_F64) {
        memcpy(out, m->raw + 8 * i, sizeof *out);
        return true;
    }
    if (!get_integer(m, i, &bits, &negative)) return false;
    const uint64_t magnitude = negative ? 0 - bits : bits;
    if (!fits_double(magnitude)) return false;
    *out = negative ? -(double)magnitude : (double)magnitude;
    return true;
}

bool vb_meta_bool(const vb_meta *m, uint64_t i, bool *out) {
    if (m->elem != VB_VALUE_BOOL || i >= m->count) return false;
    *out = m->raw[i] != 0;
    return true;
}

bool vb_meta_string(const vb_gguf *g, const vb_meta *m, uint64_t i, const char **text, size_t *len) {
    if (m->elem != VB_VALUE_STRING || i >= m->count) return false;
    const uint8_t *p = m->raw;
    if (m->type == VB_VALUE_ARRAY) {
        /* Only entries of this file have a table of strings. */
        const uintptr_t at = (uintptr_t)m, first = (uintptr_t)g->metas.entry;
        if (at < first || at - first >= g->metas.n * sizeof *m) return false;
        p += g->metas.string_at[(at - first) / sizeof *m][i];
    }
    uint64_t n = 0;
    for (int k = 0; k < 8; k++) n |= (uint64_t)p[k] << 8 * k;
    *text = (const char *)p + 8;
    *len = (size_t)n;
    return true;
}
