/* model.c - opens a model: its architecture reads the metadata and plans the layers (ref/arch/), then the
 * file's tensors are bound to the plan (bind.c).
 *
 * References: the names of the tensors are those of the GGUF specification (ggml, docs/gguf.md). */
#include "ref/arch/arch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---------------------------------------------------------------------- the order of the matrices */

static vb_stage *add(vb_stage *s, vb_matrix *w) {
    if (w->data) s->w[s->n++] = w;
    return s;
}

static int list_stages(vb_model *m, vb_error *err) {
    const int n = VB_STAGES_PER_LAYER * m->info.n_layers + 1;
    int rc = vb_alloc((void **)&m->stages, (size_t)n, sizeof *m->stages, "the list of matrices", err);
    if (rc) return rc;
    m->n_stages = n;
    for (int layer = 0; layer < m->info.n_layers; layer++) {
        vb_layer *l = &m->layers[layer];
        vb_stage *s = &m->stages[VB_STAGES_PER_LAYER * layer];
        add(add(add(&s[0], &l->attn.wq), &l->attn.wk), &l->attn.wv);
        add(&s[1], &l->attn.wo);
        add(add(add(&s[2], &l->ffn.w_gate), &l->ffn.w_up), &l->ffn.experts.router);
        add(&s[3], &l->ffn.w_down);
    }
    m->stages[n - 1] = (vb_stage){{&m->output}, 1};
    return VB_OK;
}

/* Gives each expert of each layer its number, and a place to say that it is ready. */
static int number_experts(vb_model *m, vb_error *err) {
    for (int layer = 0; layer < m->info.n_layers; layer++) {
        m->layers[layer].ffn.experts.first = m->n_experts;
        m->n_experts += (size_t)m->layers[layer].ffn.experts.n;
    }
    return m->n_experts ? vb_once_open(&m->experts_ready, m->n_experts, err) : VB_OK;
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
static int read_plan(vb_model *m, const vb_rope_params *rope, vb_error *err) {
    vb_hparams h;
    int rc = vb_arch_find(m->gguf, &m->arch, err);
    if (rc) return rc;
    m->info.architecture = m->arch->name;
    if ((rc = vb_hparams_open(&h, m->gguf, m->arch->name, err)) != 0) return rc;
    h.rope = rope;
    m->arch->plan(&h, m);
    return vb_hparams_close(&h);
}

/* ---------------------------------------------------------------------- another RoPE than the file's */

void vb_model_defaults(vb_model_params *p) {
    *p = (vb_model_params){.rope = {.yarn_ext = -1.0}};
}

static bool in_range(double x, double min, double max) {
    return x == 0.0 || (x >= min && x <= max);
}

static int check_rope(const vb_rope_params *r, vb_error *err) {
    if ((int)r->scaling < VB_ROPE_AS_FILE || r->scaling > VB_ROPE_YARN)
        return vb_fail(err, VB_ERR_ARGUMENT, "rope.scaling is %d, must be VB_ROPE_AS_FILE to VB_ROPE_YARN",
                       (int)r->scaling);
    if (r->yarn_from < 0 || r->yarn_from > VB_MAX_CONTEXT)
        return vb_fail(err, VB_ERR_ARGUMENT, "rope.yarn_from is %d, must be 0 (the file's) to %d",
                       r->yarn_from, VB_MAX_CONTEXT);
    if (!(r->yarn_ext <= 1.0))
        return vb_fail(err, VB_ERR_ARGUMENT, "rope.yarn_ext is %g, must be 0 to 1, or negative: the file's",
                       r->yarn_ext);
    const struct {
        const char *name;
        double value, min, max;
    } reals[] = {{"base", r->base, 1.0, 1e12},
                 {"factor", r->factor, 1e-6, 1e6},
                 {"yarn_attn", r->yarn_attn, 1e-3, 1e3},
                 {"yarn_beta_fast", r->yarn_beta_fast, 1e-3, 1e6},
                 {"yarn_beta_slow", r->yarn_beta_slow, 1e-3, 1e6}};
    for (size_t i = 0; i < sizeof reals / sizeof reals[0]; i++) {
        if (!in_range(reals[i].value, reals[i].min, reals[i].max))
            return vb_fail(err, VB_ERR_ARGUMENT, "rope.%s is %g, must be %g to %g, or 0: the file's",
                           reals[i].name, reals[i].value, reals[i].min, reals[i].max);
    }
    return VB_OK;
}

/* All that the first table is made of, if it is not the file's. */
static void describe_rope(vb_model *m, const vb_rope_params *own) {
    const vb_rope *r = &m->ropes[0];
    const bool wanted = own->scaling != VB_ROPE_AS_FILE || own->base != 0.0 || own->factor != 0.0 ||
                        own->yarn_from || own->yarn_ext >= 0.0 || own->yarn_attn != 0.0 ||
                        own->yarn_beta_fast != 0.0 || own->yarn_beta_slow != 0.0;
    if (!wanted) return;
    int n = snprintf(m->rope, sizeof m->rope, "base %.17g, ", r->base);
    char *to = m->rope + n;
    const size_t left = sizeof m->rope - (size_t)n;
    if (r->yarn_factor > 0.0)
        snprintf(to, left, "yarn, factor %.17g, from %d, ext %.17g, lengths times %.17g, beta %.17g to %.17g",
                 r->yarn_factor, r->yarn_from, r->yarn_ext, r->mscale, r->yarn_beta_fast, r->yarn_beta_slow);
    else if (r->scale != 1.0)
        snprintf(to, left, "linear, positions times %.17g", r->scale);
    else
        snprintf(to, left, "not scaled");
}

const char *vb_model_rope(const vb_model *m) {
    return m->rope[0] ? m->rope : NULL;
}

int vb_model_open(vb_model **out, const vb_gguf *g, vb_error *err) {
    return vb_model_open_with(out, g, NULL, err);
}

int vb_model_open_with(vb_model **out, const vb_gguf *g, const vb_model_params *p, vb_error *err) {
    vb_begin(err);
    vb_model_params own;
    vb_model *m = NULL;
    vb_globals tensors = {.output_norm = NULL};
    vb_model_defaults(&own);
    if (p) own = *p;
    int rc = check_rope(&own.rope, err);
    if (rc) return rc;
    if ((rc = vb_alloc((void **)&m, 1, sizeof *m, "the model", err)) != 0) return rc;
    m->gguf = g;
    if ((rc = read_plan(m, &own.rope, err)) != 0) goto cleanup;
    describe_rope(m, &own.rope);
    if ((rc = read_vocab(m, err)) != 0) goto cleanup;
    if ((rc = copy_name(m, err)) != 0) goto cleanup;
    if ((rc = vb_bind(m, &tensors, err)) != 0) goto cleanup;
    if ((rc = number_experts(m, err)) != 0) goto cleanup;
    if ((rc = fill_ropes(m, &tensors, err)) != 0) goto cleanup;
    m->embd = tensors.embd;
    m->output = tensors.output.data ? tensors.output : tensors.embd;
    m->output_norm = tensors.output_norm;
    m->output_norm_bias = tensors.output_norm_bias;
    m->output_bias = tensors.output_bias;
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
    if (m->expert_copies) m->free_expert_copies(m->expert_copies);
    for (int i = 0; m->layers && i < m->info.n_layers; i++) {
        free(m->layers[i].ffn.experts.w_gate);
        free(m->layers[i].ffn.experts.w_up);
        free(m->layers[i].ffn.experts.w_down);
    }
    free(m->kept);
    free(m->kept_rows);
    free(m->kept_bias);
    vb_once_close(m->experts_ready);
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
