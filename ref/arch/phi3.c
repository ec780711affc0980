/* phi3.c - Phi-3, 3.5, 4 and 4-mini: queries, keys and values in one tensor, gate and up in another; RoPE
 * over halves, over a part of the head only in 4-mini; a window in every layer in Phi-3-mini; longrope in
 * the models for 128,000 positions.
 *
 * longrope has two tables of factors for the frequencies. transformers takes the table by the number of
 * positions that the sequence has at present, so that the keys in a cache are of one table and new ones of
 * the other; here the context's size decides, once. mscale holds for either table.
 *
 * References: Phi-3: 2404.14219; LongRoPE: 2402.13753; the publisher's code (transformers, models/phi3). */
#include "ref/arch/arch.h"

#include <string.h>

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

static const vb_slot long_factors[] = {
    VB_GLOBAL_SLOT("rope_factors_short.weight", rope_short, VB_ONE, VB_HALF_ROT, false),
    VB_GLOBAL_SLOT("rope_factors_long.weight", rope_long, VB_ONE, VB_HALF_ROT, false),
    {0},
};

static int plan(vb_hparams *h, vb_model *m) {
    vb_decoder_sizes(h, m);
    vb_rope *rope = vb_decoder_rope(h, m, true, "rope.freq_base", 10000.0, false);
    if (vb_hparams_find(h, "rope.scaling.type") && !vb_hparams_is(h, "rope.scaling.type", "longrope") &&
        !vb_hparams_is(h, "rope.scaling.type", "none"))
        vb_hparams_refuse(h, VB_ERR_UNSUPPORTED, "rope.scaling.type",
                          "other than \"none\" and \"longrope\" is not supported");
    rope->mscale = vb_hparams_float(h, "rope.scaling.attn_factor", 1.0, 1e-3, 1e3);
    rope->long_from =
        (int)vb_hparams_int(h, "rope.scaling.original_context_length", m->info.n_ctx, 1, VB_MAX_CONTEXT);
    const int window = vb_decoder_window(h, m);
    for (int i = 0; i < m->info.n_layers && h->rc == VB_OK; i++) m->layers[i].attn.window = window;
    return h->rc;
}

const vb_arch vb_arch_phi3 = {
    .name = "phi3",
    .layer = (const vb_slot *const[]){fused, NULL},
    .globals = (const vb_slot *const[]){vb_decoder_globals, long_factors, NULL},
    .plan = plan,
};
