/* model.c - opens a model: its architecture reads the metadata and plans the layers (ref/arch/), then the
 * file's tensors are bound to the plan. Every tensor that the architecture needs must be there in its exact
 * shape, every tensor that is there must be known (one that is not would change the output, P6), and every
 * block of weights must have finite scales. Nothing is copied.
 *
 * References: the names of the tensors are those of the GGUF specification (ggml, docs/gguf.md). */
#include "ref/arch/arch.h"

#include "gguf/unpack.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---------------------------------------------------------------------- what tensors there are */

/* l: the layer whose tensor it is; NULL outside the layers. */
static int extent_of(const vb_model *m, const vb_layer *l, vb_extent e) {
    switch (e) {
    case VB_DIM: return m->info.dim;
    case VB_QUERY: return l ? l->attn.n_heads * l->attn.head_dim : 0;
    case VB_KEY: return l ? l->attn.n_kv_heads * l->attn.head_dim : 0;
    case VB_HEAD: return l ? l->attn.head_dim : 0;
    case VB_FFN: return l ? l->ffn.dim : 0;
    case VB_VOCAB: return m->info.n_vocab;
    case VB_HALF_ROT: return m->ropes[0].rot / 2;
    case VB_ONE: break;
    }
    return 1;
}

static const vb_slot *find_slot(const vb_slot *const *tables, const char *name) {
    for (; *tables; tables++) {
        for (const vb_slot *s = *tables; s->name; s++)
            if (!strcmp(s->name, name)) return s;
    }
    return NULL;
}

/* ---------------------------------------------------------------------- binding */

/* "blk.12.attn_q.weight" is layer 12, rest "attn_q.weight"; false for other names and for odd spellings of
 * numbers. */
static bool parse_layer(const char *name, int n_layers, int *layer, const char **rest) {
    if (strncmp(name, "blk.", 4) != 0) return false;
    const char *s = name + 4;
    int v = 0;
    if (*s == '0' && s[1] != '.') return false;
    for (; *s >= '0' && *s <= '9'; s++) {
        v = 10 * v + (*s - '0');
        if (v >= n_layers) return false;
    }
    if (s == name + 4 || *s != '.') return false;
    *layer = v;
    *rest = s + 1;
    return true;
}

/* The slot behind s, if it shares the tensor. */
static const vb_slot *next_part(const vb_slot *s) {
    return s[1].name && !strcmp(s[1].name, s->name) ? s + 1 : NULL;
}

static int check_shape(const vb_model *m, const vb_layer *l, const vb_slot *s, const vb_tensor *t,
                       vb_error *err) {
    const uint64_t cols = (uint64_t)extent_of(m, l, s->cols);
    uint64_t rows = 0;
    for (const vb_slot *part = s; part; part = next_part(part)) rows += (uint64_t)extent_of(m, l, part->rows);
    if (t->dims[0] == cols && t->dims[1] == rows && t->dims[2] == 1 && t->dims[3] == 1) return VB_OK;
    return vb_fail(
        err, VB_ERR_FORMAT,
        "%s: tensor %s has the shape [%llu, %llu, %llu, %llu], expected [%llu, %llu] from the metadata",
        vb_gguf_path(m->gguf), t->name, (unsigned long long)t->dims[0], (unsigned long long)t->dims[1],
        (unsigned long long)t->dims[2], (unsigned long long)t->dims[3], (unsigned long long)cols,
        (unsigned long long)rows);
}

static int check_weights(const vb_model *m, const vb_tensor *t, vb_error *err) {
    const uint64_t values = (uint64_t)vb_type_block_values((int)t->type);
    const uint64_t bytes = (uint64_t)vb_type_block_bytes((int)t->type);
    const char *what = NULL;
    if (values == 0 || t->dims[0] % values != 0 || t->bytes != t->dims[0] / values * t->dims[1] * bytes)
        return vb_fail(err, VB_ERR_FORMAT, "%s: tensor %s does not consist of whole rows",
                       vb_gguf_path(m->gguf), t->name);
    const int64_t bad = vb_validate_blocks(t->type, t->data, t->bytes / bytes, &what);
    if (bad < 0) return VB_OK;
    return vb_fail(err, VB_ERR_FORMAT, "%s: tensor %s, block %lld (offset %llu): %s is not finite",
                   vb_gguf_path(m->gguf), t->name, (long long)bad,
                   (unsigned long long)t->offset + (unsigned long long)bad * bytes, what ? what : "a value");
}

/* Puts tensor t where `s` says in `base`, which is the layer l or, with l NULL, the globals. */
static int bind_tensor(vb_model *m, const vb_layer *l, const vb_slot *s, void *base, const vb_tensor *t,
                       vb_error *err) {
    int rc = check_shape(m, l, s, t, err);
    if (rc) return rc;
    if (s->rows == VB_ONE && t->type != VB_F32)
        return vb_fail(err, VB_ERR_UNSUPPORTED, "%s: tensor %s is %s; norms and biases must be F32",
                       vb_gguf_path(m->gguf), t->name, vb_type_name((int)t->type));
    rc = check_weights(m, t, err);
    if (rc) return rc;
    m->info.parameters += t->dims[0] * t->dims[1];
    m->info.weight_bytes += t->bytes;
    if (s->rows == VB_ONE) {
        /* Aligned: general.alignment is at least 8. */
        const float *data = (const float *)(const void *)t->data;
        memcpy((char *)base + s->offset, &data, sizeof data);
        return VB_OK;
    }
    const size_t row_bytes = (size_t)(t->bytes / t->dims[1]);
    const uint8_t *data = t->data;
    for (; s; s = next_part(s)) {
        const vb_matrix w = {.type = t->type,
                             .rows = extent_of(m, l, s->rows),
                             .cols = (int)t->dims[0],
                             .data = data,
                             .row_bytes = row_bytes};
        memcpy((char *)base + s->offset, &w, sizeof w);
        data += (size_t)w.rows * row_bytes;
    }
    return VB_OK;
}

static int bind_all(vb_model *m, vb_globals *g, vb_error *err) {
    for (size_t i = 0; i < vb_gguf_tensor_count(m->gguf); i++) {
        const vb_tensor *t = vb_gguf_tensor(m->gguf, i);
        int layer = 0;
        const char *rest = NULL;
        const bool in_layer = parse_layer(t->name, m->info.n_layers, &layer, &rest);
        vb_layer *l = in_layer ? &m->layers[layer] : NULL;
        const vb_slot *s = l ? find_slot(m->arch->layer, rest) : find_slot(m->arch->globals, t->name);
        if (!s)
            return vb_fail(
                err, VB_ERR_UNSUPPORTED,
                "%s: tensor %s is not known for the architecture %s with %d layers, and would change "
                "the output if it were used",
                vb_gguf_path(m->gguf), t->name, m->arch->name, m->info.n_layers);
        int rc = bind_tensor(m, l, s, l ? (void *)l : (void *)g, t, err);
        if (rc) return rc;
    }
    return VB_OK;
}

static bool is_bound(const vb_slot *s, const void *base) {
    const char *field = (const char *)base + s->offset;
    if (s->rows != VB_ONE) return ((const vb_matrix *)(const void *)field)->data != NULL;
    const float *data;
    memcpy(&data, field, sizeof data);
    return data != NULL;
}

/* The first required slot that nothing in `base` fills; NULL: none. */
static const vb_slot *missing(const vb_slot *const *tables, const void *base) {
    for (; *tables; tables++) {
        for (const vb_slot *s = *tables; s->name; s++)
            if (s->required && !is_bound(s, base)) return s;
    }
    return NULL;
}

static int check_complete(const vb_model *m, const vb_globals *g, vb_error *err) {
    const vb_slot *s = missing(m->arch->globals, g);
    if (s) return vb_fail(err, VB_ERR_FORMAT, "%s: tensor %s is missing", vb_gguf_path(m->gguf), s->name);
    for (int layer = 0; layer < m->info.n_layers; layer++) {
        s = missing(m->arch->layer, &m->layers[layer]);
        if (s)
            return vb_fail(err, VB_ERR_FORMAT, "%s: tensor blk.%d.%s is missing", vb_gguf_path(m->gguf),
                           layer, s->name);
    }
    return VB_OK;
}

/* ---------------------------------------------------------------------- the order of the matrices */

static int list_stages(vb_model *m, vb_error *err) {
    const int n = VB_STAGES_PER_LAYER * m->info.n_layers + 1;
    int rc = vb_alloc((void **)&m->stages, (size_t)n, sizeof *m->stages, "the list of matrices", err);
    if (rc) return rc;
    m->n_stages = n;
    for (int layer = 0; layer < m->info.n_layers; layer++) {
        vb_layer *l = &m->layers[layer];
        vb_stage *s = &m->stages[VB_STAGES_PER_LAYER * layer];
        s[0] = (vb_stage){{&l->attn.wq, &l->attn.wk, &l->attn.wv}, 3};
        s[1] = (vb_stage){{&l->attn.wo}, 1};
        s[2] = (vb_stage){{&l->ffn.w_gate, &l->ffn.w_up}, 2};
        s[3] = (vb_stage){{&l->ffn.w_down}, 1};
    }
    m->stages[n - 1] = (vb_stage){{&m->output}, 1};
    return VB_OK;
}

vb_matrix *vb_model_matrix(const vb_model *m, int i) {
    for (int s = 0; s < m->n_stages; s++) {
        if (i < m->stages[s].n) return m->stages[s].w[i];
        i -= m->stages[s].n;
    }
    return NULL;
}

/* ---------------------------------------------------------------------- opening and closing */

static int copy_name(vb_model *m, vb_error *err) {
    const char *s = "";
    size_t len = 0;
    const vb_meta *meta = vb_gguf_find(m->gguf, "general.name");
    if (!meta || !vb_meta_string(m->gguf, meta, 0, &s, &len)) len = 0;
    int rc = vb_alloc((void **)&m->name, len + 1, 1, "the model's name", err);
    if (rc) return rc;
    memcpy(m->name, s, len);
    m->info.name = m->name;
    return VB_OK;
}

/* The vocabulary has as many ids as the embedding has rows; the tokenizer's list may be shorter (padding),
 * not longer. */
static int read_vocab(vb_model *m, vb_error *err) {
    const char *path = vb_gguf_path(m->gguf);
    const vb_tensor *t = vb_gguf_find_tensor(m->gguf, "token_embd.weight");
    if (!t) return vb_fail(err, VB_ERR_FORMAT, "%s: tensor token_embd.weight is missing", path);
    if (t->dims[1] < 1 || t->dims[1] > VB_MAX_VOCAB)
        return vb_fail(err, VB_ERR_FORMAT, "%s: token_embd.weight has %llu rows, must be 1 to %d", path,
                       (unsigned long long)t->dims[1], VB_MAX_VOCAB);
    m->info.n_vocab = (int)t->dims[1];
    const vb_meta *tokens = vb_gguf_find(m->gguf, "tokenizer.ggml.tokens");
    if (tokens && tokens->count > t->dims[1])
        return vb_fail(err, VB_ERR_FORMAT,
                       "%s: tokenizer.ggml.tokens lists %llu ids, token_embd.weight has %d rows", path,
                       (unsigned long long)tokens->count, m->info.n_vocab);
    return VB_OK;
}

static int fill_ropes(vb_model *m, const vb_globals *g, vb_error *err) {
    const char *path = vb_gguf_path(m->gguf);
    for (int i = 0; i < m->n_ropes; i++) {
        vb_rope *r = &m->ropes[i];
        const float *factors = i > 0 ? NULL : g->rope_short ? g->rope_short : g->rope_freqs;
        const char *name = g->rope_short ? "rope_factors_short.weight" : "rope_freqs.weight";
        int rc = vb_rope_fill(r, factors, name, m->info.n_ctx, path, &r->freq, err);
        if (rc == VB_OK && i == 0 && g->rope_long)
            rc = vb_rope_fill(r, g->rope_long, "rope_factors_long.weight", m->info.n_ctx, path, &r->freq_long,
                              err);
        if (rc) return rc;
    }
    if (!g->rope_short != !g->rope_long)
        return vb_fail(err, VB_ERR_FORMAT,
                       "%s: one of rope_factors_short.weight and rope_factors_long.weight is missing", path);
    return VB_OK;
}

/* The architecture's plan: every number of the model and of its layers, from the metadata. */
static int read_plan(vb_model *m, vb_error *err) {
    vb_hparams h;
    int rc = vb_arch_find(m->gguf, &m->arch, err);
    if (rc) return rc;
    m->info.architecture = m->arch->name;
    if ((rc = vb_hparams_open(&h, m->gguf, m->arch->name, err)) != 0) return rc;
    m->arch->plan(&h, m);
    return vb_hparams_close(&h);
}

int vb_model_open(vb_model **out, const vb_gguf *g, vb_error *err) {
    vb_begin(err);
    vb_model *m = NULL;
    vb_globals tensors = {.output_norm = NULL};
    int rc = vb_alloc((void **)&m, 1, sizeof *m, "the model", err);
    if (rc) return rc;
    m->gguf = g;
    if ((rc = read_plan(m, err)) != 0) goto cleanup;
    if ((rc = read_vocab(m, err)) != 0) goto cleanup;
    if ((rc = copy_name(m, err)) != 0) goto cleanup;
    if ((rc = bind_all(m, &tensors, err)) != 0) goto cleanup;
    if ((rc = check_complete(m, &tensors, err)) != 0) goto cleanup;
    if ((rc = fill_ropes(m, &tensors, err)) != 0) goto cleanup;
    m->embd = tensors.embd;
    m->output = tensors.output.data ? tensors.output : tensors.embd;
    m->output_norm = tensors.output_norm;
    if ((rc = list_stages(m, err)) != 0) goto cleanup;
    *out = m;
    m = NULL;
cleanup:
    vb_model_close(m);
    return rc;
}

void vb_model_close(vb_model *m) {
    if (!m) return;
    if (m->packed) m->free_packed(m->packed, m->packed_bytes);
    free(m->stages);
    free(m->layers);
    for (int i = 0; i < m->n_ropes; i++) {
        free(m->ropes[i].freq);
        free(m->ropes[i].freq_long);
    }
    free(m->name);
    free(m);
}

const vb_model_info *vb_model_describe(const vb_model *m) {
    return &m->info;
}
