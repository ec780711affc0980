/* accept.h - the acceptance rules: pure functions of integer weights and coins (docs/speculation.md, "The
 * rules").
 *
 * A step drafted x_1..x_n, draw by draw from q_1..q_n. A rule decides how many to keep and which token
 * follows them. It sees the target's laws p_1..p_{n+1} (p_i: after the prefix and x_1..x_{i-1}) and asks for
 * them one by one, so that what is never looked at is never computed. In the code indices start at 0:
 * draft[i] was drawn from q[i] and is judged by p(i).
 *
 * The drafts may also be a tree: draft i follows draft drafted[i].parent (-1: the path), which stands before
 * it in the list; a chain is the tree with parent = i - 1. p(i + 1) is the law after draft i and those that
 * it follows. vb_rule_coupled walks any tree, vb_rule_rejection any whose siblings were drawn one after the
 * other, q[i] what was left for draft i; block judges chains.
 *
 * References: - rejection: Leviathan, Kalman, Matias 2211.17192, algorithm 1; Chen et al. 2302.01318 - block:
 * Sun et al. 2403.10444, algorithm 2 - coupled: Daliri, Musco, Suresh 2408.07978 - trees under rejection:
 * Miao et al. 2305.09781 (SpecInfer); without replacement Jeon et al. 2402.14160, Chen et al. 2402.12374
 * (Sequoia) */
#ifndef VB_ACCEPT_H
#define VB_ACCEPT_H

#include "sampling/coins.h"

/* Under `block` the drafter draws from weights with this total (vb_dist_rescale), and the running acceptance
 * probability P counts in units of 1/VB_BLOCK_ONE. Why these two: see accept.c. */
#define VB_BLOCK_Q_BITS 34
#define VB_BLOCK_Q      ((uint64_t)1 << VB_BLOCK_Q_BITS)
#define VB_BLOCK_ONE    ((uint64_t)1 << 32)

#define VB_MAX_GAMMA 32

typedef struct vb_verify {
    /* in */
    int n;
    const int32_t *draft; /* (n) */
    const vb_dist *q;     /* (n) what each was drawn from; total VB_BLOCK_Q under `block` */
    const bool *ends;  /* (n) draft i ends the output: nothing is wanted after it, and no draft follows it */
    uint32_t position; /* of draft[0] */
    const vb_coins *coins;
    /* The target's law after draft i - 1 (0: after the path), 0 <= i <= n, never empty; *out stays valid.
     * Asking twice is free. */
    int (*p)(void *arg, int i, const vb_dist **out, vb_error *err);
    void *arg;
    /* Rejection: the generation drafts trees, so the rule of trees judges this list, even if it happens to be
     * a chain. Which of two rules it is must not depend on what was drawn. */
    bool tree;
    uint64_t *rest; /* (widest p) its scratch */
    /* out */
    vb_drafted *drafted; /* (n) id and parent are given; tested, accepted, p and coin are filled in */
    int n_accepted;
    int32_t *kept; /* (n) the drafts that are kept, each the parent of the next; on a chain 0, 1, ... */
    int32_t final; /* the token after them; -1 when nothing follows */
    bool has_final_coin;
    vb_coin final_coin;
} vb_verify;

typedef int (*vb_rule)(vb_verify *v, vb_error *err);

int vb_rule_coupled(vb_verify *v, vb_error *err); /* the race decides; also `greedy`, where p has one id */
int vb_rule_rejection(vb_verify *v, vb_error *err);
int vb_rule_block(vb_verify *v, vb_error *err);

/* Is nothing wanted after all of a chain? */
static inline bool vb_chain_ends(const vb_verify *v) {
    return v->n > 0 && v->ends[v->n - 1];
}

/* What a token is drawn from, as weights over p's ids: p itself, or the residual of a rule. `walk` is scratch
 * and must outlive *out; total is computed (0: the residual is empty). */
typedef struct vb_residual {
    const vb_dist *p, *q;
    uint64_t P; /* block: the acceptance probability so far, of VB_BLOCK_ONE */
    int32_t j;  /* place in q */
} vb_residual;
void vb_dist_weights(vb_residual *walk, const vb_dist *p, vb_weights *out);
void vb_rejection_residual(vb_residual *walk, const vb_dist *p, const vb_dist *q, vb_weights *out);
void vb_block_residual(vb_residual *walk, const vb_dist *p, const vb_dist *q, uint64_t P, vb_weights *out);
/* min(ONE, floor(P*p(y)/q(y))), ONE where q(y) = 0. */
uint64_t vb_block_next(uint64_t P, uint64_t w, const vb_dist *p, uint64_t v);

#endif
