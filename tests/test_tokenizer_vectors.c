/* The vocabularies and vectors of VB_FIXTURES/tokenizers: every line of ids, round trips, times.
 *
 * The .inp files hold texts separated by "\n__ggml_vocab_test__\n", the .out files one line of ids per text,
 * without BOS/EOS and with special tokens not recognised. */
#include "tokenizer_util.h"

#include "base.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SEPARATOR "\n__ggml_vocab_test__\n"

static const char *const names[] = {"llama-spm",    "phi-3", "gpt-2",    "falcon",
                                    "deepseek-llm", "qwen2", "llama-bpe"};
enum { N_NAMES = sizeof names / sizeof *names, HANG_GUARD = 60 };

/* Opens fixture `name`; the file's path without its ending goes to `path` (256 bytes). */
static vb_tokenizer *open_fixture(const char *name, vb_gguf **g, char *path) {
    vb_error err = {0};
    vb_tokenizer *t = NULL;
    snprintf(path, 256, "%s/tokenizers/ggml-vocab-%s.gguf", fixtures(), name);
    if (vb_gguf_open(g, path, &err) || vb_tokenizer_open(&t, *g, &err)) fail_msg("%s: %s", path, err.message);
    return t;
}

static size_t check_line(const vb_tokenizer *t, const char *name, int line, const char *text, size_t len,
                         const char *expect) {
    vb_error err = {0};
    int32_t *ids = NULL;
    size_t n = 0, i = 0;
    if (vb_tokenize(t, text, len, 0, &ids, &n, &err)) fail_msg("%s: %s", name, err.message);
    char *end;
    for (const char *p = expect; *p && *p != '\n'; p = end, i++) {
        long id = strtol(p, &end, 10);
        if (end == p) break;
        if (i >= n || ids[i] != id)
            fail_msg("%s text %d: id %zu is %ld, not %d (%zu ids)\n%.*s", name, line, i, id,
                     i < n ? (int)ids[i] : -1, n, (int)len, text);
    }
    if (i != n) fail_msg("%s text %d: %zu ids, %zu expected\n%.*s", name, line, n, i, (int)len, text);
    vb_free(ids);
    return n;
}

static void test_vectors(void **state) {
    (void)state;
    need_fixtures();
    for (int k = 0; k < N_NAMES; k++) {
        vb_gguf *g = NULL;
        char path[256], file[300];
        size_t n_in, n_out, total = 0;
        vb_tokenizer *t = open_fixture(names[k], &g, path);
        snprintf(file, sizeof file, "%s.inp", path);
        char *in = read_file(file, &n_in);
        snprintf(file, sizeof file, "%s.out", path);
        char *out = read_file(file, &n_out), *line = out;
        int lines = 0;
        for (char *p = in;; lines++) {
            char *sep = memmem(p, n_in - (size_t)(p - in), SEPARATOR, strlen(SEPARATOR));
            size_t len = sep ? (size_t)(sep - p) : n_in - (size_t)(p - in);
            if (!sep && *line == 0)
                break; /* what follows the last separator, if anything, has no line of ids */
            total += check_line(t, names[k], lines, p, len, line);
            line = strchr(line, '\n');
            assert_non_null(line);
            line++;
            if (!sep) {
                lines++;
                break;
            }
            p = sep + strlen(SEPARATOR);
        }
        assert_int_equal(*line, 0); /* every line of ids was used */
        assert_int_equal(lines, 46);
        print_message("%-12s %d texts, %zu ids\n", names[k], lines, total);
        free(in);
        free(out);
        vb_tokenizer_close(t);
        vb_gguf_close(g);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
