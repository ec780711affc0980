/* gemma3.c - Gemma 3, 270M to 27B (text): norms before and after either half of a layer, GELU, an embedding
 * that is made sqrt(dim) times as long, and five layers with a window and a RoPE table of their own for every
 * one that sees all. The norms' weights are used as they are: converters have added 1.
 *
 * Reference: Gemma Team 2503.19786; the publisher's code (transformers, models/gemma3). */
#include "ref/arch/arch.h"

#include <math.h>

static const vb_slot post_norms[] = {
    VB_LAYER_SLOT("post_attention_norm.weight", post_attn_norm, VB_ONE, VB_DIM, true),
    VB_LAYER_SLOT("post_ffw_norm.weight", post_ffn_norm, VB_ONE, VB_DIM, true),
    {0},
};

enum { FULL, LOCAL }; /* RoPE tables */

static int plan(vb_hparams *h, vb_model *m) {
    const vb_model_info *i = &m->info;
    vb_decoder_sizes(h, m);
    vb_decoder_rope(h, m, true, "rope.freq_base", 10000.0, true);
    vb_decoder_rope(h, m, true, "rope.freq_base_swa", 10000.0, false);
    const bool windows = vb_hparams_int(h, "attention.sliding_window", 0, 0, INT64_MAX) > 0;
    const int window = vb_decoder_window(h, m);
    m->embd_scale = sqrt((double)i->dim);
    m->logit_softcap = (float)vb_hparams_float(h, "final_logit_softcapping", 0.0, 0.0, 1e6);
    for (int layer = 0; layer < i->n_layers && h->rc == VB_OK; layer++) {
        vb_layer *l = &m->layers[layer];
        const bool local = vb_decoder_is_local(h, layer, 6) && windows;
        l->attn.rope = local ? LOCAL : FULL;
        l->attn.window = local ? window : 0;
        l->ffn.gate = VB_GEGLU;
        /* The 27B model alone scales by the width per head instead of the head's size. */
        const int per_head = i->dim / i->n_heads;
        if (i->n_layers == 62) l->attn.scale = 1.0f / sqrtf((float)per_head);
    }
    return h->rc;
}

const vb_arch vb_arch_gemma3 = {
    .name = "gemma3",
    .layer = (const vb_slot *const[]){vb_decoder_attention, vb_decoder_ffn, vb_decoder_head_norms, post_norms,
                                      NULL},
    .globals = (const vb_slot *const[]){vb_decoder_globals, NULL},
    .plan = plan,
};
