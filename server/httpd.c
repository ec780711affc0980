/* httpd.c - libmicrohttpd: connections with their limits, requests until they are whole, replies. */
#include "httpd.h"

#include "base.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#if defined(__GLIBC__)
#include <malloc.h>
#endif

/* ------------------------------------------------------------------------------------------------ replies */

static const char *header(vbs_call *c, const char *name) {
    return MHD_lookup_connection_value(c->connection, MHD_HEADER_KIND, name);
}

enum MHD_Result vbs_reply(vbs_call *c, unsigned status, struct MHD_Response *r) {
    if (!r) return MHD_NO;
    c->status = status;
    if (c->origin) {
        MHD_add_response_header(r, "Access-Control-Allow-Origin", c->origin);
        if (strcmp(c->origin, "*") != 0) MHD_add_response_header(r, "Vary", "Origin");
        MHD_add_response_header(r, "Access-Control-Expose-Headers", "Retry-After");
    }
    MHD_add_response_header(r, "X-Content-Type-Options", "nosniff");
    if (status == 429 || status == 503) MHD_add_response_header(r, "Retry-After", "2");
    if (status == 401) MHD_add_response_header(r, "WWW-Authenticate", "Bearer");
    if (c->s->draining) MHD_add_response_header(r, "Connection", "close");
    enum MHD_Result ok = MHD_queue_response(c->connection, status, r);
    MHD_destroy_response(r);
    return ok;
}

enum MHD_Result vbs_reply_bytes(vbs_call *c, unsigned status, const char *type, const void *bytes, size_t n,
                                bool forever) {
    /* The library only reads them; its interface knows no const. */
    void *data = (void *)(uintptr_t)bytes;
    struct MHD_Response *r =
        MHD_create_response_from_buffer(n, data, forever ? MHD_RESPMEM_PERSISTENT : MHD_RESPMEM_MUST_COPY);
    if (r) MHD_add_response_header(r, "Content-Type", type);
    return vbs_reply(c, status, r);
}

enum MHD_Result vbs_reply_json(vbs_call *c, unsigned status, json_t *value) {
    size_t n;
    char *text = vbs_json_dump(value, &n);
    json_decref(value);
    if (!text) return MHD_NO;
    struct MHD_Response *r = MHD_create_response_from_buffer(n, text, MHD_RESPMEM_MUST_FREE);
    if (!r) free(text);
    if (r) MHD_add_response_header(r, "Content-Type", "application/json");
    return vbs_reply(c, status, r);
}

json_t *vbs_problem_json(const vbs_problem *p) {
    return json_pack("{s{so ss so so}}", "error", "message", vbs_json_text(p->message, strlen(p->message)),
                     "type", p->type ? p->type : "server_error", "param",
                     p->param[0] ? vbs_json_text(p->param, strlen(p->param)) : json_null(), "code",
                     p->code ? json_string(p->code) : json_null());
}

enum MHD_Result vbs_reply_problem(vbs_call *c, const vbs_problem *p) {
    snprintf(c->log, sizeof c->log, "%.190s", p->message);
    return vbs_reply_json(c, (unsigned)p->status, vbs_problem_json(p));
}

void vbs_problem_from(vbs_problem *p, const vb_error *err) {
    bool caller = err->code == VB_ERR_ARGUMENT;
    vbs_refuse(p, caller ? 400 : 500, caller ? "invalid_request_error" : "server_error", NULL, NULL, "%s",
               err->message);
}

void vbs_body_hold(vbs_call *c) {
    enum { LARGE = 1 << 20 };
    c->large = c->n_body > LARGE;
    if (c->large) pthread_mutex_lock(&c->s->large);
}

void vbs_body_release(vbs_call *c) {
    free(c->body);
    c->body = NULL;
    c->n_body = c->room = 0;
    if (c->large) pthread_mutex_unlock(&c->s->large);
}

/* The C library keeps what was freed in small pieces for later; of a large body that is a lot. */
static void give_back(const vbs_call *c) {
#if defined(__GLIBC__)
    if (c->large) malloc_trim(0);
#else
    (void)c;
#endif
}

void vbs_call_patience(vbs_call *c, bool on) {
    double seconds = c->s->p.idle_s;
    MHD_set_connection_option(c->connection, MHD_CONNECTION_OPTION_TIMEOUT,
                              on ? (unsigned)(seconds < 1 ? 1 : seconds) : 0u);
}

bool vbs_peer_gone(const vbs_peer *p) {
    char any;
    ssize_t n = recv(p->fd, &any, 1, MSG_PEEK | MSG_DONTWAIT);
    return n == 0 || (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR);
}

void vbs_call_log(vbs_call *c) {
    vbs_server *s = c->s;
    char line[512];
    unsigned class_ = c->status / 100;
    atomic_fetch_add(&s->counts.by_class[class_ < 6 ? class_ : 0], 1);
    if (!s->p.log) return;
    snprintf(line, sizeof line, "%s %.100s %u %.0f ms%s%.190s", c->method, c->path, c->status,
             1e3 * (vb_now() - c->began), c->log[0] ? " " : "", c->log);
    for (char *at = line; *at; at++)
        if ((unsigned char)*at < 0x20 || *at == 0x7F) *at = '?'; /* one line, whatever the client sent */
    s->p.log(s->p.user, line);
}

/* ------------------------------------------------------------------------------------------------ requests
 */

/* "/v1/models/" and "/models" are "/v1/models" too. */
static const vbs_route *find_route(const char *method, const char *path, bool *path_known) {
    char name[128];
    size_t n = strlen(path);
    if (n >= sizeof name) return NULL;
    memcpy(name, path, n + 1);
    if (n > 1 && name[n - 1] == '/') name[n - 1] = 0;
    if (vbs_find_page(path)) {
        *path_known = true;
        return strcmp(method, "GET") && strcmp(method, "HEAD") ? NULL : &VBS_PAGE_ROUTE;
    }
    if (!strncmp(name, "/v1/models/", 11) || !strncmp(name, "/models/", 8)) {
        *path_known = true;
        return strcmp(method, "GET") && strcmp(method, "HEAD") ? NULL : &VBS_MODEL_ROUTE;
    }
    for (const vbs_route *r = VBS_ROUTES; r->method; r++) {
        if (strcmp(r->path, name) && (strncmp(r->path, "/v1", 3) || strcmp(r->path + 3, name)) &&
            (strncmp(name, "/v1", 3) || strcmp(r->path, name + 3)))
            continue;
        *path_known = true;
        if (!strcmp(r->method, method) || (!strcmp(method, "HEAD") && !strcmp(r->method, "GET"))) return r;
    }
    return NULL;
}

static int check_route(vbs_call *c, vbs_problem *p) {
    bool known = false;
    c->route = find_route(c->method, c->path, &known);
    if (c->route) return 0;
    if (known)
        return vbs_refuse(p, 405, "invalid_request_error", "method_not_allowed", NULL,
                          "%s is no method of %.100s", c->method, c->path);
    return vbs_refuse(
        p, 404, "invalid_request_error", "not_found", NULL,
        "there is no %.100s here; there is /v1/models, /v1/chat/completions, /v1/completions, /health, "
        "/metrics, /props, /tokenize, /detokenize and a page at /",
        c->path);
}

/* Everything that can be said before the body comes. */
static int check_head(vbs_call *c, vbs_problem *p) {
    const vbs_server_params *sp = &c->s->p;
    const char *host = header(c, "Host"), *length = header(c, "Content-Length");
    if (!host && !c->old)
        return vbs_refuse(p, 400, "invalid_request_error", NULL, NULL, "the request has no Host header");
    if (vbs_guard_host(sp, host, p)) {
        atomic_fetch_add(&c->s->counts.refused_host, 1);
        return -1;
    }
    if (vbs_guard_origin(sp, header(c, "Origin"), host, &c->origin, p)) {
        atomic_fetch_add(&c->s->counts.refused_host, 1);
        return -1;
    }
    if (!strcmp(c->method, "OPTIONS")) return 0;
    if (check_route(c, p)) return -1;
    if (!c->route->open && vbs_guard_key(sp, header(c, "Authorization"), header(c, "X-Api-Key"), p)) {
        atomic_fetch_add(&c->s->counts.refused_key, 1);
        return -1;
    }
    if (length && strtoull(length, NULL, 10) > sp->max_body) c->too_large = true;
    return 0;
}

static int too_large(const vbs_call *c, vbs_problem *p) {
    return vbs_refuse(p, 413, "invalid_request_error", "body_too_large", NULL,
                      "the body is larger than %zu bytes, the limit of this server (--max-body)",
                      c->s->p.max_body);
}

/* A piece of the body. What is too much is read and dropped up to a point, so that the client gets to read
 * why. */
static enum MHD_Result take_body(vbs_call *c, const char *data, size_t n) {
    if (c->refused) return MHD_YES;
    if (c->too_large || n > c->s->p.max_body - c->n_body) {
        c->too_large = true;
        c->n_body = 0;
        c->dropped += n;
        return c->dropped > 4 * c->s->p.max_body + (1 << 20) ? MHD_NO : MHD_YES;
    }
    if (c->n_body + n + 1 > c->room) {
        size_t room = 2 * (c->n_body + n) + 1024;
        char *grown = realloc(c->body, room);
        if (!grown) return MHD_NO;
        c->body = grown;
        c->room = room;
    }
    memcpy(c->body + c->n_body, data, n);
    c->n_body += n;
    c->body[c->n_body] = 0;
    return MHD_YES;
}

static enum MHD_Result dispatch(vbs_call *c) {
    vbs_server *s = c->s;
    vbs_problem p = {0};
    if (c->refused) return vbs_reply_problem(c, &c->problem);
    if (c->too_large) {
        too_large(c, &p);
        return vbs_reply_problem(c, &p);
    }
    if (!strcmp(c->method, "OPTIONS")) return vbs_answer_options(c);
    if (c->route->loaded && (!s->engine || s->draining)) {
        vbs_refuse(&p, 503, "server_error", s->draining ? "shutting_down" : "loading", NULL,
                   s->draining ? "the server is shutting down"
                               : "the models are being loaded: try again soon");
        return vbs_reply_problem(c, &p);
    }
    return c->route->answer(c);
}

static void peer_answers(vbs_call *c, bool answering) {
    if (!c->peer) return;
    pthread_mutex_lock(&c->s->lock);
    c->peer->answering = answering;
    c->peer->since = vb_now();
    pthread_mutex_unlock(&c->s->lock);
}

static enum MHD_Result begin(vbs_server *s, struct MHD_Connection *connection, const char *url,
                             const char *method, const char *version, void **state) {
    vbs_call *c = calloc(1, sizeof *c);
    if (!c) return MHD_NO;
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    *state = c;
    c->s = s;
    c->connection = connection;
    c->peer = info ? info->socket_context : NULL;
    c->began = vb_now();
    c->old = !strcmp(version, "HTTP/1.0");
    snprintf(c->method, sizeof c->method, "%s", method);
    snprintf(c->path, sizeof c->path, "%s", url);
    atomic_fetch_add(&s->active, 1);
    c->refused = check_head(c, &c->problem) != 0;
    return MHD_YES;
}

static enum MHD_Result on_request(void *server, struct MHD_Connection *connection, const char *url,
                                  const char *method, const char *version, const char *upload,
                                  size_t *n_upload, void **state) {
    if (!*state) return begin(server, connection, url, method, version, state);
    vbs_call *c = *state;
    if (*n_upload) {
        size_t n = *n_upload;
        *n_upload = 0;
        return take_body(c, upload, n);
    }
    peer_answers(c, true);
    return dispatch(c);
}

static void on_completed(void *server, struct MHD_Connection *connection, void **state,
                         enum MHD_RequestTerminationCode why) {
    vbs_call *c = *state;
    vbs_server *s = server;
    (void)connection;
    if (!c) return;
    if (why != MHD_REQUEST_TERMINATED_COMPLETED_OK)
        atomic_fetch_add(
            why == MHD_REQUEST_TERMINATED_TIMEOUT_REACHED ? &s->counts.timed_out : &s->counts.gone, 1);
    vbs_call_log(c);
    peer_answers(c, false);
    free(c->body);
    give_back(c);
    free(c);
    *state = NULL;
    atomic_fetch_sub(&s->active, 1);
}

/* ------------------------------------------------------------------------------------------------
 * connections */

/* No path here has anything to be unescaped in it, and none shall be cut short by a zero byte. */
static size_t unescape(void *none, struct MHD_Connection *connection, char *text) {
    (void)none;
    (void)connection;
    return strlen(text);
}

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

static void on_connection(void *server, struct MHD_Connection *connection, void **context,
                          enum MHD_ConnectionNotificationCode what) {
    vbs_server *s = server;
    if (what == MHD_CONNECTION_NOTIFY_STARTED) {
        const union MHD_ConnectionInfo *info =
            MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
        vbs_peer *p = calloc(1, sizeof *p);
        *context = p;
        if (!p || !info) return;
        p->fd = info->connect_fd;
        p->since = vb_now();
        pthread_mutex_lock(&s->lock);
        if (++s->n_peers > s->p.max_connections) evict_oldest(s);
        p->next = s->peers;
        p->link = &s->peers;
        if (s->peers) s->peers->link = &p->next;
        s->peers = p;
        pthread_mutex_unlock(&s->lock);
        return;
    }
    vbs_peer *p = *context;
    if (!p) return;
    pthread_mutex_lock(&s->lock);
    s->n_peers--;
    if (p->link) {
        *p->link = p->next;
        if (p->next) p->next->link = p->link;
    }
    pthread_mutex_unlock(&s->lock);
    free(p);
    *context = NULL;
}

/* Cuts connections whose request does not arrive in time, however steadily it trickles. */
static void *watch(void *server) {
    vbs_server *s = server;
    while (!s->closing) {
        usleep(200000);
        double now = vb_now();
        pthread_mutex_lock(&s->lock);
        for (vbs_peer *p = s->peers; p; p = p->next)
            if (!p->answering && !p->evicted && now - p->since > s->p.head_s) {
                p->evicted = true;
                atomic_fetch_add(&s->counts.timed_out, 1);
                shutdown(p->fd, SHUT_RDWR);
            }
        pthread_mutex_unlock(&s->lock);
    }
    return NULL;
}

/* ------------------------------------------------------------------------------------------------ life */

/* A listening socket, or -1 with errno. */
static int listen_on(const struct addrinfo *a) {
    int one = 1, fd = socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC, a->ai_protocol);
    if (fd < 0) return -1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (!bind(fd, a->ai_addr, a->ai_addrlen) && !listen(fd, 128)) return fd;
    int saved = errno;
    close(fd);
    errno = saved;
    return -1;
}

static int try_port(const char *host, int port, int *fd, vb_error *err) {
    char service[16];
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE},
                    *found;
    snprintf(service, sizeof service, "%d", port);
    int rc = getaddrinfo(host, service, &hints, &found);
    if (rc) return vb_fail(err, VB_ERR_ARGUMENT, "host %s: %s", host, gai_strerror(rc));
    *fd = -1;
    for (const struct addrinfo *a = found; a && *fd < 0; a = a->ai_next) *fd = listen_on(a);
    freeaddrinfo(found);
    return 0;
}

static int port_error(const vbs_server *s, int port, bool both, vb_error *err) {
    int why = errno;
    if (why == EADDRINUSE && both)
        return vb_fail(err, VB_ERR_IO,
                       "ports 8000 and 8080 of %s are both in use: choose another with --port N", s->p.host);
    return vb_fail(err, VB_ERR_IO, "cannot listen on port %d of %s: %s%s", port, s->p.host, strerror(why),
                   why == EADDRINUSE ? ": choose another with --port N" : "");
}

static int bind_port(vbs_server *s, vb_error *err) {
    int wanted = s->p.port < 0 ? 0 : s->p.port ? s->p.port : 8000;
    int rc = try_port(s->p.host, wanted, &s->listen_fd, err);
    if (rc) return rc;
    if (s->listen_fd < 0 && !s->p.port && errno == EADDRINUSE) {
        wanted = 8080;
        s->fell_back = true;
        rc = try_port(s->p.host, wanted, &s->listen_fd, err);
        if (rc) return rc;
    }
    if (s->listen_fd < 0) return port_error(s, wanted, s->fell_back, err);
    struct sockaddr_storage name;
    socklen_t len = sizeof name;
    char service[16] = "";
    if (!getsockname(s->listen_fd, (struct sockaddr *)&name, &len))
        getnameinfo((struct sockaddr *)&name, len, NULL, 0, service, sizeof service, NI_NUMERICSERV);
    s->port = atoi(service);
    return 0;
}

static void defaults(vbs_server *s) {
    vbs_server_params *p = &s->p;
    if (!p->host) p->host = "127.0.0.1";
    if (!p->max_body) p->max_body = (size_t)8 << 20;
    if (p->max_connections <= 0) p->max_connections = 256;
    if (p->idle_s <= 0) p->idle_s = 30;
    if (p->head_s <= 0) p->head_s = 30;
    if (p->keep_alive_s <= 0) p->keep_alive_s = 10;
}

static int start_daemon(vbs_server *s, vb_error *err) {
    enum { STACK = 1 << 20, POOL = 32 << 10 };
    /* Twice as many as there may be: those that are being cut count until they are gone. */
    s->daemon = MHD_start_daemon(
        MHD_USE_THREAD_PER_CONNECTION | MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_POLL | MHD_USE_ITC, 0, NULL,
        NULL, on_request, s, MHD_OPTION_LISTEN_SOCKET, s->listen_fd,                  //
        MHD_OPTION_CONNECTION_LIMIT, 2 * (unsigned)s->p.max_connections,              //
        MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)(s->p.idle_s < 1 ? 1 : s->p.idle_s), //
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)POOL,                             //
        MHD_OPTION_THREAD_STACK_SIZE, (size_t)STACK,                                  //
        MHD_OPTION_UNESCAPE_CALLBACK, unescape, NULL, MHD_OPTION_NOTIFY_COMPLETED, on_completed, s,
        MHD_OPTION_NOTIFY_CONNECTION, on_connection, s, MHD_OPTION_END);
    if (!s->daemon) return vb_fail(err, VB_ERR_IO, "the HTTP server does not start: %s", strerror(errno));
    if (pthread_create(&s->watcher, NULL, watch, s)) return vb_fail(err, VB_ERR_MEMORY, "no further thread");
    s->watching = true;
    return 0;
}

int vbs_server_open(vbs_server **out, const vbs_server_params *p, vb_error *err) {
    vbs_server *s = calloc(1, sizeof *s);
    if (!s) return vb_fail(err, VB_ERR_MEMORY, "out of memory for the server");
    s->p = *p;
    s->listen_fd = -1;
    pthread_mutex_init(&s->lock, NULL);
    pthread_mutex_init(&s->large, NULL);
    defaults(s);
    s->started = vb_now();
    s->created = (int64_t)time(NULL);
    uint64_t bits = 0;
    if (!vbs_random(&bits)) bits = (uint64_t)s->created;
    snprintf(s->instance, sizeof s->instance, "%016llx", (unsigned long long)bits);
    int rc = bind_port(s, err);
    if (!rc) rc = start_daemon(s, err);
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
    if (s->quiesced) return;
    /* Refuses connections from now on. The socket itself may only be closed when no thread of the daemon is
     * left. */
    MHD_quiesce_daemon(s->daemon);
    shutdown(s->listen_fd, SHUT_RDWR);
    s->quiesced = true;
}

int vbs_server_active(vbs_server *s) {
    return atomic_load(&s->active);
}

void vbs_server_abort(vbs_server *s) {
    s->aborting = true;
}

void vbs_server_close(vbs_server *s) {
    if (!s) return;
    s->draining = true;
    s->aborting = true;
    s->closing = true;
    if (s->watching) pthread_join(s->watcher, NULL);
    bool owned = s->daemon && !s->quiesced; /* then the daemon closes the socket */
    if (s->daemon) MHD_stop_daemon(s->daemon);
    if (s->listen_fd >= 0 && !owned) close(s->listen_fd);
    pthread_mutex_destroy(&s->lock);
    pthread_mutex_destroy(&s->large);
    free(s);
}
