/* trace_check.h - derives every decision of a trace again, from docs/trace.md and docs/speculation.md alone:
 * no model, no code of sampling/ but Philox. A second writing of the rules, so that a mistake in the first
 * shows.
 *
 * A full trace (vb_trace_params.full) is derived completely: drafts from q and their coins, decisions from p,
 * q and coins, the last token of every step, races. Of another one only what does not need the whole laws:
 * the chain, positions and counts, coins against seed and counter, the decisions of `rejection` and of the
 * last place under `block`.
 */
#ifndef VB_TRACE_CHECK_H
#define VB_TRACE_CHECK_H

#include "include/verbatim.h"

typedef struct vb_trace_report {
    bool ok;
    int line;      /* where it stopped being right, from 1; the number of lines if ok */
    char why[256]; /* what does not follow */
    bool full;
    int lines, steps, prompts, tokens;
    int drafted, accepted;
    int draws;     /* drafted tokens derived from q and their coin */
    int decisions; /* accept or reject, derived from p, q and a coin */
    int finals;    /* residual and bonus tokens derived */
    int races;     /* races run again: the target's and the drafter's */
    int coins;     /* coins whose value was derived from seed and counter */
    int masks;     /* what a mask said, derived from the mask and the ids before */
    bool masked;   /* the generation had a mask */
} vb_trace_report;

/* `text`: a whole trace. `mask` (may be NULL): the one that the generation had, made again from its
 * grammar and the model's vocabulary; it must have the name in the trace's header, and every hash of what
 * it said is derived. Returns r->ok. */
bool vb_trace_check(const char *text, size_t len, const vb_mask *mask, vb_trace_report *r);

/* Makes the hashes of a changed trace right again, in place, up to a line that has none: for tests of the
 * check. */
void vb_trace_rechain(char *text, size_t len);

#endif
