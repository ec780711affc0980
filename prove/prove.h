/* prove.h - is what a sampler writes the target's law (P3), the target's path (P2), told truthfully (P5)?
 * The method, its power and its error rates: docs/prove.md.
 */
#ifndef VB_PROVE_H
#define VB_PROVE_H

#include "prove/joint.h"
#include "sampling/speculate.h"
#include "prove/wrong_rules.h"

#define VB_PROVE_AGAIN 1e-4 /* a smaller p-value asks for 8 times the samples, with new seeds */
#define VB_PROVE_FAIL  1e-9 /* a smaller one fails */
#define VB_PROVE_MORE  8
#define VB_PROVE_POWER 0.999
#define VB_PROVE_WORST 5

/* Who is judged. */
typedef struct vb_prove_subject {
    void *self;
    /* A generation with this seed that holds prompt[0..n - 1); `alone`: without a draft. One at a time. */
    int (*open)(void *self, uint64_t seed, bool alone, vb_spec **out, vb_error *err);
    bool same_path; /* the rule promises the path of the target alone (P2) */
} vb_prove_subject;

/* The first tokens of a completion, and what was said of their log-probabilities (NaN: nothing). */
typedef struct vb_completion {
    int n;
    int32_t token[VB_JOINT_DEPTH];
    double logprob[VB_JOINT_DEPTH];
} vb_completion;

/* Who is judged from a distance: completions come many at a time, with log-probabilities from another
 * program's arithmetic. */
typedef struct vb_prove_batches {
    void *self;
    /* Fills out[0..n) with the completions of the seeds seed, seed + 1, ...; `alone`: without speculation. */
    int (*draw)(void *self, uint64_t seed, size_t n, bool alone, vb_completion *out, vb_error *err);
    size_t size;      /* completions asked for together, at most */
    bool same_path;   /* `alone` can be asked for, and promises the same path (P2) */
    double tolerance; /* nats between a reported log-probability and the target's; 0: bit for bit */
} vb_prove_batches;

typedef struct vb_prove_params {
    vb_joint_params law; /* `least` is set by vb_prove */
    uint64_t samples;    /* of the first stage */
    uint64_t seed;       /* generation i has the seed seed + i */
    uint64_t repeats;    /* generations that are made twice, and once more by the target alone (same_path) */
    bool (*cancel)(void *user);                                       /* may be NULL */
    void (*progress)(void *user, uint64_t done, uint64_t of_samples); /* may be NULL */
    void *user;
} vb_prove_params;

/* One depth: the joint law of so many tokens. */
typedef struct vb_prove_depth {
    int cells; /* the pooled rest among them */
    double chi2, p;
    double tv;              /* between cells: seen against law */
    double loose;           /* of texts: probability that is in one cell or another, and counts for none */
    double tv_low, tv_high; /* with confidence 99.9 % the sampler's own law is that far away */
    double found_tv;        /* a larger error is found with probability 0.999 */
} vb_prove_depth;

typedef struct vb_prove_stage {
    uint64_t samples, impossible;         /* completions that the target never writes */
    double p;                             /* the smallest of all depths times their number (Bonferroni) */
    vb_prove_depth depth[VB_JOINT_DEPTH]; /* [k]: k + 1 tokens */
} vb_prove_stage;

typedef struct vb_prove_worst {
    int32_t token[VB_JOINT_DEPTH];
    int n;
    double expected; /* share */
    double seen;
} vb_prove_worst;

typedef struct vb_prove_report {
    bool ok, undecided; /* undecided: given samples, and their p-value asks for more of them */
    int tokens, n_stages;
    vb_prove_stage stage[2];
    uint64_t laws;                      /* prefixes after which the law was computed */
    uint64_t repeated, repeat_differs;  /* same seed, other tokens or log-probabilities */
    uint64_t paths, path_differs;       /* P2 */
    uint64_t logprobs, logprob_differs; /* P5: bit for bit, or beyond the tolerance */
    double logprob_worst;               /* largest difference of one; of batches only */
    uint64_t drafted, accepted;
    vb_prove_worst worst[VB_PROVE_WORST]; /* of the last stage, depth by depth the largest deviation */
    int n_worst;
} vb_prove_report;

int vb_prove(const vb_prove_params *p, const vb_prove_subject *s, vb_prove_report *r, vb_error *err);

/* Completions from..to - 1 of the first stage alone, counted in *out (vb_joint_close) and not judged: a part
 * of a run that many machines share. Part by part the same seeds, cells and checks as vb_prove. */
int vb_prove_part(const vb_prove_params *p, const vb_prove_subject *s, uint64_t from, uint64_t to,
                  vb_joint **out, vb_prove_report *r, vb_error *err);
/* Judges what is counted in j's first stage; what r says of repeats, paths and log-probabilities stays.
 * Undecided where vb_prove would go on to a second stage. */
void vb_prove_judge(const vb_joint *j, uint64_t samples, vb_prove_report *r);

/* The same for completions that are drawn in batches. */
int vb_prove_in_batches(const vb_prove_params *p, const vb_prove_batches *s, vb_prove_report *r,
                        vb_error *err);

/* The same for completions that somebody else sampled: rows of `depth` ids each, shorter ones (after a stop
 * token) filled up with -1. One stage. With law.texts a row holds bytes, and VB_JOINT_END where the text
 * ended before; of the tests above this is the only one that takes texts. */
int vb_prove_samples(const vb_prove_params *p, const int32_t *rows, uint64_t n, vb_prove_report *r,
                     vb_error *err);

/* -------------------------------------------------------------------------------------------- contexts */

/* A pair of contexts as a subject. Zero-initialise, fill in what is above the line, then open. */
typedef struct vb_prove_pair {
    vb_context *target;
    vb_sampling sampling;
    vb_spec_params params; /* history is set by open */
    const vb_wrong *wrong; /* goes before params.accept; needs params.draft = VB_DRAFT_MODEL. NULL: none */
    const int32_t *prompt;
    size_t n_prompt;
    /* ---- */
    vb_law *law;
    uint64_t seed;
    vb_coins coins, wrong_coins;
    vb_wrong_coins space;
    vb_lm shifted;
    vb_drafter drafter;
} vb_prove_pair;

/* Evaluates the prompt but for its last token, once for all generations, and fills in subject and law. */
int vb_prove_pair_open(vb_prove_pair *pair, vb_prove_subject *subject, vb_joint_params *law, vb_error *err);
void vb_prove_pair_close(vb_prove_pair *pair);

#endif
