/* ask_messages.c - messages of a conversation, as clients write them and as a template takes them: the same,
 * but that contents are one text and that names which mean the same become one. See ask.h. */
#include "server/ask_fields.h"

#include <stdio.h>
#include <string.h>

static int no_memory(vbs_problem *p) {
    return vbs_refuse(p, 500, "server_error", NULL, NULL, "out of memory");
}

/* What a template knows a role as; NULL for what cannot be rendered. */
static const char *known_role(const json_t *v) {
    static const char *const same[] = {"system", "user", "assistant", "tool", NULL};
    const char *role = json_is_string(v) ? json_string_value(v) : "";
    if (!strcmp(role, "developer")) return "system";
    for (const char *const *s = same; *s; s++)
        if (!strcmp(role, *s)) return *s;
    return NULL;
}

/* Fields that are read here. `thoughts` are names of the same thing, the first one of which a template is
 * given. */
static const char *const MESSAGE[] = {"role",          "content",      "tool_calls",
                                      "function_call", "name",         "reasoning_content",
                                      "reasoning",     "tool_call_id", NULL};
static const char *const ASSISTANT[] = {"role",   "content",           "tool_calls", "function_call", "name",
                                        "prefix", "reasoning_content", "reasoning",  "partial",       NULL};
static const char *const PART[] = {"type", "text", NULL};

/* ---------------------------------------------------------------------------------------------- contents */

/* The text of one part. */
static const char *part_text(vbs_ask *a, const json_t *part, size_t at, size_t i, vbs_problem *p) {
    char where[64];
    const json_t *type = json_object_get(part, "type"), *text = json_object_get(part, "text");
    const char *name = json_is_string(type) ? json_string_value(type) : NULL;
    if (name && strcmp(name, "text") && strcmp(name, "input_text") && strcmp(name, "output_text")) {
        VBS_BAD(p, "messages",
                "messages[%zu].content[%zu] is a part of type \"%.40s\"; this server reads text only", at, i,
                name);
        return NULL;
    }
    if (!name || !json_is_string(text)) {
        VBS_BAD(p, "messages", "messages[%zu].content[%zu]: expected {\"type\": \"text\", \"text\": ...}", at,
                i);
        return NULL;
    }
    snprintf(where, sizeof where, "messages[%zu].content[%zu]", at, i);
    return vbs_ask_inner(a, where, part, VBS_REFUSED_IN_PART, PART, p) ? NULL : json_string_value(text);
}

/* The content of message `at`: a string, or parts of text with a line break between them, as llama.cpp and
 * vLLM join them. To be released. */
static json_t *read_content(vbs_ask *a, size_t at, const json_t *v, vbs_problem *p) {
    if (json_is_string(v)) return json_incref((json_t *)(uintptr_t)v);
    if (!json_is_array(v)) {
        VBS_BAD(p, "messages", "messages[%zu].content: expected a string or a list of parts", at);
        return NULL;
    }
    size_t total = 0, used = 0;
    for (size_t i = 0; i < json_array_size(v); i++) {
        const char *text = part_text(a, json_array_get(v, i), at, i, p);
        if (!text) return NULL;
        total += strlen(text) + 1;
    }
    char *joined = malloc(total + 1);
    for (size_t i = 0; joined && i < json_array_size(v); i++) {
        const char *text = json_string_value(json_object_get(json_array_get(v, i), "text"));
        size_t len = strlen(text);
        if (i) joined[used++] = '\n';
        memcpy(joined + used, text, len);
        used += len;
    }
    json_t *out = joined ? json_stringn_nocheck(joined, used) : NULL;
    free(joined);
    if (!out) no_memory(p);
    return out;
}

/* ------------------------------------------------------------------------------------------------- calls */

static int check_call(const json_t *call, size_t at, size_t i, vbs_problem *p) {
    const json_t *f = json_object_get(call, "function"), *name = json_object_get(f, "name"),
                 *given = json_object_get(f, "arguments");
    if (!json_is_object(f) || !json_is_string(name) || !json_string_length(name))
        return VBS_BAD(p, "messages",
                       "messages[%zu].tool_calls[%zu]: expected {\"type\": \"function\", \"id\": ..., "
                       "\"function\": {\"name\": ..., \"arguments\": ...}}",
                       at, i);
    if (given && !json_is_string(given) && !json_is_object(given))
        return VBS_BAD(p, "messages",
                       "messages[%zu].tool_calls[%zu].function.arguments: expected a string of JSON or an "
                       "object",
                       at, i);
    return 0;
}

/* As the API has them, without what clients add when they put them together from a stream ("index"). */
static json_t *read_calls(const json_t *list, size_t at, vbs_problem *p) {
    if (!json_is_array(list)) {
        VBS_BAD(p, "messages", "messages[%zu].tool_calls: expected a list", at);
        return NULL;
    }
    json_t *out = json_array();
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *call = json_array_get(list, i), *f = json_object_get(call, "function"),
                     *given = json_object_get(f, "arguments"), *id = json_object_get(call, "id");
        if (check_call(call, at, i, p)) {
            json_decref(out);
            return NULL;
        }
        json_t *one = json_object();
        if (json_is_string(id)) json_object_set(one, "id", (json_t *)(uintptr_t)id);
        json_object_set_new(one, "type", json_string("function"));
        json_object_set_new(one, "function",
                            json_pack("{sO sO*}", "name", json_object_get(f, "name"), "arguments", given));
        json_array_append_new(out, one);
    }
    if (!out) no_memory(p);
    return out;
}

/* ---------------------------------------------------------------------------------------------- messages */

static int check_message(vbs_ask *a, const vbs_terms *t, const json_t *m, size_t at, const char *role,
                         vbs_problem *p) {
    char where[40];
    const bool assistant = !strcmp(role, "assistant");
    const json_t *calls = json_object_get(m, "tool_calls");
    if (!vbs_is_neutral("", json_object_get(m, "function_call"), 0))
        return VBS_BAD(
            p, "messages",
            "messages[%zu].function_call is of the older API: write the call as tool_calls and its "
            "result as a message of role tool",
            at);
    if (!vbs_is_neutral("", calls, 0) && !assistant)
        return VBS_BAD(p, "messages", "messages[%zu].tool_calls: only the assistant calls tools", at);
    if (!vbs_is_neutral("", calls, 0) && !t->reads_calls)
        return VBS_BAD(p, "messages",
                       "messages[%zu] calls a tool, and the chat template of this model does not show calls: "
                       "leave these messages out",
                       at);
    snprintf(where, sizeof where, "messages[%zu]", at);
    return vbs_ask_inner(a, where, m, VBS_REFUSED_IN_MESSAGE, assistant ? ASSISTANT : MESSAGE, p);
}

/* The members besides role and content, of one that passed the checks. */
static int read_members(const json_t *m, json_t *out, size_t at, vbs_problem *p) {
    static const char *const texts[][2] = {{"reasoning_content", "reasoning_content"},
                                           {"reasoning", "reasoning_content"},
                                           {"tool_call_id", "tool_call_id"},
                                           {"name", "name"}};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        const json_t *v = vbs_get(m, texts[i][0]);
        if (!v || (json_is_string(v) && !json_string_length(v)) || json_object_get(out, texts[i][1]))
            continue;
        if (!json_is_string(v))
            return VBS_BAD(p, "messages", "messages[%zu].%s: expected a string", at, texts[i][0]);
        json_object_set(out, texts[i][1], (json_t *)(uintptr_t)v);
    }
    const json_t *calls = json_object_get(m, "tool_calls");
    if (vbs_is_neutral("", calls, 0)) return 0;
    json_t *list = read_calls(calls, at, p);
    if (!list) return -1;
    json_object_set_new(out, "tool_calls", list);
    return 0;
}

/* To be released; NULL with *p. */
static json_t *read_message(vbs_ask *a, const vbs_terms *t, const json_t *m, size_t at, vbs_problem *p) {
    const json_t *role = json_object_get(m, "role"), *content = vbs_get(m, "content");
    const char *known = known_role(role);
    json_t *out = NULL, *text;
    if (!json_is_object(m)) {
        VBS_BAD(p, "messages", "messages[%zu]: expected an object", at);
        return NULL;
    }
    if (!known) {
        VBS_BAD(p, "messages",
                "messages[%zu].role is \"%.40s\"; this server knows system, developer, user, assistant and "
                "tool",
                at, json_is_string(role) ? json_string_value(role) : "");
        return NULL;
    }
    if (check_message(a, t, m, at, known, p)) return NULL;
    const bool calls = !vbs_is_neutral("", json_object_get(m, "tool_calls"), 0);
    if (!content && strcmp(known, "assistant") != 0) {
        VBS_BAD(p, "messages", "messages[%zu].content is missing", at);
        return NULL;
    }
    /* Templates tell a call without a text by a content that is none. */
    text = content ? read_content(a, at, content, p) : calls ? json_null() : json_string("");
    if (!text) return NULL;
    out = json_pack("{ss so}", "role", known, "content", text);
    if (!out) no_memory(p);
    if (!out || read_members(m, out, at, p)) {
        json_decref(out);
        return NULL;
    }
    return out;
}

static void describe_last(const json_t *m, vbs_last *last) {
    const char *const *marks = (const char *const[]){"prefix", "partial", NULL};
    const json_t *role = json_object_get(m, "role");
    *last = (vbs_last){.assistant = json_is_string(role) && !strcmp(json_string_value(role), "assistant"),
                       .calls = !vbs_is_neutral("", json_object_get(m, "tool_calls"), 0)};
    for (; *marks; marks++) last->marked |= json_is_true(json_object_get(m, *marks));
}

/* "prefix" and "partial" ask for the answer to be gone on with: of the last message only. */
static int check_marks(const json_t *list, vbs_problem *p) {
    static const char *const marks[] = {"prefix", "partial"};
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *m = json_array_get(list, i);
        for (size_t k = 0; k < 2; k++) {
            const json_t *v = vbs_get(m, marks[k]);
            if (v && !json_is_boolean(v))
                return VBS_BAD(p, "messages", "messages[%zu].%s: expected true or false", i, marks[k]);
            if (json_is_true(v) && i + 1 < json_array_size(list))
                return VBS_BAD(p, "messages", "messages[%zu].%s: only the last message can be gone on with",
                               i, marks[k]);
        }
    }
    return 0;
}

json_t *vbs_ask_messages(vbs_ask *a, const vbs_terms *t, vbs_last *last, vbs_problem *p) {
    const json_t *list = vbs_get(a->root, "messages");
    const size_t n = json_array_size(list);
    json_t *out = NULL, *one;
    if (!json_is_array(list))
        VBS_BAD(p, "messages", "messages: expected a list");
    else if (n == 0)
        VBS_BAD(p, "messages", "messages: the list is empty");
    else if (n > VBS_MAX_MESSAGES)
        VBS_BAD(p, "messages", "messages: %zu of them; the limit is %d", n, VBS_MAX_MESSAGES);
    else if (!check_marks(list, p) && !(out = json_array()))
        no_memory(p);
    if (!out) return NULL;
    const char *first = known_role(json_object_get(json_array_get(list, 0), "role"));
    if (t->system_prompt && t->system_prompt[0] && (!first || strcmp(first, "system")))
        json_array_append_new(out, json_pack("{ss ss}", "role", "system", "content", t->system_prompt));
    for (size_t i = 0; i < n; i++) {
        one = read_message(a, t, json_array_get(list, i), i, p);
        if (!one) {
            json_decref(out);
            return NULL;
        }
        json_array_append_new(out, one);
    }
    describe_last(json_array_get(list, n - 1), last);
    return out;
}
