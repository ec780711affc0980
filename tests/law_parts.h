/* law_parts.h - what the enumeration (law.h) is made of: models that are tables (law_models.c), laws and a
 * drafter over them with the mistakes that are planted there (law_drafter.c), coins that try every answer
 * (law_coins.c). law.c runs them and sums. */
#ifndef LAW_PARTS_H
#define LAW_PARTS_H

#include "tests/law.h"

#define LAW_TAPE  64
#define LAW_TRAIL 64

/* ---------------------------------------------------------------------- models */

uint32_t law_mix(uint32_t h, uint32_t x);
void law_exp_weights(const double *z, int n, uint64_t *w);
/* The law of the target after a prefix, penalties included. */
void law_final_weights(const law_case *c, const law_table *t, const int32_t *prefix, size_t n, uint64_t *w);

typedef struct law_lm_state {
    const law_case *c;
    const law_table *t;
    int row_shift;
    int cold; /* so many tokens at the front it has not seen */
    int32_t tokens[LAW_TAPE];
    int n, first;             /* tokens held; those from `first` on are the last call's, or a tree's */
    bool held;                /* a tree's */
    int32_t parent[LAW_TAPE]; /* of tokens[first + i], counted from there */
    float rows[LAW_TAPE][LAW_VOCAB];
    float hidden[LAW_TAPE][2];
} law_lm_state;

/* A hidden row: the length of the token's path and a hash of it. */
void law_hidden_row(const int32_t *path, size_t n, float out[2]);
/* Its logits are the table's weights; of a call they come `row_shift` rows late (planted). */
vb_lm law_lm(law_lm_state *m, const law_case *c, const law_table *t, int n_ctx, int row_shift);

/* ---------------------------------------------------------------------- laws and the drafter */

typedef struct law_env {
    const law_case *c;
    vb_drafter real;
    size_t step_n;    /* path length at the start of the step */
    size_t told;      /* positions whose hidden rows were shown */
    vb_proposal *out; /* in progress */
    uint32_t steps;
    vb_law *law; /* of a masked case, and the same without the mask */
    vb_law *bare;
} law_env;

/* Logits are weights already; penalties come on top, by the prefix that the loop names. */
typedef struct law_source {
    const law_case *c;
    law_env *env;
    bool without_drafts;
    bool target;
} law_source;

vb_law_source law_of(law_source *s);
/* The target's: a mask's text that must follow, and why nothing may. */
vb_law_source law_target(law_source *s);
/* Around env->real, which may be opened later. */
vb_drafter law_drafter(law_env *env);
/* MASK_FORCED_INSERTED, as a rule. */
int law_insert_forced(vb_verify *v, vb_error *err);

/* ---------------------------------------------------------------------- coins */

/* One answered question: which answer, of how many, what is now known of the coin, and the path's
 * probability. */
typedef struct law_answer {
    vb_coin_key key;
    int index, n;  /* index-th of the n possible answers */
    int32_t value; /* what that answer says */
    mpq_t lo, hi;  /* the coin lies in [lo, hi) */
    mpq_t p;       /* of the path up to here */
} law_answer;

typedef struct law_explorer {
    law_answer trail[LAW_TRAIL];
    int depth; /* questions asked in this run */
    int known; /* answers that this run repeats or changes */
    uint64_t reused;
    mpq_t lo, hi, a, b, width;
} law_explorer;

void law_explorer_init(law_explorer *e);
void law_explorer_clear(law_explorer *e);
/* On to the next path; false when there is none. */
bool law_explorer_next(law_explorer *e);
vb_coins law_explorer_coins(law_explorer *e);
void law_set_ratio(mpq_t q, vb_u128 num, vb_u128 den);

#endif
