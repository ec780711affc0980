/* httpd.h - inside of the server: connections, calls and replies. */
#ifndef VERBATIM_SERVER_HTTPD_H
#define VERBATIM_SERVER_HTTPD_H

#include "base/buf.h"
#include "server/connection.h"
#include "server/listen.h"
#include "server/server.h"
#include "server/shape.h"

/* One request. */
typedef struct vbs_call {
    vbs_server *s;
    vbs_peer *peer;
    vbs_head head;
    const struct vbs_route *route;
    vb_buf body;
    size_t dropped;
    bool too_large, refused, large;
    vbs_problem problem; /* with `refused`: found before the body came */
    bool unread, late;   /* the body, or the head, was not read to its end; because it did not come in time */
    bool begun, failed;  /* an answer is on its way; it could not be sent */
    bool probed;
    char extra[3072]; /* header lines of the reply */
    size_t n_extra;
    const char *allow; /* methods of the path */
    unsigned status;   /* of the reply */
    double began;
    const char *origin; /* to be named in Access-Control-Allow-Origin; NULL: none */
    char log[200];      /* more for the log line */
} vbs_call;

typedef struct vbs_route {
    const char *method, *path;
    bool open;   /* without a key */
    bool loaded; /* only once the models are there */
    int (*answer)(vbs_call *c);
} vbs_route;
extern const vbs_route VBS_ROUTES[];                    /* ends with method == NULL */
extern const vbs_route VBS_PAGE_ROUTE, VBS_MODEL_ROUTE; /* of many paths */
bool vbs_native_path(const char *path);                 /* of LM Studio's own interface: /api/v0/... */

typedef struct vbs_counts {
    atomic_ullong by_class[6]; /* replies by hundreds of their status */
    atomic_ullong refused_host, refused_key, too_busy, timed_out, gone, evicted;
} vbs_counts;

struct vbs_server {
    vbs_server_params p;
    int listen[VBS_MAX_LISTEN], n_listen, port;
    int wake[2]; /* a pipe: a byte tells the accepting thread to look at `draining` */
    bool fell_back;
    vbs_engine *_Atomic engine; /* NULL while loading */
    atomic_int loaded;          /* meanwhile: per cent of all */
    vbs_terms terms;
    vb_chat *template;         /* NULL: none */
    vb_calls *calls;           /* how it writes calls and reasoning; NULL with it */
    vbs_shapes shapes;         /* constraints of requests */
    const char *template_name; /* one of ours, a file, or the key of the model's own */
    char no_chat[512];
    char fingerprint[32];
    char drafted_fingerprint[32]; /* of answers whose text for a seed depends on what was proposed, too */
    int64_t created;              /* seconds since 1970 */
    double started;
    char instance[17]; /* random, part of response ids */
    atomic_ullong serial;
    atomic_bool draining, aborting, closing;
    atomic_int active;
    vbs_counts counts;
    pthread_mutex_t lock;  /* peers */
    pthread_mutex_t large; /* held while a large body is read */
    pthread_cond_t fewer;  /* peers */
    vbs_peer *peers;
    int n_peers;
    pthread_t acceptor;
    bool accepting;
};

/* ------------------------------------------------------------------------------------------------ replies */

/* Each returns 0, or -1 if the client is gone or takes nothing: then the connection ends. Header lines come
 * first. */
void vbs_reply_header(vbs_call *c, const char *name, const char *value);
int vbs_reply_bytes(vbs_call *c, unsigned status, const char *type, const void *bytes, size_t n);
/* Releases value. One that is not whole, for want of memory, becomes a 500. */
int vbs_reply_json(vbs_call *c, unsigned status, json_t *value);
extern const char VBS_OUT_OF_MEMORY[]; /* what a 500 says that is made without memory */
int vbs_reply_memory(vbs_call *c);
int vbs_reply_problem(vbs_call *c, const vbs_problem *p);
/* A reply in pieces, of a length that is not known: the head, pieces, the end. One without an end tells the
 * client that it was cut. */
int vbs_reply_stream(vbs_call *c, unsigned status, const char *type);
int vbs_reply_more(vbs_call *c, const char *bytes, size_t n);
int vbs_reply_end(vbs_call *c);
/* Text as it is, around replies. */
int vbs_send_raw(vbs_peer *peer, const char *text);
json_t *vbs_problem_json(const vbs_problem *p);
/* The answer to a library error. */
void vbs_problem_from(vbs_problem *p, const vb_error *err);
/* Around reading the JSON of a body: of large ones one is read at a time, as it may take ten times its size.
 * The body is gone after release. */
void vbs_body_hold(vbs_call *c);
void vbs_body_release(vbs_call *c);
/* Has the client gone? To be asked again and again while an answer is computed. */
bool vbs_call_gone(vbs_call *c);
/* True once, when a client may be gone and only a piece of the answer that has begun will tell. */
bool vbs_call_doubtful(vbs_call *c);
/* The call is over: counts and log line. */
void vbs_call_log(vbs_call *c);
/* httpd.c, for connection.c: everything that can be said before the body comes, 0 or -1; and the reply. */
int vbs_check_head(vbs_call *c);
int vbs_dispatch(vbs_call *c);

/* ------------------------------------------------------------------------------------------------ guard.c */

/* 0, or -1 with the reason. */
int vbs_guard_host(const vbs_server_params *p, const char *host, vbs_problem *problem);
int vbs_guard_key(const vbs_server_params *p, const char *authorization, const char *x_api_key,
                  vbs_problem *problem);
/* *allow is what Access-Control-Allow-Origin says; NULL: nothing. */
int vbs_guard_origin(const vbs_server_params *p, const char *origin, const char *host, const char **allow,
                     vbs_problem *problem);

/* ------------------------------------------------------------------------------------------------ others */

/* json.c */
json_t *vbs_json_text(const char *bytes, size_t n); /* bytes that are no UTF-8 become U+FFFD */
/* A token as the older API names it, in lists and as a key: its text, or "bytes:\\xe2\\x82" if that is no
 * UTF-8 by itself, so that two of them stay two. */
json_t *vbs_json_token(const char *bytes, size_t n);
json_t *vbs_json_real(double x);                     /* null if it is not finite */
json_t *vbs_json_bytes(const char *bytes, size_t n); /* a list of numbers */
/* Compact JSON; free() it. NULL: out of memory, for this or for a part of the value (base/json.h). */
char *vbs_json_dump(const json_t *value, size_t *n);

/* prompt.c: the ids of a conversation or text. Returns 0 or -1. vb_free(*ids); *prompt, zeroed before, is to
 * be freed also where the call fails. */
int vbs_prompt_chat(const vbs_server *s, const vbs_ask *a, vb_prompt *prompt, int32_t **ids, size_t *n_ids,
                    vbs_problem *p);
int vbs_prompt_text(const vbs_server *s, const char *text, size_t len, int32_t **ids, size_t *n_ids,
                    vbs_problem *p);

/* render.c */
int vbs_answer_template(vbs_call *c);
int vbs_answer_count(vbs_call *c);
int vbs_answer_tokenize_chat(vbs_call *c, bool pieces); /* of a body that is held */
/* "date": what the template was told when it asked; nothing if it did not. */
void vbs_date_json(const vb_prompt *prompt, json_t *into);

/* generate.c */
typedef struct vbs_answer {
    vbs_call *call;
    vbs_server *s;
    vbs_ask ask;
    vbs_exchange *x;
    int32_t **prompt_ids; /* vb_free each; (n_prompts) */
    vbs_prompt *prompts;
    size_t n_prompts;
    vb_prompt rendered; /* of a conversation */
    vbs_shape *shape;   /* what the answer must look like; NULL: anything */
    char id[48];
    int64_t created;
    bool native; /* asked as LM Studio's own interface */
} vbs_answer;
int vbs_answer_chat(vbs_call *c);
int vbs_answer_completion(vbs_call *c);
void vbs_answer_close(vbs_answer *a);
/* Looks after time limit, shutdown and a client that went away, while one waits. */
void vbs_answer_watch(vbs_answer *a);
/* What ended a choice as an error; false if it ended well. */
bool vbs_choice_problem(const vbs_answer *a, const vbs_choice *c, vbs_problem *p);

/* response.c */
typedef struct vbs_totals {
    size_t prompt, cached, output, reasoning;
    vb_stats t; /* summed; the per-position counts too */
    double queue_s, prompt_s, decode_s, first_s;
} vbs_totals;
json_t *vbs_usage_json(const vbs_answer *a);
void vbs_report_json(const vbs_answer *a, json_t *into); /* timings, stats, seed, warnings */
json_t *vbs_logprobs_json(const vbs_answer *a, const vbs_box *b, size_t first, size_t n, size_t *offset);
json_t *vbs_tokens_json(const vbs_answer *a, const vbs_box *b, size_t first, size_t n);
json_t *vbs_ids_json(const vbs_box *b, size_t first, size_t n);
/* A call of a tool: the text of a VBS_CALL piece, and its arguments. */
json_t *vbs_call_json(const char *text, size_t len, const char *arguments, size_t n_arguments);
/* What decides its text besides the request. */
const char *vbs_fingerprint(const vbs_answer *a);
json_t *vbs_answer_json(const vbs_answer *a, vbs_box *boxes); /* (x->n) */
/* Tokens of a box that belong to the text of a choice that has ended: those after a stop string do not. */
size_t vbs_box_kept(const vbs_choice *c, const vbs_box *b);

/* lm_studio.c: under LM Studio's names, a model as /api/v0/models lists it; why a choice ended; statistics;
 * and, under /api/v0, the model and the program. */
json_t *vbs_native_model(const vbs_server *s, const char *id);
const char *vbs_native_reason(const vbs_answer *a, const vbs_choice *c);
void vbs_native_stats(const vbs_answer *a, const vbs_totals *o, json_t *stats);
void vbs_native_json(const vbs_answer *a, json_t *into);

/* sse.c */
int vbs_answer_stream(vbs_answer *a);

/* metrics.c: the text of /metrics; free() it. */
char *vbs_metrics_text(vbs_server *s);

/* routes.c */
int vbs_answer_options(vbs_call *c);
const vbs_asset *vbs_find_page(const char *path); /* "/", "/app.js"; NULL: there is no such file */

#endif
