/* ask_prompt.c - messages of a conversation, prompts of a completion. See ask.h. */
#include "server/ask_fields.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int no_memory(vbs_problem *p) {
    return vbs_refuse(p, 500, "server_error", NULL, NULL, "out of memory");
}

/* "system", "user" or "assistant" for what clients write; NULL for what cannot be rendered. */
static const char *known_role(const json_t *v) {
    const char *role = json_is_string(v) ? json_string_value(v) : "";
    if (!strcmp(role, "developer") || !strcmp(role, "system")) return "system";
    if (!strcmp(role, "user")) return "user";
    return strcmp(role, "assistant") ? NULL : "assistant";
}

static const char *const MESSAGE[] = {"role", "content", "tool_calls", "function_call", "name", NULL};
static const char *const PART[] = {"type", "text", NULL};

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
 * vLLM join them. */
static int read_content(vbs_ask *a, size_t at, const json_t *v, const char **out, vbs_problem *p) {
    if (json_is_string(v)) {
        *out = json_string_value(v);
        return 0;
    }
    if (!json_is_array(v))
        return VBS_BAD(p, "messages", "messages[%zu].content: expected a string or a list of parts", at);
    size_t total = 0, used = 0;
    for (size_t i = 0; i < json_array_size(v); i++) {
        const char *text = part_text(a, json_array_get(v, i), at, i, p);
        if (!text) return -1;
        total += strlen(text) + 1;
    }
    char *joined = malloc(total + 1);
    if (!joined) return no_memory(p);
    for (size_t i = 0; i < json_array_size(v); i++) {
        const char *text = json_string_value(json_object_get(json_array_get(v, i), "text"));
        size_t len = strlen(text);
        if (i) joined[used++] = '\n';
        memcpy(joined + used, text, len);
        used += len;
    }
    joined[used] = 0;
    a->joined[a->n_joined++] = joined;
    *out = joined;
    return 0;
}

static int read_message(vbs_ask *a, const json_t *m, size_t at, vb_chat_message *out, vbs_problem *p) {
    if (!json_is_object(m)) return VBS_BAD(p, "messages", "messages[%zu]: expected an object", at);
    const json_t *role = json_object_get(m, "role"), *content = vbs_get(m, "content");
    out->role = known_role(role);
    if (!out->role)
        return VBS_BAD(
            p, "messages",
            "messages[%zu].role is \"%.40s\"; this server knows system, developer, user and assistant", at,
            json_is_string(role) ? json_string_value(role) : "");
    if (!vbs_is_neutral("", json_object_get(m, "tool_calls"), 0) ||
        !vbs_is_neutral("", json_object_get(m, "function_call"), 0))
        return VBS_BAD(
            p, "messages",
            "messages[%zu] calls a tool; this server cannot show calls and their results to the model, with "
            "--ignore-tools neither: leave these messages out",
            at);
    /* The templates known here show no name, so a client that sends one gets the prompt it gets elsewhere. */
    if (vbs_get(m, "name")) vbs_ask_warn(a, "name in messages ignored: the chat template does not show it");
    char where[40];
    snprintf(where, sizeof where, "messages[%zu]", at);
    if (vbs_ask_inner(a, where, m, VBS_REFUSED_IN_MESSAGE, MESSAGE, p)) return -1;
    if (!content && !strcmp(out->role, "assistant")) {
        out->content = "";
        return 0;
    }
    if (!content) return VBS_BAD(p, "messages", "messages[%zu].content is missing", at);
    return read_content(a, at, content, &out->content, p);
}

int vbs_ask_messages(vbs_ask *a, const vbs_terms *t, vbs_problem *p) {
    const json_t *list = vbs_get(a->root, "messages");
    size_t n = json_array_size(list);
    if (!json_is_array(list)) return VBS_BAD(p, "messages", "messages: expected a list");
    if (n == 0) return VBS_BAD(p, "messages", "messages: the list is empty");
    if (n > VBS_MAX_MESSAGES)
        return VBS_BAD(p, "messages", "messages: %zu of them; the limit is %d", n, VBS_MAX_MESSAGES);
    a->messages = calloc(n + 1, sizeof *a->messages);
    a->joined = calloc(n, sizeof *a->joined);
    if (!a->messages || !a->joined) return no_memory(p);
    const json_t *role = json_object_get(json_array_get(list, 0), "role");
    const char *first = known_role(role);
    if (t->system_prompt && t->system_prompt[0] && (!first || strcmp(first, "system")))
        a->messages[a->n_messages++] = (vb_chat_message){"system", t->system_prompt};
    for (size_t i = 0; i < n; i++) {
        if (read_message(a, json_array_get(list, i), i, &a->messages[a->n_messages], p)) return -1;
        a->n_messages++;
    }
    /* The templates would close it and open a second turn of the assistant,
     * which is not what was asked for. */
    if (!strcmp(a->messages[a->n_messages - 1].role, "assistant"))
        return VBS_BAD(p, "messages",
                       "messages: the last one is the assistant's, and this server does not go on with an "
                       "answer that was "
                       "begun: end with a user message, or send the whole text to /v1/completions");
    return 0;
}

/* A list of token ids as one prompt. */
static int read_ids(vbs_ask *a, const json_t *v, const vbs_terms *t, vbs_problem *p) {
    vbs_prompt *out = &a->prompts[a->n_prompts];
    size_t n = json_array_size(v);
    out->ids = calloc(n, sizeof *out->ids);
    if (!out->ids) return no_memory(p);
    a->n_prompts++;
    out->n = n;
    for (size_t i = 0; i < n; i++) {
        const json_t *e = json_array_get(v, i);
        json_int_t id = json_integer_value(e);
        if (!json_is_integer(e) || id < 0 || id >= t->n_vocab)
            return VBS_BAD(p, "prompt", "prompt: element %zu is no token id; they go from 0 to %d", i,
                           t->n_vocab - 1);
        out->ids[i] = (int32_t)id;
    }
    return 0;
}

static void add_text(vbs_ask *a, const json_t *v) {
    a->prompts[a->n_prompts++] = (vbs_prompt){json_string_value(v), json_string_length(v), NULL, 0};
}

static int read_prompts(vbs_ask *a, const vbs_terms *t, vbs_problem *p) {
    const json_t *v = vbs_get(a->root, "prompt");
    if (!v) return VBS_BAD(p, "prompt", "prompt: there is none");
    bool list = json_is_array(v), ids = list && json_is_number(json_array_get(v, 0));
    size_t n = list && !ids ? json_array_size(v) : 1;
    if ((!list && !json_is_string(v)) || n == 0)
        return VBS_BAD(p, "prompt", "prompt: expected a string, a list of strings, or token ids");
    if (n > VBS_MAX_CHOICES)
        return VBS_BAD(p, "prompt", "prompt: %zu prompts in one request; the limit is %d", n,
                       VBS_MAX_CHOICES);
    a->prompts = calloc(n, sizeof *a->prompts);
    if (!a->prompts) return no_memory(p);
    if (ids) return read_ids(a, v, t, p);
    if (!list) {
        add_text(a, v);
        return 0;
    }
    for (size_t i = 0; i < n; i++) {
        const json_t *e = json_array_get(v, i);
        if (json_is_string(e))
            add_text(a, e);
        else if (!json_is_array(e) || !json_array_size(e))
            return VBS_BAD(p, "prompt", "prompt[%zu]: expected a string or a list of token ids", i);
        else if (read_ids(a, e, t, p))
            return -1;
    }
    return 0;
}

int vbs_ask_prompts(vbs_ask *a, const vbs_terms *t, vbs_problem *p) {
    if (read_prompts(a, t, p)) return -1;
    bool texts = false;
    for (size_t i = 0; i < a->n_prompts; i++) texts |= a->prompts[i].text != NULL;
    /* Ids have been copied; as JSON they take eight times as much. */
    if (!texts) json_object_del(a->root, "prompt");
    return 0;
}
