/* bind.c - the file's tensors to the places that the plan of a model has for them. Every tensor that the
 * architecture needs must be there in its exact shape, every tensor that is there must be known (one that is
 * not would change the output, P6), and every block of weights must have finite scales: those of experts when
 * they are first used (engine/experts.c), so that what is never used is never read. Nothing is copied.
 *
 * References: the names of the tensors are those of the GGUF specification (ggml, docs/gguf.md). */
#include "ref/arch/arch.h"

#include "gguf/unpack.h"

#include <stdio.h>
#include <string.h>

/* ---------------------------------------------------------------------- what tensors there are */

/* l: the layer whose tensor it is; NULL outside the layers. */
static int extent_of(const vb_model *m, const vb_layer *l, vb_extent e) {
    switch (e) {
    case VB_DIM: return m->info.dim;
    case VB_QUERY: return l ? l->attn.n_heads * l->attn.head_dim : 0;
    case VB_KEY: return l ? l->attn.n_kv_heads * l->attn.head_dim : 0;
    case VB_HEAD: return l ? l->attn.head_dim : 0;
    case VB_FFN: return l && l->ffn.experts.n == 0 ? l->ffn.dim : 0;
    case VB_DENSE_DIM: return l && l->ffn.experts.n == 0 ? m->info.dim : 0;
    case VB_SHARED_DIM: return l && l->ffn.experts.n > 0 && l->ffn.dim > 0 ? m->info.dim : 0;
    case VB_SHARED_FFN: return l && l->ffn.experts.n > 0 ? l->ffn.dim : 0;
    case VB_HEADS: return l ? l->attn.n_heads : 0;
    case VB_EXPERTS: return l ? l->ffn.experts.n : 0;
    case VB_EXPERT_FFN: return l ? l->ffn.experts.dim : 0;
    case VB_VOCAB: return m->info.n_vocab;
    case VB_HALF_ROT: return m->ropes[0].rot / 2;
    case VB_ONE: break;
    }
    return 1;
}

/* False for slots that the layer, by its plan, does not have. */
static bool has_slot(const vb_model *m, const vb_layer *l, const vb_slot *s) {
    return extent_of(m, l, s->rows) > 0 && extent_of(m, l, s->cols) > 0 && extent_of(m, l, s->depth) > 0;
}

static const vb_slot *find_slot(const vb_model *m, const vb_layer *l, const vb_slot *const *tables,
                                const char *name) {
    for (; *tables; tables++) {
        for (const vb_slot *s = *tables; s->name; s++)
            if (!strcmp(s->name, name) && has_slot(m, l, s)) return s;
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

/* Sizes of a tensor as GGUF lists them, 1 behind the last. */
static void shape_of(const vb_model *m, const vb_layer *l, const vb_slot *s, uint64_t dims[4]) {
    uint64_t *next = dims;
    for (int i = 0; i < 4; i++) dims[i] = 1;
    *next++ = (uint64_t)extent_of(m, l, s->cols);
    if (s->rows != VB_ONE || s->depth == VB_ONE) {
        *next = 0;
        for (const vb_slot *part = s; part; part = next_part(part))
            *next += (uint64_t)extent_of(m, l, part->rows);
        next++;
    }
    if (s->depth != VB_ONE) *next = (uint64_t)extent_of(m, l, s->depth);
}

static int check_shape(const vb_model *m, const vb_layer *l, const vb_slot *s, const vb_tensor *t,
                       vb_error *err) {
    uint64_t want[4];
    char depth[32] = "";
    shape_of(m, l, s, want);
    if (!memcmp(t->dims, want, sizeof want)) return VB_OK;
    if (want[2] != 1) snprintf(depth, sizeof depth, ", %llu", (unsigned long long)want[2]);
    return vb_fail(
        err, VB_ERR_FORMAT,
        "%s: tensor %s has the shape [%llu, %llu, %llu, %llu], expected [%llu, %llu%s] from the metadata",
        vb_gguf_path(m->gguf), t->name, (unsigned long long)t->dims[0], (unsigned long long)t->dims[1],
        (unsigned long long)t->dims[2], (unsigned long long)t->dims[3], (unsigned long long)want[0],
        (unsigned long long)want[1], depth);
}

static int check_rows(const vb_model *m, const vb_tensor *t, vb_error *err) {
    const uint64_t values = (uint64_t)vb_type_block_values((int)t->type);
    const uint64_t bytes = (uint64_t)vb_type_block_bytes((int)t->type);
    if (values != 0 && t->dims[0] % values == 0 &&
        t->bytes == t->dims[0] / values * t->dims[1] * t->dims[2] * bytes)
        return VB_OK;
    return vb_fail(err, VB_ERR_FORMAT, "%s: tensor %s does not consist of whole rows", vb_gguf_path(m->gguf),
                   t->name);
}

int vb_check_weights(const vb_model *m, const uint8_t *data, uint64_t bytes, vb_error *err) {
    const vb_tensor *t = NULL;
    const char *what = NULL;
    for (size_t i = 0; i < vb_gguf_tensor_count(m->gguf); i++) {
        t = vb_gguf_tensor(m->gguf, i);
        if (data >= t->data && data < t->data + t->bytes) break;
    }
    const uint64_t block = (uint64_t)vb_type_block_bytes((int)t->type);
    const int64_t bad = vb_validate_blocks(t->type, data, bytes / block, &what);
    if (bad < 0) return VB_OK;
    const uint64_t at = (uint64_t)(data - t->data) + (uint64_t)bad * block;
    const unsigned long long number = at / block, offset = t->offset + at;
    return vb_fail(err, VB_ERR_FORMAT, "%s: tensor %s, block %llu (offset %llu): %s is not finite",
                   vb_gguf_path(m->gguf), t->name, number, offset, what ? what : "a value");
}

/* The matrices of `depth` experts, or one matrix, that a slot and those that share its tensor name. */
static int bind_matrices(vb_model *m, const vb_layer *l, const vb_slot *s, char *base, const vb_tensor *t,
                         vb_error *err) {
    const size_t row_bytes = (size_t)(t->bytes / (t->dims[1] * t->dims[2]));
    const size_t slice = (size_t)t->dims[1] * row_bytes; /* of one expert */
    const uint8_t *data = t->data;
    for (; s; s = next_part(s)) {
        const vb_matrix w = {.type = t->type,
                             .rows = extent_of(m, l, s->rows),
                             .cols = (int)t->dims[0],
                             .data = data,
                             .row_bytes = row_bytes};
        data += (size_t)w.rows * row_bytes;
        if (s->depth == VB_ONE) {
            memcpy(base + s->offset, &w, sizeof w);
            continue;
        }
        vb_matrix *each = NULL;
        int rc = vb_alloc((void **)&each, (size_t)t->dims[2], sizeof *each, "experts", err);
        if (rc) return rc;
        for (size_t e = 0; e < (size_t)t->dims[2]; e++) {
            each[e] = w;
            each[e].data = w.data + e * slice;
        }
        memcpy(base + s->offset, &each, sizeof each); /* vb_model_close frees it */
    }
    return VB_OK;
}

/* Puts tensor t where `s` says in `base`, which is the layer l or, with l NULL, the globals. */
static int bind_tensor(vb_model *m, const vb_layer *l, const vb_slot *s, void *base, const vb_tensor *t,
                       vb_error *err) {
    int rc = check_shape(m, l, s, t, err);
    if (rc) return rc;
    if (s->rows == VB_ONE && t->type != VB_F32)
        return vb_fail(err, VB_ERR_UNSUPPORTED, "%s: tensor %s is %s; norms and biases must be F32",
                       vb_gguf_path(m->gguf), t->name, vb_type_name((int)t->type));
    if ((rc = check_rows(m, t, err)) != 0) return rc;
    const bool of_experts = s->depth != VB_ONE && s->rows != VB_ONE;
    if (!of_experts && (rc = vb_check_weights(m, t->data, t->bytes, err)) != 0) return rc;
    const uint64_t values = t->dims[0] * t->dims[1] * t->dims[2];
    m->info.parameters += values;
    m->info.weight_bytes += t->bytes;
    if (of_experts) {
        m->info.expert_parameters += values;
        m->info.expert_bytes += t->bytes;
    }
    if (s->rows != VB_ONE) return bind_matrices(m, l, s, base, t, err);
    /* Aligned: general.alignment is at least 8. */
    const float *data = (const float *)(const void *)t->data;
    memcpy((char *)base + s->offset, &data, sizeof data);
    return VB_OK;
}

/* "ffn_gate.3.weight": one expert of a mixture, as converters wrote Mixtral before April 2024. */
static bool is_single_expert(const char *name) {
    static const char *const parts[] = {"ffn_gate.", "ffn_up.", "ffn_down."};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        const size_t len = strlen(parts[i]),
                     digits = strspn(name + (strncmp(name, parts[i], len) ? 0 : len), "0123456789");
        if (!strncmp(name, parts[i], len) && digits > 0 && !strcmp(name + len + digits, ".weight"))
            return true;
    }
    return false;
}

static int refuse_tensor(const vb_model *m, const char *name, bool in_layer, const char *rest,
                         vb_error *err) {
    const char *path = vb_gguf_path(m->gguf);
    if (in_layer && is_single_expert(rest))
        return vb_fail(err, VB_ERR_UNSUPPORTED,
                       "%s: tensor %s is one expert by itself, as files of mixtures were written before "
                       "April 2024; all experts of a layer must be one tensor (ffn_gate_exps): take a newer "
                       "file of this model, or convert it again",
                       path, name);
    return vb_fail(err, VB_ERR_UNSUPPORTED,
                   "%s: tensor %s is not known for the architecture %s with %d layers, and would change "
                   "the output if it were used",
                   path, name, m->arch->name, m->info.n_layers);
}

static int bind_all(vb_model *m, vb_globals *g, vb_error *err) {
    for (size_t i = 0; i < vb_gguf_tensor_count(m->gguf); i++) {
        const vb_tensor *t = vb_gguf_tensor(m->gguf, i);
        int layer = 0;
        const char *rest = NULL;
        const bool in_layer = parse_layer(t->name, m->info.n_layers + m->more_layers, &layer, &rest);
        if (in_layer && layer >= m->info.n_layers) continue;
        vb_layer *l = in_layer ? &m->layers[layer] : NULL;
        const vb_slot *s =
            l ? find_slot(m, l, m->arch->layer, rest) : find_slot(m, l, m->arch->globals, t->name);
        if (!s) return refuse_tensor(m, t->name, in_layer, rest, err);
        int rc = bind_tensor(m, l, s, l ? (void *)l : (void *)g, t, err);
        if (rc) return rc;
    }
    return VB_OK;
}

static bool is_bound(const vb_slot *s, const void *base) {
    const char *field = (const char *)base + s->offset;
    if (s->rows != VB_ONE && s->depth == VB_ONE)
        return ((const vb_matrix *)(const void *)field)->data != NULL;
    const void *data;
    memcpy(&data, field, sizeof data);
    return data != NULL;
}

/* The first required slot that nothing in `base` fills; NULL: none. */
static const vb_slot *missing(const vb_model *m, const vb_layer *l, const vb_slot *const *tables,
                              const void *base) {
    for (; *tables; tables++) {
        for (const vb_slot *s = *tables; s->name; s++)
            if (s->required && has_slot(m, l, s) && !is_bound(s, base)) return s;
    }
    return NULL;
}

static int check_complete(const vb_model *m, const vb_globals *g, vb_error *err) {
    const vb_slot *s = missing(m, NULL, m->arch->globals, g);
    if (s) return vb_fail(err, VB_ERR_FORMAT, "%s: tensor %s is missing", vb_gguf_path(m->gguf), s->name);
    for (int layer = 0; layer < m->info.n_layers; layer++) {
        s = missing(m, &m->layers[layer], m->arch->layer, &m->layers[layer]);
        if (s)
            return vb_fail(err, VB_ERR_FORMAT, "%s: tensor blk.%d.%s is missing", vb_gguf_path(m->gguf),
                           layer, s->name);
    }
    return VB_OK;
}

int vb_bind(vb_model *m, vb_globals *g, vb_error *err) {
    int rc = bind_all(m, g, err);
    return rc ? rc : check_complete(m, g, err);
}
