/* spec.h - inside of a vb_spec: speculate.c opens and fills it, spec_step.c takes it a step further.
 * Internal. */
#ifndef VB_SPEC_H
#define VB_SPEC_H

#include "sampling/cost.h"
#include "sampling/speculate.h"

/* The path is prompt and output so far; its last token is always pending: known, but not yet in the target's
 * cache. A step then evaluates [last, d_1 .. d_k] together, and row i of the logits gives the law of the
 * token at n + i:
 *
 *   path      x_0 ... x_{n-2}  x_{n-1} | d_1  ...  d_k
 *   cache     x_0 ... x_{n-2}          |
 *   evaluated                  x_{n-1}   d_1  ...  d_k
 *   law of                               n    ...  n+k-1  n+k
 *
 * Text that was given and not yet evaluated makes the cache shorter than that; it is evaluated first.
 * Afterwards the cache is cut back to the new path without its last token (P4).
 *
 * Where the drafts are a tree, d_1 ... d_k stand behind the path in the order of the list while they are
 * evaluated; later it is the branch whose law is asked for that stands there. */
struct vb_spec {
    vb_spec_parts p;
    vb_drafter drafter;
    int32_t *path; /* (path_capacity) */
    size_t n, path_capacity;

    int32_t *arena_id; /* (2*gamma + 1, capacity): the laws of one step */
    uint64_t *arena_w;
    vb_dist_space *space; /* (2*gamma + 1): gamma + 1 of the target, then gamma of the drafter */
    vb_dist *p_dist;      /* (gamma + 1) */
    vb_dist *q_dist;      /* (gamma) */
    vb_drafted *drafted;  /* (gamma) */
    vb_emitted *emitted;  /* (gamma + 1) */
    const float **logits; /* (gamma + 1) */
    uint8_t *want;        /* (gamma + 1) */
    int32_t *parent;      /* (gamma + 1) of the rows that the target evaluates: -1, then drafts' */
    uint8_t (*mask)[16];  /* (gamma + 1) hash of what the mask said beside p_dist; NULL: no mask */
    vb_stats stats;

    /* The step in progress. */
    vb_proposal proposal;
    int n_evaluated; /* how often its drafter's model was */
    int n_drafted;   /* of the proposal, up to what follows a stop token */
    bool chain;      /* each follows the one before it */
    int32_t *draft;  /* (gamma) */
    bool *ends;      /* (gamma) is it a stop token? */
    int32_t *kept;   /* (gamma) which the rule keeps */
    uint64_t *rest;  /* (capacity) what is left of p between siblings; NULL: the rule needs none */

    vb_pace *pace;    /* chooses lengths; NULL: they are gamma */
    int32_t *lengths; /* (p.n_lengths) */

    size_t start; /* of what is generated: the end of the text given last */

    /* Only where the drafter reads hidden rows. */
    int hidden_width;
    const float **hidden; /* (VB_LM_PIECE or gamma + 1) */

    /* Only with vb_spec_open. */
    vb_law *law, *draft_law; /* the latter: of the siblings at temperature 0 */
    vb_exp_weights_fn exp_weights;
    int32_t *stop;
    vb_logit_bias *bias;
    int32_t *breakers;
    uint64_t seed;
    vb_coins coins;
    vb_sampling sampling;
    vb_spec_params params;
    bool opened;
};

/* The target holds the positions from..from + n: shows the drafter their hidden rows. rows[i]: the token of
 * the last evaluation at position from + i; NULL: i. */
int vb_spec_show(vb_spec *s, size_t from, const int32_t *rows, size_t n, vb_error *err);

#endif
