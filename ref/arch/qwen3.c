/* qwen3.c - Qwen3: the plain decoder with RoPE over halves; each head of queries and keys is normalised
 * before it is turned. */
#include "ref/arch/arch.h"

static const vb_slot head_norms[] = {
    VB_LAYER_SLOT("attn_q_norm.weight", attn.q_norm, VB_ONE, VB_HEAD, true),
    VB_LAYER_SLOT("attn_k_norm.weight", attn.k_norm, VB_ONE, VB_HEAD, true),
    {0},
};

static int plan(vb_hparams *h, vb_model *m) {
    return vb_decoder_plan(h, m, true);
}

const vb_arch vb_arch_qwen3 = {
    .name = "qwen3",
    .layer = (const vb_slot *const[]){vb_decoder_layer, head_norms, vb_decoder_biases, NULL},
    .globals = (const vb_slot *const[]){vb_decoder_globals, NULL},
    .plan = plan,
};
