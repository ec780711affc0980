/* tokenizer_util.h - what the tokenizer tests share: fixtures, files, vocabularies built in memory. */
#ifndef TOKENIZER_UTIL_H
#define TOKENIZER_UTIL_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/gguf_writer.h"
#include "include/verbatim.h"

/* The fixtures' folder (VB_FIXTURES), NULL if it is not set. */
const char *fixtures(void);
/* Skips the test, saying so, where there are none. */
void need_fixtures(void);
/* A whole file, NUL-terminated; fails the test if it cannot be read. */
char *read_file(const char *path, size_t *len);

/* A vocabulary under construction. Kinds are vb_token_kind. */
typedef struct vocab {
    const char **text;
    int32_t *kind;
    float *score;
    size_t n, cap;
    char *owned[1024];
    size_t n_owned;
} vocab;

int32_t vocab_add(vocab *v, const char *text, vb_token_kind kind, float score);
/* "<0x00>" .. "<0xFF>". */
void vocab_add_bytes(vocab *v);
/* The 256 characters of the GPT-2 byte alphabet, in byte order: id of byte b is the first one's plus b. */
void vocab_add_alphabet(vocab *v);
/* tokens, token_type and (if `scores`) scores, as metadata. */
void vocab_write(const vocab *v, gw *w, bool scores);
void vocab_free(vocab *v);

/* Opens what `w` holds. The error, if any, is left in *err and the return value is its code. */
int open_written(gw *w, vb_gguf **g, vb_tokenizer **t, vb_error *err);

/* The same, which fails the test if it does not open; and everything closed again. */
vb_tokenizer *must_open(gw *w, vb_gguf **g);
void close_all(vb_tokenizer *t, vb_gguf *g, gw *w, vocab *v);

#define SP "\xE2\x96\x81" /* what SPM writes for a space */
/* Ids of spm_head, and of the first byte where vocab_add_bytes comes next. */
enum { U = 0, BOS = 1, EOS = 2, BYTE0 = 3 };
/* "<unk>", "<s>", "</s>". */
void spm_head(vocab *v);
/* A file that is nothing but a vocabulary. */
gw *spm_writer(const vocab *v);
gw *bpe_writer(const vocab *v, const char *pre, const char *const *merges, size_t n_merges);

/* Fails unless tokenizing gives exactly the `n` ids. */
void expect_ids(const vb_tokenizer *t, const char *text, size_t len, unsigned flags, const int32_t *ids,
                size_t n);
#define EXPECT(t, text, flags, ...)                                                                          \
    expect_ids(t, text, strlen(text), flags, (const int32_t[]){__VA_ARGS__},                                 \
               sizeof((const int32_t[]){__VA_ARGS__}) / sizeof(int32_t))
/* Fails unless the ids' text is exactly this. */
void expect_text(const vb_tokenizer *t, const int32_t *ids, size_t n, bool special, const char *text,
                 size_t len);

#endif
