/* routes.c - the table of endpoints, and the short ones. */
#include "server/httpd.h"

#include "base/base.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *file_name(const char *path) {
    const char *slash = path ? strrchr(path, '/') : NULL;
    return slash ? slash + 1 : path;
}

/* ----------------------------------------------------------------------------------------------- models */

bool vbs_native_path(const char *path) {
    return !strncmp(path, "/api/v0/", 8);
}

static json_t *model_json(const vbs_call *c, const vbs_preset *preset) {
    const vbs_server *s = c->s;
    char id[256];
    snprintf(id, sizeof id, "%.200s%s%s", s->terms.name, preset ? ":" : "", preset ? preset->name : "");
    if (vbs_native_path(c->head.path)) return vbs_native_model(s, id);
    return json_pack("{ss ss sI ss si so}", "id", id, "object", "model", "created", (json_int_t)s->created,
                     "owned_by", "verbatim", "max_model_len", vbs_context_size(s->engine), "draft_tokens",
                     vbs_gamma_json(preset               ? preset->gamma
                                    : s->terms.has_draft ? s->terms.gamma
                                                         : 0));
}

static int models(vbs_call *c) {
    const vbs_server *s = c->s;
    json_t *list = json_array();
    json_array_append_new(list, model_json(c, NULL));
    for (const vbs_preset *p = VBS_PRESETS; p->name; p++)
        if (s->terms.has_draft || !p->gamma) json_array_append_new(list, model_json(c, p));
    return vbs_reply_json(c, 200, json_pack("{ss so}", "object", "list", "data", list));
}

/* "/v1/models/ID", "/api/v0/models/ID". */
static int one_model(vbs_call *c) {
    const vbs_server *s = c->s;
    const char *id = strstr(c->head.path, "/models/") + 8;
    vbs_problem p;
    const vbs_preset *preset;
    if (vbs_find_model(&s->terms, id, &preset)) return vbs_reply_json(c, 200, model_json(c, preset));
    vbs_refuse(&p, 404, "invalid_request_error", "model_not_found", "model",
               "there is no model \"%.100s\" here; /v1/models lists them", id);
    return vbs_reply_problem(c, &p);
}

/* ----------------------------------------------------------------------------------------------- state */

static int health(vbs_call *c) {
    vbs_problem p;
    if (c->s->draining)
        vbs_refuse(&p, 503, "server_error", "shutting_down", NULL, "the server is shutting down");
    else if (!c->s->engine)
        vbs_refuse(&p, 503, "server_error", "loading", NULL, "the models are being loaded: %d %%",
                   atomic_load(&c->s->loaded));
    else
        return vbs_reply_json(c, 200, json_pack("{ss}", "status", "ok"));
    return vbs_reply_problem(c, &p);
}

static int metrics(vbs_call *c) {
    char *text = vbs_metrics_text(c->s);
    if (!text) return vbs_reply_memory(c);
    int ok = vbs_reply_bytes(c, 200, "text/plain; version=0.0.4; charset=utf-8", text, strlen(text));
    free(text);
    return ok;
}

static json_t *model_info(const char *path, const vb_model *m) {
    const vb_model_info *i = vb_model_describe(m);
    const char *file = file_name(path);
    json_t *o = json_pack("{so so ss sI sI si si}", "file", vbs_json_text(file, strlen(file)), "name",
                          vbs_json_text(i->name, strlen(i->name)), "architecture", i->architecture,
                          "parameters", (json_int_t)i->parameters, "weight_bytes",
                          (json_int_t)i->weight_bytes, "n_vocab", i->n_vocab, "n_ctx_train", i->n_ctx);
    if (vb_model_rope(m)) json_object_set_new(o, "rope", json_string(vb_model_rope(m)));
    return o;
}

static json_t *target_info(const vbs_server *s) {
    const vb_tokenizer *t = vbs_tokenizer(s->engine);
    const char *pre = vb_tokenizer_pre(t);
    json_t *o = model_info(s->p.target, vbs_target(s->engine));
    json_object_set_new(o, "pre", *pre ? json_string(pre) : json_null());
    json_object_set_new(o, "pre_overridden", json_boolean(vb_tokenizer_pre_overridden(t)));
    return o;
}

static const char *const STYLES[] = {"none", "members", "named", "tags", "python", "gemma"};

/* What the chat template can do, as data for clients. */
static void add_chat(const vbs_server *s, json_t *o) {
    const vbs_chat_info i = vbs_server_chat(s);
    const vb_call_format *f = i.format;
    json_object_set_new(o, "chat_template", f ? json_string(i.template) : json_null());
    if (!f) return;
    json_object_set_new(o, "tools",
                        json_pack("{sb ss sb so}", "shown", f->tools, "calls", STYLES[f->style], "parallel",
                                  f->parallel, "begin", vbs_json_text(f->begin, strlen(f->begin))));
    json_object_set_new(o, "reasoning",
                        json_pack("{so so so sb}", "begin", vbs_json_text(f->think, strlen(f->think)), "end",
                                  vbs_json_text(f->think_end, strlen(f->think_end)), "switch",
                                  i.thinking_switch ? json_string(i.thinking_switch) : json_null(), "effort",
                                  i.reads_effort));
}

/* The texts that --system-prompt knows by name. */
static json_t *system_prompts(void) {
    json_t *o = json_object();
    for (const vbs_asset *a = VBS_ASSETS; a->name; a++) {
        static const char folder[] = "prompts/";
        char name[40];
        size_t n = a->n;
        if (strncmp(a->name, folder, strlen(folder)) != 0) continue;
        snprintf(name, sizeof name, "%s", a->name + strlen(folder));
        name[strcspn(name, ".")] = 0;
        while (n && ((const char *)a->bytes)[n - 1] == '\n') n--;
        json_object_set_new(o, name, vbs_json_text((const char *)a->bytes, n));
    }
    return o;
}

/* What gamma auto goes by: the figures that a request's "costs" is the hash of. */
static void add_costs(const vbs_server *s, json_t *o) {
    const vb_costs *c = vbs_costs(s->engine);
    char hash[24];
    if (!c) return;
    json_t *near = json_array(), *far = json_array();
    for (int t = 0; t < VB_COST_ROWS; t++) {
        json_array_append_new(near, json_integer(c->target[0][t]));
        json_array_append_new(far, json_integer(c->target[1][t]));
    }
    snprintf(hash, sizeof hash, "%016llx", (unsigned long long)vb_costs_hash(c));
    json_object_set_new(o, "costs",
                        json_pack("{ss si so so s[ii] si}", "hash", hash, "far", (int)c->far, "target", near,
                                  "target_far", far, "draft", (int)c->draft[0], (int)c->draft[1],
                                  "draft_read", (int)c->draft_read));
}

static int props(vbs_call *c) {
    const vbs_server *s = c->s;
    const vb_sampling *d = &s->terms.sampling;
    vbs_metrics m;
    vbs_metrics_read(s->engine, &m);
    json_t *draft = vbs_draft(s->engine) ? model_info(s->p.draft, vbs_draft(s->engine)) : json_null();
    json_t *presets = json_object();
    for (const vbs_preset *p = VBS_PRESETS; p->name; p++)
        if (s->terms.has_draft || !p->gamma) json_object_set_new(presets, p->name, vbs_gamma_json(p->gamma));
    json_t *o = json_pack("{ss ss ss ss so so so so ss si si si sI so}", "version", VB_VERSION, "model",
                          s->terms.name, "system_fingerprint", s->fingerprint, "system_fingerprint_drafted",
                          s->drafted_fingerprint, "target", target_info(s), "draft", draft, "drafter",
                          json_string(s->p.draft_name ? s->p.draft_name : "none"), "presets", presets,
                          "accept", vb_accept_name(s->terms.accept), "n_ctx", vbs_context_size(s->engine),
                          "slots", m.slots, "queue", m.queue, "context_bytes", (json_int_t)m.context_bytes,
                          "draft_tokens", vbs_gamma_json(s->terms.has_draft ? s->terms.gamma : 0));
    add_costs(s, o);
    add_chat(s, o);
    const char *system = s->terms.system_prompt ? s->terms.system_prompt : "";
    json_object_set_new(o, "system_prompt", vbs_json_text(system, strlen(system)));
    json_object_set_new(o, "system_prompts", system_prompts());
    json_object_set_new(o, "default_generation_settings",
                        json_pack("{so si so so so so so si}", "temperature", vbs_json_real(d->temperature),
                                  "top_k", d->top_k, "top_p", vbs_json_real(d->top_p), "min_p",
                                  vbs_json_real(d->min_p), "repeat_penalty", vbs_json_real(d->repeat_penalty),
                                  "presence_penalty", vbs_json_real(d->presence_penalty), "frequency_penalty",
                                  vbs_json_real(d->frequency_penalty), "repeat_last_n", d->penalty_last_n));
    return vbs_reply_json(c, 200, o);
}

/* ----------------------------------------------------------------------------------------------- tokens */

static int tokenize(vbs_call *c) {
    vbs_problem p = {0};
    vb_error err = {0};
    const vb_tokenizer *t = vbs_tokenizer(c->s->engine);
    bool add = false, special = true, pieces = false;
    int32_t *ids = NULL;
    size_t n = 0;
    vbs_body_hold(c);
    json_t *root = vbs_json_read(c->body.n ? c->body.s : "", c->body.n, &p);
    if (root && vbs_get(root, "messages") && !vbs_get_bool(root, "return_token_strs", &pieces, NULL, &p)) {
        json_decref(root);
        return vbs_answer_tokenize_chat(c, pieces);
    }
    const json_t *text = root ? vbs_get(root, "content") : NULL;
    if (root && !text) text = vbs_get(root, "prompt");
    if (root && !p.status && !json_is_string(text)) VBS_BAD(&p, "content", "content: expected a string");
    /* vLLM and transformers call it add_special_tokens. */
    const char *const add_name = root && vbs_get(root, "add_special") ? "add_special" : "add_special_tokens";
    if (root && !p.status &&
        (vbs_get_bool(root, add_name, &add, NULL, &p) ||
         vbs_get_bool(root, "parse_special", &special, NULL, &p) ||
         vbs_get_bool(root, "with_pieces", &pieces, NULL, &p)))
        p.status = p.status ? p.status : 400;
    const char *s = json_string_value(text);
    const size_t len = json_string_length(text);
    const unsigned flags = special ? VB_TOKENIZE_PARSE_SPECIAL : 0u;
    if (!p.status && (add ? vb_tokenize_prompt(t, s, len, special, &ids, &n, &err)
                          : vb_tokenize(t, s, len, flags, &ids, &n, &err)))
        vbs_problem_from(&p, &err);
    json_decref(root);
    vbs_body_release(c);
    if (p.status) return vbs_reply_problem(c, &p);
    json_t *list = json_array();
    for (size_t i = 0; i < n; i++) {
        size_t k;
        const char *piece = vb_token_text(t, ids[i], true, &k);
        json_array_append_new(list, pieces ? json_pack("{si so}", "id", (int)ids[i], "piece",
                                                       vbs_json_text(piece ? piece : "", piece ? k : 0))
                                           : json_integer(ids[i]));
    }
    vb_free(ids);
    return vbs_reply_json(c, 200, json_pack("{so sI}", "tokens", list, "count", (json_int_t)n));
}

static int read_tokens(const json_t *list, const vb_tokenizer *t, int32_t **ids, size_t *n, vbs_problem *p) {
    if (!json_is_array(list)) return VBS_BAD(p, "tokens", "tokens: expected a list of token ids");
    *n = json_array_size(list);
    *ids = calloc(*n + 1, sizeof **ids);
    if (!*ids) return vbs_refuse(p, 500, "server_error", NULL, NULL, "out of memory");
    for (size_t i = 0; i < *n; i++) {
        const json_t *e = json_array_get(list, i);
        json_int_t id = json_integer_value(e);
        if (!json_is_integer(e) || id < 0 || id >= vb_tokenizer_size(t))
            return VBS_BAD(p, "tokens", "tokens: element %zu is no token id; they go from 0 to %d", i,
                           vb_tokenizer_size(t) - 1);
        (*ids)[i] = (int32_t)id;
    }
    return 0;
}

static int detokenize(vbs_call *c) {
    vbs_problem p = {0};
    vb_error err = {0};
    const vb_tokenizer *t = vbs_tokenizer(c->s->engine);
    int32_t *ids = NULL;
    char *text = NULL;
    size_t n = 0, len = 0;
    bool special = true;
    vbs_body_hold(c);
    json_t *root = vbs_json_read(c->body.n ? c->body.s : "", c->body.n, &p);
    if (root && !vbs_get_bool(root, "special", &special, NULL, &p) &&
        !read_tokens(vbs_get(root, "tokens"), t, &ids, &n, &p) &&
        vb_detokenize(t, ids, n, special, &text, &len, &err))
        vbs_problem_from(&p, &err);
    json_decref(root);
    vbs_body_release(c);
    free(ids);
    if (p.status) return vbs_reply_problem(c, &p);
    json_t *o = json_pack("{so}", "content", vbs_json_text(text, len));
    vb_free(text);
    return vbs_reply_json(c, 200, o);
}

/* ----------------------------------------------------------------------------------------------- the rest */

static int embeddings(vbs_call *c) {
    vbs_problem p;
    vbs_refuse(&p, 501, "invalid_request_error", "unsupported", NULL,
               "this server generates text; it computes no embeddings");
    return vbs_reply_problem(c, &p);
}

int vbs_answer_options(vbs_call *c) {
    const char *asked = vbs_head_find(&c->head, "Access-Control-Request-Headers");
    vbs_reply_header(c, "Allow", "GET, HEAD, POST, OPTIONS");
    vbs_reply_header(c, "Access-Control-Allow-Methods", "GET, POST, OPTIONS");
    /* SDKs send headers of their own. */
    vbs_reply_header(c, "Access-Control-Allow-Headers",
                     asked && strlen(asked) < 1000 ? asked : "Authorization, Content-Type, X-Api-Key");
    vbs_reply_header(c, "Access-Control-Max-Age", "600");
    return vbs_reply_bytes(c, 204, NULL, NULL, 0);
}

const vbs_asset *vbs_find_asset(const char *name) {
    for (const vbs_asset *a = VBS_ASSETS; a->name; a++)
        if (!strcmp(a->name, name)) return a;
    return NULL;
}

static const char *content_type(const char *name) {
    static const char *const types[][2] = {{".html", "text/html; charset=utf-8"},
                                           {".js", "text/javascript; charset=utf-8"},
                                           {".css", "text/css; charset=utf-8"},
                                           {".svg", "image/svg+xml"}};
    const char *dot = strrchr(name, '.');
    for (size_t i = 0; dot && i < sizeof types / sizeof types[0]; i++)
        if (!strcmp(types[i][0], dot)) return types[i][1];
    return "text/plain; charset=utf-8";
}

const vbs_asset *vbs_find_page(const char *path) {
    char name[sizeof((vbs_head *)NULL)->path + 8];
    snprintf(name, sizeof name, "page%s", strcmp(path, "/") ? path : "/index.html");
    return vbs_find_asset(name);
}

/* A file of the page: only what was embedded, nothing of the machine. */
static int page(vbs_call *c) {
    const vbs_asset *asset = vbs_find_page(c->head.path);
    if (!asset) return -1;
    vbs_reply_header(c, "Cache-Control", "no-cache");
    vbs_reply_header(c, "Referrer-Policy", "no-referrer");
    vbs_reply_header(c, "X-Frame-Options", "DENY");
    vbs_reply_header(c, "Content-Security-Policy",
                     "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
                     "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'");
    return vbs_reply_bytes(c, 200, content_type(asset->name), asset->bytes, asset->n);
}

const vbs_route VBS_PAGE_ROUTE = {"GET", "/", true, false, page};
const vbs_route VBS_MODEL_ROUTE = {"GET", "/v1/models/", false, true, one_model};
const vbs_route VBS_ROUTES[] = {{"GET", "/health", true, false, health},
                                {"GET", "/metrics", false, false, metrics},
                                {"GET", "/props", false, true, props},
                                {"GET", "/v1/models", false, true, models},
                                {"POST", "/v1/chat/completions", false, true, vbs_answer_chat},
                                {"POST", "/v1/chat/completions/input_tokens", false, true, vbs_answer_count},
                                {"POST", "/v1/completions", false, true, vbs_answer_completion},
                                {"POST", "/apply-template", false, true, vbs_answer_template},
                                {"POST", "/v1/embeddings", false, false, embeddings},
                                {"GET", "/api/v0/models", false, true, models},
                                {"POST", "/api/v0/chat/completions", false, true, vbs_answer_chat},
                                {"POST", "/api/v0/completions", false, true, vbs_answer_completion},
                                {"POST", "/api/v0/embeddings", false, false, embeddings},
                                {"POST", "/tokenize", false, true, tokenize},
                                {"POST", "/detokenize", false, true, detokenize},
                                {NULL, NULL, false, false, NULL}};
