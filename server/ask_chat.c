/* ask_chat.c - a conversation's request as the variables of a chat template. See ask.h. */
#include "server/ask_fields.h"
#include "base/json.h"

#include <string.h>

/* chat_template_kwargs: variables of the template by name. Those that have a field of their own are set
 * there. */
static int read_arguments(vbs_ask *a, const vbs_terms *t, json_t *variables, vbs_problem *p) {
    static const char *const own[] = {
        "messages",  "tools",     "add_generation_prompt", "continue_final_message",
        "bos_token", "eos_token", "chat_template",         "chat_template_kwargs",
        NULL};
    json_t *v = json_object_get(a->root, "chat_template_kwargs"), *member;
    const char *key;
    if (!v || json_is_null(v)) return 0;
    if (!json_is_object(v))
        return VBS_BAD(p, "chat_template_kwargs", "chat_template_kwargs: expected an object");
    json_object_foreach(v, key, member) {
        if (vbs_listed(own, key))
            return VBS_BAD(p, "chat_template_kwargs",
                           "chat_template_kwargs.%.40s is no variable that a request sets there", key);
        if (t->template && !vb_chat_reads(t->template, key) && !json_is_null(member))
            vbs_ask_warn(a, "chat_template_kwargs.%.60s ignored: the chat template does not read it", key);
        json_object_set(variables, key, member);
    }
    return 0;
}

/* How the prompt ends: in a turn that is opened for the answer, in one that is gone on with, or as it is. */
static int read_end(vbs_ask *a, const vbs_terms *t, const vbs_last *last, vbs_problem *p) {
    bool opened, open = true, said, go_on = false;
    if (vbs_get_bool(a->root, "add_generation_prompt", &open, &opened, p) ||
        vbs_get_bool(a->root, "continue_final_message", &go_on, &said, p))
        return -1;
    if (last->marked && said && !go_on)
        return VBS_BAD(p, "continue_final_message",
                       "continue_final_message is false, and the last message asks to be gone on with");
    go_on |= last->marked;
    if (last->calls && !opened)
        return VBS_BAD(p, "messages",
                       "messages: the last one calls tools: the results are missing, messages of role tool");
    if (!said && !opened && !go_on && last->assistant && !last->calls) {
        if (!t->continue_final)
            return VBS_BAD(
                p, "messages",
                "messages: the last one is the assistant's: \"continue_final_message\": true (or "
                "\"prefix\": true in it, or --continue-final at the server's start) goes on with it, "
                "\"add_generation_prompt\": true answers it");
        go_on = true;
    }
    if (go_on && opened && open)
        return VBS_BAD(p, "add_generation_prompt",
                       "add_generation_prompt and continue_final_message exclude each other");
    if (go_on && (!last->assistant || last->calls))
        return VBS_BAD(p, "messages",
                       "messages: only a text of the assistant can be gone on with, and the last message %s",
                       last->calls ? "calls tools" : "is not the assistant's");
    a->continue_last = go_on;
    a->open_turn = open && !go_on;
    return 0;
}

/* "YYYY-MM-DD", with or without a time. */
static int read_date(vbs_ask *a, vbs_problem *p) {
    const json_t *v = vbs_get(a->root, "date");
    if (!v || (json_is_string(v) && !json_string_length(v))) return 0;
    a->has_date = json_is_string(v) && vb_chat_date(json_string_value(v), a->date);
    if (a->has_date) return 0;
    return VBS_BAD(p, "date", "date: expected YYYY-MM-DD or \"YYYY-MM-DD HH:MM:SS\"");
}

int vbs_ask_chat(vbs_ask *a, const vbs_terms *t, vbs_problem *p) {
    vbs_last last;
    const json_t *tools = NULL;
    json_t *variables = json_object(), *messages = vbs_ask_messages(a, t, &last, p);
    int rc = !messages ? -1 : vbs_ask_tools(a, t, &tools, p);
    if (!rc) json_object_set(variables, "messages", messages);
    if (!rc && tools) json_object_set(variables, "tools", (json_t *)(uintptr_t)tools);
    if (!rc) rc = read_end(a, t, &last, p);
    if (!rc) rc = vbs_ask_reasoning(a, t, variables, p);
    if (!rc) rc = read_arguments(a, t, variables, p);
    if (!rc) rc = read_date(a, p);
    if (!rc) {
        a->variables = vb_json_write(variables, JSON_COMPACT, &a->n_variables);
        if (!a->variables) rc = vbs_refuse(p, 500, "server_error", NULL, NULL, "out of memory");
    }
    json_decref(messages);
    json_decref(variables);
    /* As text they take a tenth of the memory. */
    json_object_del(a->root, "messages");
    json_object_del(a->root, "tools");
    return rc;
}
