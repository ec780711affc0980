/* test_server_http.c - the server without an engine: what it says while models load, and what clients that
 * trickle, stall or pile up can do to it. Ports of its own; the default ones are only tried when they are
 * free. */
#include "base/base.h"
#include "server/server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <cmocka.h>

static vbs_server *serve(const vbs_server_params *p) {
    vbs_server *s = NULL;
    vb_error err = {0};
    if (vbs_server_open(&s, p, &err)) fail_msg("%s", err.message);
    return s;
}

static int dial(int port) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    struct timeval patience = {.tv_sec = 10};
    inet_pton(AF_INET, "127.0.0.1", &to.sin_addr);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_true(fd >= 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    return fd;
}

static void say(int fd, const char *text) {
    (void)!send(fd, text, strlen(text), MSG_NOSIGNAL); /* it may have been cut, which the answer shows */
}

/* Everything up to the end of the connection. */
static size_t hear(int fd, char *out, size_t size) {
    size_t n = 0;
    ssize_t got;
    while (n + 1 < size && (got = recv(fd, out + n, size - 1 - n, 0)) > 0) n += (size_t)got;
    out[n] = 0;
    return n;
}

static void ask(int port, const char *request, char *out, size_t size) {
    int fd = dial(port);
    say(fd, request);
    hear(fd, out, size);
    close(fd);
}

#define HEALTH "GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"

static void test_loading(void **state) {
    (void)state;
    char out[8192];
    vbs_server *s = serve(&(vbs_server_params){.port = -1, .name = "m"});
    int port = vbs_server_port(s);
    assert_true(port > 0);
    ask(port, HEALTH, out, sizeof out);
    assert_non_null(strstr(out, "HTTP/1.1 503"));
    assert_non_null(strstr(out, "\"code\":\"loading\""));
    assert_non_null(strstr(out, "Retry-After"));
    ask(port,
        "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: "
        "14\r\n\r\n{\"prompt\":\"x\"}",
        out, sizeof out);
    assert_non_null(strstr(out, "HTTP/1.1 503"));
    ask(port, "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", out, sizeof out);
    assert_non_null(strstr(out, "HTTP/1.1 200"));
    ask(port, "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", out, sizeof out);
    assert_non_null(strstr(out, "verbatim_ready 0"));
    vbs_server_drain(s);
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    inet_pton(AF_INET, "127.0.0.1", &to.sin_addr);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), -1); /* refused, not left waiting */
    close(fd);
    vbs_server_close(s);
}

static void test_keep_alive(void **state) {
    (void)state;
    char out[4096];
    vbs_server *s = serve(&(vbs_server_params){.port = -1, .name = "m"});
    int fd = dial(vbs_server_port(s));
    say(fd, "GET /health HTTP/1.1\r\nHost: localhost\r\n\r\nGET /health HTTP/1.1\r\nHost: "
            "localhost\r\n\r\n" HEALTH);
    hear(fd, out, sizeof out);
    int answers = 0;
    for (const char *at = out; (at = strstr(at, "HTTP/1.1 503")); at++) answers++;
    assert_int_equal(answers, 3);
    close(fd);
    vbs_server_close(s);
}

/* A byte now and then: cut when the time for a whole request is over, however regularly they come. */
static void test_trickle(void **state) {
    (void)state;
    char out[1024];
    vbs_server *s = serve(&(vbs_server_params){.port = -1, .name = "m", .idle_s = 5, .head_s = 0.5});
    int fd = dial(vbs_server_port(s));
    double began = vb_now();
    bool open = true;
    static const char slow[] =
        "GET /health HTTP/1.1\r\nHost: localhost\r\nX-A: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    for (size_t i = 0; slow[i] && open; i++) {
        char one[2] = {slow[i], 0};
        say(fd, one);
        usleep(100000);
        ssize_t n = recv(fd, out, sizeof out, MSG_DONTWAIT);
        open = n < 0 && errno == EAGAIN; /* an end, or a reset */
    }
    assert_false(open);
    assert_true(vb_now() - began < 5);
    close(fd);
    vbs_server_close(s);
}

/* More idle connections than there may be: who sends a request is served all the same. */
static void test_pile(void **state) {
    (void)state;
    enum { MANY = 60 };
    char out[2048];
    int fds[MANY];
    vbs_server *s = serve(
        &(vbs_server_params){.port = -1, .name = "m", .max_connections = 16, .idle_s = 60, .head_s = 60});
    for (int i = 0; i < MANY; i++) {
        fds[i] = dial(vbs_server_port(s));
        say(fds[i], "GET /he");
    }
    usleep(300000);
    double began = vb_now();
    for (int i = 0; i < 5; i++) {
        ask(vbs_server_port(s), HEALTH, out, sizeof out);
        assert_non_null(strstr(out, "HTTP/1.1 503"));
    }
    assert_true(vb_now() - began < 10);
    for (int i = 0; i < MANY; i++) close(fds[i]);
    vbs_server_close(s);
}

static void test_body_limits(void **state) {
    (void)state;
    static const char head[] = "POST /v1/embeddings HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n";
    char out[4096], body[128], request[512];
    vbs_server *s = serve(&(vbs_server_params){.port = -1, .name = "m", .max_body = 100});
    int port = vbs_server_port(s);
    memset(body, 'a', sizeof body);
    for (int n = 99; n <= 102; n++) {
        snprintf(request, sizeof request, "%sContent-Length: %d\r\n\r\n%.*s", head, n, n, body);
        ask(port, request, out, sizeof out);
        assert_non_null(strstr(out, n > 100 ? "HTTP/1.1 413" : "HTTP/1.1 501"));
    }
    for (int n = 50; n <= 51; n++) { /* two chunks */
        snprintf(request, sizeof request,
                 "%sTransfer-Encoding: chunked\r\n\r\n%x\r\n%.*s\r\n32\r\n%.50s\r\n0\r\n\r\n", head,
                 (unsigned)n, n, body, body);
        ask(port, request, out, sizeof out);
        assert_non_null(strstr(out, n > 50 ? "HTTP/1.1 413" : "HTTP/1.1 501"));
    }
    vbs_server_close(s);
}

static void test_ports(void **state) {
    (void)state;
    vb_error err = {0};
    vbs_server *s = serve(&(vbs_server_params){.port = -1, .name = "m"}), *t = NULL;
    char number[32];
    snprintf(number, sizeof number, "port %d", vbs_server_port(s));
    assert_int_equal(vbs_server_open(&t, &(vbs_server_params){.port = vbs_server_port(s), .name = "m"}, &err),
                     VB_ERR_IO);
    assert_null(t);
    assert_non_null(strstr(err.message, number));
    vbs_server_close(s);
    err = (vb_error){0};
    assert_int_equal(
        vbs_server_open(&t, &(vbs_server_params){.port = -1, .host = "no.such.host.invalid", .name = "m"},
                        &err),
        VB_ERR_ARGUMENT);
}

/* 8000, then 8080, then an error that names both. Only where both are free. */
static void test_default_ports(void **state) {
    (void)state;
    vb_error err = {0};
    vbs_server *a = NULL, *b = NULL, *c = NULL;
    if (vbs_server_open(&a, &(vbs_server_params){.port = 8000, .name = "m"}, &err)) {
        printf("skipped: %s\n", err.message);
        skip();
    }
    if (vbs_server_open(&b, &(vbs_server_params){.name = "m"}, &err)) {
        assert_non_null(strstr(err.message, "8000 and 8080"));
        vbs_server_close(a);
        printf("skipped: port 8080 is in use too\n");
        skip();
    }
    assert_int_equal(vbs_server_port(b), 8080);
    assert_true(vbs_server_fell_back(b));
    assert_int_equal(vbs_server_open(&c, &(vbs_server_params){.name = "m"}, &err), VB_ERR_IO);
    assert_non_null(strstr(err.message, "8000 and 8080"));
    vbs_server_close(a);
    vbs_server_close(b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_loading),       cmocka_unit_test(test_keep_alive),
        cmocka_unit_test(test_trickle),       cmocka_unit_test(test_pile),
        cmocka_unit_test(test_body_limits),   cmocka_unit_test(test_ports),
        cmocka_unit_test(test_default_ports),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
