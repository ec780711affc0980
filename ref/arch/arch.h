/* arch.h - an architecture is data: the tensors that it has, and a function that reads its metadata keys and
 * fills in the plan of every layer (model.h). Nothing outside ref/arch/ and the binding of tensors
 * (ref/model.c) looks at an architecture, so a new one is one file here and its line in arch.c.
 *
 * Keys and tensors belong to the architecture that names them. Whatever else a file carries under the
 * architecture's name, or as a tensor, is refused: it would change the output if it were used (P6). */
#ifndef VB_ARCH_H
#define VB_ARCH_H

#include "ref/hparams.h"

/* Sizes of tensors, taken from the model's numbers and the layer's plan. */
typedef enum vb_extent {
    VB_ONE,
    VB_DIM,
    VB_QUERY,      /* n_heads*head_dim */
    VB_KEY,        /* n_kv_heads*head_dim */
    VB_HEAD,       /* head_dim */
    VB_FFN,        /* ffn.dim of a layer without experts */
    VB_VOCAB,      /* n_vocab */
    VB_HALF_ROT,   /* rot/2 of the first RoPE table */
    VB_HEADS,      /* n_heads */
    VB_DENSE_DIM,  /* dim, in a layer without experts */
    VB_EXPERTS,    /* experts.n */
    VB_EXPERT_FFN, /* experts.dim */
    VB_SHARED_DIM, /* dim, in a layer with a shared expert */
    VB_SHARED_FFN  /* ffn.dim of a layer with experts: of the shared one */
} vb_extent;

/* One tensor of a layer ("blk.N." stands before its name) or of the model. Slots of one name that follow one
 * another share a tensor: the first takes its first rows, the next one those behind, and together they take
 * all (fused queries, keys and values). A slot one of whose extents is 0 in a layer's plan is none of that
 * layer: there its tensor is neither required nor known. */
typedef struct vb_slot {
    const char *name;
    size_t offset; /* of a vb_matrix, or with rows = VB_ONE of a const float *, in vb_layer or vb_globals */
    vb_extent rows, cols;
    bool required;
    /* VB_EXPERTS: the tensor has one more dimension, and `offset` is that of a vb_matrix *, for as many
     * matrices one behind the other (with rows = VB_ONE still a const float *). */
    vb_extent depth;
} vb_slot;

/* The tensors outside the layers, while a model is opened. */
typedef struct vb_globals {
    vb_matrix embd, output; /* output.data NULL: tied */
    const float *output_norm, *output_norm_bias, *output_bias;
    const float *rope_freqs;             /* factors of the first RoPE table */
    const float *rope_short, *rope_long; /* longrope: those of its two tables */
} vb_globals;

struct vb_arch {
    const char *name;
    const vb_slot *const *layer;   /* tables of slots, NULL at the end; each table ends with name NULL */
    const vb_slot *const *globals; /* likewise */
    /* Reads the keys, allocates m->layers and fills in every number of m and of its layers. Tensors come
     * later. Returns h->rc. */
    int (*plan)(vb_hparams *h, vb_model *m);
};

/* The architecture that the file names. VB_ERR_UNSUPPORTED lists those that are known. */
int vb_arch_find(const vb_gguf *g, const vb_arch **out, vb_error *err);

/* bind.c: the file's tensors to their places in m's layers and in *g. */
int vb_bind(vb_model *m, vb_globals *g, vb_error *err);

/* clang-format off */
#define VB_LAYER_SLOT(name, field, rows, cols, required) \
    {name, offsetof(vb_layer, field), rows, cols, required, VB_ONE}
#define VB_EXPERT_SLOT(name, field, rows, cols, required) \
    {name, offsetof(vb_layer, ffn.experts.field), rows, cols, required, VB_EXPERTS}
#define VB_GLOBAL_SLOT(name, field, rows, cols, required) \
    {name, offsetof(vb_globals, field), rows, cols, required, VB_ONE}
/* clang-format on */

/* decoder.c: what pre-norm decoders share. */
extern const vb_slot vb_decoder_attention[];     /* norm, queries, keys and values apart, output */
extern const vb_slot vb_decoder_ffn[];           /* norm, gate, up, down */
extern const vb_slot vb_decoder_experts[];       /* router, gate, up, down of all experts of a layer */
extern const vb_slot vb_decoder_shared_expert[]; /* gate, up, down */
extern const vb_slot vb_decoder_head_norms[];    /* of queries and keys */
extern const vb_slot vb_decoder_whole_norms[];   /* of all queries, of all keys */
extern const vb_slot vb_decoder_qkv_biases[];    /* of queries, keys and values, required */
extern const vb_slot vb_decoder_choice_bias[];   /* of experts, where they are chosen */
extern const vb_slot vb_decoder_biases[];        /* of every matrix, each optional */
extern const vb_slot vb_decoder_long_factors[];  /* of longrope's two tables */
extern const vb_slot vb_decoder_globals[]; /* embedding, output norm, output matrix where it is not tied */
/* The sizes; allocates the layers and gives each the same plan: SwiGLU, the first RoPE table, no window. */
void vb_decoder_sizes(vb_hparams *h, vb_model *m);
/* The same for a mixture of experts in every layer, whose router is of this kind if the file does not say. */
void vb_decoder_mixture(vb_hparams *h, vb_model *m, vb_router_kind kind, bool normalise);
/* After it: the first layers are dense, as many as leading_dense_block_count says. */
void vb_decoder_leading_dense(vb_hparams *h, vb_model *m);
/* After both: layers with experts have a shared one of this length; 0: none. */
void vb_decoder_share(vb_hparams *h, vb_model *m, int64_t length);
/* decoder_rope.c. The next RoPE table, with the base of this key and, if `scaled`, what the file says about
 * scaling. The first table is the one that vb_rope_params are about. */
vb_rope *vb_decoder_rope(vb_hparams *h, vb_model *m, bool halves, const char *base_key, double base,
                         bool scaled);
/* The next RoPE table over halves, or the next two: longrope, where the file has its factors. */
void vb_decoder_longrope(vb_hparams *h, vb_model *m);
/* Whether a layer has the window: as attention.sliding_window_pattern says, one truth value per layer or a
 * period; otherwise all but every `period`-th have it. */
bool vb_decoder_is_local(vb_hparams *h, int layer, uint64_t period);
/* The window that the file gives, or 0. */
int vb_decoder_window(vb_hparams *h, const vb_model *m);

extern const vb_arch vb_arch_llama, vb_arch_qwen2, vb_arch_qwen3, vb_arch_qwen2moe, vb_arch_qwen3moe,
    vb_arch_gemma3, vb_arch_phi3, vb_arch_gpt_oss, vb_arch_granitemoe, vb_arch_olmoe, vb_arch_glm4moe,
    vb_arch_ernie4_5_moe, vb_arch_minimax_m2, vb_arch_phimoe;

#endif
