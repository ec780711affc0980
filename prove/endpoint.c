/* endpoint.c - writes the requests to an OpenAI-compatible server and finds the token ids in its answers,
 * whichever of the known forms they have (endpoint.h lists them). */
#include "prove/endpoint.h"

#include "base/json.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A text and the id that it stands for; id -1: more than one. */
typedef struct entry {
    const char *text;
    size_t len;
    int32_t id;
    bool beside_byte; /* a byte's id has the same text */
} entry;

struct vb_endpoint {
    vb_endpoint_params p;
    vb_http *http;
    char *model;
    json_t *request, *alone; /* what every request holds but its seed; alone: NULL without one */
    entry *entries;          /* (n_entries) sorted by text */
    size_t n_entries;
    vb_endpoint_counts counts;
};

/* A batch under way, and where messages are about. */
typedef struct batch {
    vb_endpoint *e;
    uint64_t seed;
    bool alone;
    vb_completion *out;
} batch;

/* ------------------------------------------------------------------------------------------- texts of ids */

static int by_text(const void *a, const void *b) {
    const entry *x = a, *y = b;
    const size_t n = x->len < y->len ? x->len : y->len;
    const int order = n ? memcmp(x->text, y->text, n) : 0;
    return order              ? order
           : x->len != y->len ? (x->len < y->len ? -1 : 1)
           : x->id != y->id   ? (x->id < y->id ? -1 : 1)
                              : 0;
}

/* All texts, each once: an ordinary id goes before a byte's, two ordinary ones are one too many. */
static int index_texts(vb_endpoint *e, vb_error *err) {
    const vb_tokenizer *t = e->p.tokenizer;
    const int32_t size = vb_tokenizer_size(t);
    int rc = vb_alloc((void **)&e->entries, (size_t)size + 1, sizeof *e->entries, "the texts of ids", err);
    if (rc) return rc;
    size_t n = 0;
    for (int32_t id = 0; id < size; id++) {
        entry *x = &e->entries[n];
        *x = (entry){.id = id};
        x->text = vb_token_text(t, id, true, &x->len);
        n += x->text && x->len > 0;
    }
    qsort(e->entries, n, sizeof *e->entries, by_text);
    for (size_t i = 0; i < n; i++) {
        entry *last = e->n_entries ? &e->entries[e->n_entries - 1] : NULL;
        const entry x = e->entries[i];
        const bool same = last && last->len == x.len && !memcmp(last->text, x.text, x.len);
        if (!same) {
            e->entries[e->n_entries++] = x;
        } else if (last->id >= 0 && vb_token_type(t, x.id) == VB_TOKEN_BYTE) {
            last->beside_byte = true;
        } else if (last->id >= 0 && vb_token_type(t, last->id) == VB_TOKEN_BYTE) {
            last->id = x.id;
            last->beside_byte = true;
        } else {
            last->id = -1;
        }
    }
    return VB_OK;
}

static const entry *find_text(const vb_endpoint *e, const char *text, size_t len) {
    size_t lo = 0, hi = e->n_entries;
    while (lo < hi) {
        const size_t mid = lo + (hi - lo) / 2;
        const entry *x = &e->entries[mid], wanted = {.text = text, .len = len, .id = x->id};
        const int order = by_text(x, &wanted);
        if (!order) return x;
        if (order < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return NULL;
}

/* ------------------------------------------------------------------------------------------- requests */

/* Members of `text` over those of `into`; null takes a member out. */
static int put_in(json_t *into, const char *text, const char *what, vb_error *err) {
    json_error_t where;
    json_t *more = vb_json_read(text, strlen(text), JSON_ALLOW_NUL, &where), *value;
    const char *key;
    if (!json_is_object(more)) {
        json_decref(more);
        return vb_fail(err, VB_ERR_ARGUMENT, "%s: expected a JSON object%s%s", what,
                       where.text[0] ? ": " : "", where.text);
    }
    json_object_foreach(more, key, value) {
        if (json_is_null(value))
            json_object_del(into, key);
        else
            json_object_set(into, key, value);
    }
    json_decref(more);
    return VB_OK;
}

static json_t *prompt_json(const vb_endpoint_params *p) {
    if (p->text) return json_string(p->text);
    json_t *ids = json_array();
    for (size_t i = 0; i < p->n_prompt; i++) json_array_append_new(ids, json_integer(p->prompt[i]));
    return ids;
}

/* Those that are off are left out: not every server knows them. */
static void add_samplers(json_t *r, const vb_sampling *s) {
    const struct {
        const char *name;
        bool on;
        double value;
    } all[] = {{"top_n_sigma", s->top_n_sigma > 0, s->top_n_sigma},
               {"typical_p", s->typical_p > 0 && s->typical_p < 1, s->typical_p},
               {"xtc_probability", s->xtc_probability > 0, s->xtc_probability},
               {"xtc_threshold", s->xtc_probability > 0, s->xtc_threshold},
               {"dynatemp_range", s->dynatemp_range > 0, s->dynatemp_range},
               {"dynatemp_exponent", s->dynatemp_range > 0, s->dynatemp_exponent},
               {"dry_multiplier", s->dry_multiplier > 0, s->dry_multiplier},
               {"dry_base", s->dry_multiplier > 0, s->dry_base}};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (all[i].on) json_object_set_new(r, all[i].name, json_real(all[i].value));
    if (!(s->dry_multiplier > 0)) return;
    json_object_set_new(r, "dry_allowed_length", json_integer(s->dry_allowed_length));
    json_object_set_new(r, "dry_penalty_last_n", json_integer(s->dry_last_n));
}

/* The sampling options as requests write them. top_k and min_p stand there even when they are off: servers
 * have defaults of their own. */
static json_t *base_request(const vb_endpoint *e) {
    const vb_endpoint_params *p = &e->p;
    const vb_sampling *s = p->sampling;
    json_t *r =
        json_pack("{ss so si sf sf si sf si sb sb}", "model", e->model, "prompt", prompt_json(p), //
                  "max_tokens", p->tokens + p->more, "temperature", s->temperature, "top_p", s->top_p,
                  "top_k", s->top_k, "min_p", s->min_p, "logprobs", 1, "stream", 0, "return_token_ids", 1);
    if (!r) return NULL;
    if (s->presence_penalty != 0) json_object_set_new(r, "presence_penalty", json_real(s->presence_penalty));
    if (s->frequency_penalty != 0)
        json_object_set_new(r, "frequency_penalty", json_real(s->frequency_penalty));
    if (s->repeat_penalty != 1) json_object_set_new(r, "repeat_penalty", json_real(s->repeat_penalty));
    add_samplers(r, s);
    if (!p->n_stop) json_object_set_new(r, "ignore_eos", json_true());
    if (s->n_bias) {
        json_t *bias = json_object();
        for (size_t i = 0; i < s->n_bias; i++) {
            char id[16];
            snprintf(id, sizeof id, "%d", (int)s->bias[i].id);
            json_object_set_new(bias, id,
                                json_real(isfinite(s->bias[i].bias) ? (double)s->bias[i].bias : -100));
        }
        json_object_set_new(r, "logit_bias", bias);
    }
    return r;
}

static char *write_request(void *self, size_t i) {
    const batch *b = self;
    const uint64_t seed = b->seed + i;
    json_t *r = json_copy(b->alone ? b->e->alone : b->e->request);
    char *text = NULL;
    if (r && !json_object_set_new(r, "seed", json_integer((json_int_t)seed)))
        text = vb_json_write(r, JSON_COMPACT, NULL);
    json_decref(r);
    return text;
}

/* ------------------------------------------------------------------------------------------- answers */

static int bad(const char *where, const char *field, const char *expected, vb_error *err) {
    return vb_fail(err, VB_ERR_FORMAT, "%s: %s: expected %s", where, field, expected);
}

/* An answer's JSON; what is cut off or no JSON at all is said with the place. A model may write NUL, which is
 * a token like others: texts are read with their lengths. */
static int load(const char *where, const char *body, size_t len, json_t **out, vb_error *err) {
    json_error_t at;
    if (!len) return vb_fail(err, VB_ERR_FORMAT, "%s: an empty answer", where);
    *out = vb_json_read(body, len, JSON_ALLOW_NUL, &at);
    if (*out) return VB_OK;
    return vb_fail(err, VB_ERR_FORMAT, "%s: the answer of %zu bytes is no JSON: %s (line %d, column %d)",
                   where, len, at.text, at.line, at.column);
}

/* "bytes:\\xe2\\x82": how the older form writes what is no text by itself. Number of bytes, 0 if it is not
 * that. */
static size_t unescape(const char *text, size_t len, char out[64]) {
    size_t n = 0;
    if (len < 10 || strncmp(text, "bytes:", 6) || (len - 6) % 4 || (len - 6) / 4 > 64) return 0;
    for (size_t i = 6; i < len; i += 4, n++) {
        unsigned value;
        if (sscanf(text + i, "\\x%2x", &value) != 1) return 0;
        out[n] = (char)value;
    }
    return n;
}

static int id_of_text(vb_endpoint *e, const char *text, size_t len, const char *where, const char *field,
                      int32_t *id, vb_error *err) {
    long long number = -1;
    char end = 0;
    if (len < 40 && sscanf(text, "token_id:%lld%c", &number, &end) == 1 && number >= 0 &&
        number < vb_tokenizer_size(e->p.tokenizer)) {
        *id = (int32_t)number;
        return VB_OK;
    }
    char bytes[64];
    const size_t n = unescape(text, len, bytes);
    const entry *x = n ? find_text(e, bytes, n) : find_text(e, text, len);
    if (!x)
        return vb_fail(
            err, VB_ERR_FORMAT,
            "%s: %s: \"%.40s\" is no token of the target's vocabulary: is this the same model? (A server "
            "that reports token_ids, or bytes, leaves no doubt.)",
            where, field, text);
    if (x->id < 0)
        return vb_fail(
            err, VB_ERR_FORMAT,
            "%s: %s: two ids of the target have the text \"%.40s\": the endpoint must report token_ids",
            where, field, text);
    e->counts.by_text += x->beside_byte;
    *id = x->id;
    return VB_OK;
}

static int id_of_number(const vb_endpoint *e, const json_t *x, const char *where, const char *field,
                        int32_t *id, vb_error *err) {
    const json_int_t v = json_integer_value(x);
    if (!json_is_integer(x) || v < 0 || v >= vb_tokenizer_size(e->p.tokenizer))
        return bad(where, field, "an id of the target's vocabulary", err);
    *id = (int32_t)v;
    return VB_OK;
}

/* One element of logprobs.content. */
static int id_of_content(vb_endpoint *e, const json_t *x, const char *where, const char *field, int32_t *id,
                         vb_error *err) {
    const json_t *bytes = json_object_get(x, "bytes"), *token = json_object_get(x, "token");
    char text[256];
    size_t n = json_array_size(bytes);
    if (json_object_get(x, "id")) return id_of_number(e, json_object_get(x, "id"), where, field, id, err);
    if (n > 0 && n < sizeof text) {
        for (size_t i = 0; i < n; i++) text[i] = (char)json_integer_value(json_array_get(bytes, i));
        text[n] = 0;
        return id_of_text(e, text, n, where, field, id, err);
    }
    if (!json_is_string(token)) return bad(where, field, "an object with id, bytes or token", err);
    return id_of_text(e, json_string_value(token), json_string_length(token), where, field, id, err);
}

/* Where the tokens of a choice stand, in which form. */
typedef struct token_list {
    const json_t *ids, *content, *texts, *numbers;
    size_t n;
} token_list;

static int find_tokens(const json_t *choice, const char *where, token_list *l, vb_error *err) {
    const json_t *logprobs = json_object_get(choice, "logprobs");
    *l = (token_list){.ids = json_object_get(choice, "token_ids"),
                      .content = json_object_get(logprobs, "content"),
                      .texts = json_object_get(logprobs, "tokens"),
                      .numbers = json_object_get(logprobs, "token_logprobs")};
    if (!json_is_array(l->ids)) l->ids = NULL;
    if (!json_is_array(l->content)) l->content = NULL;
    if (!json_is_array(l->texts)) l->texts = NULL;
    if (!json_is_array(l->numbers)) l->numbers = NULL;
    if (!l->ids && !l->content && !l->texts)
        return bad(
            where, "choices[0].logprobs",
            "an object with content or tokens (or token_ids beside it): without token ids nothing can be "
            "judged",
            err);
    l->n = json_array_size(l->ids ? l->ids : l->content ? l->content : l->texts);
    return VB_OK;
}

/* NaN where there is none. */
static int read_logprob(const token_list *l, size_t i, const char *where, double *out, vb_error *err) {
    char field[64];
    const json_t *x = l->content   ? json_object_get(json_array_get(l->content, i), "logprob")
                      : l->numbers ? json_array_get(l->numbers, i)
                                   : NULL;
    *out = NAN;
    if (!x || json_is_null(x)) return VB_OK;
    snprintf(field, sizeof field, "choices[0].logprobs.%s[%zu]", l->content ? "content" : "token_logprobs",
             i);
    if (!json_is_number(x)) return bad(where, field, "a number", err);
    *out = json_number_value(x);
    return *out <= 0 ? VB_OK : bad(where, field, "a log-probability, which is at most 0", err);
}

static int read_token(vb_endpoint *e, const token_list *l, size_t i, const char *where, int32_t *id,
                      vb_error *err) {
    char field[64];
    if (l->ids) {
        snprintf(field, sizeof field, "choices[0].token_ids[%zu]", i);
        return id_of_number(e, json_array_get(l->ids, i), where, field, id, err);
    }
    if (l->content) {
        snprintf(field, sizeof field, "choices[0].logprobs.content[%zu]", i);
        return id_of_content(e, json_array_get(l->content, i), where, field, id, err);
    }
    const json_t *x = json_array_get(l->texts, i);
    snprintf(field, sizeof field, "choices[0].logprobs.tokens[%zu]", i);
    if (!json_is_string(x)) return bad(where, field, "a string", err);
    return id_of_text(e, json_string_value(x), json_string_length(x), where, field, id, err);
}

static int read_choice(vb_endpoint *e, const json_t *choice, const char *where, vb_completion *out,
                       vb_error *err) {
    const vb_endpoint_params *p = &e->p;
    const char *reason = json_string_value(json_object_get(choice, "finish_reason"));
    vb_completion c = {0};
    token_list l;
    bool stopped = false;
    int rc = find_tokens(choice, where, &l, err);
    for (size_t i = 0; i < l.n && c.n < p->tokens && !stopped && !rc; i++) {
        int32_t *id = &c.token[c.n];
        if ((rc = read_token(e, &l, i, where, id, err)) ||
            (rc = read_logprob(&l, i, where, &c.logprob[c.n], err)))
            break;
        if (isnan(c.logprob[c.n])) e->counts.unlogged++;
        c.n++;
        stopped = vb_is_stop(p->stop, p->n_stop, *id);
    }
    if (rc) return rc;
    if (c.n < p->tokens && !stopped) { /* the end, which most servers do not name */
        const int32_t eos = vb_token_eos(p->tokenizer);
        if (!reason || strcmp(reason, "stop") || !vb_is_stop(p->stop, p->n_stop, eos))
            return vb_fail(
                err, VB_ERR_FORMAT,
                "%s: choices[0]: %d tokens with finish_reason %s, and %d were asked for: expected all of "
                "them, or fewer with \"stop\"",
                where, c.n, reason ? reason : "missing", p->tokens + p->more);
        c.token[c.n] = eos;
        c.logprob[c.n++] = NAN;
        e->counts.stops++;
    }
    *out = c;
    return VB_OK;
}

static void add_drafts(vb_endpoint *e, const json_t *timings) {
    const json_int_t drafted = json_integer_value(json_object_get(timings, "draft_n"));
    const json_int_t accepted = json_integer_value(json_object_get(timings, "draft_n_accepted"));
    if (drafted <= 0 || accepted < 0 || accepted > drafted) return;
    e->counts.drafted += (uint64_t)drafted;
    e->counts.accepted += (uint64_t)accepted;
}

static int take_answer(void *self, size_t i, const char *where, const char *body, size_t len, vb_error *err) {
    const batch *b = self;
    json_t *root = NULL;
    int rc = load(where, body, len, &root, err);
    if (rc) return rc;
    const json_t *choice = json_array_get(json_object_get(root, "choices"), 0);
    add_drafts(b->e, json_object_get(root, "timings"));
    if (!json_is_object(choice))
        rc = bad(where, "choices", "an array with a completion", err);
    else
        rc = read_choice(b->e, choice, where, &b->out[i], err);
    json_decref(root);
    return rc;
}

int vb_endpoint_draw(void *self, uint64_t seed, size_t n, bool alone, vb_completion *out, vb_error *err) {
    vb_endpoint *e = self;
    batch b = {e, seed, alone, out};
    const vb_http_exchange x = {&b, write_request, take_answer};
    if (alone && !e->alone) return vb_fail(err, VB_ERR_ARGUMENT, "no request without speculation is known");
    return vb_http_post(e->http, "/completions", n, &x, err);
}

/* ------------------------------------------------------------------------------------------- opening */

/* The only model of GET URL/models. */
static int take_models(void *self, size_t i, const char *where, const char *body, size_t len, vb_error *err) {
    vb_endpoint *e = self;
    json_t *root = NULL;
    char names[300] = "";
    size_t used = 0;
    (void)i;
    int rc = load(where, body, len, &root, err);
    if (rc) return rc;
    const json_t *data = json_object_get(root, "data");
    const size_t n = json_array_size(data);
    for (size_t k = 0; k < n && used < sizeof names; k++) {
        const char *name = json_string_value(json_object_get(json_array_get(data, k), "id"));
        used += (size_t)snprintf(names + used, sizeof names - used, "%s%s", k ? ", " : "", name ? name : "?");
    }
    const char *only = json_string_value(json_object_get(json_array_get(data, 0), "id"));
    if (n == 1 && only)
        e->model = strdup(only);
    else if (n < 2)
        rc = bad(where, "data[0].id", "the name of a model; or give it with --model-name", err);
    else
        rc = vb_fail(err, VB_ERR_ARGUMENT, "%s: several models: choose one with --model-name: %s", where,
                     names);
    if (!rc && !e->model) rc = vb_fail(err, VB_ERR_MEMORY, "out of memory");
    json_decref(root);
    return rc;
}

static int prepare(vb_endpoint *e, vb_error *err) {
    const vb_endpoint_params *p = &e->p;
    const vb_http_exchange models = {e, NULL, take_models};
    int rc;
    if ((rc = vb_http_open(&e->http, &p->http, err)) || (rc = index_texts(e, err))) return rc;
    if (p->model)
        e->model = strdup(p->model);
    else if ((rc = vb_http_get(e->http, "/models", &models, err)))
        return rc;
    e->request = e->model ? base_request(e) : NULL;
    if (!e->request) return vb_fail(err, VB_ERR_MEMORY, "out of memory for a request");
    if (p->request && (rc = put_in(e->request, p->request, "--request", err))) return rc;
    if (!p->alone) return VB_OK;
    e->alone = json_copy(e->request);
    if (!e->alone) return vb_fail(err, VB_ERR_MEMORY, "out of memory for a request");
    return put_in(e->alone, p->alone, "--request-alone", err);
}

int vb_endpoint_open(vb_endpoint **out, const vb_endpoint_params *p, vb_error *err) {
    vb_endpoint *e = NULL;
    int rc;
    if (p->tokens < 1 || p->tokens > VB_JOINT_DEPTH || p->more < 0)
        return vb_fail(err, VB_ERR_ARGUMENT, "1 to %d tokens are judged", VB_JOINT_DEPTH);
    if ((rc = vb_alloc((void **)&e, 1, sizeof *e, "the endpoint", err))) return rc;
    e->p = *p;
    if ((rc = prepare(e, err)))
        vb_endpoint_close(e);
    else
        *out = e;
    return rc;
}

void vb_endpoint_close(vb_endpoint *e) {
    if (!e) return;
    vb_http_close(e->http);
    json_decref(e->request);
    json_decref(e->alone);
    free(e->model);
    free(e->entries);
    free(e);
}

const char *vb_endpoint_model(const vb_endpoint *e) {
    return e->model;
}

void vb_endpoint_count(const vb_endpoint *e, vb_endpoint_counts *out) {
    *out = e->counts;
    vb_http_count(e->http, &out->http);
}
