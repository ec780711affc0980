/* gpt_oss.c - gpt-oss 20B and 120B: a mixture of experts in every layer, chosen by their logits and weighed
 * by a softmax over the chosen, with a bias on everything and a clamped gate; every other layer has a window,
 * each head a sink; YaRN, whose corners the publisher does not round to whole pairs.
 *
 * References: OpenAI 2508.10925; the publisher's code (gpt_oss/torch/model.py; transformers,
 * models/gpt_oss). */
#include "ref/arch/arch.h"

static const vb_slot tensors[] = {
    VB_LAYER_SLOT("post_attention_norm.weight", ffn_norm, VB_ONE, VB_DIM, true),
    VB_LAYER_SLOT("attn_sinks.weight", attn.sinks, VB_ONE, VB_HEADS, true),
    VB_LAYER_SLOT("attn_output.bias", attn.bo, VB_ONE, VB_DIM, true),
    VB_LAYER_SLOT("ffn_gate_inp.bias", ffn.experts.router_bias, VB_ONE, VB_EXPERTS, true),
    VB_EXPERT_SLOT("ffn_gate_exps.bias", b_gate, VB_ONE, VB_EXPERT_FFN, true),
    VB_EXPERT_SLOT("ffn_up_exps.bias", b_up, VB_ONE, VB_EXPERT_FFN, true),
    VB_EXPERT_SLOT("ffn_down_exps.bias", b_down, VB_ONE, VB_DIM, true),
    {0},
};

static int plan(vb_hparams *h, vb_model *m) {
    vb_decoder_mixture(h, m, VB_ROUTER_SOFTMAX_CHOSEN, false);
    vb_decoder_rope(h, m, true, "rope.freq_base", 10000.0, true)->yarn_between = true;
    const int window = vb_decoder_window(h, m);
    for (int layer = 0; layer < m->info.n_layers && h->rc == VB_OK; layer++) {
        vb_layer *l = &m->layers[layer];
        if (vb_decoder_is_local(h, layer, 2)) l->attn.window = window;
        l->ffn.gate = VB_SWIGLU_CLAMPED;
    }
    return h->rc;
}

const vb_arch vb_arch_gpt_oss = {
    .name = "gpt-oss",
    .layer = (const vb_slot *const[]){vb_decoder_attention, vb_decoder_qkv_biases, vb_decoder_experts,
                                      tensors, NULL},
    .globals = (const vb_slot *const[]){vb_decoder_globals, NULL},
    .plan = plan,
};
