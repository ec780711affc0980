/* calls.c - an answer that calls tools as a grammar: the text around calls is the template's
 * (vb_call_format), the names are those of the request's tools, the arguments are what their schemas say.
 *
 *   calls = open call (separator call)* close        call = begin NAME between ARGUMENTS end
 *
 * Where calls are demanded the answer is `calls`. Where they are not, it is text in which no call begins, and
 * calls may follow: from the marker on, the answer is this grammar's. */
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "base/json.h"
#include "grammar/grammar.h"
#include "grammar/schema.h"

typedef struct maker {
    vbg_ir *ir;
    const vb_call_format *f;
    const vb_calls_wanted *w;
    vbj_options json;
} maker;

static vbg_node text(maker *m, const char *s) {
    return vbg_text(m->ir, s, strlen(s));
}

/* Text of the format; the byte 1 stands for a call's id, nine letters and digits or a number. */
static vbg_node marked(maker *m, const char *s) {
    static const uint64_t digits[4] = {(uint64_t)0x3ff << 48, 0, 0, 0};
    static const uint64_t alnum[4] = {(uint64_t)0x3ff << 48, 0x07fffffe07fffffe, 0, 0};
    vbg_node all = VBG_EMPTY;
    for (;;) {
        const char *mark = strchr(s, 1);
        if (!mark) return vbg_seq(m->ir, all, text(m, s));
        all = vbg_seq(m->ir, all, vbg_text(m->ir, s, (size_t)(mark - s)));
        const vbg_node id = m->f->id_counts ? vbg_repeat(m->ir, vbg_byte_set(m->ir, digits), 1, 3)
                                            : vbg_repeat(m->ir, vbg_byte_set(m->ir, alnum), 9, 9);
        all = vbg_seq(m->ir, all, id);
        s = mark + 1;
    }
}

/* In a rule of its own: lexemes end with it. */
static vbg_node as_rule(maker *m, const char *name, vbg_node body) {
    const uint32_t rule = vbg_rule_new(m->ir, name);
    vbg_rule_set(m->ir, rule, body);
    return vbg_rule(m->ir, rule);
}

static int arguments(maker *m, const json_t *function, bool by_schema, vbg_node *out, vb_error *err) {
    const json_t *schema = json_object_get(function, "parameters");
    const char *name = json_string_value(json_object_get(function, "name"));
    char *s = NULL;
    size_t n = 0;
    int rc;
    if (!by_schema || !json_is_object(schema)) {
        rc = vbj_object_compile(m->ir, &m->json, out, err);
    } else {
        if (!(s = vb_json_write(schema, JSON_COMPACT, &n)))
            return vb_fail(err, VB_ERR_MEMORY, "out of memory for the schema of a tool");
        vb_error why = {0};
        rc = vbj_schema_compile(m->ir, s, n, &m->json, out, &why);
        free(s);
        if (rc) return vb_fail(err, rc, "the parameters of %.80s: %s", name, why.message);
    }
    if (!rc) *out = as_rule(m, name, *out);
    return rc;
}

/* Bytes that readers of calls take for a name's where nothing closes it. */
static bool in_name(unsigned char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c >= 0x80 ||
           strchr("_-./", c);
}

/* A tool's name as the format has it: a member of an object is a JSON string, elsewhere nothing escapes. */
static int tool_name(maker *m, const json_t *name, vbg_node *out, vb_error *err) {
    const char *s = json_string_value(name);
    if (m->f->style != VB_CALLS_MEMBERS) {
        for (const char *c = s; *c; c++)
            if (!in_name((unsigned char)*c))
                return vb_fail(err, VB_ERR_UNSUPPORTED,
                               "the tool \"%.80s\": calls of this model can only be demanded of tools whose "
                               "names are letters, digits, _ - . and /: rename it, or use auto",
                               s);
        *out = text(m, s);
        return VB_OK;
    }
    size_t n = 0;
    char *quoted = vb_json_write(name, JSON_ENCODE_ANY, &n);
    if (!quoted) return vb_fail(err, VB_ERR_MEMORY, "out of memory for the name of a tool");
    *out = vbg_text(m->ir, quoted + 1, n - 2);
    free(quoted);
    return VB_OK;
}

/* One call, of any of the tools that may be called. */
static int one_call(maker *m, const json_t *tools, vbg_node *out, vb_error *err) {
    *out = VBG_NONE;
    for (size_t i = 0; i < json_array_size(tools); i++) {
        const json_t *function = json_object_get(json_array_get(tools, i), "function");
        const json_t *name = json_object_get(function, "name");
        vbg_node args = VBG_NONE, written = VBG_NONE;
        if (!json_is_string(name)) return vb_fail(err, VB_ERR_ARGUMENT, "tools[%zu] has no function.name", i);
        if (m->w->name && strcmp(m->w->name, json_string_value(name))) continue;
        const bool by_schema = m->w->required || json_is_true(json_object_get(function, "strict"));
        int rc = arguments(m, function, by_schema, &args, err);
        if (!rc) rc = tool_name(m, name, &written, err);
        if (rc) return rc;
        const vbg_node head = vbg_seq(m->ir, written, marked(m, m->f->between));
        *out = vbg_alt(m->ir, *out, vbg_seq(m->ir, head, vbg_seq(m->ir, args, marked(m, m->f->end))));
    }
    *out = vbg_seq(m->ir, marked(m, m->f->begin), *out);
    return VB_OK;
}

/* Text in which `marker` does not come. */
static vbg_node free_of(maker *m, const char *marker, size_t n) {
    const vbg_node inside = vbg_seq(m->ir, VBG_ALL, vbg_seq(m->ir, vbg_text(m->ir, marker, n), VBG_ALL));
    return vbg_not(m->ir, inside);
}

/* The beginning of what opens a call: up to where its marker closes. */
static size_t marker_length(const char *s) {
    const size_t n = strcspn(s, ">]\n");
    return s[n] && s[n] != '\n' ? n + 1 : n ? n : strlen(s);
}

static int build(maker *m, const json_t *tools, vbg_node *root, vb_error *err) {
    const vb_call_format *f = m->f;
    const vb_calls_wanted *w = m->w;
    vbg_node call, calls;
    int rc = one_call(m, tools, &call, err);
    if (rc) return rc;
    call = as_rule(m, "call", call);
    calls = call;
    if (!w->one && f->parallel)
        calls =
            vbg_seq(m->ir, call, vbg_repeat(m->ir, vbg_seq(m->ir, text(m, f->separator), call), 0, VBG_INF));
    calls = vbg_seq(m->ir, text(m, f->open), vbg_seq(m->ir, calls, text(m, f->close)));
    if (w->required) {
        *root = calls;
        return VB_OK;
    }
    if (w->content) {
        vbg_node content;
        rc = w->content_kind == VB_GRAMMAR_JSON_OBJECT
                 ? vbj_object_compile(m->ir, &m->json, &content, err)
                 : vbj_schema_compile(m->ir, w->content, w->n_content, &m->json, &content, err);
        if (!rc) *root = vbg_alt(m->ir, as_rule(m, "content", content), calls);
        return rc;
    }
    const char *opening = *f->open ? f->open : f->begin;
    const vbg_node words = as_rule(m, "text", free_of(m, opening, marker_length(opening)));
    *root = vbg_seq(m->ir, words, vbg_alt(m->ir, VBG_EMPTY, calls));
    return VB_OK;
}

static void hash_wanted(vb_grammar *g, const vb_call_format *f, const vb_calls_wanted *w,
                        const vb_grammar_params *p) {
    const char *const texts[] = {
        f->open, f->begin, f->between, f->end, f->separator, f->close, w->name ? w->name : ""};
    XXH128_canonical_t c;
    XXH128_hash_t h = XXH3_128bits(w->tools, w->n_tools);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        h = XXH3_128bits_withSeed(texts[i], strlen(texts[i]), h.low64 + i);
    const uint8_t flags[6] = {w->one,    w->required, w->content != NULL, p->any_whitespace,
                              p->strict, f->id_counts};
    h = XXH3_128bits_withSeed(flags, sizeof flags, h.low64);
    if (w->content) h = XXH3_128bits_withSeed(w->content, w->n_content, h.low64 ^ h.high64);
    XXH128_canonicalFromHash(&c, h);
    memcpy(g->hash, c.digest, sizeof g->hash);
}

int vb_grammar_open_calls(vb_grammar **out, const vb_call_format *f, const vb_calls_wanted *w,
                          const vb_grammar_params *p, vb_error *err) {
    const vb_grammar_params defaults = {0};
    vbg_node root = VBG_NONE;
    vb_grammar *g = NULL;
    vb_begin(err);
    if (!p) p = &defaults;
    const bool named = f->style == VB_CALLS_NAMED && !(f->everyone && *f->everyone);
    if (f->style != VB_CALLS_MEMBERS && !named)
        return vb_fail(
            err, VB_ERR_UNSUPPORTED,
            "calls are forced where their arguments are a JSON object; this model's template writes them "
            "otherwise");
    json_t *tools = vb_json_read(w->tools, w->n_tools, 0, NULL);
    maker m = {.f = f, .w = w, .json = {.any_whitespace = p->any_whitespace, .strict = p->strict}};
    int rc = !json_is_array(tools) ? vb_fail(err, VB_ERR_FORMAT, "tools: expected a list of functions")
                                   : vbg_ir_new(&m.ir, err);
    if (!rc) rc = build(&m, tools, &root, err);
    if (!rc) rc = vbg_ir_finish(m.ir, root, &g, err);
    json_decref(tools);
    if (rc) {
        vbg_ir_free(m.ir);
        return rc;
    }
    hash_wanted(g, f, w, p);
    *out = g;
    return VB_OK;
}
