/* format.c - str % values and str.format, as Python has them. Field names of str.format with [] or . are left
 * out. */
#include "chat/format.h"

#include "chat/number.h"
#include "chat/repr.h"
#include "chat/run.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* How one value is written. */
typedef struct spec {
    int64_t width, precision; /* -1: none */
    uint32_t fill;
    char align; /* '<', '>', '^', '=' or 0 */
    char sign;  /* '+', ' ' or '-' */
    char group; /* ',', '_' or 0 */
    char type;  /* 0: none */
    bool alternate, zero;
} spec;

static int64_t number_at(vbt *t, const vbt_str *s, size_t *at) {
    int64_t v = -1;
    while (*at < s->n && s->s[*at] >= '0' && s->s[*at] <= '9') {
        v = (v < 0 ? 0 : v) * 10 + (s->s[(*at)++] - '0');
        if (v > (int64_t)VBT_OUTPUT_LIMIT)
            vbt_fail(t, VB_ERR_UNSUPPORTED, "a field wider than %zu", VBT_OUTPUT_LIMIT);
    }
    return v;
}

/* sign and prefix, then the body, padded to the width. Digits beyond ASCII count as characters. */
static void put_padded(vbt_buf *out, const spec *f, const char *head, const vbt_str *body) {
    int64_t n = (int64_t)(strlen(head) + vbt_char_count(body)), more = f->width > n ? f->width - n : 0;
    int64_t left = f->align == '>' || f->align == '=' ? more : f->align == '^' ? more / 2 : 0;
    bool given = vbt_any_given(body);
    if (f->align == '=') vbt_puts(out, head, given);
    for (int64_t i = 0; i < left; i++) vbt_put_char(out, f->fill, given);
    if (f->align != '=') vbt_puts(out, head, given);
    vbt_put_str(out, body);
    for (int64_t i = left; i < more; i++) vbt_put_char(out, f->fill, given);
}

static void put_text(vbt *t, vbt_buf *out, const spec *f, const vbt_str *s) {
    size_t end = f->precision >= 0 ? vbt_char_offset(s, (size_t)f->precision) : s->n;
    put_padded(out, f, "", vbt_part(t, s, 0, end).u.s);
}

/* Separators between groups of three (or four) digits of `digits`, whose whole part ends at `whole`. */
static vbt_val grouped(vbt *t, const char *digits, size_t n, size_t whole, char sep, size_t every,
                       bool given) {
    vbt_buf b = {.t = t};
    for (size_t i = 0; i < n; i++) {
        if (sep && i > 0 && i < whole && (whole - i) % every == 0) vbt_put(&b, &sep, 1, given);
        vbt_put(&b, digits + i, 1, given);
    }
    return vbt_buf_value(&b);
}

static const char *sign_of(const spec *f, bool minus) {
    return minus ? "-" : f->sign == '+' ? "+" : f->sign == ' ' ? " " : "";
}

static void put_int(vbt *t, vbt_buf *out, const spec *f, vbt_val v) {
    char digits[80], head[8];
    size_t n = 0;
    v = vbt_negate(t, v, false); /* True is 1 */
    if (v.type == VBT_BIG) {
        if (f->type != 'd' || f->group)
            vbt_left_out(t, "formatting an integer beyond 64 bits is not supported");
        bool minus = v.u.s->s[0] == '-';
        put_padded(out, f, sign_of(f, minus), vbt_part(t, v.u.s, minus, v.u.s->n).u.s);
        return;
    }
    bool minus = v.u.i < 0;
    uint64_t u = minus ? 0 - (uint64_t)v.u.i : (uint64_t)v.u.i;
    const unsigned base = f->type == 'x' || f->type == 'X' ? 16
                          : f->type == 'o'                 ? 8
                          : f->type == 'b'                 ? 2
                                                           : 10;
    do digits[sizeof digits - ++n] = "0123456789abcdef"[u % base];
    while ((u /= base) > 0);
    memmove(digits, digits + sizeof digits - n, n);
    if (f->type == 'X')
        for (size_t i = 0; i < n; i++)
            if (digits[i] >= 'a') digits[i] = (char)(digits[i] - 32);
    snprintf(head, sizeof head, "%s%s%.*s", sign_of(f, minus), f->alternate && base != 10 ? "0" : "",
             f->alternate && base != 10 ? 1 : 0, &f->type);
    if (f->group && f->zero) vbt_left_out(t, "a width with zeros and separators is not supported");
    put_padded(out, f, head, grouped(t, digits, n, n, f->group, base == 10 ? 3 : 4, v.given).u.s);
}

static void put_float(vbt *t, vbt_buf *out, const spec *f, double x, bool given) {
    char text[500], format[] = "%.*?";
    bool percent = f->type == '%', minus = signbit(x) && x == x, shortest = f->type == 0 && f->precision < 0;
    int precision = f->precision < 0 ? 6 : (int)(f->precision < 400 ? f->precision : 400);
    if (f->precision > 100) vbt_left_out(t, "more than 100 digits behind the point are not supported");
    if (f->alternate || f->group || f->type == 0 || f->type == 'n' || fabs(x) > 1e200) {
        if (!shortest && isfinite(x)) vbt_left_out(t, "this format of a float is not supported");
    }
    x = fabs(x) * (percent ? 100 : 1);
    format[3] = percent ? 'f' : f->type ? f->type : 'f';
    size_t n;
    if (!isfinite(x))
        n = (size_t)snprintf(text, sizeof text, "%s",
                             isnan(x) ? (f->type >= 'A' && f->type <= 'Z' ? "NAN" : "nan")
                                      : (f->type >= 'A' && f->type <= 'Z' ? "INF" : "inf"));
    else if (shortest)
        n = vbt_float_text(x, text);
    else
        n = (size_t)vbt_print_double(text, sizeof text, format, precision, x);
    size_t whole = strspn(text, "0123456789");
    vbt_val body = grouped(t, text, n, whole, f->group, 3, given);
    if (percent) body = vbt_join(t, body.u.s, vbt_word(t, "%").u.s);
    spec plain = *f;
    if (!isfinite(x) && f->zero && f->align == '=') plain.fill = f->fill;
    put_padded(out, &plain, sign_of(f, minus), body.u.s);
}

/* ----------------------------------------------------------------------------------------- s % values */

typedef struct percent {
    vbt *t;
    const vbt_str *s;
    size_t at;
    vbt_val values;
    size_t next; /* of a tuple, or 1 once a single value is taken */
    bool named;
} percent;

static vbt_val next_value(percent *p) {
    if (p->named) vbt_raise(p->t, "not enough arguments for format string");
    if (p->values.type == VBT_TUPLE && p->next < p->values.u.list->n) return p->values.u.list->v[p->next++];
    if (p->values.type != VBT_TUPLE && p->next == 0) {
        p->next = 1;
        return p->values;
    }
    vbt_raise(p->t, "not enough arguments for format string");
}

/* "(name)" at the %: its value. */
static vbt_val named_value(percent *p) {
    size_t from = ++p->at;
    int depth = 1;
    for (; p->at < p->s->n; p->at++) {
        if (p->s->s[p->at] == '(') depth++;
        if (p->s->s[p->at] == ')' && --depth == 0) break;
    }
    if (p->at >= p->s->n) vbt_raise(p->t, "incomplete format key");
    vbt_val key = vbt_part(p->t, p->s, from, p->at++);
    if (p->values.type == VBT_UNDEFINED) vbt_need_defined(p->t, p->values);
    if (p->values.type != VBT_DICT) vbt_raise(p->t, "format requires a mapping");
    const vbt_val *v = vbt_dict_get(p->t, p->values.u.dict, key);
    if (!v) vbt_raise(p->t, "KeyError: '%.*s'", (int)(key.u.s->n < 80 ? key.u.s->n : 80), key.u.s->s);
    return *v;
}

static int64_t width_or_star(percent *p) {
    if (p->at < p->s->n && p->s->s[p->at] == '*') {
        vbt_val v = next_value(p);
        p->at++;
        if (v.type != VBT_INT && v.type != VBT_BOOL) vbt_raise(p->t, "* wants int");
        int64_t n = vbt_need_int(p->t, v, "*");
        if (n > (int64_t)VBT_OUTPUT_LIMIT || n < -(int64_t)VBT_OUTPUT_LIMIT)
            vbt_fail(p->t, VB_ERR_UNSUPPORTED, "a field wider than %zu", VBT_OUTPUT_LIMIT);
        return n;
    }
    return number_at(p->t, p->s, &p->at);
}

static void put_number(percent *p, vbt_buf *out, spec *f, vbt_val v) {
    bool whole = strchr("diuxXo", f->type) != NULL, hex = f->type == 'x' || f->type == 'X' || f->type == 'o';
    vbt_need_defined(p->t, v);
    if (!vbt_is_number(v) || (hex && v.type == VBT_FLOAT))
        vbt_raise(p->t, "%%%c format: a%s is required, not %s", f->type, hex ? "n integer" : " real number",
                  vbt_type_name(v));
    if (f->zero && f->align != '<') f->fill = '0', f->align = '=';
    if (!f->align) f->align = '>';
    if (!whole) {
        put_float(p->t, out, f, vbt_as_double(p->t, v), v.given);
        return;
    }
    if (f->type == 'i' || f->type == 'u') f->type = 'd';
    if (v.type == VBT_FLOAT) {
        if (!isfinite(v.u.f)) vbt_raise(p->t, "cannot convert float infinity or NaN to integer");
        v = vbt_truncate(p->t, v.u.f);
    }
    if (f->precision >= 0) { /* at least so many digits */
        spec inner = *f;
        vbt_buf digits = {.t = p->t};
        bool minus = v.type == VBT_INT && v.u.i < 0;
        if (f->alternate) vbt_left_out(p->t, "%%#.*x is not supported");
        inner.width = f->precision, inner.fill = '0', inner.align = '=', inner.sign = '-';
        put_int(p->t, &digits, &inner, minus ? vbt_negate(p->t, v, true) : v);
        put_padded(out, f, sign_of(f, minus), vbt_buf_value(&digits).u.s);
        return;
    }
    put_int(p->t, out, f, v);
}

static void put_char_value(percent *p, vbt_buf *out, const spec *f, vbt_val v) {
    vbt_buf one = {.t = p->t};
    vbt_need_defined(p->t, v);
    if (v.type == VBT_STR && vbt_char_count(v.u.s) == 1) {
        vbt_put_str(&one, v.u.s);
    } else if (v.type == VBT_INT || v.type == VBT_BOOL) {
        int64_t cp = vbt_need_int(p->t, v, "%c");
        if (cp < 0 || cp > 0x10FFFF) vbt_raise(p->t, "%%c arg not in range(0x110000)");
        if (cp >= 0xD800 && cp <= 0xDFFF) vbt_left_out(p->t, "%%c of half a surrogate pair is not supported");
        vbt_put_char(&one, (uint32_t)cp, v.given);
    } else {
        vbt_raise(p->t, "%%c requires int or char");
    }
    put_padded(out, f, "", vbt_buf_value(&one).u.s);
}

static void conversion(percent *p, vbt_buf *out) {
    spec f = {.width = -1, .precision = -1, .fill = ' ', .sign = '-'};
    vbt_val v = {.type = VBT_MISSING};
    if (p->at < p->s->n && p->s->s[p->at] == '(') {
        v = named_value(p);
        p->named = true;
    }
    for (; p->at < p->s->n && strchr("-+ #0", p->s->s[p->at]) && p->s->s[p->at]; p->at++) {
        char c = p->s->s[p->at];
        if (c == '-') f.align = '<';
        if (c == '+') f.sign = '+';
        if (c == ' ' && f.sign != '+') f.sign = ' ';
        if (c == '#') f.alternate = true;
        if (c == '0') f.zero = true;
    }
    f.width = width_or_star(p);
    if (f.width < -1) f.align = '<', f.width = -f.width;
    if (p->at < p->s->n && p->s->s[p->at] == '.') {
        p->at++;
        f.precision = width_or_star(p);
        if (f.precision < 0) f.precision = 0;
    }
    if (p->at < p->s->n && strchr("hlL", p->s->s[p->at]) && p->s->s[p->at]) p->at++;
    if (p->at >= p->s->n) vbt_raise(p->t, "incomplete format");
    f.type = p->s->s[p->at++];
    if (f.type == '%') {
        vbt_put(out, "%", 1, false);
        return;
    }
    if (!f.type || !strchr("diuxXoeEfFgGcrsa", f.type)) vbt_raise(p->t, "unsupported format character");
    if (f.type == 'a') vbt_left_out(p->t, "%%a is not supported");
    if (v.type == VBT_MISSING) v = next_value(p);
    if (f.type == 's' || f.type == 'r') {
        vbt_buf text = {.t = p->t};
        if (f.type == 'r')
            vbt_put_repr(&text, v);
        else
            vbt_put_value(&text, v);
        if (!f.align) f.align = '>';
        put_text(p->t, out, &f, vbt_buf_value(&text).u.s);
    } else if (f.type == 'c') {
        if (!f.align) f.align = '>';
        put_char_value(p, out, &f, v);
    } else {
        put_number(p, out, &f, v);
    }
}

vbt_val vbt_percent(vbt *t, const vbt_str *s, vbt_val values) {
    percent p = {.t = t, .s = s, .values = values};
    vbt_buf out = {.t = t, .limit = VBT_OUTPUT_LIMIT};
    if (s->markup) vbt_left_out(t, "%% of text that the filters safe and escape made is not supported");
    while (p.at < s->n) {
        const char *sign = memchr(s->s + p.at, '%', s->n - p.at);
        size_t to = sign ? (size_t)(sign - s->s) : s->n;
        vbt_put_part(&out, s, p.at, to);
        p.at = to + 1;
        if (sign) conversion(&p, &out);
    }
    bool mapping = values.type == VBT_DICT || values.type == VBT_LIST || values.type == VBT_UNDEFINED ||
                   values.type == VBT_RANGE;
    size_t n = values.type == VBT_TUPLE ? values.u.list->n : 1;
    if (!mapping && !p.named && p.next < n)
        vbt_raise(t, "not all arguments converted during string formatting");
    return vbt_buf_value(&out);
}

/* ----------------------------------------------------------------------------------------- s.format() */

static bool is_align(uint32_t c) {
    return c == '<' || c == '>' || c == '^' || c == '=';
}

static spec read_spec(vbt *t, const vbt_str *s) {
    spec f = {.width = -1, .precision = -1, .fill = ' ', .sign = '-'};
    size_t at = 0, first = 0, bytes = 0;
    if (s->n > 0) vbt_char(s, 0, &first);
    if (s->n > first && is_align(vbt_char(s, first, &bytes))) {
        f.fill = vbt_char(s, 0, &bytes);
        f.align = s->s[first];
        at = first + 1;
    } else if (s->n > 0 && is_align((unsigned char)s->s[0])) {
        f.align = s->s[at++];
    }
    if (at < s->n && (s->s[at] == '+' || s->s[at] == '-' || s->s[at] == ' ')) f.sign = s->s[at++];
    if (at < s->n && s->s[at] == 'z') vbt_left_out(t, "z in a format is not supported");
    if (at < s->n && s->s[at] == '#') f.alternate = true, at++;
    if (at < s->n && s->s[at] == '0') {
        f.zero = true;
        at++;
        if (!f.align) f.align = '=', f.fill = '0';
    }
    f.width = number_at(t, s, &at);
    if (at < s->n && (s->s[at] == ',' || s->s[at] == '_')) f.group = s->s[at++];
    if (at < s->n && s->s[at] == '.') {
        at++;
        f.precision = number_at(t, s, &at);
        if (f.precision < 0) vbt_raise(t, "Format specifier missing precision");
    }
    if (at < s->n) f.type = s->s[at++];
    if (at < s->n) vbt_raise(t, "Invalid format specifier");
    return f;
}

static void put_formatted(vbt *t, vbt_buf *out, vbt_val v, const vbt_str *how) {
    spec f = read_spec(t, how);
    if (how->n == 0) {
        vbt_put_value(out, v);
        return;
    }
    if (v.type == VBT_STR) {
        if ((f.type && f.type != 's') || f.align == '=' || f.sign != '-' || f.alternate || f.group)
            vbt_raise(t, "Unknown format code or option for object of type 'str'");
        put_text(t, out, &f, v.u.s);
        return;
    }
    vbt_need_defined(t, v);
    if (!vbt_is_number(v))
        vbt_raise(t, "unsupported format string passed to %s.__format__", vbt_type_name(v));
    if (!f.align) f.align = '>';
    if (v.type == VBT_BOOL && !f.type)
        vbt_left_out(t, "a format of a boolean without a letter is not supported");
    bool real = v.type == VBT_FLOAT || (f.type && strchr("eEfFgG%", f.type));
    if (f.type && !strchr(real ? "eEfFgG%" : "dxXob", f.type))
        vbt_raise(t, "Unknown format code '%c' for object of type '%s'", f.type, vbt_type_name(v));
    if (real) {
        if (f.group && f.type && strchr("fF", f.type)) {
            /* The separators go into what is printed without them. */
            spec plain = {.width = -1, .precision = f.precision, .fill = ' ', .sign = '-', .type = f.type};
            vbt_buf digits = {.t = t};
            double x = vbt_as_double(t, v);
            put_float(t, &digits, &plain, fabs(x), v.given);
            vbt_val d = vbt_buf_value(&digits);
            size_t whole = strspn(vbt_text(t, d.u.s->s, d.u.s->n, false).u.s->s, "0123456789");
            if (f.zero) vbt_left_out(t, "a width with zeros and separators is not supported");
            put_padded(out, &f, sign_of(&f, signbit(x)),
                       grouped(t, d.u.s->s, d.u.s->n, whole, f.group, 3, v.given).u.s);
            return;
        }
        put_float(t, out, &f, vbt_as_double(t, v), v.given);
        return;
    }
    if (f.precision >= 0) vbt_raise(t, "Precision not allowed in integer format specifier");
    if (!f.type) f.type = 'd';
    put_int(t, out, &f, v);
}

/* "{name!r:spec}" from behind the { to before the }. */
static void field(vbt *t, vbt_buf *out, const vbt_str *s, const vbt_args *a, int64_t *automatic) {
    size_t end = 0;
    while (end < s->n && s->s[end] != '!' && s->s[end] != ':') end++;
    const vbt_str *name = vbt_part(t, s, 0, end).u.s;
    char conversion = end + 1 < s->n && s->s[end] == '!' ? s->s[end + 1] : 0;
    if (conversion) end += 2;
    if (end < s->n && s->s[end] != ':') vbt_raise(t, "expected ':' after conversion specifier");
    const vbt_str *how = vbt_part(t, s, end < s->n ? end + 1 : s->n, s->n).u.s;
    vbt_val v, index;
    if (memchr(name->s, '.', name->n) || memchr(name->s, '[', name->n) || memchr(how->s, '{', how->n))
        vbt_left_out(t, "fields of fields in format() are not supported");
    bool number = name->n > 0 && strspn(vbt_text(t, name->s, name->n, false).u.s->s, "0123456789") == name->n;
    if (name->n == 0 || number) {
        int64_t i = 0;
        if (number && vbt_parse_int(t, name, 10, &index)) i = vbt_need_int(t, index, "format");
        if (number ? *automatic > 0 : *automatic < 0)
            vbt_raise(t, "cannot switch from manual field specification to automatic field numbering");
        if (!number) i = (*automatic)++;
        if (number) *automatic = -1;
        if ((uint64_t)i >= a->n)
            vbt_raise(t, "Replacement index %lld out of range for positional args tuple", (long long)i);
        v = a->v[i];
    } else {
        const vbt_val *found = NULL;
        for (size_t i = 0; i < a->n_named; i++)
            if (vbt_same_text(a->names[i].u.s, name)) found = &a->values[i];
        if (!found) vbt_raise(t, "KeyError: '%.*s'", (int)(name->n < 80 ? name->n : 80), name->s);
        v = *found;
    }
    if (conversion == 'r') {
        vbt_buf text = {.t = t};
        vbt_put_repr(&text, v);
        v = vbt_buf_value(&text);
    } else if (conversion == 's') {
        v = vbt_str_of(t, v);
    } else if (conversion) {
        vbt_left_out(t, "the conversion !%c in format() is not supported", conversion);
    }
    put_formatted(t, out, v, how);
}

vbt_val vbt_format(vbt *t, const vbt_str *s, const vbt_args *a) {
    vbt_buf out = {.t = t, .limit = VBT_OUTPUT_LIMIT};
    int64_t automatic = 0;
    for (size_t at = 0; at < s->n;) {
        char c = s->s[at];
        if ((c == '{' || c == '}') && at + 1 < s->n && s->s[at + 1] == c) {
            vbt_put_part(&out, s, at, at + 1);
            at += 2;
        } else if (c == '{') {
            size_t end = at + 1;
            while (end < s->n && s->s[end] != '}') end++;
            if (end >= s->n) vbt_raise(t, "expected '}' before end of string");
            field(t, &out, vbt_part(t, s, at + 1, end).u.s, a, &automatic);
            at = end + 1;
        } else if (c == '}') {
            vbt_raise(t, "Single '}' encountered in format string");
        } else {
            vbt_put_part(&out, s, at, at + 1);
            at++;
        }
    }
    return vbt_buf_value(&out);
}
