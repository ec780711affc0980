/* ask_reasoning.c - reasoning: whether the model shall think, as the template's own switch has it, and where
 * its thoughts go in the answer. Clients have many names for both. See ask.h. */
#include "server/ask_fields.h"

#include <string.h>

enum { UNSAID = -1, OFF = 0, ON = 1 };

typedef struct wish {
    int on;             /* OFF, ON or UNSAID */
    const char *said;   /* the field that said so */
    const char *effort; /* NULL: not said */
    const char *effort_said;
} wish;

static int want(wish *w, const char *field, bool on, vbs_problem *p) {
    if (w->on != UNSAID && w->on != (int)on)
        return VBS_BAD(p, field, "%s says that the model shall%s think, and %s the opposite", field,
                       on ? "" : " not", w->said);
    w->on = on;
    w->said = field;
    return 0;
}

/* "none" or a degree. */
static int want_effort(wish *w, const char *field, const json_t *v, vbs_problem *p) {
    if (!v) return 0;
    if (!json_is_string(v)) return VBS_BAD(p, field, "%s: expected a word such as low or none", field);
    const char *word = json_string_value(v);
    if (!*word) return 0;
    if (w->effort && strcmp(w->effort, word) != 0)
        return VBS_BAD(p, field, "%s is %.20s, and %s %.20s", field, word, w->effort_said, w->effort);
    w->effort = word;
    w->effort_said = field;
    return want(w, field, strcmp(word, "none") != 0, p);
}

/* enable_thinking, think: a boolean; think also a degree. */
static int read_switch(const vbs_ask *a, wish *w, const char *field, vbs_problem *p) {
    const json_t *v = vbs_get(a->root, field);
    if (!v || (json_is_string(v) && !json_string_length(v))) return 0;
    if (json_is_boolean(v)) return want(w, field, json_is_true(v), p);
    if (json_is_string(v) && !strcmp(field, "think")) return want_effort(w, field, v, p);
    return VBS_BAD(p, field, "%s: expected true or false", field);
}

static bool nothing(const json_t *v) {
    return !v || json_is_null(v) || json_is_false(v) || (json_is_integer(v) && json_integer_value(v) == 0);
}

/* {"type": "enabled"}, or a boolean. */
static int read_thinking(const vbs_ask *a, wish *w, vbs_problem *p) {
    const json_t *v = vbs_get(a->root, "thinking"), *type = json_object_get(v, "type");
    const char *word = json_is_string(type) ? json_string_value(type) : "";
    if (!v || (json_is_object(v) && !json_object_size(v))) return 0;
    if (json_is_boolean(v)) return want(w, "thinking", json_is_true(v), p);
    if (!json_is_object(v) || (strcmp(word, "enabled") != 0 && strcmp(word, "disabled") != 0))
        return VBS_BAD(p, "thinking", "thinking: expected true, false or {\"type\": \"enabled\"}");
    if (!nothing(json_object_get(v, "budget_tokens")))
        return VBS_BAD(p, "thinking", "thinking.budget_tokens: thoughts are not cut here: leave it out");
    return want(w, "thinking", !strcmp(word, "enabled"), p);
}

/* {"effort": "low", "enabled": true, "exclude": false}, or a boolean. */
static int read_object(vbs_ask *a, wish *w, vbs_problem *p) {
    json_t *v = json_object_get(a->root, "reasoning"), *member;
    const char *key;
    if (!v || json_is_null(v)) return 0;
    if (json_is_boolean(v)) return want(w, "reasoning", json_is_true(v), p);
    if (!json_is_object(v)) return VBS_BAD(p, "reasoning", "reasoning: expected an object");
    json_object_foreach(v, key, member) {
        int rc = 0;
        if (json_is_null(member)) continue;
        if (!strcmp(key, "effort"))
            rc = want_effort(w, "reasoning", member, p);
        else if (!strcmp(key, "enabled") && json_is_boolean(member))
            rc = want(w, "reasoning", json_is_true(member), p);
        else if (!strcmp(key, "exclude") && json_is_boolean(member))
            a->reasoning = json_is_true(member) ? VBS_REASONING_HIDDEN : a->reasoning;
        else if (!nothing(member))
            rc = VBS_BAD(p, "reasoning", "reasoning.%.40s is not supported: leave it out", key);
        if (rc) return rc;
    }
    return 0;
}

/* ---------------------------------------------------------------------------------------------- where to */

static int read_place(vbs_ask *a, vbs_problem *p) {
    static const struct {
        const char *word;
        vbs_reasoning place;
    } words[] = {{"auto", VBS_REASONING_APART},   {"deepseek", VBS_REASONING_APART},
                 {"parsed", VBS_REASONING_APART}, {"none", VBS_REASONING_CONTENT},
                 {"raw", VBS_REASONING_CONTENT},  {"hidden", VBS_REASONING_HIDDEN}};
    const json_t *v = vbs_get(a->root, "reasoning_format");
    bool apart = true, shown = true;
    if (vbs_get_bool(a->root, "separate_reasoning", &apart, NULL, p) ||
        vbs_get_bool(a->root, "include_reasoning", &shown, NULL, p))
        return -1;
    if (!apart) a->reasoning = VBS_REASONING_CONTENT;
    if (!shown) a->reasoning = VBS_REASONING_HIDDEN;
    if (!v || (json_is_string(v) && !json_string_length(v))) return 0;
    for (size_t i = 0; json_is_string(v) && i < sizeof words / sizeof *words; i++)
        if (!strcmp(json_string_value(v), words[i].word)) {
            a->reasoning = words[i].place;
            return 0;
        }
    return VBS_BAD(p, "reasoning_format",
                   "reasoning_format: expected auto, deepseek or parsed (reasoning_content), none or raw (in "
                   "the content), or hidden");
}

/* ------------------------------------------------------------------------------------------- the template */

const char *vbs_thinking_switch(const vb_chat *template) {
    static const char *const names[] = {"enable_thinking", "thinking", NULL};
    for (const char *const *n = names; template && *n; n++)
        if (vb_chat_reads(template, *n)) return *n;
    return NULL;
}

/* What the template cannot be told is refused, unless it says what is so anyway. */
static int tell_template(vbs_ask *a, const vbs_terms *t, const wish *w, json_t *variables, vbs_problem *p) {
    const bool degrees = t->template && vb_chat_reads(t->template, "reasoning_effort");
    const char *name = vbs_thinking_switch(t->template);
    if (degrees && w->effort) json_object_set_new(variables, "reasoning_effort", json_string(w->effort));
    if (name && w->on != UNSAID) json_object_set_new(variables, name, json_boolean(w->on == ON));
    if (w->on != ON || name || (degrees && w->effort)) {
        if (w->on == ON && w->effort && !degrees)
            vbs_ask_warn(a, "%s: the chat template knows thinking on and off only; it is on", w->effort_said);
        return 0;
    }
    return VBS_BAD(p, w->said,
                   "%s: the chat template of this model has no switch for reasoning: leave it out", w->said);
}

int vbs_ask_reasoning(vbs_ask *a, const vbs_terms *t, json_t *variables, vbs_problem *p) {
    wish w = {.on = UNSAID};
    if (read_place(a, p) || want_effort(&w, "reasoning_effort", vbs_get(a->root, "reasoning_effort"), p) ||
        read_switch(a, &w, "enable_thinking", p) || read_switch(a, &w, "think", p) ||
        read_thinking(a, &w, p) || read_object(a, &w, p))
        return -1;
    return tell_template(a, t, &w, variables, p);
}
