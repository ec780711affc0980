/* test_rope.c - another RoPE than the file's (vb_rope_params): each setting gives the bits of a file whose
 * keys have that value, the one without a key the formula of docs/numerics.md; what would have no effect is
 * refused; the longest context; the line that reports hold. */
#include "tests/model_util.h"

#include "gguf/gguf.h"
#include "ref/model.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { N = 40, N_CTX = 512 };

static const gw_model_spec llama = {
    .seed = 5, .arch = "llama", .type = VB_F32, .dim = 64, .heads = 4, .kv_heads = 2, .ffn = 64, .layers = 2};

static void as_is(gw *w) {
    (void)w;
}
static void linear_4(gw *w) {
    gw_str(w, "llama.rope.scaling.type", "linear");
    gw_f32(w, "llama.rope.scaling.factor", 4.0f);
}
static void none(gw *w) {
    gw_str(w, "llama.rope.scaling.type", "none");
}
static void yarn_4(gw *w) {
    gw_str(w, "llama.rope.scaling.type", "yarn");
    gw_f32(w, "llama.rope.scaling.factor", 4.0f);
}
static void yarn_8(gw *w) {
    gw_str(w, "llama.rope.scaling.type", "yarn");
    gw_f32(w, "llama.rope.scaling.factor", 8.0f);
}
static void yarn_all(gw *w) {
    yarn_4(w);
    gw_u32(w, "llama.rope.scaling.original_context_length", 64);
    gw_f32(w, "llama.rope.scaling.yarn_beta_fast", 16.0f);
    gw_f32(w, "llama.rope.scaling.yarn_beta_slow", 2.0f);
    gw_f32(w, "llama.rope.scaling.attn_factor", 1.25f);
}
static void yarn_64(gw *w) {
    yarn_4(w);
    gw_u32(w, "llama.rope.scaling.original_context_length", 64);
}

static int open_with(const gw_model_spec *spec, void (*keys)(gw *), const vb_model_params *p, test_model *t,
                     vb_error *err) {
    size_t size;
    gw *w = gw_tiny_writer(spec);
    assert_non_null(w);
    keys(w);
    uint8_t *bytes = gw_finish(w, &size);
    gw_free(w);
    *t = (test_model){.gguf = NULL};
    if (vb_gguf_open_memory(&t->gguf, bytes, size, "tiny.gguf", err)) fail_msg("%s", err->message);
    free(bytes);
    const int rc = vb_model_open_with(&t->model, t->gguf, p, err);
    if (rc == VB_OK) t->n_vocab = vb_model_describe(t->model)->n_vocab;
    return rc;
}

static test_model must_open(const gw_model_spec *spec, void (*keys)(gw *), const vb_model_params *p) {
    test_model t;
    vb_error err = {0};
    if (open_with(spec, keys, p, &t, &err)) fail_msg("%s", err.message);
    return t;
}

static vb_model_params params(vb_rope_scaling scaling, double factor) {
    vb_model_params p;
    vb_model_defaults(&p);
    p.rope.scaling = scaling;
    p.rope.factor = factor;
    return p;
}

/* ---------------------------------------------------------------------- as if the file said so */

/* Logits of both, and what the oracle has of them, are the same bits. */
static bool same(const test_model *a, const test_model *b) {
    int32_t tokens[N];
    const size_t V = (size_t)a->n_vocab;
    double *oracle[2] = {malloc(N * V * sizeof(double)), malloc(N * V * sizeof(double))};
    vb_context *c[2] = {open_context(a, 1, 16, VB_ACT_Q8, VB_F16), open_context(b, 1, 16, VB_ACT_Q8, VB_F16)};
    random_tokens(3, a->n_vocab, tokens, N);
    eval(c[0], tokens, N, NULL);
    eval(c[1], tokens, N, NULL);
    vb_error err = {0};
    assert_true(oracle[0] && oracle[1]);
    assert_int_equal(vb_oracle(a->model, tokens, N, oracle[0], &err), VB_OK);
    assert_int_equal(vb_oracle(b->model, tokens, N, oracle[1], &err), VB_OK);
    const bool logits = !memcmp(vb_logits(c[0], N - 1), vb_logits(c[1], N - 1), V * sizeof(float));
    const bool truth = !memcmp(oracle[0], oracle[1], N * V * sizeof(double));
    assert_int_equal(logits, truth);
    for (int i = 0; i < 2; i++) {
        vb_context_close(c[i]);
        free(oracle[i]);
    }
    return logits;
}

static vb_model_params base(double b) {
    vb_model_params p = params(VB_ROPE_AS_FILE, 0);
    p.rope.base = b;
    return p;
}

static vb_model_params everything(void) {
    vb_model_params p = params(VB_ROPE_YARN, 4);
    p.rope.yarn_from = 64;
    p.rope.yarn_beta_fast = 16;
    p.rope.yarn_beta_slow = 2;
    p.rope.yarn_attn = 1.25;
    return p;
}

static vb_model_params details(int from, double fast, double slow, double attn) {
    vb_model_params p = params(VB_ROPE_AS_FILE, 0);
    p.rope.yarn_from = from;
    p.rope.yarn_beta_fast = fast;
    p.rope.yarn_beta_slow = slow;
    p.rope.yarn_attn = attn;
    return p;
}

static void test_as_if(void **state) {
    (void)state;
    gw_model_spec based = llama;
    based.rope_base = 500000;
    const struct {
        const gw_model_spec *told; /* the file that says it */
        void (*told_keys)(gw *);
        void (*keys)(gw *); /* the file that is told */
        vb_model_params p;
    } cases[] = {
        {&based, as_is, as_is, base(500000)},
        {&llama, linear_4, as_is, params(VB_ROPE_AS_FILE, 4)},
        {&llama, linear_4, as_is, params(VB_ROPE_LINEAR, 4)},
        {&llama, linear_4, none, params(VB_ROPE_LINEAR, 4)},
        {&llama, linear_4, yarn_4, params(VB_ROPE_LINEAR, 0)}, /* the file's factor */
        {&llama, as_is, linear_4, params(VB_ROPE_NONE, 0)},
        {&llama, as_is, yarn_all, params(VB_ROPE_NONE, 0)},
        {&llama, as_is, linear_4, params(VB_ROPE_AS_FILE, 1)},
        {&llama, yarn_4, as_is, params(VB_ROPE_YARN, 4)},
        {&llama, yarn_4, linear_4, params(VB_ROPE_YARN, 0)},
        {&llama, yarn_8, yarn_4, params(VB_ROPE_AS_FILE, 8)},
        {&llama, yarn_all, as_is, everything()},
        {&llama, yarn_all, yarn_4, details(64, 16, 2, 1.25)},
        {&llama, yarn_64, yarn_4, details(64, 0, 0, 0)},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        test_model told = must_open(cases[i].told, cases[i].told_keys, NULL);
        test_model made = must_open(&llama, cases[i].keys, &cases[i].p);
        test_model plain = must_open(&llama, cases[i].keys, NULL);
        if (!same(&told, &made)) fail_msg("case %zu: other logits than the file's that says it", i);
        if (same(&plain, &made)) fail_msg("case %zu: nothing changed", i);
        assert_null(vb_model_rope(told.model));
        assert_non_null(vb_model_rope(made.model));
        close_tiny(&told);
        close_tiny(&made);
        close_tiny(&plain);
    }
}

/* ---------------------------------------------------------------------- what has no key */

/* docs/numerics.md, with libm. */
static double blended(int j, int d, double b, double factor, double from, double ext) {
    const double pi2 = 8 * atan(1.0), freq = pow(b, -2.0 * j / d);
    const double low = fmax(floor(d * log(from / (32 * pi2)) / (2 * log(b))), 0);
    const double high = fmin(ceil(d * log(from / pi2) / (2 * log(b))), d - 1);
    const double r = fmin(fmax((j - low) / (high - low), 0), 1), mix = 1 - (1 - r) * ext;
    return freq / factor * mix + freq * (1 - mix);
}

static void test_ext(void **state) {
    (void)state;
    static const double exts[] = {0, 0.25, 0.5, 1};
    for (int i = 0; i < 4; i++) {
        vb_model_params p = params(VB_ROPE_YARN, 4);
        p.rope.yarn_from = 4096;
        p.rope.yarn_ext = exts[i];
        test_model t = must_open(&llama, as_is, &p);
        const vb_rope *r = &t.model->ropes[0];
        for (int j = 0; j < r->rot / 2; j++) {
            const double want = blended(j, r->rot, 10000, 4, 4096, exts[i]);
            assert_true(fabs(r->freq[j] - want) <= 1e-14 * want);
        }
        const double length = exts[i] > 0 ? 1 + 0.1 * log(4) : 1;
        assert_true(fabs(r->mscale - length) < 1e-14 && r->scale == 1.0);
        close_tiny(&t);
    }
    vb_model_params whole = params(VB_ROPE_YARN, 4); /* 1 is what files mean, to the bit */
    whole.rope.yarn_ext = 1;
    test_model told = must_open(&llama, yarn_4, NULL), made = must_open(&llama, as_is, &whole);
    assert_true(same(&told, &made));
    close_tiny(&told);
    close_tiny(&made);
}

/* gemma3's windows keep their own table, and phi3 its factors. */
static void test_other_tables(void **state) {
    (void)state;
    gw_model_spec spec = llama;
    vb_model_params p = params(VB_ROPE_LINEAR, 4);
    vb_error err = {0};
    p.rope.base = 2e6;
    spec.arch = "gemma3";
    spec.layers = 6;
    spec.window = 20;
    test_model with = must_open(&spec, as_is, &p), without = must_open(&spec, as_is, NULL);
    assert_int_equal(with.model->n_ropes, 2);
    const vb_rope *a = with.model->ropes, *b = without.model->ropes;
    assert_true(a[0].base == 2e6 && a[0].scale == 0.25);
    assert_true(a[1].base == b[1].base && a[1].scale == b[1].scale);
    assert_memory_equal(a[1].freq, b[1].freq, (size_t)a[1].rot / 2 * sizeof *a[1].freq);
    close_tiny(&with);
    close_tiny(&without);
    spec.arch = "phi3";
    spec.kv_heads = 4;
    spec.long_from = 64;
    assert_int_equal(open_with(&spec, as_is, &p, &with, &err), VB_ERR_ARGUMENT);
    assert_non_null(strstr(err.message, "factors of their own"));
    vb_gguf_close(with.gguf);
    p = base(2e6);
    with = must_open(&spec, as_is, &p);
    assert_true(with.model->ropes[0].base == 2e6);
    close_tiny(&with);
}

/* ---------------------------------------------------------------------- contexts, refusals, reports */

static void longest(void (*keys)(gw *), vb_model_params p, int want) {
    test_model t = must_open(&llama, keys, &p);
    assert_int_equal(vb_model_describe(t.model)->n_ctx, want);
    vb_context_params cp;
    vb_error err = {0};
    vb_context_defaults(&cp);
    cp.n_ctx = want;
    assert_int_equal(vb_context_check(t.model, &cp, NULL, &err), VB_OK);
    cp.n_ctx = want + 1;
    assert_int_equal(vb_context_check(t.model, &cp, NULL, &err), VB_ERR_ARGUMENT);
    close_tiny(&t);
}

static void test_longest(void **state) {
    (void)state;
    longest(as_is, params(VB_ROPE_AS_FILE, 4), 4 * N_CTX);
    longest(linear_4, params(VB_ROPE_AS_FILE, 8), 2 * N_CTX); /* 512 is with the file's 4 */
    longest(linear_4, params(VB_ROPE_NONE, 0), N_CTX / 4);
    longest(as_is, params(VB_ROPE_YARN, 4), 4 * N_CTX);
    longest(as_is, everything(), 4 * 64);
    longest(yarn_64, details(0, 0, 0, 1.5), N_CTX); /* nothing that concerns it */
    /* rot is 16: the base for three times the context is 3^(16/14) times as large */
    longest(as_is, base(10000 * pow(3, 16.0 / 14)), 3 * N_CTX);
    longest(as_is, base(5000), N_CTX);
}

static void refused(void (*keys)(gw *), vb_model_params p, const char *words) {
    test_model t;
    vb_error err = {0};
    assert_int_equal(open_with(&llama, keys, &p, &t, &err), VB_ERR_ARGUMENT);
    assert_null(t.model);
    if (!strstr(err.message, words)) fail_msg("\"%s\" does not say \"%s\"", err.message, words);
    vb_gguf_close(t.gguf);
}

static void test_refused(void **state) {
    (void)state;
    refused(as_is, params(VB_ROPE_LINEAR, 0), "no effect without a factor");
    refused(as_is, params(VB_ROPE_YARN, 0), "no effect without a factor");
    refused(none, params(VB_ROPE_AS_FILE, 4), "no effect under scaling \"none\"");
    refused(linear_4, params(VB_ROPE_NONE, 4), "no effect under scaling \"none\"");
    refused(as_is, params(VB_ROPE_YARN, 0.5), "a factor below 1");
    refused(linear_4, details(64, 0, 0, 0), "no effect without it");
    refused(linear_4, details(0, 8, 0, 0), "no effect without it");
    refused(linear_4, details(0, 0, 8, 0), "no effect without it");
    refused(linear_4, details(0, 0, 0, 2), "no effect without it");
    vb_model_params p = params(VB_ROPE_AS_FILE, 0);
    p.rope.yarn_ext = 0;
    refused(as_is, p, "no effect without it");
    p.rope.yarn_ext = 1.5;
    refused(as_is, p, "rope.yarn_ext is 1.5");
    refused(as_is, base(0.5), "rope.base is 0.5, must be 1 to 1e+12");
    refused(as_is, base(NAN), "rope.base is nan");
    refused(as_is, params(VB_ROPE_AS_FILE, -2), "rope.factor is -2");
    refused(as_is, params((vb_rope_scaling)4, 2), "rope.scaling is 4");
    refused(as_is, details(-1, 0, 0, 0), "rope.yarn_from is -1");
    refused(as_is, details(0, 1e9, 0, 0), "rope.yarn_beta_fast");
}

static void test_line(void **state) {
    (void)state;
    const struct {
        vb_model_params p;
        const char *line;
    } cases[] = {{base(500000), "base 500000, not scaled"},
                 {params(VB_ROPE_AS_FILE, 4), "base 10000, linear, positions times 0.25"},
                 {everything(),
                  "base 10000, yarn, factor 4, from 64, ext 1, lengths times 1.4232867951399863, "
                  "beta 16 to 2"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        test_model t = must_open(&llama, as_is, &cases[i].p);
        assert_string_equal(vb_model_rope(t.model), cases[i].line);
        close_tiny(&t);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_as_if),   cmocka_unit_test(test_ext),     cmocka_unit_test(test_other_tables),
        cmocka_unit_test(test_longest), cmocka_unit_test(test_refused), cmocka_unit_test(test_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
