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

void cf_text_free(cf_text *t) {
    free(t->data);
    memset(t, 0, sizeof *t);
}

int cf_text_done(const cf_text *t, vb_error *err) {
    return t->failed ? vb_fail(err, VB_ERR_MEMORY, "out of memory for a vector file") : VB_OK;
}

/* Room for n more bytes and the NUL. */
static char *reserve(cf_text *t, size_t n) {
    if (t->failed) return NULL;
    if (n + 1 > t->room - t->len) {
        size_t room = 2 * t->room + n + 4096;
        char *p = room > n ? realloc(t->data, room) : NULL;
        if (!p) {
            t->failed = true;
            return NULL;
        }
        t->data = p;
        t->room = room;
    }
    return t->data + t->len;
}

void cf_add(cf_text *t, const char *bytes, size_t n) {
    char *at = reserve(t, n);
    if (!at) return;
    memcpy(at, bytes, n);
    at[n] = 0;
    t->len += n;
}

void cf_addf(cf_text *t, const char *format, ...) {
    char buffer[1024];
    va_list ap;
    va_start(ap, format);
    const int n = vsnprintf(buffer, sizeof buffer, format, ap);
    va_end(ap);
    if (n < 0 || (size_t)n >= sizeof buffer)
        t->failed = true; /* formats here are short: what is long goes through cf_add */
    else
        cf_add(t, buffer, (size_t)n);
}

void cf_add_json(cf_text *t, json_t *line) {
    char *text = line ? vb_json_write(line, JSON_COMPACT | JSON_PRESERVE_ORDER, NULL) : NULL;
    json_decref(line);
    if (text) {
        cf_add(t, text, strlen(text));
        cf_add(t, "\n", 1);
    } else {
        t->failed = true;
    }
    free(text);
}

static const char DIGITS[] = "0123456789abcdef";

static void put_hex(cf_text *t, uint64_t value, int digits) {
    char *at = reserve(t, (size_t)digits);
    if (!at) return;
    for (int i = digits - 1; i >= 0; i--) {
        at[i] = DIGITS[value & 15];
        value >>= 4;
    }
    at[digits] = 0;
    t->len += (size_t)digits;
}

void cf_add_bytes(cf_text *t, const uint8_t *bytes, size_t n) {
    for (size_t i = 0; i < n; i++) put_hex(t, bytes[i], 2);
}

void cf_add_f32(cf_text *t, const float *x, size_t n) {
    for (size_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, &x[i], sizeof bits);
        put_hex(t, bits, 8);
    }
}

void cf_add_f64(cf_text *t, const double *x, size_t n) {
    for (size_t i = 0; i < n; i++) {
        uint64_t bits;
        memcpy(&bits, &x[i], sizeof bits);
        put_hex(t, bits, 16);
    }
}

void cf_add_i16(cf_text *t, const int16_t *x, size_t n) {
    for (size_t i = 0; i < n; i++) put_hex(t, (uint16_t)x[i], 4);
}

void cf_add_ids(cf_text *t, const int32_t *x, size_t n) {
    for (size_t i = 0; i < n; i++) cf_addf(t, i ? ",%d" : "%d", (int)x[i]);
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
    char *data = NULL;
    size_t len = 0, room = 0;
    int rc = VB_OK;
    if (fd < 0) return vb_fail(err, VB_ERR_IO, "%s: %s", path, strerror(errno));
    for (;;) {
        if (len + 1 >= room) {
            room = 2 * room + 65536;
            char *p = realloc(data, room);
            if (!p) {
                rc = vb_fail(err, VB_ERR_MEMORY, "%s: out of memory (%zu bytes)", path, room);
                goto cleanup;
            }
            data = p;
        }
        const ssize_t got = read(fd, data + len, room - len - 1);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) rc = vb_fail(err, VB_ERR_IO, "%s: %s", path, strerror(errno));
        if (got < 0) goto cleanup;
        if (!got) break;
        len += (size_t)got;
    }
    data[len] = 0;
    *bytes = data;
    *n = len;
    data = NULL;
cleanup:
    free(data);
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
