/* wrong_rules.h - acceptance rules that are WRONG ON PURPOSE: mistakes that engines have shipped, each by
 * name. `verbatim prove` samples with them to show that it finds them; the enumeration (tests/law.h) says how
 * wrong each one is. Nothing here may ever be linked into the library.
 *
 * Where such mistakes were seen in the wild: docs/speculation.md, "How it is checked".
 */
#ifndef VB_WRONG_RULES_H
#define VB_WRONG_RULES_H

#include "sampling/drafter.h"

typedef struct vb_wrong {
    const char *name;
    const char *what; /* the mistake, in a line */
    vb_rule rule;
    vb_choice choice;
    enum {
        VB_DRAW_RIGHT,
        VB_DRAW_ARGMAX,
        VB_DRAW_TRUNCATED
    } draw;                              /* the drafter draws otherwise than it says */
    bool discards;                       /* the drafter drops tokens that it finds unlikely */
    int row_shift;                       /* the logits of row i - row_shift are taken for row i's */
    vb_coin_key (*key)(vb_coin_key key); /* which coin is taken instead; NULL: the right one */
} vb_wrong;

/* All of them, *n many. */
const vb_wrong *vb_wrong_rules(size_t *n);
/* The one of that name, or NULL. */
const vb_wrong *vb_wrong_find(const char *name);
/* The right rules in the writing that the mistakes are flags of: with none set they must be exact. */
int vb_second_rejection(vb_verify *v, vb_error *err);
int vb_second_block(vb_verify *v, vb_error *err);

/* Coins as the mistake has them, on top of right ones. `space` must outlive them. */
typedef struct vb_wrong_coins {
    const vb_wrong *wrong;
    const vb_coins *base;
} vb_wrong_coins;
vb_coins vb_wrong_coins_on(vb_wrong_coins *space, const vb_wrong *w, const vb_coins *base);
/* Coins as most programs have them: a float64 u in [0, 1) per key, compared with threshold/bound. With u in
 * hand twice the answers hang together as the enumeration has it; two integers below different bounds hardly
 * do. For rules that take a coin again. */
vb_coins vb_real_coins(uint64_t *seed);
/* What the mistake does to a proposal. */
void vb_wrong_trim(const vb_wrong *w, vb_proposal *p);

#endif
