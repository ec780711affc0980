/* httpd.c - what a request is answered with, and the server's life: it accepts connections, each with a
 * thread of its own (connection.c). */
#include "server/httpd.h"
#include "base/json.h"

#include "base/base.h"
#include "base/thread.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* -------------------------------------------------------------------------------------------- replies */

const char VBS_OUT_OF_MEMORY[] =
    "{\"error\":{\"message\":\"out of memory\",\"type\":\"server_error\",\"param\":null,\"code\":null}}";

int vbs_reply_memory(vbs_call *c) {
    snprintf(c->log, sizeof c->log, "out of memory");
    return vbs_reply_bytes(c, 500, "application/json", VBS_OUT_OF_MEMORY, strlen(VBS_OUT_OF_MEMORY));
}

int vbs_reply_json(vbs_call *c, unsigned status, json_t *value) {
    size_t n;
    char *text = vbs_json_dump(value, &n);
    json_decref(value);
    if (!text) return vbs_reply_memory(c);
    const int rc = vbs_reply_bytes(c, status, "application/json", text, n);
    free(text);
    return rc;
}

json_t *vbs_problem_json(const vbs_problem *p) {
    return json_pack("{s{so ss so so}}", "error", "message", vbs_json_text(p->message, strlen(p->message)),
                     "type", p->type ? p->type : "server_error", "param",
                     p->param[0] ? vbs_json_text(p->param, strlen(p->param)) : json_null(), "code",
                     p->code ? json_string(p->code) : json_null());
}

int vbs_reply_problem(vbs_call *c, const vbs_problem *p) {
    /* What there was no memory for looks malformed or missing to whoever comes to it. */
    if (p->status < 500 && vb_json_failed()) return vbs_reply_memory(c);
    snprintf(c->log, sizeof c->log, "%.190s", p->message);
    vb_json_begin();
    return vbs_reply_json(c, (unsigned)p->status, vbs_problem_json(p));
}

void vbs_problem_from(vbs_problem *p, const vb_error *err) {
    bool caller = err->code == VB_ERR_ARGUMENT;
    vbs_refuse(p, caller ? 400 : 500, caller ? "invalid_request_error" : "server_error", NULL, NULL, "%s",
               err->message);
}

void vbs_body_hold(vbs_call *c) {
    enum { LARGE = 128 << 10 };
    c->large = c->body.n > LARGE;
    if (c->large) pthread_mutex_lock(&c->s->large);
}

void vbs_body_release(vbs_call *c) {
    vb_buf_free(&c->body);
    if (c->large) pthread_mutex_unlock(&c->s->large);
}

void vbs_call_log(vbs_call *c) {
    vbs_server *s = c->s;
    char line[512];
    unsigned class_ = c->status / 100;
    atomic_fetch_add(&s->counts.by_class[class_ < 6 ? class_ : 0], 1);
    if (!s->p.log) return;
    snprintf(line, sizeof line, "%s %.100s %u %.0f ms%s%.190s", c->head.method[0] ? c->head.method : "-",
             c->head.path[0] ? c->head.path : "-", c->status, 1e3 * (vb_now() - c->began),
             c->log[0] ? " " : "", c->log);
    for (char *at = line; *at; at++)
        if ((unsigned char)*at < 0x20 || *at == 0x7F) *at = '?'; /* one line, whatever the client sent */
    s->p.log(s->p.user, line);
}

/* -------------------------------------------------------------------------------------------- requests */

/* "/v1/models/" and "/models" are "/v1/models" too. *allow: the methods of the path; NULL: there is no such
 * path. */
static const vbs_route *find_route(const char *method, const char *path, const char **allow) {
    char name[sizeof((vbs_head *)NULL)->path];
    const size_t n = strlen(path);
    const bool reads = !strcmp(method, "GET") || !strcmp(method, "HEAD");
    memcpy(name, path, n + 1);
    if (n > 1 && name[n - 1] == '/') name[n - 1] = 0;
    *allow = "GET, HEAD, OPTIONS";
    if (vbs_find_page(path)) return reads ? &VBS_PAGE_ROUTE : NULL;
    if (!strncmp(name, "/v1/models/", 11) || !strncmp(name, "/models/", 8) ||
        !strncmp(name, "/api/v0/models/", 15))
        return reads ? &VBS_MODEL_ROUTE : NULL;
    for (const vbs_route *r = VBS_ROUTES; r->method; r++) {
        if (strcmp(r->path, name) && (strncmp(r->path, "/v1", 3) || strcmp(r->path + 3, name)) &&
            (strncmp(name, "/v1", 3) || strcmp(r->path, name + 3)))
            continue;
        const bool post = !strcmp(r->method, "POST");
        if (post) *allow = "POST, OPTIONS";
        return (post ? !strcmp(method, "POST") : reads) ? r : NULL;
    }
    *allow = NULL;
    return NULL;
}

static int check_route(vbs_call *c, vbs_problem *p) {
    c->route = find_route(c->head.method, c->head.path, &c->allow);
    if (c->route) return 0;
    if (c->allow)
        return vbs_refuse(p, 405, "invalid_request_error", "method_not_allowed", NULL,
                          "%s is no method of %.100s; it has %s", c->head.method, c->head.path, c->allow);
    return vbs_refuse(
        p, 404, "invalid_request_error", "not_found", NULL,
        "there is no %.100s here; there is /v1/models, /v1/chat/completions, /v1/completions, /health, "
        "/metrics, /props, /tokenize, /detokenize, of LM Studio's interface /api/v0 (models, "
        "chat/completions, "
        "completions), and a page at /",
        c->head.path);
}

int vbs_check_head(vbs_call *c) {
    const vbs_server_params *sp = &c->s->p;
    const char *host = c->head.host[0] || vbs_head_find(&c->head, "Host") ? c->head.host : NULL;
    vbs_problem *p = &c->problem;
    if (vbs_guard_host(sp, host, p) ||
        vbs_guard_origin(sp, vbs_head_find(&c->head, "Origin"), host, &c->origin, p)) {
        atomic_fetch_add(&c->s->counts.refused_host, 1);
        return -1;
    }
    if (!strcmp(c->head.method, "OPTIONS")) return 0;
    if (check_route(c, p)) return -1;
    if (!c->route->open && vbs_guard_key(sp, vbs_head_find(&c->head, "Authorization"),
                                         vbs_head_find(&c->head, "X-Api-Key"), p)) {
        atomic_fetch_add(&c->s->counts.refused_key, 1);
        return -1;
    }
    return 0;
}

int vbs_dispatch(vbs_call *c) {
    vbs_server *s = c->s;
    vbs_problem p = {0};
    vb_json_begin();
    if (c->refused) return vbs_reply_problem(c, &c->problem);
    if (c->too_large) {
        vbs_refuse(&p, 413, "invalid_request_error", "body_too_large", NULL,
                   "the body is larger than %zu bytes, the limit of this server (--max-body)", s->p.max_body);
        return vbs_reply_problem(c, &p);
    }
    if (!strcmp(c->head.method, "OPTIONS")) return vbs_answer_options(c);
    if (c->route->loaded && (!s->engine || s->draining)) {
        vbs_refuse(&p, 503, "server_error", s->draining ? "shutting_down" : "loading", NULL,
                   s->draining ? "the server is shutting down"
                               : "the models are being loaded: try again soon");
        return vbs_reply_problem(c, &p);
    }
    return c->route->answer(c);
}

/* ----------------------------------------------------------------------------------------- connections */

/* Makes room: the connection that has been without a whole request for the longest time is cut. Whoever opens
 * connections and sends nothing only pushes out his own. With the lock held. */
static void evict_oldest(vbs_server *s) {
    vbs_peer *oldest = NULL;
    for (vbs_peer *p = s->peers; p; p = p->next)
        if (!p->answering && !p->evicted && (!oldest || p->since < oldest->since)) oldest = p;
    if (!oldest) return;
    oldest->evicted = true;
    atomic_fetch_add(&s->counts.evicted, 1);
    shutdown(oldest->fd, SHUT_RDWR);
}

static void enter(vbs_peer *p) {
    vbs_server *s = p->s;
    pthread_mutex_lock(&s->lock);
    if (++s->n_peers > s->p.max_connections) evict_oldest(s);
    p->next = s->peers;
    p->link = &s->peers;
    if (s->peers) s->peers->link = &p->next;
    s->peers = p;
    pthread_mutex_unlock(&s->lock);
}

/* The server may be gone after this. */
static void leave(vbs_peer *p) {
    vbs_server *s = p->s;
    pthread_mutex_lock(&s->lock);
    s->n_peers--;
    *p->link = p->next;
    if (p->next) p->next->link = p->link;
    close(p->fd);
    free(p);
    pthread_cond_signal(&s->fewer);
    pthread_mutex_unlock(&s->lock);
}

static void *run_connection(void *peer) {
    vbs_connection_serve(peer);
    leave(peer);
    return NULL;
}

static void start_connection(vbs_server *s, int fd) {
    enum { STACK = 1 << 20 };
    int one = 1;
    pthread_t thread;
    pthread_attr_t attr;
    vbs_peer *p = calloc(1, sizeof *p);
    /* Twice as many as there may be: those that are being cut count until they are gone. */
    pthread_mutex_lock(&s->lock);
    const bool full = s->n_peers >= 2 * s->p.max_connections;
    pthread_mutex_unlock(&s->lock);
    if (!p || full) {
        free(p);
        close(fd);
        return;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    *p = (vbs_peer){.s = s, .fd = fd, .since = vb_now()};
    enter(p);
    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attr, STACK);
    const int rc = pthread_create(&thread, &attr, run_connection, p);
    pthread_attr_destroy(&attr);
    if (rc) leave(p);
}

/* Until the server drains. */
static void *accept_all(void *server) {
    vbs_server *s = server;
    struct pollfd fds[VBS_MAX_LISTEN + 1] = {{.fd = s->wake[0], .events = POLLIN}};
    for (int i = 0; i < s->n_listen; i++) fds[i + 1] = (struct pollfd){.fd = s->listen[i], .events = POLLIN};
    while (!s->draining) {
        if (poll(fds, (nfds_t)s->n_listen + 1, -1) < 0) continue;
        for (int i = 0; i < s->n_listen && !s->draining; i++) {
            if (!(fds[i + 1].revents & POLLIN)) continue;
            const int fd = accept4(s->listen[i], NULL, NULL, SOCK_CLOEXEC);
            if (fd >= 0) {
                start_connection(s, fd);
            } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
                pthread_mutex_lock(&s->lock);
                evict_oldest(s);
                pthread_mutex_unlock(&s->lock);
                usleep(10000);
            }
        }
    }
    return NULL;
}

/* -------------------------------------------------------------------------------------------- life */

static void defaults(vbs_server *s) {
    vbs_server_params *p = &s->p;
    if (!p->host) p->host = "127.0.0.1";
    if (!p->max_body) p->max_body = (size_t)8 << 20;
    if (p->max_connections <= 0) p->max_connections = 256;
    if (p->idle_s <= 0) p->idle_s = 30;
    if (p->head_s <= 0) p->head_s = 30;
    if (p->keep_alive_s <= 0) p->keep_alive_s = 10;
}

static int start_accepting(vbs_server *s, vb_error *err) {
    if (pipe2(s->wake, O_CLOEXEC)) {
        s->wake[0] = s->wake[1] = -1;
        return vb_fail(err, VB_ERR_IO, "the HTTP server does not start: %s", strerror(errno));
    }
    if (vb_thread_start(&s->acceptor, accept_all, s)) return vb_fail(err, VB_ERR_MEMORY, "no further thread");
    s->accepting = true;
    return 0;
}

int vbs_server_open(vbs_server **out, const vbs_server_params *p, vb_error *err) {
    vbs_server *s = calloc(1, sizeof *s);
    if (!s) return vb_fail(err, VB_ERR_MEMORY, "out of memory for the server");
    s->p = *p;
    s->wake[0] = s->wake[1] = -1;
    pthread_mutex_init(&s->lock, NULL);
    vbs_shapes_init(&s->shapes);
    pthread_mutex_init(&s->large, NULL);
    pthread_cond_init(&s->fewer, NULL);
    defaults(s);
    s->started = vb_now();
    s->created = (int64_t)time(NULL);
    uint64_t bits = 0;
    if (!vbs_random(&bits)) bits = (uint64_t)s->created;
    snprintf(s->instance, sizeof s->instance, "%016llx", (unsigned long long)bits);
    int rc = vbs_listen(s->p.host, s->p.port, s->listen, &s->n_listen, &s->port, &s->fell_back, err);
    if (!rc) rc = start_accepting(s, err);
    if (rc) {
        vbs_server_close(s);
        return rc;
    }
    *out = s;
    return 0;
}

int vbs_server_port(const vbs_server *s) {
    return s->port;
}

bool vbs_server_fell_back(const vbs_server *s) {
    return s->fell_back;
}

void vbs_server_drain(vbs_server *s) {
    s->draining = true;
    if (s->accepting) {
        (void)!write(s->wake[1], "", 1);
        pthread_join(s->acceptor, NULL);
        s->accepting = false;
    }
    for (int i = 0; i < s->n_listen; i++)
        close(s->listen[i]); /* whoever comes now is refused, not left waiting */
    s->n_listen = 0;
}

int vbs_server_active(vbs_server *s) {
    return atomic_load(&s->active);
}

void vbs_server_abort(vbs_server *s) {
    s->aborting = true;
}

void vbs_server_close(vbs_server *s) {
    if (!s) return;
    s->aborting = true;
    s->closing = true;
    vbs_server_drain(s);
    pthread_mutex_lock(&s->lock);
    for (vbs_peer *p = s->peers; p; p = p->next) shutdown(p->fd, SHUT_RDWR);
    while (s->n_peers > 0) pthread_cond_wait(&s->fewer, &s->lock);
    pthread_mutex_unlock(&s->lock);
    for (int i = 0; i < 2; i++)
        if (s->wake[i] >= 0) close(s->wake[i]);
    pthread_cond_destroy(&s->fewer);
    pthread_mutex_destroy(&s->lock);
    pthread_mutex_destroy(&s->large);
    vbs_shapes_close(&s->shapes);
    vb_calls_close(s->calls);
    vb_chat_close(s->template);
    free(s);
}
