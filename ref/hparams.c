/* hparams.c - metadata to hyper-parameters, failing closed: a value that is missing, of the wrong type, out
 * of range or not understood is an error, because a forward pass with a guessed value runs and gives wrong
 * logits.
 *
 * Source of the keys: the GGUF specification (ggml, docs/gguf.md). */
#include "hparams.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const vb_arch architectures[] = {
    {.name = "llama", .rope_freqs = true},
    {.name = "qwen2", .rope_halves = true, .qkv_bias = true},
    {.name = "qwen3", .rope_halves = true, .qk_norm = true},
};
enum { N_ARCHITECTURES = sizeof architectures / sizeof architectures[0] };

/* Keys under the architecture's name that are read below, or known to have no effect on the forward pass
 * (marked). */
static const char *const known_keys[] = {
    "context_length",
    "embedding_length",
    "block_count",
    "feed_forward_length",
    "attention.head_count",
    "attention.head_count_kv",
    "attention.key_length",
    "attention.value_length",
    "attention.layer_norm_rms_epsilon",
    "attention.sliding_window",
    "attention.causal",
    "rope.dimension_count",
    "rope.freq_base",
    "rope.scale_linear",
    "rope.scaling.type",
    "rope.scaling.factor",
    "rope.scaling.attn_factor",
    "expert_count",
    "expert_used_count",
    "vocab_size",                           /* no effect: the output matrix has that many rows, or more */
    "tensor_data_layout",                   /* no effect: says how the file was converted */
    "rope.scaling.original_context_length", /* no effect: used by types of scaling that are refused */
    "rope.scaling.finetuned",               /* no effect: says how the model was trained */
    "pooling_type",                         /* no effect: for embeddings, taken after the logits' input */
    NULL,
};

typedef struct reader {
    const vb_gguf *g;
    const char *arch;
    vb_error *err;
    int rc; /* the first error; later reads then do nothing */
} reader;

static const vb_meta *find(const reader *r, const char *key) {
    char full[256];
    snprintf(full, sizeof full, "%s.%s", r->arch, key);
    return vb_gguf_find(r->g, full);
}

static void refuse(reader *r, int code, const char *key, const char *why) {
    if (r->rc == VB_OK) r->rc = vb_fail(r->err, code, "%s: %s.%s %s", vb_gguf_path(r->g), r->arch, key, why);
}

/* An integer in [min, max]. An array, one value per layer, must hold equal values. Absent: `fallback`, or an
 * error if that is negative. */
static int64_t read_int(reader *r, const char *key, int64_t fallback, int64_t min, int64_t max) {
    if (r->rc) return min;
    const vb_meta *meta = find(r, key);
    if (!meta) {
        if (fallback < 0) refuse(r, VB_ERR_FORMAT, key, "is missing");
        return fallback;
    }
    uint64_t first = 0;
    for (uint64_t i = 0; i < meta->count; i++) {
        uint64_t v;
        if (!vb_meta_u64(meta, i, &v)) {
            refuse(r, VB_ERR_FORMAT, key, "is not a non-negative integer");
            return min;
        }
        if (i == 0) first = v;
        if (v != first) {
            refuse(r, VB_ERR_UNSUPPORTED, key, "differs between layers, which is not supported");
            return min;
        }
    }
    if (meta->count == 0 || first < (uint64_t)min || first > (uint64_t)max) {
        char why[96];
        snprintf(why, sizeof why, "is %llu, must be %lld to %lld", (unsigned long long)first, (long long)min,
                 (long long)max);
        refuse(r, VB_ERR_FORMAT, key, why);
        return min;
    }
    return (int64_t)first;
}

/* A finite float in [min, max]. Absent: `fallback`, or an error if that is NaN. */
static double read_float(reader *r, const char *key, double fallback, double min, double max) {
    if (r->rc) return min;
    const vb_meta *meta = find(r, key);
    if (!meta) {
        if (isnan(fallback)) refuse(r, VB_ERR_FORMAT, key, "is missing");
        return fallback;
    }
    double v;
    if (meta->type == VB_VALUE_ARRAY || !vb_meta_f64(meta, 0, &v)) {
        refuse(r, VB_ERR_FORMAT, key, "is not a number");
        return min;
    }
    if (!(v >= min && v <= max)) {
        char why[96];
        snprintf(why, sizeof why, "is %g, must be %g to %g", v, min, max);
        refuse(r, VB_ERR_FORMAT, key, why);
        return min;
    }
    return v;
}

static int find_architecture(vb_model *m, vb_error *err) {
    const char *path = vb_gguf_path(m->gguf), *name = NULL;
    size_t len = 0;
    const vb_meta *meta = vb_gguf_find(m->gguf, "general.architecture");
    if (!meta || !vb_meta_string(m->gguf, meta, 0, &name, &len))
        return vb_fail(err, VB_ERR_FORMAT, "%s: general.architecture is missing or not a string", path);
    for (int i = 0; i < N_ARCHITECTURES; i++) {
        if (strlen(architectures[i].name) == len && !memcmp(architectures[i].name, name, len)) {
            m->arch = &architectures[i];
            m->info.architecture = m->arch->name;
            return VB_OK;
        }
    }
    return vb_fail(err, VB_ERR_UNSUPPORTED,
                   "%s: architecture \"%.*s\" is not supported; known are llama, qwen2 and qwen3", path,
                   (int)(len < 64 ? len : 64), name);
}

static int check_keys(const reader *r) {
    const size_t prefix = strlen(r->arch);
    for (size_t i = 0; i < vb_gguf_meta_count(r->g); i++) {
        const char *key = vb_gguf_meta(r->g, i)->key;
        if (strncmp(key, r->arch, prefix) != 0 || key[prefix] != '.') continue;
        const char *const *k = known_keys;
        while (*k && strcmp(*k, key + prefix + 1) != 0) k++;
        if (!*k)
            return vb_fail(r->err, VB_ERR_UNSUPPORTED,
                           "%s: the key %.128s is not known and might change the output", vb_gguf_path(r->g),
                           key);
    }
    return VB_OK;
}

static bool string_is(const vb_gguf *g, const vb_meta *meta, const char *text) {
    const char *s;
    size_t len;
    return vb_meta_string(g, meta, 0, &s, &len) && len == strlen(text) && !memcmp(s, text, len);
}

/* Linear scaling divides positions by a factor. Without a type the factor alone means linear scaling, as in
 * the first files that had one (there under the key rope.scale_linear). */
static void read_rope_scaling(reader *r, vb_model *m) {
    const vb_meta *type = find(r, "rope.scaling.type");
    if (read_float(r, "rope.scaling.attn_factor", 1.0, -1e30, 1e30) != 1.0)
        refuse(r, VB_ERR_UNSUPPORTED, "rope.scaling.attn_factor", "other than 1 is not supported");
    const double old = read_float(r, "rope.scale_linear", 1.0, 0.0, 1e6);
    const double factor = read_float(r, "rope.scaling.factor", old, 0.0, 1e6);
    m->rope_scale = 1.0;
    if (type && string_is(r->g, type, "none")) return;
    if (type && !string_is(r->g, type, "linear"))
        refuse(r, VB_ERR_UNSUPPORTED, "rope.scaling.type",
               "other than \"none\" and \"linear\" is not supported");
    if (factor != 0.0) m->rope_scale = 1.0 / factor; /* 0 stands for "none" in some files */
}

/* What a file may say that this forward pass does not do. */
static void refuse_variants(reader *r, const vb_model_info *info) {
    const vb_meta *causal = find(r, "attention.causal");
    bool is_causal;
    if (causal && !(vb_meta_bool(causal, 0, &is_causal) && is_causal))
        refuse(r, VB_ERR_UNSUPPORTED, "attention.causal", "other than true is not supported");
    if (read_int(r, "expert_count", 0, 0, INT32_MAX) != 0)
        refuse(r, VB_ERR_UNSUPPORTED, "expert_count", "other than 0 (mixtures of experts) is not supported");
    const int64_t window = read_int(r, "attention.sliding_window", 0, 0, INT64_MAX);
    if (window != 0 && window < info->n_ctx) /* a window of the whole context hides nothing */
        refuse(r, VB_ERR_UNSUPPORTED, "attention.sliding_window",
               "below the context length is not supported");
}

int vb_hparams_read(vb_model *m, double *rope_base, vb_error *err) {
    int rc = find_architecture(m, err);
    if (rc) return rc;
    reader r = {.g = m->gguf, .arch = m->arch->name, .err = err};
    rc = check_keys(&r);
    if (rc) return rc;

    vb_model_info *i = &m->info;
    i->n_ctx = (int)read_int(&r, "context_length", -1, 1, VB_MAX_CONTEXT);
    i->dim = (int)read_int(&r, "embedding_length", -1, 1, VB_MAX_WIDTH);
    i->n_layers = (int)read_int(&r, "block_count", -1, 1, VB_MAX_LAYERS);
    i->ffn_dim = (int)read_int(&r, "feed_forward_length", -1, 1, VB_MAX_WIDTH);
    i->n_heads = (int)read_int(&r, "attention.head_count", -1, 1, VB_MAX_HEADS);
    i->n_kv_heads = (int)read_int(&r, "attention.head_count_kv", i->n_heads, 1, VB_MAX_HEADS);
    if (r.rc == VB_OK && i->n_heads % i->n_kv_heads != 0)
        refuse(&r, VB_ERR_FORMAT, "attention.head_count", "is not a multiple of attention.head_count_kv");
    const bool has_head_dim = find(&r, "attention.key_length") != NULL;
    if (r.rc == VB_OK && !has_head_dim && i->dim % i->n_heads != 0)
        refuse(&r, VB_ERR_FORMAT, "embedding_length", "is not a multiple of attention.head_count");
    i->head_dim = (int)read_int(&r, "attention.key_length", r.rc ? 1 : i->dim / i->n_heads, 1, VB_MAX_WIDTH);
    if (read_int(&r, "attention.value_length", i->head_dim, 1, VB_MAX_WIDTH) != i->head_dim)
        refuse(&r, VB_ERR_UNSUPPORTED, "attention.value_length", "other than key_length is not supported");
    if ((int64_t)i->n_heads * i->head_dim > VB_MAX_WIDTH)
        refuse(&r, VB_ERR_FORMAT, "attention.key_length", "times attention.head_count is too large");
    m->rot = (int)read_int(&r, "rope.dimension_count", i->head_dim, 2, i->head_dim);
    if (m->rot % 2) refuse(&r, VB_ERR_FORMAT, "rope.dimension_count", "is odd");
    m->eps = (float)read_float(&r, "attention.layer_norm_rms_epsilon", (double)NAN, 1e-12, 1.0);
    *rope_base = read_float(&r, "rope.freq_base", 10000.0, 1.0, 1e12);
    read_rope_scaling(&r, m);
    refuse_variants(&r, i);
    return r.rc;
}
