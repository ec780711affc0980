/* test_kernel_sets.c - whole forward passes are the same bits (P1) with every set of kernels that this CPU
 * runs, weights as mapped or interleaved, 1 to 4 threads, any split of the tokens into calls, q8 and q16:
 * logits of all positions and the KV cache, against the reference on one thread. Then interleaving itself:
 * what it refuses, how it stops, what it costs. */
#include "tests/model_util.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { N = 37 };

typedef struct result {
    float *logits; /* (N, n_vocab) */
    uint8_t hash[16];
} result;

typedef struct setting {
    const char *kernels;
    int threads, batch;
    vb_activations activations;
    vb_type kv;
} setting;

static result evaluate(const test_model *t, const int32_t *tokens, const setting *s) {
    vb_context_params p;
    vb_context *c = NULL;
    vb_error err = {0};
    vb_context_defaults(&p);
    p.n_ctx = N;
    p.kernels = s->kernels;
    p.n_threads = s->threads;
    p.batch = s->batch;
    p.activations = s->activations;
    p.k_type = p.v_type = s->kv;
    if (vb_context_open(&c, t->model, &p, &err)) fail_msg("%s", err.message);
    uint8_t want[N];
    memset(want, 1, sizeof want);
    const size_t V = (size_t)t->n_vocab;
    result r = {.logits = malloc(N * V * sizeof(float))};
    /* A prompt, then single tokens, then a batch like a verification. */
    static const int pieces[] = {N - 9, 1, 1, 7};
    int at = 0;
    for (int i = 0; i < 4; i++) {
        if (vb_eval(c, tokens + at, (size_t)pieces[i], want, &err)) fail_msg("%s", err.message);
        for (int k = 0; k < pieces[i]; k++)
            memcpy(r.logits + (size_t)(at + k) * V, vb_logits(c, (size_t)k), V * sizeof(float));
        at += pieces[i];
    }
    vb_context_hash(c, r.hash);
    vb_context_close(c);
    return r;
}

static void compare(const test_model *t, const int32_t *tokens, const result *want, const setting *s,
                    bool packed) {
    const result got = evaluate(t, tokens, s);
    if (memcmp(got.logits, want->logits, (size_t)N * (size_t)t->n_vocab * sizeof(float)) ||
        memcmp(got.hash, want->hash, sizeof got.hash))
        fail_msg("kernels %s, %d threads, batch %d, %s, %s, weights %s: other bits than the reference",
                 s->kernels, s->threads, s->batch, s->activations == VB_ACT_Q16 ? "q16" : "q8",
                 s->kv == VB_F32 ? "F32 cache" : "F16 cache", packed ? "interleaved" : "as mapped");
    free(got.logits);
}

static void all_settings(const test_model *t, const int32_t *tokens, const result want[2], bool packed) {
    int n = 0;
    for (const char *const *name = vb_kernel_names(); *name; name++) {
        for (int threads = 1; threads <= 4; threads++) {
            for (int a = 0; a < 2; a++, n++) {
                const setting s = {*name, threads, n % 3 ? 64 : 5, a ? VB_ACT_Q16 : VB_ACT_Q8, VB_F16};
                if (!strcmp(*name, "ref") && (packed || threads % 2 == 0)) continue; /* slow */
                compare(t, tokens, &want[a], &s, packed);
            }
        }
    }
}

static void repack(test_model *t, const char *kernels) {
    vb_error err = {0};
    const vb_repack_params p = {.kernels = kernels, .threads = 2};
    if (vb_model_repack(t->model, &p, &err)) fail_msg("%s", err.message);
}

static void check_model(test_model *t) {
    int32_t tokens[N];
    random_tokens(5, t->n_vocab, tokens, N);
    result want[2];
    for (int a = 0; a < 2; a++) {
        const setting s = {"ref", 1, 64, a ? VB_ACT_Q16 : VB_ACT_Q8, VB_F16};
        want[a] = evaluate(t, tokens, &s);
    }
    all_settings(t, tokens, want, false);
    repack(t, "auto");
    all_settings(t, tokens, want, true);
    const setting s32 = {"ref", 1, 64, VB_ACT_Q8, VB_F32}, fast32 = {"auto", 2, 64, VB_ACT_Q8, VB_F32};
    const result f32 = evaluate(t, tokens, &s32);
    compare(t, tokens, &f32, &fast32, true);
    free(f32.logits);
    free(want[0].logits);
    free(want[1].logits);
}

/* ---------------------------------------------------------------------- seeded models, every type */

static void check_type(vb_type type, int k) {
    static const char *const archs[] = {"llama", "qwen2", "qwen3", "gemma3", "phi3"};
    const bool wide = vb_type_block_values((int)type) == 256;
    /* ffn of 288 and kv_heads*head_dim of 40 leave partial row blocks. */
    const gw_model_spec spec = {.seed = 100 + (uint64_t)k,
                                .arch = archs[k % 5],
                                .type = type,
                                .dim = wide ? 256 : 96,
                                .heads = wide ? 4 : 6,
                                .kv_heads = 2,
                                .ffn = wide ? 256 : 288,
                                .window = k % 5 >= 3 ? 20 + k : 0,
                                .layers = wide ? 1 : 2,
                                .tied = k % 2 == 0};
    test_model t = open_tiny(&spec);
    check_model(&t);
    close_tiny(&t);
}

static void test_types_32(void **state) {
    (void)state;
    int k = 0;
    for (int type = 0; type < VB_TYPE_LIMIT; type++)
        if (vb_type_block_values(type) == 32) check_type((vb_type)type, k++);
}

static void test_types_256(void **state) {
    (void)state;
    int k = 0;
    for (int type = 0; type < VB_TYPE_LIMIT; type++)
        if (vb_type_block_values(type) == 256) check_type((vb_type)type, k++);
}

static void test_types_float(void **state) {
    (void)state;
    int k = 0;
    for (int type = 0; type < VB_TYPE_LIMIT; type++)
        if (vb_type_block_values(type) == 1) check_type((vb_type)type, k++);
}

/* ---------------------------------------------------------------------- trained and mixed models */

static void test_fixtures(void **state) {
    (void)state;
    static const char *const files[] = {
        "stories260K", "llama2xs",   "arch-qwen2",  "arch-qwen3", "arch-llama3-ropefreqs",
        "mix-Q4_K_M",  "mix-Q3_K_M", "type-IQ4_XS", "type-MXFP4", "type-Q2_K"};
    const char *folder = getenv("VB_FIXTURES");
    if (!folder) {
        print_message("VB_FIXTURES is not set\n");
        skip();
    }
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        char path[1024];
        snprintf(path, sizeof path, "%s/models/%s.gguf", folder, files[i]);
        test_model t = {0};
        vb_error err = {0};
        if (vb_gguf_open(&t.gguf, path, &err) || vb_model_open(&t.model, t.gguf, &err))
            fail_msg("%s", err.message);
        t.n_vocab = vb_model_describe(t.model)->n_vocab;
        check_model(&t);
        close_tiny(&t);
    }
}

/* ---------------------------------------------------------------------- interleaving */

typedef struct watch {
    uint64_t last, total;
    int calls, stop_at;
} watch;

static bool on_progress(void *user, uint64_t done, uint64_t total) {
    watch *w = user;
    assert_true(done >= w->last && done <= total);
    w->last = done;
    w->total = total;
    return ++w->calls == w->stop_at;
}

static const gw_model_spec spec_q4 = {.seed = 9, .type = VB_Q4_0, .dim = 96, .heads = 6, .ffn = 288};

static void test_repack_progress(void **state) {
    (void)state;
    test_model t = open_tiny(&spec_q4);
    watch w = {.stop_at = 3};
    vb_repack_params p = {.kernels = vb_kernel_names()[1], .progress = on_progress, .user = &w};
    if (!p.kernels) {
        print_message("only the reference runs here\n");
        close_tiny(&t);
        skip();
    }
    vb_error err = {0};
    assert_int_equal(vb_model_repack(t.model, &p, &err), VB_ERR_CANCELLED);
    assert_int_equal(vb_model_packed_bytes(t.model), 0);
    w = (watch){0};
    err = (vb_error){0};
    assert_int_equal(vb_model_repack(t.model, &p, &err), VB_OK); /* cancelling left the model as it was */
    assert_true(w.calls == 16 && w.last == w.total && w.total == vb_model_packed_bytes(t.model) &&
                w.total > 0);
    /* Weights once more at most, rounded up to row blocks and pages. */
    assert_true(vb_model_packed_bytes(t.model) < 2 * vb_model_describe(t.model)->weight_bytes + 15 * 4096);
    assert_int_equal(vb_model_repack(t.model, &p, &err), VB_ERR_ARGUMENT);
    close_tiny(&t);
}

static void test_repack_errors(void **state) {
    (void)state;
    test_model t = open_tiny(&spec_q4);
    vb_error err = {0};
    vb_repack_params p = {.kernels = "avx1024"};
    assert_int_equal(vb_model_repack(t.model, &p, &err), VB_ERR_UNSUPPORTED);
    assert_non_null(strstr(err.message, "avx1024"));
    assert_non_null(strstr(err.message, "ref"));
    p = (vb_repack_params){.threads = -1};
    assert_int_equal(vb_model_repack(t.model, &p, NULL), VB_ERR_ARGUMENT);
    p = (vb_repack_params){.kernels = "ref"};
    assert_int_equal(vb_model_repack(t.model, &p, NULL), VB_OK);
    assert_int_equal(vb_model_packed_bytes(t.model), 0);
    if (vb_kernel_names()[1]) { /* no room: the model stays as mapped, and can be used or tried again */
        p = (vb_repack_params){.kernels = vb_kernel_names()[1], .reserve = UINT64_MAX};
        err = (vb_error){0};
        assert_int_equal(vb_model_repack(t.model, &p, &err), VB_ERR_MEMORY);
        assert_non_null(strstr(err.message, "does not fit"));
        assert_int_equal(vb_model_packed_bytes(t.model), 0);
        p.reserve = 0;
        assert_int_equal(vb_model_repack(t.model, &p, NULL), VB_OK);
        assert_true(vb_model_packed_bytes(t.model) > 0);
    }
    close_tiny(&t);
}

int main(void) {
    unsetenv("VERBATIM_KERNELS");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_types_32),        cmocka_unit_test(test_types_256),
        cmocka_unit_test(test_types_float),     cmocka_unit_test(test_fixtures),
        cmocka_unit_test(test_repack_progress), cmocka_unit_test(test_repack_errors),
    };
    return cmocka_run_group_tests_name("kernel_sets", tests, NULL, NULL);
}
