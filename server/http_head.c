/* http_head.c - the head of an HTTP request, and bodies in chunks. See http_head.h. */
#include "server/http_head.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

static int bad(vbs_problem *p, const char *words) {
    return vbs_refuse(p, 400, "invalid_request_error", "bad_http", NULL,
                      "this is not HTTP as RFC 9112 has it: %s", words);
}

/* RFC 9110 5.6.2 */
static bool is_token(char c) {
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
           (c && strchr("!#$%&'*+-.^_`|~", c));
}

static int hex(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

long vbs_head_end(const char *text, size_t n, size_t *seen, vbs_problem *p) {
    size_t at = 0;
    while (n - at >= 2 && text[at] == '\r' && text[at + 1] == '\n') at += 2; /* RFC 9112 2.2 */
    if (at < n && text[at] != '\r' && !is_token(text[at]))
        return bad(p, text[at] == 0x16 ? "this port speaks http://, not https://"
                                       : "a request begins with a method");
    for (size_t i = at > *seen ? at : *seen; i < n; i++) {
        if (text[i] == '\r' && i + 1 < n && text[i + 1] != '\n') return bad(p, "a CR without an LF");
        if (text[i] != '\n') continue;
        if (i == 0 || text[i - 1] != '\r') return bad(p, "lines end with CR LF, not with LF alone");
        if (i < at + 3 || text[i - 2] != '\n' || text[i - 3] != '\r') continue;
        if (i < VBS_MAX_HEAD) return (long)i + 1;
        break; /* too large, however much of it came at once */
    }
    *seen = n ? n - 1 : 0; /* the last byte may be a CR */
    if (n < VBS_MAX_HEAD) return 0;
    return vbs_refuse(p, 431, "invalid_request_error", "header_too_large", NULL,
                      "the head of the request is larger than %d bytes", VBS_MAX_HEAD);
}

/* ---------------------------------------------------------------------------------------- request line */

static int read_version(vbs_head *h, const char *v, vbs_problem *p) {
    if (strlen(v) != 8 || strncmp(v, "HTTP/", 5) != 0 || v[5] < '0' || v[5] > '9' || v[6] != '.' ||
        v[7] < '0' || v[7] > '9' || v[8])
        return bad(p, "a request begins with METHOD TARGET HTTP/1.1");
    if (v[5] != '1')
        return vbs_refuse(p, 505, "invalid_request_error", "http_version", NULL,
                          "%s is not spoken here; HTTP/1.1 is", v);
    h->old = v[7] == '0';
    h->keep = !h->old;
    return 0;
}

/* The path of a target without its query: %XX decoded, slashes that follow one another made one, because base
 * URLs that end with a slash are common. */
static int read_path(vbs_head *h, const char *from, vbs_problem *p) {
    size_t used = 0;
    for (const char *at = from; *at && *at != '?' && *at != '#'; at++) {
        char c = *at;
        if (c == '%') {
            const int high = hex(at[1]), low = high < 0 ? -1 : hex(at[2]);
            if (low < 0) return bad(p, "a % in the path that no two hexadecimal digits follow");
            c = (char)(high * 16 + low);
            if (!c) return bad(p, "a zero byte in the path");
            at += 2;
        }
        if (c == '/' && used && h->path[used - 1] == '/') continue;
        if (used + 1 >= sizeof h->path)
            return vbs_refuse(p, 414, "invalid_request_error", "path_too_long", NULL,
                              "the path is longer than %zu bytes", sizeof h->path - 1);
        h->path[used++] = c;
    }
    h->path[used] = 0;
    return 0;
}

/* RFC 9112 3.2: "/path", "http://host/path", or "*" for OPTIONS. A host in the target counts, not the
 * header's. */
static int read_target(vbs_head *h, const char *target, vbs_problem *p) {
    if (!strcmp(target, "*") && !strcmp(h->method, "OPTIONS")) return read_path(h, "/", p);
    size_t scheme = !strncasecmp(target, "http://", 7) ? 7 : !strncasecmp(target, "https://", 8) ? 8 : 0;
    if (scheme) {
        const size_t n = strcspn(target + scheme, "/?#");
        if (n == 0 || n >= sizeof h->host) return bad(p, "a target without a host");
        memcpy(h->host, target + scheme, n);
        h->host[n] = 0;
        target += scheme + n;
        if (*target != '/') return read_path(h, "/", p);
    }
    if (*target != '/') return bad(p, "the target must be a path that begins with /, or a whole URL");
    return read_path(h, target, p);
}

static int read_request_line(vbs_head *h, char *line, vbs_problem *p) {
    char *target = strchr(line, ' '), *version = target ? strchr(target + 1, ' ') : NULL;
    if (!version) return bad(p, "a request begins with METHOD TARGET HTTP/1.1");
    *target++ = 0;
    *version++ = 0;
    const size_t n = strlen(line);
    if (n == 0 || n >= sizeof h->method) return bad(p, "that method is not known");
    for (size_t i = 0; i < n; i++)
        if (!is_token(line[i])) return bad(p, "that method is not known");
    memcpy(h->method, line, n + 1);
    return read_version(h, version, p) ? -1 : read_target(h, target, p);
}

/* ---------------------------------------------------------------------------------------- header lines */

static int read_header(vbs_head *h, char *line, size_t n, vbs_problem *p) {
    if (line[0] == ' ' || line[0] == '\t') return bad(p, "a header line that goes on in the next line");
    size_t name = 0;
    while (is_token(line[name])) name++;
    if (name == 0 || line[name] != ':')
        return bad(p, "a header line is NAME: VALUE, without a space before the colon");
    for (size_t i = name; i < n; i++)
        if (((unsigned char)line[i] < 0x20 && line[i] != '\t') || line[i] == 0x7F)
            return bad(p, "a control character in a header");
    if (h->n_headers == VBS_MAX_HEADERS)
        return vbs_refuse(p, 431, "invalid_request_error", "header_too_large", NULL,
                          "more than %d header lines", VBS_MAX_HEADERS);
    line[name] = 0;
    char *value = line + name + 1;
    value += strspn(value, " \t");
    size_t len = strlen(value);
    while (len && (value[len - 1] == ' ' || value[len - 1] == '\t')) value[--len] = 0;
    h->headers[h->n_headers++] = (vbs_header){line, value};
    return 0;
}

const char *vbs_head_find(const vbs_head *h, const char *name) {
    for (int i = 0; i < h->n_headers; i++)
        if (!strcasecmp(h->headers[i].name, name)) return h->headers[i].value;
    return NULL;
}

/* Headers that decide who asks, or what the body is, are there once: a proxy may have looked at the other
 * one. */
static int check_single(const vbs_head *h, vbs_problem *p) {
    static const char *const single[] = {
        "Host",   "Content-Length", "Transfer-Encoding", "Content-Encoding", "Authorization", "X-Api-Key",
        "Origin", "Expect"};
    char words[64];
    for (size_t i = 0; i < sizeof single / sizeof single[0]; i++) {
        int n = 0;
        for (int k = 0; k < h->n_headers; k++) n += !strcasecmp(h->headers[k].name, single[i]);
        snprintf(words, sizeof words, "%d %s headers", n, single[i]);
        if (n > 1) return bad(p, words);
    }
    return 0;
}

/* Where the body ends: RFC 9112 6.3. */
static int read_framing(vbs_head *h, vbs_problem *p) {
    const char *length = vbs_head_find(h, "Content-Length"), *coding = vbs_head_find(h, "Transfer-Encoding");
    if (length && coding) return bad(p, "Content-Length beside Transfer-Encoding");
    if (coding && h->old) return bad(p, "Transfer-Encoding in HTTP/1.0");
    if (coding && strcasecmp(coding, "chunked") != 0)
        return vbs_refuse(p, 501, "invalid_request_error", "transfer_coding", NULL,
                          "Transfer-Encoding: %.60s is not spoken here; chunked is", coding);
    h->chunked = coding != NULL;
    if (!length) return 0;
    if (!*length || length[strspn(length, "0123456789")])
        return bad(p, "a Content-Length is a number of digits");
    for (; *length; length++) {
        const uint64_t digit = (uint64_t)(*length - '0');
        h->length = h->length > (UINT64_MAX - digit) / 10 ? UINT64_MAX : h->length * 10 + digit;
    }
    return 0;
}

/* Whether a list of words, separated by commas, has this one. */
static bool has_word(const char *list, const char *word) {
    const size_t n = strlen(word);
    for (const char *at = list; *at;) {
        at += strspn(at, ", \t");
        const size_t len = strcspn(at, ", \t");
        if (len == n && !strncasecmp(at, word, n)) return true;
        at += len;
    }
    return false;
}

static int read_rest(vbs_head *h, vbs_problem *p) {
    const char *host = vbs_head_find(h, "Host"), *expect = vbs_head_find(h, "Expect");
    const char *coding = vbs_head_find(h, "Content-Encoding");
    for (int i = 0; i < h->n_headers; i++) {
        if (strcasecmp(h->headers[i].name, "Connection") != 0) continue;
        if (has_word(h->headers[i].value, "keep-alive") && h->old) h->keep = true;
    }
    for (int i = 0; i < h->n_headers; i++)
        if (!strcasecmp(h->headers[i].name, "Connection") && has_word(h->headers[i].value, "close"))
            h->keep = false;
    if (!host && !h->old)
        return vbs_refuse(p, 400, "invalid_request_error", "bad_http", NULL,
                          "the request has no Host header");
    if (host && strlen(host) >= sizeof h->host) return bad(p, "a Host of more than 255 bytes");
    if (host && !h->host[0]) memcpy(h->host, host, strlen(host) + 1);
    if (expect && strcasecmp(expect, "100-continue") != 0)
        return vbs_refuse(p, 417, "invalid_request_error", "expectation", NULL,
                          "Expect: %.60s is not known here; 100-continue is", expect);
    h->expects = expect && !h->old;
    if (coding && *coding && strcasecmp(coding, "identity") != 0)
        return vbs_refuse(p, 415, "invalid_request_error", "content_encoding", NULL,
                          "Content-Encoding: %.60s is not read here: send the body as it is", coding);
    return 0;
}

int vbs_head_read(vbs_head *h, char *text, size_t n, vbs_problem *p) {
    size_t at = 0;
    memset(h, 0, sizeof *h);
    while (n - at >= 2 && text[at] == '\r' && text[at + 1] == '\n') at += 2;
    for (bool first = true; at < n; first = false) {
        const char *end = memchr(text + at, '\r', n - at);
        const size_t len = end ? (size_t)(end - text) - at : n - at;
        char *line = text + at;
        if (len == 0) break;
        line[len] = 0; /* the CR */
        if (strlen(line) != len) return bad(p, "a zero byte in the head");
        if (first ? read_request_line(h, line, p) : read_header(h, line, len, p)) return -1;
        at += len + 2;
    }
    return check_single(h, p) || read_framing(h, p) || read_rest(h, p) ? -1 : 0;
}

/* ------------------------------------------------------------------------------------------------ chunks */

enum { SIZE, EXTENSION, SIZE_LF, DATA, DATA_CR, DATA_LF, TRAILER, TRAILER_LF, LAST_LF, ENDED };
enum { MAX_LINE = 256, MAX_TRAILER = 8192, MAX_DIGITS = 15 };

/* One byte of a line with a size. */
static int take_size(vbs_chunks *c, char byte, vbs_problem *p) {
    const int digit = c->state == SIZE ? hex(byte) : -1;
    if (++c->line > MAX_LINE) return bad(p, "a chunk's line of more than 256 bytes");
    if (c->state == SIZE_LF) {
        if (byte != '\n') return bad(p, "a CR without an LF");
        c->line = 0;
        c->state = c->left ? DATA : TRAILER;
        return 0;
    }
    if (digit >= 0) {
        if (++c->digits > MAX_DIGITS) return bad(p, "a chunk's size of more than 15 digits");
        c->left = c->left * 16 + (uint64_t)digit;
        return 0;
    }
    if (!c->digits) return bad(p, "a chunk begins with its size in hexadecimal");
    if (byte == '\r')
        c->state = SIZE_LF;
    else if (c->state == SIZE && byte != ';' && byte != ' ' && byte != '\t')
        return bad(p, "a chunk begins with its size in hexadecimal");
    else if (((unsigned char)byte < 0x20 && byte != '\t') || byte == 0x7F)
        return bad(p, "a control character in a chunk's line");
    else
        c->state = EXTENSION;
    return 0;
}

/* One byte of what follows a chunk, or the last chunk. Trailers are read and dropped. */
static int take_between(vbs_chunks *c, char byte, vbs_problem *p) {
    switch (c->state) {
    case DATA_CR: c->state = DATA_LF; return byte == '\r' ? 0 : bad(p, "a chunk is longer than its size");
    case DATA_LF:
        c->state = SIZE;
        c->digits = 0;
        c->left = 0;
        return byte == '\n' ? 0 : bad(p, "a CR without an LF");
    case TRAILER:
        if (++c->trailer > MAX_TRAILER) return bad(p, "trailers of more than 8192 bytes");
        if (byte == '\n') return bad(p, "lines end with CR LF, not with LF alone");
        if (byte == '\r') c->state = c->line ? TRAILER_LF : LAST_LF;
        c->line = 1;
        return 0;
    case TRAILER_LF:
        c->state = TRAILER;
        c->line = 0;
        return byte == '\n' ? 0 : bad(p, "a CR without an LF");
    default: /* LAST_LF */ c->state = ENDED; return byte == '\n' ? 0 : bad(p, "a CR without an LF");
    }
}

long vbs_chunks_take(vbs_chunks *c, const char *text, size_t n, const char **data, size_t *n_data,
                     vbs_problem *p) {
    *data = text;
    *n_data = 0;
    if (c->state == DATA) {
        *n_data = n < c->left ? n : (size_t)c->left;
        c->left -= *n_data;
        if (!c->left) c->state = DATA_CR;
        return (long)*n_data;
    }
    for (size_t i = 0; i < n; i++) {
        const bool size = c->state == SIZE || c->state == EXTENSION || c->state == SIZE_LF;
        if (size ? take_size(c, text[i], p) : take_between(c, text[i], p)) return -1;
        if (c->state == DATA || c->state == ENDED) return (long)i + 1;
    }
    return (long)n;
}

bool vbs_chunks_ended(const vbs_chunks *c) {
    return c->state == ENDED;
}
