/* test_server_text.c - stop strings and characters across tokens: what comes out may not depend on how the
 * text was cut, and is compared with a search in the whole text. */
#include "server/httpd.h"
#include "server/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* The answer by definition: the first byte after which some stop string is complete ends the text, before the
 * longest one that ends there. */
static size_t expected_length(const char *text, size_t n, const vbs_stop *stops, int n_stops, bool *stopped) {
    *stopped = false;
    for (size_t end = 1; end <= n; end++) {
        size_t best = 0;
        for (int i = 0; i < n_stops; i++)
            if (stops[i].len <= end && stops[i].len > best &&
                !memcmp(text + end - stops[i].len, stops[i].text, stops[i].len))
                best = stops[i].len;
        if (best) {
            *stopped = true;
            return end - best;
        }
    }
    return n;
}

/* Pushes text[0..n) in pieces of the given lengths (repeated) and checks what comes out at every point. */
static void check_cut(const char *text, size_t n, const vbs_stop *stops, int n_stops, const size_t *cuts,
                      size_t n_cuts) {
    vbs_text t;
    vb_error err = {0};
    char out[512];
    size_t got = 0, at = 0, k = 0;
    bool stopped;
    size_t want = expected_length(text, n, stops, n_stops, &stopped);
    vbs_text_open(&t, stops, n_stops);
    while (at < n && !t.stopped) {
        size_t piece = cuts[k++ % n_cuts];
        if (piece > n - at) piece = n - at;
        assert_int_equal(vbs_text_push(&t, text + at, piece, &err), 0);
        at += piece;
        memcpy(out + got, t.out, t.n_out);
        got += t.n_out;
        assert_true(got <= want); /* never more than the text, at any time */
        assert_memory_equal(out, text, got);
        /* Nothing is held that cannot begin a stop string or a character. */
        if (!t.stopped) assert_true(at - got <= t.longest + 3);
    }
    assert_int_equal(t.stopped, stopped);
    if (stopped) assert_int_equal(t.cut, want);
    assert_int_equal(vbs_text_end(&t, &err), 0);
    memcpy(out + got, t.out, t.n_out);
    got += t.n_out;
    assert_int_equal(got, want);
    assert_memory_equal(out, text, want);
    vbs_text_close(&t);
}

static uint32_t next_random(uint32_t *state) {
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

static void test_against_search(void **state) {
    (void)state;
    uint32_t r = 1;
    for (int round = 0; round < 4000; round++) {
        char text[64], stop_text[4][8];
        vbs_stop stops[4];
        size_t n = next_random(&r) % 48, cuts[3];
        int n_stops = (int)(next_random(&r) % 5);
        for (size_t i = 0; i < n; i++) text[i] = (char)('a' + next_random(&r) % 3);
        for (int i = 0; i < n_stops; i++) {
            stops[i].len = 1 + next_random(&r) % 6;
            stops[i].text = stop_text[i];
            for (size_t k = 0; k < stops[i].len; k++) stop_text[i][k] = (char)('a' + next_random(&r) % 3);
        }
        for (int i = 0; i < 3; i++) cuts[i] = 1 + next_random(&r) % 7;
        check_cut(text, n, stops, n_stops, cuts, 3);
    }
}

static void test_every_cut(void **state) {
    (void)state;
    static const char text[] = "one two END three";
    const vbs_stop stops[] = {{"END", 3}, {"two END t", 9}};
    for (size_t a = 1; a < sizeof text; a++)
        for (size_t b = 1; b < sizeof text; b++)
            check_cut(text, sizeof text - 1, stops, 2, (size_t[]){a, b}, 2);
}

static void test_characters(void **state) {
    (void)state;
    static const char text[] = "a\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80z";
    const size_t boundary[] = {0, 1, 3, 6, 10, 11};
    vbs_text t;
    vb_error err = {0};
    size_t got = 0;
    vbs_text_open(&t, NULL, 0);
    for (size_t i = 0; i < sizeof text - 1; i++) {
        assert_int_equal(vbs_text_push(&t, text + i, 1, &err), 0);
        got += t.n_out;
        bool whole = false;
        for (size_t k = 0; k < 6; k++) whole |= got == boundary[k];
        assert_true(whole);
    }
    assert_int_equal(got, sizeof text - 1);
    vbs_text_close(&t);
}

static void test_unfinished(void **state) {
    (void)state;
    vbs_text t;
    vb_error err = {0};
    const vbs_stop stop = {"stop", 4};
    vbs_text_open(&t, &stop, 1);
    assert_int_equal(vbs_text_push(&t, "x\xE2\x82", 3, &err), 0);
    assert_int_equal(t.n_out, 1);
    assert_int_equal(vbs_text_push(&t, "sto", 3, &err), 0); /* bytes that are no character pass through */
    assert_int_equal(vbs_text_end(&t, &err), 0);
    assert_true(t.n_out >= 3);
    assert_memory_equal(t.out + t.n_out - 3, "sto", 3);
    assert_false(t.stopped);
    vbs_text_close(&t);
}

static void test_after_stop(void **state) {
    (void)state;
    vbs_text t;
    vb_error err = {0};
    const vbs_stop stop = {"b", 1};
    vbs_text_open(&t, &stop, 1);
    assert_int_equal(vbs_text_push(&t, "abc", 3, &err), 0);
    assert_true(t.stopped);
    assert_int_equal(t.n_out, 1);
    assert_int_equal(vbs_text_push(&t, "more", 4, &err), 0);
    assert_int_equal(t.n_out, 0);
    assert_int_equal(vbs_text_end(&t, &err), 0);
    assert_int_equal(t.n_out, 0);
    vbs_text_close(&t);
}

static void expect_token(const char *bytes, size_t n, const char *want) {
    json_t *text = vbs_json_token(bytes, n);
    assert_string_equal(json_string_value(text), want);
    json_decref(text);
}

/* A token's name in lists and as a key: no two tokens of different bytes have the same. */
static void test_token_names(void **state) {
    (void)state;
    expect_token("", 0, "");
    expect_token("word \xc3\xa9", 7, "word \xc3\xa9");
    expect_token("\xef\xbf\xbd", 3, "\xef\xbf\xbd"); /* U+FFFD itself is text */
    expect_token("\x80", 1, "bytes:\\x80");
    expect_token("\xff", 1, "bytes:\\xff");
    expect_token(" \xe2\x82", 3, "bytes:\\x20\\xe2\\x82");
    expect_token("a\0\x82", 3, "bytes:\\x61\\x00\\x82");
    expect_token("\xed\xa0\x80", 3, "bytes:\\xed\\xa0\\x80"); /* a surrogate is no character */
    char names[128][16];
    for (int b = 0x80; b < 0x100; b++) {
        json_t *text = vbs_json_token(&(const char){(char)b}, 1);
        snprintf(names[b - 0x80], sizeof names[0], "%s", json_string_value(text));
        for (int k = 0x80; k < b; k++) assert_string_not_equal(names[b - 0x80], names[k - 0x80]);
        json_decref(text);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_against_search), cmocka_unit_test(test_every_cut),
        cmocka_unit_test(test_characters),     cmocka_unit_test(test_unfinished),
        cmocka_unit_test(test_after_stop),     cmocka_unit_test(test_token_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
