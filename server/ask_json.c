/* ask_json.c - the JSON of a body: limits that hold before anything is allocated, and errors in words about
 * the request. */
#include "server/ask.h"
#include "base/json.h"

#include <stdio.h>
#include <string.h>

typedef struct scan {
    int depth, deepest;
    size_t values, containers;
} scan;

/* Counts what the parser would make of a text, true JSON or not, without making it: depth, because Jansson
 * reads by recursion, and values, because each takes up to a hundred times its length in memory ("{}" 240
 * bytes). Every value but the first of its container follows a comma or a colon. */
static scan count(const char *s, size_t n) {
    scan c = {0};
    bool text = false;
    for (size_t i = 0; i < n; i++) {
        if (text) {
            if (s[i] == '\\')
                i++;
            else if (s[i] == '"')
                text = false;
            continue;
        }
        switch (s[i]) {
        case '"': text = true; break;
        case '{':
        case '[':
            c.values++;
            c.containers++;
            if (++c.depth > c.deepest) c.deepest = c.depth;
            break;
        case '}':
        case ']': c.depth--; break;
        case ',':
        case ':': c.values++; break;
        default: break;
        }
    }
    return c;
}

/* The key whose value holds byte `at`, by looking back for "KEY":. False if there is none near. */
static bool key_before(const char *s, size_t at, char *key, size_t size) {
    size_t end = at;
    while (end > 0 && s[end - 1] != ':') {
        if (at - end > 64 || strchr(",{}", s[end - 1])) return false;
        end--;
    }
    if (!end) return false;
    for (end--; end > 0 && s[end - 1] != '"'; end--)
        if (!strchr(" \t\r\n", s[end - 1])) return false;
    if (!end) return false;
    size_t from = --end;
    while (from > 0 && s[from - 1] != '"') from--;
    if (!from || end - from >= size) return false;
    memcpy(key, s + from, end - from);
    key[end - from] = 0;
    return true;
}

static int too_large_number(const char *body, const json_error_t *e, vbs_problem *p) {
    char key[64];
    if (!key_before(body, (size_t)(e->position > 0 ? e->position - 1 : 0), key, sizeof key))
        return VBS_BAD(p, NULL,
                       "the body is not the JSON of a request: line %d, column %d: a number is too large: "
                       "whole numbers go "
                       "to 2^63 - 1, others to 1.8e308",
                       e->line, e->column);
    return VBS_BAD(p, key, "%s: the number is too large: %s at most 2^63 - 1%s", key,
                   strcmp(key, "seed") ? "whole numbers are" : "a seed is",
                   strcmp(key, "seed") ? ", others at most 1.8e308" : "; -1 draws one");
}

/* Jansson's message tells of its own flags and functions in places; those are said otherwise. */
static int broken(const char *body, const json_error_t *e, vbs_problem *p) {
    const char *why = e->text;
    char twice[JSON_ERROR_TEXT_LENGTH + 40];
    switch (json_error_code(e)) {
    case json_error_out_of_memory: return vbs_refuse(p, 500, "server_error", NULL, NULL, "out of memory");
    case json_error_numeric_overflow: return too_large_number(body, e, p);
    case json_error_null_character: why = "\\u0000 (NUL) is not taken in a text"; break;
    case json_error_null_byte_in_key: why = "\\u0000 (NUL) is not taken in a key"; break;
    case json_error_invalid_utf8: why = "the text is not UTF-8"; break;
    case json_error_premature_end_of_input: why = "it ends in the middle of a value"; break;
    case json_error_end_of_input_expected: why = "something follows after the object"; break;
    case json_error_stack_overflow: why = "it is nested too deeply"; break;
    case json_error_duplicate_key: {
        const char *near = strstr(e->text, " near ");
        snprintf(twice, sizeof twice, "a key is there twice (duplicate)%s", near ? near : "");
        why = twice;
        break;
    }
    default: break;
    }
    return VBS_BAD(p, NULL, "the body is not the JSON of a request: line %d, column %d: %s", e->line,
                   e->column, why);
}

json_t *vbs_json_read(const char *body, size_t n, vbs_problem *p) {
    json_error_t e;
    if (n >= 3 && !memcmp(body, "\xEF\xBB\xBF", 3)) { /* a byte order mark, as PowerShell and .NET write it */
        body += 3;
        n -= 3;
    }
    if (!n) {
        VBS_BAD(p, NULL, "the body is empty: it must be a JSON object");
        return NULL;
    }
    const scan c = count(body, n);
    if (c.deepest > VBS_MAX_DEPTH) {
        VBS_BAD(p, NULL, "the body is JSON nested deeper than %d levels", VBS_MAX_DEPTH);
        return NULL;
    }
    if (c.values > VBS_MAX_VALUES || c.containers > VBS_MAX_CONTAINERS) {
        vbs_refuse(p, 413, "invalid_request_error", "body_too_complex", NULL,
                   "the body holds %zu JSON values, %zu of them lists and objects; the limits are %d and %d",
                   c.values, c.containers, VBS_MAX_VALUES, VBS_MAX_CONTAINERS);
        return NULL;
    }
    json_t *root = vb_json_read(body, n, JSON_REJECT_DUPLICATES, &e);
    if (!root) {
        broken(body, &e, p);
        return NULL;
    }
    if (!json_is_object(root)) {
        json_decref(root);
        VBS_BAD(p, NULL, "the body must be a JSON object");
        return NULL;
    }
    return root;
}
