/* llama.c - Llama 1 to 3.3, Mistral, TinyLlama, SmolLM and others: the plain decoder, with RoPE over
 * neighbouring values and, in Llama 3.1 and later, a factor for each of its frequencies. */
#include "ref/arch/arch.h"

static const vb_slot rope_factors[] = {
    VB_GLOBAL_SLOT("rope_freqs.weight", rope_freqs, VB_ONE, VB_HALF_ROT, false),
    {0},
};

static int plan(vb_hparams *h, vb_model *m) {
    return vb_decoder_plan(h, m, false);
}

const vb_arch vb_arch_llama = {
    .name = "llama",
    .layer = (const vb_slot *const[]){vb_decoder_layer, vb_decoder_biases, NULL},
    .globals = (const vb_slot *const[]){vb_decoder_globals, rope_factors, NULL},
    .plan = plan,
};
