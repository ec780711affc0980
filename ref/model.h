/* model.h - the weights of a model, bound to the mapped file, and the numbers that shape its forward pass.
 * Internal.
 *
 * Every architecture here is the same pre-norm decoder with RMSNorm, RoPE, grouped-query attention and
 * SwiGLU; a row of the architecture table says in what they differ. Shapes are written (rows, columns); a
 * matrix of shape (n, m) maps m inputs to n outputs and lies in the file row by row.
 */
#ifndef VB_MODEL_H
#define VB_MODEL_H

#include "kernels.h"

typedef struct vb_arch {
    const char *name;
    bool rope_halves; /* RoPE rotates (j, j + rot/2), else (2j, 2j+1) */
    bool qkv_bias;    /* attn_q.bias, attn_k.bias, attn_v.bias must be there; elsewhere they may be */
    bool qk_norm;     /* RMSNorm over each head of q and k before RoPE */
    bool rope_freqs;  /* a tensor rope_freqs.weight may be there */
} vb_arch;

/* Biases are NULL where the file has none. All vectors are float32. */
typedef struct vb_layer {
    const float *attn_norm;              /* (dim) */
    vb_matrix wq, wk, wv;                /* (heads*head_dim, dim), (kv_heads*head_dim, dim) twice */
    const float *bq, *bk, *bv;           /* (heads*head_dim), (kv_heads*head_dim) twice */
    const float *q_norm, *k_norm;        /* (head_dim); NULL unless arch->qk_norm */
    vb_matrix wo;                        /* (dim, heads*head_dim) */
    const float *bo;                     /* (dim) */
    const float *ffn_norm;               /* (dim) */
    vb_matrix w_gate, w_up, w_down;      /* (ffn_dim, dim) twice, (dim, ffn_dim) */
    const float *b_gate, *b_up, *b_down; /* (ffn_dim) twice, (dim) */
} vb_layer;

struct vb_model {
    const vb_gguf *gguf;
    const vb_arch *arch;
    vb_model_info info;
    char *name; /* info.name */

    float eps;         /* of RMSNorm */
    float attn_scale;  /* 1/sqrt(head_dim) */
    int rot;           /* values of a head that RoPE turns, even */
    double rope_scale; /* positions are multiplied by it: 1, or 1/factor under linear scaling */
    double *rope_freq; /* (rot/2): base^(-2j/rot), divided by rope_freqs.weight[j] if there is one */

    vb_matrix embd;           /* (n_vocab, dim) */
    vb_matrix output;         /* (n_vocab, dim); embd where the file ties them */
    const float *output_norm; /* (dim) */
    vb_layer *layers;         /* (n_layers) */

    /* The interleaved copies that the matrices' `packed` point into (simd/repack_model.c), or NULL. */
    void *packed;
    uint64_t packed_bytes;
    void (*free_packed)(void *packed, uint64_t bytes);
};

/* cos and sin of the angles (position*rope_scale)*rope_freq[j], computed in float64, each rounded once:
 * (rot/2). */
void vb_rope_angles(const vb_model *m, int position, float *cosine, float *sine);

#endif
