/* walk_gguf.h - touches everything that an opened file gives access to,
 * for damaged files and for the fuzzer. */
#ifndef WALK_GGUF_H
#define WALK_GGUF_H

#include "gguf/gguf.h"
#include "gguf/unpack.h"

#include <stdlib.h>
#include <string.h>

/* A mismatch ends the program: it means that a promise of verbatim.h does not hold. */
static inline void walk_check(bool ok) {
    if (!ok) abort();
}

static inline uint64_t walk_entry(const vb_gguf *g, const vb_meta *m) {
    uint64_t sum = 0;
    walk_check(vb_gguf_find(g, m->key) == m);
    for (uint64_t i = 0; i < m->count; i++) {
        uint64_t u;
        int64_t s;
        double d;
        bool b;
        const char *text;
        size_t len;
        if (vb_meta_u64(m, i, &u)) sum += u;
        if (vb_meta_i64(m, i, &s)) sum += (uint64_t)s;
        if (vb_meta_f64(m, i, &d)) sum += d == d;
        if (vb_meta_bool(m, i, &b)) sum += b;
        const bool is_text = vb_meta_string(g, m, i, &text, &len);
        walk_check(is_text == (m->elem == VB_VALUE_STRING));
        for (size_t k = 0; is_text && k < len; k++) sum += (uint8_t)text[k];
    }
    return sum;
}

static inline uint64_t walk_tensor(const vb_gguf *g, const vb_tensor *t) {
    uint64_t sum = 0;
    walk_check(vb_gguf_find_tensor(g, t->name) == t);
    const uint64_t block = (uint64_t)vb_type_block_bytes((int)t->type);
    walk_check(block && t->bytes % block == 0);
    for (uint64_t k = 0; k < t->bytes; k++) sum += t->data[k];
    vb_validate_blocks(t->type, t->data, t->bytes / block, NULL);
    if (t->dims[0] <= 65536) {
        float *row = malloc(t->dims[0] * sizeof *row);
        walk_check(row != NULL);
        vb_dequantize_row(t->type, t->data, (size_t)t->dims[0], row);
        sum += row[0] == row[0];
        free(row);
    }
    return sum;
}

static inline uint64_t walk_gguf(const vb_gguf *g) {
    uint64_t sum = 0;
    for (size_t i = 0; i < vb_gguf_meta_count(g); i++) sum += walk_entry(g, vb_gguf_meta(g, i));
    for (size_t i = 0; i < vb_gguf_tensor_count(g); i++) sum += walk_tensor(g, vb_gguf_tensor(g, i));
    return sum;
}

#endif
