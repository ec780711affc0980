/* ask_fields.c - fields that a request may not have because they would change the output (P6), fields that go
 * by another name elsewhere, and fields that change nothing and are reported as ignored. */
#include "server/ask_fields.h"
#include "base/json.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Read elsewhere. */
static const char *const COMMON[] = {"model",
                                     "temperature",
                                     "top_p",
                                     "top_k",
                                     "min_p",
                                     "typical_p",
                                     "top_n_sigma",
                                     "xtc_probability",
                                     "xtc_threshold",
                                     "dynatemp_range",
                                     "dynatemp_exponent",
                                     "dry_multiplier",
                                     "dry_base",
                                     "dry_allowed_length",
                                     "dry_penalty_last_n",
                                     "dry_sequence_breakers",
                                     "max_tokens",
                                     "stop",
                                     "seed",
                                     "n",
                                     "logprobs",
                                     "logit_bias",
                                     "presence_penalty",
                                     "repeat_penalty",
                                     "frequency_penalty",
                                     "repeat_last_n",
                                     "stream",
                                     "stream_options",
                                     "accept",
                                     "gamma",
                                     "tree",
                                     "draft_model",
                                     "post_sampling_probs",
                                     "verbatim",
                                     "return_token_ids",
                                     "ignore_eos",
                                     "response_format",
                                     "json_schema",
                                     "grammar",
                                     "regex",
                                     "guided_json",
                                     "guided_regex",
                                     "guided_choice",
                                     "guided_grammar",
                                     "guided_json_object",
                                     "structured_outputs",
                                     "format",
                                     "json_whitespace",
                                     "echo",
                                     "suffix",
                                     "best_of",
                                     NULL};
static const char *const CHAT[] = {"messages",
                                   "top_logprobs",
                                   "tools",
                                   "tool_choice",
                                   "parallel_tool_calls",
                                   "functions",
                                   "function_call",
                                   "add_generation_prompt",
                                   "continue_final_message",
                                   "chat_template_kwargs",
                                   "date",
                                   "reasoning_effort",
                                   "reasoning_format",
                                   "reasoning",
                                   "separate_reasoning",
                                   "include_reasoning",
                                   "enable_thinking",
                                   "thinking",
                                   "think",
                                   "return_token_strs", /* of /tokenize, which reads a conversation, too */
                                   NULL};
static const char *const COMPLETION[] = {"prompt", NULL};
static const char *const SAMPLERS[] = {"samplers", "sampler_priority", NULL};

bool vbs_listed(const char *const *list, const char *key) {
    for (; *list; list++)
        if (!strcmp(*list, key)) return true;
    return false;
}

/* Whether two names differ in case, underscores and dashes at most: topP, top-p, Top_P. */
static bool same_letters(const char *a, const char *b) {
    for (;;) {
        a += strspn(a, "_-");
        b += strspn(b, "_-");
        if (tolower((unsigned char)*a) != tolower((unsigned char)*b)) return false;
        if (!*a) return true;
        a++;
        b++;
    }
}

static const char *alike(const char *const *list, const char *key) {
    for (; *list; list++)
        if (same_letters(*list, key)) return *list;
    return NULL;
}

static const char *alike_field(const vbs_field *list, const char *key) {
    for (; list->name; list++)
        if (same_letters(list->name, key)) return list->name;
    return NULL;
}

/* The field that an unknown one spells differently. Names are exact here as elsewhere, but whoever writes
 * topP asks for something, and an answer without it would not be what was asked for. */
static const char *spelt_alike(const vbs_ask *a, const char *key) {
    const char *found = alike(COMMON, key);
    if (!found) found = alike(a->chat ? CHAT : COMPLETION, key);
    if (!found) found = alike(SAMPLERS, key);
    for (const vbs_alias *e = VBS_ALIASES; !found && e->foreign; e++)
        if (same_letters(e->foreign, key)) found = e->own;
    return found ? found : alike_field(VBS_REFUSED, key);
}

/* -------------------------------------------------------------------------------------- neutral values */

static bool is_empty(const json_t *v) {
    return !v || json_is_null(v) || (json_is_string(v) && !json_string_length(v)) ||
           (json_is_array(v) && !json_array_size(v)) || (json_is_object(v) && !json_object_size(v));
}

/* An object that says what another one says, and nothing else that is more than null, false or 0. */
static bool says_same(const json_t *want, const json_t *v) {
    json_t *object = (json_t *)(uintptr_t)v, *member; /* the iterator's interface knows no const */
    const char *key;
    if (!json_is_object(want) || !json_is_object(v)) return false;
    json_object_foreach(object, key, member) {
        const json_t *same = json_object_get(want, key);
        const bool nothing = is_empty(member) || json_is_false(member) ||
                             (json_is_number(member) && fabs(json_number_value(member)) <= 0);
        if (same ? !json_equal(same, member) : !nothing) return false;
    }
    json_object_foreach(((json_t *)(uintptr_t)want), key, member) {
        if (!json_object_get(v, key)) return false;
    }
    return true;
}

/* One word of a list: a range of numbers "A..B", either end may be missing, or a value as JSON. */
static bool is_value(const char *word, size_t n, const json_t *v, int n_ctx) {
    char text[64];
    if (n >= sizeof text) return false;
    memcpy(text, word, n);
    text[n] = 0;
    char *dots = strstr(text, "..");
    if (dots) {
        const double x = json_number_value(v);
        const double from = !strncmp(text, "context", 7) ? n_ctx
                            : dots > text                ? strtod(text, NULL)
                                                         : -INFINITY;
        return json_is_number(v) && x >= from && x <= (dots[2] ? strtod(dots + 2, NULL) : INFINITY);
    }
    json_t *want = vb_json_read(text, n, JSON_DECODE_ANY, NULL);
    bool same;
    if (json_is_number(want) && json_is_number(v))
        same = !(json_number_value(want) < json_number_value(v)) &&
               !(json_number_value(want) > json_number_value(v));
    else
        same = json_equal(want, v) || says_same(want, v);
    json_decref(want);
    return same;
}

bool vbs_is_neutral(const char *neutral, const json_t *v, int n_ctx) {
    if (is_empty(v)) return true;
    for (const char *at = neutral; *at; at += strspn(at, " ")) {
        const size_t n = strcspn(at, " ");
        if (is_value(at, n, v, n_ctx)) return true;
        at += n;
    }
    return false;
}

static const vbs_field *find_field(const vbs_field *list, const char *key, size_t n) {
    for (; list->name; list++)
        if (!strncmp(list->name, key, n) && !list->name[n]) return list;
    return NULL;
}

/* Whether everything that a field needs to mean anything is off. */
static bool is_idle(const vbs_ask *a, const vbs_terms *t, const char *beside) {
    const vb_sampling *s = &a->sampling;
    if (!beside) return false;
    for (const char *at = beside; *at; at += strspn(at, " ")) {
        const size_t n = strcspn(at, " ");
        char name[40];
        snprintf(name, sizeof name, "%.*s", (int)n, at);
        at += n;
        bool off;
        if (!strcmp(name, "temperature"))
            off = !(s->temperature > 0);
        else if (!strcmp(name, "scaling"))
            off = !(s->temperature > 0) || (s->temperature >= 1 && s->temperature <= 1);
        else if (!strcmp(name, "penalties"))
            off = s->repeat_penalty >= 1 && s->repeat_penalty <= 1 && s->presence_penalty >= 0 &&
                  s->presence_penalty <= 0 && s->frequency_penalty >= 0 && s->frequency_penalty <= 0;
        else {
            const vbs_field *f = find_field(VBS_REFUSED, name, n);
            off = vbs_is_neutral(f ? f->neutral : "", json_object_get(a->root, name), t->n_ctx);
        }
        if (!off) return false;
    }
    return true;
}

/* ----------------------------------------------------------------------------------------- other names */

int vbs_ask_aliases(vbs_ask *a, vbs_problem *p) {
    for (const vbs_alias *e = VBS_ALIASES; e->foreign; e++) {
        json_t *given = json_object_get(a->root, e->foreign);
        if (!given) continue;
        const json_t *own = vbs_get(a->root, e->own);
        const bool both = own && !json_is_null(given);
        if (both && !json_equal(own, given) &&
            !(json_is_number(own) && json_is_number(given) &&
              fabs(json_number_value(own) - json_number_value(given)) <= 0))
            return VBS_BAD(p, e->foreign, "%s and %s are one thing, and their values differ: give one",
                           e->own, e->foreign);
        if (!own && !json_is_null(given)) {
            if (json_object_set(a->root, e->own, given))
                return vbs_refuse(p, 500, "server_error", NULL, NULL, "out of memory");
            if (a->n_renamed < VBS_MAX_RENAMED) a->renamed[a->n_renamed++] = e;
        }
        json_object_del(a->root, e->foreign);
    }
    return 0;
}

/* A problem speaks of the name that the client used. */
void vbs_ask_rename(const vbs_ask *a, vbs_problem *p) {
    for (int i = 0; i < a->n_renamed; i++) {
        char text[sizeof p->message];
        if (strcmp(p->param, a->renamed[i]->own) != 0) continue;
        snprintf(p->param, sizeof p->param, "%s", a->renamed[i]->foreign);
        snprintf(text, sizeof text, "%s is %s here: %.900s", a->renamed[i]->foreign, a->renamed[i]->own,
                 p->message);
        memcpy(p->message, text, sizeof text);
        return;
    }
}

/* ------------------------------------------------------------------------------------------------ checks */

static int check_completion(const vbs_ask *a, vbs_problem *p) {
    const json_t *r = a->root;
    bool echo = false;
    int64_t best = a->n;
    if (vbs_get_bool(r, "echo", &echo, NULL, p) || vbs_get_int(r, "best_of", 1, 128, &best, NULL, p))
        return -1;
    if (echo) return VBS_BAD(p, "echo", "echo: the prompt is not repeated here; put it in front yourself");
    if (best != a->n)
        return VBS_BAD(p, "best_of", "best_of: this server returns all that it generates: n = best_of");
    if (!is_empty(json_object_get(r, "suffix")))
        return VBS_BAD(p, "suffix", "suffix: this server continues texts, it does not fill gaps");
    return 0;
}

/* A field that is not read: 0 if its value changes nothing. */
static int check_field(vbs_ask *a, const vbs_terms *t, const char *key, const json_t *v, vbs_problem *p) {
    const vbs_field *f = find_field(VBS_REFUSED, key, strlen(key));
    if (vbs_listed(SAMPLERS, key)) return is_empty(v) ? 0 : vbs_check_samplers(key, v, &a->sampling, p);
    if (!f) {
        const char *meant = is_empty(v) ? NULL : spelt_alike(a, key);
        if (meant)
            return VBS_BAD(p, key,
                           "%.60s is not known here and would be ignored: if %s is meant, write it so", key,
                           meant);
        if (!json_is_null(v) && !vbs_listed(VBS_HARMLESS, key))
            vbs_ask_warn(a, "%.100s ignored: not known here", key);
        return 0;
    }
    if (vbs_is_neutral(f->neutral, v, t->n_ctx) || is_idle(a, t, f->beside)) return 0;
    /* In a chat the template brings the BOS token, and it is never doubled. */
    if (a->chat && json_is_false(v) && (!strcmp(key, "add_special_tokens") || !strcmp(key, "add_bos_token")))
        return 0;
    return VBS_BAD(p, key,
                   "%s with this value would change the output and is not supported: leave it out%s%s", key,
                   f->use ? ", or use " : "", f->use ? f->use : "");
}

int vbs_ask_foreign(vbs_ask *a, const vbs_terms *t, vbs_problem *p) {
    const char *key;
    json_t *v;
    void *next;
    json_object_foreach(a->root, key, v) {
        if (vbs_listed(COMMON, key) || vbs_listed(a->chat ? CHAT : COMPLETION, key)) continue;
        if (check_field(a, t, key, v, p)) return -1;
    }
    if (vbs_ask_shape(a, p) || check_completion(a, p)) return -1;
    /* What is not looked at again need not take memory while the answer is written. */
    json_object_foreach_safe(a->root, next, key, v) {
        if (!vbs_listed(COMMON, key) && !vbs_listed(a->chat ? CHAT : COMPLETION, key))
            json_object_del(a->root, key);
    }
    return 0;
}

int vbs_ask_inner(vbs_ask *a, const char *where, const json_t *o, const vbs_field *refused,
                  const char *const *known, vbs_problem *p) {
    json_t *object = (json_t *)(uintptr_t)o, *v; /* the iterator's interface knows no const */
    const char *key;
    json_object_foreach(object, key, v) {
        const vbs_field *f = find_field(refused, key, strlen(key));
        if (vbs_listed(known, key) || is_empty(v) || vbs_listed(VBS_HARMLESS_IN_MESSAGE, key)) continue;
        const char *meant = alike(known, key);
        if (!meant) meant = alike_field(refused, key);
        if (!f && meant)
            return VBS_BAD(p, "messages",
                           "%s.%.60s is not known here and would be ignored: if %s is meant, write it so",
                           where, key, meant);
        if (!f)
            vbs_ask_warn(a, "%.100s in messages ignored: not known here", key);
        else if (!vbs_is_neutral(f->neutral, v, 0))
            return VBS_BAD(p, "messages", "%s.%s would change the output and is not supported: leave it out",
                           where, key);
    }
    return 0;
}
