/* test_tokenizer_prompt.c - the one rule by which a text becomes a prompt: BOS as the file says and never
 * twice, no EOS behind. What the commands and the server make of it: tests/cli/prompts.sh. */
#include "tests/tokenizer_util.h"

#include <string.h>

static void expect_prompt(const vb_tokenizer *t, const char *text, bool special, const int32_t *want,
                          size_t n) {
    int32_t *ids = NULL;
    size_t got;
    vb_error err = {0};
    if (vb_tokenize_prompt(t, text, strlen(text), special, &ids, &got, &err)) fail_msg("%s", err.message);
    if (got != n) fail_msg("'%s': %zu ids, expected %zu", text, got, n);
    if (n) assert_memory_equal(ids, want, n * sizeof *want);
    vb_free(ids);
}
#define PROMPT(text, special, ...)                                                                           \
    expect_prompt(t, text, special, (const int32_t[]){__VA_ARGS__},                                          \
                  sizeof((const int32_t[]){__VA_ARGS__}) / sizeof(int32_t))

static void test_prompt(void **state) {
    (void)state;
    for (int round = 0; round < 4; round++) {
        const bool adds_bos = round & 1, adds_eos = round & 2;
        vocab v = {0};
        spm_head(&v);
        vocab_add_bytes(&v);
        const int32_t sp = vocab_add(&v, SP, VB_TOKEN_NORMAL, -1),
                      a = vocab_add(&v, "a", VB_TOKEN_NORMAL, -1);
        gw *w = spm_writer(&v);
        gw_bool(w, "tokenizer.ggml.add_bos_token", adds_bos);
        gw_bool(w, "tokenizer.ggml.add_eos_token", adds_eos);
        vb_gguf *g;
        vb_tokenizer *t = must_open(w, &g);
        if (adds_bos) {
            PROMPT("", true, BOS);
            PROMPT("a", true, BOS, sp, a);
            PROMPT("a</s>", true, BOS, sp, a, EOS); /* the user's own */
            PROMPT(" <s>a", true, BOS, sp, sp, BOS, sp, a);
            PROMPT("</s>", true, BOS, EOS);
        } else {
            expect_prompt(t, "", true, NULL, 0);
            PROMPT("a", true, sp, a);
            PROMPT("a</s>", true, sp, a, EOS);
            PROMPT(" <s>a", true, sp, sp, BOS, sp, a);
            PROMPT("</s>", true, EOS);
        }
        /* A text that begins with BOS gives the same ids under either rule. */
        PROMPT("<s>", true, BOS);
        PROMPT("<s>a", true, BOS, sp, a);
        PROMPT("<s> a", true, BOS, sp, sp, a);
        PROMPT("<s>  ", true, BOS, sp, sp, sp);
        PROMPT("<s><s>a", true, BOS, BOS, sp, a); /* both are the user's */
        PROMPT("<s></s>", true, BOS, EOS);
        /* Not parsed it is text like any other. */
        if (adds_bos)
            PROMPT("<s>", false, BOS, sp, BYTE0 + '<', BYTE0 + 's', BYTE0 + '>');
        else
            PROMPT("<s>", false, sp, BYTE0 + '<', BYTE0 + 's', BYTE0 + '>');
        /* The flags of vb_tokenize add nothing twice either. */
        EXPECT(t, "<s>a", VB_TOKENIZE_ADD_BOS | VB_TOKENIZE_PARSE_SPECIAL, BOS, sp, a);
        EXPECT(t, "<s>", VB_TOKENIZE_ADD_BOS | VB_TOKENIZE_PARSE_SPECIAL, BOS);
        if (adds_eos) {
            EXPECT(t, "<s>a</s>", VB_TOKENIZE_ADD_SPECIAL | VB_TOKENIZE_PARSE_SPECIAL, BOS, sp, a, EOS);
            EXPECT(t, "<s>a", VB_TOKENIZE_ADD_SPECIAL | VB_TOKENIZE_PARSE_SPECIAL, BOS, sp, a, EOS);
        }
        close_all(t, g, w, &v);
    }
}

/* BOS as a user-defined entry, which is found in text that is not parsed too; and none at all. */
static void test_user_bos(void **state) {
    (void)state;
    for (int with_bos = 0; with_bos < 2; with_bos++) {
        vocab v = {0};
        vocab_add_alphabet(&v);
        const int32_t bos = vocab_add(&v, "<|begin|>", VB_TOKEN_USER, 0);
        gw *w = bpe_writer(&v, "llama-bpe", NULL, 0);
        if (with_bos) gw_u32(w, "tokenizer.ggml.bos_token_id", (uint32_t)bos);
        vb_gguf *g;
        vb_tokenizer *t = must_open(w, &g);
        PROMPT("<|begin|>a", true, bos, 'a');
        PROMPT("<|begin|>a", false, bos, 'a');
        if (with_bos)
            PROMPT("a", true, bos, 'a');
        else
            PROMPT("a", true, 'a');
        close_all(t, g, w, &v);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_prompt), cmocka_unit_test(test_user_bos)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
