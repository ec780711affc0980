/* qwen.c - Qwen2, Qwen2.5, QwQ (qwen2), Qwen3 (qwen3) and its mixtures of experts (qwen3moe): the plain
 * decoder with RoPE over halves. In qwen2 queries, keys and values always have a bias; in the others each
 * head of queries and keys is normalised before it is turned. */
#include "ref/arch/arch.h"

/* Before the optional ones, so that these are found first. */
static const vb_slot biases[] = {
    VB_LAYER_SLOT("attn_q.bias", attn.bq, VB_ONE, VB_QUERY, true),
    VB_LAYER_SLOT("attn_k.bias", attn.bk, VB_ONE, VB_KEY, true),
    VB_LAYER_SLOT("attn_v.bias", attn.bv, VB_ONE, VB_KEY, true),
    {0},
};

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

const vb_arch vb_arch_qwen2 = {
    .name = "qwen2",
    .layer = (const vb_slot *const[]){vb_decoder_attention, vb_decoder_ffn, biases, vb_decoder_biases, NULL},
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
