/* offload_rig.h - a small model, contexts with a backend and their logits, for the tests of offloading. */
#ifndef OFFLOAD_RIG_H
#define OFFLOAD_RIG_H

#include "tests/model_util.h"

enum { N = 24 }; /* tokens of a sequence */

test_model tiny(vb_type type);
/* A context with this backend (NULL: none) and width; batch 0: the default. */
int open_with(vb_context **c, const test_model *m, vb_offload *o, int width, bool check_all, int threads,
              int batch, vb_error *err);
/* The same; failing fails the test. */
vb_context *open_good(const test_model *m, vb_offload *o, int width, bool check_all, int threads, int batch);
/* Logits after each of N tokens, evaluated in calls of `step`; free. */
float *all_logits(vb_context *c, const test_model *m, int step);
/* Fails unless both are the same bytes. */
void same_logits(const float *a, const float *b, const test_model *m);

#endif
