/* llama.c - Llama 1 to 3.3, Mistral, TinyLlama, SmolLM and others: the plain decoder, with RoPE over
 * neighbouring values and, in Llama 3.1 and later, a factor for each of its frequencies. Mistral 7B v0.1
 * gives a window, which its publisher applies in every layer. Mixtral is a mixture of experts. */
#include "ref/arch/arch.h"

static const vb_slot rope_factors[] = {
    VB_GLOBAL_SLOT("rope_freqs.weight", rope_freqs, VB_ONE, VB_HALF_ROT, false),
    {0},
};

static int plan(vb_hparams *h, vb_model *m) {
    const vb_meta *experts = vb_hparams_find(h, "expert_count");
    uint64_t n = 0;
    if (experts && vb_meta_u64(experts, 0, &n) && n > 0)
        vb_decoder_mixture(h, m, VB_ROUTER_SOFTMAX, true);
    else
        vb_decoder_sizes(h, m);
    vb_decoder_rope(h, m, false, "rope.freq_base", 10000.0, true);
    const int window = vb_decoder_window(h, m);
    for (int i = 0; i < m->info.n_layers && h->rc == VB_OK; i++) m->layers[i].attn.window = window;
    return h->rc;
}

const vb_arch vb_arch_llama = {
    .name = "llama",
    .layer = (const vb_slot *const[]){vb_decoder_attention, vb_decoder_ffn, vb_decoder_biases,
                                      vb_decoder_experts, NULL},
    .globals = (const vb_slot *const[]){vb_decoder_globals, rope_factors, NULL},
    .plan = plan,
};
