/* planted.h - mistakes planted into tokenizers, engines and samplers, and what the shipped vectors say of
 * each (test_planted_engine.c). */
#ifndef PLANTED_H
#define PLANTED_H

#include "base/buf.h"
#include "conformance/recording.h"

/* The table of docs/vectors.md, a line for each mistake, and how many there are. */
extern vb_buf planted_table;
extern int planted_count;

/* One bug in the table, and the bug must have been found at this level. */
void planted_caught(const char *bug, const char *file, const cf_comparison *c, int level);
/* An engine without a mistake passes. */
void planted_right(const char *what, const cf_comparison *c);
/* A file of vectors/ (free). */
char *planted_ours(const char *name, size_t *n);

/* Tests of their own files: planted_tokens.c, planted_sampler.c. */
void planted_tokens(void **state);
/* The prompt itself differs: said before any number is compared. */
void planted_missing_bos(void **state);
void planted_samplers(void **state);

#endif
