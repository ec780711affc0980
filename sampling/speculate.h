/* speculate.h - the loop, with its parts as arguments. vb_spec_open fills them with contexts, Philox and the
 * chosen rule; the law enumeration fills them with tables, every outcome of every coin, and rules that are
 * wrong on purpose. */
#ifndef VB_SPECULATE_H
#define VB_SPECULATE_H

#include "sampling/drafter.h"
#include "ref/kernels.h"

typedef struct vb_spec_parts {
    vb_lm target;
    vb_law_source law;
    const vb_drafter *drafter; /* NULL: the target alone. Taken over, closed with the vb_spec */
    int32_t draft_capacity;    /* most ids in a law of the drafter, where that is more than in the target's */
    const vb_coins *coins;
    vb_rule rule;
    int gamma;
    bool tree;                /* trees may be drafted, and all is judged by their rule */
    int shape[VB_TREE_DEPTH]; /* of all; with costs chosen step by step, as the length of a chain is */
    const vb_costs *costs;    /* lengths are chosen, at most gamma; NULL: gamma. Copied */
    bool reads_past_alone;    /* and by this generation's past alone (rejection, block), not by the company */
    const int32_t *lengths;   /* that go before (vb_spec_params). Copied */
    size_t n_lengths;
    uint64_t one; /* of a one-hot q: text that must follow (vb_one_hot); 0: it is not proposed */
    const int32_t *stop;
    size_t n_stop;
    const int32_t *history; /* what the target's cache holds already */
    size_t n_history;
    bool logprobs;
    const vb_kernels *kernels; /* for the log-probabilities; NULL: the reference */
} vb_spec_parts;

/* What parts point to must outlive the vb_spec; history is copied. */
int vb_spec_assemble(vb_spec **out, const vb_spec_parts *parts, vb_error *err);

/* For traces: what the parameters at vb_spec_open were. NULL for an assembled one. */
const vb_sampling *vb_spec_sampling(const vb_spec *s);
const vb_spec_params *vb_spec_parameters(const vb_spec *s);
int32_t vb_spec_vocab(const vb_spec *s);
/* Most tokens that a step may draft. */
int vb_spec_longest(const vb_spec *s);
/* By which lengths are chosen; NULL: they are not. */
const vb_costs *vb_spec_costs(const vb_spec *s);

#endif
