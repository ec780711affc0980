/* Tokenizers on small vocabularies built here: merges worked out by hand, ties, bytes, unknown characters,
 * special tokens, BOS and EOS, streaming, and both merge algorithms against naive ones on random
 * vocabularies. */
#include "tests/tokenizer_util.h"

#include "tokenizer/tokenizer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ----------------------------------------------------------------------------------------- SentencePiece */

static void test_spm_merges(void **state) {
    (void)state;
    vocab v = {0};
    spm_head(&v);
    vocab_add_bytes(&v);
    const int32_t sp = vocab_add(&v, SP, VB_TOKEN_NORMAL, -10), a = vocab_add(&v, "a", VB_TOKEN_NORMAL, -11),
                  b = vocab_add(&v, "b", VB_TOKEN_NORMAL, -12), c = vocab_add(&v, "c", VB_TOKEN_NORMAL, -13),
                  ab = vocab_add(&v, "ab", VB_TOKEN_NORMAL, -1),
                  bc = vocab_add(&v, "bc", VB_TOKEN_NORMAL, -1),
                  cc = vocab_add(&v, "cc", VB_TOKEN_NORMAL, -0.5f),
                  sp_a = vocab_add(&v, SP "a", VB_TOKEN_NORMAL, -2),
                  aa = vocab_add(&v, "aa", VB_TOKEN_NORMAL, -3),
                  zero = vocab_add(&v, "ba", VB_TOKEN_NORMAL, -0.0f),
                  bb = vocab_add(&v, "bb", VB_TOKEN_NORMAL, 0.0f);
    gw *w = spm_writer(&v);
    vb_gguf *g;
    vb_tokenizer *t = must_open(w, &g);
    (void)a;
    assert_string_equal(vb_tokenizer_model(t), "spm");
    assert_string_equal(vb_tokenizer_pre(t), "");
    EXPECT(t, "abc", 0, sp, ab, c);   /* ab and bc tie at -1: the left one */
    EXPECT(t, "abcc", 0, sp, ab, cc); /* cc first, -0.5 */
    EXPECT(t, "cbc", 0, sp, c, bc);
    EXPECT(t, "a", 0, sp_a);              /* the space in front, then -2 */
    EXPECT(t, "ab", 0, sp, ab);           /* ab (-1) before space-a (-2) */
    EXPECT(t, "aaa", 0, sp_a, aa);        /* space-a (-2) before aa (-3) */
    EXPECT(t, "caaa", 0, sp, c, aa, a);   /* of two places for aa the left one */
    EXPECT(t, "cbba", 0, sp, c, bb, a);   /* bb (0) and ba (-0) tie: the left one, though its sign differs */
    EXPECT(t, "cbab", 0, sp, c, zero, b); /* ba (0) before ab (-1) */
    EXPECT(t, "a  a", 0, sp_a, sp, sp_a);
    EXPECT(t, " ", 0, sp, sp);
    expect_ids(t, "", 0, 0, NULL, 0);
    EXPECT(t, "a\xC3\xA9", 0, sp_a, BYTE0 + 0xC3, BYTE0 + 0xA9); /* a character that is no piece */
    EXPECT(t, "\xFF", 0, sp, BYTE0 + 0xFF);                      /* a byte that is no character */
    EXPECT(t, "a\n", 0, sp_a, BYTE0 + '\n');
    EXPECT(t, "", VB_TOKENIZE_ADD_SPECIAL, BOS);
    EXPECT(t, "c", VB_TOKENIZE_ADD_SPECIAL, BOS, sp, c);
    /* The space in front is put there again after a special token, and taken off once at the start. */
    EXPECT(t, "c</s>c", VB_TOKENIZE_PARSE_SPECIAL, sp, c, EOS, sp, c);
    EXPECT(t, "c</s>c", 0, sp, c, BYTE0 + '<', BYTE0 + '/', BYTE0 + 's', BYTE0 + '>', c);
    expect_text(t, (int32_t[]){BOS, sp_a, b, sp, c, EOS}, 6, false, "ab c", 4);
    expect_text(t, (int32_t[]){BOS, sp_a, b, EOS}, 4, true, "<s>ab</s>", 9);
    expect_text(t, (int32_t[]){sp, sp_a}, 2, false, " a", 2);
    expect_text(t, (int32_t[]){c, sp_a}, 2, false, "c a", 3);
    close_all(t, g, w, &v);
}

static void test_spm_no_prefix(void **state) {
    (void)state;
    vocab v = {0};
    spm_head(&v);
    vocab_add_bytes(&v);
    const int32_t sp = vocab_add(&v, SP, VB_TOKEN_NORMAL, -1), a = vocab_add(&v, "a", VB_TOKEN_NORMAL, -1);
    gw *w = spm_writer(&v);
    gw_bool(w, "tokenizer.ggml.add_space_prefix", false);
    gw_bool(w, "tokenizer.ggml.add_bos_token", false);
    gw_bool(w, "tokenizer.ggml.add_eos_token", true);
    vb_gguf *g;
    vb_tokenizer *t = must_open(w, &g);
    EXPECT(t, "a", 0, a);
    EXPECT(t, " a", VB_TOKENIZE_ADD_SPECIAL, sp, a, EOS);
    EXPECT(t, "a", VB_TOKENIZE_ADD_BOS, BOS, a);
    EXPECT(t, "a", VB_TOKENIZE_ADD_BOS | VB_TOKENIZE_ADD_SPECIAL, BOS, a, EOS);
    expect_text(t, (int32_t[]){sp, a}, 2, false, " a",
                2); /* nothing was put in front, nothing is taken off */
    close_all(t, g, w, &v);
}

/* Without byte tokens a run of characters that are not in the vocabulary is one unknown token. */
static void test_spm_unknown(void **state) {
    (void)state;
    vocab v = {0};
    spm_head(&v);
    const int32_t sp = vocab_add(&v, SP, VB_TOKEN_NORMAL, -1), a = vocab_add(&v, "a", VB_TOKEN_NORMAL, -1);
    gw *w = spm_writer(&v);
    vb_gguf *g;
    vb_tokenizer *t = must_open(w, &g);
    EXPECT(t, "a\xC3\xA9\xE4\xB8\x80xa", 0, sp, a, U, a);
    EXPECT(t, "xax", 0, sp, U, a, U);
    EXPECT(t, "x x", 0, sp, U, sp, U);
    EXPECT(t,
           "\xFF\xFE"
           "a",
           0, sp, U, a);
    EXPECT(t, "x</s>x", VB_TOKENIZE_PARSE_SPECIAL, sp, U, EOS, sp, U);
    expect_text(t, (int32_t[]){sp, U, a}, 3, false, "a", 1);
    close_all(t, g, w, &v);
    /* Byte tokens for some bytes: used where they cover a whole character. */
    spm_head(&v);
    vocab_add(&v, "<0xC3>", VB_TOKEN_BYTE, 0);
    vocab_add(&v, "<0xa9>", VB_TOKEN_BYTE, 0);
    w = spm_writer(&v);
    gw_bool(w, "tokenizer.ggml.add_space_prefix", false);
    t = must_open(w, &g);
    EXPECT(t, "\xC3\xA9\xC3\xA8q\xC3\xA9", 0, 3, 4, U, 3, 4);
    expect_text(t, (int32_t[]){3, 4}, 2, false, "\xC3\xA9", 2);
    close_all(t, g, w, &v);
}

/* Merging may pass through an unused entry but does not end at one. */
static void test_spm_unused(void **state) {
    (void)state;
    vocab v = {0};
    spm_head(&v);
    vocab_add_bytes(&v);
    const int32_t sp = vocab_add(&v, SP, VB_TOKEN_NORMAL, -9), a = vocab_add(&v, "a", VB_TOKEN_NORMAL, -9),
                  b = vocab_add(&v, "b", VB_TOKEN_NORMAL, -9), c = vocab_add(&v, "c", VB_TOKEN_NORMAL, -9);
    vocab_add(&v, "ab", VB_TOKEN_UNUSED, -1);
    const int32_t abc = vocab_add(&v, "abc", VB_TOKEN_NORMAL, -2);
    vocab_add(&v, "abab", VB_TOKEN_UNUSED, -3);
    gw *w = spm_writer(&v);
    vb_gguf *g;
    vb_tokenizer *t = must_open(w, &g);
    EXPECT(t, "abc", 0, sp, abc);
    EXPECT(t, "ab", 0, sp, a, b);
    EXPECT(t, "abab", 0, sp, a, b, a, b); /* taken apart twice */
    EXPECT(t, "ababc", 0, sp, a, b, abc);
    (void)c;
    close_all(t, g, w, &v);
}

/* ----------------------------------------------------------------------------------------- BPE */

#define G "\xC4\xA0" /* U+0120: the space in the byte alphabet */

static void test_bpe_merges(void **state) {
    (void)state;
    vocab v = {0};
    vocab_add_alphabet(&v);
    const int32_t ab = vocab_add(&v, "ab", VB_TOKEN_NORMAL, 0), bc = vocab_add(&v, "bc", VB_TOKEN_NORMAL, 0),
                  abc = vocab_add(&v, "abc", VB_TOKEN_NORMAL, 0),
                  ga = vocab_add(&v, G "a", VB_TOKEN_NORMAL, 0), aa = vocab_add(&v, "aa", VB_TOKEN_NORMAL, 0),
                  cab = vocab_add(&v, "cab", VB_TOKEN_NORMAL, 0),
                  end = vocab_add(&v, "<|end|>", VB_TOKEN_CONTROL, 0);
    static const char *const merges[] = {"a b", "b c", "ab c", "\xC4\xA0 a", "a a", "c ab"};
    gw *w = bpe_writer(&v, "gpt-2", merges, 6);
    gw_u32(w, "tokenizer.ggml.eos_token_id", (uint32_t)end);
    vb_gguf *g;
    vb_tokenizer *t = must_open(w, &g);
    assert_string_equal(vb_tokenizer_model(t), "bpe");
    assert_string_equal(vb_tokenizer_pre(t), "gpt-2");
    assert_false(vb_tokenizer_adds_bos(t));
    EXPECT(t, "abc", 0, abc);     /* ab (0) before bc (1), then ab c (2) */
    EXPECT(t, "bcab", 0, bc, ab); /* ab first, then bc; c ab (5) finds its c gone */
    EXPECT(t, "cab", 0, cab);
    EXPECT(t, "aab", 0, 'a', ab); /* ab (0) before aa (4) */
    EXPECT(t, "aaa", 0, aa, 'a'); /* of two places for aa the left one */
    EXPECT(t, "aaaaa", 0, aa, aa, 'a');
    EXPECT(t, " a", 0, ga);
    EXPECT(t, " ab", 0, ' ', ab); /* ab (0) before space-a (3) */
    EXPECT(t, "a b", 0, 'a', ' ', 'b');
    EXPECT(t, "\xC3\xA9\n", 0, 0xC3, 0xA9, '\n');
    EXPECT(t, "\xFF\xC3", 0, 0xFF, 0xC3);
    EXPECT(t, "a<|end|>b", VB_TOKENIZE_PARSE_SPECIAL, 'a', end, 'b');
    EXPECT(t, "a<|end|>", VB_TOKENIZE_ADD_SPECIAL, 'a', '<', '|', 'e', 'n', 'd', '|', '>');
    assert_true(vb_token_is_stop(t, end));
    assert_false(vb_token_is_stop(t, ab));
    vb_error err = {0};
    int32_t *ids;
    size_t n;
    assert_int_equal(vb_tokenize(t, "a", 1, VB_TOKENIZE_ADD_BOS, &ids, &n, &err),
                     VB_ERR_ARGUMENT); /* there is no BOS */
    memset(&err, 0, sizeof err);
    assert_int_equal(vb_tokenize(t, "a", 1, 64, &ids, &n, &err), VB_ERR_ARGUMENT);
    char *text;
    memset(&err, 0, sizeof err);
    assert_int_equal(vb_detokenize(t, (int32_t[]){0, 9999}, 2, false, &text, &n, &err), VB_ERR_ARGUMENT);
    assert_non_null(strstr(err.message, "9999"));
    size_t len;
    assert_memory_equal(vb_token_text(t, ga, false, &len), " a", 2);
    assert_int_equal(len, 2);
    assert_memory_equal(vb_token_raw(t, ga, &len), G "a", 3);
    assert_int_equal(len, 3);
    vb_token_text(t, end, false, &len);
    assert_int_equal(len, 0);
    vb_token_text(t, end, true, &len);
    assert_int_equal(len, 7);
    vb_token_text(t, -1, true, &len);
    assert_int_equal(len, 0);
    assert_int_equal(vb_token_find(t, "cab", 3), cab);
    assert_int_equal(vb_token_find(t, "zz", 2), -1);
    assert_int_equal(vb_token_find(t, "", 0), -1);
    close_all(t, g, w, &v);
}

/* llama-bpe takes a word that is an entry whole, even where the merges do not lead to it. */
static void test_bpe_whole_words(void **state) {
    (void)state;
    static const char *const merges[] = {"b c"};
    static const char *const names[] = {"llama-bpe", "qwen2"};
    for (int k = 0; k < 2; k++) {
        vocab v = {0};
        vocab_add_alphabet(&v);
        const int32_t bc = vocab_add(&v, "bc", VB_TOKEN_NORMAL, 0),
                      abc = vocab_add(&v, "abc", VB_TOKEN_NORMAL, 0),
                      bos = vocab_add(&v, "<bos>", VB_TOKEN_CONTROL, 0);
        vocab_add(&v, "cd", VB_TOKEN_CONTROL, 0);
        gw *w = bpe_writer(&v, names[k], merges, 1);
        gw_u32(w, "tokenizer.ggml.bos_token_id", (uint32_t)bos);
        vb_gguf *g;
        vb_tokenizer *t = must_open(w, &g);
        assert_int_equal(vb_tokenizer_adds_bos(t), k == 0); /* the default of the family */
        if (k == 0) {
            EXPECT(t, "abc", 0, abc);
        } else {
            EXPECT(t, "abc", 0, 'a', bc);
        }
        EXPECT(t, "abcd", 0, 'a', bc, 'd');
        EXPECT(t, "cd", 0, 'c', 'd'); /* a control token is not a word */
        close_all(t, g, w, &v);
    }
}

/* A byte without a token becomes the unknown token, else what there is for U+FFFD, else an error. */
static void test_bpe_missing_byte(void **state) {
    (void)state;
    for (int k = 0; k < 3; k++) {
        vocab v = {0};
        vocab_add(&v, "a", VB_TOKEN_NORMAL, 0);
        int32_t unk = vocab_add(&v, "<unk>", VB_TOKEN_UNKNOWN, 0);
        char raw[3][4] = {{0}};
        static const uint8_t fffd[] = {0xEF, 0xBF, 0xBD};
        for (int i = 0; k == 1 && i < 3; i++) {
            vb_utf8_put(vb_char_of_byte(fffd[i]), raw[i]);
            vocab_add(&v, raw[i], VB_TOKEN_NORMAL, 0);
        }
        gw *w = bpe_writer(&v, "gpt-2", NULL, 0);
        if (k == 0) gw_u32(w, "tokenizer.ggml.unknown_token_id", (uint32_t)unk);
        vb_gguf *g;
        vb_tokenizer *t = must_open(w, &g);
        if (k == 0) EXPECT(t, "aba", 0, 0, unk, 0);
        if (k == 1) EXPECT(t, "aba", 0, 0, 2, 3, 4, 0);
        if (k == 2) {
            vb_error err = {0};
            int32_t *ids;
            size_t n;
            assert_int_equal(vb_tokenize(t, "aba", 3, 0, &ids, &n, &err), VB_ERR_UNSUPPORTED);
            assert_non_null(strstr(err.message, "0x62"));
        }
        close_all(t, g, w, &v);
    }
}

/* ----------------------------------------------------------------------------------------- special tokens */

static void test_specials(void **state) {
    (void)state;
    vocab v = {0};
    vocab_add_alphabet(&v);
    const int32_t x = vocab_add(&v, "<|x|>", VB_TOKEN_CONTROL, 0),
                  xy = vocab_add(&v, "<|x|>y", VB_TOKEN_CONTROL, 0),
                  user = vocab_add(&v, "<tool>", VB_TOKEN_USER, 0),
                  user2 = vocab_add(&v, "<tool>s", VB_TOKEN_CONTROL, 0),
                  unk = vocab_add(&v, "<unk>", VB_TOKEN_UNKNOWN, 0),
                  y = vocab_add(&v, "y<|", VB_TOKEN_CONTROL, 0);
    gw *w = bpe_writer(&v, "gpt-2", NULL, 0);
    vb_gguf *g;
    vb_tokenizer *t = must_open(w, &g);
    const unsigned P = VB_TOKENIZE_PARSE_SPECIAL;
    EXPECT(t, "<|x|>y<|x|>", P, xy, x);             /* the longest at each place */
    EXPECT(t, "ay<|x|>", P, 'a', y, 'x', '|', '>'); /* leftmost first, although <|x|> is longer */
    EXPECT(t, "<<|x|>>", P, '<', x, '>');
    EXPECT(t, "<|x|", P, '<', '|', 'x', '|'); /* cut short */
    EXPECT(t, "<unk>", P, unk);
    EXPECT(t, "<unk>", 0, '<', 'u', 'n', 'k', '>');
    /* User-defined tokens are text, always; a control token that is longer counts only when asked for. */
    EXPECT(t, "<tool>s", 0, user, 's');
    EXPECT(t, "<tool>s", P, user2);
    expect_text(t, (int32_t[]){user, x}, 2, false, "<tool>", 6);
    expect_text(t, (int32_t[]){user, x}, 2, true, "<tool><|x|>", 11);
    close_all(t, g, w, &v);
}

/* Phi-3's special tokens swallow the white space after them. */
static void test_rstrip(void **state) {
    (void)state;
    for (int k = 0; k < 2; k++) {
        vocab v = {0};
        spm_head(&v);
        vocab_add_bytes(&v);
        const int32_t sp = vocab_add(&v, SP, VB_TOKEN_NORMAL, 0), a = vocab_add(&v, "a", VB_TOKEN_NORMAL, 0),
                      user = vocab_add(&v, "<|user|>", VB_TOKEN_CONTROL, 0);
        gw *w = spm_writer(&v);
        gw_str(w, "general.name", k == 0 ? "My Phi-3 model" : "Philip 3");
        vb_gguf *g;
        vb_tokenizer *t = must_open(w, &g);
        if (k == 0)
            EXPECT(t,
                   "<|user|>\n \xE2\x80\x83"
                   "a<s> a",
                   VB_TOKENIZE_PARSE_SPECIAL, user, sp, a, BOS, sp, sp, a);
        else
            EXPECT(t, "<|user|>\na", VB_TOKENIZE_PARSE_SPECIAL, user, sp, BYTE0 + '\n', a);
        close_all(t, g, w, &v);
    }
}

static void test_stop(void **state) {
    (void)state;
    vocab v = {0};
    vocab_add_alphabet(&v);
    const int32_t im = vocab_add(&v, "<|im_end|>", VB_TOKEN_CONTROL, 0),
                  eot = vocab_add(&v, "<special 1>", VB_TOKEN_CONTROL, 0),
                  eom = vocab_add(&v, "<special 2>", VB_TOKEN_CONTROL, 0),
                  start = vocab_add(&v, "<|im_start|>", VB_TOKEN_CONTROL, 0),
                  plain = vocab_add(&v, "<end_of_turn>", VB_TOKEN_NORMAL, 0),
                  end = vocab_add(&v, "<|end|>", VB_TOKEN_CONTROL, 0),
                  ret = vocab_add(&v, "<|return|>", VB_TOKEN_CONTROL, 0),
                  call = vocab_add(&v, "<|call|>", VB_TOKEN_CONTROL, 0);
    gw *w = bpe_writer(&v, "gpt-2", NULL, 0);
    gw_u32(w, "tokenizer.ggml.eot_token_id", (uint32_t)eot);
    gw_u32(w, "tokenizer.ggml.eom_token_id", (uint32_t)eom);
    gw_u32(w, "tokenizer.ggml.padding_token_id", UINT32_MAX); /* as some converters write "none" */
    gw_u32(w, "tokenizer.ggml.bos_token_id", UINT32_MAX);
    vb_gguf *g;
    vb_tokenizer *t = must_open(w, &g);
    assert_true(vb_token_is_stop(t, im) && vb_token_is_stop(t, eot) && vb_token_is_stop(t, eom));
    assert_true(vb_token_is_stop(t, ret) && vb_token_is_stop(t, call));
    assert_false(vb_token_is_stop(t, end)); /* with the two above it ends a message, not the answer */
    assert_false(vb_token_is_stop(t, start) || vb_token_is_stop(t, plain) || vb_token_is_stop(t, -1));
    assert_false(vb_token_is_stop(t, vb_tokenizer_size(t)));
    size_t n_stop;
    const int32_t *stop = vb_stop_ids(t, &n_stop), want[] = {im, eot, eom, ret, call};
    assert_int_equal(n_stop, sizeof want / sizeof *want);
    assert_memory_equal(stop, want, sizeof want);
    assert_int_equal(vb_token_bos(t), -1);
    assert_int_equal(vb_token_eos(t), -1);
    close_all(t, g, w, &v);
}

/* ----------------------------------------------------------------------------------------- naive versions */

/* BPE as defined: the pair of lowest rank, leftmost, until none has one. Over ids;
 * `made` by (left, right). */
static size_t naive_bpe(int32_t *id, size_t n, int32_t rank[8][8], int32_t base, int32_t made[8][8]) {
    for (;;) {
        size_t at = 0;
        int32_t best = INT32_MAX;
        for (size_t i = 0; i + 1 < n; i++) {
            int32_t r = rank[id[i] - base][id[i + 1] - base];
            if (r < best) best = r, at = i;
        }
        if (best == INT32_MAX) return n;
        id[at] = made[id[at] - base][id[at + 1] - base];
        memmove(id + at + 1, id + at + 2, (n - at - 2) * sizeof *id);
        n--;
    }
}

/* Random merges over "ab", words of 1..300 characters: the scan and the heap against the definition. */
static void test_bpe_against_naive(void **state) {
    (void)state;
    gw_rng r = {20240501};
    for (int round = 0; round < 60; round++) {
        vocab v = {0};
        char text[8][16] = {"a", "b"}, merge[6][40];
        const char *merges[6];
        int32_t rank[8][8], made[8][8];
        for (int i = 0; i < 64; i++) rank[i / 8][i % 8] = INT32_MAX;
        int n = 2, n_merges = 0;
        while (n < 8) {
            size_t i = gw_next(&r) % (uint64_t)n, j = gw_next(&r) % (uint64_t)n;
            char joined[32];
            snprintf(joined, sizeof joined, "%s%s", text[i], text[j]);
            bool seen = strlen(joined) > 15;
            for (int k = 0; k < n; k++) seen = seen || !strcmp(text[k], joined);
            if (seen) continue;
            memcpy(text[n], joined, strlen(joined) + 1);
            snprintf(merge[n_merges], sizeof merge[0], "%s %s", text[i], text[j]);
            merges[n_merges] = merge[n_merges];
            rank[i][j] = n_merges++;
            made[i][j] = n++;
        }
        for (int i = 0; i < 8; i++) vocab_add(&v, text[i], VB_TOKEN_NORMAL, 0);
        gw *w = bpe_writer(&v, "gpt-2", merges, (size_t)n_merges);
        vb_gguf *g;
        vb_tokenizer *t = must_open(w, &g);
        for (int k = 0; k < 60; k++) {
            char word[300];
            int32_t ids[300];
            size_t len = 1 + gw_next(&r) % (k % 2 ? 40u : 300u);
            for (size_t i = 0; i < len; i++)
                ids[i] = (int32_t)(gw_next(&r) % 2), word[i] = (char)('a' + ids[i]);
            size_t m = naive_bpe(ids, len, rank, 0, made);
            expect_ids(t, word, len, 0, ids, m);
        }
        close_all(t, g, w, &v);
    }
}

/* SentencePiece as defined: of all adjacent pieces that join to an entry the one of best score, leftmost. */
static size_t naive_spm(const vocab *v, int32_t first, const char *s, size_t len, int32_t *ids) {
    size_t end[64], n = len; /* piece i is s[end[i-1]..end[i]) */
    for (size_t i = 0; i < len; i++) end[i] = i + 1;
    for (;;) {
        size_t at = 0;
        int32_t best = -1;
        for (size_t i = 0; i + 1 < n; i++) {
            size_t from = i ? end[i - 1] : 0;
            for (int32_t id = first; id < (int32_t)v->n; id++)
                if (strlen(v->text[id]) == end[i + 1] - from &&
                    !memcmp(v->text[id], s + from, end[i + 1] - from) &&
                    (best < 0 || v->score[id] > v->score[best]))
                    best = id, at = i;
        }
        if (best < 0) break;
        memmove(end + at, end + at + 1, (n - at - 1) * sizeof *end);
        n--;
    }
    for (size_t i = 0; i < n; i++) {
        size_t from = i ? end[i - 1] : 0;
        for (int32_t id = first; id < (int32_t)v->n; id++)
            if (strlen(v->text[id]) == end[i] - from && !memcmp(v->text[id], s + from, end[i] - from))
                ids[i] = id;
    }
    return n;
}

static void test_spm_against_naive(void **state) {
    (void)state;
    gw_rng r = {77};
    for (int round = 0; round < 60; round++) {
        vocab v = {0};
        char text[20][8] = {"a", "b", "c"};
        spm_head(&v);
        for (int i = 0; i < 3; i++) vocab_add(&v, text[i], VB_TOKEN_NORMAL, -9);
        for (int n = 3; n < 20;) {
            size_t len = 2 + gw_next(&r) % 5;
            char s[8] = {0};
            for (size_t i = 0; i < len; i++) s[i] = (char)('a' + gw_next(&r) % 3);
            bool seen = false;
            for (int k = 0; k < n; k++) seen = seen || !strcmp(text[k], s);
            if (seen) continue;
            memcpy(text[n], s, 8);
            /* Few scores, so many ties, but all of them, or the file is refused. */
            vocab_add(&v, text[n], VB_TOKEN_NORMAL, -0.5f * (float)(n < 8 ? (uint64_t)n : gw_next(&r) % 8));
            n++;
        }
        gw *w = spm_writer(&v);
        gw_bool(w, "tokenizer.ggml.add_space_prefix", false);
        vb_gguf *g;
        vb_tokenizer *t = must_open(w, &g);
        for (int k = 0; k < 60; k++) {
            char word[64];
            int32_t ids[64];
            size_t len = 1 + gw_next(&r) % 64;
            for (size_t i = 0; i < len; i++) word[i] = (char)('a' + gw_next(&r) % 3);
            size_t m = naive_spm(&v, 3, word, len, ids);
            expect_ids(t, word, len, 0, ids, m);
        }
        close_all(t, g, w, &v);
    }
}

/* ----------------------------------------------------------------------------------------- streaming */

static void push_all(const char *s, size_t len, size_t step, const char *expect_before_flush) {
    vb_utf8 u = {0};
    char out[256];
    size_t n = 0;
    for (size_t i = 0; i < len; i += step) {
        size_t k = len - i < step ? len - i : step;
        n += vb_utf8_push(&u, s + i, k, out + n);
    }
    assert_int_equal(n, strlen(expect_before_flush));
    assert_memory_equal(out, expect_before_flush, n);
    n += vb_utf8_flush(&u, out + n);
    assert_int_equal(n, len); /* nothing lost, nothing added */
    assert_memory_equal(out, s, len);
    assert_int_equal(vb_utf8_flush(&u, out), 0);
}

static void test_stream(void **state) {
    (void)state;
    static const struct {
        const char *s, *whole; /* what is out before flushing */
    } c[] = {
        {"plain", "plain"},
        {"\xC3\xA9\xE4\xB8\xAD\xF0\x9F\x9A\x80.", "\xC3\xA9\xE4\xB8\xAD\xF0\x9F\x9A\x80."},
        {"a\xF0\x9F\x9A", "a"}, /* cut short: held */
        {"a\xE4\xB8", "a"},
        {"a\xC3", "a"},
        {"\x80\xFFz", "\x80\xFFz"}, /* cannot start a character: passes through */
        {"\xE4\xB8z", "\xE4\xB8z"}, /* cannot go on: passes through */
        {"\xE4\xC3\xA9", "\xE4\xC3\xA9"},
        {"\xED\xA0\x80", "\xED\xA0\x80"}, /* a surrogate is no character */
        {"\xF0\x9F\xC3", "\xF0\x9F"},     /* the last byte starts a new one */
        {"\xC0\xAF\xF5\x80", "\xC0\xAF\xF5\x80"},
    };
    for (size_t i = 0; i < sizeof c / sizeof *c; i++)
        for (size_t step = 1; step < 5; step++) push_all(c[i].s, strlen(c[i].s), step, c[i].whole);
    /* What has come out at any time is whole characters, for every way to cut a text. */
    const char *s = "\xF0\x9F\xA6\x99\xC3\xBC\xE2\x82\xAC";
    vb_utf8 u = {0};
    char out[16];
    size_t n = 0;
    for (size_t i = 0; i < strlen(s); i++) {
        n += vb_utf8_push(&u, s + i, 1, out + n);
        assert_true(n == 0 || n == 4 || n == 6 || n == 9);
    }
    assert_int_equal(n, 9);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_spm_merges),
        cmocka_unit_test(test_spm_no_prefix),
        cmocka_unit_test(test_spm_unknown),
        cmocka_unit_test(test_spm_unused),
        cmocka_unit_test(test_bpe_merges),
        cmocka_unit_test(test_bpe_whole_words),
        cmocka_unit_test(test_bpe_missing_byte),
        cmocka_unit_test(test_specials),
        cmocka_unit_test(test_rstrip),
        cmocka_unit_test(test_stop),
        cmocka_unit_test(test_bpe_against_naive),
        cmocka_unit_test(test_spm_against_naive),
        cmocka_unit_test(test_stream),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
