/* test_context.c - contexts: rollback leaves no trace (P4), errors leave the context as it was, cancelling,
 * the cache's hash, log-probabilities (P5), observation, and overflow that must not pass silently (P6). */
#include "tests/model_util.h"

#include "engine/context.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static const gw_model_spec small = {.seed = 40, .type = VB_Q8_0, .heads = 4, .kv_heads = 2};

enum { N = 60 };

static test_model model;
static int32_t tokens[N + 200];

static int open_all(void **state) {
    (void)state;
    model = open_tiny(&small);
    random_tokens(41, model.n_vocab, tokens, N + 200);
    return 0;
}

static int close_all(void **state) {
    (void)state;
    close_tiny(&model);
    return 0;
}

/* ---------------------------------------------------------------------- rollback */

/* The caches hold the same bytes at positions [0, n): looked at directly, not through the hash. */
static void expect_same_cache(const vb_context *a, const vb_context *b, int n) {
    const vb_model_info *i = vb_model_describe(vb_context_model(a));
    const size_t na = (size_t)a->cache.n_ctx, nb = (size_t)b->cache.n_ctx;
    for (size_t h = 0; h < (size_t)i->n_layers * (size_t)i->n_kv_heads; h++) {
        const size_t k = h * vb_kv_bytes(a->cache.k_type, i->head_dim),
                     v = h * vb_kv_bytes(a->cache.v_type, i->head_dim);
        const size_t keys = (size_t)n * vb_kv_bytes(a->cache.k_type, i->head_dim),
                     values = (size_t)n * vb_kv_bytes(a->cache.v_type, i->head_dim);
        assert_memory_equal((const char *)a->cache.k + k * na, (const char *)b->cache.k + k * nb, keys);
        assert_memory_equal((const char *)a->cache.v + v * na, (const char *)b->cache.v + v * nb, values);
    }
}

static void test_rollback(void **state) {
    (void)state;
    for (int kv = 0; kv < 2; kv++) {
        const vb_type type = kv ? VB_F32 : VB_F16;
        vb_context *plain = open_context(&model, 1, 64, VB_ACT_Q8, type);
        vb_context *drafted = open_context(&model, 2, 5, VB_ACT_Q8, type);
        uint8_t h0[16], h1[16];
        for (int at = 0; at < N; at++) {
            eval(plain, tokens + at, 1, NULL);
            /* One right token and up to seven wrong ones in one call, then all but the right one are taken
             * back. */
            int32_t draft[8] = {tokens[at]};
            const int wrong = at % 8;
            memcpy(draft + 1, tokens + N + at, (size_t)wrong * sizeof *draft);
            uint8_t want[8] = {1, 1, 1, 1, 1, 1, 1, 1};
            eval(drafted, draft, 1 + wrong, want);
            assert_int_equal(vb_context_length(drafted), at + 1 + wrong);
            assert_int_equal(vb_context_truncate(drafted, at + 1, NULL), 0);
            assert_memory_equal(vb_logits(plain, 0), vb_logits(drafted, 0),
                                (size_t)model.n_vocab * sizeof(float));
            vb_context_hash(plain, h0);
            vb_context_hash(drafted, h1);
            assert_memory_equal(h0, h1, 16);
        }
        expect_same_cache(plain, drafted, N);
        /* Back to the start of the second half, and again. */
        assert_int_equal(vb_context_truncate(drafted, N / 2, NULL), 0);
        eval(drafted, tokens + N / 2, N / 2, NULL);
        expect_same_cache(plain, drafted, N);
        assert_int_equal(vb_context_truncate(drafted, 0, NULL), 0);
        eval(drafted, tokens, N, NULL);
        expect_same_cache(plain, drafted, N);
        vb_context_close(plain);
        vb_context_close(drafted);
    }
}

static void test_hash(void **state) {
    (void)state;
    vb_context_params p;
    vb_context_defaults(&p);
    p.n_threads = 1;
    p.n_ctx = 64;
    vb_context *a = NULL, *b = open_context(&model, 1, 64, VB_ACT_Q8, VB_F16);
    uint8_t ha[16], hb[16], shorter[16];
    assert_int_equal(vb_context_open(&a, model.model, &p, NULL), 0);
    eval(a, tokens, N, NULL);
    eval(b, tokens, N, NULL);
    assert_int_equal(vb_context_size(a), 64);
    assert_int_equal(vb_context_size(b), 512);
    vb_context_hash(a, ha); /* capacities differ, contents do not */
    vb_context_hash(b, hb);
    assert_memory_equal(ha, hb, 16);
    vb_context_truncate(b, N - 1, NULL);
    vb_context_hash(b, shorter);
    assert_memory_not_equal(ha, shorter, 16);
    vb_context_close(a);
    vb_context_close(b);
}

/* ---------------------------------------------------------------------- errors */

static void test_eval_errors(void **state) {
    (void)state;
    vb_context_params p;
    vb_context_defaults(&p);
    p.n_ctx = 32;
    p.n_threads = 1;
    vb_context *c = NULL;
    uint8_t before[16], after[16];
    vb_error err = {.code = VB_OK};
    assert_int_equal(vb_context_open(&c, model.model, &p, &err), 0);
    eval(c, tokens, 20, NULL);
    float *logits = malloc((size_t)model.n_vocab * sizeof *logits);
    assert_non_null(logits);
    memcpy(logits, vb_logits(c, 19), (size_t)model.n_vocab * sizeof *logits);
    vb_context_hash(c, before);

    const int32_t high[] = {1, model.n_vocab}, low[] = {-1};
    assert_int_equal(vb_eval(c, high, 2, NULL, &err), VB_ERR_ARGUMENT);
    assert_non_null(strstr(err.message, "token 1 is"));
    assert_int_equal(vb_eval(c, low, 1, NULL, NULL), VB_ERR_ARGUMENT);
    assert_int_equal(vb_eval(c, tokens, 0, NULL, NULL), VB_ERR_ARGUMENT);
    assert_int_equal(vb_eval(c, tokens, 13, NULL, NULL), VB_ERR_FULL);
    assert_int_equal(vb_context_truncate(c, 21, NULL), VB_ERR_ARGUMENT);
    assert_int_equal(vb_context_truncate(c, -1, NULL), VB_ERR_ARGUMENT);
    assert_int_equal(vb_context_length(c), 20);
    vb_context_hash(c, after);
    assert_memory_equal(before, after, 16);
    assert_memory_equal(logits, vb_logits(c, 19), (size_t)model.n_vocab * sizeof *logits);
    assert_null(vb_logits(c, 18));
    assert_null(vb_logits(c, 20));
    eval(c, tokens + 20, 12, NULL); /* full to the last position */
    assert_int_equal(vb_eval(c, tokens, 1, NULL, &err), VB_ERR_FULL);
    free(logits);
    vb_context_close(c);
}

static void expect_open_error(void (*change)(vb_context_params *p), int code) {
    vb_context_params p;
    vb_context *c = (vb_context *)&p; /* any value: must be left alone */
    vb_error err = {.code = VB_OK};
    vb_context_defaults(&p);
    change(&p);
    assert_int_equal(vb_context_open(&c, model.model, &p, &err), code);
    assert_int_equal(err.code, code);
    assert_ptr_equal(c, &p);
}

static void too_long(vb_context_params *p) {
    p->n_ctx = 513;
}
static void negative_length(vb_context_params *p) {
    p->n_ctx = -1;
}
static void too_many_threads(vb_context_params *p) {
    p->n_threads = 100000;
}
static void negative_batch(vb_context_params *p) {
    p->batch = -2;
}
static void wrong_kv(vb_context_params *p) {
    p->k_type = VB_Q6_K;
}
static void wrong_activations(vb_context_params *p) {
    p->activations = (vb_activations)7;
}
static void unknown_kernels(vb_context_params *p) {
    p->kernels = "sse17";
}

static void test_open_errors(void **state) {
    (void)state;
    expect_open_error(too_long, VB_ERR_ARGUMENT);
    expect_open_error(negative_length, VB_ERR_ARGUMENT);
    expect_open_error(too_many_threads, VB_ERR_ARGUMENT);
    expect_open_error(negative_batch, VB_ERR_ARGUMENT);
    expect_open_error(wrong_kv, VB_ERR_ARGUMENT);
    expect_open_error(wrong_activations, VB_ERR_ARGUMENT);
    expect_open_error(unknown_kernels, VB_ERR_UNSUPPORTED);
    vb_context *c = NULL;
    assert_int_equal(vb_context_open(&c, model.model, NULL, NULL), 0); /* all defaults */
    assert_int_equal(vb_context_size(c), 512);
    assert_true(vb_context_threads(c) >= 1 && vb_context_bytes(c) > 0);
    assert_ptr_equal(vb_context_model(c), model.model);
    vb_context_close(c);
    vb_context_close(NULL);
}

/* ---------------------------------------------------------------------- cancelling */

typedef struct countdown {
    int calls, stop_at;
} countdown;

static bool count_down(void *user) {
    countdown *d = user;
    return ++d->calls == d->stop_at;
}

static void test_cancel(void **state) {
    (void)state;
    countdown d = {0, 0};
    vb_context_params p;
    vb_context_defaults(&p);
    p.n_threads = 2;
    p.batch = 8;
    p.cancel = count_down;
    p.user = &d;
    vb_context *c = NULL, *plain = open_context(&model, 1, 64, VB_ACT_Q8, VB_F16);
    uint8_t h0[16], h1[16];
    assert_int_equal(vb_context_open(&c, model.model, &p, NULL), 0);
    eval(c, tokens, 10, NULL);
    eval(plain, tokens, 10, NULL);
    vb_context_hash(plain, h0);
    int cancelled = 0;
    for (d.stop_at = 1;; d.stop_at++) { /* at every place where it asks */
        d.calls = 0;
        const int rc = vb_eval(c, tokens + 10, 30, NULL, NULL);
        if (rc == VB_OK) break;
        assert_int_equal(rc, VB_ERR_CANCELLED);
        assert_int_equal(vb_context_length(c), 10);
        assert_null(vb_logits(c, 29));
        vb_context_hash(c, h1);
        assert_memory_equal(h0, h1, 16);
        cancelled++;
    }
    assert_true(cancelled >= 8); /* four pieces of two layers */
    eval(plain, tokens + 10, 30, NULL);
    assert_memory_equal(vb_logits(plain, 29), vb_logits(c, 29), (size_t)model.n_vocab * sizeof(float));
    vb_context_hash(plain, h0);
    vb_context_hash(c, h1);
    assert_memory_equal(h0, h1, 16);
    vb_context_close(c);
    vb_context_close(plain);
}

/* ---------------------------------------------------------------------- wanted logits, log-probabilities */

static void test_wanted(void **state) {
    (void)state;
    uint8_t all[N], some[N], none[N] = {0};
    memset(all, 1, sizeof all);
    for (int i = 0; i < N; i++) some[i] = i % 7 == 3;
    vb_context *a = open_context(&model, 1, 16, VB_ACT_Q8, VB_F16),
               *b = open_context(&model, 1, 16, VB_ACT_Q8, VB_F16);
    assert_null(vb_logits(a, 0));
    eval(a, tokens, N, all);
    eval(b, tokens, N, some);
    for (size_t i = 0; i < N; i++) {
        if (some[i])
            assert_memory_equal(vb_logits(a, i), vb_logits(b, i), (size_t)model.n_vocab * sizeof(float));
        else
            assert_null(vb_logits(b, i));
    }
    vb_context_truncate(b, 0, NULL);
    eval(b, tokens, N, none);
    for (size_t i = 0; i < N; i++) assert_null(vb_logits(b, i));
    uint8_t ha[16], hb[16];
    vb_context_hash(a, ha);
    vb_context_hash(b, hb);
    assert_memory_equal(ha, hb, 16);
    vb_context_close(a);
    vb_context_close(b);
}

static void test_logprob(void **state) {
    (void)state;
    vb_context *c = open_context(&model, 1, 64, VB_ACT_Q8, VB_F16);
    eval(c, tokens, N, NULL);
    const float *l = vb_logits(c, N - 1);
    double total = 0.0, sum = 0.0;
    for (int i = 0; i < model.n_vocab; i++) sum += exp((double)l[i]);
    for (int i = 0; i < model.n_vocab; i++) {
        const double lp = vb_logprob(l, model.n_vocab, i);
        assert_true(fabs(lp - ((double)l[i] - log(sum))) < 1e-13);
        total += exp(lp);
    }
    assert_true(fabs(total - 1.0) < 1e-12);
    const float far[3] = {1000.0f, -1000.0f, 1000.0f};
    assert_true(fabs(vb_logprob(far, 3, 0) + log(2.0)) < 1e-15 &&
                fabs(vb_logprob(far, 3, 1) + 2000.0 + log(2.0)) < 1e-12);
    vb_context_close(c);
}

/* ---------------------------------------------------------------------- observation */

typedef struct seen {
    const char *what;
    int cols, calls, rows;
} seen;

typedef struct record {
    seen name[13];
    int next_position; /* of "embd" */
    float last_logit;
} record;

static void look(void *user, const char *what, int layer, int position, int rows, int cols,
                 const float *values) {
    record *r = user;
    const bool outside = !strcmp(what, "embd") || !strcmp(what, "output_norm") || !strcmp(what, "logits");
    assert_int_equal(layer == -1, outside);
    for (size_t i = 0; i < 13; i++) {
        if (strcmp(r->name[i].what, what) != 0) continue;
        assert_int_equal(cols, r->name[i].cols);
        r->name[i].calls++;
        r->name[i].rows += rows;
        if (i == 0) {
            assert_int_equal(position, r->next_position);
            r->next_position += rows;
        }
        if (i == 12) r->last_logit = values[0];
        return;
    }
    fail_msg("observed something unknown: %s", what);
}

static void test_observe(void **state) {
    (void)state;
    const vb_model_info *i = vb_model_describe(model.model);
    const int Q = i->n_heads * i->head_dim, K = i->n_kv_heads * i->head_dim;
    record r = {.name = {{"embd", i->dim, 0, 0},
                         {"attn_norm", i->dim, 0, 0},
                         {"q", Q, 0, 0},
                         {"k", K, 0, 0},
                         {"v", K, 0, 0},
                         {"heads", Q, 0, 0},
                         {"attn_out", i->dim, 0, 0},
                         {"ffn_norm", i->dim, 0, 0},
                         {"ffn_hidden", i->ffn_dim, 0, 0},
                         {"ffn_out", i->dim, 0, 0},
                         {"layer_out", i->dim, 0, 0},
                         {"output_norm", i->dim, 0, 0},
                         {"logits", i->n_vocab, 0, 0}}};
    vb_context_params p;
    vb_context_defaults(&p);
    p.batch = 25;
    p.observe = look;
    p.user = &r;
    vb_context *c = NULL;
    assert_int_equal(vb_context_open(&c, model.model, &p, NULL), 0);
    eval(c, tokens, N, NULL);
    for (size_t n = 0; n < 13; n++) {
        const bool end = n >= 11;
        const int layers = n == 0 || end ? 1 : i->n_layers;
        assert_int_equal(r.name[n].rows, end ? 1 : N * layers);
    }
    assert_true(r.last_logit == vb_logits(c, N - 1)[0]);
    vb_context_close(c);
}

/* ---------------------------------------------------------------------- overflow */

/* A model whose tensor `name` (F32) is multiplied by `factor`. */
static test_model scaled(const char *name, float factor) {
    const gw_model_spec spec = {.seed = 42};
    gw *w = gw_tiny_writer(&spec);
    test_model t;
    vb_error err = {.code = VB_OK};
    bool found = false;
    for (size_t n = 0; n < w->tensors_len; n++) {
        if (strcmp(w->tensors[n].name, name) != 0) continue;
        float *x = (float *)(void *)w->tensors[n].data;
        for (size_t i = 0; i < w->tensors[n].bytes / sizeof *x; i++) x[i] *= factor;
        found = true;
    }
    assert_true(found);
    if (open_writer(w, &t, &err)) fail_msg("%s", err.message);
    return t;
}

static void expect_numeric(const char *tensor, float factor, vb_type kv, int code, const char *says) {
    test_model t = scaled(tensor, factor);
    vb_context *c = open_context(&t, 1, 64, VB_ACT_Q8, kv);
    vb_error err = {.code = VB_OK};
    assert_int_equal(vb_eval(c, tokens, 3, NULL, &err), code);
    if (code) {
        assert_int_equal(vb_context_length(c), 0);
        assert_null(vb_logits(c, 2));
        if (!strstr(err.message, says)) fail_msg("\"%s\" does not say \"%s\"", err.message, says);
    }
    vb_context_close(c);
    close_tiny(&t);
}

static void test_overflow(void **state) {
    (void)state;
    expect_numeric("blk.0.attn_k.weight", 1.0f, VB_F16, 0, "");
    expect_numeric("blk.0.attn_k.weight", 1e6f, VB_F16, VB_ERR_NUMERIC, "F32 KV cache");
    expect_numeric("blk.1.attn_v.weight", 1e6f, VB_F16, VB_ERR_NUMERIC, "F32 KV cache");
    expect_numeric("blk.0.attn_k.weight", 1e6f, VB_F32, 0, "");
    expect_numeric("token_embd.weight", 1e20f, VB_F32, VB_ERR_NUMERIC, "not finite");
    expect_numeric("blk.1.ffn_down.weight", 1e30f, VB_F32, VB_ERR_NUMERIC, "layer 1");
    expect_numeric("blk.0.attn_output.weight", 1e25f, VB_F32, VB_ERR_NUMERIC, "layer 0");
    expect_numeric("output.weight", 1e38f, VB_F32, VB_ERR_NUMERIC, "not finite");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rollback),    cmocka_unit_test(test_hash),
        cmocka_unit_test(test_eval_errors), cmocka_unit_test(test_open_errors),
        cmocka_unit_test(test_cancel),      cmocka_unit_test(test_wanted),
        cmocka_unit_test(test_logprob),     cmocka_unit_test(test_observe),
        cmocka_unit_test(test_overflow),
    };
    return cmocka_run_group_tests_name("context", tests, open_all, close_all);
}
