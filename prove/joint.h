/* joint.h - the exact law of the first tokens of a completion, computed from the target alone, as a tree of
 * cells: prefixes that are likely enough to be counted one by one, everything else pooled.
 *
 * p(x_1 .. x_k) = product of w/W along the path, the integer law of docs/speculation.md. Rows come from
 * vb_eval after a rollback to the prompt (P4), so they are the ones that the target alone computes. After a
 * stop token the completion is over: it stays a cell of its own at every greater depth.
 *
 * The same of texts (joint_text.c), for completions whose tokens are not known: there depths are bytes, and
 * the probability of a prefix is the sum over all ways to cut a text that begins like
 * this into tokens. */
#ifndef VB_JOINT_H
#define VB_JOINT_H

#include "sampling/drafter.h"

#define VB_JOINT_DEPTH 16

/* Of texts: "tokens" are bytes, and after the last one comes this. */
#define VB_JOINT_END 256

typedef struct vb_cell {
    int32_t parent, token; /* parent: a cell, -1 for the root */
    int depth;
    bool ended, expanded;
    double p;       /* of the whole prefix */
    double loose;   /* of texts: so much more at most, in ways of cutting that were too unlikely to follow */
    double logprob; /* of the token: log softmax of the target's raw logits (P5) */
    int32_t first, n_children;
    size_t support;   /* expanded: where its bitmap of possible tokens starts */
    uint64_t seen[2]; /* samples that went through it, per stage */
} vb_cell;

typedef struct vb_joint {
    int depth;
    int32_t n_vocab;
    vb_cell *cells; /* (n), cells[0] is the root; those of one depth follow each other, children by id */
    size_t n, room;
    size_t level[VB_JOINT_DEPTH + 2]; /* depth d: cells[level[d]] up to cells[level[d + 1]] */
    double rest[VB_JOINT_DEPTH + 1];  /* probability of what is pooled at depth d */
    double loose[VB_JOINT_DEPTH + 1]; /* of texts: probability that may be in the cells or in the rest */
    uint8_t *support;                 /* (n_expanded, (n_vocab + 7)/8) */
    size_t n_expanded;
} vb_joint;

typedef struct vb_joint_params {
    vb_lm target; /* its cache holds prompt[0..n_prompt - 1), and does again afterwards */
    vb_law_source law;
    const int32_t *prompt;
    size_t n_prompt;
    const int32_t *stop;
    size_t n_stop;
    const vb_tokenizer *texts; /* NULL: the law of tokens. Otherwise of texts, and depth counts bytes */
    int depth;
    double least;  /* prefixes of at least this probability are cells */
    int max_cells; /* but at most so many per depth, the likeliest */
} vb_joint_params;

int vb_joint_open(vb_joint **out, const vb_joint_params *p, vb_error *err);
void vb_joint_close(vb_joint *j);
/* The child of a cell with this token; -1: pooled; -2: the target gives this token the probability 0. */
int32_t vb_joint_child(const vb_joint *j, int32_t cell, int32_t token);

/* What both laws are made with: joint.c. The target's law after path[0..n), which begins with the prompt. */
int vb_joint_row(const vb_joint_params *p, const int32_t *path, size_t n, const vb_dist_space *space,
                 const float **logits, vb_dist *out, vb_error *err);
/* Room for the bitmap of one more expanded cell, all zero. */
int vb_joint_add_support(vb_joint *j, vb_cell *cell, vb_error *err);
/* The least of the `most` largest of n probabilities, which are sorted for it; 0 if there are no more. */
double vb_joint_threshold(double *p, size_t n, size_t most);
/* How a law grows. expand: the continuations of a cell, of which the likely ones become candidates, the
 * others add to *rest (and *loose); keep: the likeliest candidates become the cells of the next depth, the
 * others add to *rest. */
typedef struct vb_joint_growth {
    void *self;
    int (*expand)(void *self, size_t cell, double *rest, double *loose, vb_error *err);
    int (*keep)(void *self, int depth, double *rest, vb_error *err);
} vb_joint_growth;
/* Fills an empty j, depth by depth. least: vb_joint_params.least. */
int vb_joint_grow_tree(vb_joint *j, double least, const vb_joint_growth *g, vb_error *err);
/* joint_text.c: fills an empty j. */
int vb_joint_build_texts(vb_joint *j, const vb_joint_params *p, const vb_dist_space *space, vb_error *err);

#endif
