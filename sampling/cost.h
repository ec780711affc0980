/* cost.h - how many tokens a step drafts (--gamma auto): from what passes cost and from what came of the
 * drafts so far.
 *
 * Everything here is a pure function of the costs, which do not change during a generation, and of the
 * generation's own past. No clock, no load, no other request: `rejection` and `block` need that, because
 * under them the text of a seed depends on every proposal. vb_pace_company is the one exception, and only
 * `coupled` and `greedy` call it. Formulas and sources: docs/speculation.md, "How many tokens". */
#ifndef VB_COST_H
#define VB_COST_H

#include "include/verbatim.h"

/* Most tokens that are drafted where the length is chosen here. */
#define VB_AUTO_MAX (VB_COST_ROWS - 1)

/* The time of T tokens of the target in one pass behind n positions, in units of one token behind an empty
 * cache. T need not be whole. */
double vb_cost_pass(const vb_costs *c, double T, double n);
/* The time of one token of the draft model behind n positions, in the same unit. */
double vb_cost_draft(const vb_costs *c, double n);

/* A share of successes that forgets: of the last few dozen tries, and of a guess made before them. */
typedef struct vb_rate {
    double hits, tries;
} vb_rate;

/* Who proposed a token. Each has its own record: a copy from the text costs nothing to propose. */
typedef enum vb_source { VB_BY_MODEL, VB_BY_LOOKUP } vb_source;
enum { VB_N_SOURCES = 2, VB_PACE_BINS = 8, VB_PACE_SIBLINGS = 4 };

/* What a step does with a source: it drafts because that pays or may pay, tries whether it does by now, or
 * lets it rest. */
typedef enum vb_trying { VB_PAYS, VB_PROBES, VB_RESTS } vb_trying;

typedef struct vb_record {
    vb_rate all;
    vb_rate place[VB_AUTO_MAX];   /* of drafts at that place of a proposal, those before it accepted */
    vb_rate bin[VB_PACE_BINS];    /* of drafts that the drafter was so sure of */
    vb_rate sure;                 /* how sure it was of those that were tested: hits is the sum */
    uint64_t probe_at, probe_gap; /* when a drafter that does not pay is tried again, in steps */
} vb_record;

/* What a generation knows. Starts as vb_pace_start says, whatever caches hold. */
typedef struct vb_pace {
    vb_costs costs;
    vb_record record[VB_N_SOURCES];
    double emitted; /* tokens so far */
    double loss;    /* time so far beyond that of the target alone for the same tokens; negative: a gain */
    vb_rate each;   /* evaluations of the draft model per draft of its: hits of tries */
    double unread;  /* tokens that the draft model has to read before it can draft, beside the last one */
    uint64_t steps;

    bool trees;                            /* may be planned. Set after vb_pace_start */
    vb_rate sibling[VB_PACE_SIBLINGS - 1]; /* of the second, third, ... where those before it are rejected */

    double others, rows; /* vb_pace_company */

    /* The step in progress. */
    double position;
    double rate;  /* tokens per time that the plan expects */
    double reach; /* probability that all drafts so far are accepted */
    vb_trying trying[VB_N_SOURCES];
    int planned[VB_N_SOURCES];   /* drafts that each source may make */
    int evaluated;               /* evaluations of the draft model; -1: one for each of its drafts */
    bool model;                  /* a draft model is there */
    int shape[VB_TREE_DEPTH];    /* of the tree that the model is to draft; {0}: a chain */
    int n;                       /* drafts that are noted, text that must follow among them */
    uint8_t source[VB_AUTO_MAX]; /* of these */
    float confidence[VB_AUTO_MAX];
} vb_pace;

void vb_pace_start(vb_pace *p, const vb_costs *c);

/* A step begins behind n positions and may draft at most `max` tokens; `model`: a draft model is there.
 * Fills in planned. */
void vb_pace_plan(vb_pace *p, size_t n, int max, bool model);
/* Behind it: whether the model is to draft a tree, of at most `max` tokens. Fills in shape and planned. */
void vb_pace_plan_tree(vb_pace *p, int max);
/* A draft stands in the proposal: how sure its drafter is of it (the weight of the likeliest id in its law;
 * 1 of a copy). */
void vb_pace_note(vb_pace *p, const vb_drafted *d, vb_source source, double confidence);
/* Whether the model drafts another token behind those that are noted; at most `max` in all. */
bool vb_pace_more(const vb_pace *p, int max);
/* How often the draft model was evaluated in the step, where that is not once for each of its drafts. */
void vb_pace_evaluated(vb_pace *p, int n);
/* What became of the step: drafts[0..n) are those noted. `emitted` tokens came of it. */
void vb_pace_learn(vb_pace *p, const vb_drafted *drafts, int n, int n_emitted);
/* The same of a tree. */
void vb_pace_learn_tree(vb_pace *p, const vb_drafted *drafts, int n, int n_emitted);

/* Others' sequences that share the passes of this step, and their rows. */
void vb_pace_company(vb_pace *p, int others, int rows);

#endif
