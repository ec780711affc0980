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

/* Which layers have the window: all but every `period`-th, or one truth value per layer. */
static bool is_local(vb_hparams *h, const vb_meta *pattern, int layer) {
    bool local = false;
    uint64_t period = 6;
    if (pattern && pattern->type == VB_VALUE_ARRAY) {
        if (!vb_meta_bool(pattern, (uint64_t)layer, &local))
            vb_hparams_refuse(h, VB_ERR_FORMAT, "attention.sliding_window_pattern",
                              "has no truth value for every layer");
        return local;
    }
    if (pattern && (!vb_meta_u64(pattern, 0, &period) || period < 1))
        vb_hparams_refuse(h, VB_ERR_FORMAT, "attention.sliding_window_pattern", "is not a positive integer");
    return period > 1 && (uint64_t)layer % period != period - 1;
}

static int plan(vb_hparams *h, vb_model *m) {
    const vb_model_info *i = &m->info;
    vb_decoder_sizes(h, m);
    vb_decoder_rope(h, m, true, "rope.freq_base", 10000.0, true);
    vb_decoder_rope(h, m, true, "rope.freq_base_swa", 10000.0, false);
    const bool windows = vb_hparams_int(h, "attention.sliding_window", 0, 0, INT64_MAX) > 0;
    const int window = vb_decoder_window(h, m);
    const vb_meta *pattern = vb_hparams_find(h, "attention.sliding_window_pattern");
    m->embd_scale = (float)sqrt((double)i->dim);
    m->logit_softcap = (float)vb_hparams_float(h, "final_logit_softcapping", 0.0, 0.0, 1e6);
    for (int layer = 0; layer < i->n_layers && h->rc == VB_OK; layer++) {
        vb_layer *l = &m->layers[layer];
        const bool local = windows && is_local(h, pattern, layer);
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
