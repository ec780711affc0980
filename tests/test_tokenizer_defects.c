/* Files whose tokenizer is broken or of an unknown kind: each is refused with a message that names file and
 * key. Each case starts from a good file, which opens, and changes one thing. */
#include "tests/tokenizer_util.h"

#include "gguf/gguf.h"
#include "tokenizer/tokenizer.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A good file, one part of which a case replaces. */
typedef struct parts {
    bool bpe;
    const char *model, *pre;
    vocab v;
    const void *kinds;
    vb_value_type kinds_type;
    size_t n_kinds;
    const float *scores;
    vb_value_type scores_type;
    size_t n_scores;
    const char *merges[4];
    size_t n_merges;
    bool no_tokens, no_kinds, no_scores, no_merges;
} parts;

static gw *write_parts(const parts *p) {
    gw *w = gw_new();
    gw_str(w, "general.architecture", "llama");
    if (p->model) gw_str(w, "tokenizer.ggml.model", p->model);
    if (p->pre) gw_str(w, "tokenizer.ggml.pre", p->pre);
    if (!p->no_tokens) gw_array_str(w, "tokenizer.ggml.tokens", p->v.text, p->v.n);
    if (!p->no_kinds)
        gw_array(w, "tokenizer.ggml.token_type", p->kinds_type, p->kinds ? p->kinds : p->v.kind, p->n_kinds,
                 p->n_kinds * (p->kinds_type == VB_VALUE_U8 ? 1 : 4));
    if (!p->no_scores)
        gw_array(w, "tokenizer.ggml.scores", p->scores_type, p->scores ? p->scores : p->v.score, p->n_scores,
                 p->n_scores * (p->scores_type == VB_VALUE_U8 ? 1 : 4));
    if (p->bpe && !p->no_merges) gw_array_str(w, "tokenizer.ggml.merges", p->merges, p->n_merges);
    return w;
}

static parts good(bool bpe) {
    parts p = {.bpe = bpe, .model = bpe ? "gpt2" : "llama", .pre = bpe ? "gpt-2" : NULL, .no_scores = bpe};
    if (!bpe) {
        vocab_add(&p.v, "<unk>", VB_TOKEN_UNKNOWN, 0);
        vocab_add(&p.v, "<s>", VB_TOKEN_CONTROL, 0);
        vocab_add(&p.v, "</s>", VB_TOKEN_CONTROL, 0);
        vocab_add(&p.v, "<0x41>", VB_TOKEN_BYTE, 0);
    }
    vocab_add(&p.v, "a", VB_TOKEN_NORMAL, -1);
    vocab_add(&p.v, "b", VB_TOKEN_NORMAL, -2);
    vocab_add(&p.v, "ab", VB_TOKEN_NORMAL, -3);
    p.merges[0] = "a b";
    p.n_merges = 1;
    p.n_kinds = p.n_scores = p.v.n;
    p.kinds_type = VB_VALUE_I32;
    p.scores_type = VB_VALUE_F32;
    return p;
}

/* Opens; the code must be `code` and the message name the file, `key` (if any) and `what`. */
static void expect(gw *w, int code, const char *key, const char *what) {
    vb_gguf *g = NULL;
    vb_tokenizer *t = NULL;
    vb_error err;
    int rc = open_written(w, &g, &t, &err);
    if (rc != code) fail_msg("%s: code %d, expected %d: %s", what, rc, code, err.message);
    if (code != VB_OK) {
        assert_null(t);
        assert_int_equal(err.code, code);
        if (!strstr(err.message, "test.gguf") || !strstr(err.message, key) || !strstr(err.message, what))
            fail_msg("the message does not name '%s' and '%s': %s", key, what, err.message);
    }
    vb_tokenizer_close(t);
    vb_gguf_close(g);
    gw_free(w);
}

static void test_good(void **state) {
    (void)state;
    for (int bpe = 0; bpe < 2; bpe++) {
        parts p = good(bpe);
        expect(write_parts(&p), VB_OK, "", "");
        p.kinds_type = VB_VALUE_U32;
        expect(write_parts(&p), VB_OK, "", "");
        p.no_kinds = bpe; /* BPE can do without */
        expect(write_parts(&p), VB_OK, "", "");
        vocab_free(&p.v);
    }
}

static void test_model_and_pre(void **state) {
    (void)state;
    parts p = good(true);
    p.model = NULL;
    expect(write_parts(&p), VB_ERR_FORMAT, "tokenizer.ggml.model", "absent");
    p.model = "bert";
    expect(write_parts(&p), VB_ERR_UNSUPPORTED, "tokenizer.ggml.model", "'bert' is not known; known: llama");
    p.model = "gpt2";
    static const char *const unknown[] = {"default", "whatever", "qwen3", ""};
    for (int i = 0; i < 4; i++) {
        p.pre = unknown[i];
        expect(write_parts(&p), VB_ERR_UNSUPPORTED, "tokenizer.ggml.pre",
               "gpt-2, llama-bpe, qwen2, deepseek-llm, deepseek-coder, deepseek-v3, falcon, starcoder, "
               "refact, mpt, olmo, "
               "smollm, command-r, tekken, gpt-4o");
        expect(write_parts(&p), VB_ERR_UNSUPPORTED, "tokenizer.ggml.pre", i < 3 ? unknown[i] : "absent");
    }
    p.pre = NULL;
    expect(write_parts(&p), VB_ERR_UNSUPPORTED, "tokenizer.ggml.pre", "absent");
    gw *w = write_parts(&p);
    gw_u32(w, "tokenizer.ggml.pre", 1);
    expect(w, VB_ERR_FORMAT, "tokenizer.ggml.pre", "not a string");
    vocab_free(&p.v);
    p = good(false);
    w = write_parts(&p);
    gw_bool(w, "tokenizer.ggml.remove_extra_whitespaces", true);
    expect(w, VB_ERR_UNSUPPORTED, "remove_extra_whitespaces", "not supported");
    w = write_parts(&p);
    gw_array(w, "tokenizer.ggml.precompiled_charsmap", VB_VALUE_U8, "x", 1, 1);
    expect(w, VB_ERR_UNSUPPORTED, "precompiled_charsmap", "not supported");
    vocab_free(&p.v);
}

static void expect_pre(gw *w, const char *pre, int code, const char *what, bool overridden) {
    vb_gguf *g = NULL;
    vb_tokenizer *t = NULL;
    vb_error err = {0};
    size_t n;
    uint8_t *bytes = gw_finish(w, &n);
    if (vb_gguf_open_memory(&g, bytes, n, "test.gguf", &err)) fail_msg("%s", err.message);
    free(bytes);
    const int rc = vb_tokenizer_open_with(&t, g, &(vb_tokenizer_params){.pre = pre}, &err);
    if (rc != code) fail_msg("--pre %s: code %d: %s", pre, rc, err.message);
    if (rc && !strstr(err.message, what)) fail_msg("%s", err.message);
    if (!rc) assert_string_equal(vb_tokenizer_pre(t), what);
    if (!rc) assert_int_equal(vb_tokenizer_pre_overridden(t), overridden);
    vb_tokenizer_close(t);
    vb_gguf_close(g);
    gw_free(w);
}

/* A pre-tokenizer that the caller names counts, whatever the file says. */
static void test_given_pre(void **state) {
    (void)state;
    parts p = good(true);
    static const char *const file[] = {NULL, "", "default", "whatever", "gpt-2", "qwen2"};
    for (int i = 0; i < 6; i++) {
        p.pre = file[i];
        expect_pre(write_parts(&p), "gpt-2", VB_OK, "gpt-2", i != 4);
        expect_pre(write_parts(&p), "phi-2", VB_OK, "gpt-2", i != 4); /* another name of the same */
        expect_pre(write_parts(&p), "qwen2", VB_OK, "qwen2", i != 5);
        expect_pre(write_parts(&p), "nonsense", VB_ERR_ARGUMENT,
                   "'nonsense' is not known. Known: gpt-2, llama-bpe", false);
        expect_pre(write_parts(&p), "", VB_ERR_ARGUMENT, "'' is not known", false);
        if (i < 4) expect_pre(write_parts(&p), NULL, VB_ERR_UNSUPPORTED, "--pre NAME", false);
    }
    vocab_free(&p.v);
    p = good(false);
    expect_pre(write_parts(&p), NULL, VB_OK, "", false);
    expect_pre(write_parts(&p), "gpt-2", VB_ERR_ARGUMENT, "SentencePiece", false);
    vocab_free(&p.v);
    size_t n = 0;
    for (const char *name; (name = vb_pre_name(n)); n++) {
        assert_non_null(vb_pre_find(name, strlen(name)));
        for (size_t i = 0; i < n; i++) assert_string_not_equal(name, vb_pre_name(i));
    }
    assert_true(n > 15);
}

static void test_arrays(void **state) {
    (void)state;
    parts p = good(false);
    p.no_tokens = true;
    expect(write_parts(&p), VB_ERR_FORMAT, "tokenizer.ggml.tokens", "absent");
    p.no_tokens = false, p.no_kinds = true;
    expect(write_parts(&p), VB_ERR_FORMAT, "tokenizer.ggml.token_type", "absent");
    p.no_kinds = false, p.no_scores = true;
    expect(write_parts(&p), VB_ERR_FORMAT, "tokenizer.ggml.scores", "absent");
    p.no_scores = false, p.n_kinds--;
    expect(write_parts(&p), VB_ERR_FORMAT, "tokenizer.ggml.token_type", "6 elements for 7 tokens");
    p.n_kinds++, p.n_scores--;
    expect(write_parts(&p), VB_ERR_FORMAT, "tokenizer.ggml.scores", "6 elements for 7 tokens");
    p.n_scores++, p.kinds_type = VB_VALUE_U8;
    expect(write_parts(&p), VB_ERR_FORMAT, "tokenizer.ggml.token_type", "int32 or uint32");
    p.kinds_type = VB_VALUE_F32;
    expect(write_parts(&p), VB_ERR_FORMAT, "tokenizer.ggml.token_type", "int32 or uint32");
    p.kinds_type = VB_VALUE_I32, p.scores_type = VB_VALUE_U8;
    expect(write_parts(&p), VB_ERR_FORMAT, "tokenizer.ggml.scores", "float32");
    p.scores_type = VB_VALUE_I32;
    expect(write_parts(&p), VB_ERR_FORMAT, "tokenizer.ggml.scores", "float32");
    p.scores_type = VB_VALUE_F32;
    static const int32_t bad_kind[] = {0, 7, -1};
    for (int i = 0; i < 3; i++) {
        p.v.kind[5] = bad_kind[i];
        expect(write_parts(&p), VB_ERR_FORMAT, "tokenizer.ggml.token_type", "token 5");
    }
    p.v.kind[5] = VB_TOKEN_NORMAL;
    p.v.score[5] = NAN;
    expect(write_parts(&p), VB_ERR_FORMAT, "tokenizer.ggml.scores", "token 5");
    p.v.score[5] = -INFINITY;
    expect(write_parts(&p), VB_ERR_FORMAT, "tokenizer.ggml.scores", "token 5");
    p.v.score[5] = 0;
    p.v.text[5] = "a";
    expect(write_parts(&p), VB_ERR_FORMAT, "tokenizer.ggml.tokens", "tokens 4 and 5 have the same text 'a'");
    char *longest = malloc(VB_TOKEN_LIMIT + 2);
    assert_non_null(longest);
    memset(longest, 'x', VB_TOKEN_LIMIT + 1);
    longest[VB_TOKEN_LIMIT + 1] = 0;
    p.v.text[5] = longest;
    expect(write_parts(&p), VB_ERR_FORMAT, "tokenizer.ggml.tokens", "token 5 has 65537 bytes");
    p.v.text[5] = longest + 1;
    expect(write_parts(&p), VB_OK, "", "");
    free(longest);
    p.v.text[5] = "";
    expect(write_parts(&p), VB_OK, "", "");
    vocab_free(&p.v);
}

static void test_byte_tokens(void **state) {
    (void)state;
    parts p = good(false);
    static const char *const bad[] = {"<0x4>", "<0x411>", "<0x-1>", "<0x4G>", "<0X41>",
                                      "0x41",  "<0x 1>",  "<0x41]", ""};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        p.v.text[3] = bad[i];
        expect(write_parts(&p), VB_ERR_FORMAT, "tokenizer.ggml.tokens", "byte token 3");
    }
    p.v.text[3] = "<0xfF>";
    expect(write_parts(&p), VB_OK, "", "");
    p.v.text[3] = "<0x41>";
    p.v.text[4] = "<0x4a>", p.v.kind[4] = VB_TOKEN_BYTE;
    expect(write_parts(&p), VB_OK, "", "");
    p.v.text[3] = "<0x4A>";
    expect(write_parts(&p), VB_ERR_FORMAT, "tokenizer.ggml.tokens", "tokens 3 and 4 stand for the same byte");
    vocab_free(&p.v);
}

enum { MERGED = 40 };

/* Scores of MERGED entries that merging makes, beside ones that it does not. */
static void expect_scores(const float score[MERGED], int code) {
    parts p = good(false);
    char text[3 * MERGED][8];
    for (int i = 0; i < MERGED; i++) {
        snprintf(text[3 * i], 8, "%c%c", 'a' + i / 10, 'k' + i % 10);
        snprintf(text[3 * i + 1], 8, "<u%d>", i);
        snprintf(text[3 * i + 2], 8, "[PAD%d]", i);
        vocab_add(&p.v, text[3 * i], VB_TOKEN_NORMAL, score[i]);
        vocab_add(&p.v, text[3 * i + 1], VB_TOKEN_USER, -1000); /* as converters write them */
        vocab_add(&p.v, text[3 * i + 2], VB_TOKEN_UNUSED, -10000);
    }
    p.n_kinds = p.n_scores = p.v.n;
    p.v.score[6] = score[0]; /* "ab" is one of them, too */
    expect(write_parts(&p), code, "tokenizer.ggml.scores", "different scores for the 41 entries");
    vocab_free(&p.v);
}

/* Scores that are a placeholder give the merges no order. Real ones have ties, too. */
static void test_scores(void **state) {
    (void)state;
    float score[MERGED];
    static const float one[] = {-1000, 0, 1, -0.0f, 1e-30f};
    for (size_t k = 0; k < sizeof one / sizeof *one; k++) {
        for (int i = 0; i < MERGED; i++) score[i] = one[k];
        expect_scores(score, VB_ERR_FORMAT);
        score[MERGED - 1] = -3; /* all but one */
        expect_scores(score, VB_ERR_FORMAT);
        for (int i = 0; i < MERGED / 10; i++) score[i] = -(float)i - 3; /* nine of ten */
        expect_scores(score, VB_ERR_FORMAT);
    }
    for (int i = 0; i < MERGED; i++) score[i] = i % 2 ? -1 : -1000;
    expect_scores(score, VB_ERR_FORMAT);
    for (int i = 0; i < MERGED; i++) score[i] = i % 2 ? 0.0f : -0.0f; /* one value */
    expect_scores(score, VB_ERR_FORMAT);
    for (int i = 0; i < MERGED; i++) score[i] = -(float)(i % 9);
    expect_scores(score, VB_ERR_FORMAT);
    for (int i = 0; i < MERGED; i++) score[i] = -(float)(i % 10);
    expect_scores(score, VB_OK);
    for (int i = 0; i < MERGED; i++) score[i] = -(float)i;
    expect_scores(score, VB_OK);
    for (int i = MERGED / 2 - 5; i < MERGED; i++) score[i] = 0; /* entries added to a trained vocabulary */
    expect_scores(score, VB_OK);
    /* One entry alone needs no order, two do; single characters never. */
    parts p = good(false);
    for (size_t i = 0; i < p.v.n; i++) p.v.score[i] = 0;
    expect(write_parts(&p), VB_OK, "", "");
    p.v.text[4] = "\xE2\x96\x81";
    expect(write_parts(&p), VB_OK, "", "");
    p.v.text[4] = "aa";
    expect(write_parts(&p), VB_ERR_FORMAT, "tokenizer.ggml.scores", "1 different scores for the 2 entries");
    p.v.score[4] = -1;
    expect(write_parts(&p), VB_OK, "", "");
    vocab_free(&p.v);
}

static void test_ids(void **state) {
    (void)state;
    static const char *const keys[] = {"tokenizer.ggml.bos_token_id", "tokenizer.ggml.eos_token_id",
                                       "tokenizer.ggml.unknown_token_id", "tokenizer.ggml.eot_token_id",
                                       "tokenizer.ggml.eom_token_id"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        parts p = good(false);
        gw *w = write_parts(&p);
        gw_u32(w, keys[i], 7);
        expect(w, VB_ERR_FORMAT, keys[i], "7 is outside the vocabulary of 7 tokens");
        w = write_parts(&p);
        gw_u64(w, keys[i], UINT64_C(1) << 32);
        expect(w, VB_ERR_FORMAT, keys[i], "outside the vocabulary");
        w = write_parts(&p);
        gw_i32(w, keys[i], -2);
        expect(w, VB_ERR_FORMAT, keys[i], "not an integer");
        w = write_parts(&p);
        gw_str(w, keys[i], "1");
        expect(w, VB_ERR_FORMAT, keys[i], "not an integer");
        w = write_parts(&p);
        gw_u32(w, keys[i], UINT32_MAX); /* none */
        expect(w, VB_OK, "", "");
        w = write_parts(&p);
        gw_i32(w, keys[i], -1);
        expect(w, VB_OK, "", "");
        vocab_free(&p.v);
    }
    parts p = good(false);
    gw *w = write_parts(&p);
    gw_u32(w, "tokenizer.ggml.padding_token_id", 1000000); /* not used here, so not minded */
    expect(w, VB_OK, "", "");
    w = write_parts(&p);
    gw_u32(w, "tokenizer.ggml.add_bos_token", 1);
    expect(w, VB_ERR_FORMAT, "tokenizer.ggml.add_bos_token", "not a boolean");
    w = write_parts(&p);
    gw_u32(w, "tokenizer.ggml.bos_token_id", UINT32_MAX);
    gw_bool(w, "tokenizer.ggml.add_bos_token", true);
    expect(w, VB_ERR_FORMAT, "tokenizer.ggml.add_bos_token", "no bos_token_id");
    w = write_parts(&p);
    gw_u32(w, "tokenizer.ggml.eos_token_id", UINT32_MAX);
    gw_bool(w, "tokenizer.ggml.add_eos_token", true);
    expect(w, VB_ERR_FORMAT, "tokenizer.ggml.add_eos_token", "no eos_token_id");
    p.v.kind[0] = VB_TOKEN_NORMAL; /* no unknown token, and one byte token only */
    expect(write_parts(&p), VB_ERR_FORMAT, "tokenizer.ggml.unknown_token_id", "neither");
    vocab_free(&p.v);
}

static void test_merges(void **state) {
    (void)state;
    parts p = good(true);
    p.no_merges = true;
    expect(write_parts(&p), VB_ERR_FORMAT, "tokenizer.ggml.merges", "absent");
    p.no_merges = false;
    static const struct {
        const char *merge, *why;
    } bad[] = {{"ab", "one space"},
               {"a  b", "one space"},
               {" b", "one space"},
               {"a ", "one space"},
               {"a b ", "one space"},
               {"", "one space"},
               {"a c", "not in the vocabulary"},
               {"c b", "not in the vocabulary"},
               {"b a", "its result is not in the vocabulary"}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        p.merges[0] = bad[i].merge;
        expect(write_parts(&p), VB_ERR_FORMAT, "tokenizer.ggml.merges: merge 0", bad[i].why);
    }
    p.merges[0] = p.merges[1] = "a b", p.n_merges = 2;
    expect(write_parts(&p), VB_ERR_FORMAT, "tokenizer.ggml.merges: merge 1", "listed twice");
    p.n_merges = 0;
    expect(write_parts(&p), VB_OK, "", "");
    vocab_free(&p.v);
}

/* Cut short or changed anywhere, a file opens or is refused; it never crashes (run under the sanitizers). */
static void test_damaged(void **state) {
    (void)state;
    gw_rng r = {5};
    for (int bpe = 0; bpe < 2; bpe++) {
        parts p = good(bpe);
        gw *w = write_parts(&p);
        size_t n;
        uint8_t *bytes = gw_finish(w, &n);
        for (int i = 0; i < 3000; i++) {
            uint8_t *copy = malloc(n);
            assert_non_null(copy);
            memcpy(copy, bytes, n);
            for (uint64_t k = 1 + gw_next(&r) % 3; k > 0; k--) copy[gw_next(&r) % n] = (uint8_t)gw_next(&r);
            vb_gguf *g = NULL;
            vb_tokenizer *t = NULL;
            vb_error err = {0};
            if (vb_gguf_open_memory(&g, copy, n, "test.gguf", &err) == VB_OK &&
                vb_tokenizer_open(&t, g, &err) == VB_OK) {
                int32_t *ids = NULL;
                size_t n_ids;
                if (vb_tokenize(t, "abABab", 6, VB_TOKENIZE_PARSE_SPECIAL, &ids, &n_ids, &err) == VB_OK)
                    vb_free(ids);
            }
            vb_tokenizer_close(t);
            vb_gguf_close(g);
            free(copy);
        }
        free(bytes);
        gw_free(w);
        vocab_free(&p.v);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),   cmocka_unit_test(test_model_and_pre), cmocka_unit_test(test_given_pre),
        cmocka_unit_test(test_arrays), cmocka_unit_test(test_byte_tokens),   cmocka_unit_test(test_scores),
        cmocka_unit_test(test_ids),    cmocka_unit_test(test_merges),        cmocka_unit_test(test_damaged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
