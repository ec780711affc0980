/* tokenizer_util.c - vocabularies built in memory, and files of the fixtures. */
#include "tests/tokenizer_util.h"

#include "gguf/gguf.h"
#include "tokenizer/tokenizer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *fixtures(void) {
    const char *f = getenv("VB_FIXTURES");
    return f && *f ? f : NULL;
}

void need_fixtures(void) {
    if (fixtures()) return;
    print_message("skipped: VB_FIXTURES is not set\n");
    skip();
}

char *read_file(const char *path, size_t *len) {
    FILE *f = fopen(path, "rb");
    if (!f) fail_msg("cannot open %s", path);
    fseek(f, 0, SEEK_END);
    long n = ftell(f);
    rewind(f);
    char *s = malloc((size_t)n + 1);
    if (!s || fread(s, 1, (size_t)n, f) != (size_t)n) fail_msg("cannot read %s", path);
    fclose(f);
    s[n] = 0;
    *len = (size_t)n;
    return s;
}

int32_t vocab_add(vocab *v, const char *text, vb_token_kind kind, float score) {
    if (v->n == v->cap) {
        v->cap = v->cap ? 2 * v->cap : 512;
        v->text = realloc(v->text, v->cap * sizeof *v->text);
        v->kind = realloc(v->kind, v->cap * sizeof *v->kind);
        v->score = realloc(v->score, v->cap * sizeof *v->score);
        if (!v->text || !v->kind || !v->score) abort();
    }
    v->text[v->n] = text;
    v->kind[v->n] = (int32_t)kind;
    v->score[v->n] = score;
    return (int32_t)v->n++;
}

static char *own(vocab *v, const char *s, size_t n) {
    char *p = malloc(n + 1);
    if (!p || v->n_owned == sizeof v->owned / sizeof *v->owned) abort();
    memcpy(p, s, n);
    p[n] = 0;
    return v->owned[v->n_owned++] = p;
}

void vocab_add_bytes(vocab *v) {
    for (unsigned b = 0; b < 256; b++) {
        char s[8];
        snprintf(s, sizeof s, "<0x%02X>", b);
        vocab_add(v, own(v, s, 6), VB_TOKEN_BYTE, 0);
    }
}

void vocab_add_alphabet(vocab *v) {
    for (unsigned b = 0; b < 256; b++) {
        char s[4];
        vocab_add(v, own(v, s, vb_utf8_put(vb_char_of_byte((uint8_t)b), s)), VB_TOKEN_NORMAL, 0);
    }
}

void vocab_write(const vocab *v, gw *w, bool scores) {
    gw_array_str(w, "tokenizer.ggml.tokens", v->text, v->n);
    gw_array(w, "tokenizer.ggml.token_type", VB_VALUE_I32, v->kind, v->n, v->n * sizeof *v->kind);
    if (scores) gw_array(w, "tokenizer.ggml.scores", VB_VALUE_F32, v->score, v->n, v->n * sizeof *v->score);
}

void vocab_free(vocab *v) {
    for (size_t i = 0; i < v->n_owned; i++) free(v->owned[i]);
    free((void *)v->text);
    free(v->kind);
    free(v->score);
    memset(v, 0, sizeof *v);
}

int open_written(gw *w, vb_gguf **g, vb_tokenizer **t, vb_error *err) {
    size_t n;
    uint8_t *bytes = gw_finish(w, &n);
    vb_error e = {0};
    int rc = vb_gguf_open_memory(g, bytes, n, "test.gguf", &e);
    free(bytes);
    if (rc) fail_msg("the file itself: %s", e.message);
    memset(err, 0, sizeof *err);
    return vb_tokenizer_open(t, *g, err);
}

void expect_ids(const vb_tokenizer *t, const char *text, size_t len, unsigned flags, const int32_t *ids,
                size_t n) {
    vb_error err = {0};
    int32_t *got = NULL;
    size_t k = 0;
    if (vb_tokenize(t, text, len, flags, &got, &k, &err)) fail_msg("'%s': %s", text, err.message);
    bool same = k == n && (n == 0 || memcmp(got, ids, n * sizeof *ids) == 0);
    if (!same) {
        print_message("'%s': got", text);
        for (size_t i = 0; i < k; i++) print_message(" %d", (int)got[i]);
        print_message(", expected");
        for (size_t i = 0; i < n; i++) print_message(" %d", (int)ids[i]);
        print_message("\n");
    }
    vb_free(got);
    assert_true(same);
}

void expect_text(const vb_tokenizer *t, const int32_t *ids, size_t n, bool special, const char *text,
                 size_t len) {
    vb_error err = {0};
    char *got = NULL;
    size_t k = 0;
    if (vb_detokenize(t, ids, n, special, &got, &k, &err)) fail_msg("%s", err.message);
    if (k != len || memcmp(got, text, len) != 0)
        fail_msg("got '%.*s', expected '%.*s'", (int)k, got, (int)len, text);
    assert_int_equal(got[k], 0);
    vb_free(got);
}

vb_tokenizer *must_open(gw *w, vb_gguf **g) {
    vb_error err = {0};
    vb_tokenizer *t = NULL;
    if (open_written(w, g, &t, &err)) fail_msg("%s", err.message);
    return t;
}

void close_all(vb_tokenizer *t, vb_gguf *g, gw *w, vocab *v) {
    vb_tokenizer_close(t);
    vb_gguf_close(g);
    gw_free(w);
    vocab_free(v);
}

void spm_head(vocab *v) {
    vocab_add(v, "<unk>", VB_TOKEN_UNKNOWN, 0);
    vocab_add(v, "<s>", VB_TOKEN_CONTROL, 0);
    vocab_add(v, "</s>", VB_TOKEN_CONTROL, 0);
}

gw *spm_writer(const vocab *v) {
    gw *w = gw_new();
    gw_str(w, "general.architecture", "llama");
    gw_str(w, "tokenizer.ggml.model", "llama");
    vocab_write(v, w, true);
    return w;
}

gw *bpe_writer(const vocab *v, const char *pre, const char *const *merges, size_t n_merges) {
    gw *w = gw_new();
    gw_str(w, "general.architecture", "llama");
    gw_str(w, "tokenizer.ggml.model", "gpt2");
    if (pre) gw_str(w, "tokenizer.ggml.pre", pre);
    vocab_write(v, w, false);
    gw_array_str(w, "tokenizer.ggml.merges", merges, n_merges);
    return w;
}
