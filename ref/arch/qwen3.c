/* qwen3.c - Qwen3: the plain decoder with RoPE over halves; each head of queries and keys is normalised
 * before it is turned. */
#include "ref/arch/arch.h"

static int plan(vb_hparams *h, vb_model *m) {
    vb_decoder_sizes(h, m);
    vb_decoder_rope(h, m, true, "rope.freq_base", 10000.0, true);
    /* The publisher's window holds from some layer on, and the file does not say which: contexts that the
     * window would cut are refused. */
    const int window = vb_decoder_window(h, m);
    if (window) m->info.n_ctx = window;
    return h->rc;
}

const vb_arch vb_arch_qwen3 = {
    .name = "qwen3",
    .layer = (const vb_slot *const[]){vb_decoder_attention, vb_decoder_ffn, vb_decoder_head_norms,
                                      vb_decoder_biases, NULL},
    .globals = (const vb_slot *const[]){vb_decoder_globals, NULL},
    .plan = plan,
};
