/* qwen.c - Qwen2, Qwen2.5, QwQ (qwen2), Qwen3 (qwen3) and their mixtures of experts (qwen2moe, qwen3moe): the
 * plain decoder with RoPE over halves. In qwen2 queries, keys and values always have a bias; in qwen3 each
 * head of queries and keys is normalised before it is turned. In qwen2moe there is a shared expert with a
 * gate, and weights are not normalised. */
#include "ref/arch/arch.h"

static int finish(vb_hparams *h, vb_model *m) {
    vb_decoder_rope(h, m, true, "rope.freq_base", 10000.0, true);
    /* The publisher's window holds from some layer on, and the file does not say which: contexts that the
     * window would cut are refused. */
    const int window = vb_decoder_window(h, m);
    if (window) m->info.n_ctx = window;
    return h->rc;
}

static int plan(vb_hparams *h, vb_model *m) {
    vb_decoder_sizes(h, m);
    return finish(h, m);
}

static int plan_mixture(vb_hparams *h, vb_model *m) {
    vb_decoder_mixture(h, m, VB_ROUTER_SOFTMAX, true);
    return finish(h, m);
}

static const vb_slot shared_gate[] = {
    VB_LAYER_SLOT("ffn_gate_inp_shexp.weight", ffn.shared_gate, VB_ONE, VB_SHARED_DIM, true),
    {0},
};

static int plan_qwen2moe(vb_hparams *h, vb_model *m) {
    vb_decoder_mixture(h, m, VB_ROUTER_SOFTMAX, false);
    vb_decoder_share(
        h, m, vb_hparams_int(h, "expert_shared_feed_forward_length", m->info.ffn_dim, 1, VB_MAX_WIDTH));
    return finish(h, m);
}

const vb_arch vb_arch_qwen2 = {
    .name = "qwen2",
    .layer = (const vb_slot *const[]){vb_decoder_attention, vb_decoder_ffn, vb_decoder_qkv_biases,
                                      vb_decoder_biases, NULL},
    .globals = (const vb_slot *const[]){vb_decoder_globals, NULL},
    .plan = plan,
};

const vb_arch vb_arch_qwen3 = {
    .name = "qwen3",
    .layer = (const vb_slot *const[]){vb_decoder_attention, vb_decoder_ffn, vb_decoder_head_norms,
                                      vb_decoder_biases, NULL},
    .globals = (const vb_slot *const[]){vb_decoder_globals, NULL},
    .plan = plan,
};

const vb_arch vb_arch_qwen3moe = {
    .name = "qwen3moe",
    .layer = (const vb_slot *const[]){vb_decoder_attention, vb_decoder_ffn, vb_decoder_head_norms,
                                      vb_decoder_experts, NULL},
    .globals = (const vb_slot *const[]){vb_decoder_globals, NULL},
    .plan = plan_mixture,
};

const vb_arch vb_arch_qwen2moe = {
    .name = "qwen2moe",
    .layer = (const vb_slot *const[]){vb_decoder_attention, vb_decoder_ffn, vb_decoder_qkv_biases,
                                      vb_decoder_experts, vb_decoder_shared_expert, shared_gate, NULL},
    .globals = (const vb_slot *const[]){vb_decoder_globals, NULL},
    .plan = plan_qwen2moe,
};
