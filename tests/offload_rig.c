/* offload_rig.c - small models with a backend, and the logits that they give. */
#include "tests/offload_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

test_model tiny(vb_type type) {
    return open_tiny(
        &(gw_model_spec){.dim = 64, .ffn = 96, .layers = 2, .n_ctx = 128, .seed = 5, .type = type});
}

int open_with(vb_context **c, const test_model *m, vb_offload *o, int width, bool check_all, int threads,
              int batch, vb_error *err) {
    vb_context_params p;
    vb_context_defaults(&p);
    p.n_threads = threads;
    p.batch = batch;
    p.offload = o;
    p.offload_width = width;
    p.offload_check_all = check_all;
    return vb_context_open(c, m->model, &p, err);
}

vb_context *open_good(const test_model *m, vb_offload *o, int width, bool check_all, int threads, int batch) {
    vb_context *c = NULL;
    vb_error err = {.code = VB_OK};
    if (open_with(&c, m, o, width, check_all, threads, batch, &err)) fail_msg("%s", err.message);
    return c;
}

float *all_logits(vb_context *c, const test_model *m, int step) {
    int32_t tokens[N];
    uint8_t want[N];
    const size_t V = (size_t)m->n_vocab;
    float *out = calloc(N * V, sizeof *out);
    random_tokens(9, m->n_vocab, tokens, N);
    memset(want, 1, sizeof want);
    for (int i = 0; i < N; i += step) {
        const int n = N - i < step ? N - i : step;
        eval(c, tokens + i, n, want);
        for (int j = 0; j < n; j++)
            memcpy(out + (size_t)(i + j) * V, vb_logits(c, (size_t)j), V * sizeof *out);
    }
    return out;
}

void same_logits(const float *a, const float *b, const test_model *m) {
    assert_memory_equal(a, b, (size_t)N * (size_t)m->n_vocab * sizeof *a);
}
