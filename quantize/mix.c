/* mix.c - the table of mixes and the rules. The rules are those that llama.cpp's quantiser applies to
 * llama-like models (src/llama-quant.cpp: facts, restated); what is left out is in docs/quantize.md. */
#include "quantize/mix.h"

#include <string.h>

/* Numbers of general.file_type: the GGUF specification (ggml, docs/gguf.md), and llama.h for BF16. A plain K
 * type with its output in Q6_K is what that list calls "small". */
static const vb_mix mixes[] = {
    {"F16", VB_F16, VB_F16, VB_F16, false, 1},       {"BF16", VB_BF16, VB_BF16, VB_BF16, false, 32},
    {"Q8_0", VB_Q8_0, VB_Q8_0, VB_Q8_0, false, 7},   {"Q4_0", VB_Q4_0, VB_Q6_K, VB_Q4_0, false, 2},
    {"Q4_1", VB_Q4_1, VB_Q6_K, VB_Q4_1, false, 3},   {"Q5_0", VB_Q5_0, VB_Q6_K, VB_Q5_0, false, 8},
    {"Q5_1", VB_Q5_1, VB_Q6_K, VB_Q5_1, false, 9},   {"Q4_K", VB_Q4_K, VB_Q6_K, VB_Q4_K, false, 14},
    {"Q5_K", VB_Q5_K, VB_Q6_K, VB_Q5_K, false, 16},  {"Q6_K", VB_Q6_K, VB_Q6_K, VB_Q6_K, false, 18},
    {"Q4_K_M", VB_Q4_K, VB_Q6_K, VB_Q5_K, true, 15}, {"Q5_K_M", VB_Q5_K, VB_Q6_K, VB_Q6_K, true, 17},
};
enum { N_MIXES = sizeof mixes / sizeof mixes[0] };

static bool same_name(const char *a, const char *b) {
    for (; *a && *b; a++, b++) {
        const char upper = *b >= 'a' && *b <= 'z' ? (char)(*b - 'a' + 'A') : *b;
        if (*a != upper) return false;
    }
    return *a == *b;
}

const vb_mix *vb_mix_find(const char *name) {
    for (int i = 0; name && i < N_MIXES; i++) {
        if (same_name(mixes[i].name, name)) return &mixes[i];
    }
    return NULL;
}

const char *const *vb_quantize_types(void) {
    static const char *const names[] = {"F16",  "BF16", "Q8_0",   "Q6_K", "Q5_1", "Q5_K_M", "Q5_K",
                                        "Q5_0", "Q4_1", "Q4_K_M", "Q4_K", "Q4_0", NULL};
    return names;
}

/* N of "blk.N.rest", and where rest starts; -1 when the name is of another form (N beyond six digits is). */
static int layer_of(const char *name, const char **rest) {
    if (strncmp(name, "blk.", 4)) return -1;
    int n = 0, digits = 0;
    const char *at = name + 4;
    for (; *at >= '0' && *at <= '9' && digits < 6; at++, digits++) n = 10 * n + (*at - '0');
    if (!digits || *at != '.') return -1;
    *rest = at + 1;
    return n;
}

vb_mix_model vb_mix_model_of(const vb_gguf *g) {
    vb_mix_model model = {vb_gguf_find_tensor(g, "output.weight") == NULL, 0};
    for (size_t i = 0; i < vb_gguf_tensor_count(g); i++) {
        const char *rest;
        const int layer = layer_of(vb_gguf_tensor(g, i)->name, &rest);
        if (layer >= model.n_layers) model.n_layers = layer + 1;
    }
    return model;
}

bool vb_mix_is_matrix(const char *name, int n_dims) {
    static const char *const roles[] = {"attn_q",        "attn_k",        "attn_v",        "attn_qkv",
                                        "attn_output",   "ffn_gate",      "ffn_up",        "ffn_down",
                                        "ffn_gate_exps", "ffn_up_exps",   "ffn_down_exps", "ffn_gate_shexp",
                                        "ffn_up_shexp",  "ffn_down_shexp"};
    const char *rest;
    if (n_dims < 2) return false;
    if (!strcmp(name, "token_embd.weight") || !strcmp(name, "output.weight")) return true;
    if (layer_of(name, &rest) < 0) return false;
    for (size_t i = 0; i < sizeof roles / sizeof roles[0]; i++) {
        const size_t len = strlen(roles[i]);
        if (!strncmp(rest, roles[i], len) && !strcmp(rest + len, ".weight")) return true;
    }
    return false;
}

bool vb_mix_more_bits(int layer, int n_layers) {
    const int eighth = n_layers / 8;
    return layer < eighth || layer >= 7 * n_layers / 8 || (layer - eighth) % 3 == 2;
}

vb_type vb_mix_wanted(const vb_mix *mix, bool pure, const vb_mix_model *model, const char *name) {
    const char *rest;
    if (pure) return mix->base;
    if (!strcmp(name, model->tied ? "token_embd.weight" : "output.weight")) return mix->output;
    const int layer = layer_of(name, &rest);
    if (layer < 0) return mix->base;
    if (!strcmp(rest, "attn_qkv.weight")) return mix->qkv;
    const bool heavy = !strcmp(rest, "attn_v.weight") || !strncmp(rest, "ffn_down", 8);
    return mix->more && heavy && vb_mix_more_bits(layer, model->n_layers) ? VB_Q6_K : mix->base;
}

vb_type vb_mix_fallback(vb_type wanted, uint64_t row) {
    vb_type type = wanted;
    while (row % (uint64_t)vb_type_block_values((int)type)) {
        switch (type) {
        case VB_Q4_K: type = VB_Q5_0; break;
        case VB_Q5_K: type = VB_Q5_1; break;
        case VB_Q6_K: type = VB_Q8_0; break;
        default: type = VB_F16; break;
        }
    }
    return type;
}
