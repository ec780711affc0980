/* test_server_head.c - heads of HTTP requests and bodies in chunks as bytes: what each means, and what is
 * refused because two readers could take it for different things. */
#include "server/http_head.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* The head at the start of a text; its status if it is refused, 0 if it is taken, -1 if it is not whole. */
static int read_head(const char *text, size_t n, vbs_head *h, vbs_problem *p) {
    char *copy = malloc(n + 1);
    size_t seen = 0;
    assert_non_null(copy);
    memcpy(copy, text, n);
    memset(p, 0, sizeof *p);
    memset(h, 0, sizeof *h);
    const long end = vbs_head_end(copy, n, &seen, p);
    int rc = end < 0 ? p->status : end == 0 ? -1 : 0;
    if (end > 0 && vbs_head_read(h, copy, (size_t)end, p)) rc = p->status;
    for (int i = 0; rc == 0 && i < h->n_headers; i++)
        h->headers[i] = (vbs_header){"", ""}; /* they go with the copy */
    free(copy);
    return rc;
}

#define LINE "GET / HTTP/1.1\r\nHost: a\r\n"

static void test_heads(void **state) {
    (void)state;
    static const struct {
        const char *text;
        int status;
    } rows[] = {
        {LINE "\r\n", 0},
        {"\r\n\r\n" LINE "\r\n", 0},
        {LINE, -1},
        {"", -1},
        {"\r", -1},
        {LINE "\r", -1},
        {"GET / HTTP/1.0\r\n\r\n", 0},
        {"GET / HTTP/1.9\r\nHost: a\r\n\r\n", 0},
        {"GET / HTTP/1.1\r\n\r\n", 400}, /* no Host */
        {"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505},
        {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505},
        {"GET / HTTP/9.9\r\n\r\n", 505},
        {"GET / HTTP/1\r\nHost: a\r\n\r\n", 400},
        {"GET / http/1.1\r\nHost: a\r\n\r\n", 400},
        {"GET /\r\n\r\n", 400},
        {"GET\r\n\r\n", 400},
        {"GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
        {"GET / HTTP/1.1 \r\nHost: a\r\n\r\n", 400},
        {"GET / x HTTP/1.1\r\nHost: a\r\n\r\n", 400},
        {"G(T / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
        {"ABCDEFGHIJKLMNOPQRSTUVWXYZ / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
        {"GET x HTTP/1.1\r\nHost: a\r\n\r\n", 400},
        {"GET * HTTP/1.1\r\nHost: a\r\n\r\n", 400},
        {"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", 0},
        {"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", 400},
        {"GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400},
        {"GET http:///x HTTP/1.1\r\nHost: a\r\n\r\n", 400},
        {"GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n", 400},
        {"GET /%4 HTTP/1.1\r\nHost: a\r\n\r\n", 400},
        {"GET /% HTTP/1.1\r\nHost: a\r\n\r\n", 400},
        {"GET /%00 HTTP/1.1\r\nHost: a\r\n\r\n", 400},
        {"\x16\x03\x01\x02", 400}, /* TLS, at once */
        {" GET / HTTP/1.1\r\n", 400},
        {"GET / HTTP/1.1\nHost: a\n\n", 400},
        {"GET / HTTP/1.1\r\nHost: a\n\r\n", 400},
        {"GET / HTTP/1.1\r\nHost: a\rX: b\r\n\r\n", 400},
        {LINE " folded\r\n\r\n", 400},
        {LINE "\tfolded\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\n folded\r\nHost: a\r\n\r\n", 400},
        {LINE "X : b\r\n\r\n", 400},
        {LINE "X\t: b\r\n\r\n", 400},
        {LINE ": b\r\n\r\n", 400},
        {LINE "X\r\n\r\n", 400},
        {LINE "X(: b\r\n\r\n", 400},
        {LINE "X: \x01\r\n\r\n", 400},
        {LINE "X: \x7F\r\n\r\n", 400},
        {LINE "X: \xC3\xA9\tb\r\n\r\n", 0},
        {LINE "X:\r\n\r\n", 0},
        {LINE "Host: b\r\n\r\n", 400},
        {LINE "host: a\r\n\r\n", 400},
        {LINE "Authorization: Bearer a\r\nAuthorization: Bearer b\r\n\r\n", 400},
        {LINE "Content-Length: 5\r\n\r\n", 0},
        {LINE "Content-Length: 005\r\n\r\n", 0},
        {LINE "Content-Length:5 \r\n\r\n", 0},
        {LINE "Content-Length: 5\r\nContent-Length: 6\r\n\r\n", 400},
        {LINE "Content-Length: 5\r\ncontent-length: 5\r\n\r\n", 400},
        {LINE "Content-Length: 5, 5\r\n\r\n", 400},
        {LINE "Content-Length: 5, 6\r\n\r\n", 400},
        {LINE "Content-Length: +5\r\n\r\n", 400},
        {LINE "Content-Length: -5\r\n\r\n", 400},
        {LINE "Content-Length: 5 5\r\n\r\n", 400},
        {LINE "Content-Length: 0x5\r\n\r\n", 400},
        {LINE "Content-Length: 5.0\r\n\r\n", 400},
        {LINE "Content-Length: \r\n\r\n", 400},
        {LINE "Content-Length: five\r\n\r\n", 400},
        {LINE "Content-Length : 5\r\n\r\n", 400},
        {LINE "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
        {LINE "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n", 400},
        {LINE "Transfer-Encoding: chunked\r\n\r\n", 0},
        {LINE "Transfer-Encoding: Chunked\r\n\r\n", 0},
        {LINE "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
        {LINE "Transfer-Encoding: chunked, chunked\r\n\r\n", 501},
        {LINE "Transfer-Encoding: gzip, chunked\r\n\r\n", 501},
        {LINE "Transfer-Encoding: chunked, identity\r\n\r\n", 501},
        {LINE "Transfer-Encoding: xchunked\r\n\r\n", 501},
        {LINE "Transfer-Encoding: identity\r\n\r\n", 501},
        {LINE "Transfer-Encoding:\r\n\r\n", 501},
        {LINE "Transfer-Encoding : chunked\r\n\r\n", 400},
        {LINE "Transfer-Encoding:\x0B"
              "chunked\r\n\r\n",
         400},
        {LINE "Transfer-Encoding: \"chunked\"\r\n\r\n", 501},
        {"GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
        {LINE "Expect: 100-continue\r\n\r\n", 0},
        {LINE "Expect: 200-ok\r\n\r\n", 417},
        {LINE "Content-Encoding: identity\r\n\r\n", 0},
        {LINE "Content-Encoding: gzip\r\n\r\n", 415},
        {LINE "Content-Encoding: br\r\n\r\n", 415},
    };
    vbs_head h;
    vbs_problem p;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const int status = read_head(rows[i].text, strlen(rows[i].text), &h, &p);
        if (status != rows[i].status) fail_msg("%s: %d %s", rows[i].text, status, p.message);
    }
    static const char zero[] = "GET / HTTP/1.1\r\nHost: a\0b\r\n\r\n",
                      zero_line[] = "GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n";
    assert_int_equal(read_head(zero, sizeof zero - 1, &h, &p), 400);
    assert_int_equal(read_head(zero_line, sizeof zero_line - 1, &h, &p), 400);
}

static void test_targets(void **state) {
    (void)state;
    static const char *const rows[][3] = {
        {"/health", "/health", "a"},
        {"/health?x=/y", "/health", "a"},
        {"/health#x", "/health", "a"},
        {"/v1//models", "/v1/models", "a"},
        {"//v1///models//", "/v1/models/", "a"},
        {"/v1/%6dodels", "/v1/models", "a"},
        {"/v1/%6Dodels%3f", "/v1/models?", "a"},
        {"/v1/models/local%3Afast", "/v1/models/local:fast", "a"},
        {"/%2e%2e/etc", "/../etc", "a"},
        {"/%2F%2fx", "/x", "a"},
        {"http://b:80/health", "/health", "b:80"},
        {"HTTP://b", "/", "b"},
        {"https://b?x", "/", "b"},
        {"http://[::1]:8000//x", "/x", "[::1]:8000"},
    };
    char text[256];
    vbs_head h;
    vbs_problem p;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        snprintf(text, sizeof text, "GET %s HTTP/1.1\r\nHost: a\r\n\r\n", rows[i][0]);
        if (read_head(text, strlen(text), &h, &p)) fail_msg("%s: %s", rows[i][0], p.message);
        assert_string_equal(h.path, rows[i][1]);
        assert_string_equal(h.host, rows[i][2]);
    }
}

static void test_meaning(void **state) {
    (void)state;
    static const struct {
        const char *text;
        bool old, keep, chunked, expects;
        uint64_t length;
    } rows[] = {
        {LINE "\r\n", false, true, false, false, 0},
        {LINE "Connection: close\r\n\r\n", false, false, false, false, 0},
        {LINE "Connection: TE, Close\r\n\r\n", false, false, false, false, 0},
        {LINE "Connection: closed\r\n\r\n", false, true, false, false, 0},
        {LINE "Connection: keep-alive\r\nConnection: close\r\n\r\n", false, false, false, false, 0},
        {"GET / HTTP/1.0\r\n\r\n", true, false, false, false, 0},
        {"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", true, true, false, false, 0},
        {"GET / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n", true, false, false, false, 3},
        {LINE "Expect: 100-Continue\r\nContent-Length: 12\r\n\r\n", false, true, false, true, 12},
        {LINE "Transfer-Encoding: chunked\r\n\r\n", false, true, true, false, 0},
        {LINE "Content-Length: 18446744073709551614\r\n\r\n", false, true, false, false, UINT64_MAX - 1},
        {LINE "Content-Length: 99999999999999999999999\r\n\r\n", false, true, false, false, UINT64_MAX},
    };
    vbs_head h;
    vbs_problem p;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (read_head(rows[i].text, strlen(rows[i].text), &h, &p))
            fail_msg("%s: %s", rows[i].text, p.message);
        if (h.old != rows[i].old || h.keep != rows[i].keep || h.chunked != rows[i].chunked ||
            h.expects != rows[i].expects || h.length != rows[i].length)
            fail_msg("%s", rows[i].text);
    }
}

static void test_sizes(void **state) {
    (void)state;
    static char text[2 * VBS_MAX_HEAD];
    vbs_head h;
    vbs_problem p;
    size_t seen = 0;
    int n = sprintf(text, LINE "X: ");
    memset(text + n, 'x', sizeof text - (size_t)n);
    assert_int_equal(vbs_head_end(text, VBS_MAX_HEAD - 1, &seen, &p), 0);
    assert_int_equal(vbs_head_end(text, VBS_MAX_HEAD, &seen, &p), -1);
    assert_int_equal(p.status, 431);
    memcpy(text + VBS_MAX_HEAD - 4, "\r\n\r\n", 4); /* whole in one piece: the largest one, */
    seen = 0;
    assert_int_equal(vbs_head_end(text, VBS_MAX_HEAD, &seen, &p), VBS_MAX_HEAD);
    memcpy(text + VBS_MAX_HEAD - 4, "xxxx\r\n\r\n", 8); /* and one that is larger */
    seen = 0;
    assert_int_equal(vbs_head_end(text, VBS_MAX_HEAD + 4, &seen, &p), -1);
    assert_int_equal(p.status, 431);
    n = sprintf(text, LINE);
    for (int i = 1; i <= VBS_MAX_HEADERS; i++) n += sprintf(text + n, "X: y\r\n");
    n += sprintf(text + n, "\r\n");
    assert_int_equal(read_head(text, (size_t)n, &h, &p), 431);
    n = sprintf(text, "GET /");
    for (int i = 0; i < 600; i++) n += sprintf(text + n, "y");
    n += sprintf(text + n, " HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_int_equal(read_head(text, (size_t)n, &h, &p), 414);
    /* Byte by byte the end is found where it is found at once. */
    static const char two[] = "\r\n" LINE "X: y\r\n\r\nGET /";
    seen = 0;
    long end = 0;
    size_t at = 0;
    while (!end && at < sizeof two) end = vbs_head_end(two, ++at, &seen, &p);
    assert_int_equal(end, (long)(sizeof two - 1 - 5));
    assert_int_equal(at, (size_t)end);
}

/* Feeds a body in pieces of `step` bytes. Its length, or -1; what is left over goes to *rest. */
static long dechunk(const char *text, size_t step, char *out, size_t *rest) {
    vbs_chunks c = {0};
    vbs_problem p;
    const size_t n = strlen(text);
    long used = 0;
    size_t at = 0;
    while (at < n && !vbs_chunks_ended(&c)) {
        const char *data;
        size_t n_data;
        const long taken = vbs_chunks_take(&c, text + at, n - at < step ? n - at : step, &data, &n_data, &p);
        if (taken < 0) {
            assert_int_equal(p.status, 400);
            return -1;
        }
        assert_true(taken > 0);
        memcpy(out + used, data, n_data);
        used += (long)n_data;
        at += (size_t)taken;
    }
    *rest = n - at;
    return vbs_chunks_ended(&c) ? used : -2;
}

static void test_chunks(void **state) {
    (void)state;
    static const struct {
        const char *text;
        long length; /* -1: refused, -2: not whole */
        size_t rest;
    } rows[] = {
        {"0\r\n\r\n", 0, 0},
        {"0\r\n\r\nGET", 0, 3},
        {"3\r\nabc\r\n0\r\n\r\n", 3, 0},
        {"3;ext=\"x\"\r\nabc\r\n00\r\n\r\n", 3, 0},
        {"A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n", 20, 0},
        {"0\r\nX: y\r\nZ: w\r\n\r\nrest", 0, 4},
        {"3\r\nab", -2, 0},
        {"3\r\nabc\r\n", -2, 0},
        {"\r\nabc", -1, 0},
        {"ZZ\r\n", -1, 0},
        {"-1\r\n", -1, 0},
        {"+3\r\nabc\r\n", -1, 0},
        {"0x3\r\nabc\r\n", -1, 0},
        {" 3\r\nabc\r\n", -1, 0},
        {"3\nabc\n", -1, 0},
        {"3\r\nabcd\r\n0\r\n\r\n", -1, 0},
        {"3\r\nabc0\r\n\r\n", -1, 0},
        {"3\r\nabc\n0\r\n\r\n", -1, 0},
        {"3\rabc", -1, 0},
        {"FFFFFFFFFFFFFFFFF\r\n", -1, 0},
        {"0000000000000000003\r\nabc\r\n", -1, 0},
        {"3;\x01\r\nabc\r\n", -1, 0},
        {"3;\nabc", -1, 0},
        {"0\r\nX: y\n\r\n", -1, 0},
        {"0\r\n\rX", -1, 0},
    };
    char out[64];
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        for (size_t step = 1; step < 40; step += step < 4 ? 1 : 17) {
            size_t rest = 0;
            const long n = dechunk(rows[i].text, step, out, &rest);
            if (n != rows[i].length || (n >= 0 && rest != rows[i].rest))
                fail_msg("%s: %ld, %zu left", rows[i].text, n, rest);
            if (n == 3) assert_memory_equal(out, "abc", 3);
        }
    char large[9000] = "0\r\nX: ";
    memset(large + 6, 'x', sizeof large - 7);
    size_t rest;
    assert_int_equal(dechunk(large, 100, out, &rest), -1);
    strcpy(large, "3;");
    memset(large + 2, 'x', 400);
    assert_int_equal(dechunk(large, 100, out, &rest), -1);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_heads), cmocka_unit_test(test_targets),
                                       cmocka_unit_test(test_meaning), cmocka_unit_test(test_sizes),
                                       cmocka_unit_test(test_chunks)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
