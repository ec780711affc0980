/* vb_vocab_compatible: which drafts may propose tokens to which targets, and what is said of the others. */
#include "tests/tokenizer_util.h"

#include "gguf/gguf.h"
#include "tokenizer/tokenizer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A BPE vocabulary: the byte alphabet, "ab", two control tokens, then whatever `more` says. */
typedef struct side {
    vocab v;
    gw *w;
    vb_gguf *g;
    vb_tokenizer *t;
} side;

enum { AB = 256, START, END, FREE };

static void begin(side *s, const char *pre) {
    memset(s, 0, sizeof *s);
    vocab_add_alphabet(&s->v);
    vocab_add(&s->v, "ab", VB_TOKEN_NORMAL, 0);
    vocab_add(&s->v, "<|im_start|>", VB_TOKEN_CONTROL, 0);
    vocab_add(&s->v, "<|im_end|>", VB_TOKEN_CONTROL, 0);
    s->w = gw_new();
    gw_str(s->w, "tokenizer.ggml.model", "gpt2");
    gw_str(s->w, "tokenizer.ggml.pre", pre);
    static const char *const merges[] = {"a b"};
    gw_array_str(s->w, "tokenizer.ggml.merges", merges, 1);
}

static void pad(side *s, char (*names)[24], int32_t to, vb_token_kind kind) {
    for (int32_t id = (int32_t)s->v.n; id < to; id++) {
        snprintf(names[id], 24, "[PAD%d]", (int)id);
        vocab_add(&s->v, names[id], kind, 0);
    }
}

static void finish(side *s, bool eos) {
    vb_error err = {0};
    if (eos) gw_u32(s->w, "tokenizer.ggml.eos_token_id", END);
    vocab_write(&s->v, s->w, false);
    if (open_written(s->w, &s->g, &s->t, &err)) fail_msg("%s", err.message);
}

static void end(side *s) {
    vb_tokenizer_close(s->t);
    vb_gguf_close(s->g);
    gw_free(s->w);
    vocab_free(&s->v);
}

/* shared < 0: refused, with `what` in the message. */
static void check(const side *target, const side *draft, int32_t shared, const char *what) {
    vb_error err = {0};
    int32_t got = -7;
    int rc = vb_vocab_compatible(target->t, draft->t, &got, &err);
    if (shared >= 0) {
        if (rc) fail_msg("refused: %s", err.message);
        assert_int_equal(got, shared);
        return;
    }
    assert_int_equal(rc, VB_ERR_VOCAB);
    assert_int_equal(got, -7); /* untouched */
    if (!strstr(err.message, what)) fail_msg("'%s' is not in: %s", what, err.message);
}

static char names_a[1024][24], names_b[1024][24];

static void test_same(void **state) {
    (void)state;
    side a, b;
    begin(&a, "qwen2"), begin(&b, "deepseek-r1-qwen");
    finish(&a, true), finish(&b, true);
    check(&a, &b, FREE, NULL);
    check(&a, &a, FREE, NULL);
    end(&a), end(&b);
}

/* One family, padded to other sizes, with and without entries for the padding, of any kind. */
static void test_padding(void **state) {
    (void)state;
    static const vb_token_kind kinds[] = {VB_TOKEN_UNUSED, VB_TOKEN_USER, VB_TOKEN_UNKNOWN};
    for (int k = 0; k < 3; k++) {
        side a, b, c, d;
        begin(&a, "qwen2"), begin(&b, "qwen2"), begin(&c, "qwen2"), begin(&d, "qwen2");
        pad(&b, names_b, FREE + 10, VB_TOKEN_UNUSED);
        pad(&c, names_a, FREE + 20, kinds[k]);
        vocab_add(&d.v, "<think>", VB_TOKEN_USER,
                  0); /* a later release: more tokens where others have padding */
        vocab_add(&d.v, "</think>", VB_TOKEN_USER, 0);
        finish(&a, true), finish(&b, true), finish(&c, true), finish(&d, true);
        check(&a, &b, FREE, NULL);
        check(&b, &a, FREE, NULL);
        check(&b, &c, k == 0 ? FREE + 10 : FREE, NULL);
        check(&d, &b, FREE, NULL);
        check(&c, &d, FREE, NULL);
        check(&a, &d, FREE, NULL);
        end(&a), end(&b), end(&c), end(&d);
    }
}

static void test_differences(void **state) {
    (void)state;
    side a, b;
    begin(&a, "qwen2"), begin(&b, "qwen2");
    b.v.text[AB] = "ba\n";
    b.v.kind[START] = VB_TOKEN_USER;
    gw_free(b.w); /* without the merge, whose result is gone */
    b.w = gw_new();
    gw_str(b.w, "tokenizer.ggml.model", "gpt2");
    gw_str(b.w, "tokenizer.ggml.pre", "qwen2");
    gw_array_str(b.w, "tokenizer.ggml.merges", NULL, 0);
    finish(&a, true), finish(&b, true);
    check(&a, &b, -1,
          "256: 'ab' (normal) and 'ba\\n' (normal), 257: '<|im_start|>' (control) and '<|im_start|>' (user)");
    check(&a, &b, -1, "ids that mean different things: 2");
    check(&a, &b, -1, "use a draft of the same family");
    end(&a), end(&b);
    /* More than three: the first three are shown. Padding in the middle of other entries is a difference,
     * too. */
    begin(&a, "qwen2"), begin(&b, "qwen2");
    for (int i = 0; i < 6; i++) {
        snprintf(names_a[i], 24, "a%d", i);
        snprintf(names_b[i], 24, "b%d", i);
        vocab_add(&a.v, names_a[i], VB_TOKEN_NORMAL, 0);
        vocab_add(&b.v, i == 5 ? names_a[i] : names_b[i], i == 0 ? VB_TOKEN_UNUSED : VB_TOKEN_NORMAL, 0);
    }
    finish(&a, true), finish(&b, true);
    check(&a, &b, -1, "ids that mean different things: 5, the first");
    check(&a, &b, -1, "259: 'a0' (normal) and 'b0' (unused), 260: 'a1' (normal) and 'b1' (normal), 261:");
    end(&a), end(&b);
    begin(&a, "qwen2"), begin(&b, "qwen2");
    vocab_add(&a.v, "x0", VB_TOKEN_UNUSED, 0), vocab_add(&b.v, "y0", VB_TOKEN_NORMAL, 0);
    vocab_add(&a.v, "x1", VB_TOKEN_NORMAL, 0), vocab_add(&b.v, "x1", VB_TOKEN_NORMAL, 0);
    finish(&a, true), finish(&b, true);
    check(&a, &b, -1, "ids that mean different things: 1");
    end(&a), end(&b);
}

static void test_rules(void **state) {
    (void)state;
    side a, b;
    begin(&a, "qwen2"), begin(&b, "gpt-2");
    finish(&a, true), finish(&b, true);
    check(&a, &b, -1, "as 'qwen2' does, the draft as 'gpt-2'");
    end(&a), end(&b);
    begin(&a, "starcoder"), begin(&b, "smollm"); /* two names for one rule */
    finish(&a, true), finish(&b, true);
    check(&a, &b, FREE, NULL);
    end(&a), end(&b);
    begin(&a, "gpt-2"), begin(&b, "mpt"); /* one normalises */
    finish(&a, true), finish(&b, true);
    check(&a, &b, -1, "as 'gpt-2' does, the draft as 'mpt'");
    end(&a), end(&b);
    begin(&a, "qwen2"), begin(&b, "qwen2");
    finish(&a, true), finish(&b, false);
    check(&a, &b, -1, "the EOS tokens differ: 258 in the target, -1 in the draft");
    end(&a), end(&b);
    begin(&a, "qwen2"), begin(&b, "qwen2");
    gw_u32(a.w, "tokenizer.ggml.bos_token_id", START); /* of no importance while no one puts it anywhere */
    finish(&a, true), finish(&b, true);
    check(&a, &b, FREE, NULL);
    end(&a), end(&b);
    begin(&a, "qwen2"), begin(&b, "qwen2");
    gw_u32(a.w, "tokenizer.ggml.bos_token_id", START), gw_u32(b.w, "tokenizer.ggml.bos_token_id", START);
    gw_bool(a.w, "tokenizer.ggml.add_bos_token", true);
    finish(&a, true), finish(&b, true);
    check(&a, &b, -1, "BOS is put in front of a text by the target's rule only");
    check(&b, &a, -1, "by the draft's rule only");
    end(&a), end(&b);
    begin(&a, "qwen2"), begin(&b, "qwen2");
    gw_u32(a.w, "tokenizer.ggml.eot_token_id", START), gw_u32(b.w, "tokenizer.ggml.eot_token_id", END);
    finish(&a, true), finish(&b, true);
    check(&a, &b, -1, "the end-of-turn tokens differ");
    end(&a), end(&b);
}

static void test_models(void **state) {
    (void)state;
    gw_model_spec spm = {.arch = "llama", .vocab = "spm"}, bpe = {.arch = "qwen2", .vocab = "bpe"},
                  longer = spm;
    longer.vocab_size = 600;
    gw_model_spec other = spm;
    other.vocab_variant = 1;
    const gw_model_spec *spec[] = {&spm, &bpe, &longer, &other};
    side s[4];
    vb_error err = {0};
    for (int i = 0; i < 4; i++) {
        memset(&s[i], 0, sizeof s[i]);
        s[i].w = gw_tiny_writer(spec[i]);
        assert_non_null(s[i].w);
        if (open_written(s[i].w, &s[i].g, &s[i].t, &err)) fail_msg("%s", err.message);
    }
    check(&s[0], &s[1], -1, "the target's tokenizer is spm, the draft's is bpe");
    check(&s[2], &s[0], vb_tokenizer_size(s[0].t), NULL);
    check(&s[0], &s[2], vb_tokenizer_size(s[0].t), NULL);
    check(&s[0], &s[3], -1, "mean different things");
    for (int i = 0; i < 4; i++) end(&s[i]);
}

static void test_fixtures(void **state) {
    (void)state;
    need_fixtures();
    static const char *const names[] = {"llama-spm",    "phi-3", "gpt-2",    "falcon",
                                        "deepseek-llm", "qwen2", "llama-bpe"};
    enum { N = 7 };
    side s[N];
    for (int i = 0; i < N; i++) {
        vb_error err = {0};
        char path[256];
        memset(&s[i], 0, sizeof s[i]);
        snprintf(path, sizeof path, "%s/tokenizers/ggml-vocab-%s.gguf", fixtures(), names[i]);
        if (vb_gguf_open(&s[i].g, path, &err) || vb_tokenizer_open(&s[i].t, s[i].g, &err))
            fail_msg("%s", err.message);
    }
    for (int i = 0; i < N; i++)
        for (int k = 0; k < N; k++)
            check(&s[i], &s[k], i == k ? vb_tokenizer_size(s[i].t) : -1, "use a draft of the same");
    for (int i = 0; i < N; i++) {
        vb_tokenizer_close(s[i].t);
        vb_gguf_close(s[i].g);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same),  cmocka_unit_test(test_padding), cmocka_unit_test(test_differences),
        cmocka_unit_test(test_rules), cmocka_unit_test(test_models),  cmocka_unit_test(test_fixtures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
