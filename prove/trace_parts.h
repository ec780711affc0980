/* trace_parts.h - inside of the check of traces. trace_check.c reads lines, steps and the chain,
 * trace_values.c the numbers, laws and coins in them, and trace_rules.c derives what a step decides. Every
 * function returns false after it has said in c->r->why what does not follow. */
#ifndef VB_TRACE_PARTS_H
#define VB_TRACE_PARTS_H

#include "prove/trace_check.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

__extension__ typedef unsigned __int128 wide;

#define MAX_DRAFTS 32
#define LAW_IDS    (1 << 20)
#define LARGEST    ((wide)1 << 40) /* the largest weight of a law at a temperature above 0 */

/* A law as read: grows, and is used again for the next step. */
typedef struct law {
    bool there;
    int n, room;
    int32_t *id;
    wide *w, total;
} law;

typedef struct step {
    json_int_t position;
    int n, accepted, n_emitted;
    const json_t *drafted, *emitted, *final;
    int32_t id[MAX_DRAFTS];
    wide p[MAX_DRAFTS][2], q[MAX_DRAFTS][2]; /* weight and total of the drafted id */
    bool has_p[MAX_DRAFTS];
    bool forced[MAX_DRAFTS]; /* text that must follow */
    bool copied[MAX_DRAFTS]; /* what followed a repeat */
    int parent[MAX_DRAFTS];  /* the draft before it; -1: the path. The law behind draft i is p[i + 1] */
    int kept[MAX_DRAFTS];    /* (accepted) each the parent of the next */
    bool chain;              /* each follows the one before it */
    bool ends;               /* nothing follows the last draft that is kept */
} step;

typedef struct checker {
    vb_trace_report *r;
    char chain[33];
    uint64_t seed;
    char rule[16], draft[16];
    json_int_t n_vocab, gamma, top_k;
    double temperature;
    int32_t *stop;
    size_t n_stop;
    json_int_t position; /* of the next token */
    bool ended, headed;
    step s;
    law p[MAX_DRAFTS + 1], q[MAX_DRAFTS];
    wide *w; /* (w_room) weights of a residual */
    int w_room;
    const vb_mask *mask;          /* NULL: what it said is taken as it is */
    bool trees;                   /* the generation drafts trees */
    int shape[MAX_DRAFTS];        /* siblings at each depth, 0 behind the last */
    bool through_text;            /* the draft model's ids are not the target's: it draws nothing */
    bool copies;                  /* the generation copies what followed repeats */
    bool mixed, typical, dynamic; /* XTC, typical-p, dynamic temperature are on */
    wide largest;                 /* a weight is at most this */
    char mask_name[33];           /* "": the generation had none */
    int32_t *ids; /* (ids_room) those generated since text was given, with room for the drafts of a step */
    size_t n_ids, ids_room;
    uint64_t *allowed; /* (n_vocab bits) */
} checker;

#define FAIL(...)                                                                                            \
    do {                                                                                                     \
        snprintf(c->r->why, sizeof c->r->why, __VA_ARGS__);                                                  \
        return false;                                                                                        \
    } while (0)

static inline bool is(const char *a, const char *b) {
    return !strcmp(a, b);
}

/* trace_values.c: members of a line, with their ranges. */
bool vb_tc_integer(checker *c, const json_t *line, const char *name, json_int_t lo, json_int_t hi,
                   json_int_t *out);
/* A decimal string below 2^127. */
bool vb_tc_number(checker *c, const json_t *v, wide *out);
bool vb_tc_id(checker *c, const json_t *v, int32_t *out);
/* float64: the bits count, the decimals must be theirs. */
bool vb_tc_real(checker *c, const json_t *o, const char *name, double *out);
/* A probability [weight, total]. */
bool vb_tc_ratio(checker *c, const json_t *v, wide out[2]);
bool vb_tc_law(checker *c, const json_t *v, law *l);
/* The weight of an id, 0 where the law does not have it. */
wide vb_tc_weight(const law *l, int32_t id);
/* Is this the coin of (position, offset, purpose), and what is its value? bound 0: any. */
bool vb_tc_coin(checker *c, const json_t *v, int offset, int purpose, wide bound, wide *r);
/* The id that r, from 0 to the sum of the weights, falls on. */
int32_t vb_tc_pick(const int32_t *id, const wide *w, int n, wide r);
/* The winner of the exponential race on a law, n ids of `without` aside. */
int32_t vb_tc_race(checker *c, const law *l, json_int_t position, const int32_t *without, int n);
/* Drafts up to draft i on its path; 0 of -1. */
static inline int vb_tc_depth(const step *s, int i) {
    int depth = 0;
    for (; i >= 0; i = s->parent[i]) depth++;
    return depth;
}
/* The draft that the path ends with after `n` that are kept; -1: none is. */
static inline int vb_tc_last(const step *s, int n) {
    return n > 0 ? s->kept[n - 1] : -1;
}
/* Was anything drafted behind draft i (-1: the path)? */
static inline bool vb_tc_leaf(const step *s, int i) {
    for (int k = i + 1; k < s->n; k++)
        if (s->parent[k] == i) return false;
    return true;
}

/* trace_mask.c: what the mask said at each place of a step, derived again. */
bool vb_tc_masks(checker *c, const json_t *line);
/* Adds the tokens that a step gave to the ids that the mask sees. */
bool vb_tc_remember(checker *c);

/* trace_rules.c: whether the drafts are what was drawn, and what each rule makes of them. */
bool vb_tc_drafts(checker *c);
bool vb_tc_coupled(checker *c);
/* accept iff r < w*V for r in [0, v*W); otherwise a draw from max(0, w*V - v*W) */
bool vb_tc_rejection(checker *c);
bool vb_tc_block(checker *c);

#endif
