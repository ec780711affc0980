/* phi3.c - Phi-3, 3.5, 4 and 4-mini: queries, keys and values in one tensor, gate and up in another; RoPE
 * over halves, over a part of the head only in 4-mini; a window in every layer in Phi-3-mini; longrope in
 * the models for 128,000 positions.
 *
 * References: Phi-3: 2404.14219; LongRoPE: 2402.13753; the publisher's code (transformers, models/phi3). */
#include "ref/arch/arch.h"

static const vb_slot fused[] = {
    VB_LAYER_SLOT("attn_norm.weight", attn_norm, VB_ONE, VB_DIM, true),
    VB_LAYER_SLOT("attn_qkv.weight", attn.wq, VB_QUERY, VB_DIM, true),
    VB_LAYER_SLOT("attn_qkv.weight", attn.wk, VB_KEY, VB_DIM, true),
    VB_LAYER_SLOT("attn_qkv.weight", attn.wv, VB_KEY, VB_DIM, true),
    VB_LAYER_SLOT("attn_output.weight", attn.wo, VB_DIM, VB_QUERY, true),
    VB_LAYER_SLOT("ffn_norm.weight", ffn_norm, VB_ONE, VB_DIM, true),
    VB_LAYER_SLOT("ffn_up.weight", ffn.w_gate, VB_FFN, VB_DIM, true),
    VB_LAYER_SLOT("ffn_up.weight", ffn.w_up, VB_FFN, VB_DIM, true),
    VB_LAYER_SLOT("ffn_down.weight", ffn.w_down, VB_DIM, VB_FFN, true),
    {0},
};

static int plan(vb_hparams *h, vb_model *m) {
    vb_decoder_sizes(h, m);
    vb_decoder_longrope(h, m);
    const int window = vb_decoder_window(h, m);
    for (int i = 0; i < m->info.n_layers && h->rc == VB_OK; i++) m->layers[i].attn.window = window;
    return h->rc;
}

const vb_arch vb_arch_phi3 = {
    .name = "phi3",
    .layer = (const vb_slot *const[]){fused, NULL},
    .globals = (const vb_slot *const[]){vb_decoder_globals, vb_decoder_long_factors, NULL},
    .plan = plan,
};
