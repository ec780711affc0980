/* http.c - the HTTP client of http.h, on libcurl's multi interface: one thread, many connections. */
#include "base/buf.h"
#include "base/json.h"
#include "prove/http.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define CONNECT_S 10 /* for the connection alone */

typedef enum slot_state { IDLE = 0, BUSY, WAITING } slot_state;

/* One request under way. */
typedef struct slot {
    CURL *easy;
    slot_state state;
    size_t index;
    int tries;
    double again; /* WAITING: when to send it again */
    char *request;
    vb_buf body;
    bool too_long;
    char detail[CURL_ERROR_SIZE];
} slot;

struct vb_http {
    char *url;
    struct curl_slist *headers;
    CURLM *multi;
    slot *slots;
    int n_slots;
    double timeout_s;
    bool (*cancel)(void *user);
    void *user;
    vb_http_counts counts;
    char where[1024]; /* the URL of the requests under way */
};

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static size_t take_bytes(char *bytes, size_t size, size_t count, void *user) {
    slot *s = user;
    const size_t n = size * count; /* size is 1 */
    if (n > VB_HTTP_LIMIT - s->body.n) {
        s->too_long = true;
        return 0;
    }
    return vb_buf_add(&s->body, bytes, n) ? n : 0;
}

/* ----------------------------------------------------------------------------------------------- opening */

static int open_slot(vb_http *h, slot *s, vb_error *err) {
    s->easy = curl_easy_init();
    if (!s->easy) return vb_fail(err, VB_ERR_MEMORY, "%s: no memory for a connection", h->url);
    curl_easy_setopt(s->easy, CURLOPT_HTTPHEADER, h->headers);
    curl_easy_setopt(s->easy, CURLOPT_WRITEFUNCTION, take_bytes);
    curl_easy_setopt(s->easy, CURLOPT_WRITEDATA, s);
    curl_easy_setopt(s->easy, CURLOPT_PRIVATE, s);
    curl_easy_setopt(s->easy, CURLOPT_ERRORBUFFER, s->detail);
    curl_easy_setopt(s->easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(s->easy, CURLOPT_PROXY, "");
    curl_easy_setopt(s->easy, CURLOPT_USERAGENT, "verbatim/" VB_VERSION);
    curl_easy_setopt(s->easy, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_S);
    curl_easy_setopt(s->easy, CURLOPT_TIMEOUT_MS, (long)(1000 * h->timeout_s));
    return VB_OK;
}

static int set_headers(vb_http *h, const char *key, vb_error *err) {
    char line[1024];
    const char *lines[] = {"Content-Type: application/json", "Expect:", key ? line : NULL};
    const int n = snprintf(line, sizeof line, "Authorization: Bearer %s", key ? key : "");
    if (n < 0 || (size_t)n >= sizeof line) return vb_fail(err, VB_ERR_ARGUMENT, "the key is too long");
    for (size_t i = 0; i < 3 && lines[i]; i++) {
        struct curl_slist *longer = curl_slist_append(h->headers, lines[i]);
        if (!longer) return vb_fail(err, VB_ERR_MEMORY, "%s: out of memory", h->url);
        h->headers = longer;
    }
    return VB_OK;
}

int vb_http_open(vb_http **out, const vb_http_params *p, vb_error *err) {
    vb_http *h = NULL;
    int rc;
    size_t n = strlen(p->url);
    while (n && p->url[n - 1] == '/') n--;
    if ((strncmp(p->url, "http://", 7) && strncmp(p->url, "https://", 8)) || n < 9 || n > 900)
        return vb_fail(err, VB_ERR_ARGUMENT, "%s: expected a URL such as http://127.0.0.1:8000/v1", p->url);
    if (p->connections < 1 || p->connections > 256 || !(p->timeout_s > 0 && p->timeout_s < 1e6))
        return vb_fail(err, VB_ERR_ARGUMENT, "%s: 1 to 256 connections, and a time limit", p->url);
    if ((rc = vb_alloc((void **)&h, 1, sizeof *h, "the HTTP client", err))) return rc;
    const bool ready = !curl_global_init(CURL_GLOBAL_DEFAULT);
    h->timeout_s = p->timeout_s;
    h->cancel = p->cancel;
    h->user = p->user;
    h->url = strndup(p->url, n);
    h->multi = ready ? curl_multi_init() : NULL;
    if (!h->url || !h->multi) {
        rc = vb_fail(err, VB_ERR_MEMORY, "%s: libcurl does not start", p->url);
        goto cleanup;
    }
    if ((rc = set_headers(h, p->key, err)) ||
        (rc = vb_alloc((void **)&h->slots, (size_t)p->connections, sizeof *h->slots, "the HTTP client", err)))
        goto cleanup;
    for (h->n_slots = 0; h->n_slots < p->connections; h->n_slots++)
        if ((rc = open_slot(h, &h->slots[h->n_slots], err))) goto cleanup;
    *out = h;
    h = NULL;
cleanup:
    vb_http_close(h);
    return rc;
}

void vb_http_close(vb_http *h) {
    if (!h) return;
    for (int i = 0; i < h->n_slots; i++) {
        slot *s = &h->slots[i];
        if (s->state == BUSY) curl_multi_remove_handle(h->multi, s->easy);
        curl_easy_cleanup(s->easy);
        free(s->request);
        vb_buf_free(&s->body);
    }
    if (h->multi) curl_multi_cleanup(h->multi);
    curl_slist_free_all(h->headers);
    curl_global_cleanup();
    free(h->slots);
    free(h->url);
    free(h);
}

void vb_http_count(const vb_http *h, vb_http_counts *out) {
    *out = h->counts;
}

/* ----------------------------------------------------------------------------------------------- requests */

static int send_slot(vb_http *h, slot *s, vb_error *err) {
    s->body.n = 0;
    s->too_long = false;
    s->detail[0] = 0;
    curl_easy_setopt(s->easy, CURLOPT_URL, h->where);
    if (s->request) {
        curl_easy_setopt(s->easy, CURLOPT_POSTFIELDS, s->request);
        curl_easy_setopt(s->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)strlen(s->request));
    } else {
        curl_easy_setopt(s->easy, CURLOPT_HTTPGET, 1L);
    }
    if (curl_multi_add_handle(h->multi, s->easy))
        return vb_fail(err, VB_ERR_MEMORY, "%s: libcurl takes no request", h->where);
    s->state = BUSY;
    s->tries++;
    return VB_OK;
}

/* What a server says beside a status: error.message of its JSON, otherwise its first bytes. */
static int refused(const vb_http *h, const slot *s, long status, vb_error *err) {
    json_t *body = s->body.n ? vb_json_read(s->body.s, s->body.n, JSON_ALLOW_NUL, NULL) : NULL;
    json_t *error = json_object_get(body, "error");
    const char *text = json_string_value(json_is_object(error) ? json_object_get(error, "message") : error);
    if (!text) text = json_string_value(json_object_get(body, "message"));
    if (!text) text = s->body.n ? s->body.s : "(without a word)";
    const int rc =
        vb_fail(err, VB_ERR_IO, "%s: HTTP status %ld%s: %.*s", h->where, status,
                status == 429 || status == 503 ? ", again and again" : "", (int)strcspn(text, "\r\n"), text);
    json_decref(body);
    return rc;
}

static int broken(const vb_http *h, const slot *s, CURLcode code, vb_error *err) {
    const char *detail = s->detail[0] ? s->detail : curl_easy_strerror(code);
    switch (code) {
    case CURLE_COULDNT_CONNECT:
    case CURLE_COULDNT_RESOLVE_HOST:
        return vb_fail(err, VB_ERR_IO, "%s: nobody answers there (%s): is the server running?", h->where,
                       detail);
    case CURLE_OPERATION_TIMEDOUT:
        return vb_fail(err, VB_ERR_IO, "%s: no complete answer within %g s (%s)", h->where, h->timeout_s,
                       detail);
    case CURLE_PARTIAL_FILE:
    case CURLE_GOT_NOTHING:
    case CURLE_RECV_ERROR:
    case CURLE_SEND_ERROR:
        return vb_fail(err, VB_ERR_IO, "%s: the connection ended before the answer was complete (%s)",
                       h->where, detail);
    default:
        if (s->too_long)
            return vb_fail(err, VB_ERR_IO, "%s: the answer is longer than %u bytes", h->where, VB_HTTP_LIMIT);
        return vb_fail(err, VB_ERR_IO, "%s: %s", h->where, detail);
    }
}

/* A request that came to an end: its answer is taken, or it waits for another try. */
static int finish(vb_http *h, slot *s, CURLcode code, const vb_http_exchange *x, vb_error *err) {
    long status = 0;
    curl_multi_remove_handle(h->multi, s->easy);
    s->state = IDLE;
    if (code != CURLE_OK) return broken(h, s, code, err);
    curl_easy_getinfo(s->easy, CURLINFO_RESPONSE_CODE, &status);
    if ((status == 429 || status == 503) && s->tries < VB_HTTP_TRIES) {
        s->state = WAITING;
        s->again = now() + 0.05 * (double)(1 << s->tries); /* 0.1 s to 6.4 s */
        h->counts.repeated++;
        return VB_OK;
    }
    if (status != 200) return refused(h, s, status, err);
    h->counts.requests += s->request != NULL;
    return x->answer(x->self, s->index, h->where, s->body.n ? s->body.s : "", s->body.n, err);
}

static int start_next(vb_http *h, slot *s, size_t index, bool post, const vb_http_exchange *x,
                      vb_error *err) {
    free(s->request);
    s->request = post ? x->request(x->self, index) : NULL;
    if (post && !s->request) return vb_fail(err, VB_ERR_MEMORY, "%s: out of memory for a request", h->where);
    s->index = index;
    s->tries = 0;
    return send_slot(h, s, err);
}

static bool any_idle(const vb_http *h) {
    bool yes = false;
    for (int i = 0; i < h->n_slots; i++) yes |= h->slots[i].state == IDLE;
    return yes;
}

static int exchange(vb_http *h, const char *path, size_t n, bool post, const vb_http_exchange *x,
                    vb_error *err) {
    size_t next = 0, done = 0;
    int rc = VB_OK, running = 0, left = 0;
    snprintf(h->where, sizeof h->where, "%s%s", h->url, path);
    while (done < n && !rc) {
        if (h->cancel && h->cancel(h->user)) {
            rc = vb_fail(err, VB_ERR_CANCELLED, "cancelled");
            break;
        }
        for (int i = 0; i < h->n_slots && !rc; i++) {
            slot *s = &h->slots[i];
            if (s->state == IDLE && next < n)
                rc = start_next(h, s, next++, post, x, err);
            else if (s->state == WAITING && now() >= s->again)
                rc = send_slot(h, s, err);
        }
        if (!rc && curl_multi_perform(h->multi, &running))
            rc = vb_fail(err, VB_ERR_IO, "%s: libcurl fails", h->where);
        for (CURLMsg *m; !rc && (m = curl_multi_info_read(h->multi, &left));) {
            char *private = NULL;
            if (m->msg != CURLMSG_DONE) continue;
            const CURLcode code = m->data.result; /* m is gone once the handle is removed */
            curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &private);
            slot *s = (slot *)(void *)private;
            rc = finish(h, s, code, x, err);
            done += s->state == IDLE;
        }
        if (!rc && done < n && !(next < n && any_idle(h))) curl_multi_poll(h->multi, NULL, 0, 50, NULL);
    }
    for (int i = 0; i < h->n_slots; i++) {
        if (h->slots[i].state == BUSY) curl_multi_remove_handle(h->multi, h->slots[i].easy);
        h->slots[i].state = IDLE;
    }
    return rc;
}

int vb_http_get(vb_http *h, const char *path, const vb_http_exchange *x, vb_error *err) {
    return exchange(h, path, 1, false, x, err);
}

int vb_http_post(vb_http *h, const char *path, size_t n, const vb_http_exchange *x, vb_error *err) {
    return exchange(h, path, n, true, x, err);
}
