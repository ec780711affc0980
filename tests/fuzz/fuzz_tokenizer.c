/* fuzz_tokenizer.c - libFuzzer: a vocabulary and a text from the input. Nothing may crash, hang or be lost.
 * `make fuzz` builds and runs it.
 *
 * Byte 0 chooses the kind of tokenizer and flags. Then entries: a byte with kind and length, the raw text, a
 * byte that is the score or, for BPE, the place of a space in the same text as a merge. A length of 15 ends
 * the vocabulary; what follows is the text, and once more a chat template. */
#include "gguf/gguf.h"
#include "tests/gguf_writer.h"
#include "tokenizer/tokenizer.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_ENTRIES = 64 };

typedef struct input {
    const uint8_t *p;
    size_t n;
} input;

static unsigned byte(input *in) {
    if (in->n == 0) return 0xFF;
    in->n--;
    return *in->p++;
}

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

static void write_vocabulary(input *in, gw *w, unsigned mode) {
    static char text[MAX_ENTRIES][16], merge[MAX_ENTRIES][18], alphabet[256][4];
    const char *tokens[MAX_ENTRIES + 256], *merges[MAX_ENTRIES];
    int32_t kinds[MAX_ENTRIES + 256];
    float scores[MAX_ENTRIES + 256];
    size_t n = 0, n_merges = 0;
    for (unsigned b = 0; (mode & 2) && b < 256; b++, n++) {
        memset(alphabet[b], 0, 4);
        vb_utf8_put(vb_char_of_byte((uint8_t)b), alphabet[b]);
        tokens[n] = alphabet[b], kinds[n] = VB_TOKEN_NORMAL, scores[n] = 0;
    }
    for (int i = 0; i < MAX_ENTRIES; i++) {
        unsigned head = byte(in), len = head & 15;
        if (len == 15) break;
        for (unsigned k = 0; k < len; k++) text[i][k] = (char)(byte(in) | 1); /* no NUL */
        text[i][len] = 0;
        unsigned last = byte(in);
        tokens[n] = text[i], kinds[n] = (int32_t)(head >> 4) % 8, scores[n++] = -(float)(last % 8);
        if (len < 2 || last % 4 == 0) continue;
        unsigned at = 1 + last % (len - 1);
        memcpy(merge[i], text[i], at);
        merge[i][at] = ' ';
        memcpy(merge[i] + at + 1, text[i] + at, len - at + 1);
        merges[n_merges++] = merge[i];
    }
    gw_array_str(w, "tokenizer.ggml.tokens", tokens, n);
    gw_array(w, "tokenizer.ggml.token_type", VB_VALUE_I32, kinds, n, n * sizeof *kinds);
    gw_array(w, "tokenizer.ggml.scores", VB_VALUE_F32, scores, n, n * sizeof *scores);
    gw_array_str(w, "tokenizer.ggml.merges", merges, n_merges);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    input in = {data, size};
    vb_error err = {0};
    vb_gguf *g = NULL;
    vb_tokenizer *t = NULL;
    unsigned mode = byte(&in);
    gw *w = gw_new();
    gw_str(w, "general.architecture", mode & 1 ? "phi3" : "llama");
    gw_str(w, "tokenizer.ggml.model", mode & 2 ? "gpt2" : "llama");
    gw_str(w, "tokenizer.ggml.pre", vb_pre_defs[mode / 16 % 15].name);
    if (mode & 4) gw_u32(w, "tokenizer.ggml.unknown_token_id", 0);
    if (mode & 8) gw_bool(w, "tokenizer.ggml.add_space_prefix", false);
    write_vocabulary(&in, w, mode);
    size_t n;
    uint8_t *bytes = gw_finish(w, &n);
    if (vb_gguf_open_memory(&g, bytes, n, "fuzz", &err)) abort();
    if (vb_tokenizer_open(&t, g, &err) == VB_OK) {
        static const unsigned flags[] = {0, VB_TOKENIZE_PARSE_SPECIAL,
                                         VB_TOKENIZE_PARSE_SPECIAL | VB_TOKENIZE_ADD_SPECIAL};
        for (int i = 0; i < 3; i++) check_text(t, (const char *)in.p, in.n, flags[i]);
        int32_t shared;
        if (vb_vocab_compatible(t, t, &shared, &err)) abort();
    }
    vb_tokenizer_close(t);
    vb_gguf_close(g);
    gw_free(w);
    free(bytes);
    return 0;
}
