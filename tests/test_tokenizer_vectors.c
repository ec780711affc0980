/* The vocabularies and vectors of VB_FIXTURES/tokenizers: every line of ids, round trips, times.
 *
 * The .inp files hold texts separated by "\n__ggml_vocab_test__\n", the .out files one line of ids per text,
 * without BOS/EOS and with special tokens not recognised. */
#include "tests/tokenizer_util.h"

#include "tokenizer/tokenizer.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

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

/* -------------------------------------------------------------------------------------------- round trips */

/* What detokenizing must give back: the text, in NFC where the family normalises; a space for U+2581 with
 * SPM; bytes that the vocabulary has no token for come back as U+FFFD (falcon), those that deepseek-llm has
 * only as added tokens as the character of that number. */
static char *expected_text(const vb_tokenizer *t, const char *s, size_t len, size_t *n) {
    vb_error err = {0};
    vb_buf out = {0};
    const char *from = s;
    size_t from_len = len;
    char *owned = NULL;
    if (!t->spm && t->pre_def->nfc) assert_int_equal(vb_nfc(s, len, &from, &from_len, &owned, &err), 0);
    vb_buf_add(&out, "", 0);
    for (size_t i = 0; i < from_len; i++) {
        int32_t id = t->byte_id[(uint8_t)from[i]];
        char c[4];
        if (t->spm && from_len - i >= 3 && memcmp(from + i, "\xE2\x96\x81", 3) == 0) {
            vb_buf_puts(&out, " ");
            i += 2;
            continue;
        }
        if (t->spm || (id >= 0 && t->kind[id] != VB_TOKEN_USER))
            vb_buf_add(&out, from + i, 1);
        else if (id >= 0)
            vb_buf_add(&out, c, vb_utf8_put((uint8_t)from[i], c));
        else
            vb_buf_puts(&out, "\xEF\xBF\xBD");
    }
    free(owned);
    *n = out.n;
    return out.s;
}

/* Processor seconds: other programs on the machine do not count. */
static double cpu(void) {
    return (double)clock() / CLOCKS_PER_SEC;
}

/* Tokenizes, detokenizes, compares, and returns the seconds that the first took. */
static double round_trip(const vb_tokenizer *t, const char *name, const char *what, const char *s, size_t len,
                         size_t *n_ids) {
    vb_error err = {0};
    int32_t *ids = NULL;
    char *back = NULL;
    size_t n, n_expect;
    double start = cpu();
    if (vb_tokenize(t, s, len, 0, &ids, n_ids, &err)) fail_msg("%s, %s: %s", name, what, err.message);
    double seconds = cpu() - start;
    if (vb_detokenize(t, ids, *n_ids, false, &back, &n, &err))
        fail_msg("%s, %s: %s", name, what, err.message);
    char *expect = expected_text(t, s, len, &n_expect);
    /* After a user-defined token in the text (phi-3's </s>) SPM puts a space that stays. */
    bool spaces = t->spm && memmem(s, len, "</s>", 4) != NULL;
    if (!spaces && (n != n_expect || memcmp(back, expect, n) != 0))
        fail_msg("%s: '%s' did not come back", name, what);
    free(expect);
    vb_free(ids);
    vb_free(back);
    if (seconds > HANG_GUARD) fail_msg("%s: '%s' took %.0f s", name, what, seconds);
    return seconds;
}

static size_t random_bytes(char *s, size_t len, gw_rng *r) {
    for (size_t i = 0; i < len; i++) s[i] = (char)gw_next(r);
    return len;
}

/* Characters of all planes, ASCII and white space more often. U+2581 is left out: SPM reads it as a space. */
static size_t random_text(char *s, size_t len, gw_rng *r) {
    static const uint8_t white[4] = {' ', '\n', '\t', '\r'};
    size_t n = 0;
    while (n + 4 <= len) {
        uint64_t x = gw_next(r);
        uint32_t cp = (uint32_t)(x >> 8) % (x % 3 == 0 ? 0x80 : x % 3 == 1 ? 0x3000 : 0x110000);
        if (x % 16 == 0) cp = white[(x >> 40) % 4];
        if ((cp < 0xD800 || cp > 0xDFFF) && cp != 0x2581) n += vb_utf8_put(cp, s + n);
    }
    return n;
}

static void test_round_trips(void **state) {
    (void)state;
    need_fixtures();
    enum { LEN = 200000 };
    char *s = malloc(LEN);
    assert_non_null(s);
    for (int k = 0; k < N_NAMES; k++) {
        vb_gguf *g = NULL;
        char path[256];
        size_t n;
        gw_rng r = {(uint64_t)k};
        vb_tokenizer *t = open_fixture(names[k], &g, path);
        round_trip(t, names[k], "random bytes", s, random_bytes(s, LEN, &r), &n);
        round_trip(t, names[k], "random characters", s, random_text(s, LEN, &r), &n);
        for (int i = 0; i < 300; i++)
            round_trip(t, names[k], "a few bytes", s, random_bytes(s, 1 + gw_next(&r) % 9, &r), &n);
        for (int i = 0; i < 300; i++)
            round_trip(t, names[k], "a few characters", s, random_text(s, 4 + gw_next(&r) % 40, &r), &n);
        vb_tokenizer_close(t);
        vb_gguf_close(g);
    }
    free(s);
}

/* -------------------------------------------------------------------------------------------- times */

enum { MB = 1000000 };

static size_t repeat(char *s, const char *unit) {
    const size_t k = strlen(unit), n = MB / k * k;
    for (size_t i = 0; i < n; i++) s[i] = unit[i % k];
    return n;
}

static size_t fill(int what, char *s, const char **name, gw_rng *r) {
    size_t n = 0;
    switch (what) {
    case 0:
        *name = "English text";
        while (n + 64 < MB) {
            static const char *const words[] = {
                "the",   "of",          "and",      "a",        "to",        "in",     "is",   "you", "that",
                "it",    "he",          "was",      "for",      "on",        "are",    "with", "his", "they",
                "which", "speculative", "decoding", "Verbatim", "tokenizer", "didn't", "42",   "1984"};
            const char *word = words[gw_next(r) % (sizeof words / sizeof *words)];
            n += (size_t)snprintf(s + n, 64, "%s%s", word, gw_next(r) % 12 ? " " : ".\n");
        }
        return n;
    case 1: *name = "one character"; return repeat(s, "a");
    case 2:
        *name = "one random word";
        for (n = 0; n < MB; n++) s[n] = (char)('a' + gw_next(r) % 26);
        return n;
    case 3:
        *name = "one capital word";
        for (n = 0; n < MB; n++) s[n] = (char)('A' + gw_next(r) % 26);
        return n;
    case 4: *name = "spaces"; return repeat(s, " ");
    case 5: *name = "newlines and spaces"; return repeat(s, " \n  \r\n\t");
    case 6:
        *name = "spaces, then CJK";
        n = repeat(s, " ");
        vb_utf8_put(0x4E00, s + n - 3);
        return n;
    case 7: *name = "invalid bytes"; return repeat(s, "\xFF\x80\xC3");
    case 8: *name = "one combining mark"; return repeat(s, "\xCC\x81");
    case 9: *name = "marks out of order"; return repeat(s, "\xCC\x81\xCC\xA3");
    case 10: *name = "special token texts"; return repeat(s, "<|im_end|><|eot_id|></s><|end|>");
    case 11: *name = "half special tokens"; return repeat(s, "<|reserved_special_token_");
    case 12: *name = "random bytes"; return random_bytes(s, MB, r);
    case 13: *name = "random characters"; return random_text(s, MB, r);
    case 14: *name = "digits"; return repeat(s, "1234567890");
    case 15: *name = "punctuation"; return repeat(s, "!-/?");
    case 16:
        *name = "Chinese";
        return repeat(s,
                      "\xE6\x88\x91\xE6\x83\xB3\xE5\x9C\xA8\xE8\x8B\xB9\xE6\x9E\x9C\xE5\xB7\xA5\xE4\xBD\x9C");
    default: return 0;
    }
}

static double parsing_time(const vb_tokenizer *t, const char *name, const char *s, size_t len) {
    vb_error err = {0};
    int32_t *ids = NULL;
    size_t n;
    double start = cpu();
    if (vb_tokenize(t, s, len, VB_TOKENIZE_PARSE_SPECIAL | VB_TOKENIZE_ADD_SPECIAL, &ids, &n, &err))
        fail_msg("%s: %s", name, err.message);
    vb_free(ids);
    double seconds = cpu() - start;
    if (seconds > HANG_GUARD) fail_msg("%s: special tokens took %.0f s", name, seconds);
    return seconds;
}

/* 1 MB of each kind of text, with and without recognising special tokens. Times are printed, not judged. */
static void test_times(void **state) {
    (void)state;
    need_fixtures();
    char *s = malloc(MB + 64);
    assert_non_null(s);
    for (int k = 0; k < N_NAMES; k++) {
        vb_gguf *g = NULL;
        char path[256];
        double start = cpu(), total = 0, worst = 0;
        const char *what, *slowest = "";
        vb_tokenizer *t = open_fixture(names[k], &g, path);
        print_message("%-12s opened in %.3f s\n", names[k], cpu() - start);
        gw_rng r = {1};
        size_t len, n;
        for (int i = 0; (len = fill(i, s, &what, &r)) > 0; i++) {
            double seconds = round_trip(t, names[k], what, s, len, &n);
            if (i == 0 || strstr(what, "special")) seconds = fmax(seconds, parsing_time(t, names[k], s, len));
            if (i == 0) print_message("    1 MB of %s: %.3f s\n", what, seconds);
            total += seconds;
            if (seconds > worst) worst = seconds, slowest = what;
            if (getenv("VB_VERBOSE")) print_message("    %-20s %.3f s, %zu ids\n", what, seconds, n);
        }
        print_message("    slowest: %s, %.3f s; all: %.2f s\n", slowest, worst, total);
        vb_tokenizer_close(t);
        vb_gguf_close(g);
    }
    free(s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors),
        cmocka_unit_test(test_round_trips),
        cmocka_unit_test(test_times),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
