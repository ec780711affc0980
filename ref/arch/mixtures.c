/* mixtures.c - mixtures of experts that differ from the plain decoder in little else: OLMoE (olmoe), GLM-4.5
 * and 4.6 (glm4moe), ERNIE 4.5 (ernie4_5-moe), MiniMax-M2 (minimax-m2).
 *
 * References: the publishers' code (transformers, models/olmoe, glm4_moe, ernie4_5_moe, minimax_m2). */
#include "ref/arch/arch.h"

static int rope_of(vb_hparams *h, vb_model *m, bool halves) {
    vb_decoder_rope(h, m, halves, "rope.freq_base", 10000.0, true);
    return h->rc;
}

static void norm_whole(vb_hparams *h, vb_model *m) {
    for (int layer = 0; layer < m->info.n_layers && h->rc == VB_OK; layer++)
        m->layers[layer].attn.norm_whole = true;
}

/* As many hidden units as expert_shared_count experts have, unless the file says it itself. */
static void share_by_count(vb_hparams *h, vb_model *m, int64_t fallback) {
    const int64_t dim = h->rc ? 0 : m->layers[m->info.n_layers - 1].ffn.experts.dim;
    const int64_t n = vb_hparams_int(h, "expert_shared_count", fallback, 0, VB_MAX_EXPERTS);
    vb_decoder_share(h, m, vb_hparams_int(h, "expert_shared_feed_forward_length", n * dim, 0, VB_MAX_WIDTH));
}

/* Queries and keys are normalised over all heads together; the experts' weights are not normalised. */
static int plan_olmoe(vb_hparams *h, vb_model *m) {
    vb_decoder_mixture(h, m, VB_ROUTER_SOFTMAX, false);
    norm_whole(h, m);
    return rope_of(h, m, true);
}

const vb_arch vb_arch_olmoe = {
    .name = "olmoe",
    .layer = (const vb_slot *const[]){vb_decoder_attention, vb_decoder_whole_norms, vb_decoder_ffn,
                                      vb_decoder_experts, NULL},
    .globals = (const vb_slot *const[]){vb_decoder_globals, NULL},
    .plan = plan_olmoe,
};

/* Sigmoid, a bias that only chooses, groups, a shared expert, dense layers first. Layers that guess further
 * tokens may stand behind the others; nobody asks them here. */
static const vb_slot glm4moe[] = {
    VB_LAYER_SLOT("post_attention_norm.weight", ffn_norm, VB_ONE, VB_DIM, true),
    VB_LAYER_SLOT("ffn_gate.weight", ffn.w_gate, VB_FFN, VB_DIM, true),
    VB_LAYER_SLOT("ffn_up.weight", ffn.w_up, VB_FFN, VB_DIM, true),
    VB_LAYER_SLOT("ffn_down.weight", ffn.w_down, VB_DIM, VB_FFN, true),
    VB_LAYER_SLOT("attn_q_norm.weight", attn.q_norm, VB_ONE, VB_HEAD, false),
    VB_LAYER_SLOT("attn_k_norm.weight", attn.k_norm, VB_ONE, VB_HEAD, false),
    VB_LAYER_SLOT("attn_q.bias", attn.bq, VB_ONE, VB_QUERY, false),
    VB_LAYER_SLOT("attn_k.bias", attn.bk, VB_ONE, VB_KEY, false),
    VB_LAYER_SLOT("attn_v.bias", attn.bv, VB_ONE, VB_KEY, false),
    {0},
};

static int plan_glm4moe(vb_hparams *h, vb_model *m) {
    m->more_layers = (int)vb_hparams_int(h, "nextn_predict_layers", 0, 0, VB_MAX_LAYERS - 1);
    vb_decoder_mixture(h, m, VB_ROUTER_SIGMOID, true);
    share_by_count(h, m, 0);
    vb_decoder_leading_dense(h, m);
    return rope_of(h, m, true);
}

const vb_arch vb_arch_glm4moe = {
    .name = "glm4moe",
    .layer = (const vb_slot *const[]){vb_decoder_attention, glm4moe, vb_decoder_experts,
                                      vb_decoder_choice_bias, vb_decoder_shared_expert, NULL},
    .globals = (const vb_slot *const[]){vb_decoder_globals, NULL},
    .plan = plan_glm4moe,
};

/* RoPE over neighbours; softmax, a bias that only chooses; dense layers first, and then experts in every
 * `interleave_moe_layer_step`-th layer. */
static int plan_ernie(vb_hparams *h, vb_model *m) {
    vb_decoder_mixture(h, m, VB_ROUTER_SOFTMAX, true);
    share_by_count(h, m, 0);
    vb_decoder_leading_dense(h, m);
    const int64_t step = vb_hparams_int(h, "interleave_moe_layer_step", 1, 1, VB_MAX_LAYERS);
    for (int layer = 0; layer < m->info.n_layers && h->rc == VB_OK; layer++) {
        vb_ffn *f = &m->layers[layer].ffn;
        if ((layer + 1) % step == 0 || f->experts.n == 0) continue;
        f->experts = (vb_experts){.n = 0};
        f->dim = m->info.ffn_dim;
    }
    return rope_of(h, m, false);
}

const vb_arch vb_arch_ernie4_5_moe = {
    .name = "ernie4_5-moe",
    .layer = (const vb_slot *const[]){vb_decoder_attention, vb_decoder_ffn, vb_decoder_experts,
                                      vb_decoder_choice_bias, vb_decoder_shared_expert, NULL},
    .globals = (const vb_slot *const[]){vb_decoder_globals, NULL},
    .plan = plan_ernie,
};

static int plan_minimax(vb_hparams *h, vb_model *m) {
    vb_decoder_mixture(h, m, VB_ROUTER_SIGMOID, true);
    norm_whole(h, m);
    return rope_of(h, m, true);
}

const vb_arch vb_arch_minimax_m2 = {
    .name = "minimax-m2",
    .layer = (const vb_slot *const[]){vb_decoder_attention, vb_decoder_whole_norms, vb_decoder_ffn,
                                      vb_decoder_experts, vb_decoder_choice_bias, NULL},
    .globals = (const vb_slot *const[]){vb_decoder_globals, NULL},
    .plan = plan_minimax,
};
