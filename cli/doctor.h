/* doctor.h - what the parts of `verbatim doctor` share: doctor.c compares vocabularies, doctor_measure.c
 * measures, doctor_report.c says what was found. What is measured is one JSON object, which is also what is
 * kept: a second call with the same files on the same machine prints it again. */
#ifndef VERBATIM_CLI_DOCTOR_H
#define VERBATIM_CLI_DOCTOR_H

#include "cli/cli.h"

enum { DOCTOR_PROMPTS = 16 };
#define DOCTOR_SPREAD 0.25 /* rounds that differ by more are told of */

/* The prompts that acceptance is measured on: --prompts, one a line, or a few of our own. */
typedef struct doctor_prompts {
    char *text; /* the file's; free */
    const char *line[DOCTOR_PROMPTS];
    size_t len[DOCTOR_PROMPTS];
    int n;
} doctor_prompts;
int doctor_read_prompts(const cli_options *o, doctor_prompts *p);

/* {"tokens", "prompts", "costs", "rows", "spread", "others", "at"}: rows are speeds, predicted and measured,
 * the target alone first; spread is how much longer the slowest of its rounds took than the fastest, others
 * and at are cli_load's.
 * draft NULL: only copies from the text draft. brief: the target alone and auto, once, for ranking. */
int doctor_measure(const cli_options *o, const char *draft, const doctor_prompts *p, bool brief,
                   json_t **out);
/* What weights and contexts take, beside what is there. */
json_t *doctor_memory(const cli_options *o, const cli_model *target, const cli_model *draft);

void doctor_print_memory(const json_t *memory);
void doctor_print_measured(const json_t *measured);
/* One sentence: which length to use and what it gains, or that nothing gains and why. */
void doctor_recommend(const json_t *measured, char *out, size_t size);
void doctor_print_ranks(const json_t *ranks);

#endif
