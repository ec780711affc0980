/* phimoe.c - Phi-3.5-MoE: LayerNorms with a bias, biases of attention and of the output, two experts of 16
 * chosen by SparseMixer (router.c), longrope, and a window in every layer if the file gives one.
 *
 * longrope's table is chosen by the context's size, as in phi3.c, and its mscale, for both tables, is the
 * file's rope.scaling.attn_factor. The publisher's configuration names a number for each table
 * (short_mscale, long_mscale: 1.2431631 twice); the published converter writes what phi3's formula gives
 * instead (1.1902381). The file's word is taken.
 *
 * References: Phi-3: 2404.14219; GRIN: 2409.12136; the publisher's code (transformers, models/phimoe). */
#include "ref/arch/arch.h"

static const vb_slot tensors[] = {
    VB_LAYER_SLOT("attn_norm.bias", attn_norm_bias, VB_ONE, VB_DIM, true),
    VB_LAYER_SLOT("attn_q.bias", attn.bq, VB_ONE, VB_QUERY, false),
    VB_LAYER_SLOT("attn_k.bias", attn.bk, VB_ONE, VB_KEY, false),
    VB_LAYER_SLOT("attn_v.bias", attn.bv, VB_ONE, VB_KEY, false),
    VB_LAYER_SLOT("attn_output.bias", attn.bo, VB_ONE, VB_DIM, false),
    VB_LAYER_SLOT("ffn_norm.weight", ffn_norm, VB_ONE, VB_DIM, true),
    VB_LAYER_SLOT("ffn_norm.bias", ffn_norm_bias, VB_ONE, VB_DIM, true),
    {0},
};

static const vb_slot globals[] = {
    VB_GLOBAL_SLOT("output_norm.bias", output_norm_bias, VB_ONE, VB_DIM, true),
    VB_GLOBAL_SLOT("output.bias", output_bias, VB_ONE, VB_VOCAB, false),
    {0},
};

static int plan(vb_hparams *h, vb_model *m) {
    vb_decoder_mixture(h, m, VB_ROUTER_SPARSE_MIXER, false);
    m->layer_norm = true;
    if (h->rc == VB_OK && m->info.n_experts_used != 2)
        vb_hparams_refuse(h, VB_ERR_UNSUPPORTED, "expert_used_count",
                          "other than 2 is not what SparseMixer chooses");
    vb_decoder_longrope(h, m);
    const int window = vb_decoder_window(h, m);
    for (int i = 0; i < m->info.n_layers && h->rc == VB_OK; i++) m->layers[i].attn.window = window;
    return h->rc;
}

const vb_arch vb_arch_phimoe = {
    .name = "phimoe",
    .layer = (const vb_slot *const[]){vb_decoder_attention, vb_decoder_experts, tensors, NULL},
    .globals = (const vb_slot *const[]){vb_decoder_globals, globals, vb_decoder_long_factors, NULL},
    .plan = plan,
};
