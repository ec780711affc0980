/* planted_tokens.c - level 1: mistakes in a tokenizer, and a prompt without its BOS (planted.h). */
#include "tests/planted.h"

#include "tokenizer/tokenizer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

typedef struct vocabulary {
    vb_gguf *g;
    vb_tokenizer *t;
    vb_pre_def def;
} vocabulary;

typedef void (*token_bug)(vocabulary *v);

static void reversed_merges(vocabulary *v) {
    for (uint64_t i = 0; i <= v->t->merge_mask; i++) v->t->merges[i].rank = 1000000 - v->t->merges[i].rank;
}
static void pattern(vocabulary *v, const char *name) {
    const vb_pre_def *other = vb_pre_find(name, strlen(name));
    assert_non_null(other);
    vb_pre_close(v->t->pre);
    v->t->pre = NULL;
    assert_int_equal(vb_pre_open(&v->t->pre, other, NULL), 0);
}
static void single_digits(vocabulary *v) {
    pattern(v, "qwen2");
}
static void gpt2_pattern(vocabulary *v) {
    pattern(v, "gpt-2");
}
static void no_nfc(vocabulary *v) {
    v->def = *v->t->pre_def;
    v->def.nfc = false;
    v->t->pre_def = &v->def;
}
static void no_byte_fallback(vocabulary *v) {
    for (int i = 0; i < 256; i++) v->t->byte_id[i] = -1;
}
static void no_space_prefix(vocabulary *v) {
    v->t->space_prefix = false;
}
static void leftmost_first(vocabulary *v) {
    for (int32_t i = 0; i < v->t->n; i++) v->t->score[i] = 0;
}
static void specials_are_text(vocabulary *v) {
    memset(&v->t->specials.root, 0xff, sizeof v->t->specials.root);
}

/* tokens/NAME.jsonl as the tokenizer with this bug has it. */
static void tokenise(vb_buf *out, const char *model, const char *ours, size_t n, token_bug bug) {
    vocabulary v = {0};
    char path[256];
    vb_error err = {0};
    snprintf(path, sizeof path, "vectors/%s", model);
    if (vb_gguf_open(&v.g, path, &err) || vb_tokenizer_open(&v.t, v.g, &err)) fail_msg("%s", err.message);
    if (bug) bug(&v);
    for (const char *at = ours; at < ours + n;) {
        const size_t len = strcspn(at, "\n");
        json_t *line = json_loadb(at, len, 0, NULL);
        const char *hex = json_string_value(json_object_get(line, "bytes"));
        if (hex) {
            char text[4096];
            const size_t bytes = strlen(hex) / 2;
            assert_true(bytes < sizeof text);
            for (size_t i = 0; i < bytes; i++) {
                const char pair[3] = {hex[2 * i], hex[2 * i + 1], 0};
                text[i] = (char)strtoul(pair, NULL, 16);
            }
            for (int plain = 0; plain < 2; plain++) {
                int32_t *ids = NULL;
                size_t count;
                json_t *array = json_array();
                if (vb_tokenize(v.t, text, bytes, plain ? 0 : VB_TOKENIZE_PARSE_SPECIAL, &ids, &count, &err))
                    fail_msg("%s", err.message);
                for (size_t i = 0; i < count; i++) json_array_append_new(array, json_integer(ids[i]));
                json_object_set_new(line, plain ? "plain" : "special", array);
                vb_free(ids);
            }
        }
        cf_add_json(out, line);
        at += len + 1;
    }
    vb_tokenizer_close(v.t);
    vb_gguf_close(v.g);
}

void planted_tokens(void **state) {
    (void)state;
    static const struct {
        const char *bug, *name;
        token_bug plant;
    } cases[] = {
        {NULL, "vocab-bpe-gpt2", NULL},
        {NULL, "vocab-bpe-llama3", NULL},
        {NULL, "vocab-bpe-qwen2", NULL},
        {NULL, "vocab-spm", NULL},
        {"BPE merges in the wrong order", "vocab-bpe-gpt2", reversed_merges},
        {"digits one by one instead of by three", "vocab-bpe-llama3", single_digits},
        {"pre-tokenizer of GPT-2 for another one", "vocab-bpe-llama3", gpt2_pattern},
        {"NFC missing", "vocab-bpe-qwen2", no_nfc},
        {"special tokens read as text", "vocab-bpe-qwen2", specials_are_text},
        {"no byte fallback", "vocab-spm", no_byte_fallback},
        {"no space in front of the text", "vocab-spm", no_space_prefix},
        {"SentencePiece merges by place, not by score", "vocab-spm", leftmost_first},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char file[64], model[96];
        vb_buf theirs = {0};
        cf_comparison c = {0};
        vb_error err = {0};
        const cf_bounds none = {0};
        size_t n;
        snprintf(file, sizeof file, "tokens/%s.jsonl", cases[i].name);
        snprintf(model, sizeof model, "models/seeded/%s.gguf", cases[i].name);
        char *ours = planted_ours(file, &n);
        tokenise(&theirs, model, ours, n, cases[i].plant);
        if (cf_compare_lines(file, ours, n, "theirs", theirs.s, theirs.n, CF_BITWISE, &none, &c, &err))
            fail_msg("%s", err.message);
        if (cases[i].bug)
            planted_caught(cases[i].bug, file, &c, 1);
        else
            planted_right(file, &c);
        vb_buf_free(&theirs);
        free(ours);
    }
}

void planted_missing_bos(void **state) {
    (void)state;
    static const char name[] = "recordings/arch-llama.q16.jsonl";
    size_t n;
    char *ours = planted_ours(name, &n), *at = strstr(ours, "\"tokens\":[1,");
    cf_recording a = {0}, b = {0};
    cf_comparison c = {0};
    vb_error err = {0};
    const cf_bounds none = {0};
    assert_non_null(at);
    assert_int_equal(cf_recording_read(&a, name, ours, n, &err), 0);
    memmove(at + 10, at + 12, n - (size_t)(at + 12 - ours) + 1);
    assert_int_equal(cf_recording_read(&b, "theirs", ours, n - 2, &err),
                     VB_ERR_FORMAT); /* 10 log-probabilities for 10 */
    free(ours);
    /* As an engine without log-probabilities of the prompt would write it. */
    static const char theirs[] = "{\"verbatim\":\"vectors\",\"version\":1,\"kind\":\"model\"}\n"
                                 "{\"prompt\":0,\"tokens\":[290,372,351]}\n{\"greedy\":[1,2]}\n{\"end\":3}\n";
    err = (vb_error){0};
    if (cf_recording_read(&b, "theirs", theirs, sizeof theirs - 1, &err)) fail_msg("%s", err.message);
    assert_int_equal(cf_compare(&a, &b, CF_F32, &none, NULL, &c, &err), VB_ERR_ARGUMENT);
    assert_non_null(strstr(err.message, "level 1"));
    const char *text = "| 1 | BOS missing | `recordings/arch-llama.q16.jsonl` | tokens of prompt 0 |\n";
    vb_buf_add(&planted_table, text, strlen(text));
    planted_count++;
    cf_recording_close(&a);
    cf_recording_close(&b);
}
