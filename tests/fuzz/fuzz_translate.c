/* fuzz_translate.c - libFuzzer: two vocabularies and a path from the input. The ids of the second one are a
 * function of the path (tokenizer/translate.h): in however many pieces it was read, and whatever stood behind
 * it before. Nothing may crash or hang. `make fuzz` builds and runs it.
 *
 * Two vocabularies (tests/fuzz_vocab.h), then the path: a byte below 208 is an id of the first one, counted
 * around; 208 to 231 read so far; 232 to 255 take back up to 24 ids. */
#include "tests/fuzz_vocab.h"
#include "tokenizer/translate.h"

#include <stdlib.h>
#include <string.h>

enum { MOST_PATH = 600 };

/* Reading may refuse a text that this vocabulary cannot write, whoever reads it. */
static void expect_from_scratch(const vb_translation *t, int code, const vb_tokenizer *from,
                                const vb_tokenizer *to, const int32_t *path, size_t n) {
    vb_translation *anew = NULL;
    vb_error err = {0};
    size_t a, b;
    if (vb_translation_open(&anew, from, to, &err)) abort();
    if (vb_translation_read(anew, path, n, &err) != code) abort();
    const int32_t *x = vb_translation_ids(t, &a), *y = vb_translation_ids(anew, &b);
    if (code == VB_OK && (a != b || (a && memcmp(x, y, a * sizeof *x) != 0))) abort();
    if (code == VB_OK && vb_translation_whole(t) != vb_translation_whole(anew)) abort();
    for (size_t i = 0; i < a; i++)
        if (x[i] < 0 || x[i] >= vb_tokenizer_size(to)) abort();
    vb_translation_close(anew);
}

static void follow(fuzz_input *in, const vb_tokenizer *from, const vb_tokenizer *to) {
    static int32_t path[MOST_PATH];
    const unsigned ids = (unsigned)vb_tokenizer_size(from);
    vb_translation *t = NULL;
    vb_error err = {0};
    size_t n = 0;
    int code = VB_OK;
    if (ids == 0) return;
    if (vb_translation_open(&t, from, to, &err)) abort();
    while (in->n && n < MOST_PATH && !code) {
        const unsigned what = fuzz_byte(in);
        if (what < 208) {
            path[n++] = (int32_t)((what + 208 * (fuzz_byte(in) & 1)) % ids);
            continue;
        }
        if (what >= 232) {
            const size_t back = what - 231;
            n = back < n ? n - back : 0;
            vb_translation_cut(t, n);
        }
        err = (vb_error){0};
        code = vb_translation_read(t, path, n, &err);
        expect_from_scratch(t, code, from, to, path, n);
    }
    vb_translation_close(t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fuzz_input in = {data, size};
    vb_gguf *file[2] = {NULL};
    uint8_t *bytes[2] = {NULL};
    vb_tokenizer *t[2];
    for (int i = 0; i < 2; i++) t[i] = fuzz_vocabulary(&in, &file[i], &bytes[i]);
    if (t[0] && t[1]) follow(&in, t[0], t[1]);
    for (int i = 0; i < 2; i++) {
        vb_tokenizer_close(t[i]);
        vb_gguf_close(file[i]);
        free(bytes[i]);
    }
    return 0;
}
