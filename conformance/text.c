/* text.c - texts, hex digits, hashes and files. */
#include "conformance/conformance.h"

#include "base/whole.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

void cf_add_json(vb_buf *t, json_t *line) {
    char *text = line ? vb_json_write(line, JSON_COMPACT | JSON_PRESERVE_ORDER, NULL) : NULL;
    json_decref(line);
    if (text) {
        vb_buf_add(t, text, strlen(text));
        vb_buf_add(t, "\n", 1);
    } else {
        t->failed = true;
    }
    free(text);
}

static const char DIGITS[] = "0123456789abcdef";

static void put_hex(vb_buf *t, uint64_t value, int digits) {
    char *at = vb_buf_reserve(t, (size_t)digits);
    if (!at) return;
    for (int i = digits - 1; i >= 0; i--) {
        at[i] = DIGITS[value & 15];
        value >>= 4;
    }
    at[digits] = 0;
    t->n += (size_t)digits;
}

void cf_add_bytes(vb_buf *t, const uint8_t *bytes, size_t n) {
    for (size_t i = 0; i < n; i++) put_hex(t, bytes[i], 2);
}

void cf_add_f32(vb_buf *t, const float *x, size_t n) {
    for (size_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, &x[i], sizeof bits);
        put_hex(t, bits, 8);
    }
}

void cf_add_f64(vb_buf *t, const double *x, size_t n) {
    for (size_t i = 0; i < n; i++) {
        uint64_t bits;
        memcpy(&bits, &x[i], sizeof bits);
        put_hex(t, bits, 16);
    }
}

void cf_add_i16(vb_buf *t, const int16_t *x, size_t n) {
    for (size_t i = 0; i < n; i++) put_hex(t, (uint16_t)x[i], 4);
}

void cf_add_ids(vb_buf *t, const int32_t *x, size_t n) {
    for (size_t i = 0; i < n; i++) vb_buf_addf(t, i ? ",%d" : "%d", (int)x[i]);
}

void cf_hash128(const void *bytes, size_t n, char out[33]) {
    XXH128_canonical_t hash;
    XXH128_canonicalFromHash(&hash, XXH3_128bits(bytes, n));
    for (int i = 0; i < 16; i++) {
        out[2 * i] = DIGITS[hash.digest[i] >> 4];
        out[2 * i + 1] = DIGITS[hash.digest[i] & 15];
    }
    out[32] = 0;
}

void cf_hash64(const void *bytes, size_t n, char out[17]) {
    snprintf(out, 17, "%016llx", (unsigned long long)XXH3_64bits(bytes, n));
}

/* `digits` hex digits, lower or upper case. */
static bool get_hex(const char *hex, int digits, uint64_t *out) {
    uint64_t v = 0;
    for (int i = 0; i < digits; i++) {
        const char c = hex[i];
        const int d = c >= '0' && c <= '9'   ? c - '0'
                      : c >= 'a' && c <= 'f' ? c - 'a' + 10
                      : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                             : -1;
        if (d < 0) return false;
        v = v << 4 | (uint64_t)d;
    }
    *out = v;
    return true;
}

bool cf_parse_f32(const char *hex, size_t n, float *out) {
    if (strlen(hex) != 8 * n) return false;
    for (size_t i = 0; i < n; i++) {
        uint64_t v;
        if (!get_hex(hex + 8 * i, 8, &v)) return false;
        const uint32_t bits = (uint32_t)v;
        memcpy(&out[i], &bits, sizeof bits);
    }
    return true;
}

bool cf_parse_f64(const char *hex, size_t n, double *out) {
    if (strlen(hex) != 16 * n) return false;
    for (size_t i = 0; i < n; i++) {
        uint64_t v;
        if (!get_hex(hex + 16 * i, 16, &v)) return false;
        memcpy(&out[i], &v, sizeof v);
    }
    return true;
}

int cf_read_file(const char *path, char **bytes, size_t *n, vb_error *err) {
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    vb_buf data = {0};
    int rc = VB_OK;
    if (fd < 0) return vb_fail(err, VB_ERR_IO, "%s: %s", path, strerror(errno));
    for (;;) {
        char *at = vb_buf_reserve(&data, 1 << 16);
        if (!at) rc = vb_fail(err, VB_ERR_MEMORY, "%s: out of memory (%zu bytes)", path, data.n);
        if (!at) goto cleanup;
        const ssize_t got = read(fd, at, data.room - data.n - 1);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) rc = vb_fail(err, VB_ERR_IO, "%s: %s", path, strerror(errno));
        if (got < 0) goto cleanup;
        if (!got) break;
        data.n += (size_t)got;
    }
    *bytes = vb_buf_take(&data, n);
cleanup:
    vb_buf_free(&data);
    close(fd);
    return rc;
}

int cf_write_file(const char *path, const char *bytes, size_t n, vb_error *err) {
    char *part = NULL;
    int fd = -1, rc = vb_whole_open(path, &part, &fd, err);
    if (rc) return rc;
    bool ok = !vb_whole_write(fd, bytes, n);
    ok = !close(fd) && ok;
    if (!ok) rc = vb_fail(err, VB_ERR_IO, "%s: %s", path, strerror(errno));
    if (!rc) rc = vb_whole_place(part, path, true, err);
    if (rc) unlink(part);
    free(part);
    return rc;
}

char *cf_path(const char *dir, const char *name) {
    if (!dir || name[0] == '/') return strdup(name);
    const size_t n = strlen(dir) + strlen(name) + 2;
    char *p = malloc(n);
    if (p) snprintf(p, n, "%s/%s", dir, name);
    return p;
}
