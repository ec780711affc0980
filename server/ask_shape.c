/* ask_shape.c - what the text of an answer must look like: response_format and the fields that other servers
 * have for the same. One of them at a time. See ask.h. */
#include "server/ask_fields.h"

#include "base/buf.h"
#include "base/json.h"

#include <stdlib.h>
#include <string.h>

static int no_memory(vbs_problem *p) {
    return vbs_refuse(p, 500, "server_error", NULL, NULL, "out of memory");
}

static bool is_empty(const json_t *v) {
    return !v || json_is_null(v) || json_is_false(v) || (json_is_string(v) && !json_string_length(v)) ||
           (json_is_object(v) && !json_object_size(v)) || (json_is_array(v) && !json_array_size(v));
}

static int set(vbs_ask *a, vbs_shape_kind kind, const char *field, char *text, size_t n, vbs_problem *p) {
    if (a->shape != VBS_SHAPE_NONE) {
        free(text);
        return VBS_BAD(p, field, "%s and %s both say what the text must look like: leave one out",
                       a->shape_field, field);
    }
    a->shape = kind;
    a->shape_text = text;
    a->n_shape = n;
    a->shape_field = field;
    return 0;
}

static int set_string(vbs_ask *a, vbs_shape_kind kind, const char *field, const json_t *v, vbs_problem *p) {
    if (!json_is_string(v)) return VBS_BAD(p, field, "%s: expected a string", field);
    const size_t n = json_string_length(v);
    char *text = malloc(n + 1);
    if (!text) return no_memory(p);
    memcpy(text, json_string_value(v), n + 1);
    return set(a, kind, field, text, n, p);
}

/* A schema, as it is or as text. */
static int set_schema(vbs_ask *a, const char *field, const json_t *v, vbs_problem *p) {
    if (json_is_string(v)) return set_string(a, VBS_SHAPE_SCHEMA, field, v, p);
    if (!json_is_object(v) && !json_is_boolean(v))
        return VBS_BAD(p, field, "%s: expected a JSON schema, an object", field);
    size_t n = 0;
    char *text = vb_json_write(v, JSON_COMPACT | JSON_ENCODE_ANY, &n);
    return text ? set(a, VBS_SHAPE_SCHEMA, field, text, n, p) : no_memory(p);
}

/* One of some texts, as a regular expression. */
static int set_choice(vbs_ask *a, const char *field, const json_t *list, vbs_problem *p) {
    vb_buf b = {0};
    if (!json_is_array(list)) return VBS_BAD(p, field, "%s: expected a list of strings", field);
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *v = json_array_get(list, i);
        if (!json_is_string(v)) {
            vb_buf_free(&b);
            return VBS_BAD(p, field, "%s[%zu]: expected a string", field, i);
        }
        if (i) vb_buf_puts(&b, "|");
        for (const char *s = json_string_value(v); *s; s++) {
            if (strchr("\\^$.|?*+()[]{}/-", *s)) vb_buf_puts(&b, "\\");
            vb_buf_add(&b, s, 1);
        }
    }
    size_t n = 0;
    char *text = vb_buf_take(&b, &n);
    return text ? set(a, VBS_SHAPE_REGEX, field, text, n, p) : no_memory(p);
}

static int set_object(vbs_ask *a, const char *field, vbs_problem *p) {
    return set(a, VBS_SHAPE_OBJECT, field, NULL, 0, p);
}

/* {"type": "text" | "json_object" | "json_schema" | "regex" | "grammar"}; llama.cpp's json_object may have a
 * schema. */
static int read_format(vbs_ask *a, vbs_problem *p) {
    static const char field[] = "response_format";
    const json_t *v = vbs_get(a->root, field), *inner, *schema;
    if (is_empty(v)) return 0;
    const json_t *type = json_object_get(v, "type");
    const char *word = json_is_string(type) ? json_string_value(type) : "";
    if (!strcmp(word, "text")) return 0;
    inner = vbs_get(v, "json_schema");
    schema = vbs_get(inner ? inner : v, "schema");
    if (!strcmp(word, "json_object"))
        return is_empty(schema) ? set_object(a, field, p) : set_schema(a, field, schema, p);
    if (!strcmp(word, "regex")) return set_string(a, VBS_SHAPE_REGEX, field, vbs_get(v, "pattern"), p);
    if (!strcmp(word, "grammar")) return set_string(a, VBS_SHAPE_GBNF, field, vbs_get(v, "grammar"), p);
    if (strcmp(word, "json_schema") != 0)
        return VBS_BAD(
            p, field,
            "response_format: expected {\"type\": ...} of text, json_object, json_schema, regex or grammar, "
            "not \"%.40s\"",
            word);
    if (!schema)
        return VBS_BAD(
            p, field,
            "response_format: json_schema needs the schema: {\"type\": \"json_schema\", \"json_schema\": "
            "{\"name\": ..., \"schema\": {...}}}");
    a->shape_strict = json_is_true(json_object_get(inner, "strict"));
    return set_schema(a, field, schema, p);
}

/* One member of `o`: all servers' names for the same. `prefix` names the object in messages. */
static int read_members(vbs_ask *a, const json_t *o, const char *const names[6], vbs_problem *p) {
    const json_t *v;
    int rc = 0;
    if (!is_empty(v = json_object_get(o, names[0]))) rc = set_schema(a, names[0], v, p);
    if (!rc && !is_empty(v = json_object_get(o, names[1])))
        rc = set_string(a, VBS_SHAPE_REGEX, names[1], v, p);
    if (!rc && !is_empty(v = json_object_get(o, names[2]))) rc = set_choice(a, names[2], v, p);
    if (!rc && !is_empty(v = json_object_get(o, names[3])))
        rc = set_string(a, VBS_SHAPE_GBNF, names[3], v, p);
    if (!rc && !is_empty(v = json_object_get(o, names[4]))) {
        if (!json_is_boolean(v)) return VBS_BAD(p, names[4], "%s: expected true or false", names[4]);
        rc = set_object(a, names[4], p);
    }
    return rc;
}

int vbs_ask_shape(vbs_ask *a, vbs_problem *p) {
    static const char *const guided[6] = {"guided_json",    "guided_regex",       "guided_choice",
                                          "guided_grammar", "guided_json_object", NULL};
    static const char *const inner[6] = {"json", "regex", "choice", "grammar", "json_object", NULL};
    static const char *const plain[6] = {"json_schema", "regex", "choices", "grammar", "json_object", NULL};
    const json_t *v = vbs_get(a->root, "structured_outputs"), *word = vbs_get(a->root, "format");
    if (!is_empty(v) && !json_is_object(v))
        return VBS_BAD(p, "structured_outputs", "structured_outputs: expected an object");
    if (read_format(a, p) || read_members(a, a->root, guided, p) || read_members(a, a->root, plain, p) ||
        (v && read_members(a, v, inner, p)))
        return -1;
    if (json_is_string(word) && !strcmp(json_string_value(word), "json")) {
        if (set_object(a, "format", p)) return -1;
    } else if (json_is_object(word) && json_object_size(word)) {
        if (set_schema(a, "format", word, p)) return -1;
    } else if (!is_empty(word)) {
        return VBS_BAD(p, "format", "format: expected \"json\" or a JSON schema");
    }
    word = vbs_get(a->root, "json_whitespace");
    if (!word) return 0;
    const char *how = json_is_string(word) ? json_string_value(word) : "";
    if (strcmp(how, "any") != 0 && strcmp(how, "compact") != 0)
        return VBS_BAD(p, "json_whitespace", "json_whitespace: expected compact or any");
    a->shape_whitespace = !strcmp(how, "any");
    return 0;
}
