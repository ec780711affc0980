/* model_util.c - small models and contexts that a test opens in one line. */
#include "tests/model_util.h"

#include "gguf/gguf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

int open_writer(gw *w, test_model *out, vb_error *err) {
    size_t size;
    *out = (test_model){.gguf = NULL};
    assert_non_null(w);
    uint8_t *bytes = gw_finish(w, &size);
    gw_free(w);
    if (vb_gguf_open_memory(&out->gguf, bytes, size, "tiny.gguf", err)) fail_msg("%s", err->message);
    free(bytes);
    const int rc = vb_model_open(&out->model, out->gguf, err);
    if (rc) {
        assert_null(out->model);
        vb_gguf_close(out->gguf);
        out->gguf = NULL;
        return rc;
    }
    out->n_vocab = vb_model_describe(out->model)->n_vocab;
    return VB_OK;
}

test_model open_tiny(const gw_model_spec *spec) {
    test_model t;
    vb_error err = {.code = VB_OK};
    if (open_writer(gw_tiny_writer(spec), &t, &err)) fail_msg("%s", err.message);
    return t;
}

void close_tiny(test_model *t) {
    vb_model_close(t->model);
    vb_gguf_close(t->gguf);
}

void random_tokens(uint64_t seed, int n_vocab, int32_t *tokens, int n) {
    gw_rng r = {seed};
    for (int i = 0; i < n; i++) tokens[i] = (int32_t)(gw_next(&r) % (uint64_t)n_vocab);
}

vb_context *open_context(const test_model *t, int threads, int batch, vb_activations a, vb_type kv_type) {
    vb_context_params p;
    vb_context *c = NULL;
    vb_error err = {.code = VB_OK};
    vb_context_defaults(&p);
    p.n_threads = threads;
    p.batch = batch;
    p.activations = a;
    p.k_type = p.v_type = kv_type;
    if (vb_context_open(&c, t->model, &p, &err)) fail_msg("%s", err.message);
    return c;
}

void open_tiny_pair(test_model model[2], vb_context *context[2]) {
    for (int i = 0; i < 2; i++) {
        gw_model_spec spec = {
            .dim = 32, .layers = 1, .heads = 2, .ffn = 32, .seed = 5, .type = VB_Q8_0, .n_ctx = 64};
        spec.branch = 0.6f;
        spec.noise = i ? 0.3f : 0;
        model[i] = open_tiny(&spec);
        context[i] = open_context(&model[i], 1, 16, VB_ACT_Q8, VB_F16);
    }
}

void close_tiny_pair(test_model model[2], vb_context *context[2]) {
    for (int i = 0; i < 2; i++) {
        vb_context_close(context[i]);
        close_tiny(&model[i]);
    }
}

void eval(vb_context *c, const int32_t *tokens, int n, const uint8_t *want) {
    vb_error err = {.code = VB_OK};
    if (vb_eval(c, tokens, (size_t)n, want, &err)) fail_msg("%s", err.message);
}
