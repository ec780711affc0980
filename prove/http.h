/* http.h - many requests to one HTTP server at once: the client of `verbatim prove --endpoint`.
 *
 * http.c does it with libcurl. Where its headers are missing the Makefile takes http_none.c instead, which
 * says so when it is asked to (tools/deps installs them).
 *
 * Requests go straight to the address in the URL (no proxy, no redirection), over connections that are kept.
 * An answer counts only when it is complete. Status 429 and 503 mean that a server has no room: those
 * requests are sent again, a little later each time, VB_HTTP_TRIES times at most;
 * nothing else is sent twice. */
#ifndef VB_HTTP_H
#define VB_HTTP_H

#include "base/base.h"

#define VB_HTTP_TRIES 8
#define VB_HTTP_LIMIT (16u << 20) /* bytes of one answer, at most */

typedef struct vb_http vb_http;

typedef struct vb_http_params {
    const char *url;            /* of the API, such as http://127.0.0.1:8000/v1; http or https */
    const char *key;            /* sent as a bearer token; NULL: none */
    int connections;            /* requests under way at once, 1..256 */
    double timeout_s;           /* of one request as a whole */
    bool (*cancel)(void *user); /* may be NULL */
    void *user;
} vb_http_params;

typedef struct vb_http_counts {
    uint64_t requests, repeated; /* POSTs that were answered; times one was sent again */
} vb_http_counts;

/* What is asked, and who takes the answers: in the order in which they come. */
typedef struct vb_http_exchange {
    void *self;
    /* The body of request i, JSON; released with free. NULL: out of memory. */
    char *(*request)(void *self, size_t i);
    /* The body of the answer (status 200), NUL-terminated. `where`: its URL, for messages. */
    int (*answer)(void *self, size_t i, const char *where, const char *body, size_t len, vb_error *err);
} vb_http_exchange;

/* Connects to nobody yet. Errors: VB_ERR_ARGUMENT for the URL, VB_ERR_UNSUPPORTED without libcurl. */
int vb_http_open(vb_http **out, const vb_http_params *p, vb_error *err);
void vb_http_close(vb_http *h);
void vb_http_count(const vb_http *h, vb_http_counts *out);

/* GET url/path (request(i) is not asked), or POST n times. Stops at the first error: VB_ERR_IO (nobody there,
 * a connection that ends early, a status other than 200, no answer in time), what `answer` says,
 * VB_ERR_CANCELLED. Messages begin with the URL. */
int vb_http_get(vb_http *h, const char *path, const vb_http_exchange *x, vb_error *err);
int vb_http_post(vb_http *h, const char *path, size_t n, const vb_http_exchange *x, vb_error *err);

#endif
