/* server.h - `verbatim serve`: an OpenAI-compatible HTTP server over an engine. docs/server.md is the manual.
 *
 *   listen.c      sockets
 *   httpd.c       accepts connections, routes requests
 *   connection.c  one connection: reads, writes
 *   http_head.c   heads of requests and bodies in chunks, as bytes
 *   guard.c       who may ask: Host, Origin, key
 *   generate.c    /v1/chat/completions and /v1/completions
 *   sse.c         the same as a stream
 *   ask*.c        bodies of requests
 *   exchange.c    jobs of the engine
 *   response.c    JSON of answers
 *   routes.c      everything else
 *   prompt.c      chat templates and tokens
 *   render.c      conversations as prompts, without generating
 *   metrics.c     /metrics
 *   text.c        stop strings
 *   engine.h      what computes
 *
 * One thread per connection: whoever is slow waits alone. Threads only wait and format;
 * the engine computes. */
#ifndef VERBATIM_SERVER_SERVER_H
#define VERBATIM_SERVER_SERVER_H

#include "server/exchange.h"

#include <stdatomic.h>

typedef struct vbs_server vbs_server;

/* Strings are copied by nobody: they outlive the server. Zeros are defaults. */
typedef struct vbs_server_params {
    const char *host;        /* NULL: 127.0.0.1 */
    int port;                /* 0: 8000, or 8080 if that is taken; -1: any that is free */
    const char *const *keys; /* (n_keys) any of these is accepted; none: no key is asked for */
    size_t n_keys;
    const char *const *hosts; /* (n_hosts) further names in the Host header */
    size_t n_hosts;
    const char *const *origins; /* (n_origins) web pages that may ask; "*": all. Local ones always may */
    size_t n_origins;
    const char *name;           /* of the model */
    const char *target, *draft; /* paths as given, for /props; draft may be NULL */
    const char *precision;      /* of activations and cache, for the fingerprint: "q8 f16" */
    const char
        *chat_template; /* a template of ours, or what `template_text` is called. NULL: the model's own */
    const char *template_text; /* of a file; NULL: none */
    size_t template_len;
    const char *system_prompt; /* text, or NULL */
    int gamma;                 /* of the default preset */
    int tree[VB_TREE_DEPTH];   /* instead, where a request says neither preset, gamma nor tree; {0}: gamma */
    const char *draft_name;    /* who drafts, for /props; NULL: "none" */
    bool has_draft, ignore_tools;
    bool strict_calls;
    bool continue_final;         /* as in vbs_terms */
    bool parse_content_specials; /* special tokens that messages spell become tokens */
    const int *date;             /* as in vb_chat_request; NULL: each request's own */
    vb_sampling sampling;        /* where a request says nothing */
    vb_accept accept;
    int64_t max_tokens;  /* as in vbs_terms */
    size_t max_body;     /* bytes of a request body. 0: 8 MiB */
    int max_connections; /* 0: 256 */
    double idle_s;       /* a client that neither sends nor takes anything. 0: 30 */
    double head_s;       /* until a request has arrived whole. 0: 30 */
    double request_s;    /* for one answer; 0: no limit */
    double keep_alive_s; /* between comments in a silent stream. 0: 10 */
    /* A line per request; may be NULL. Called from any thread. */
    void (*log)(void *user, const char *line);
    void *user;
} vbs_server_params;

/* Binds and answers: /health says 503 until vbs_server_ready. Errors: VB_ERR_IO, naming the ports tried;
 * VB_ERR_ARGUMENT for a host that is none. */
int vbs_server_open(vbs_server **out, const vbs_server_params *p, vb_error *err);
int vbs_server_port(const vbs_server *s);       /* the one that it got */
bool vbs_server_fell_back(const vbs_server *s); /* 8000 was taken */
/* How much of the models is loaded, 0 to 1: /health says it. */
void vbs_server_loading(vbs_server *s, double fraction);
/* From now on requests are answered. Errors: a system prompt that the model's chat template does not take. */
int vbs_server_ready(vbs_server *s, vbs_engine *e, vb_error *err);
/* Why there is no chat, or NULL if there is. */
const char *vbs_server_no_chat(const vbs_server *s);
/* What the chat template can do; all zero where there is no chat. */
typedef struct vbs_chat_info {
    const char *template;         /* what it is called */
    const vb_call_format *format; /* how it writes calls and reasoning */
    const char *thinking_switch;  /* its variable that turns thinking on and off, or NULL */
    bool reads_effort;            /* it reads reasoning_effort */
} vbs_chat_info;
vbs_chat_info vbs_server_chat(const vbs_server *s);
/* No new connections and requests. */
void vbs_server_drain(vbs_server *s);
/* Requests that are being answered. */
int vbs_server_active(vbs_server *s);
/* Ends the answers that still run, with an error that says so. */
void vbs_server_abort(vbs_server *s);
/* Ends all connections and frees everything; the engine must be there until then. */
void vbs_server_close(vbs_server *s);

/* Puts "?" for each byte that is no UTF-8: a model's name stands in JSON. Returns how many there were. */
size_t vbs_clean_text(char *text);

/* assets: what tools/embed makes of server/page and server/prompts. */
typedef struct vbs_asset {
    const char *name;
    const unsigned char *bytes;
    size_t n;
} vbs_asset;
extern const vbs_asset VBS_ASSETS[]; /* ends with name == NULL */
const vbs_asset *vbs_find_asset(const char *name);

#endif
