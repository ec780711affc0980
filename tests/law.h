/* law.h - the enumeration of the output law: the speculation loop itself is run once for every outcome of
 * every coin, each with its exact rational probability, on models that are tables of small integers. No
 * sampling, no tolerance: a bias of any size is a bias.
 *
 * A coin is modelled as a real number, uniform on [0, 1), that belongs to its key: an answer narrows it to an
 * interval, and when the same key is met again what was learnt still holds. So a program that uses a coin
 * twice gets the law that such a program really has.
 */
#ifndef LAW_H
#define LAW_H

#include "sampling/speculate.h"
#include "prove/wrong_rules.h"

#include <gmp.h>

#define LAW_VOCAB  8
#define LAW_TOKENS 4    /* longest output whose law is taken */
#define LAW_CELLS  6561 /* (LAW_VOCAB + 1)^LAW_TOKENS: tokens, or nothing after a stop token */

/* The weights after a prefix, as a pure function of it; not all 0. */
typedef enum law_style {
    LAW_GENERIC, /* 1..6 */
    LAW_ZEROS,   /* 0..5, about a third of them 0 */
    LAW_SKEWED,  /* 1 or 60 */
    LAW_ONE_HOT,
    LAW_EVEN, /* support on even ids */
    LAW_ODD   /* support on odd ids */
} law_style;

typedef struct law_table {
    law_style style;
    uint32_t seed;
    bool pow2; /* the largest weight is raised so that the total is a power of two */
} law_table;

/* Target and draft whose styles meet in every enumeration. */
typedef struct law_pair {
    const char *name;
    law_style p, q;
} law_pair;
#define LAW_PAIRS 7
extern const law_pair law_pairs[LAW_PAIRS];

void law_table_weights(const law_table *t, int n_vocab, const int32_t *prefix, size_t n, uint64_t *w);

/* Planted mistakes in the use of a mask. */
typedef enum law_mask_bug {
    MASK_RIGHT,
    MASK_P_ONLY, /* drafts are drawn from the drafter's law without the mask, judged by the one with it */
    MASK_Q_ONLY, /* the target's law has no mask */
    MASK_WRONG_PREFIX,   /* the mask does not see the drafts */
    MASK_EARLY_END,      /* the end is allowed as soon as anything was generated */
    MASK_DEAD_END,       /* an id is allowed if its bytes fit, though no id can follow */
    MASK_AFTER,          /* the mask is laid over the truncated law, and what is left is renormalised */
    MASK_FORCED_INSERTED /* forced text is not verified */
} law_mask_bug;

/* Planted mistakes in a tree of drafts. */
typedef enum law_tree_bug {
    TREE_RIGHT,
    TREE_RERANKED,        /* of two that were drawn the one that q finds likelier is judged, by q */
    TREE_NOT_RENORMALISED /* a sibling's law is q without those before it, over q's own total */
} law_tree_bug;

/* Planted mistakes in how long a proposal gets. */
typedef enum law_length_bug {
    LENGTH_RIGHT,
    LENGTH_DROPS, /* a token that was drawn is left out where its drafter was not sure of it */
    LENGTH_CLOCK, /* what a clock says (law_case.clock) */
    LENGTH_COLD   /* the drafter has not read what stood in the target's cache already */
} law_length_bug;

/* Planted mistakes of drafts through text. */
typedef enum law_text_bug {
    TEXT_RIGHT,
    TEXT_WEIGHED, /* judged by the weight that the draft model gave its own id, though nothing was drawn */
    TEXT_SPELLED  /* accepted where the texts agree, not the ids */
} law_text_bug;

typedef struct law_case {
    const char *name;
    int n_vocab, gamma;
    int n_tokens; /* the law of so many tokens */
    law_table p, q;
    vb_rule rule;
    vb_choice choice;
    bool trim;       /* ask each step for no more than what is still missing */
    bool penalties;  /* weights are doubled for ids that are not among the last two tokens of the prefix */
    int32_t stop;    /* -1: none */
    int32_t limit;   /* ids that the drafter may draw; 0: all */
    bool trim_p;     /* planted: the target's law, too, is renormalised over the ids below `limit` */
    int draft_n_ctx; /* 0: enough */
    bool stop_early; /* the drafter stops after some tokens, depending on the prefix that it kept */
    bool alone;      /* no drafter at all */
    bool text;       /* the draft's table is over another vocabulary (law_text.c) */
    law_text_bug text_bug;
    bool tree;                /* drafts are a tree made by hand, each certain */
    int shape[VB_TREE_DEPTH]; /* the model drafts trees of that shape, all of it at most gamma */
    law_tree_bug tree_bug;
    int copies; /* != 0: matches of so many tokens are copied, in front of the model */
    bool sees;  /* the drafter reads the target's hidden rows and checks every one */
    /* The law is the real one (distribution.h) of logits that the tables give, under the mask of the
     * language of law_mask.c over its eight ids. Id 0 ends the text. */
    bool masked;
    /* The same without the mask; the target's law is vb_law_distribution's own, and what is enumerated is
     * that the loop gives it (test_distribution.c holds it against its definition). */
    bool real;
    law_mask_bug bug;
    const vb_costs *costs; /* lengths are chosen, up to gamma (cost.h); NULL: they are gamma */
    law_length_bug length_bug;
    uint32_t clock;
    vb_sampling sampling;
    /* What planted bugs change; NULL: the real thing. */
    const vb_wrong *wrong;       /* goes before rule and choice */
    bool prefix_without_drafts;  /* penalties see the path up to the step only */
    int (*after)(vb_step *step); /* how many of the emitted tokens are taken (a missing bonus) */
} law_case;

typedef struct law_result {
    int n_cells;
    mpq_t law[LAW_CELLS];
    mpq_t tv;               /* total variation from the target's own law */
    mpq_t accepted;         /* expected n_accepted of the first step */
    mpq_t emitted;          /* expected n_emitted of the first step */
    uint64_t paths, reused; /* coins met again with the same key; noise of a position is meant to be */
    uint64_t seen;          /* hidden rows that the drafter checked */
    uint64_t stuck;         /* paths that end because a mask lets nothing through */
    uint64_t by_length[8];  /* steps of all paths that drafted so many tokens */
    uint64_t branched;      /* of these, those with siblings among the drafts */
} law_result;

/* law_mask.c: a language of a few texts and a vocabulary whose ids overlap and cut characters. */
vb_mask law_mask_of(const law_case *c, const size_t *step_n);
/* By definition, from the list of texts: may id follow ids[0..n)? */
bool law_mask_allows(const int32_t *ids, size_t n, int32_t id);
/* The law after a prefix (prompt: its first id) in a second writing. */
void law_masked_weights(const law_case *c, const law_table *t, const int32_t *prefix, size_t n, uint64_t *w);

/* The same without the mask. */
void law_bare_weights(const law_case *c, const law_table *t, const int32_t *prefix, size_t n, uint64_t *w);

/* law_text.c: the vocabularies of cases with `text`, opened before the first and closed after the last; a
 * drafter over them; and the mistakes. */
void law_text_open(void);
void law_text_close(void);
int law_text_drafter(const law_case *c, const vb_drafter_model_params *m, vb_drafter *out, vb_error *err);
void law_text_weigh(int n_vocab, vb_proposal *out);
int law_text_rule(vb_verify *v, vb_error *err);

/* Over whole texts, in all their spellings: the law under the mask, and the target's own law given that
 * the text is one of the language. */
#define LAW_TEXT_IDS 8
typedef struct law_text_laws {
    int n;
    const char *const *text;
    double masked[8], conditional[8];
    double valid; /* how likely the target alone writes one of them */
} law_text_laws;
void law_of_texts(const law_case *c, law_text_laws *out);

void law_init(law_result *r);
void law_clear(law_result *r);
/* Runs every path. Returns false (and prints why) if the loop reports an error or the probabilities do not
 * sum to 1. */
bool law_enumerate(const law_case *c, law_result *r);
/* One run with the coins of production;
 * the cell of law_result.law that its output belongs to, -1 on error. */
int law_sample(const law_case *c, uint64_t seed);
/* E[accepted] of the first step by the formulas of docs/speculation.md: rejection: sum over l of E prod
 * min(1, r_i); block: sum over l of E_q[P_l]. */
void law_expected_accepted(const law_case *c, bool block, mpq_t out);

#endif
