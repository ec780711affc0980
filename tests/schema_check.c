/* schema_check.c - see schema_check.h. */
#include "tests/schema_check.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <math.h>
#include <pcre2.h>
#include <stdlib.h>
#include <string.h>

static const json_t *get(const json_t *schema, const char *key) {
    return json_object_get(schema, key);
}

static bool is_integer(const json_t *v) {
    return json_is_integer(v) || (json_is_real(v) && floor(json_real_value(v)) == json_real_value(v));
}

static bool has_type(const json_t *v, const char *type) {
    static const char *const names[] = {"object", "array",   "string",  "integer",
                                        "number", "boolean", "boolean", "null"};
    if (strcmp(type, "number") == 0) return json_is_number(v);
    if (strcmp(type, "integer") == 0) return is_integer(v);
    return strcmp(names[json_typeof(v)], type) == 0;
}

/* json_equal, but that 1 and 1.0 are one number. */
static bool equal(const json_t *a, const json_t *b) {
    if (json_is_number(a) && json_is_number(b)) {
        if (json_is_integer(a) && json_is_integer(b)) return json_integer_value(a) == json_integer_value(b);
        return json_number_value(a) == json_number_value(b);
    }
    if (json_typeof(a) != json_typeof(b)) return false;
    if (json_is_array(a)) {
        if (json_array_size(a) != json_array_size(b)) return false;
        for (size_t i = 0; i < json_array_size(a); i++)
            if (!equal(json_array_get(a, i), json_array_get(b, i))) return false;
        return true;
    }
    if (json_is_object(a)) {
        const char *key;
        json_t *x;
        if (json_object_size(a) != json_object_size(b)) return false;
        json_object_foreach((json_t *)(uintptr_t)a, key, x) {
            const json_t *y = get(b, key);
            if (!y || !equal(x, y)) return false;
        }
        return true;
    }
    return json_equal(a, b);
}

static bool found(const char *pattern, const char *text, size_t n) {
    int code;
    PCRE2_SIZE at;
    pcre2_code *re = pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED,
                                   PCRE2_UTF | PCRE2_DOLLAR_ENDONLY | PCRE2_ALT_BSUX, &code, &at, NULL);
    if (!re) return false;
    pcre2_match_data *m = pcre2_match_data_create(1, NULL);
    const bool yes = pcre2_match(re, (PCRE2_SPTR)text, n, 0, 0, m, NULL) >= 0;
    pcre2_match_data_free(m);
    pcre2_code_free(re);
    return yes;
}

static size_t characters(const json_t *v) {
    size_t n = 0;
    for (size_t i = 0; i < json_string_length(v); i++)
        n += ((unsigned char)json_string_value(v)[i] & 0xC0) != 0x80;
    return n;
}

/* A count's bound; `otherwise` where there is none. */
static double bound(const json_t *schema, const char *key, double otherwise) {
    const json_t *v = get(schema, key);
    return json_is_number(v) ? json_number_value(v) : otherwise;
}

static bool check_number(const json_t *s, const json_t *v) {
    const double x = json_number_value(v), divisor = bound(s, "multipleOf", 0);
    const bool open_below = json_is_true(get(s, "exclusiveMinimum")),
               open_above = json_is_true(get(s, "exclusiveMaximum"));
    if (x < bound(s, "minimum", -INFINITY) || (open_below && x == bound(s, "minimum", NAN))) return false;
    if (x > bound(s, "maximum", INFINITY) || (open_above && x == bound(s, "maximum", NAN))) return false;
    if (x <= bound(s, "exclusiveMinimum", -INFINITY) || x >= bound(s, "exclusiveMaximum", INFINITY))
        return false;
    /* fmod is exact: right for divisors that a double holds, as all of the tests' do. */
    if (divisor > 0 && fmod(x, divisor) != 0) return false;
    return true;
}

static bool check_string(const json_t *s, const json_t *v) {
    const char *pattern = json_string_value(get(s, "pattern"));
    const double n = (double)characters(v);
    if (n < bound(s, "minLength", 0) || n > bound(s, "maxLength", INFINITY)) return false;
    return !pattern || found(pattern, json_string_value(v), json_string_length(v));
}

static bool check_array(const json_t *root, const json_t *s, const json_t *v) {
    const json_t *prefix = get(s, "prefixItems"), *items = get(s, "items"), *contains = get(s, "contains");
    const size_t n = json_array_size(v);
    size_t counted = 0;
    if (json_is_array(items)) prefix = items, items = get(s, "additionalItems");
    if (!items) items = get(s, "unevaluatedItems");
    if ((double)n < bound(s, "minItems", 0) || (double)n > bound(s, "maxItems", INFINITY)) return false;
    for (size_t i = 0; i < n; i++) {
        const json_t *x = json_array_get(v, i);
        const json_t *its = prefix && i < json_array_size(prefix) ? json_array_get(prefix, i) : items;
        if (its && !schema_check(root, its, x)) return false;
        if (contains) counted += schema_check(root, contains, x);
        for (size_t k = 0; k < i && json_is_true(get(s, "uniqueItems")); k++)
            if (equal(x, json_array_get(v, k))) return false;
    }
    return !contains || ((double)counted >= bound(s, "minContains", 1) &&
                         (double)counted <= bound(s, "maxContains", INFINITY));
}

static bool check_property(const json_t *root, const json_t *s, const char *key, const json_t *x) {
    const json_t *own = get(get(s, "properties"), key), *rest = get(s, "additionalProperties");
    const char *pattern;
    json_t *its;
    bool seen = own != NULL;
    if (own && !schema_check(root, own, x)) return false;
    json_object_foreach((json_t *)(uintptr_t)get(s, "patternProperties"), pattern, its) {
        if (!found(pattern, key, strlen(key))) continue;
        seen = true;
        if (!schema_check(root, its, x)) return false;
    }
    if (!rest) rest = get(s, "unevaluatedProperties");
    if (!seen && rest && !schema_check(root, rest, x)) return false;
    const json_t *names = get(s, "propertyNames");
    json_t *name = json_string(key);
    const bool fits = !names || schema_check(root, names, name);
    json_decref(name);
    return fits;
}

static bool check_dependencies(const json_t *root, const json_t *all, const json_t *v) {
    const char *key;
    json_t *then;
    json_object_foreach((json_t *)(uintptr_t)all, key, then) {
        if (!get(v, key)) continue;
        for (size_t i = 0; i < json_array_size(then); i++)
            if (!get(v, json_string_value(json_array_get(then, i)))) return false;
        if (!json_is_array(then) && !schema_check(root, then, v)) return false;
    }
    return true;
}

static bool check_object(const json_t *root, const json_t *s, const json_t *v) {
    static const char *const depend[] = {"dependentRequired", "dependentSchemas", "dependencies"};
    const json_t *required = get(s, "required");
    const double n = (double)json_object_size(v);
    const char *key;
    json_t *x;
    if (n < bound(s, "minProperties", 0) || n > bound(s, "maxProperties", INFINITY)) return false;
    for (size_t i = 0; i < json_array_size(required); i++)
        if (!get(v, json_string_value(json_array_get(required, i)))) return false;
    json_object_foreach((json_t *)(uintptr_t)v, key, x) if (!check_property(root, s, key, x)) return false;
    for (size_t i = 0; i < 3; i++)
        if (!check_dependencies(root, get(s, depend[i]), v)) return false;
    return true;
}

static bool check_type(const json_t *s, const json_t *v) {
    const json_t *type = get(s, "type");
    if (!type || (json_is_null(v) && json_is_true(get(s, "nullable")))) return true;
    if (json_is_string(type)) return has_type(v, json_string_value(type));
    for (size_t i = 0; i < json_array_size(type); i++)
        if (has_type(v, json_string_value(json_array_get(type, i)))) return true;
    return false;
}

static bool check_values(const json_t *s, const json_t *v) {
    const json_t *list = get(s, "enum"), *one = get(s, "const");
    bool in = !list;
    for (size_t i = 0; i < json_array_size(list) && !in; i++) in = equal(json_array_get(list, i), v);
    return in && (!one || equal(one, v));
}

static size_t how_many(const json_t *root, const json_t *list, const json_t *v) {
    size_t n = 0;
    for (size_t i = 0; i < json_array_size(list); i++) n += schema_check(root, json_array_get(list, i), v);
    return n;
}

static bool check_in_place(const json_t *root, const json_t *s, const json_t *v) {
    const json_t *all = get(s, "allOf"), *any = get(s, "anyOf"), *one = get(s, "oneOf"), *no = get(s, "not");
    const json_t *test = get(s, "if");
    if (all && how_many(root, all, v) != json_array_size(all)) return false;
    if (any && how_many(root, any, v) == 0) return false;
    if (one && how_many(root, one, v) != 1) return false;
    if (no && schema_check(root, no, v)) return false;
    if (test) {
        const json_t *then = get(s, schema_check(root, test, v) ? "then" : "else");
        if (then && !schema_check(root, then, v)) return false;
    }
    return true;
}

/* "#/a/b": by pointer, without escapes but ~0, ~1 and %25. */
static const json_t *follow(const json_t *root, const char *ref) {
    const json_t *at = root;
    for (const char *p = strchr(ref, '/'); at && p;) {
        const char *end = strchr(p + 1, '/');
        char token[256];
        size_t n = 0;
        for (p++; *p && p != end; p++) {
            if (*p == '~')
                token[n++] = *++p == '0' ? '~' : '/';
            else if (strncmp(p, "%25", 3) == 0)
                token[n++] = '%', p += 2;
            else
                token[n++] = *p;
        }
        token[n] = 0;
        at = json_is_array(at) ? json_array_get(at, strtoul(token, NULL, 10)) : get(at, token);
        p = end;
    }
    return at;
}

bool schema_check(const json_t *root, const json_t *s, const json_t *v) {
    if (!json_is_object(s)) return !json_is_false(s);
    const json_t *ref = get(s, "$ref") ? get(s, "$ref") : get(s, "$dynamicRef");
    const char *dialect = json_string_value(get(root, "$schema"));
    if (ref) {
        const bool fits = schema_check(root, follow(root, json_string_value(ref)), v);
        if (!fits || (dialect && strstr(dialect, "draft-07"))) return fits;
    }
    if (!check_type(s, v) || !check_values(s, v) || !check_in_place(root, s, v)) return false;
    if (json_is_number(v)) return check_number(s, v);
    if (json_is_string(v)) return check_string(s, v);
    if (json_is_array(v)) return check_array(root, s, v);
    return !json_is_object(v) || check_object(root, s, v);
}
