/* test_server_wire.c - the server with a small engine over raw sockets: what it says to bytes that are not
 * quite HTTP, to clients that close half of a connection or all of it, and to bodies that are too large. */
#include "base/base.h"
#include "server/httpd.h"
#include "tests/server_rig.h"

#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <cmocka.h>

static vbs_server *server;
static vbs_engine *engine;

static int start(void **state) {
    vb_error err = {0};
    if (write_models(state)) return -1;
    engine = open_engine(MODEL, 2, 4);
    vbs_server_params p = {
        .port = -1, .host = "localhost", .name = "m", .has_draft = true, .gamma = 5, .max_body = 2 << 20};
    vb_sampling_defaults(&p.sampling);
    if (vbs_server_open(&server, &p, &err) || vbs_server_ready(server, engine, &err))
        fail_msg("%s", err.message);
    return 0;
}

static int stop(void **state) {
    const double began = vb_now();
    vbs_server_close(server);
    assert_true(vb_now() - began < 1);
    vbs_engine_close(engine);
    return remove_models(state);
}

static int dial(void) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)vbs_server_port(server))};
    struct timeval patience = {.tv_sec = 20};
    inet_pton(AF_INET, "127.0.0.1", &to.sin_addr);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_true(fd >= 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    return fd;
}

static void say(int fd, const char *text, size_t n) {
    (void)!send(fd, text, n, MSG_NOSIGNAL);
}

/* Everything up to the end of the connection. */
static size_t hear(int fd, char *out, size_t size) {
    size_t n = 0;
    ssize_t got;
    while (n + 1 < size && (got = recv(fd, out + n, size - 1 - n, 0)) > 0) n += (size_t)got;
    out[n] = 0;
    close(fd);
    return n;
}

static int count(const char *text, const char *word) {
    int n = 0;
    for (const char *at = text; (at = strstr(at, word)); at++) n++;
    return n;
}

static void send_post(int fd, const char *version, const char *body) {
    char text[1024];
    const int n = snprintf(text, sizeof text,
                           "POST /v1/completions HTTP/%s\r\nHost: localhost\r\nContent-Length: %zu\r\n\r\n%s",
                           version, strlen(body), body);
    say(fd, text, (size_t)n);
}

#define HOST     "Host: localhost\r\n"
#define POST     "POST /v1/completions HTTP/1.1\r\n" HOST
#define SMUGGLED "GET /v1/models/nosuch HTTP/1.1\r\n" HOST "\r\n"

/* One answer in JSON with its length, then the connection ends: whatever follows is not looked at. */
static void test_refused(void **state) {
    (void)state;
    static const struct {
        const char *text;
        int status;
    } rows[] = {
        {POST "Content-Length: 0\r\nContent-Length: 45\r\n\r\n" SMUGGLED, 400},
        {POST "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" SMUGGLED, 400},
        {POST "Content-Length: +0\r\n\r\n" SMUGGLED, 400},
        {POST "Content-Length: 0, 0\r\n\r\n" SMUGGLED, 400},
        {POST "Content-Length : 0\r\n\r\n" SMUGGLED, 400},
        {POST "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n" SMUGGLED, 501},
        {POST "Transfer-Encoding: chunked\r\n\r\nZZ\r\n" SMUGGLED, 400},
        {POST "Transfer-Encoding: chunked\r\n\r\n2\r\n{}x\r\n0\r\n\r\n" SMUGGLED, 400},
        {POST "Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}" SMUGGLED, 415},
        {POST "Content-Length: 99999999999999999999\r\nExpect: 100-continue\r\n\r\n", 413},
        {POST "Content-Length: 99999999999999999999\r\n\r\n{}", 413},
        {"GET /health HTTP/9.9\r\n" HOST "\r\n" SMUGGLED, 505},
        {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505},
        {"GET /health HTTP/1.1\r\n\r\n" SMUGGLED, 400},
        {"GET /health HTTP/1.1\r\n" HOST "X: a\r\n b\r\n\r\n" SMUGGLED, 400},
        {"GET /health HTTP/1.1\n" HOST "\n", 400},
        {"GET /%zz HTTP/1.1\r\n" HOST "\r\n" SMUGGLED, 400},
        {"\x16\x03\x01", 400},
        {"nonsense\r\n\r\n", 400},
        {"GET /health HTTP/1.1\r\n" HOST "Expect: more\r\n\r\n" SMUGGLED, 417},
    };
    char out[8192], want[32];
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        int fd = dial();
        say(fd, rows[i].text, strlen(rows[i].text));
        hear(fd, out, sizeof out);
        snprintf(want, sizeof want, "HTTP/1.1 %d ", rows[i].status);
        const char *body = strstr(out, "\r\n\r\n");
        if (strncmp(out, want, strlen(want)) != 0 || count(out, "\r\nContent-Length: ") != 1 || !body ||
            strncmp(body, "\r\n\r\n{\"error\":{\"message\":", 23) != 0 ||
            !strstr(out, "Content-Type: application/json") || !strstr(out, "Connection: close") ||
            strstr(out, "nosuch") || body[strlen(body) - 1] != '}')
            fail_msg("%s\n%s", rows[i].text, out);
    }
    char *large = malloc(70000);
    assert_non_null(large);
    int n = sprintf(large, "GET /health HTTP/1.1\r\n" HOST "X: ");
    memset(large + n, 'x', 70000 - (size_t)n);
    int fd = dial();
    say(fd, large, 70000);
    hear(fd, out, sizeof out);
    assert_int_equal(strncmp(out, "HTTP/1.1 431 ", 13), 0);
    assert_non_null(strstr(out, "{\"error\":{"));
    free(large);
}

/* Refusals after which the connection goes on, with the headers that belong to them. */
static void test_answers(void **state) {
    (void)state;
    static const struct {
        const char *head;
        int status;
        const char *words;
    } rows[] = {
        {"GET /v1/completions HTTP/1.1\r\n" HOST, 405, "\r\nAllow: POST, OPTIONS\r\n"},
        {"POST /health HTTP/1.1\r\n" HOST "Content-Length: 0\r\n", 405, "\r\nAllow: GET, HEAD, OPTIONS\r\n"},
        {"FOO /v1/models/m HTTP/1.1\r\n" HOST, 405, "\r\nAllow: GET, HEAD, OPTIONS\r\n"},
        {"DELETE / HTTP/1.1\r\n" HOST, 405, "\r\nAllow: GET, HEAD, OPTIONS\r\n"},
        {"GET http://127.0.0.1/health HTTP/1.1\r\nHost: evil.example\r\n", 200, "\"ok\""},
        {"GET http://evil.example/health HTTP/1.1\r\n" HOST, 403, "evil.example"},
        {"GET /v1//models HTTP/1.1\r\n" HOST, 200, "m:fast"},
        {"GET //v1/models/ HTTP/1.1\r\n" HOST, 200, "m:fast"},
        {"GET /v1/%6dodels HTTP/1.1\r\n" HOST, 200, "m:fast"},
        {"GET /v1/models/m%3Afast HTTP/1.1\r\n" HOST, 200, "\"m:fast\""},
        {"GET /v1/models/m:fast HTTP/1.1\r\n" HOST, 200, "\"m:fast\""},
        {"GET /health HTTP/1.1\r\nHost:\r\n", 403, "host_not_allowed"},
        {"GET /nothing HTTP/1.1\r\n" HOST, 404, "/v1/models"},
        {"OPTIONS * HTTP/1.1\r\n" HOST, 204, "Allow: "},
        {POST
         "Transfer-Encoding: "
         "chunked\r\n\r\n5;x=y\r\n{\"pro\r\n12\r\nmpt\":[1,2],\"seed\":\r\n16\r\n1,\"max_tokens\":2}   \n "
         "\r\n0\r\nTrailer: x\r\n",
         200, "\"text\""},
    };
    char out[16384], text[1024], want[32];
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        int fd = dial();
        snprintf(text, sizeof text, "%s\r\nGET /health HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n",
                 rows[i].head);
        say(fd, text, strlen(text));
        hear(fd, out, sizeof out);
        snprintf(want, sizeof want, "HTTP/1.1 %d ", rows[i].status);
        if (strncmp(out, want, strlen(want)) != 0 || !strstr(out, rows[i].words) ||
            count(out, "HTTP/1.1 ") != 2)
            fail_msg("%s\n%s", rows[i].head, out);
    }
}

static void test_large_body(void **state) {
    (void)state;
    enum { PIECE = 1 << 20 };
    char out[4096], *piece = calloc(1, PIECE);
    assert_non_null(piece);
    memset(piece, ' ', PIECE);
    for (int chunked = 0; chunked < 2; chunked++) {
        int fd = dial();
        const char *head =
            chunked ? POST "Transfer-Encoding: chunked\r\n\r\n" : POST "Content-Length: 104857600\r\n\r\n";
        say(fd, head, strlen(head));
        bool sent = true;
        for (int i = 0; i < 100 && sent; i++) {
            if (chunked) say(fd, i ? "\r\n100000\r\n" : "100000\r\n", i ? 10 : 8);
            for (size_t at = 0; at < PIECE && sent;) {
                const ssize_t n = send(fd, piece + at, PIECE - at, MSG_NOSIGNAL);
                sent = n > 0;
                at += sent ? (size_t)n : 0;
            }
        }
        assert_true(sent); /* a client that must send all before it reads sees the answer */
        if (chunked) say(fd, "\r\n0\r\n\r\n", 7);
        shutdown(fd, SHUT_WR);
        hear(fd, out, sizeof out);
        if (strncmp(out, "HTTP/1.1 413 ", 13) != 0) fail_msg("%s", out);
        assert_non_null(strstr(out, "--max-body"));
    }
    /* One that asks first is told at once, and need not send it. */
    static const char polite[] = POST "Content-Length: 104857600\r\nExpect: 100-continue\r\n\r\n";
    int fd = dial();
    say(fd, polite, sizeof polite - 1);
    hear(fd, out, sizeof out);
    assert_int_equal(strncmp(out, "HTTP/1.1 413 ", 13), 0);
    free(piece);
}

static int running(void) {
    vbs_metrics m;
    vbs_metrics_read(engine, &m);
    return m.running + m.waiting;
}

static uint64_t output_tokens(void) {
    vbs_metrics m;
    vbs_metrics_read(engine, &m);
    return m.output_tokens;
}

static bool soon_idle(void) {
    for (int i = 0; i < 200; i++) {
        if (!running()) return true;
        usleep(20000);
    }
    return false;
}

/* A client that has closed its sending half is answered, whole or as a stream. */
static void test_half_close(void **state) {
    (void)state;
    static const char *const bodies[] = {"{\"prompt\":[1,2,3],\"max_tokens\":20,\"seed\":1}",
                                         "{\"prompt\":[1,2,3],\"max_tokens\":20,\"seed\":1,\"stream\":true}"};
    char out[65536];
    for (int i = 0; i < 2; i++) {
        int fd = dial();
        send_post(fd, "1.1", bodies[i]);
        shutdown(fd, SHUT_WR);
        hear(fd, out, sizeof out);
        const char *answer = strstr(out, "HTTP/1.1 200 OK");
        if (!answer || !strstr(answer, i ? "data: [DONE]" : "\"finish_reason\":\"length\""))
            fail_msg("%s", out);
        assert_true(answer == out || !strncmp(out, "HTTP/1.1 100 Continue\r\n\r\n", 25));
    }
    int fd = dial();
    say(fd, POST "Content-Length: 50\r\n\r\n{\"prompt\"",
        sizeof(POST "Content-Length: 50\r\n\r\n{\"prompt\"") - 1);
    shutdown(fd, SHUT_WR);
    hear(fd, out, sizeof out);
    assert_int_equal(strncmp(out, "HTTP/1.1 400 ", 13), 0);
}

/* One that is gone is noticed, whatever it sent behind its request. The engine is held, so that nothing is
 * sent to it: were it not noticed, its answer would be computed and handed to the system as if somebody read
 * it. */
static void test_gone(void **state) {
    (void)state;
    static const char *const rows[][3] = {{"1.1", "false", ""},
                                          {"1.1", "false", "\r\n"},
                                          {"1.1", "false", "GET /health HTTP/1.1\r\n" HOST "\r\n"},
                                          {"1.0", "false", "\r\n"},
                                          {"1.1", "true", ""},
                                          {"1.0", "true", "\r\n"}};
    const unsigned before = (unsigned)atomic_load(&server->counts.gone);
    for (unsigned i = 0; i < 6; i++) {
        client *blocker[2];
        const uint64_t written = output_tokens();
        uint64_t own = 0;
        for (int k = 0; k < 2; k++) {
            blocker[k] = new_client(40 + (uint64_t)k, 5, VB_ACCEPT_COUPLED, 0, 0.8, 100);
            blocker[k]->r.ignore_stop = true;
            hold(blocker[k], true);
            submit(engine, blocker[k]);
        }
        int fd = dial();
        char body[128];
        snprintf(body, sizeof body,
                 "{\"prompt\":[1,2,3],\"max_tokens\":150,\"seed\":1,\"ignore_eos\":true,\"stream\":%s}",
                 rows[i][1]);
        send_post(fd, rows[i][0], body);
        say(fd, rows[i][2], strlen(rows[i][2]));
        while (running() < 3) usleep(10000);
        close(fd);
        usleep(700000); /* it looks every quarter of a second, and needs two looks */
        for (int k = 0; k < 2; k++) hold(blocker[k], false);
        for (int k = 0; k < 2; k++) {
            wait_end(blocker[k]);
            own += blocker[k]->n;
            drop(blocker[k]);
        }
        assert_true(soon_idle());
        for (int k = 0; k < 100 && atomic_load(&server->counts.gone) == before + i; k++) usleep(10000);
        assert_int_equal(atomic_load(&server->counts.gone), before + i + 1);
        assert_true(output_tokens() - written < own + 75); /* its turn never came, or ended soon */
    }
}

static void test_empty_text(void **state) {
    (void)state;
    char out[65536];
    int fd = dial();
    /* Tokens without any text: nothing is moved out of nothing. */
    send_post(fd, "1.1",
              "{\"prompt\":[[1,2],[3]],\"max_tokens\":6,\"stream\":true,\"seed\":0,\"ignore_eos\":true,"
              "\"logit_bias\":{\"1\":100,\"2\":100}}");
    shutdown(fd, SHUT_WR);
    hear(fd, out, sizeof out);
    assert_non_null(strstr(out, "[DONE]"));
}

static void test_loopback(void **state) {
    (void)state;
    struct sockaddr_in6 to = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    char out[1024];
    int fd = socket(AF_INET6, SOCK_STREAM, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&to, sizeof to)) {
        if (fd >= 0) close(fd);
        printf("skipped: no IPv6 on the loopback\n");
        skip();
    }
    to.sin6_port = htons((uint16_t)vbs_server_port(server));
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    say(fd, "GET /health HTTP/1.0\r\n\r\n", 24);
    hear(fd, out, sizeof out);
    assert_int_equal(strncmp(out, "HTTP/1.1 200 ", 13), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refused),    cmocka_unit_test(test_answers),
        cmocka_unit_test(test_large_body), cmocka_unit_test(test_half_close),
        cmocka_unit_test(test_empty_text), cmocka_unit_test(test_gone),
        cmocka_unit_test(test_loopback),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
