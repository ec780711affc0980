/* foreign.h - another engine, with one bug. An independent scalar forward pass in float64 over whole prompts,
 * layer by layer, without cache, kernels or activation rounding: what a person writes first when porting a
 * model. It writes a recording as docs/vectors.md asks other engines to. With FE_NONE it is right; every
 * other fault is a mistake that ports have had or can have, in any architecture or in the one
 * named. For tests of the conformance tools (tests/test_planted_engine.c). */
#ifndef FOREIGN_H
#define FOREIGN_H

#include "conformance/conformance.h"

typedef enum fe_fault {
    FE_NONE = 0,
    FE_EMBED_SCALED,        /* the embedding times sqrt(dim), as gemma has it */
    FE_EPS,                 /* 1e-2 instead of the file's epsilon */
    FE_NORM_PLUS_ONE,       /* (1 + w) as norm weight, as gemma has it */
    FE_NORM_NOT_CENTRED,    /* LayerNorm: the mean is taken off */
    FE_NO_BIAS,             /* biases of q, k, v left out */
    FE_NO_QK_NORM,          /* q and k not normalised per head */
    FE_QK_NORM_LATE,        /* normalised after RoPE */
    FE_ROPE_PAIRING,        /* the other one of (2j, 2j+1) and (j, j + rot/2) */
    FE_ROPE_BASE,           /* 10000 whatever the file says; 500000 where it says 10000 */
    FE_ROPE_POSITION,       /* positions from 1 */
    FE_ROPE_FREQS,          /* rope_freqs ignored */
    FE_ROPE_SCALING,        /* linear scaling ignored */
    FE_ROPE_NOT_K,          /* keys not rotated */
    FE_KV_HEADS,            /* KV head h mod G instead of h/(H/G) */
    FE_NO_SCALE,            /* scores not divided by sqrt(head_dim) */
    FE_SCALE_DIM,           /* divided by sqrt(dim) */
    FE_MASK_AHEAD,          /* sees one token of the future */
    FE_MASK_SELF,           /* does not see itself (but at position 0) */
    FE_SOFTMAX_FIRST,       /* position 0 forgotten in the sum */
    FE_NO_RESIDUAL,         /* x = attention, not x + attention */
    FE_RESIDUAL_NORM,       /* the residual is taken after the norm */
    FE_POST_NORM,           /* the norm follows the half layer instead of going before it */
    FE_SWAPPED_GATE_UP,     /* silu(up)*gate */
    FE_GELU,                /* gelu for silu */
    FE_FFN_FROM_X,          /* the FFN reads x without its norm */
    FE_LAYER_WEIGHTS,       /* the last layer uses the first one's ffn_norm */
    FE_NO_FINAL_NORM,       /* logits of x itself */
    FE_EMBED_PLAIN,         /* gemma3: the embedding without its scale */
    FE_SCALE_WIDTH,         /* divided by sqrt(dim / heads) where heads are of another size */
    FE_SCALE_HEAD,          /* gemma3 27B: divided by sqrt(head_dim) as in its smaller sisters */
    FE_WINDOW_LONG,         /* one position more */
    FE_WINDOW_SHORT,        /* one less */
    FE_WINDOW_NONE,         /* no layer has it */
    FE_WINDOW_ALL,          /* gemma3: layers that see all have it, too */
    FE_WINDOW_LAYERS,       /* gemma3: the first of six layers sees all, not the last */
    FE_ROPE_ALL_GLOBAL,     /* gemma3: the table of layers that see all, for those with a window */
    FE_ROPE_ALL_LOCAL,      /* gemma3: the other way round */
    FE_ROPE_LOCAL_SCALED,   /* gemma3: linear scaling in layers with a window, too */
    FE_NO_POST_NORM,        /* gemma3: no norm behind the attention */
    FE_NO_POST_FFN_NORM,    /* gemma3: no norm behind the FFN */
    FE_POST_NORM_SUM,       /* gemma3: x = norm(x + delta), not x + norm(delta) */
    FE_POST_NORM_PRE_FFN,   /* gemma3: post_attention_norm taken for the norm before the FFN */
    FE_GELU_ERF,            /* gemma3: gelu itself, not its tanh form */
    FE_SILU,                /* gemma3: silu for gelu */
    FE_FUSED_GROUPS,        /* phi3: q, k, v in one tensor taken as groups of (q, q, k, v) */
    FE_FUSED_KV,            /* phi3: taken as q, v, k */
    FE_FUSED_V_EARLY,       /* phi3: v begins a head too early */
    FE_FUSED_ALTERNATE,     /* phi3: gate and up taken as rows that alternate */
    FE_ROPE_WHOLE,          /* phi3: all of a head turned, not its first rot values */
    FE_ROPE_LAST,           /* phi3: its last rot values turned */
    FE_ROPE_EXPONENT,       /* phi3: base^(-2j/head_dim), not base^(-2j/rot) */
    FE_LONGROPE_SHORT,      /* phi3: the short factors, however long the sequence */
    FE_LONGROPE_LONG,       /* phi3: the long ones, however short */
    FE_LONGROPE_CACHED,     /* phi3: keys that were cached before the change of factors keep the old ones */
    FE_NO_ATTN_FACTOR,      /* phi3: attn_factor left out */
    FE_YARN_LINEAR,         /* yarn: all frequencies divided by the factor */
    FE_YARN_NO_SCALE,       /* yarn: cosines and sines not made longer */
    FE_YARN_BETWEEN,        /* yarn: corners between pairs, as gpt-oss has them */
    FE_YARN_ROUNDED,        /* gpt-oss: corners rounded, as everyone else has them */
    FE_NORM_PER_HEAD,       /* olmoe, minimax-m2: each head of q and k normalised for itself */
    FE_NO_SINK,             /* gpt-oss: sinks left out */
    FE_SINK_VALUE,          /* gpt-oss: the sink's share goes to the value of position 0 */
    FE_SINK_ADDED,          /* gpt-oss: added to every score */
    FE_WINDOW_ODD,          /* gpt-oss: windows in the other layers */
    FE_GATE_UP_PLAIN,       /* gpt-oss: up, not up + 1 */
    FE_GATE_SILU,           /* gpt-oss: silu(g), not g*sigmoid(1.702 g) */
    FE_ROUTER_NO_BIAS,      /* gpt-oss: the router's bias left out */
    FE_EXPERTS_NO_BIAS,     /* gpt-oss: the experts' biases left out */
    FE_RESIDUAL_PLAIN,      /* granite: the residual multiplier left out */
    FE_ROUTER_SIGMOID,      /* sigmoid for softmax, and the other way round */
    FE_ROUTER_ALL,          /* gpt-oss, granite: softmax over all experts, not over the chosen */
    FE_NOT_NORMALISED,      /* the weights' sum left as it is */
    FE_NORMALISED,          /* qwen2moe, olmoe: normalised all the same */
    FE_NORMALISED_TWICE,    /* glm4moe: again after the weights' scale */
    FE_NO_EXPERT_SCALE,     /* glm4moe: the weights' scale left out */
    FE_CHOICE_NO_BIAS,      /* the choice's bias left out */
    FE_BIAS_IN_WEIGHT,      /* the choice's bias in the weights, too */
    FE_NO_GROUPS,           /* glm4moe: the best of all experts */
    FE_GROUP_MAX,           /* glm4moe: a group's score is its largest, not its two largest added */
    FE_ONE_MORE_EXPERT,     /* one expert too many */
    FE_WEIGHTS_BY_RANK,     /* weights in order of size on experts in order of number */
    FE_NO_SHARED,           /* the shared expert left out */
    FE_SHARED_PLAIN,        /* qwen2moe: the shared expert without its gate */
    FE_SHARED_GATES_ALL,    /* qwen2moe: its gate on the experts' sum, too */
    FE_NORM_CENTRED,        /* phimoe: RMSNorm for LayerNorm */
    FE_NORM_NO_BIAS,        /* phimoe: the norms' biases left out */
    FE_MIXER_SOFTMAX,       /* phimoe: each chosen expert weighs its softmax over all, as in most mixtures */
    FE_MIXER_AGAIN,         /* phimoe: the first expert takes part in the second round, too */
    FE_MIXER_WIDE,          /* phimoe: experts within 4 % of the best take part, not within 2 % */
    FE_LOGITS_PLAIN,        /* granite: logits not divided; this and those that follow show in logits */
    FE_LOGITS_NO_BIAS,      /* phimoe: the logits' bias left out */
    FE_LOGITS_SOFTCAP,      /* 30*tanh(l/30), as gemma2 has it */
    FE_VOCAB_SHIFT,         /* logits off by one id */
    FE_LOGPROB_TEMPERATURE, /* log-probabilities after temperature 0.8 */
    FE_LOGPROB_ZERO,        /* of generated tokens: 0 */
    FE_LOGPROB_BASE2,       /* in bits */
    FE_LAST
} fe_fault;

/* A name for tables: "RoPE pairs (2j, 2j+1) and (j, j + rot/2) exchanged". */
const char *fe_fault_name(fe_fault f);

/* The recording of dir/model for the first prompt and the number of tokens that OURS has. With a fault,
 * arrays are recorded from the first position on of which OURS has a layer's: before it there are logits at
 * most, which tell that something is wrong but not where. */
int fe_record(vb_buf *out, const char *dir, const char *ours, fe_fault fault, vb_error *err);

/* Blocks and products of another engine (foreign_formats.c): levels 2 and 3, F16, Q4_0, Q5_0, Q8_0, Q4_K,
 * Q6_K and MXFP4 decoded anew, other types as OURS has them. */
typedef enum ff_fault {
    FF_NONE = 0,
    FF_F16_FLUSH,       /* subnormal float16 read as 0 */
    FF_Q40_INTERLEAVED, /* values 2i and 2i + 1 in a byte, not i and i + 16 */
    FF_Q50_FIFTH,       /* fifth bits of the second half taken from the first */
    FF_Q80_UNSIGNED,    /* bytes without a sign */
    FF_Q4K_NO_MIN,      /* the minimum not taken off */
    FF_Q4K_SCALE,       /* scales 4..7 from the wrong nibble */
    FF_Q4K_HALVES,      /* low and high nibbles exchanged */
    FF_Q6K_OFFSET,      /* 32 not taken off */
    FF_Q6K_SCALE,       /* one scale for 32 values instead of 16 */
    FF_Q6K_UNSIGNED,    /* scales without a sign */
    FF_MXFP4_BIAS,      /* exponent bias 128 for values that are not doubled */
    FF_HALF_AWAY,       /* activations: ties away from zero */
    FF_TRUNCATED,       /* activations: towards zero */
    FF_AMAX_SIGNED,     /* activations: the largest value, not the largest magnitude */
    FF_SATURATING,      /* pairs of products saturate at 16 bits, as maddubs does */
    FF_NO_MSUM,         /* the minimums' sum lost in the product */
    FF_GROUPS_BACKWARD, /* groups added from the last to the first */
    FF_LAST
} ff_fault;

const char *ff_fault_name(ff_fault f);
/* OURS (blocks.jsonl or dots.jsonl) as this engine has it. */
int ff_record(vb_buf *out, const char *ours, ff_fault fault, vb_error *err);

#endif
