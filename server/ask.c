/* ask.c - the body of a chat or completion request. See ask.h. */
#include "server/ask_fields.h"

#include "base/rng.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

const vbs_preset VBS_PRESETS[] = {{"fast", 3}, {"balanced", 5}, {"max", 7}, {"auto", VB_GAMMA_AUTO},
                                  {"off", 0},  {NULL, 0}};

json_t *vbs_gamma_json(int gamma) {
    return gamma == VB_GAMMA_AUTO ? json_string("auto") : json_integer(gamma);
}

const vbs_preset *vbs_find_preset(const char *name, size_t len) {
    for (const vbs_preset *s = VBS_PRESETS; s->name; s++)
        if (strlen(s->name) == len && !memcmp(s->name, name, len)) return s;
    return NULL;
}

bool vbs_find_model(const vbs_terms *t, const char *id, const vbs_preset **preset) {
    const size_t n = strlen(t->name);
    *preset = NULL;
    if (strncmp(id, t->name, n)) return false;
    if (!id[n]) return true;
    if (id[n] == ':') *preset = vbs_find_preset(id + n + 1, strlen(id + n + 1));
    return *preset && (t->has_draft || !(*preset)->gamma);
}

int vbs_refuse(vbs_problem *p, int status, const char *type, const char *code, const char *param,
               const char *format, ...) {
    va_list ap;
    memset(p, 0, sizeof *p);
    p->status = status;
    p->type = type;
    p->code = code;
    if (param) snprintf(p->param, sizeof p->param, "%s", param);
    va_start(ap, format);
    vsnprintf(p->message, sizeof p->message, format, ap);
    va_end(ap);
    return -1;
}

void vbs_ask_warn(vbs_ask *a, const char *format, ...) {
    enum { MOST = 32 };
    char text[256];
    va_list ap;
    va_start(ap, format);
    vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    /* A conversation may have the same field in every message, and a client thousands of fields. */
    const size_t n = json_array_size(a->warnings);
    if (n > MOST) return;
    if (n == MOST) snprintf(text, sizeof text, "further fields ignored");
    for (size_t i = 0; i < n; i++)
        if (!strcmp(json_string_value(json_array_get(a->warnings, i)), text)) return;
    /* A key may be cut in the middle of a character; Jansson then makes no string of it. */
    json_t *s = json_string(text);
    json_array_append_new(a->warnings, s ? s : json_string("a parameter was ignored"));
}

/* SplitMix64's finaliser over seed + i*golden ratio; 53 bits, so that every JSON reader keeps it whole. */
uint64_t vbs_choice_seed(uint64_t seed, int i) {
    if (i == 0) return seed;
    return vb_mix64(seed + (uint64_t)i * VB_GOLDEN) >> 11;
}

bool vbs_random(uint64_t *bits) {
    return getrandom(bits, sizeof *bits, 0) == (ssize_t)sizeof *bits;
}

const json_t *vbs_get(const json_t *root, const char *key) {
    const json_t *v = json_object_get(root, key);
    return json_is_null(v) ? NULL : v;
}

int vbs_get_bool(const json_t *root, const char *key, bool *out, bool *set, vbs_problem *p) {
    const json_t *v = vbs_get(root, key);
    if (set) *set = v != NULL;
    if (!v) return 0;
    if (!json_is_boolean(v)) return VBS_BAD(p, key, "%s: expected true or false", key);
    *out = json_is_true(v);
    return 0;
}

int vbs_get_int(const json_t *root, const char *key, int64_t min, int64_t max, int64_t *out, bool *set,
                vbs_problem *p) {
    const json_t *v = vbs_get(root, key);
    if (set) *set = v != NULL;
    if (!v) return 0;
    int64_t x;
    if (json_is_integer(v))
        x = json_integer_value(v);
    else if (json_is_real(v) && fabs(json_real_value(v)) <= 9007199254740992.0 && /* 2^53: exact below */
             floor(json_real_value(v)) == json_real_value(v))
        x = (int64_t)json_real_value(v);
    else
        return VBS_BAD(p, key, "%s: expected a whole number", key);
    if (x < min && max == INT64_MAX)
        return VBS_BAD(p, key, "%s: %lld is outside the range: at least %lld", key, (long long)x,
                       (long long)min);
    if (x < min || x > max)
        return VBS_BAD(p, key, "%s: %lld is outside %lld to %lld", key, (long long)x, (long long)min,
                       (long long)max);
    *out = x;
    return 0;
}

int vbs_get_real(const json_t *root, const char *key, double min, double max, double *out, bool *set,
                 vbs_problem *p) {
    const json_t *v = vbs_get(root, key);
    if (set) *set = v != NULL;
    if (!v) return 0;
    if (!json_is_number(v)) return VBS_BAD(p, key, "%s: expected a number", key);
    double x = json_number_value(v);
    if (!(x >= min && x <= max)) return VBS_BAD(p, key, "%s: %g is outside %g to %g", key, x, min, max);
    *out = x;
    return 0;
}

/* What is there, for a 404. */
static int no_model(const char *wanted, const vbs_terms *t, vbs_problem *p) {
    char list[512];
    size_t used = (size_t)snprintf(list, sizeof list, "%.200s", t->name);
    for (const vbs_preset *s = VBS_PRESETS; s->name && used < sizeof list; s++)
        if (t->has_draft || !s->gamma)
            used += (size_t)snprintf(list + used, sizeof list - used, ", %.60s:%s", t->name, s->name);
    return vbs_refuse(
        p, 404, "invalid_request_error", "model_not_found", "model",
        "there is no model \"%.200s\" here; there is %s%s", wanted, list,
        t->has_draft ? ""
                     : " (no draft: the server was started without -md, --draft ngram and --draft suffix)");
}

/* Whether a client means the draft model that is there: by its path, its file's name, or that without
 * .gguf. */
static bool is_draft(const vbs_terms *t, const char *wanted) {
    const char *slash = t->draft ? strrchr(t->draft, '/') : NULL, *file = slash ? slash + 1 : t->draft;
    const char *dot = file ? strrchr(file, '.') : NULL;
    const size_t n = strlen(wanted);
    if (!file) return false;
    return !strcmp(wanted, t->draft) || !strcmp(wanted, file) ||
           (dot && (size_t)(dot - file) == n && !strncmp(wanted, file, n));
}

/* Who drafts never changes the text, but who names another draft model expects its speed. */
static int read_draft(const vbs_ask *a, const vbs_terms *t, vbs_problem *p) {
    const json_t *v = vbs_get(a->root, "draft_model");
    const char *slash = t->draft ? strrchr(t->draft, '/') : NULL;
    if (!v || (json_is_string(v) && (!json_string_length(v) || is_draft(t, json_string_value(v))))) return 0;
    if (!json_is_string(v)) return VBS_BAD(p, "draft_model", "draft_model: expected a string");
    return VBS_BAD(p, "draft_model",
                   "draft_model: the draft is chosen when the server starts (-md FILE), and it is %.200s",
                   !t->draft ? "none"
                   : slash   ? slash + 1
                             : t->draft);
}

/* "NAME" or "NAME:PRESET". */
static int read_model(vbs_ask *a, const vbs_terms *t, vbs_problem *p) {
    const json_t *v = vbs_get(a->root, "model");
    a->gamma = t->has_draft ? t->gamma : 0;
    memcpy(a->tree, t->tree, sizeof a->tree);
    snprintf(a->model, sizeof a->model, "%s", t->name);
    if (!v) return 0;
    if (!json_is_string(v)) return VBS_BAD(p, "model", "model: expected a string");
    const char *wanted = json_string_value(v);
    const vbs_preset *preset;
    if (!vbs_find_model(t, wanted, &preset)) return no_model(wanted, t, p);
    if (preset) a->gamma = preset->gamma, memset(a->tree, 0, sizeof a->tree);
    snprintf(a->model, sizeof a->model, "%s", wanted);
    return 0;
}

static int add_stop(vbs_ask *a, const json_t *v, vbs_problem *p) {
    if (!json_is_string(v)) return VBS_BAD(p, "stop", "stop: expected a string or a list of strings");
    size_t len = json_string_length(v);
    if (len == 0) return VBS_BAD(p, "stop", "stop: an empty string stops everywhere: leave it out");
    if (len > VBS_MAX_STOP_LEN)
        return VBS_BAD(p, "stop", "stop: a string of %zu bytes; the limit is %d", len, VBS_MAX_STOP_LEN);
    if (a->n_stops == VBS_MAX_STOPS) return VBS_BAD(p, "stop", "stop: more than %d strings", VBS_MAX_STOPS);
    a->stops[a->n_stops++] = (vbs_stop){json_string_value(v), len};
    return 0;
}

static int read_stops(vbs_ask *a, vbs_problem *p) {
    const json_t *v = vbs_get(a->root, "stop");
    if (!v) return 0;
    if (!json_is_array(v)) return add_stop(a, v, p);
    for (size_t i = 0; i < json_array_size(v); i++)
        if (add_stop(a, json_array_get(v, i), p)) return -1;
    return 0;
}

static int compare_bias(const void *a, const void *b) {
    const vb_logit_bias *x = a, *y = b;
    return (x->id > y->id) - (x->id < y->id);
}

static int read_bias(vbs_ask *a, const vbs_terms *t, vbs_problem *p) {
    json_t *v = json_object_get(a->root, "logit_bias"), *bias;
    const char *key;
    size_t n = 0;
    if (!v || json_is_null(v)) return 0;
    if (json_is_array(v) && !json_array_size(v)) return 0; /* PHP's empty object */
    if (!json_is_object(v))
        return VBS_BAD(p, "logit_bias", "logit_bias: expected an object of token ids and numbers");
    if (!json_object_size(v)) return 0;
    a->bias = calloc(json_object_size(v), sizeof *a->bias);
    if (!a->bias) return vbs_refuse(p, 500, "server_error", NULL, NULL, "out of memory");
    json_object_foreach(v, key, bias) {
        char *end;
        long id = key[0] >= '0' && key[0] <= '9' ? strtol(key, &end, 10) : -1;
        if (id < 0 || *end || id >= t->n_vocab)
            return VBS_BAD(p, "logit_bias", "logit_bias: \"%.40s\" is no token id; they go from 0 to %d", key,
                           t->n_vocab - 1);
        double b = json_number_value(bias);
        if (!json_is_number(bias) || !(b >= -100 && b <= 100))
            return VBS_BAD(p, "logit_bias", "logit_bias: expected a number from -100 to 100 for token %ld",
                           id);
        a->bias[n++] = (vb_logit_bias){(int32_t)id, (float)b};
    }
    qsort(a->bias, n, sizeof *a->bias, compare_bias);
    for (size_t i = 1; i < n; i++) /* "7" and "07" */
        if (a->bias[i].id == a->bias[i - 1].id)
            return VBS_BAD(p, "logit_bias", "logit_bias: token %d is there twice", a->bias[i].id);
    a->sampling.bias = a->bias;
    a->sampling.n_bias = n;
    return 0;
}

static int read_seed(vbs_ask *a, vbs_problem *p) {
    int64_t seed = -1;
    if (vbs_get_int(a->root, "seed", -1, INT64_MAX, &seed, NULL, p)) return -1;
    a->has_seed = seed >= 0;
    a->sampling.seed = (uint64_t)seed;
    if (a->has_seed) return 0;
    uint64_t bits;
    if (!vbs_random(&bits))
        return vbs_refuse(p, 500, "server_error", NULL, "seed", "no random seed to be had: give one");
    a->sampling.seed = bits >> 11;
    return 0;
}

static int read_sampling(vbs_ask *a, const vbs_terms *t, vbs_problem *p) {
    const json_t *r = a->root;
    vb_sampling *s = &a->sampling;
    int64_t k = t->sampling.top_k, last = t->sampling.penalty_last_n;
    *s = t->sampling;
    s->bias = NULL;
    s->n_bias = 0;
    if (vbs_get_real(r, "temperature", 0, 1e6, &s->temperature, NULL, p) ||
        vbs_get_real(r, "top_p", -INFINITY, INFINITY, &s->top_p, NULL, p) ||
        vbs_get_real(r, "min_p", 0, 1, &s->min_p, NULL, p) ||
        vbs_get_int(r, "top_k", -1, INT32_MAX, &k, NULL, p) ||
        vbs_get_real(r, "presence_penalty", -1e6, 1e6, &s->presence_penalty, NULL, p) ||
        vbs_get_real(r, "frequency_penalty", -1e6, 1e6, &s->frequency_penalty, NULL, p) ||
        vbs_get_real(r, "repeat_penalty", 1e-3, 1e3, &s->repeat_penalty, NULL, p) ||
        vbs_get_int(r, "repeat_last_n", -1, 1048576, &last, NULL, p))
        return -1;
    if (!(s->top_p > 0 && s->top_p <= 1))
        return VBS_BAD(p, "top_p", "top_p: %g is outside the range: above 0 and at most 1", s->top_p);
    s->top_k = k < 0 ? 0 : (int)k; /* -1 and 0: off, as others have it */
    s->penalty_last_n = (int)last;
    return vbs_read_samplers(a, t, p) || read_bias(a, t, p) ? -1 : read_seed(a, p);
}

/* "tree": "3,2,1": the shape of what the draft model proposes. A gamma asks for a chain, and block
 * verification takes nothing else. */
static int read_tree(vbs_ask *a, const vbs_terms *t, vbs_problem *p) {
    const json_t *v = vbs_get(a->root, "tree");
    const bool block = a->accept == VB_ACCEPT_BLOCK;
    vb_error err = {0};
    if (!v) {
        if (vbs_get(a->root, "gamma") || block) memset(a->tree, 0, sizeof a->tree);
        return 0;
    }
    if (!json_is_string(v))
        return VBS_BAD(p, "tree", "tree: expected a string such as \"3,2,1\", or \"off\"");
    if (vb_draft_tree_read(json_string_value(v), a->tree, &err)) return VBS_BAD(p, "tree", "%s", err.message);
    if (!a->tree[0]) return 0;
    if (!t->draft)
        return VBS_BAD(p, "tree",
                       "tree: a tree needs a draft model: the server was started without -md FILE");
    if (block)
        return VBS_BAD(p, "tree",
                       "tree: block verification judges chains; accept may be coupled, greedy or rejection");
    if (a->tree[0] == VB_TREE_AUTO) {
        if (vbs_get(a->root, "gamma") && a->gamma != VB_GAMMA_AUTO)
            return VBS_BAD(p, "tree", "tree auto and gamma: both are chosen, or neither is");
        a->gamma = VB_GAMMA_AUTO;
        return 0;
    }
    if (vbs_get(a->root, "gamma"))
        return VBS_BAD(p, "tree",
                       "tree and gamma: a tree has a size of its own, gamma is the length of a chain");
    a->gamma = vb_draft_tree_size(a->tree); /* whatever the preset says */
    return 0;
}

static int read_rule(vbs_ask *a, const vbs_terms *t, vbs_problem *p) {
    const json_t *v = vbs_get(a->root, "accept");
    a->accept = t->accept;
    if (v) {
        const char *name = json_is_string(v) ? json_string_value(v) : "";
        int rule = VB_ACCEPT_COUPLED;
        while (rule <= VB_ACCEPT_BLOCK && strcmp(name, vb_accept_name((vb_accept)rule))) rule++;
        if (rule > VB_ACCEPT_BLOCK)
            return VBS_BAD(p, "accept", "accept: expected coupled, greedy, rejection or block");
        a->accept = (vb_accept)rule;
    }
    /* The server's own rule may be greedy too:
     * a request that asks for a temperature then gets coupled's law. */
    if (a->accept == VB_ACCEPT_GREEDY && a->sampling.temperature > 0) {
        if (v)
            return VBS_BAD(p, "accept",
                           "accept greedy is the rule of temperature 0, and the temperature is %g",
                           a->sampling.temperature);
        a->accept = VB_ACCEPT_COUPLED;
    }
    int64_t gamma = a->gamma;
    if (read_draft(a, t, p)) return -1;
    const char *word = json_string_value(vbs_get(a->root, "gamma"));
    if (word && strcmp(word, "auto") != 0)
        return VBS_BAD(p, "gamma", "gamma: expected a whole number from 0 to 32, or \"auto\"");
    if (word)
        gamma = VB_GAMMA_AUTO;
    else if (vbs_get_int(a->root, "gamma", 0, 32, &gamma, NULL, p))
        return -1;
    if (gamma && !t->has_draft)
        return VBS_BAD(p, "gamma",
                       "gamma: nobody drafts here: the server was started without -md, --draft ngram and "
                       "--draft suffix");
    a->gamma = (int)gamma;
    return read_tree(a, t, p);
}

static int read_lengths(vbs_ask *a, const vbs_terms *t, vbs_problem *p) {
    int64_t n = 1, most = 0;
    bool given;
    if (vbs_get_int(a->root, "max_tokens", -1, INT64_MAX, &most, &given, p) ||
        vbs_get_int(a->root, "n", 1, VBS_MAX_CHOICES, &n, NULL, p))
        return -1;
    if (given && most == 0)
        return VBS_BAD(p, "max_tokens",
                       "max_tokens: at least one token must be asked for; -1: as many as the context holds");
    if (!given) most = t->max_tokens ? t->max_tokens : a->chat ? -1 : 16;
    /* No context is as large as this, so the text ends with the context either way. */
    if (most > INT32_MAX) most = INT32_MAX;
    a->max_tokens = most < 0 ? 0 : (size_t)most;
    a->n = (int)n;
    return 0;
}

/* Probabilities need the list that they stand in. */
static int read_law(vbs_ask *a, vbs_problem *p) {
    if (vbs_get_bool(a->root, "post_sampling_probs", &a->law, NULL, p)) return -1;
    if (a->law && !a->logprobs)
        return VBS_BAD(p, "post_sampling_probs", "post_sampling_probs needs logprobs: %s",
                       a->chat ? "\"logprobs\": true, and top_logprobs for a number of alternatives"
                               : "the number of alternatives, 0 to 20");
    return 0;
}

static int read_reports(vbs_ask *a, vbs_problem *p) {
    const json_t *r = a->root, *options = vbs_get(r, "stream_options");
    int64_t top = 0;
    bool has_top;
    if (vbs_get_bool(r, "stream", &a->stream, NULL, p) ||
        vbs_get_bool(r, "verbatim", &a->verbatim, NULL, p) ||
        vbs_get_bool(r, "return_token_ids", &a->token_ids, NULL, p) ||
        vbs_get_bool(r, "ignore_eos", &a->ignore_eos, NULL, p))
        return -1;
    if (options && !json_is_object(options))
        return VBS_BAD(p, "stream_options", "stream_options: expected an object");
    if (options && vbs_get_bool(options, "include_usage", &a->include_usage, NULL, p)) return -1;
    if (options && !a->stream) vbs_ask_warn(a, "stream_options says nothing without stream");
    if (!a->chat && json_is_false(json_object_get(r, "logprobs"))) return read_law(a, p);
    if (!a->chat) { /* the older API: a number of alternatives */
        if (vbs_get_int(r, "logprobs", 0, 20, &top, &a->logprobs, p)) return -1;
        a->n_top = (int)top;
        return read_law(a, p);
    }
    if (vbs_get_bool(r, "logprobs", &a->logprobs, NULL, p) ||
        vbs_get_int(r, "top_logprobs", 0, 20, &top, &has_top, p) || read_law(a, p))
        return -1;
    if (top && !a->logprobs) return VBS_BAD(p, "top_logprobs", "top_logprobs needs \"logprobs\": true");
    a->n_top = (int)top;
    return 0;
}

static int read_fields(vbs_ask *a, const vbs_terms *t, vbs_problem *p) {
    if (vbs_ask_aliases(a, p) || read_model(a, t, p) || read_sampling(a, t, p) || read_rule(a, t, p) ||
        read_lengths(a, t, p) || read_stops(a, p) || vbs_ask_foreign(a, t, p) || read_reports(a, p))
        return -1;
    if (a->chat ? vbs_ask_chat(a, t, p) : vbs_ask_prompts(a, t, p)) return -1;
    if (a->ignore_eos && vbs_ask_shaped(a))
        return VBS_BAD(p, "ignore_eos", "ignore_eos asks for text without an end, and %s for one that ends",
                       a->shape_field ? a->shape_field : "tools");
    size_t prompts = a->chat ? 1 : a->n_prompts;
    if (prompts * (size_t)a->n > VBS_MAX_CHOICES)
        return VBS_BAD(p, "n", "n: %zu prompts of %d choices each are more than %d", prompts, a->n,
                       VBS_MAX_CHOICES);
    vb_error err = {0};
    if (vb_sampling_check(&a->sampling, t->n_vocab, &err)) return VBS_BAD(p, NULL, "%s", err.message);
    return 0;
}

int vbs_ask_read(vbs_ask *a, bool chat, const char *body, size_t n, const vbs_terms *t, vbs_problem *p) {
    memset(a, 0, sizeof *a);
    memset(p, 0, sizeof *p);
    a->chat = chat;
    a->root = vbs_json_read(body, n, p);
    if (!a->root) return -1;
    a->warnings = json_array();
    if (!a->warnings) return vbs_refuse(p, 500, "server_error", NULL, NULL, "out of memory");
    if (!read_fields(a, t, p)) return 0;
    vbs_ask_rename(a, p);
    return -1;
}

void vbs_ask_close(vbs_ask *a) {
    for (size_t i = 0; i < a->n_prompts; i++) free(a->prompts[i].ids);
    free(a->prompts);
    free(a->variables);
    free(a->tools);
    free(a->shape_text);
    free(a->bias);
    vb_free(a->breakers);
    json_decref(a->warnings);
    json_decref(a->root);
    memset(a, 0, sizeof *a);
}
