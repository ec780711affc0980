/* filters.c - filters by name, and those of text and numbers. filters_list.c has those of lists and dicts. */
#include "chat/filters.h"

#include "chat/compare.h"
#include "chat/format.h"
#include "chat/names.h"
#include "chat/number.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

const vbt_str *vbt_soft(vbt *t, vbt_val v) {
    return vbt_str_of(t, v).u.s;
}

bool vbt_flag(vbt *t, vbt_val v, bool otherwise) {
    return v.type == VBT_MISSING ? otherwise : vbt_truth(t, v);
}

int64_t vbt_number(vbt *t, vbt_val v, int64_t otherwise, const char *what) {
    return v.type == VBT_MISSING ? otherwise : vbt_need_int(t, v, what);
}

static void no_args(vbt *t, const char *name, const vbt_args *a) {
    vbt_bind(t, name, a, "", 0, NULL);
}

/* ------------------------------------------------------------------------------------ case, white space */

static vbt_val upper(vbt *t, vbt_val v, const vbt_args *a) {
    no_args(t, "upper", a);
    return vbt_change_case(t, vbt_soft(t, v), VBT_UPPER);
}

static vbt_val lower(vbt *t, vbt_val v, const vbt_args *a) {
    no_args(t, "lower", a);
    return vbt_change_case(t, vbt_soft(t, v), VBT_LOWER);
}

static vbt_val capitalize(vbt *t, vbt_val v, const vbt_args *a) {
    no_args(t, "capitalize", a);
    return vbt_change_case(t, vbt_soft(t, v), VBT_CAPITAL);
}

static bool between_words(uint32_t c) {
    return vbt_space(c) || c == '-' || c == '(' || c == '{' || c == '[' || c == '<';
}

/* Each word on its own: its first letter in upper case, the others in lower. */
static vbt_val title(vbt *t, vbt_val v, const vbt_args *a) {
    const vbt_str *s = vbt_soft(t, v);
    vbt_buf out = {.t = t};
    size_t bytes;
    no_args(t, "title", a);
    for (size_t i = 0; i < s->n;) {
        uint32_t c = vbt_char(s, i, &bytes);
        size_t head = i + bytes, end = head;
        if (between_words(c)) {
            vbt_put_part(&out, s, i, head);
            i = head;
            continue;
        }
        while (end < s->n && !between_words(vbt_char(s, end, &bytes))) end += bytes;
        vbt_put_str(&out, vbt_change_case(t, vbt_part(t, s, i, head).u.s, VBT_UPPER).u.s);
        vbt_put_str(&out, vbt_change_case(t, vbt_part(t, s, head, end).u.s, VBT_LOWER).u.s);
        i = end;
    }
    return vbt_buf_value(&out);
}

static vbt_val trim(vbt *t, vbt_val v, const vbt_args *a) {
    vbt_val chars;
    vbt_bind(t, "trim", a, "chars", 0, &chars);
    bool none = chars.type == VBT_MISSING || chars.type == VBT_NONE;
    if (!none && chars.type != VBT_STR) vbt_raise(t, "strip arg must be None or str");
    return vbt_strip(t, vbt_soft(t, v), none ? NULL : chars.u.s, 3);
}

static vbt_val by_method(vbt *t, vbt_val v, const char *method, const vbt_val *args, size_t n) {
    vbt_args a = {.v = args, .n = n};
    return vbt_str_method(t, vbt_soft(t, v), method, &a);
}

static vbt_val center(vbt *t, vbt_val v, const vbt_args *a) {
    vbt_val width;
    vbt_bind(t, "center", a, "width", 0, &width);
    if (width.type == VBT_MISSING) width = vbt_int(80);
    return by_method(t, v, "center", &width, 1);
}

static vbt_val replace(vbt *t, vbt_val v, const vbt_args *a) {
    vbt_val x[3];
    vbt_bind(t, "replace", a, "old new count", 2, x);
    x[0] = vbt_str_of(t, x[0]);
    x[1] = vbt_str_of(t, x[1]);
    if (x[2].type == VBT_MISSING || x[2].type == VBT_NONE) x[2] = vbt_int(-1);
    return by_method(t, v, "replace", x, 3);
}

static vbt_val indent(vbt *t, vbt_val v, const vbt_args *a) {
    vbt_val x[3];
    vbt_bind(t, "indent", a, "width first blank", 0, x);
    vbt_need_defined(t, v);
    if (v.type != VBT_STR) vbt_raise(t, "indent: expected a str, not %s", vbt_type_name(v));
    bool first = vbt_flag(t, x[1], false), blank = vbt_flag(t, x[2], false);
    vbt_val by = x[0];
    if (by.type != VBT_STR)
        by = vbt_binary(t, '*', vbt_word(t, " "), by.type == VBT_MISSING ? vbt_int(4) : by);
    vbt_val lines = vbt_splitlines(t, vbt_join(t, v.u.s, vbt_word(t, "\n").u.s).u.s, false);
    vbt_buf out = {.t = t, .limit = VBT_OUTPUT_LIMIT};
    for (size_t i = 0; i < lines.u.list->n; i++) {
        const vbt_str *line = lines.u.list->v[i].u.s;
        if (i > 0) vbt_puts(&out, "\n", false);
        if (i == 0 ? first : blank || line->n > 0) vbt_put_str(&out, by.u.s);
        vbt_put_str(&out, line);
    }
    return vbt_buf_value(&out);
}

static vbt_val truncate(vbt *t, vbt_val v, const vbt_args *a) {
    vbt_val x[4];
    vbt_bind(t, "truncate", a, "length killwords end leeway", 0, x);
    int64_t length = vbt_number(t, x[0], 255, "length");
    int64_t leeway = x[3].type == VBT_NONE ? 5 : vbt_number(t, x[3], 5, "leeway");
    vbt_val end = x[2].type == VBT_MISSING ? vbt_word(t, "...") : x[2];
    int64_t tail = (int64_t)vbt_length(t, end);
    if (length < tail) vbt_raise(t, "expected length >= %lld, got %lld", (long long)tail, (long long)length);
    if (leeway < 0) vbt_raise(t, "expected leeway >= 0, got %lld", (long long)leeway);
    if ((int64_t)vbt_length(t, v) <= (length > INT64_MAX - leeway ? INT64_MAX : length + leeway)) return v;
    if (v.type != VBT_STR || end.type != VBT_STR)
        vbt_left_out(t, "truncate of anything but text is not supported");
    vbt_val head = vbt_part(t, v.u.s, 0, vbt_char_offset(v.u.s, (size_t)(length - tail)));
    if (!vbt_flag(t, x[1], false)) {
        size_t space = vbt_rfind(t, head.u.s, 0, head.u.s->n, vbt_word(t, " ").u.s);
        if (space != SIZE_MAX) head = vbt_part(t, head.u.s, 0, space);
    }
    return vbt_join(t, head.u.s, end.u.s);
}

static vbt_val wordcount(vbt *t, vbt_val v, const vbt_args *a) {
    const vbt_str *s = vbt_soft(t, v);
    bool before = false;
    int64_t n = 0;
    size_t bytes;
    no_args(t, "wordcount", a);
    for (size_t i = 0; i < s->n; i += bytes) {
        bool word = vbt_char(s, i, &bytes) == '_';
        if (!word) word = vbt_text_is(t, vbt_part(t, s, i, i + bytes).u.s, "isalnum");
        n += word && !before;
        before = word;
    }
    return vbt_int(n);
}

/* ---------------------------------------------------------------------------------------------- as text */

static vbt_val string(vbt *t, vbt_val v, const vbt_args *a) {
    no_args(t, "string", a);
    return vbt_str_of(t, v);
}

static vbt_val safe(vbt *t, vbt_val v, const vbt_args *a) {
    no_args(t, "safe", a);
    vbt_str *s = vbt_alloc(t, sizeof *s);
    *s = *vbt_soft(t, v);
    s->markup = true;
    return (vbt_val){.type = VBT_STR, .u.s = s};
}

static vbt_val escape(vbt *t, vbt_val v, const vbt_args *a) {
    no_args(t, "escape", a);
    if (v.type == VBT_STR && v.u.s->markup) return v;
    return vbt_html(t, vbt_str_of(t, v));
}

static vbt_val forceescape(vbt *t, vbt_val v, const vbt_args *a) {
    no_args(t, "forceescape", a);
    return vbt_html(t, vbt_str_of(t, v));
}

static vbt_val format(vbt *t, vbt_val v, const vbt_args *a) {
    if (a->n && a->n_named) vbt_raise(t, "can't handle positional and keyword arguments at the same time");
    vbt_val values = a->n_named ? vbt_dict_new(t, 0) : vbt_list_new(t, VBT_TUPLE, a->n);
    for (size_t i = 0; i < a->n_named; i++) vbt_dict_set(t, values.u.dict, a->names[i], a->values[i]);
    for (size_t i = 0; i < a->n; i++) vbt_list_add(t, values, a->v[i]);
    return vbt_percent(t, vbt_soft(t, v), values);
}

static void put_url(vbt_buf *b, const vbt_str *s, bool query) {
    for (size_t i = 0; i < s->n; i++) {
        unsigned char c = (unsigned char)s->s[i];
        char e[4];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                     (c && strchr("_.-~", c)) || (c == '/' && !query);
        snprintf(e, sizeof e, plain ? "%c" : c == ' ' && query ? "+" : "%%%02X", c);
        vbt_puts(b, e, vbt_byte_given(s, i));
    }
}

static vbt_val urlencode(vbt *t, vbt_val v, const vbt_args *a) {
    vbt_buf out = {.t = t};
    no_args(t, "urlencode", a);
    if (v.type == VBT_STR || !vbt_can_iterate(v)) {
        put_url(&out, vbt_soft(t, v), false);
        return vbt_buf_value(&out);
    }
    vbt_args none = {0};
    const vbt_list *l = vbt_elements(t, v.type == VBT_DICT ? vbt_call_method(t, v, "items", &none) : v);
    for (size_t i = 0; i < l->n; i++) {
        const vbt_list *pair = vbt_elements(t, l->v[i]);
        if (pair->n != 2) vbt_raise(t, "not enough or too many values to unpack (expected 2)");
        if (i > 0) vbt_puts(&out, "&", false);
        put_url(&out, vbt_soft(t, pair->v[0]), true);
        vbt_puts(&out, "=", false);
        put_url(&out, vbt_soft(t, pair->v[1]), true);
    }
    return vbt_buf_value(&out);
}

static const vbt_str *separator(vbt *t, vbt_val v) {
    if (v.type != VBT_STR) vbt_raise(t, "tojson: separators must be two strings");
    return v.u.s;
}

static vbt_val tojson(vbt *t, vbt_val v, const vbt_args *a) {
    vbt_val x[4];
    vbt_bind(t, "tojson", a, "ensure_ascii indent separators sort_keys", 0, x);
    vbt_json how = {.ascii = vbt_flag(t, x[0], false), .sort = vbt_flag(t, x[3], false)};
    if (x[1].type == VBT_STR)
        how.indent = x[1].u.s;
    else if (x[1].type != VBT_MISSING && x[1].type != VBT_NONE)
        how.indent = vbt_binary(t, '*', vbt_word(t, " "), x[1]).u.s;
    how.item = vbt_word(t, how.indent ? "," : ", ").u.s;
    how.key = vbt_word(t, ": ").u.s;
    if (x[2].type != VBT_MISSING && x[2].type != VBT_NONE) {
        const vbt_list *two = vbt_elements(t, x[2]);
        if (two->n != 2) vbt_raise(t, "tojson: separators must be two strings");
        how.item = separator(t, two->v[0]);
        how.key = separator(t, two->v[1]);
    }
    vbt_buf out = {.t = t, .limit = VBT_OUTPUT_LIMIT};
    vbt_put_json(&out, v, &how);
    return vbt_buf_value(&out);
}

/* ---------------------------------------------------------------------------------------------- numbers */

static vbt_val abs_(vbt *t, vbt_val v, const vbt_args *a) {
    no_args(t, "abs", a);
    return vbt_absolute(t, v);
}

static vbt_val int_(vbt *t, vbt_val v, const vbt_args *a) {
    vbt_val x[2], out;
    double f;
    vbt_bind(t, "int", a, "default base", 0, x);
    vbt_val otherwise = x[0].type == VBT_MISSING ? vbt_int(0) : x[0];
    vbt_need_defined(t, v);
    if (v.type == VBT_STR) {
        if (vbt_parse_int(t, v.u.s, vbt_number(t, x[1], 10, "base"), &out)) return out;
        if (!vbt_parse_float(t, v.u.s, &f) || !isfinite(f)) return otherwise;
        out = vbt_truncate(t, f);
        out.given = vbt_any_given(v.u.s);
        return out;
    }
    if (!vbt_is_number(v)) return otherwise;
    if (v.type == VBT_FLOAT) {
        if (isinf(v.u.f)) vbt_raise(t, "cannot convert float infinity to integer");
        if (isnan(v.u.f)) return otherwise;
        out = vbt_truncate(t, v.u.f);
        out.given = v.given;
        return out;
    }
    return vbt_negate(t, v, false);
}

static vbt_val float_(vbt *t, vbt_val v, const vbt_args *a) {
    vbt_val x, out = vbt_float(0);
    vbt_bind(t, "float", a, "default", 0, &x);
    vbt_need_defined(t, v);
    if (v.type == VBT_STR ? vbt_parse_float(t, v.u.s, &out.u.f) : vbt_is_number(v)) {
        if (v.type == VBT_STR && !vbt_ascii(v.u.s))
            vbt_left_out(t, "numbers of other digits than 0 to 9 are not supported");
        if (v.type != VBT_STR) out.u.f = vbt_as_double(t, v);
        out.given = v.type == VBT_STR ? vbt_any_given(v.u.s) : v.given;
        return out;
    }
    return x.type == VBT_MISSING ? vbt_float(0) : x;
}

static vbt_val round_(vbt *t, vbt_val v, const vbt_args *a) {
    vbt_val x[2];
    vbt_bind(t, "round", a, "precision method", 0, x);
    int64_t precision = vbt_number(t, x[0], 0, "precision");
    const vbt_str *method =
        x[1].type == VBT_STR ? x[1].u.s : vbt_word(t, x[1].type == VBT_MISSING ? "common" : "").u.s;
    bool up = vbt_is(method, "ceil");
    if (!up && !vbt_is(method, "floor") && !vbt_is(method, "common"))
        vbt_raise(t, "method must be common, ceil or floor");
    vbt_need_defined(t, v);
    if (!vbt_is_number(v)) vbt_raise(t, "type %s doesn't define __round__ method", vbt_type_name(v));
    if (vbt_is(method, "common")) {
        if (v.type != VBT_FLOAT) {
            if (precision < 0) vbt_left_out(t, "rounding to tens is not supported");
            return vbt_negate(t, v, false);
        }
        v.u.f = vbt_round(t, v.u.f, precision);
        return v;
    }
    vbt_val scale = vbt_binary(t, 'p', vbt_int(10), vbt_int(precision)),
            scaled = vbt_binary(t, '*', v, scale);
    if (scaled.type == VBT_FLOAT) {
        if (!isfinite(scaled.u.f)) vbt_raise(t, "cannot convert float infinity or NaN to integer");
        scaled = vbt_truncate(t, up ? ceil(scaled.u.f) : floor(scaled.u.f));
    }
    return vbt_binary(t, '/', scaled, scale);
}

static vbt_val filesizeformat(vbt *t, vbt_val v, const vbt_args *a) {
    static const char prefixes[] = "kMGTPEZY";
    vbt_val x;
    double f, unit;
    char text[64];
    vbt_bind(t, "filesizeformat", a, "binary", 0, &x);
    vbt_need_defined(t, v);
    bool binary = vbt_flag(t, x, false);
    if (v.type == VBT_STR ? !vbt_parse_float(t, v.u.s, &f) : !vbt_is_number(v))
        vbt_raise(t, "filesizeformat: no number");
    if (v.type != VBT_STR) f = vbt_as_double(t, v);
    double base = binary ? 1024 : 1000;
    if (f == 1) return vbt_word(t, "1 Byte");
    if (f < base || f != f) {
        if (!isfinite(f)) vbt_raise(t, "cannot convert float infinity or NaN to integer");
        vbt_val n = vbt_str_of(t, vbt_truncate(t, f));
        return vbt_join(t, n.u.s, vbt_word(t, " Bytes").u.s);
    }
    int i = 0;
    for (unit = base * base; f >= unit && i < 7; i++) unit *= base;
    int n = vbt_print_double(text, 40, "%.*f", 1, base * f / unit);
    snprintf(text + n, sizeof text - (size_t)n, " %c%sB", binary && i == 0 ? 'K' : prefixes[i],
             binary ? "i" : "");
    return vbt_text(t, text, strlen(text), v.type == VBT_STR ? vbt_any_given(v.u.s) : v.given);
}

const vbt_filter_def vbt_text_filters[] = {{"abs", abs_},
                                           {"capitalize", capitalize},
                                           {"center", center},
                                           {"e", escape},
                                           {"escape", escape},
                                           {"filesizeformat", filesizeformat},
                                           {"float", float_},
                                           {"forceescape", forceescape},
                                           {"format", format},
                                           {"indent", indent},
                                           {"int", int_},
                                           {"lower", lower},
                                           {"pprint", NULL},
                                           {"random", NULL},
                                           {"replace", replace},
                                           {"round", round_},
                                           {"safe", safe},
                                           {"string", string},
                                           {"striptags", NULL},
                                           {"title", title},
                                           {"tojson", tojson},
                                           {"trim", trim},
                                           {"truncate", truncate},
                                           {"upper", upper},
                                           {"urlencode", urlencode},
                                           {"urlize", NULL},
                                           {"wordcount", wordcount},
                                           {"wordwrap", NULL},
                                           {"xmlattr", NULL},
                                           {NULL, NULL}};

/* ---------------------------------------------------------------------------------------------- by name */

static const vbt_filter_def *find(const vbt_str *name) {
    const vbt_filter_def *const tables[] = {vbt_text_filters, vbt_list_filters};
    for (size_t i = 0; i < 2; i++)
        for (const vbt_filter_def *f = tables[i]; f->name; f++)
            if (vbt_is(name, f->name)) return f;
    return NULL;
}

bool vbt_filter_known(const vbt_str *name) {
    return find(name) != NULL;
}

vbt_val vbt_filter(vbt *t, const vbt_str *name, vbt_val v, const vbt_args *a) {
    static const char *const keep[] = {"safe",  "escape",  "e", "forceescape", "tojson", "length",
                                       "count", "default", "d"};
    const vbt_filter_def *f = find(name);
    if (!f) vbt_raise(t, "No filter named '%.*s' found.", (int)(name->n < 60 ? name->n : 60), name->s);
    if (!f->run) vbt_left_out(t, "the filter %s is not supported", f->name);
    bool markup = v.type == VBT_STR && v.u.s->markup;
    for (size_t i = 0; markup && i < sizeof keep / sizeof *keep; i++) markup = strcmp(f->name, keep[i]) != 0;
    if (markup && strcmp(f->name, "string") != 0)
        vbt_left_out(t, "the filter %s of text that safe or escape made is not supported", f->name);
    return f->run(t, v, a);
}
