/* fuzz_tokenizer.c - libFuzzer: a vocabulary and a text from the input. Nothing may crash, hang or be lost.
 * `make fuzz` builds and runs it.
 *
 * The vocabulary stands first (tests/fuzz_vocab.h); what follows is the text. */
#include "tests/fuzz_vocab.h"

#include <stdlib.h>
#include <string.h>

static void check_text(const vb_tokenizer *t, const char *s, size_t n, unsigned flags) {
    vb_error err = {0};
    int32_t *ids = NULL;
    size_t n_ids, len;
    char *text;
    if (vb_tokenize(t, s, n, flags, &ids, &n_ids, &err)) {
        if (err.code != VB_ERR_UNSUPPORTED && err.code != VB_ERR_ARGUMENT) abort();
        return;
    }
    for (size_t i = 0; i < n_ids; i++)
        if (ids[i] < 0 || ids[i] >= vb_tokenizer_size(t)) abort();
    if (vb_detokenize(t, ids, n_ids, true, &text, &len, &err)) abort();
    /* Byte-level BPE with every byte: the text comes back. */
    bool all = !t->spm && !t->pre_def->nfc && flags == 0;
    for (int b = 0; b < 256; b++)
        all = all && t->byte_id[b] >= 0 && t->kind[t->byte_id[b]] == VB_TOKEN_NORMAL;
    if (all && (len != n || memcmp(text, s, n) != 0)) abort();
    vb_utf8 u = {0};
    char *out = malloc(len + 8);
    if (!out) abort();
    size_t half = len / 2, k = vb_utf8_push(&u, text, half, out);
    k += vb_utf8_push(&u, text + half, len - half, out + k);
    k += vb_utf8_flush(&u, out + k);
    if (k != len || memcmp(out, text, len) != 0) abort();
    free(out);
    vb_free(text);
    vb_free(ids);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fuzz_input in = {data, size};
    vb_error err = {0};
    vb_gguf *g = NULL;
    uint8_t *bytes = NULL;
    vb_tokenizer *t = fuzz_vocabulary(&in, &g, &bytes);
    if (t) {
        static const unsigned flags[] = {0, VB_TOKENIZE_PARSE_SPECIAL,
                                         VB_TOKENIZE_PARSE_SPECIAL | VB_TOKENIZE_ADD_SPECIAL};
        for (int i = 0; i < 3; i++) check_text(t, (const char *)in.p, in.n, flags[i]);
        int32_t shared;
        if (vb_vocab_compatible(t, t, &shared, &err)) abort();
    }
    vb_tokenizer_close(t);
    vb_gguf_close(g);
    free(bytes);
    return 0;
}
