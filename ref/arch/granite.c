/* granite.c - Granite 3 mixtures of experts (granitemoe): the plain decoder with four multipliers: of the
 * embedding, of what each half layer adds, of the attention's scores, and a divisor of the logits.
 *
 * Reference: the publisher's code (transformers, models/granitemoe). */
#include "ref/arch/arch.h"

#include <math.h>

/* 0 stands for "none" in some files. */
static double multiplier(vb_hparams *h, const char *key) {
    const double x = vb_hparams_float(h, key, 1.0, 0.0, 1e6);
    return x != 0.0 ? x : 1.0;
}

static int plan(vb_hparams *h, vb_model *m) {
    vb_decoder_mixture(h, m, VB_ROUTER_SOFTMAX_CHOSEN, false);
    vb_decoder_share(h, m, vb_hparams_int(h, "expert_shared_feed_forward_length", 0, 0, VB_MAX_WIDTH));
    vb_decoder_rope(h, m, false, "rope.freq_base", 10000.0, true);
    m->embd_scale = multiplier(h, "embedding_scale");
    m->residual_scale = (float)multiplier(h, "residual_scale");
    m->logit_divisor = (float)multiplier(h, "logit_scale");
    const double scale = vb_hparams_float(h, "attention.scale", 0.0, 0.0, 1e6);
    for (int layer = 0; layer < m->info.n_layers && h->rc == VB_OK; layer++) {
        if (scale > 0.0) m->layers[layer].attn.scale = (float)scale;
    }
    return h->rc;
}

const vb_arch vb_arch_granitemoe = {
    .name = "granitemoe",
    .layer = (const vb_slot *const[]){vb_decoder_attention, vb_decoder_ffn, vb_decoder_experts,
                                      vb_decoder_shared_expert, NULL},
    .globals = (const vb_slot *const[]){vb_decoder_globals, NULL},
    .plan = plan,
};
