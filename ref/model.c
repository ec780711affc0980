/* model.c - binds the tensors of a file to a vb_model: every tensor that the architecture needs must be there
 * in its exact shape, every tensor that is there must be known (one that is not would change the output, P6),
 * and every block of weights must have finite scales. Nothing is copied.
 *
 * References: the names of the tensors are those of the GGUF specification (ggml, docs/gguf.md). */
#include "model.h"

#include "hparams.h"
#include "mathf.h"
#include "unpack.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---------------------------------------------------------------------- what tensors there are */

typedef enum extent { ONE, DIM, QUERY, KEY, HEAD, FFN, VOCAB, HALF_ROT } extent;

static int extent_of(const vb_model *m, extent e) {
    const vb_model_info *i = &m->info;
    switch (e) {
    case DIM: return i->dim;
    case QUERY: return i->n_heads * i->head_dim;
    case KEY: return i->n_kv_heads * i->head_dim;
    case HEAD: return i->head_dim;
    case FFN: return i->ffn_dim;
    case VOCAB: return i->n_vocab;
    case HALF_ROT: return m->rot / 2;
    case ONE: break;
    }
    return 1;
}

typedef enum presence { REQUIRED, OPTIONAL, QKV_BIAS, QK_NORM, ROPE_FREQS } presence;

typedef struct slot {
    const char *name;
    size_t offset; /* of a vb_matrix (rows != ONE) or a const float * in the struct that the slots describe */
    extent rows, cols; /* a vector has rows = ONE */
    presence presence;
} slot;

#define LAYER(name, field, rows, cols, presence)                                                             \
    { name, offsetof(vb_layer, field), rows, cols, presence }

static const slot layer_slots[] = {
    LAYER("attn_norm.weight", attn_norm, ONE, DIM, REQUIRED),
    LAYER("attn_q.weight", wq, QUERY, DIM, REQUIRED),
    LAYER("attn_k.weight", wk, KEY, DIM, REQUIRED),
    LAYER("attn_v.weight", wv, KEY, DIM, REQUIRED),
    LAYER("attn_q.bias", bq, ONE, QUERY, QKV_BIAS),
    LAYER("attn_k.bias", bk, ONE, KEY, QKV_BIAS),
    LAYER("attn_v.bias", bv, ONE, KEY, QKV_BIAS),
    LAYER("attn_q_norm.weight", q_norm, ONE, HEAD, QK_NORM),
    LAYER("attn_k_norm.weight", k_norm, ONE, HEAD, QK_NORM),
    LAYER("attn_output.weight", wo, DIM, QUERY, REQUIRED),
    LAYER("attn_output.bias", bo, ONE, DIM, OPTIONAL),
    LAYER("ffn_norm.weight", ffn_norm, ONE, DIM, REQUIRED),
    LAYER("ffn_gate.weight", w_gate, FFN, DIM, REQUIRED),
    LAYER("ffn_up.weight", w_up, FFN, DIM, REQUIRED),
    LAYER("ffn_down.weight", w_down, DIM, FFN, REQUIRED),
    LAYER("ffn_gate.bias", b_gate, ONE, FFN, OPTIONAL),
    LAYER("ffn_up.bias", b_up, ONE, FFN, OPTIONAL),
    LAYER("ffn_down.bias", b_down, ONE, DIM, OPTIONAL),
};
enum { N_LAYER_SLOTS = sizeof layer_slots / sizeof layer_slots[0] };

/* The tensors outside the layers. rope_freqs is needed only while the model is opened. */
typedef struct globals {
    vb_matrix embd, output;
    const float *output_norm, *rope_freqs;
} globals;

static const slot global_slots[] = {
    {"token_embd.weight", offsetof(globals, embd), VOCAB, DIM, REQUIRED},
    {"output_norm.weight", offsetof(globals, output_norm), ONE, DIM, REQUIRED},
    {"output.weight", offsetof(globals, output), VOCAB, DIM, OPTIONAL},
    {"rope_freqs.weight", offsetof(globals, rope_freqs), ONE, HALF_ROT, ROPE_FREQS},
};
enum { N_GLOBAL_SLOTS = sizeof global_slots / sizeof global_slots[0] };

/* True when the architecture has this tensor at all; *required when a file must hold it. */
static bool belongs(const vb_arch *a, presence p, bool *required) {
    *required = p == REQUIRED || (p == QKV_BIAS && a->qkv_bias) || (p == QK_NORM && a->qk_norm);
    return *required || p == OPTIONAL || p == QKV_BIAS || (p == ROPE_FREQS && a->rope_freqs);
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

static const slot *find_slot(const slot *slots, int n, const char *name) {
    for (int i = 0; i < n; i++) {
        if (!strcmp(slots[i].name, name)) return &slots[i];
    }
    return NULL;
}

static int check_shape(const vb_model *m, const slot *s, const vb_tensor *t, vb_error *err) {
    const uint64_t rows = (uint64_t)extent_of(m, s->rows), cols = (uint64_t)extent_of(m, s->cols);
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

/* Puts tensor t where `s` says in `base`. */
static int bind_tensor(vb_model *m, const slot *s, void *base, const vb_tensor *t, vb_error *err) {
    int rc = check_shape(m, s, t, err);
    if (rc) return rc;
    if (s->rows == ONE && t->type != VB_F32)
        return vb_fail(err, VB_ERR_UNSUPPORTED, "%s: tensor %s is %s; norms and biases must be F32",
                       vb_gguf_path(m->gguf), t->name, vb_type_name((int)t->type));
    rc = check_weights(m, t, err);
    if (rc) return rc;
    m->info.parameters += t->dims[0] * t->dims[1];
    m->info.weight_bytes += t->bytes;
    void *field = (char *)base + s->offset;
    if (s->rows == ONE) {
        const float *data =
            (const float *)(const void *)t->data; /* aligned: general.alignment is at least 8 */
        memcpy(field, &data, sizeof data);
    } else {
        const vb_matrix w = {.type = t->type,
                             .rows = (int)t->dims[1],
                             .cols = (int)t->dims[0],
                             .data = t->data,
                             .row_bytes = (size_t)(t->bytes / t->dims[1])};
        memcpy(field, &w, sizeof w);
    }
    return VB_OK;
}

static int bind_all(vb_model *m, globals *g, vb_error *err) {
    for (size_t i = 0; i < vb_gguf_tensor_count(m->gguf); i++) {
        const vb_tensor *t = vb_gguf_tensor(m->gguf, i);
        int layer = 0;
        const char *rest = NULL;
        const bool in_layer = parse_layer(t->name, m->info.n_layers, &layer, &rest);
        const slot *s = in_layer ? find_slot(layer_slots, N_LAYER_SLOTS, rest)
                                 : find_slot(global_slots, N_GLOBAL_SLOTS, t->name);
        bool required;
        if (!s || !belongs(m->arch, s->presence, &required))
            return vb_fail(
                err, VB_ERR_UNSUPPORTED,
                "%s: tensor %s is not known for the architecture %s with %d layers, and would change "
                "the output if it were used",
                vb_gguf_path(m->gguf), t->name, m->arch->name, m->info.n_layers);
        int rc = bind_tensor(m, s, in_layer ? (void *)&m->layers[layer] : (void *)g, t, err);
        if (rc) return rc;
    }
    return VB_OK;
}

static bool is_bound(const slot *s, const void *base) {
    const char *field = (const char *)base + s->offset;
    if (s->rows != ONE) return ((const vb_matrix *)(const void *)field)->data != NULL;
    const float *data;
    memcpy(&data, field, sizeof data);
    return data != NULL;
}

static int check_complete(const vb_model *m, const globals *g, vb_error *err) {
    bool required;
    for (int i = 0; i < N_GLOBAL_SLOTS; i++) {
        const slot *s = &global_slots[i];
        if (belongs(m->arch, s->presence, &required) && required && !is_bound(s, g))
            return vb_fail(err, VB_ERR_FORMAT, "%s: tensor %s is missing", vb_gguf_path(m->gguf), s->name);
    }
    for (int layer = 0; layer < m->info.n_layers; layer++) {
        for (int i = 0; i < N_LAYER_SLOTS; i++) {
            const slot *s = &layer_slots[i];
            if (belongs(m->arch, s->presence, &required) && required && !is_bound(s, &m->layers[layer]))
                return vb_fail(err, VB_ERR_FORMAT, "%s: tensor blk.%d.%s is missing", vb_gguf_path(m->gguf),
                               layer, s->name);
        }
    }
    return VB_OK;
}

/* ---------------------------------------------------------------------- RoPE */

/* rope_freq[j] = base^(-2j/rot) / factor_j. The largest angle must stay within vb_sincos's range. */
static int fill_rope(vb_model *m, double base, const float *factors, vb_error *err) {
    int rc = vb_alloc((void **)&m->rope_freq, (size_t)m->rot / 2, sizeof *m->rope_freq, "RoPE", err);
    if (rc) return rc;
    for (int j = 0; j < m->rot / 2; j++) {
        double f = vb_pow(base, -(double)(2 * j) / (double)m->rot);
        if (factors) {
            if (!(factors[j] > 0.0f))
                return vb_fail(err, VB_ERR_FORMAT, "%s: rope_freqs.weight[%d] is %g, must be above 0",
                               vb_gguf_path(m->gguf), j, (double)factors[j]);
            f = f / (double)factors[j];
        }
        if (!((double)m->info.n_ctx * m->rope_scale * f <= 0x1p30))
            return vb_fail(err, VB_ERR_UNSUPPORTED,
                           "%s: RoPE angles grow beyond 2^30 within the context length",
                           vb_gguf_path(m->gguf));
        m->rope_freq[j] = f;
    }
    return VB_OK;
}

void vb_rope_angles(const vb_model *m, int position, float *cosine, float *sine) {
    for (int j = 0; j < m->rot / 2; j++) {
        double s, c;
        vb_sincos(((double)position * m->rope_scale) * m->rope_freq[j], &s, &c);
        cosine[j] = (float)c;
        sine[j] = (float)s;
    }
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

int vb_model_open(vb_model **out, const vb_gguf *g, vb_error *err) {
    vb_model *m = NULL;
    globals tensors = {.output_norm = NULL};
    double rope_base;
    int rc = vb_alloc((void **)&m, 1, sizeof *m, "the model", err);
    if (rc) return rc;
    m->gguf = g;
    if ((rc = vb_hparams_read(m, &rope_base, err)) != 0) goto cleanup;
    if ((rc = read_vocab(m, err)) != 0) goto cleanup;
    if ((rc = copy_name(m, err)) != 0) goto cleanup;
    rc = vb_alloc((void **)&m->layers, (size_t)m->info.n_layers, sizeof *m->layers, "the layers", err);
    if (rc) goto cleanup;
    if ((rc = bind_all(m, &tensors, err)) != 0) goto cleanup;
    if ((rc = check_complete(m, &tensors, err)) != 0) goto cleanup;
    if ((rc = fill_rope(m, rope_base, tensors.rope_freqs, err)) != 0) goto cleanup;
    m->embd = tensors.embd;
    m->output = tensors.output.data ? tensors.output : tensors.embd;
    m->output_norm = tensors.output_norm;
    m->attn_scale = 1.0f / sqrtf((float)m->info.head_dim);
    *out = m;
    m = NULL;
cleanup:
    vb_model_close(m);
    return rc;
}

void vb_model_close(vb_model *m) {
    if (!m) return;
    if (m->packed) m->free_packed(m->packed, m->packed_bytes);
    free(m->layers);
    free(m->rope_freq);
    free(m->name);
    free(m);
}

const vb_model_info *vb_model_describe(const vb_model *m) {
    return &m->info;
}
