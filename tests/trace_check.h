/* trace_check.h - derives every decision of a full trace again, from docs/trace.md and docs/speculation.md
 * alone: no model, no code of sampling/ but Philox and log1p. */
#ifndef TRACE_CHECK_H
#define TRACE_CHECK_H

#include "verbatim.h"

typedef struct trace_counts {
    int lines, steps, prompts, drafted, accepted, draws, decisions, finals, races;
} trace_counts;

/* `text`: a whole trace. True when everything in it follows; otherwise `why` says what does not. */
bool trace_check(const char *text, size_t len, trace_counts *counts, char why[256]);

/* Makes the hashes of a changed trace right again, in place. */
void trace_rechain(char *text, size_t len);

#endif
