/* pass.h - a forward pass in progress: the vectors that a layer works on, and the few words in which its
 * parts say what is to be computed. Internal.
 *
 * ref/ says what is computed and in which order; who computes it is behind vb_run: the engine spreads tasks
 * over threads, asks the memory for the next weights, offloads products (engine/workspace.c). Work may be
 * split by row of the batch, by output row of a matrix, and attention as ref/kernels.h says, never inside a
 * sum, so that neither the number of threads nor the number of rows in a call shows in the result (P1). */
#ifndef VB_PASS_H
#define VB_PASS_H

#include "ref/cache.h"
#include "ref/model.h"

/* One token to evaluate. The positions that a row sees are in its cache or in rows before it. */
typedef struct vb_row {
    int32_t token;
    int32_t position;
    bool want; /* its logits */
    vb_cache *cache;
    float *hidden; /* (D) what the last layer leaves, before the output norm, goes there; NULL: nowhere */
    int32_t slot;  /* where its key and value go: the position, but in a tree */
    /* A tree: position j >= base of this row's path lies in slot path[j - base]; base is the same for all
     * rows of a cache. NULL: in slot j. */
    int32_t base;
    const int32_t *path;
} vb_row;

/* Layers [first, last) of a pass over rows[0..n): from the embedding on where first is 0, to the logits where
 * last is the number of layers. */
typedef struct vb_pass_span {
    const vb_row *rows;
    int n;
    int first, last;
    float *x;      /* (n, D) the residual stream: read where first > 0, written where layers follow */
    float *logits; /* (wanted rows, n_vocab) written behind the last layer */
} vb_pass_span;

typedef enum vb_failure { VB_PASS_FINE = 0, VB_PASS_NOT_FINITE, VB_PASS_KV_RANGE } vb_failure;

typedef struct vb_pass vb_pass;
/* `worker` tells tasks that run at the same time apart: scratch memory of its own. */
typedef void (*vb_pass_task)(vb_pass *p, int index, int worker);

/* One matrix and the vectors that it meets: y (acts.rows, rows of w). */
typedef struct vb_product {
    const vb_matrix *w;
    vb_acts acts;
    float *y;
} vb_product;

typedef struct vb_run {
    void *self;
    /* task(p, 0 .. n-1), in any order, at once or one after another; returns when all are done. */
    void (*each)(vb_pass *p, int n, vb_pass_task task);
    /* y[i] (p->acts.rows, rows of the matrix) = stage->w[i] times each vector of p->acts. */
    void (*multiply)(vb_pass *p, const vb_stage *stage, float *const y[]);
    /* heads (n, Q) = what the heads of the present layer find: the kernels attend_scores, attend_softmax and
     * attend_values for every row and key head, each job as vb_pass_attention describes it. */
    void (*attend)(vb_pass *p);
    /* The experts of the present layer that the coming products read: ids[0 .. n-1], ascending. */
    void (*experts)(vb_pass *p, const int32_t *ids, int n);
    /* Products that do not depend on one another; each of the matrices is read once. */
    void (*multiply_each)(vb_pass *p, const vb_product *products, int n);
    /* Tasks report what went wrong; the first failure is the one that explains. */
    void (*fail)(vb_pass *p, vb_failure what);
    /* What tasks reported; or an error of the run itself, which is returned. */
    int (*check)(vb_pass *p, vb_failure *what, vb_error *err);
} vb_run;

/* The rows of a call that chose the same expert: pairs (row, expert) lie expert by expert, and within one by
 * row. */
typedef struct vb_expert_group {
    int32_t expert;
    int first, rows; /* pairs [first, first + rows) */
} vb_expert_group;

/* Working memory of mixtures of experts. Shapes: R rows, E experts of a layer, U used by a row, P = R*U
 * pairs of a row and an expert, D dim, X experts.dim, V = max(D, X): the longest vector an expert's matrix
 * meets; all of the largest layer. */
typedef struct vb_mixture {
    float *logits;           /* (R, E) of the router */
    float *weights;          /* (R, E) 0 where an expert is not chosen */
    float *order;            /* (R, E) what chooses */
    int32_t *chosen;         /* (R, U) ascending */
    int32_t *pair;           /* (R, U) where the pair of a row and its u-th expert lies */
    int32_t *row;            /* (P) whose pair it is */
    int32_t *group_of;       /* (P) which group a pair is in */
    vb_expert_group *groups; /* (E) of the call */
    vb_product *products;    /* (2*E) */
    int32_t *ids;            /* (E) of the experts in use */
    int n_groups;
    float *in;           /* (P, D) the rows' vectors, pair by pair */
    float *gate, *up;    /* (P, X) */
    float *out;          /* (P, D) */
    float *sum;          /* (R, D) */
    int8_t *q;           /* (planes, P, V) the integers of the pairs' vectors, group by group */
    float *d;            /* (P, V/32) */
    int32_t *sum16;      /* (P, V/16) */
    float *shared;       /* (R) sigmoid(shared_gate h), or 1 */
    uint64_t rows, used; /* counters since the workspace was opened: rows of mixture layers, and for each
                               * call and layer the number of experts in use */
    uint64_t calls;      /* calls times mixture layers */
} vb_mixture;

/* Shapes: R rows at most, D dim, Q n_heads*head_dim, K n_kv_heads*head_dim, F ffn.dim. */
struct vb_pass {
    const vb_model *m;
    const vb_kernels *kernels;
    int planes; /* of quantised activations: 1 q8, 2 q16 */
    vb_run run;
    bool (*cancel)(void *user); /* asked before every layer; may be NULL */
    /* verbatim.h, vb_context_params.observe; only for rows of one cache. Positions count from rows[0]. May be
     * NULL. */
    void (*observe)(void *user, const char *what, int layer, int position, int rows, int cols,
                    const float *values);
    void *user; /* of both */

    float *x;      /* (R, D) the residual stream */
    float *h;      /* (R, D) its normalised copy */
    float *q;      /* (R, Q) queries */
    float *k, *v;  /* (R, K) keys, values */
    float *heads;  /* (R, Q) what the heads found */
    float *delta;  /* (R, D) what half a layer adds to the residual stream */
    float *gate;   /* (R, F) */
    float *up;     /* (R, F) */
    float *hidden; /* (R, F) */
    float *cosine; /* (n_ropes, R, T), T the largest rot/2 of the tables */
    float *sine;   /* (n_ropes, R, T) */
    int max_rows;  /* R */
    int max_pairs; /* T */

    vb_mixture moe;

    int8_t *acts_q;      /* (planes, R, W), W = max(D, Q, F): the longest vector that meets a matrix */
    float *acts_d;       /* (R, W/32) */
    int32_t *acts_sum16; /* (R, W/16) */

    /* The call in progress. */
    const vb_row *rows;
    int n;
    int layer;     /* -1 outside the layers */
    vb_acts acts;  /* the vectors that the next matrices read */
    bool quantize; /* one of those matrices is block-quantised */
};

/* ---------------------------------------------------------------------- words of the parts (pass.c) */

/* Sets up the vectors v (n rows of `cols` values) as input for the matrices of a stage. Their integers are
 * filled in row by row with vb_pass_quantize, and only if one of the matrices reads them. */
void vb_pass_input(vb_pass *p, const float *v, int n, int cols, const vb_stage *stage);
/* A vb_pass_task. */
void vb_pass_quantize(vb_pass *p, int row, int worker);
/* h[row] = norm(from) as the model has it, and its integers. bias may be NULL. */
void vb_pass_normalize(vb_pass *p, const float *from, const float *weight, const float *bias, int row);
/* y += bias, unless it is NULL. */
void vb_pass_add_bias(vb_pass *p, const float *bias, int n, float *y);
/* x[row] += norm(delta[row] + bias), either of them or none. */
void vb_pass_add_delta(vb_pass *p, const float *bias, const float *norm, int row);
/* Where the cosines, and the sines, of a RoPE table for a row stand. */
static inline size_t vb_pass_angles(const vb_pass *p, int rope, int row) {
    return ((size_t)rope * (size_t)p->max_rows + (size_t)row) * (size_t)p->max_pairs;
}
/* The stage of the present layer's n-th product: 0 q k v, 1 output of the heads, 2 gate and up, 3 down. */
const vb_stage *vb_pass_stage(const vb_pass *p, int n);
void vb_pass_observe(vb_pass *p, const char *what, int cols, const float *values);

/* True when all |x_i| are below the float whose bits are `limit`; NaN counts as above all. */
bool vb_all_below(const float *x, size_t n, uint32_t limit);
#define VB_BITS_INFINITE 0x7f800000u
/* 2^53. The squares of 2^20 such numbers add up to less than 2^127, so RMSNorm cannot overflow below. */
#define VB_BITS_NORM_LIMIT 0x5a000000u

/* Scratch memory for the scores of some rows and one key head: (rows, heads that share it, ld), and
 * (rows, heads). */
typedef struct vb_pass_scores {
    float *scores, *sums;
    size_t ld;
} vb_pass_scores;
/* The attention of rows row0..row1-1, which share a cache, to a key head of the present layer. rows:
 * (row1 - row0), filled in. */
vb_attention vb_pass_attention(const vb_pass *p, int row0, int row1, int kv_head, vb_pass_scores s,
                               vb_attention_row *rows);

/* ---------------------------------------------------------------------- the parts */

void vb_attention_part(vb_pass *p); /* attention.c: delta = attention(norm(x)) without its last bias */
void vb_ffn_part(vb_pass *p);       /* ffn.c: x += the bias and delta of attention; delta = ffn(norm(x)) */
/* experts.c, in the order of a layer. The input of the layer's first products is that of its experts, too: */
void vb_experts_input(vb_pass *p);
/* Each row's experts and weights, from moe.logits; takes what experts need of h and of its integers. */
void vb_experts_choose(vb_pass *p);
/* delta = the experts' sum; plus what delta holds, times moe.shared, where the layer has a dense part. */
void vb_experts_part(vb_pass *p);
/* ffn.c: h = act(g)*u. */
void vb_apply_gate(const vb_kernels *kernels, vb_gate gate, const float *g, const float *u, int n, float *h);
/* router.c. Reads logits (x->n) of one row, with the router's bias added; writes chosen (x->used, ascending)
 * and weights (x->n), 0 for those that are not chosen. order: (x->n) scratch. */
void vb_route(const vb_experts *x, const float *logits, float *order, int32_t *chosen, float *weights);

/* forward.c. Computes a span of n <= R rows: writes their keys and values into their caches and, for each
 * wanted row in order, its logits. Neither which rows share a call nor where a pass is cut into spans changes
 * a bit (P1). Tokens and positions must be valid. Errors: VB_ERR_NUMERIC, VB_ERR_CANCELLED; the caches then
 * hold rubbish at the rows' positions. */
int vb_forward(vb_pass *p, const vb_pass_span *s, vb_error *err);

#endif
