/* model.h - the weights of a model, bound to the mapped file, and the plan of each layer: what is done, in
 * numbers and matrices. Internal.
 *
 * The pass (forward.c, attention.c, ffn.c) and the oracle walk these plans and never ask which architecture
 * a file is of; that is known to ref/arch/ alone, which fills the plans in. NULL and neutral numbers mean
 * "not done". Shapes are written (rows, columns); a matrix of shape (n, m) maps m inputs to n outputs and
 * lies in the file row by row. All vectors are float32.
 */
#ifndef VB_MODEL_H
#define VB_MODEL_H

#include "base/once.h"
#include "ref/kernels.h"

/* Limits, far above the models in use, that keep every product of two of these in range. */
enum {
    VB_MAX_LAYERS = 4096,
    VB_MAX_WIDTH = 1 << 20, /* dim, ffn_dim, heads*head_dim */
    VB_MAX_HEADS = 1 << 16,
    VB_MAX_CONTEXT = 1 << 24,
    VB_MAX_VOCAB = 1 << 24,
    VB_MAX_EXPERTS = 4096,
    VB_MAX_EXPERTS_USED = 256,
    VB_MAX_EXPERT_GROUPS = 256,
};

/* A table of rotary position embeddings [Su 2104.09864]: pair j of a head is turned by the angle
 * (position*scale)*freq[j], and made mscale times as long. */
typedef struct vb_rope {
    int rot;      /* values of a head that are turned, even: rot/2 pairs; the values behind them stay */
    bool halves;  /* pairs are (j, j + rot/2), else (2j, 2j+1) */
    double base;  /* freq[j] = base^(-2j/rot), divided by the file's factor for j if there is one */
    double scale; /* positions are multiplied by it: 1, or 1/factor under linear scaling */
    double mscale;
    /* YaRN [Peng 2309.00071]: frequencies are blended with ones `yarn_factor` times lower; 0: none. */
    double yarn_factor, yarn_beta_fast, yarn_beta_slow;
    int yarn_from;     /* the context that the model was trained with at first */
    bool yarn_between; /* gpt-oss: the corners are not rounded to whole pairs */
    double yarn_ext;   /* how much of the blend is made: 1 */
    double *freq;      /* (rot/2) */
    /* longrope: a second table, for sequences whose context has room for more than long_from positions. NULL:
     * there is none. */
    double *freq_long;
    int long_from;
} vb_rope;

enum { VB_MAX_ROPES = 2 };

/* Attention with grouped heads [Ainslie 2305.13245]: query head h reads key head h / (n_heads/n_kv_heads). */
typedef struct vb_attn {
    int n_heads, n_kv_heads, head_dim;
    int window;                   /* a position sees itself and the window - 1 before it; 0: all before it */
    int rope;                     /* which of the model's tables */
    float scale;                  /* of the scores: 1/sqrt(head_dim) */
    const float *sinks;           /* (n_heads) a score without a value for each head, or NULL */
    vb_matrix wq, wk, wv;         /* (n_heads*head_dim, dim), (n_kv_heads*head_dim, dim) twice */
    const float *bq, *bk, *bv;    /* (n_heads*head_dim), (n_kv_heads*head_dim) twice, or NULL */
    const float *q_norm, *k_norm; /* (head_dim) RMSNorm over each head before RoPE, or NULL */
    bool norm_whole;              /* over all heads together: (n_heads*head_dim), (n_kv_heads*head_dim) */
    vb_matrix wo;                 /* (dim, n_heads*head_dim) */
    const float *bo;              /* (dim) or NULL */
} vb_attn;

/* The gated feed-forward part [Shazeer 2002.05202]: w_down (act(w_gate x) * w_up x). */
typedef enum vb_gate {
    VB_SWIGLU,        /* act(g) = g/(1 + e^-g) */
    VB_GEGLU,         /* GELU in its tanh form */
    VB_SWIGLU_CLAMPED /* gpt-oss: both sides clamped, and up + 1 for up (kernels.h) */
} vb_gate;

/* How a router's logits become the experts of a token and their weights. */
typedef enum vb_router_kind {
    VB_ROUTER_SOFTMAX,        /* probabilities over all experts; those of the chosen are their weights */
    VB_ROUTER_SIGMOID,        /* each expert's own */
    VB_ROUTER_SOFTMAX_CHOSEN, /* the logits choose, a softmax over those of the chosen weighs them */
    VB_ROUTER_SPARSE_MIXER    /* phimoe: two rounds, each a softmax over the logits near its largest */
} vb_router_kind;

/* A mixture of experts [Shazeer 1701.06538]: each token goes through the `used` best of n small networks, and
 * the sum of what they give, each times its weight, is the layer's (router.c). n = 0: no mixture. */
typedef struct vb_experts {
    int n, used;
    int dim; /* of an expert's hidden vector */
    vb_router_kind kind;
    bool normalise;           /* the weights of the chosen are divided by their sum */
    float scale;              /* and multiplied by this */
    int groups, groups_used;  /* the best experts of the best groups only; 1 of 1: of all */
    vb_matrix router;         /* (n, dim of the model) */
    const float *router_bias; /* (n) is added to its logits, or NULL */
    const float *choice_bias; /* (n) is added to the probabilities that choose, not to the weights, or NULL */
    vb_matrix *w_gate, *w_up, *w_down;   /* (n) matrices each; shapes as in vb_ffn, with experts.dim */
    const float *b_gate, *b_up, *b_down; /* (n, experts.dim) twice, (n, dim of the model), or NULL */
    size_t first;                        /* of its experts among all of the model's (experts_ready) */
} vb_experts;

/* Dense, or a mixture of experts, or a mixture and beside it a dense part that all tokens go through (the
 * shared expert). */
typedef struct vb_ffn {
    vb_gate gate;
    int dim;                             /* of the dense part's hidden vector; 0: there is no dense part */
    vb_matrix w_gate, w_up, w_down;      /* (ffn.dim, dim) twice, (dim, ffn.dim) */
    const float *b_gate, *b_up, *b_down; /* (ffn.dim) twice, (dim), or NULL */
    vb_experts experts;
    const float *shared_gate; /* (dim): the shared expert's part is multiplied by sigmoid(shared_gate x), or
                               * NULL */
} vb_ffn;

/* x += post_norm(attention(norm(x))); x += post_norm(ffn(norm(x))) */
typedef struct vb_layer {
    const float *attn_norm;      /* (dim) */
    const float *attn_norm_bias; /* (dim) or NULL; only under vb_model.layer_norm */
    vb_attn attn;
    const float *post_attn_norm; /* (dim) or NULL */
    const float *ffn_norm;       /* (dim) */
    const float *ffn_norm_bias;  /* as attn_norm_bias */
    vb_ffn ffn;
    const float *post_ffn_norm; /* (dim) or NULL */
} vb_layer;

/* Matrices that read the same vectors, and so are multiplied together. */
enum { VB_STAGE_MATRICES = 3 };
typedef struct vb_stage {
    vb_matrix *w[VB_STAGE_MATRICES];
    int n; /* 0: nothing to multiply here */
} vb_stage;

/* queries, keys and values; heads' output; gate and up of the dense part, and the router; down */
enum { VB_STAGES_PER_LAYER = 4 };

typedef struct vb_arch vb_arch; /* arch.h */

struct vb_model {
    const vb_gguf *gguf;
    const vb_arch *arch; /* for messages; no arithmetic looks at it */
    vb_model_info info;
    char *name;      /* info.name */
    char rope[256];  /* vb_model_rope, or "" */
    int more_layers; /* behind info.n_layers: those that guess further tokens, whose tensors are not read */

    float eps; /* of every norm */
    /* The norms before attention, before the feed-forward part and before the output are LayerNorms, with the
     * mean taken off; all others are RMSNorms. */
    bool layer_norm;
    vb_rope ropes[VB_MAX_ROPES];
    int n_ropes;
    vb_matrix embd;                              /* (n_vocab, dim) */
    double embd_scale;                           /* of the embedding: 1, sqrt(dim), granite's multiplier */
    float residual_scale;                        /* of what half a layer adds: 1, or granite's */
    vb_layer *layers;                            /* (n_layers) */
    const float *output_norm, *output_norm_bias; /* (dim); the bias as in a layer */
    vb_matrix output;                            /* (n_vocab, dim); embd where the file ties them */
    const float *output_bias;                    /* (n_vocab) is added to the logits, or NULL */
    float logit_divisor;                         /* of the logits: 1, or granite's */
    float logit_softcap;                         /* logits become c*tanh(logits/c); 0: they stay */

    /* All matrices that every vector is multiplied by, in the order of a pass: stages[0] is the first layer's
     * wq, wk, wv; the last one is output alone. With the experts of the layers' plans, this is the list of a
     * model's matrices: whoever interleaves, offloads or fetches weights ahead goes by it. token_embd is
     * read row by row and is not in it, unless it is the output matrix too (`output` is then a copy of its
     * description). */
    vb_stage *stages;
    int n_stages;

    /* Experts are read when a token first chooses them: until then nobody looks at their pages. Item
     * experts.first + e: the matrices of expert e of a layer are checked and, where there is room,
     * interleaved (engine/experts.c). NULL: no layer has experts. */
    size_t n_experts; /* of all layers together */
    vb_once *experts_ready;

    /* The interleaved copies that the matrices' `packed` point into (engine/repack_model.c), or NULL. */
    void *packed;
    uint64_t packed_bytes;
    void (*free_packed)(void *packed, uint64_t bytes);
    /* Those of experts, made when they are first used (engine/experts.h), or NULL. */
    struct vb_expert_copies *expert_copies;
    void (*free_expert_copies)(struct vb_expert_copies *copies);

    /* Where the output matrix has some rows only (engine/trim.c): their ids, and the rows, which `output`
     * then points to. NULL: all n_vocab rows are there. */
    int32_t *kept;
    uint8_t *kept_rows;
    float *kept_bias; /* likewise output_bias; NULL: it has none */
};

/* Rows of the output matrix: floats of a row of logits. */
static inline int vb_model_n_logits(const vb_model *m) {
    return m->kept ? m->output.rows : m->info.n_vocab;
}

/* The i-th matrix of the stages, NULL behind the last. Experts are not among them. */
vb_matrix *vb_model_matrix(const vb_model *m, int i);

/* bind.c. Blocks of weights within a tensor of the file: VB_ERR_FORMAT names the first that is not finite. */
int vb_check_weights(const vb_model *m, const uint8_t *data, uint64_t bytes, vb_error *err);

/* The frequencies for a sequence whose context has room for n_ctx positions. */
static inline const double *vb_rope_freq(const vb_rope *rope, int n_ctx) {
    return rope->freq_long && n_ctx > rope->long_from ? rope->freq_long : rope->freq;
}

/* cos and sin of the angles (position*scale)*freq[j], times mscale, computed in float64, each rounded once:
 * (rot/2). */
void vb_rope_angles(const vb_rope *rope, int n_ctx, int position, float *cosine, float *sine);
/* *out = base^(-2j/rot) / factors[j]; factors: (rot/2) of the tensor `name`, or NULL. The largest angle
 * within n_ctx positions must stay within vb_sincos's range. `path` is for messages. */
int vb_rope_fill(const vb_rope *rope, const float *factors, const char *name, int n_ctx, const char *path,
                 double **out, vb_error *err);

#endif
