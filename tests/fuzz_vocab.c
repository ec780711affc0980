/* fuzz_vocab.c - a vocabulary from a fuzzer's input (fuzz_vocab.h). */
#include "tests/fuzz_vocab.h"

#include "tests/gguf_writer.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_ENTRIES = 64 };

unsigned fuzz_byte(fuzz_input *in) {
    if (in->n == 0) return 0xFF;
    in->n--;
    return *in->p++;
}

static void write_vocabulary(fuzz_input *in, gw *w, unsigned mode) {
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
        unsigned head = fuzz_byte(in), len = head & 15;
        if (len == 15) break;
        for (unsigned k = 0; k < len; k++) text[i][k] = (char)(fuzz_byte(in) | 1); /* no NUL */
        text[i][len] = 0;
        unsigned last = fuzz_byte(in);
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

vb_tokenizer *fuzz_vocabulary(fuzz_input *in, vb_gguf **file, uint8_t **bytes) {
    vb_error err = {0};
    vb_tokenizer *t = NULL;
    const unsigned mode = fuzz_byte(in);
    gw *w = gw_new();
    size_t n;
    gw_str(w, "general.architecture", mode & 1 ? "phi3" : "llama");
    gw_str(w, "tokenizer.ggml.model", mode & 2 ? "gpt2" : "llama");
    gw_str(w, "tokenizer.ggml.pre", vb_pre_defs[mode / 16 % 15].name);
    if (mode & 4) gw_u32(w, "tokenizer.ggml.unknown_token_id", 0);
    if (mode & 8) gw_bool(w, "tokenizer.ggml.add_space_prefix", false);
    write_vocabulary(in, w, mode);
    *bytes = gw_finish(w, &n);
    gw_free(w);
    if (vb_gguf_open_memory(file, *bytes, n, "fuzz", &err)) abort();
    return vb_tokenizer_open(&t, *file, &err) ? NULL : t;
}
