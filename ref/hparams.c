/* hparams.c - the typed reader of metadata keys that architectures use. See hparams.h.
 *
 * Source of the keys: the GGUF specification (ggml, docs/gguf.md). */
#include "ref/hparams.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int vb_hparams_open(vb_hparams *h, const vb_gguf *g, const char *arch, vb_error *err) {
    *h = (vb_hparams){.g = g, .arch = arch, .err = err};
    return h->rc = vb_alloc((void **)&h->read, vb_gguf_meta_count(g), sizeof *h->read, "metadata", err);
}

int vb_hparams_close(vb_hparams *h) {
    const size_t prefix = strlen(h->arch);
    for (size_t i = 0; i < vb_gguf_meta_count(h->g) && h->rc == VB_OK; i++) {
        const char *key = vb_gguf_meta(h->g, i)->key;
        if (h->read[i] || strncmp(key, h->arch, prefix) != 0 || key[prefix] != '.') continue;
        h->rc =
            vb_fail(h->err, VB_ERR_UNSUPPORTED, "%s: the key %.128s is not known and might change the output",
                    vb_gguf_path(h->g), key);
    }
    free(h->read);
    h->read = NULL;
    return h->rc;
}

const vb_meta *vb_hparams_find(vb_hparams *h, const char *key) {
    char full[256];
    snprintf(full, sizeof full, "%s.%s", h->arch, key);
    for (size_t i = 0; i < vb_gguf_meta_count(h->g); i++) {
        const vb_meta *meta = vb_gguf_meta(h->g, i);
        if (strcmp(meta->key, full) != 0) continue;
        h->read[i] = true;
        return meta;
    }
    return NULL;
}

void vb_hparams_ignore(vb_hparams *h, const char *key) {
    vb_hparams_find(h, key);
}

void vb_hparams_refuse(vb_hparams *h, int code, const char *key, const char *why) {
    if (h->rc == VB_OK) h->rc = vb_fail(h->err, code, "%s: %s.%s %s", vb_gguf_path(h->g), h->arch, key, why);
}

int64_t vb_hparams_int(vb_hparams *h, const char *key, int64_t fallback, int64_t min, int64_t max) {
    if (h->rc) return min;
    const vb_meta *meta = vb_hparams_find(h, key);
    if (!meta) {
        if (fallback < 0) vb_hparams_refuse(h, VB_ERR_FORMAT, key, "is missing");
        return fallback;
    }
    uint64_t first = 0;
    for (uint64_t i = 0; i < meta->count; i++) {
        uint64_t v;
        if (!vb_meta_u64(meta, i, &v)) {
            vb_hparams_refuse(h, VB_ERR_FORMAT, key, "is not a non-negative integer");
            return min;
        }
        if (i == 0) first = v;
        if (v != first) {
            vb_hparams_refuse(h, VB_ERR_UNSUPPORTED, key, "differs between layers, which is not supported");
            return min;
        }
    }
    if (meta->count == 0 || first < (uint64_t)min || first > (uint64_t)max) {
        char why[96];
        snprintf(why, sizeof why, "is %llu, must be %lld to %lld", (unsigned long long)first, (long long)min,
                 (long long)max);
        vb_hparams_refuse(h, VB_ERR_FORMAT, key, why);
        return min;
    }
    return (int64_t)first;
}

double vb_hparams_float(vb_hparams *h, const char *key, double fallback, double min, double max) {
    if (h->rc) return min;
    const vb_meta *meta = vb_hparams_find(h, key);
    if (!meta) {
        if (isnan(fallback)) vb_hparams_refuse(h, VB_ERR_FORMAT, key, "is missing");
        return fallback;
    }
    double v;
    if (meta->type == VB_VALUE_ARRAY || !vb_meta_f64(meta, 0, &v)) {
        vb_hparams_refuse(h, VB_ERR_FORMAT, key, "is not a number");
        return min;
    }
    if (!(v >= min && v <= max)) {
        char why[96];
        snprintf(why, sizeof why, "is %g, must be %g to %g", v, min, max);
        vb_hparams_refuse(h, VB_ERR_FORMAT, key, why);
        return min;
    }
    return v;
}

bool vb_hparams_bool(vb_hparams *h, const char *key, bool fallback) {
    bool v = fallback;
    const vb_meta *meta = h->rc ? NULL : vb_hparams_find(h, key);
    if (meta && (meta->type == VB_VALUE_ARRAY || !vb_meta_bool(meta, 0, &v)))
        vb_hparams_refuse(h, VB_ERR_FORMAT, key, "is not a truth value");
    return v;
}

bool vb_hparams_is(vb_hparams *h, const char *key, const char *text) {
    const vb_meta *meta = vb_hparams_find(h, key);
    const char *s;
    size_t len;
    return meta && vb_meta_string(h->g, meta, 0, &s, &len) && len == strlen(text) && !memcmp(s, text, len);
}
