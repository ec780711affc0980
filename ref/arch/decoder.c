/* decoder.c - what the pre-norm decoders share: x += attention(norm(x)), x += swiglu(norm(x)) in every layer,
 * with RMSNorm, RoPE and grouped heads.
 *
 * Source of the keys and of the tensors' names: the GGUF specification (ggml, docs/gguf.md). */
#include "ref/arch/arch.h"

#include <math.h>

const vb_slot vb_decoder_attention[] = {
    VB_LAYER_SLOT("attn_norm.weight", attn_norm, VB_ONE, VB_DIM, true),
    VB_LAYER_SLOT("attn_q.weight", attn.wq, VB_QUERY, VB_DIM, true),
    VB_LAYER_SLOT("attn_k.weight", attn.wk, VB_KEY, VB_DIM, true),
    VB_LAYER_SLOT("attn_v.weight", attn.wv, VB_KEY, VB_DIM, true),
    VB_LAYER_SLOT("attn_output.weight", attn.wo, VB_DIM, VB_QUERY, true),
    {0},
};

const vb_slot vb_decoder_ffn[] = {
    VB_LAYER_SLOT("ffn_norm.weight", ffn_norm, VB_ONE, VB_DIM, true),
    VB_LAYER_SLOT("ffn_gate.weight", ffn.w_gate, VB_FFN, VB_DIM, true),
    VB_LAYER_SLOT("ffn_up.weight", ffn.w_up, VB_FFN, VB_DIM, true),
    VB_LAYER_SLOT("ffn_down.weight", ffn.w_down, VB_DIM, VB_FFN, true),
    {0},
};

const vb_slot vb_decoder_experts[] = {
    VB_LAYER_SLOT("ffn_gate_inp.weight", ffn.experts.router, VB_EXPERTS, VB_DIM, true),
    VB_EXPERT_SLOT("ffn_gate_exps.weight", w_gate, VB_EXPERT_FFN, VB_DIM, true),
    VB_EXPERT_SLOT("ffn_up_exps.weight", w_up, VB_EXPERT_FFN, VB_DIM, true),
    VB_EXPERT_SLOT("ffn_down_exps.weight", w_down, VB_DIM, VB_EXPERT_FFN, true),
    {0},
};

const vb_slot vb_decoder_shared_expert[] = {
    VB_LAYER_SLOT("ffn_gate_shexp.weight", ffn.w_gate, VB_SHARED_FFN, VB_DIM, true),
    VB_LAYER_SLOT("ffn_up_shexp.weight", ffn.w_up, VB_SHARED_FFN, VB_DIM, true),
    VB_LAYER_SLOT("ffn_down_shexp.weight", ffn.w_down, VB_DIM, VB_SHARED_FFN, true),
    {0},
};

const vb_slot vb_decoder_qkv_biases[] = {
    VB_LAYER_SLOT("attn_q.bias", attn.bq, VB_ONE, VB_QUERY, true),
    VB_LAYER_SLOT("attn_k.bias", attn.bk, VB_ONE, VB_KEY, true),
    VB_LAYER_SLOT("attn_v.bias", attn.bv, VB_ONE, VB_KEY, true),
    {0},
};

const vb_slot vb_decoder_choice_bias[] = {
    VB_LAYER_SLOT("exp_probs_b.bias", ffn.experts.choice_bias, VB_ONE, VB_EXPERTS, false),
    {0},
};

const vb_slot vb_decoder_whole_norms[] = {
    VB_LAYER_SLOT("attn_q_norm.weight", attn.q_norm, VB_ONE, VB_QUERY, true),
    VB_LAYER_SLOT("attn_k_norm.weight", attn.k_norm, VB_ONE, VB_KEY, true),
    {0},
};

const vb_slot vb_decoder_head_norms[] = {
    VB_LAYER_SLOT("attn_q_norm.weight", attn.q_norm, VB_ONE, VB_HEAD, true),
    VB_LAYER_SLOT("attn_k_norm.weight", attn.k_norm, VB_ONE, VB_HEAD, true),
    {0},
};

const vb_slot vb_decoder_biases[] = {
    VB_LAYER_SLOT("attn_q.bias", attn.bq, VB_ONE, VB_QUERY, false),
    VB_LAYER_SLOT("attn_k.bias", attn.bk, VB_ONE, VB_KEY, false),
    VB_LAYER_SLOT("attn_v.bias", attn.bv, VB_ONE, VB_KEY, false),
    VB_LAYER_SLOT("attn_output.bias", attn.bo, VB_ONE, VB_DIM, false),
    VB_LAYER_SLOT("ffn_gate.bias", ffn.b_gate, VB_ONE, VB_FFN, false),
    VB_LAYER_SLOT("ffn_up.bias", ffn.b_up, VB_ONE, VB_FFN, false),
    VB_LAYER_SLOT("ffn_down.bias", ffn.b_down, VB_ONE, VB_DENSE_DIM, false),
    {0},
};

const vb_slot vb_decoder_globals[] = {
    VB_GLOBAL_SLOT("token_embd.weight", embd, VB_VOCAB, VB_DIM, true),
    VB_GLOBAL_SLOT("output_norm.weight", output_norm, VB_ONE, VB_DIM, true),
    VB_GLOBAL_SLOT("output.weight", output, VB_VOCAB, VB_DIM, false),
    {0},
};

const vb_slot vb_decoder_long_factors[] = {
    VB_GLOBAL_SLOT("rope_factors_short.weight", rope_short, VB_ONE, VB_HALF_ROT, false),
    VB_GLOBAL_SLOT("rope_factors_long.weight", rope_long, VB_ONE, VB_HALF_ROT, false),
    {0},
};

int vb_decoder_window(vb_hparams *h, const vb_model *m) {
    const int64_t window = vb_hparams_int(h, "attention.sliding_window", 0, 0, INT64_MAX);
    return window < m->info.n_ctx ? (int)window : 0; /* a window of the whole context hides nothing */
}

/* longrope has two tables of factors for the frequencies. transformers takes the table by the number of
 * positions that the sequence has at present, so that the keys in a cache are of one table and new ones of
 * the other; here the context's size decides, once. mscale holds for either table. */
void vb_decoder_longrope(vb_hparams *h, vb_model *m) {
    vb_rope *rope = vb_decoder_rope(h, m, true, "rope.freq_base", 10000.0, false);
    if (vb_hparams_find(h, "rope.scaling.type") && !vb_hparams_is(h, "rope.scaling.type", "longrope") &&
        !vb_hparams_is(h, "rope.scaling.type", "none"))
        vb_hparams_refuse(h, VB_ERR_UNSUPPORTED, "rope.scaling.type",
                          "other than \"none\" and \"longrope\" is not supported");
    rope->mscale = vb_hparams_float(h, "rope.scaling.attn_factor", 1.0, 1e-3, 1e3);
    rope->long_from =
        (int)vb_hparams_int(h, "rope.scaling.original_context_length", m->info.n_ctx, 1, VB_MAX_CONTEXT);
}

bool vb_decoder_is_local(vb_hparams *h, int layer, uint64_t period) {
    const vb_meta *pattern = vb_hparams_find(h, "attention.sliding_window_pattern");
    bool local = false;
    if (pattern && pattern->type == VB_VALUE_ARRAY) {
        if (!vb_meta_bool(pattern, (uint64_t)layer, &local))
            vb_hparams_refuse(h, VB_ERR_FORMAT, "attention.sliding_window_pattern",
                              "has no truth value for every layer");
        return local;
    }
    if (pattern && (!vb_meta_u64(pattern, 0, &period) || period < 1))
        vb_hparams_refuse(h, VB_ERR_FORMAT, "attention.sliding_window_pattern", "is not a positive integer");
    return period > 1 && (uint64_t)layer % period != period - 1;
}

static void read_heads(vb_hparams *h, vb_model_info *i) {
    i->n_heads = (int)vb_hparams_int(h, "attention.head_count", -1, 1, VB_MAX_HEADS);
    i->n_kv_heads = (int)vb_hparams_int(h, "attention.head_count_kv", i->n_heads, 1, VB_MAX_HEADS);
    if (h->rc == VB_OK && i->n_heads % i->n_kv_heads != 0)
        vb_hparams_refuse(h, VB_ERR_FORMAT, "attention.head_count",
                          "is not a multiple of attention.head_count_kv");
    const bool has_head_dim = vb_hparams_find(h, "attention.key_length") != NULL;
    if (h->rc == VB_OK && !has_head_dim && i->dim % i->n_heads != 0)
        vb_hparams_refuse(h, VB_ERR_FORMAT, "embedding_length", "is not a multiple of attention.head_count");
    i->head_dim =
        (int)vb_hparams_int(h, "attention.key_length", h->rc ? 1 : i->dim / i->n_heads, 1, VB_MAX_WIDTH);
    if (vb_hparams_int(h, "attention.value_length", i->head_dim, 1, VB_MAX_WIDTH) != i->head_dim)
        vb_hparams_refuse(h, VB_ERR_UNSUPPORTED, "attention.value_length",
                          "other than key_length is not supported");
    if ((int64_t)i->n_heads * i->head_dim > VB_MAX_WIDTH)
        vb_hparams_refuse(h, VB_ERR_FORMAT, "attention.key_length",
                          "times attention.head_count is too large");
}

/* What a file may say that these layers do not do. */
static void refuse_variants(vb_hparams *h) {
    const vb_meta *causal = vb_hparams_find(h, "attention.causal");
    bool is_causal;
    if (causal && !(vb_meta_bool(causal, 0, &is_causal) && is_causal))
        vb_hparams_refuse(h, VB_ERR_UNSUPPORTED, "attention.causal", "other than true is not supported");
}

static void ignore_keys(vb_hparams *h) {
    vb_hparams_ignore(h, "vocab_size");         /* the output matrix has that many rows, or more */
    vb_hparams_ignore(h, "tensor_data_layout"); /* says how the file was converted */
    vb_hparams_ignore(h, "pooling_type");       /* for embeddings, taken after the logits' input */
    vb_hparams_ignore(h, "rope.scaling.original_context_length"); /* used by types that are refused */
    vb_hparams_ignore(h, "rope.scaling.finetuned");               /* says how the model was trained */
}

static void plan_layer(const vb_model_info *i, vb_layer *l) {
    l->attn.n_heads = i->n_heads;
    l->attn.n_kv_heads = i->n_kv_heads;
    l->attn.head_dim = i->head_dim;
    l->attn.scale = 1.0f / sqrtf((float)i->head_dim);
    l->ffn.dim = i->ffn_dim;
}

/* ffn_dim: where the file may leave feed_forward_length out, what it then is; else -1. */
static void read_sizes(vb_hparams *h, vb_model *m, int ffn_dim) {
    vb_model_info *i = &m->info;
    i->n_ctx = (int)vb_hparams_int(h, "context_length", -1, 1, VB_MAX_CONTEXT);
    i->dim = (int)vb_hparams_int(h, "embedding_length", -1, 1, VB_MAX_WIDTH);
    i->n_layers = (int)vb_hparams_int(h, "block_count", -1, 1 + m->more_layers, VB_MAX_LAYERS);
    if (h->rc == VB_OK) i->n_layers -= m->more_layers;
    i->ffn_dim = (int)vb_hparams_int(h, "feed_forward_length", ffn_dim, 1, VB_MAX_WIDTH);
    read_heads(h, i);
    m->eps = (float)vb_hparams_float(h, "attention.layer_norm_rms_epsilon", (double)NAN, 1e-12, 1.0);
    m->embd_scale = 1.0;
    m->residual_scale = 1.0f;
    m->logit_divisor = 1.0f;
    refuse_variants(h);
    ignore_keys(h);
    if (h->rc == VB_OK)
        h->rc = vb_alloc((void **)&m->layers, (size_t)i->n_layers, sizeof *m->layers, "the layers", h->err);
    for (int layer = 0; layer < i->n_layers && h->rc == VB_OK; layer++) plan_layer(i, &m->layers[layer]);
}

void vb_decoder_sizes(vb_hparams *h, vb_model *m) {
    read_sizes(h, m, -1);
    if (vb_hparams_int(h, "expert_count", 0, 0, INT32_MAX) != 0)
        vb_hparams_refuse(h, VB_ERR_UNSUPPORTED, "expert_count",
                          "other than 0 (a mixture of experts) is not supported for this architecture");
    vb_hparams_ignore(h, "expert_used_count"); /* of no experts */
}

/* ---------------------------------------------------------------------- mixtures of experts */

/* The numbers that files use for the kinds of routers. */
static vb_router_kind read_router_kind(vb_hparams *h, vb_router_kind otherwise) {
    switch (vb_hparams_int(h, "expert_gating_func", 0, 0, INT32_MAX)) {
    case 0: return otherwise; /* not said */
    case 1: return VB_ROUTER_SOFTMAX;
    case 2: return VB_ROUTER_SIGMOID;
    case 3: return VB_ROUTER_SOFTMAX_CHOSEN;
    }
    vb_hparams_refuse(h, VB_ERR_UNSUPPORTED, "expert_gating_func",
                      "other than 1 (softmax), 2 (sigmoid) and 3 (softmax of the chosen) is not supported");
    return otherwise;
}

static void read_groups(vb_hparams *h, vb_experts *x) {
    /* 0 stands for "no groups" in some files. */
    x->groups = (int)vb_hparams_int(h, "expert_group_count", 1, 0, VB_MAX_EXPERT_GROUPS);
    if (x->groups == 0) x->groups = 1;
    x->groups_used = (int)vb_hparams_int(h, "expert_group_used_count", x->groups, 0, x->groups);
    if (x->groups_used == 0) x->groups_used = x->groups;
    if (h->rc || x->groups == 1) return;
    const int size = x->n / x->groups;
    if (x->n % x->groups || size < 2 || x->groups_used * size < x->used)
        vb_hparams_refuse(h, VB_ERR_FORMAT, "expert_group_count",
                          "does not divide expert_count into groups of two or more that hold "
                          "expert_used_count experts");
}

void vb_decoder_mixture(vb_hparams *h, vb_model *m, vb_router_kind kind, bool normalise) {
    vb_experts x = {.kind = kind, .normalise = normalise};
    x.n = (int)vb_hparams_int(h, "expert_count", -1, 1, VB_MAX_EXPERTS);
    x.used = (int)vb_hparams_int(h, "expert_used_count", -1, 1, VB_MAX_EXPERTS_USED);
    if (h->rc == VB_OK && x.used > x.n)
        vb_hparams_refuse(h, VB_ERR_FORMAT, "expert_used_count", "is larger than expert_count");
    /* Without a length of their own experts have the layer's. */
    const int64_t length = vb_hparams_find(h, "expert_feed_forward_length") ? 1 : -1;
    read_sizes(h, m, (int)length);
    x.dim = (int)vb_hparams_int(h, "expert_feed_forward_length", m->info.ffn_dim, 1, VB_MAX_WIDTH);
    x.kind = read_router_kind(h, kind);
    x.normalise = vb_hparams_bool(h, "expert_weights_norm", normalise);
    x.scale = (float)vb_hparams_float(h, "expert_weights_scale", 1.0, 0.0, 1e6);
    if (x.scale == 0.0f) x.scale = 1.0f; /* "none" in some files */
    read_groups(h, &x);
    m->info.n_experts = x.n;
    m->info.n_experts_used = x.used;
    for (int layer = 0; layer < m->info.n_layers && h->rc == VB_OK; layer++) {
        m->layers[layer].ffn.dim = 0;
        m->layers[layer].ffn.experts = x;
    }
}

void vb_decoder_leading_dense(vb_hparams *h, vb_model *m) {
    const int64_t dense = vb_hparams_int(h, "leading_dense_block_count", 0, 0, m->info.n_layers);
    for (int layer = 0; layer < dense && h->rc == VB_OK; layer++) {
        m->layers[layer].ffn.experts = (vb_experts){.n = 0};
        m->layers[layer].ffn.dim = m->info.ffn_dim;
    }
}

void vb_decoder_share(vb_hparams *h, vb_model *m, int64_t length) {
    if (length < 0 || length > VB_MAX_WIDTH)
        vb_hparams_refuse(h, VB_ERR_FORMAT, "expert_shared_feed_forward_length", "is too large");
    for (int layer = 0; layer < m->info.n_layers && h->rc == VB_OK; layer++) {
        vb_ffn *f = &m->layers[layer].ffn;
        if (f->experts.n > 0) f->dim = (int)length;
    }
}
