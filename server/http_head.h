/* http_head.h - the head of an HTTP request, and bodies in chunks: what stands on the wire and what it means.
 * Pure: bytes in, fields or a problem out.
 *
 * Strict where two readers could disagree about where a request ends, because behind a proxy that is how one
 * client's request is made part of another's (request smuggling): one Content-Length of digits or one
 * Transfer-Encoding that is "chunked", never both; CR LF after every line; no folded lines, no space before a
 * colon.
 *
 * References: RFC 9110 (semantics), RFC 9112 (HTTP/1.1). */
#ifndef VERBATIM_SERVER_HTTP_HEAD_H
#define VERBATIM_SERVER_HTTP_HEAD_H

#include "server/ask.h"

#define VBS_MAX_HEAD    32768 /* bytes of request line and header lines */
#define VBS_MAX_HEADERS 100

typedef struct vbs_header {
    const char *name, *value; /* into the head's text */
} vbs_header;

typedef struct vbs_head {
    char method[16], path[512]; /* the path decoded, without query, slashes single */
    char host[256];             /* of the Host header, or of a target that names one; "": none */
    bool old;                   /* HTTP/1.0 */
    bool keep;                  /* the connection may stay open */
    bool chunked, expects;      /* expects: waits for 100 Continue before it sends the body */
    uint64_t length;            /* of the body, if not chunked; UINT64_MAX: more than fits */
    vbs_header headers[VBS_MAX_HEADERS];
    int n_headers;
} vbs_head;

/* The length of the head at the start of a text, its empty line included; 0: not whole yet. Empty lines
 * before it count. -1: it will never be one, with *p filled in; the text need not be whole for that. *seen (0
 * at first) is how much was looked at before, so that bytes that come one by one are each looked at once. */
long vbs_head_end(const char *text, size_t n, size_t *seen, vbs_problem *p);
/* Reads a whole head; writes zeros into the text. Returns 0, or -1 with *p filled in: method and path are
 * then as far as they were read. */
int vbs_head_read(vbs_head *h, char *text, size_t n, vbs_problem *p);
/* The value of a header, by any case of its name; NULL: there is none. */
const char *vbs_head_find(const vbs_head *h, const char *name);

/* A body in chunks. Zero it to begin. */
typedef struct vbs_chunks {
    int state;
    uint64_t left; /* bytes of this chunk still to come */
    int digits, line;
    size_t trailer;
} vbs_chunks;

/* Takes bytes from the wire: [*data, *data + *n_data) is the part of them that belongs to the body, which may
 * be empty. Returns the number of bytes taken, at least one; -1 with *p filled in. */
long vbs_chunks_take(vbs_chunks *c, const char *text, size_t n, const char **data, size_t *n_data,
                     vbs_problem *p);
bool vbs_chunks_ended(const vbs_chunks *c);

#endif
