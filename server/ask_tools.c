/* ask_tools.c - the tools of a request, and whether they may, must or must not be called. See ask.h. */
#include "server/ask_fields.h"
#include "base/json.h"

#include <string.h>

/* The older API: functions, function_call. Its calls come in other fields of an answer. */
static int check_functions(vbs_ask *a, const vbs_terms *t, vbs_problem *p) {
    const json_t *list = vbs_get(a->root, "functions"), *call = vbs_get(a->root, "function_call");
    const char *word = json_is_string(call) ? json_string_value(call) : "";
    const bool none = !strcmp(word, "none");
    if (list && !json_is_array(list)) return VBS_BAD(p, "functions", "functions: expected a list");
    if (call && !none && strcmp(word, "auto") != 0)
        return VBS_BAD(p, "function_call",
                       "function_call asks for a function to be called: write it as tool_choice");
    if (!json_array_size(list)) return 0;
    if (none || t->ignore_tools) {
        vbs_ask_warn(a, "functions ignored: the model does not see them");
        return 0;
    }
    return VBS_BAD(p, "functions",
                   "functions are of the older API: write them as tools, [{\"type\": \"function\", "
                   "\"function\": {...}}]");
}

static const json_t *tool_name(const json_t *tool) {
    return json_object_get(json_object_get(tool, "function"), "name");
}

static int check_tool(const json_t *list, size_t at, vbs_problem *p) {
    const json_t *tool = json_array_get(list, at), *type = vbs_get(tool, "type"), *name = tool_name(tool),
                 *parameters = vbs_get(json_object_get(tool, "function"), "parameters");
    if (type && (!json_is_string(type) || strcmp(json_string_value(type), "function") != 0))
        return VBS_BAD(p, "tools", "tools[%zu] is of type \"%.40s\"; this server knows functions", at,
                       json_is_string(type) ? json_string_value(type) : "");
    if (!json_is_string(name) || !json_string_length(name))
        return VBS_BAD(p, "tools",
                       "tools[%zu]: expected {\"type\": \"function\", \"function\": {\"name\": ..., "
                       "\"description\": ..., \"parameters\": ...}}",
                       at);
    if (parameters && !json_is_object(parameters))
        return VBS_BAD(p, "tools", "tools[%zu].function.parameters: expected a JSON schema, an object", at);
    if (json_string_length(name) >= sizeof((vbs_ask *)NULL)->tool_name)
        return VBS_BAD(p, "tools", "tools[%zu]: a name of %zu bytes; the limit is %zu", at,
                       json_string_length(name), sizeof((vbs_ask *)NULL)->tool_name - 1);
    for (size_t i = 0; i < at; i++)
        if (json_equal(tool_name(json_array_get(list, i)), name))
            return VBS_BAD(p, "tools", "tools[%zu]: \"%.60s\" is there twice", at, json_string_value(name));
    return 0;
}

static int read_named(vbs_ask *a, const json_t *v, const json_t *list, vbs_problem *p) {
    const json_t *name = tool_name(v), *type = json_object_get(v, "type");
    if (!json_is_string(type) || strcmp(json_string_value(type), "function") != 0 || !json_is_string(name))
        return VBS_BAD(p, "tool_choice",
                       "tool_choice: expected none, auto, required or {\"type\": \"function\", \"function\": "
                       "{\"name\": ...}}");
    for (size_t i = 0; i < json_array_size(list); i++)
        if (json_equal(tool_name(json_array_get(list, i)), name)) {
            a->tool_choice = VBS_TOOLS_NAMED;
            memcpy(a->tool_name, json_string_value(name), json_string_length(name) + 1);
            return 0;
        }
    return VBS_BAD(p, "tool_choice", "tool_choice names \"%.60s\", which is none of the tools",
                   json_string_value(name));
}

static int read_choice(vbs_ask *a, const json_t *list, vbs_problem *p) {
    static const char *const words[] = {"auto", "none", "required"};
    const json_t *v = vbs_get(a->root, "tool_choice");
    if (!v) return 0;
    if (json_is_object(v)) return read_named(a, v, list, p);
    for (int i = 0; i < 3; i++)
        if (json_is_string(v) && !strcmp(json_string_value(v), words[i])) {
            a->tool_choice = (vbs_tool_choice)i;
            if (a->tool_choice == VBS_TOOLS_REQUIRED && !json_array_size(list))
                return VBS_BAD(p, "tool_choice", "tool_choice asks for a call, and there are no tools");
            return 0;
        }
    return VBS_BAD(p, "tool_choice", "tool_choice: expected none, auto, required or a function");
}

/* What this server cannot do with tools. */
static int check_possible(const vbs_ask *a, const vbs_terms *t, vbs_problem *p) {
    if (t->template && (!t->shows_tools || !t->reads_calls))
        return VBS_BAD(p, "tools",
                       "tools: the chat template of this model %s: set tool_choice to \"none\", leave them "
                       "out, or start the server with --ignore-tools",
                       t->shows_tools ? "writes calls in a way that is not known here"
                       : vb_chat_reads(t->template, "functions")
                           ? "wants them as a text in its variable functions (Firefunction's form), which is "
                             "not supported"
                           : "does not show them to the model");
    const bool demanded = a->tool_choice == VBS_TOOLS_REQUIRED || a->tool_choice == VBS_TOOLS_NAMED;
    if (t->template && !t->forces_calls && (demanded || a->strict_tools))
        return VBS_BAD(p, demanded ? "tool_choice" : "tools",
                       "%s, and the form in which this model writes calls cannot be forced here: %s",
                       demanded ? "tool_choice demands a call" : "a tool is strict",
                       demanded ? "use auto" : "leave strict out");
    if (vbs_ask_forces(a) && (a->shape == VBS_SHAPE_GBNF || a->shape == VBS_SHAPE_REGEX))
        return VBS_BAD(p, a->shape_field,
                       "%s beside tools that are demanded or strict: a JSON schema can be, this not",
                       a->shape_field);
    return 0;
}

int vbs_ask_tools(vbs_ask *a, const vbs_terms *t, const json_t **shown, vbs_problem *p) {
    const json_t *list = vbs_get(a->root, "tools");
    bool parallel = true;
    *shown = NULL;
    if (list && !json_is_array(list)) return VBS_BAD(p, "tools", "tools: expected a list");
    if (check_functions(a, t, p) || vbs_get_bool(a->root, "parallel_tool_calls", &parallel, NULL, p))
        return -1;
    const bool off = t->ignore_tools;
    if (read_choice(a, list, p)) return -1;
    if (!json_array_size(list)) return 0;
    /* A request that demands a call is refused also where tools are ignored: text is not what it asks for. */
    const bool demanded = a->tool_choice == VBS_TOOLS_REQUIRED || a->tool_choice == VBS_TOOLS_NAMED;
    if (a->tool_choice == VBS_TOOLS_NONE || (off && !demanded)) {
        if (off) vbs_ask_warn(a, "tools ignored: the model does not see them");
        return 0;
    }
    if (off) return VBS_BAD(p, "tool_choice", "tool_choice demands a call, and this server ignores tools");
    for (size_t i = 0; i < json_array_size(list); i++)
        if (check_tool(list, i, p)) return -1;
    for (size_t i = 0; i < json_array_size(list); i++)
        a->strict_tools |=
            json_is_true(json_object_get(json_object_get(json_array_get(list, i), "function"), "strict"));
    a->one_call = !parallel;
    a->loose_calls = !t->strict_calls;
    a->tools = vb_json_write(list, JSON_COMPACT, &a->n_tools);
    if (!a->tools) return vbs_refuse(p, 500, "server_error", NULL, NULL, "out of memory");
    if (check_possible(a, t, p)) return -1;
    *shown = list;
    return 0;
}
