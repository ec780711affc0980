/* other_vocab.c - a byte-level BPE model again with another vocabulary: the last merges are gone, so that a
 * text takes more ids, and the ids count backwards. It knows what it knew, and says it in other ids. */
#include "tests/gguf_writer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct other {
    const vb_gguf *g;
    int32_t n, *old; /* (n) the id that each had */
    int32_t *now;    /* of each old id; -1: gone */
    uint64_t merges;
} other;

static bool keeps(const other *o, const vb_meta *types, int32_t id, int32_t alphabet) {
    int64_t type = 0;
    if (!vb_meta_i64(types, (uint64_t)id, &type)) return false;
    return type != 1 || id < alphabet + (int32_t)o->merges;
}

static char *text_of(const vb_gguf *g, const vb_meta *m, uint64_t i) {
    const char *s;
    size_t len;
    if (!vb_meta_string(g, m, i, &s, &len)) return NULL;
    char *copy = malloc(len + 1);
    if (copy) memcpy(copy, s, len), copy[len] = 0;
    return copy;
}

static void add_strings(gw *w, const other *o, const vb_meta *m, const char *key, uint64_t n,
                        const int32_t *from) {
    char **list = calloc(n + 1, sizeof *list);
    for (uint64_t i = 0; list && i < n; i++) list[i] = text_of(o->g, m, from ? (uint64_t)from[i] : i);
    gw_array_str(w, key, (const char *const *)list, n);
    for (uint64_t i = 0; list && i < n; i++) free(list[i]);
    free(list);
}

static void add_meta(gw *w, const other *o, const vb_meta *m) {
    uint64_t u = 0;
    double x = 0;
    bool yes = false;
    if (!strcmp(m->key, "tokenizer.ggml.tokens")) {
        add_strings(w, o, m, m->key, (uint64_t)o->n, o->old);
    } else if (!strcmp(m->key, "tokenizer.ggml.merges")) {
        add_strings(w, o, m, m->key, o->merges, NULL);
    } else if (!strcmp(m->key, "tokenizer.ggml.token_type")) {
        int32_t *type = calloc((size_t)o->n, sizeof *type);
        for (int32_t i = 0; type && i < o->n; i++) {
            int64_t t = 0;
            vb_meta_i64(m, (uint64_t)o->old[i], &t);
            type[i] = (int32_t)t;
        }
        gw_array(w, m->key, VB_VALUE_I32, type, (uint64_t)o->n, (size_t)o->n * sizeof *type);
        free(type);
    } else if (strstr(m->key, "_token_id") && vb_meta_u64(m, 0, &u)) {
        gw_u32(w, m->key, (uint32_t)o->now[u]);
    } else if (strstr(m->key, "vocab_size")) {
        gw_u32(w, m->key, (uint32_t)o->n);
    } else if (m->type == VB_VALUE_STRING) {
        char *text = text_of(o->g, m, 0);
        gw_str(w, m->key, text ? text : "");
        free(text);
    } else if (m->type == VB_VALUE_F32 && vb_meta_f64(m, 0, &x)) {
        gw_f32(w, m->key, (float)x);
    } else if (m->type == VB_VALUE_BOOL && vb_meta_bool(m, 0, &yes)) {
        gw_bool(w, m->key, yes);
    } else if (m->type != VB_VALUE_ARRAY && vb_meta_u64(m, 0, &u)) {
        gw_u32(w, m->key, (uint32_t)u);
    }
}

static void add_tensor(gw *w, const other *o, const vb_tensor *t) {
    uint64_t dims[4] = {t->dims[0], t->dims[1], t->dims[2], t->dims[3]};
    const bool rows = !strcmp(t->name, "token_embd.weight") || !strcmp(t->name, "output.weight");
    const uint64_t row = rows ? t->bytes / t->dims[1] : t->bytes;
    uint8_t *data = rows ? malloc(row * (uint64_t)o->n) : NULL;
    for (int32_t i = 0; data && i < o->n; i++)
        memcpy(data + row * (uint64_t)i, t->data + row * (uint64_t)o->old[i], row);
    if (rows) dims[1] = (uint64_t)o->n;
    gw_tensor(w, t->name, (uint32_t)t->type, (uint32_t)t->n_dims, dims, data ? data : t->data,
              rows ? row * (uint64_t)o->n : t->bytes);
    free(data);
}

int gw_other_vocab(const char *in, const char *out, int merges) {
    vb_gguf *g = NULL;
    vb_error err = {0};
    if (vb_gguf_open(&g, in, &err)) {
        fprintf(stderr, "%s\n", err.message);
        return -1;
    }
    const vb_meta *tokens = vb_gguf_find(g, "tokenizer.ggml.tokens"),
                  *all = vb_gguf_find(g, "tokenizer.ggml.merges"),
                  *types = vb_gguf_find(g, "tokenizer.ggml.token_type");
    other o = {.g = g, .merges = (uint64_t)merges};
    int rc = -1;
    if (!tokens || !all || !types || all->count < o.merges) goto cleanup;
    o.old = calloc(tokens->count, sizeof *o.old);
    o.now = calloc(tokens->count, sizeof *o.now);
    if (!o.old || !o.now) goto cleanup;
    for (int32_t id = (int32_t)tokens->count; id-- > 0;) {
        o.now[id] = -1;
        if (!keeps(&o, types, id, 256)) continue;
        o.old[o.n] = id;
        o.now[id] = o.n++;
    }
    gw *w = gw_new();
    for (size_t i = 0; i < vb_gguf_meta_count(g); i++) add_meta(w, &o, vb_gguf_meta(g, i));
    for (size_t i = 0; i < vb_gguf_tensor_count(g); i++) add_tensor(w, &o, vb_gguf_tensor(g, i));
    gw_write(w, out);
    gw_free(w);
    rc = 0;
cleanup:
    free(o.old);
    free(o.now);
    vb_gguf_close(g);
    return rc;
}
