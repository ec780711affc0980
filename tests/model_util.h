/* model_util.h - seeded small models opened in memory, for the tests of the forward pass. */
#ifndef MODEL_UTIL_H
#define MODEL_UTIL_H

#include "tests/gguf_writer.h"

typedef struct test_model {
    vb_gguf *gguf;
    vb_model *model;
    int n_vocab;
} test_model;

/* The model of a spec; failing it fails the test. */
test_model open_tiny(const gw_model_spec *spec);
/* The model of a writer, which is freed; returns vb_model_open's code (the gguf itself must be good). */
int open_writer(gw *w, test_model *out, vb_error *err);
void close_tiny(test_model *t);

/* n seeded token ids below n_vocab. */
void random_tokens(uint64_t seed, int n_vocab, int32_t *tokens, int n);

/* A context with these settings; failing fails the test. */
vb_context *open_context(const test_model *t, int threads, int batch, vb_activations a, vb_type kv_type);
/* A target and a draft that is the same with noise, each with a context of one thread and batches of 16. */
void open_tiny_pair(test_model model[2], vb_context *context[2]);
void close_tiny_pair(test_model model[2], vb_context *context[2]);
/* vb_eval that must succeed. */
void eval(vb_context *c, const int32_t *tokens, int n, const uint8_t *want);

#endif
