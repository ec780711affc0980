/* test_schema.c - JSON schemas as grammars: every keyword by cases (schema_cases.jsonl), what is refused
 * with its message, random instances against an independent checker (schema_check.c), instances changed
 * at random the same way, and planted mistakes, which the cases must notice. */
#include "base/json.h"
#include "base/rng.h"
#include "grammar/grammar.h"
#include "grammar/machine.h"
#include "grammar/schema.h"
#include "tests/grammar_naive.h"
#include "tests/schema_check.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

/* ---------------------------------------------------------------------------------------- the cases */

static json_t *cases; /* of tests/schema_cases.jsonl */

static int read_cases(void **state) {
    (void)state;
    FILE *f = fopen("tests/schema_cases.jsonl", "rb");
    char *line = NULL;
    size_t room = 0;
    cases = json_array();
    if (!f) return -1;
    for (ssize_t n; (n = getline(&line, &room, f)) > 0;) {
        json_t *c = json_loadb(line, (size_t)n, JSON_ALLOW_NUL, NULL);
        if (!c || json_array_append_new(cases, c)) return -1;
    }
    free(line);
    fclose(f);
    return json_array_size(cases) < 100 ? -1 : 0;
}

static int drop_cases(void **state) {
    (void)state;
    json_decref(cases);
    return 0;
}

static const char *word(const json_t *c, const char *key) {
    return json_string_value(json_object_get(c, key));
}

/* A grammar for the naive reader, and a machine over a copy of it. */
typedef struct {
    vb_grammar *g;
    vbg_machine *m;
    vb_error err;
} compiled;

static int compile(compiled *out, const json_t *schema, const json_t *c) {
    const vbj_options o = {.any_whitespace = json_is_true(json_object_get(c, "any")),
                           .strict = json_is_true(json_object_get(c, "strict"))};
    char *text = json_dumps(schema, JSON_ENCODE_ANY);
    vbg_ir *ir, *copy;
    vbg_node root;
    *out = (compiled){0};
    assert_int_equal(vbg_ir_new(&ir, &out->err), VB_OK);
    int rc = vbj_schema_compile(ir, text, strlen(text), &o, &root, &out->err);
    if (!rc) rc = vbg_ir_finish(ir, root, &out->g, &out->err);
    free(text);
    if (rc) {
        vbg_ir_free(ir);
        return rc;
    }
    assert_int_equal(vbg_ir_copy(&copy, out->g->ir, &out->err), VB_OK);
    assert_int_equal(vbg_machine_new(&out->m, copy, &out->err), VB_OK);
    return VB_OK;
}

static void drop(compiled *c) {
    vbg_machine_free(c->m);
    vb_grammar_close(c->g);
}

static bool in_machine(compiled *c, const char *s, size_t n) {
    const uint32_t at = vbg_advance(c->m, c->m->start, s, n);
    assert_int_equal(c->m->error.code, VB_OK);
    return c->m->states[at].accept;
}

static void judge(const json_t *c, const char *key, bool want, compiled *g) {
    size_t i;
    json_t *text;
    json_array_foreach(json_object_get(c, key), i, text) {
        const char *s = json_string_value(text);
        const size_t n = json_string_length(text);
        if (grammar_naive_match(g->g->ir, g->g->ir->root, s, n) != want)
            fail_msg("%s: %.200s is %s by the naive reader", word(c, "what"), s, want ? "refused" : "taken");
        if (in_machine(g, s, n) != want)
            fail_msg("%s: %.200s is %s", word(c, "what"), s, want ? "refused" : "taken");
    }
}

static void keywords(void **state) {
    (void)state;
    size_t i;
    json_t *c;
    json_array_foreach(cases, i, c) {
        compiled g;
        if (word(c, "refused")) continue;
        if (compile(&g, json_object_get(c, "schema"), c)) fail_msg("%s: %s", word(c, "what"), g.err.message);
        judge(c, "good", true, &g);
        judge(c, "bad", false, &g);
        drop(&g);
    }
}

static void refusals(void **state) {
    (void)state;
    size_t i;
    json_t *c;
    json_array_foreach(cases, i, c) {
        compiled g;
        const char *want = word(c, "refused");
        if (!want) continue;
        if (!compile(&g, json_object_get(c, "schema"), c)) fail_msg("%s: taken", word(c, "what"));
        if (!strstr(g.err.message, want)) fail_msg("%s: %s", word(c, "what"), g.err.message);
    }
}

/* --------------------------------------------------------------------------------- random instances */

enum { LONGEST = 4000 };

static size_t below(uint64_t *r, size_t n) {
    return (size_t)(vb_splitmix64(r) % n);
}

/* Schemas that the checker does not know: formats, $id. */
static bool unchecked(const json_t *c) {
    return json_is_true(json_object_get(c, "unchecked"));
}

/* A byte at random of those that may come; past `tired` bytes rather one that ends what is open. */
static int random_byte(compiled *g, uint32_t at, uint64_t *r, bool tired, uint32_t *next) {
    static const char closing[] = "\"}],:0";
    unsigned char allowed[256];
    uint32_t to[256];
    size_t n = 0;
    for (int b = 0; b < 256; b++) {
        const char c = (char)b;
        to[n] = vbg_advance(g->m, at, &c, 1);
        if (to[n] != VBG_DEAD_STATE) allowed[n++] = (unsigned char)b;
    }
    assert_int_equal(g->m->error.code, VB_OK);
    if (!n) return -1;
    size_t k = below(r, n);
    for (const char *c = closing; tired && *c; c++) {
        size_t i = 0;
        while (i < n && allowed[i] != (unsigned char)*c) i++;
        if (i < n) {
            k = i;
            break;
        }
    }
    *next = to[k];
    return allowed[k];
}

/* A text by drawing bytes until one may be the last and no other may follow, or it is long enough. */
static size_t random_text(compiled *g, uint64_t *r, char *out, size_t tired) {
    uint32_t at = g->m->start;
    for (size_t n = 0; n < LONGEST; n++) {
        const bool done = g->m->states[at].accept;
        if (done && (n > tired || below(r, 4) == 0)) return n;
        const int b = random_byte(g, at, r, n > tired, &at);
        if (b < 0) {
            assert_true(done); /* no dead end */
            return n;
        }
        out[n] = (char)b;
    }
    return LONGEST;
}

static json_t *parse(const char *s, size_t n) {
    json_error_t where;
    json_t *v = json_loadb(
        s, n, JSON_DECODE_ANY | JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES | JSON_DECODE_INT_AS_REAL, &where);
    /* Its keys cannot hold NUL. */
    if (!v && !strstr(where.text, "NUL byte")) fail_msg("no JSON: %.*s: %s", (int)n, s, where.text);
    return v;
}

/* More digits than a double tells apart: the checker cannot say. */
static bool long_number(const char *s, size_t n) {
    size_t run = 0;
    for (size_t i = 0; i < n && run < 16; i++)
        run = s[i] >= '0' && s[i] <= '9' ? run + 1 : s[i] == '.' ? run : 0;
    return run >= 16;
}

static void walks(void **state) {
    (void)state;
    const char *more = getenv("VB_SCHEMA_WALKS");
    const int rounds = more ? atoi(more) : 6;
    size_t i, checked = 0, long_ones = 0;
    json_t *c;
    char text[LONGEST];
    json_array_foreach(cases, i, c) {
        compiled g;
        const json_t *schema = json_object_get(c, "schema");
        if (word(c, "refused")) continue;
        assert_int_equal(compile(&g, schema, c), VB_OK);
        uint64_t r = 1000 + i;
        for (int k = 0; k < rounds; k++) {
            const size_t n = random_text(&g, &r, text, (size_t)(k % 3) * 40);
            if (n == LONGEST) {
                long_ones++;
                continue;
            }
            json_t *v = parse(text, n);
            if (v && !unchecked(c) && !long_number(text, n) && !schema_check(schema, schema, v))
                fail_msg("%s: seed %zu, %.*s", word(c, "what"), 1000 + i, (int)n, text);
            checked += v != NULL;
            json_decref(v);
        }
        drop(&g);
    }
    print_message("%zu random instances checked, %zu too long\n", checked, long_ones);
    assert_true(checked > 50 * (size_t)rounds);
}

/* -------------------------------------------------------------------------------- changed instances */

static json_t *another_scalar(uint64_t *r) {
    switch (below(r, 8)) {
    case 0: return json_null();
    case 1: return json_true();
    case 2: return json_integer((json_int_t)below(r, 20) - 5);
    case 3: return json_real((double)below(r, 12) - 4.5);
    case 4: return json_string("");
    case 5: return json_string("zb");
    case 6: return json_array();
    default: return json_object();
    }
}

static json_t *changed_string(const json_t *v, uint64_t *r) {
    char text[2000];
    const int n = snprintf(text, sizeof text, "%s%s", below(r, 2) ? "a" : "", json_string_value(v));
    if (below(r, 3) == 0 && n > 0) text[n - 1] = 0;
    json_t *s = json_string(text); /* NULL: a character was cut in two */
    return s ? s : json_string("b");
}

/* A copy of v with one change somewhere. Keys keep their order; a new one comes last. */
static json_t *changed(const json_t *v, uint64_t *r) {
    const size_t n = json_is_object(v) ? json_object_size(v) : json_array_size(v);
    const size_t what = below(r, 6), at = n ? below(r, n) : 0;
    if (what == 0) return another_scalar(r);
    if (json_is_integer(v)) { /* at the ends of the range it goes round */
        const uint64_t by = below(r, 2) ? 1 + below(r, 9) : UINT64_MAX - below(r, 9);
        const uint64_t sum = (uint64_t)json_integer_value(v) + by;
        return json_integer((json_int_t)sum);
    }
    if (json_is_real(v)) return json_real(json_real_value(v) + (double)below(r, 5) - 2);
    if (json_is_string(v)) return changed_string(v, r);
    json_t *copy = json_copy((json_t *)(uintptr_t)v);
    if (json_is_array(v)) {
        if (what == 1 || !n)
            json_array_append_new(copy, another_scalar(r));
        else if (what == 2)
            json_array_remove(copy, at);
        else
            json_array_set_new(copy, at, changed(json_array_get(v, at), r));
    } else if (json_is_object(v)) {
        const char *key = NULL;
        json_t *x;
        size_t i = 0;
        if (what == 1 || !n) {
            json_object_set_new(copy, below(r, 2) ? "zz" : "nzs", another_scalar(r));
            return copy;
        }
        json_object_foreach(copy, key, x) if (i++ == at) break;
        if (what == 2)
            json_object_del(copy, key);
        else
            json_object_set_new(copy, key, changed(json_object_get(v, key), r));
    }
    return copy;
}

/* The automaton and the checker judge an instance, its keys in the order given, alike. */
static size_t compare(const json_t *c, compiled *g, const json_t *v) {
    const json_t *schema = json_object_get(c, "schema");
    char *text = json_dumps(v, JSON_ENCODE_ANY | JSON_COMPACT);
    const bool want = schema_check(schema, schema, v), got = in_machine(g, text, strlen(text));
    if (want != got)
        fail_msg("%s: %s is %s, and should not be", word(c, "what"), text, got ? "taken" : "refused");
    free(text);
    return want;
}

static void changes(void **state) {
    (void)state;
    const char *more = getenv("VB_SCHEMA_WALKS");
    const int rounds = more ? 8 * atoi(more) : 40;
    size_t i, k, seen[2] = {0, 0};
    json_t *c, *text;
    json_array_foreach(cases, i, c) {
        compiled g;
        if (word(c, "refused") || unchecked(c)) continue;
        assert_int_equal(compile(&g, json_object_get(c, "schema"), c), VB_OK);
        uint64_t r = 5000 + i;
        json_array_foreach(json_object_get(c, "good"), k, text) {
            json_t *v = json_loads(json_string_value(text), JSON_DECODE_ANY, NULL);
            for (int round = 0; v && round < rounds; round++) {
                json_t *w = changed(v, &r);
                seen[compare(c, &g, w)]++;
                /* Now and then several changes, one upon the other. */
                if (below(&r, 3) == 0) {
                    json_decref(v);
                    v = w;
                } else {
                    json_decref(w);
                }
            }
            json_decref(v);
        }
        drop(&g);
    }
    print_message("%zu changed instances: %zu valid, %zu not\n", seen[0] + seen[1], seen[1], seen[0]);
    assert_true(seen[0] > 1000 && seen[1] > 1000);
}

/* --------------------------------------------------------------------------------- planted mistakes
 *
 * A compiler with a mistake reads a schema as another schema, or takes one text for another. Some case must
 * notice. */

typedef struct {
    const char *what;
    void (*schema)(json_t *s); /* changes one schema object in place */
    void (*text)(char *s);     /* what the mistaken reader sees instead */
    bool any_whitespace, forgets_keys;
} mistake;

static void without(json_t *s, const char *key) {
    if (json_object_get(s, key)) json_object_del(s, key);
}
static void renamed(json_t *s, const char *from, const char *to) {
    json_t *v = json_object_get(s, from);
    if (!v || json_object_get(s, to)) return;
    json_object_set(s, to, v);
    json_object_del(s, from);
}
static void more_by(json_t *s, const char *key, int by) {
    json_t *v = json_object_get(s, key);
    if (json_is_integer(v)) json_object_set_new(s, key, json_integer(json_integer_value(v) + by));
}
/* Only member `keep` (-1: the last) of a list, or with `drop` all but that. */
static void member(json_t *s, const char *key, int keep, bool drop_it) {
    json_t *v = json_object_get(s, key);
    const size_t n = json_array_size(v), k = keep < 0 ? n - 1 : (size_t)keep;
    if (n < 2) return;
    json_t *list = json_array();
    for (size_t i = 0; i < n; i++)
        if ((i == k) != drop_it) json_array_append(list, json_array_get(v, i));
    json_object_set_new(s, key, list);
}
static void pattern_as(json_t *s, const char *before, const char *after, bool strip) {
    const char *p = json_string_value(json_object_get(s, "pattern"));
    char text[400];
    if (!p || strlen(p) > 300) return;
    snprintf(text, sizeof text, "%s%s%s", before, p + (strip && *p == '^'), after);
    size_t n = strlen(text);
    if (strip && n && text[n - 1] == '$') text[n - 1] = 0;
    json_object_set_new(s, "pattern", json_string(text));
}

static void m_required(json_t *s) {
    without(s, "required");
}
static void m_exclusive(json_t *s) {
    renamed(s, "exclusiveMinimum", "minimum");
    renamed(s, "exclusiveMaximum", "maximum");
    if (json_is_boolean(json_object_get(s, "exclusiveMinimum"))) without(s, "exclusiveMinimum");
}
static void m_inclusive(json_t *s) {
    renamed(s, "minimum", "exclusiveMinimum");
    renamed(s, "maximum", "exclusiveMaximum");
}
static void m_any_first(json_t *s) {
    member(s, "anyOf", 0, false);
}
static void m_all_last(json_t *s) {
    member(s, "allOf", -1, false);
}
static void m_one_as_any(json_t *s) {
    renamed(s, "oneOf", "anyOf");
}
static void m_anchored(json_t *s) {
    pattern_as(s, "^(?:", ")$", false);
}
static void m_not_anchored(json_t *s) {
    pattern_as(s, "", "", true);
}
static void m_additional(json_t *s) {
    without(s, "additionalProperties");
}
static void m_pattern_keys(json_t *s) {
    without(s, "patternProperties");
}
static void m_max_length(json_t *s) {
    more_by(s, "maxLength", 1);
}
static void m_min_length(json_t *s) {
    more_by(s, "minLength", -1);
}
static void m_min_items(json_t *s) {
    without(s, "minItems");
}
static void m_max_items(json_t *s) {
    more_by(s, "maxItems", 1);
}
static void m_min_properties(json_t *s) {
    more_by(s, "minProperties", -1);
}
static void m_max_properties(json_t *s) {
    more_by(s, "maxProperties", 1);
}
static void m_enum(json_t *s) {
    member(s, "enum", -1, true);
}
static void m_not(json_t *s) {
    without(s, "not");
}
static void m_multiple(json_t *s) {
    without(s, "multipleOf");
}
static void m_contains(json_t *s) {
    without(s, "contains");
}
static void m_max_contains(json_t *s) {
    without(s, "maxContains");
}
static void m_unique(json_t *s) {
    without(s, "uniqueItems");
}
static void m_depends(json_t *s) {
    without(s, "dependentRequired");
}
static void m_names(json_t *s) {
    without(s, "propertyNames");
}
static void m_prefix(json_t *s) {
    without(s, "prefixItems");
}
static void m_format(json_t *s) {
    without(s, "format");
}
static void m_nullable(json_t *s) {
    without(s, "nullable");
}
static void m_else(json_t *s) {
    without(s, "else");
}
static void m_swapped(json_t *s) {
    renamed(s, "then", "aside");
    renamed(s, "else", "then");
    renamed(s, "aside", "else");
}
static void m_integer(json_t *s) {
    const char *type = json_string_value(json_object_get(s, "type"));
    if (type && strcmp(type, "integer") == 0) json_object_set_new(s, "type", json_string("number"));
}
static void m_beside_ref(json_t *s) {
    json_t *ref = json_incref(json_object_get(s, "$ref"));
    if (ref && !json_object_get(s, "$defs")) {
        json_object_clear(s);
        json_object_set(s, "$ref", ref);
    }
    json_decref(ref);
}

/* Halves of surrogate pairs are characters of their own. */
static void t_surrogates(char *s) {
    for (; *s; s++)
        if (s[0] == '\\' && s[1] == 'u' && (s[2] == 'd' || s[2] == 'D') && s[3] &&
            strchr("89abcdefABCDEF", s[3]))
            memcpy(s + 2, "2028", 4);
}
/* Control characters may stand in strings. */
static void t_controls(char *s) {
    for (; *s; s++)
        if ((unsigned char)*s < ' ') *s = 'x';
}

static const mistake mistakes[] = {
    {.what = "required is forgotten", .schema = m_required},
    {.what = "an exclusive bound is inclusive", .schema = m_exclusive},
    {.what = "a bound is exclusive", .schema = m_inclusive},
    {.what = "anyOf is its first branch", .schema = m_any_first},
    {.what = "allOf is its last branch", .schema = m_all_last},
    {.what = "oneOf is anyOf", .schema = m_one_as_any},
    {.what = "a pattern has to match the whole string", .schema = m_anchored},
    {.what = "^ and $ are forgotten", .schema = m_not_anchored},
    {.what = "additionalProperties is forgotten", .schema = m_additional},
    {.what = "patternProperties is forgotten", .schema = m_pattern_keys},
    {.what = "maxLength is one too large", .schema = m_max_length},
    {.what = "minLength is one too small", .schema = m_min_length},
    {.what = "minItems is forgotten", .schema = m_min_items},
    {.what = "maxItems is one too large", .schema = m_max_items},
    {.what = "minProperties is one too small", .schema = m_min_properties},
    {.what = "maxProperties is one too large", .schema = m_max_properties},
    {.what = "the last value of an enum is lost", .schema = m_enum},
    {.what = "not is forgotten", .schema = m_not},
    {.what = "multipleOf is forgotten", .schema = m_multiple},
    {.what = "contains is forgotten", .schema = m_contains},
    {.what = "maxContains is forgotten", .schema = m_max_contains},
    {.what = "uniqueItems is forgotten", .schema = m_unique},
    {.what = "dependentRequired is forgotten", .schema = m_depends},
    {.what = "propertyNames is forgotten", .schema = m_names},
    {.what = "prefixItems is forgotten", .schema = m_prefix},
    {.what = "format is a note", .schema = m_format},
    {.what = "nullable is forgotten", .schema = m_nullable},
    {.what = "else is forgotten", .schema = m_else},
    {.what = "then and else are swapped", .schema = m_swapped},
    {.what = "an integer is any number", .schema = m_integer},
    {.what = "what stands beside $ref is hidden", .schema = m_beside_ref},
    {.what = "halves of surrogate pairs are characters", .text = t_surrogates},
    {.what = "control characters stand in strings", .text = t_controls},
    {.what = "white space may stand anywhere", .any_whitespace = true},
    {.what = "an additional key may come twice", .forgets_keys = true},
};

static void change_all(json_t *v, void (*change)(json_t *)) {
    const char *key;
    json_t *x;
    size_t i;
    json_array_foreach(v, i, x) change_all(x, change);
    json_object_foreach(v, key, x) change_all(x, change);
    if (json_is_object(v)) change(v);
}

static bool noticed_in(const json_t *c, const mistake *m, compiled *g, const char *key, bool want) {
    size_t i;
    json_t *x;
    json_array_foreach(json_object_get(c, key), i, x) {
        char *s = strdup(json_string_value(x));
        if (m->text) m->text(s);
        const size_t n = m->text ? strlen(s) : json_string_length(x);
        grammar_naive_forgets = m->forgets_keys;
        const bool got =
            m->forgets_keys ? grammar_naive_match(g->g->ir, g->g->ir->root, s, n) : in_machine(g, s, n);
        grammar_naive_forgets = false;
        free(s);
        if (got != want) return true;
    }
    return false;
}

static bool notices(const json_t *c, const mistake *m) {
    compiled g;
    json_t *schema = json_deep_copy(json_object_get(c, "schema")), *options = json_deep_copy(c);
    if (m->schema) change_all(schema, m->schema);
    if (m->any_whitespace) json_object_set_new(options, "any", json_true());
    bool yes = false;
    if (compile(&g, schema, options) == VB_OK) {
        yes = noticed_in(c, m, &g, "good", true) || noticed_in(c, m, &g, "bad", false);
        drop(&g);
    }
    json_decref(schema);
    json_decref(options);
    return yes;
}

static void planted(void **state) {
    (void)state;
    size_t found = 0, n = sizeof mistakes / sizeof *mistakes;
    for (size_t k = 0; k < n; k++) {
        size_t i, by = 0;
        json_t *c;
        json_array_foreach(cases, i, c) if (!word(c, "refused")) by += notices(c, &mistakes[k]);
        print_message("%-45s %zu\n", mistakes[k].what, by);
        found += by > 0;
    }
    print_message("%zu mistakes planted, %zu found\n", n, found);
    assert_int_equal(found, n);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keywords), cmocka_unit_test(refusals), cmocka_unit_test(walks),
        cmocka_unit_test(changes),  cmocka_unit_test(planted),
    };
    return cmocka_run_group_tests_name("schema", tests, read_cases, drop_cases);
}
