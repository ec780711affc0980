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

/* One token to evaluate. Rows that share a cache must come with ascending positions, without gaps. */
typedef struct vb_row {
    int32_t token;
    int32_t position;
    bool want; /* its logits */
    vb_cache *cache;
} vb_row;

typedef enum vb_failure { VB_PASS_FINE = 0, VB_PASS_NOT_FINITE, VB_PASS_KV_RANGE } vb_failure;

typedef struct vb_pass vb_pass;
/* `worker` tells tasks that run at the same time apart: scratch memory of its own. */
typedef void (*vb_pass_task)(vb_pass *p, int index, int worker);

typedef struct vb_run {
    void *self;
    /* task(p, 0 .. n-1), in any order, at once or one after another; returns when all are done. */
    void (*each)(vb_pass *p, int n, vb_pass_task task);
    /* y[i] (p->acts.rows, rows of the matrix) = stage->w[i] times each vector of p->acts. */
    void (*multiply)(vb_pass *p, const vb_stage *stage, float *const y[]);
    /* heads (n, Q) = what the heads of the present layer find: the kernels attend_scores, attend_softmax and
     * attend_values for every row and key head, each job as vb_pass_attention describes it. */
    void (*attend)(vb_pass *p);
    /* Tasks report what went wrong; the first failure is the one that explains. */
    void (*fail)(vb_pass *p, vb_failure what);
    /* What tasks reported; or an error of the run itself, which is returned. */
    int (*check)(vb_pass *p, vb_failure *what, vb_error *err);
} vb_run;

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

/* Sets up the vectors v (n rows) as input for the matrices of a stage. Their integers are filled in row by
 * row with vb_pass_quantize, and only if one of the matrices reads them. */
void vb_pass_input(vb_pass *p, const float *v, int n, const vb_stage *stage);
/* A vb_pass_task. */
void vb_pass_quantize(vb_pass *p, int row, int worker);
/* h[row] = norm(from), and its integers. */
void vb_pass_normalize(vb_pass *p, const float *from, const float *weight, int row);
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

/* forward.c. Evaluates rows[0..n), n <= R: writes their keys and values into their caches and, for each
 * wanted row in order, its logits: logits is (wanted rows, n_vocab). Which rows share a call does not change
 * a bit (P1). Tokens and positions must be valid. Errors: VB_ERR_NUMERIC, VB_ERR_CANCELLED; the caches then
 * hold rubbish at the rows' positions. */
int vb_forward(vb_pass *p, const vb_row *rows, int n, float *logits, vb_error *err);

#endif
