/* qwen2.c - Qwen2, Qwen2.5, QwQ: the plain decoder with RoPE over halves; queries, keys and values always
 * have a bias. */
#include "ref/arch/arch.h"

/* Before the optional ones, so that these are found first. */
static const vb_slot biases[] = {
    VB_LAYER_SLOT("attn_q.bias", attn.bq, VB_ONE, VB_QUERY, true),
    VB_LAYER_SLOT("attn_k.bias", attn.bk, VB_ONE, VB_KEY, true),
    VB_LAYER_SLOT("attn_v.bias", attn.bv, VB_ONE, VB_KEY, true),
    {0},
};

static int plan(vb_hparams *h, vb_model *m) {
    return vb_decoder_plan(h, m, true);
}

const vb_arch vb_arch_qwen2 = {
    .name = "qwen2",
    .layer = (const vb_slot *const[]){vb_decoder_layer, biases, vb_decoder_biases, NULL},
    .globals = (const vb_slot *const[]){vb_decoder_globals, NULL},
    .plan = plan,
};
