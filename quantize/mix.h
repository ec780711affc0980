/* mix.h - which type every tensor of a model gets: the usual mixes of types, and the fallback where rows are
 * no whole blocks. Pure functions of names and shapes. */
#ifndef VB_MIX_H
#define VB_MIX_H

#include "include/verbatim.h"

typedef struct vb_mix {
    const char *name;   /* "Q4_K_M" */
    vb_type base;       /* of most matrices */
    vb_type output;     /* of the output matrix (token_embd where it plays that part) */
    vb_type qkv;        /* of fused attn_qkv */
    bool more;          /* some attn_v and ffn_down in Q6_K */
    uint32_t file_type; /* general.file_type: the number that says "mostly this" */
} vb_mix;

/* The mix of that name (in either case); NULL if there is none. */
const vb_mix *vb_mix_find(const char *name);

/* What a mix needs to know about a model. */
typedef struct vb_mix_model {
    bool tied;    /* no output.weight */
    int n_layers; /* one more than the largest N in names "blk.N." */
} vb_mix_model;

vb_mix_model vb_mix_model_of(const vb_gguf *g);

/* True for the tensors that are quantised: token_embd, output, and the attention and feed-forward matrices of
 * the layers, with two or more dimensions. All others (norms, biases, routers, RoPE factors, tensors of a
 * role not known here) stay as they are. */
bool vb_mix_is_matrix(const char *name, int n_dims);

/* The type of a matrix before row lengths are looked at. */
vb_type vb_mix_wanted(const vb_mix *mix, bool pure, const vb_mix_model *model, const char *name);

/* The type for rows of that length: `wanted`, or what stands in for it. 256-value blocks give way to 32-value
 * ones (Q4_K to Q5_0, Q5_K to Q5_1, Q6_K to Q8_0), and those to F16. */
vb_type vb_mix_fallback(vb_type wanted, uint64_t row);

/* True for the layers whose attn_v and ffn_down get more bits in a mix: the first eighth, the last eighth,
 * and every third one between. */
bool vb_mix_more_bits(int layer, int n_layers);

#endif
