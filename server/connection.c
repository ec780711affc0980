/* connection.c - one client's connection. A thread of its own reads a request, answers it, and goes on to the
 * next; whoever is slow waits alone. Every wait has an end: a client has head_s seconds to send a request and
 * idle_s to take a piece of the answer. */
#include "server/httpd.h"

#include "base/buf.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>

#if defined(__GLIBC__)
#include <malloc.h>
#endif

#ifndef POLLRDHUP /* elsewhere the end of what a client sends shows when it is read */
#define POLLRDHUP 0
#endif

enum { BUFFER = VBS_MAX_HEAD + 16384 };
/* What is not wanted is read all the same up to these bytes and seconds, and no longer than it keeps coming:
 * so the client gets to read why. */
enum { DRAIN_BYTES = 256 << 20, DRAIN_S = 10, QUIET_S = 2 };

/* ------------------------------------------------------------------------------------------------ reading */

/* Waits until there is something to read or `until` has come; false then. */
static bool wait_readable(const vbs_peer *k, double until) {
    struct pollfd p = {.fd = k->fd, .events = POLLIN};
    for (;;) {
        const double left = until - vb_now();
        const int rc = poll(&p, 1, left > 0 ? (int)(1000 * left) + 1 : 0);
        if (rc >= 0 || errno != EINTR) return rc != 0;
    }
}

typedef enum got { GOT_BYTES, GOT_END, GOT_NOTHING } got; /* nothing: `until` has come */

static got receive(vbs_peer *k, char *to, size_t most, double until, size_t *n) {
    for (;;) {
        if (!wait_readable(k, until)) return GOT_NOTHING;
        const ssize_t rc = recv(k->fd, to, most, MSG_DONTWAIT);
        if (rc > 0) {
            *n = (size_t)rc;
            return GOT_BYTES;
        }
        if (rc == 0 || (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR)) return GOT_END;
    }
}

/* More bytes into the buffer; what was read before is kept from `from` on. */
static got fill(vbs_peer *k, size_t from, double until) {
    size_t n = 0;
    if (k->at == k->n) k->at = k->n = from;
    const got g = receive(k, k->buffer + k->n, BUFFER - k->n, until, &n);
    k->n += n;
    return g;
}

static void late(vbs_call *c) {
    atomic_fetch_add(&c->s->counts.timed_out, 1);
    vbs_refuse(&c->problem, 408, "invalid_request_error", "timeout", NULL,
               "the request did not arrive within %g seconds (--idle-timeout)", c->s->p.head_s);
    c->refused = true;
    c->unread = true;
    c->late = true;
}

/* The head of a request, from the start of the buffer. False: there is none, and nobody to tell. */
static bool read_head(vbs_peer *k, vbs_call *c) {
    size_t seen = 0;
    long end;
    while (!(end = vbs_head_end(k->buffer, k->n, &seen, &c->problem))) {
        const bool began = k->n > 0;
        const got g = fill(k, k->n, began ? c->began + c->s->p.head_s : vb_now() + c->s->p.idle_s);
        if (!began) c->began = vb_now();
        if (g == GOT_END) return false;
        if (g == GOT_NOTHING && !began) {
            atomic_fetch_add(&c->s->counts.timed_out, 1);
            return false;
        }
        if (g == GOT_NOTHING) {
            late(c);
            return true;
        }
        k->at = 0;
    }
    c->refused = end < 0 || vbs_head_read(&c->head, k->buffer, (size_t)end, &c->problem);
    c->unread = c->refused; /* where the next request would begin is not known */
    k->at = end < 0 ? k->n : (size_t)end;
    return true;
}

/* ------------------------------------------------------------------------------------------------ bodies */

/* A piece of the body, kept or dropped. */
static int take_body(vbs_call *c, const char *data, size_t n) {
    if (c->refused || c->too_large || n > c->s->p.max_body - c->body.n) {
        c->too_large |= !c->refused;
        c->body.n = 0;
        c->dropped += n;
        return 0;
    }
    if (vb_buf_add(&c->body, data, n)) return 0;
    c->refused = true;
    return vbs_refuse(&c->problem, 500, "server_error", NULL, NULL, "out of memory");
}

/* Takes what is in the buffer; *left counts down a body of known length. False: the body is broken. */
static bool take_buffer(vbs_peer *k, vbs_call *c, vbs_chunks *chunks, uint64_t *left) {
    const char *data = k->buffer + k->at;
    const size_t there = k->n - k->at;
    size_t n = 0;
    if (!c->head.chunked) {
        n = there < *left ? there : (size_t)*left;
        *left -= n;
        k->at += n;
    } else {
        vbs_problem p;
        const long taken = vbs_chunks_take(chunks, data, there, &data, &n, &p);
        if (taken < 0) {
            if (!c->refused) c->problem = p;
            c->refused = true;
            return false;
        }
        k->at += (size_t)taken;
    }
    (void)take_body(c, data, n);
    return true;
}

/* The body of a request whose head is read. What is not wanted is read all the same, up to a point: a client
 * that is still sending when the answer comes takes it for a broken connection. */
static void read_body(vbs_peer *k, vbs_call *c) {
    vbs_chunks chunks = {0};
    uint64_t left = c->head.length;
    const size_t head = k->at;
    const double late_at = c->began + c->s->p.head_s, enough = vb_now() + DRAIN_S;
    if (left > c->s->p.max_body) c->too_large = true;
    if (left > DRAIN_BYTES) {
        c->unread = true;
        return;
    }
    if (c->head.expects && k->at == k->n && (left || c->head.chunked)) {
        c->unread = c->refused || c->too_large;
        if (c->unread || vbs_send_raw(k, "HTTP/1.1 100 Continue\r\n\r\n"))
            return; /* it need not send any of it */
    }
    while (c->head.chunked ? !vbs_chunks_ended(&chunks) : left > 0) {
        if (k->at < k->n) {
            if (take_buffer(k, c, &chunks, &left)) continue;
            c->unread = true;
            return;
        }
        const bool dropping = c->refused || c->too_large;
        const double soon = vb_now() + QUIET_S, until = !dropping ? late_at : soon < enough ? soon : enough;
        const got g = c->dropped > DRAIN_BYTES ? GOT_NOTHING : fill(k, head, until);
        if (g == GOT_BYTES) continue;
        c->unread = true;
        if (g == GOT_NOTHING && !dropping) late(c);
        if (g == GOT_END && !dropping) {
            vbs_refuse(&c->problem, 400, "invalid_request_error", "bad_http", NULL,
                       "the body ends before its end");
            c->refused = true;
        }
        return;
    }
}

/* ------------------------------------------------------------------------------------------------ writing */

static bool wait_writable(const vbs_peer *k, double seconds) {
    struct pollfd p = {.fd = k->fd, .events = POLLOUT};
    int rc;
    do rc = poll(&p, 1, (int)(1000 * seconds) + 1);
    while (rc < 0 && errno == EINTR);
    return rc > 0;
}

/* All of some pieces. -1: the client is gone, or has taken nothing for idle_s. */
static int send_pieces(vbs_peer *k, struct iovec *piece, size_t n) {
    size_t at = 0;
    while (at < n) {
        struct msghdr m = {.msg_iov = piece + at, .msg_iovlen = n - at};
        ssize_t sent = sendmsg(k->fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0 && errno == EINTR) continue;
        if (sent < 0 && errno != EAGAIN && errno != EWOULDBLOCK) return -1;
        if (sent < 0 && !wait_writable(k, k->s->p.idle_s)) {
            atomic_fetch_add(&k->s->counts.timed_out, 1);
            return -1;
        }
        for (; sent >= 0 && at < n; at++) {
            if ((size_t)sent < piece[at].iov_len) {
                piece[at].iov_base = (char *)piece[at].iov_base + sent;
                piece[at].iov_len -= (size_t)sent;
                break;
            }
            sent -= (ssize_t)piece[at].iov_len;
        }
    }
    return 0;
}

static struct iovec piece_of(const void *bytes, size_t n) {
    return (struct iovec){(void *)(uintptr_t)bytes, n}; /* only read; the interface knows no const */
}

int vbs_send_raw(vbs_peer *k, const char *text) {
    struct iovec piece = piece_of(text, strlen(text));
    return send_pieces(k, &piece, 1);
}

static const char *reason(unsigned status) {
    static const struct {
        unsigned status;
        const char *words;
    } list[] = {{200, "OK"},
                {204, "No Content"},
                {400, "Bad Request"},
                {401, "Unauthorized"},
                {403, "Forbidden"},
                {404, "Not Found"},
                {405, "Method Not Allowed"},
                {408, "Request Timeout"},
                {413, "Content Too Large"},
                {414, "URI Too Long"},
                {415, "Unsupported Media Type"},
                {417, "Expectation Failed"},
                {429, "Too Many Requests"},
                {431, "Request Header Fields Too Large"},
                {500, "Internal Server Error"},
                {501, "Not Implemented"},
                {503, "Service Unavailable"},
                {505, "HTTP Version Not Supported"}};
    for (size_t i = 0; i < sizeof list / sizeof list[0]; i++)
        if (list[i].status == status) return list[i].words;
    return "Error";
}

/* "Date: Sun, 06 Nov 1994 08:49:37 GMT", in English whatever the locale. */
static void put_date(char *out, size_t size) {
    static const char days[] = "SunMonTueWedThuFriSat", months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    const time_t now = time(NULL);
    struct tm t;
    out[0] = 0;
    if (gmtime_r(&now, &t))
        snprintf(out, size, "Date: %.3s, %02d %.3s %d %02d:%02d:%02d GMT\r\n", days + (size_t)t.tm_wday * 3,
                 t.tm_mday, months + (size_t)t.tm_mon * 3, t.tm_year + 1900, t.tm_hour, t.tm_min, t.tm_sec);
}

void vbs_reply_header(vbs_call *c, const char *name, const char *value) {
    const size_t room = sizeof c->extra - c->n_extra;
    const int n = snprintf(c->extra + c->n_extra, room, "%s: %s\r\n", name, value);
    if (n > 0 && (size_t)n < room)
        c->n_extra += (size_t)n;
    else
        c->extra[c->n_extra] = 0; /* one that does not fit is left out whole */
}

static void common_headers(vbs_call *c, unsigned status) {
    if (c->origin) {
        vbs_reply_header(c, "Access-Control-Allow-Origin", c->origin);
        if (strcmp(c->origin, "*") != 0) vbs_reply_header(c, "Vary", "Origin");
        vbs_reply_header(c, "Access-Control-Expose-Headers", "Retry-After");
    }
    vbs_reply_header(c, "X-Content-Type-Options", "nosniff");
    if (status == 429 || status == 503) vbs_reply_header(c, "Retry-After", "2");
    if (status == 401) vbs_reply_header(c, "WWW-Authenticate", "Bearer");
    if (status == 405) vbs_reply_header(c, "Allow", c->allow);
    if (status == 415) vbs_reply_header(c, "Accept-Encoding", "identity");
    if (c->unread || c->s->draining) c->head.keep = false;
    if (!c->head.keep)
        vbs_reply_header(c, "Connection", "close");
    else if (c->head.old)
        vbs_reply_header(c, "Connection", "keep-alive");
}

/* Status line, headers and the first bytes of the body. */
static int send_head(vbs_call *c, unsigned status, const char *type, const char *framing, const void *body,
                     size_t n) {
    char line[64], date[48], kind[128] = "";
    c->status = status;
    c->begun = true;
    common_headers(c, status);
    snprintf(line, sizeof line, "HTTP/1.1 %u %s\r\n", status, reason(status));
    put_date(date, sizeof date);
    if (type) snprintf(kind, sizeof kind, "Content-Type: %s\r\n", type);
    struct iovec pieces[] = {piece_of(line, strlen(line)),
                             piece_of(date, strlen(date)),
                             piece_of(kind, strlen(kind)),
                             piece_of(c->extra, c->n_extra),
                             piece_of(framing, strlen(framing)),
                             piece_of("\r\n", 2),
                             piece_of(body, n)};
    c->failed = send_pieces(c->peer, pieces, sizeof pieces / sizeof pieces[0]) != 0;
    return c->failed ? -1 : 0;
}

int vbs_reply_bytes(vbs_call *c, unsigned status, const char *type, const void *bytes, size_t n) {
    char framing[48];
    snprintf(framing, sizeof framing, "Content-Length: %zu\r\n", n);
    return send_head(c, status, type, status == 204 ? "" : framing, bytes,
                     strcmp(c->head.method, "HEAD") ? n : 0);
}

int vbs_reply_stream(vbs_call *c, unsigned status, const char *type) {
    c->head.keep = c->head.keep && !c->head.old; /* an older client is told the end by the connection's */
    return send_head(c, status, type, c->head.old ? "" : "Transfer-Encoding: chunked\r\n", NULL, 0);
}

int vbs_reply_more(vbs_call *c, const char *bytes, size_t n) {
    char size[24];
    if (c->failed || n == 0) return c->failed ? -1 : 0;
    snprintf(size, sizeof size, "%zx\r\n", n);
    struct iovec pieces[] = {piece_of(size, strlen(size)), piece_of(bytes, n), piece_of("\r\n", 2)};
    c->failed = send_pieces(c->peer, c->head.old ? pieces + 1 : pieces, c->head.old ? 1 : 3) != 0;
    return c->failed ? -1 : 0;
}

int vbs_reply_end(vbs_call *c) {
    if (c->failed || c->head.old) return c->failed ? -1 : 0;
    c->failed = vbs_send_raw(c->peer, "0\r\n\r\n") != 0;
    return c->failed ? -1 : 0;
}

/* A client that has closed its sending half may still read (nc -N), or be gone: only what is sent to it
 * tells. A closed socket answers with a reset, which shows at the next look. To HTTP/1.1 that is an interim
 * answer, which every client skips; where an answer has begun, its own pieces tell. HTTP/1.0 knows no interim
 * answers: there it counts as gone. */
bool vbs_call_gone(vbs_call *c) {
    struct pollfd p = {.fd = c->peer->fd, .events = POLLRDHUP};
    if (c->failed) return true;
    if (poll(&p, 1, 0) <= 0) return false;
    if (p.revents & (POLLERR | POLLHUP | POLLNVAL)) return true;
    if (!(p.revents & POLLRDHUP)) return false;
    if (c->head.old) return true;
    if (c->begun || c->probed) return false;
    c->probed = true;
    c->failed = vbs_send_raw(c->peer, "HTTP/1.1 100 Continue\r\n\r\n") != 0;
    return c->failed;
}

bool vbs_call_doubtful(vbs_call *c) {
    struct pollfd p = {.fd = c->peer->fd, .events = POLLRDHUP};
    if (c->probed || poll(&p, 1, 0) <= 0) return false;
    c->probed = true;
    return true;
}

/* ----------------------------------------------------------------------------------- one after another */

/* Ends a connection on which more may be coming. Closing it at once would make the system answer with a
 * reset, which takes the reply away from a client that has not read it yet. */
static void linger(vbs_peer *k) {
    const double until = vb_now() + DRAIN_S;
    size_t total = 0, n;
    shutdown(k->fd, SHUT_WR);
    while (total < DRAIN_BYTES && !k->s->closing) {
        const double soon = vb_now() + QUIET_S;
        if (receive(k, k->buffer, BUFFER, soon < until ? soon : until, &n) != GOT_BYTES) return;
        total += n;
    }
}

static void mark(vbs_peer *k, bool answering) {
    pthread_mutex_lock(&k->s->lock);
    k->answering = answering;
    k->since = vb_now();
    pthread_mutex_unlock(&k->s->lock);
}

static void end_call(vbs_call *c) {
    vbs_server *s = c->s;
    if (c->failed || !c->begun) atomic_fetch_add(&s->counts.gone, 1);
    vbs_call_log(c);
    vb_buf_free(&c->body);
#if defined(__GLIBC__)
    /* The C library keeps what was freed in small pieces for later; of a large body that is a lot. */
    if (c->large) malloc_trim(0);
#endif
    atomic_fetch_sub(&s->active, 1);
}

/* For an answer that could not even be put together. */
static int no_memory(vbs_call *c) {
    static const char text[] =
        "{\"error\":{\"message\":\"out of memory\",\"type\":\"server_error\",\"param\":null,\"code\":null}}";
    return vbs_reply_bytes(c, 500, "application/json", text, sizeof text - 1);
}

/* One request. Returns whether another may follow. */
static bool serve_one(vbs_peer *k) {
    vbs_call c = {.s = k->s, .peer = k, .began = vb_now()};
    if (!read_head(k, &c)) return false;
    atomic_fetch_add(&k->s->active, 1);
    if (!c.refused) c.refused = vbs_check_head(&c) != 0;
    if (!c.unread) read_body(k, &c);
    mark(k, true);
    int rc = vbs_dispatch(&c);
    if (rc && !c.begun && !vbs_call_gone(&c)) rc = no_memory(&c);
    c.failed |= rc != 0;
    const bool more = !rc && c.begun && !c.failed && c.head.keep && !c.unread;
    end_call(&c);
    mark(k, false);
    if (!more && !c.late && c.begun && !c.failed) linger(k);
    memmove(k->buffer, k->buffer + k->at, k->n - k->at);
    k->n -= k->at;
    k->at = 0;
    return more && !k->s->closing;
}

void vbs_connection_serve(vbs_peer *k) {
    k->buffer = malloc(BUFFER);
    while (k->buffer && serve_one(k)) {
    }
    free(k->buffer);
}
