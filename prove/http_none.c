/* http_none.c - takes the place of http.c in a build without libcurl. */
#include "prove/http.h"

int vb_http_open(vb_http **out, const vb_http_params *p, vb_error *err) {
    (void)out;
    return vb_fail(
        err, VB_ERR_UNSUPPORTED,
        "%s: this build has no HTTP client: install libcurl's headers (tools/deps build) and build "
        "again",
        p->url);
}

void vb_http_close(vb_http *h) {
    (void)h;
}

void vb_http_count(const vb_http *h, vb_http_counts *out) {
    (void)h;
    *out = (vb_http_counts){0};
}

int vb_http_get(vb_http *h, const char *path, const vb_http_exchange *x, vb_error *err) {
    (void)h, (void)path, (void)x;
    return vb_fail(err, VB_ERR_UNSUPPORTED, "this build has no HTTP client");
}

int vb_http_post(vb_http *h, const char *path, size_t n, const vb_http_exchange *x, vb_error *err) {
    (void)n;
    return vb_http_get(h, path, x, err);
}
