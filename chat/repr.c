/* repr.c - how Python prints values: str() and repr(). */
#include "chat/repr.h"

#include "chat/number.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

size_t vbt_float_text(double f, char out[40]) {
    char digits[40];
    if (f != f) return (size_t)snprintf(out, 40, "nan");
    if (isinf(f)) return (size_t)snprintf(out, 40, f < 0 ? "-inf" : "inf");
    int n = 0, precision = 0;
    do n = vbt_print_double(digits, sizeof digits, "%.*e", precision, f);
    while (vbt_strtod(NULL, digits, (size_t)n) != f && ++precision < 17);
    char *e = memchr(digits, 'e', (size_t)n);
    int exponent = 0;
    sscanf(e + 1, "%d", &exponent);
    if (exponent < -4 || exponent >= 16) { /* d.ddde+XX, as printed */
        return (size_t)snprintf(out, 40, "%.*se%c%02d", (int)(e - digits), digits, exponent < 0 ? '-' : '+',
                                exponent < 0 ? -exponent : exponent);
    }
    int after = precision - exponent;
    return (size_t)vbt_print_double(out, 40, "%.*f", after > 0 ? after : 1, f);
}

static void put_string(vbt_buf *b, const vbt_str *s) {
    bool single = memchr(s->s, '\'', s->n) != NULL, dual = memchr(s->s, '"', s->n) != NULL;
    const char quote = single && !dual ? '"' : '\'';
    size_t bytes;
    vbt_put(b, &quote, 1, true);
    for (size_t i = 0; i < s->n; i += bytes) {
        uint32_t c = vbt_char(s, i, &bytes);
        char e[16];
        if (c == (uint32_t)quote || c == '\\')
            snprintf(e, sizeof e, "\\%c", (char)c);
        else if (c == '\n' || c == '\r' || c == '\t')
            snprintf(e, sizeof e, "\\%c", c == '\n' ? 'n' : c == '\r' ? 'r' : 't');
        else if (vbt_printable(c) && !(bytes == 1 && c >= 0x80)) {
            vbt_put_part(b, s, i, i + bytes);
            continue;
        } else
            snprintf(e, sizeof e, c < 0x100 ? "\\x%02x" : c < 0x10000 ? "\\u%04x" : "\\U%08x", (unsigned)c);
        vbt_puts(b, e, vbt_byte_given(s, i));
    }
    vbt_put(b, &quote, 1, true);
}

static void put_items(vbt_buf *b, const vbt_list *l, const char *open, const char *close) {
    vbt_puts(b, open, true);
    for (size_t i = 0; i < l->n; i++) {
        if (i > 0) vbt_puts(b, ", ", true);
        vbt_put_repr(b, l->v[i]);
    }
    vbt_puts(b, close, true);
}

static void put_pairs(vbt_buf *b, const vbt_dict *d) {
    vbt_puts(b, "{", true);
    for (size_t i = 0; i < d->n; i++) {
        if (i > 0) vbt_puts(b, ", ", true);
        vbt_put_repr(b, d->keys[i]);
        vbt_puts(b, ": ", true);
        vbt_put_repr(b, d->values[i]);
    }
    vbt_puts(b, "}", true);
}

static void put_range(vbt_buf *b, const vbt_list *l) {
    char text[80];
    if (l->step == 1)
        snprintf(text, sizeof text, "range(%lld, %lld)", (long long)l->start, (long long)l->stop);
    else
        snprintf(text, sizeof text, "range(%lld, %lld, %lld)", (long long)l->start, (long long)l->stop,
                 (long long)l->step);
    vbt_puts(b, text, false);
}

void vbt_put_value(vbt_buf *b, vbt_val v) {
    if (v.type == VBT_STR)
        vbt_put_str(b, v.u.s);
    else if (v.type != VBT_UNDEFINED)
        vbt_put_repr(b, v);
}

void vbt_put_repr(vbt_buf *b, vbt_val v) {
    char text[40];
    vbt_enter(b->t);
    switch (v.type) {
    case VBT_UNDEFINED: vbt_puts(b, "Undefined", false); break;
    case VBT_NONE: vbt_puts(b, "None", false); break;
    case VBT_BOOL: vbt_puts(b, v.u.b ? "True" : "False", v.given); break;
    case VBT_INT:
        snprintf(text, sizeof text, "%lld", (long long)v.u.i);
        vbt_puts(b, text, v.given);
        break;
    case VBT_BIG: vbt_put(b, v.u.s->s, v.u.s->n, v.given); break;
    case VBT_FLOAT: vbt_put(b, text, vbt_float_text(v.u.f, text), v.given); break;
    case VBT_STR:
        if (v.u.s->markup) vbt_puts(b, "Markup(", false);
        put_string(b, v.u.s);
        if (v.u.s->markup) vbt_puts(b, ")", false);
        break;
    case VBT_LIST: put_items(b, v.u.list, "[", "]"); break;
    case VBT_TUPLE: put_items(b, v.u.list, "(", v.u.list->n == 1 ? ",)" : ")"); break;
    case VBT_RANGE: put_range(b, v.u.list); break;
    case VBT_VIEW:
        vbt_puts(b, v.u.list->view, true);
        put_items(b, v.u.list, "([", "])");
        break;
    case VBT_DICT: put_pairs(b, v.u.dict); break;
    case VBT_NAMESPACE:
        vbt_puts(b, "<Namespace ", false);
        put_pairs(b, v.u.dict);
        vbt_puts(b, ">", false);
        break;
    default:
        vbt_left_out(b->t, "printing a %s is not supported: Python would print a place in its memory",
                     vbt_type_name(v));
    }
    vbt_leave(b->t);
}

vbt_val vbt_str_of(vbt *t, vbt_val v) {
    if (v.type == VBT_STR) return v;
    vbt_buf b = {.t = t};
    vbt_put_value(&b, v);
    return vbt_buf_value(&b);
}

vbt_val vbt_html(vbt *t, vbt_val v) {
    vbt_buf b = {.t = t};
    const vbt_str *s = v.u.s;
    for (size_t i = 0; i < s->n; i++) {
        const char *e = s->s[i] == '&'    ? "&amp;"
                        : s->s[i] == '<'  ? "&lt;"
                        : s->s[i] == '>'  ? "&gt;"
                        : s->s[i] == '"'  ? "&#34;"
                        : s->s[i] == '\'' ? "&#39;"
                                          : NULL;
        if (e)
            vbt_puts(&b, e, vbt_byte_given(s, i));
        else
            vbt_put_part(&b, s, i, i + 1);
    }
    vbt_val r = vbt_buf_value(&b);
    ((vbt_str *)(uintptr_t)r.u.s)->markup = true;
    return r;
}
