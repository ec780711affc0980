/* number.c - Python's arithmetic. Integers are computed in 64 bits; what does not fit is an error, never a
 * wrong number. */
#include "chat/number.h"

#include "chat/format.h"
#include "chat/repr.h"
#include "chat/text.h"

#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

_Noreturn static void too_big(vbt *t) {
    vbt_left_out(t, "computing with integers beyond 64 bits is not supported");
}

int64_t vbt_need_int(vbt *t, vbt_val v, const char *what) {
    if (v.type == VBT_BOOL) return v.u.b;
    if (v.type == VBT_INT) return v.u.i;
    if (v.type == VBT_BIG) too_big(t);
    vbt_need_defined(t, v);
    vbt_raise(t, "%s: '%s' object cannot be interpreted as an integer", what, vbt_type_name(v));
}

double vbt_as_double(vbt *t, vbt_val v) {
    switch (v.type) {
    case VBT_BOOL: return v.u.b ? 1 : 0;
    case VBT_INT: return (double)v.u.i;
    case VBT_FLOAT: return v.u.f;
    case VBT_BIG: return vbt_strtod(t, v.u.s->s, v.u.s->n);
    default: vbt_need_defined(t, v); vbt_raise(t, "must be real number, not %s", vbt_type_name(v));
    }
}

/* ------------------------------------------------------------------------------------------ operators */

static vbt_val int_power(vbt *t, int64_t a, int64_t n) {
    int64_t r = 1;
    if (n < 0) {
        if (a == 0) vbt_raise(t, "0.0 cannot be raised to a negative power");
        return vbt_float(pow((double)a, (double)n));
    }
    if (a == 0 || a == 1) return vbt_int(n == 0 ? 1 : a);
    if (a == -1) return vbt_int(n % 2 ? -1 : 1);
    for (; n > 0; n--)
        if (__builtin_mul_overflow(r, a, &r)) too_big(t);
    return vbt_int(r);
}

static bool exact_double(int64_t i) {
    return i >= -((int64_t)1 << 53) && i <= (int64_t)1 << 53;
}

static vbt_val int_binary(vbt *t, char op, int64_t a, int64_t b) {
    int64_t r = 0;
    bool lost = false;
    switch (op) {
    case '+': lost = __builtin_add_overflow(a, b, &r); break;
    case '-': lost = __builtin_sub_overflow(a, b, &r); break;
    case '*': lost = __builtin_mul_overflow(a, b, &r); break;
    case 'p': return int_power(t, a, b);
    default:
        if (b == 0) vbt_raise(t, op == '/' ? "division by zero" : "integer division or modulo by zero");
        if (op == '/') {
            if (!exact_double(a) || !exact_double(b)) too_big(t);
            return vbt_float((double)a / (double)b);
        }
        if (a == INT64_MIN && b == -1) {
            if (op == 'f') too_big(t);
            return vbt_int(0);
        }
        r = op == 'f' ? a / b : a % b;
        if (a % b != 0 && (a < 0) != (b < 0)) r += op == 'f' ? -1 : b;
    }
    if (lost) too_big(t);
    return vbt_int(r);
}

static double floor_div(double a, double b) {
    double mod = fmod(a, b), div = (a - mod) / b;
    if (mod != 0 && (b < 0) != (mod < 0)) div -= 1;
    if (div == 0) return copysign(0.0, a / b);
    double down = floor(div);
    return div - down > 0.5 ? down + 1 : down;
}

static double float_mod(double a, double b) {
    double mod = fmod(a, b);
    if (mod == 0) return copysign(0.0, b);
    return (b < 0) != (mod < 0) ? mod + b : mod;
}

static double float_power(vbt *t, double a, double b) {
    if (a == 0 && b < 0) vbt_raise(t, "0.0 cannot be raised to a negative power");
    if (a < 0 && isfinite(a) && isfinite(b) && b != floor(b))
        vbt_left_out(t, "complex numbers are not supported");
    double r = pow(a, b);
    if (isinf(r) && isfinite(a) && isfinite(b)) vbt_raise(t, "(34, 'Numerical result out of range')");
    return r;
}

static vbt_val float_binary(vbt *t, char op, double a, double b) {
    if (b == 0 && (op == '/' || op == 'f' || op == '%'))
        vbt_raise(t, op == '%' ? "float modulo" : "float division by zero");
    switch (op) {
    case '+': return vbt_float(a + b);
    case '-': return vbt_float(a - b);
    case '*': return vbt_float(a * b);
    case '/': return vbt_float(a / b);
    case 'f': return vbt_float(floor_div(a, b));
    case '%': return vbt_float(float_mod(a, b));
    default: return vbt_float(float_power(t, a, b));
    }
}

static vbt_val number_binary(vbt *t, char op, vbt_val a, vbt_val b) {
    vbt_val r;
    if (a.type == VBT_BIG || b.type == VBT_BIG) too_big(t);
    if (a.type == VBT_FLOAT || b.type == VBT_FLOAT)
        r = float_binary(t, op, vbt_as_double(t, a), vbt_as_double(t, b));
    else
        r = int_binary(t, op, a.type == VBT_BOOL ? a.u.b : a.u.i, b.type == VBT_BOOL ? b.u.b : b.u.i);
    r.given = a.given || b.given;
    return r;
}

static bool is_array(vbt_val v) {
    return v.type == VBT_LIST || v.type == VBT_TUPLE;
}

static vbt_val repeat(vbt *t, vbt_val v, vbt_val times) {
    int64_t n = vbt_need_int(t, times, "*");
    if (n < 0) n = 0;
    if (v.type == VBT_STR) {
        vbt_buf out = {.t = t};
        if (v.u.s->n == 0) n = 0;
        if (n > 0 && v.u.s->n > VBT_OUTPUT_LIMIT / (uint64_t)n)
            vbt_fail(t, VB_ERR_UNSUPPORTED, "a text longer than %zu MiB", VBT_OUTPUT_LIMIT >> 20);
        for (int64_t i = 0; i < n; i++) vbt_put_str(&out, v.u.s);
        vbt_val r = vbt_buf_value(&out);
        ((vbt_str *)(uintptr_t)r.u.s)->markup = v.u.s->markup;
        return r;
    }
    vbt_val r = vbt_list_new(t, v.type, 0);
    if (v.u.list->n == 0) return r;
    for (int64_t i = 0; i < n; i++) {
        vbt_steps(t, v.u.list->n);
        for (size_t k = 0; k < v.u.list->n; k++) vbt_list_add(t, r, v.u.list->v[k]);
    }
    return r;
}

static vbt_val add(vbt *t, vbt_val a, vbt_val b) {
    if (a.type == VBT_STR && b.type == VBT_STR) {
        bool markup = a.u.s->markup || b.u.s->markup;
        if (markup && !a.u.s->markup) a = vbt_html(t, a);
        if (markup && !b.u.s->markup) b = vbt_html(t, b);
        vbt_val r = vbt_join(t, a.u.s, b.u.s);
        ((vbt_str *)(uintptr_t)r.u.s)->markup = markup;
        return r;
    }
    if (is_array(a) && a.type == b.type) {
        size_t n = a.u.list->n + b.u.list->n;
        vbt_val r = vbt_list_new(t, a.type, n);
        vbt_steps(t, n);
        for (size_t i = 0; i < a.u.list->n; i++) vbt_list_add(t, r, a.u.list->v[i]);
        for (size_t i = 0; i < b.u.list->n; i++) vbt_list_add(t, r, b.u.list->v[i]);
        return r;
    }
    if (a.type == VBT_STR || is_array(a))
        vbt_raise(t, "can only concatenate %s (not \"%s\") to %s", vbt_type_name(a), vbt_type_name(b),
                  vbt_type_name(a));
    return (vbt_val){.type = VBT_MISSING};
}

vbt_val vbt_binary(vbt *t, char op, vbt_val a, vbt_val b) {
    if (vbt_is_number(a) && vbt_is_number(b)) return number_binary(t, op, a, b);
    if (op == '%' && a.type == VBT_STR) return vbt_percent(t, a.u.s, b);
    vbt_need_defined(t, a);
    vbt_need_defined(t, b);
    if (op == '+') {
        vbt_val r = add(t, a, b);
        if (r.type != VBT_MISSING) return r;
    }
    bool count_b = b.type == VBT_INT || b.type == VBT_BOOL || b.type == VBT_BIG,
         count_a = a.type == VBT_INT || a.type == VBT_BOOL || a.type == VBT_BIG;
    if (op == '*' && (a.type == VBT_STR || is_array(a)) && count_b) return repeat(t, a, b);
    if (op == '*' && (b.type == VBT_STR || is_array(b)) && count_a) return repeat(t, b, a);
    const char *name = op == 'f' ? "//" : op == 'p' ? "** or pow()" : (const char[]){op, 0};
    if ((a.type == VBT_DICT || b.type == VBT_VIEW || a.type == VBT_VIEW) && op == '-' && b.type != VBT_STR)
        vbt_left_out(t, "- of dicts and views is not supported");
    vbt_raise(t, "unsupported operand type(s) for %s: '%s' and '%s'", name, vbt_type_name(a),
              vbt_type_name(b));
}

vbt_val vbt_negate(vbt *t, vbt_val v, bool minus) {
    vbt_val r = v;
    if (v.type == VBT_BOOL) r = vbt_int(v.u.b), r.given = v.given;
    if (r.type == VBT_FLOAT) {
        if (minus) r.u.f = -r.u.f;
        return r;
    }
    if (r.type == VBT_INT) {
        if (minus && r.u.i == INT64_MIN) too_big(t);
        if (minus) r.u.i = -r.u.i;
        return r;
    }
    if (r.type == VBT_BIG) {
        if (!minus) return r;
        char *s = vbt_alloc(t, r.u.s->n + 2);
        if (r.u.s->s[0] == '-') return vbt_int_text(t, r.u.s->s + 1, r.u.s->n - 1, r.given);
        s[0] = '-';
        memcpy(s + 1, r.u.s->s, r.u.s->n);
        return vbt_int_text(t, s, r.u.s->n + 1, r.given);
    }
    vbt_need_defined(t, v);
    vbt_raise(t, "bad operand type for unary %c: '%s'", minus ? '-' : '+', vbt_type_name(v));
}

vbt_val vbt_absolute(vbt *t, vbt_val v) {
    if (!vbt_is_number(v)) {
        if (v.type == VBT_UNDEFINED) vbt_raise(t, "bad operand type for abs(): 'Undefined'");
        vbt_raise(t, "bad operand type for abs(): '%s'", vbt_type_name(v));
    }
    if (v.type == VBT_FLOAT) {
        v.u.f = fabs(v.u.f);
        return v;
    }
    bool minus = v.type == VBT_INT ? v.u.i < 0 : v.type == VBT_BIG && v.u.s->s[0] == '-';
    return vbt_negate(t, v, minus);
}

/* ------------------------------------------------------------------------------------------ from text */

vbt_val vbt_int_text(vbt *t, const char *digits, size_t n, bool given) {
    bool minus = n > 0 && digits[0] == '-';
    size_t from = minus ? 1 : 0;
    while (from + 1 < n && digits[from] == '0') from++;
    int64_t v = 0;
    bool lost = false;
    for (size_t i = from; i < n && !lost; i++)
        lost = __builtin_mul_overflow(v, 10, &v) || (minus ? __builtin_sub_overflow(v, digits[i] - '0', &v)
                                                           : __builtin_add_overflow(v, digits[i] - '0', &v));
    vbt_val r = vbt_int(v);
    if (lost) {
        vbt_buf b = {.t = t};
        if (minus) vbt_puts(&b, "-", given);
        vbt_put(&b, digits + from, n - from, given);
        r = vbt_buf_value(&b);
        r.type = VBT_BIG;
        if (n - from > 4300) vbt_raise(t, "Exceeds the limit (4300 digits) for integer string conversion");
    }
    r.given = given;
    return r;
}

static int digit_of(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'z') return c - 'a' + 10;
    return c >= 'A' && c <= 'Z' ? c - 'A' + 10 : 99;
}

static void no_foreign_digits(vbt *t, const vbt_str *s) {
    if (!vbt_ascii(s)) vbt_left_out(t, "numbers written with other digits than 0 to 9 are not supported");
}

bool vbt_parse_int(vbt *t, const vbt_str *s, int64_t base, vbt_val *out) {
    const vbt_str *x = vbt_strip(t, s, NULL, 3).u.s;
    if (base != 0 && (base < 2 || base > 36)) return false;
    if (x->n == 0) return false;
    no_foreign_digits(t, x);
    char *plain = vbt_alloc(t, x->n + 1);
    size_t n = 0, i = 0;
    bool minus = x->s[0] == '-', digit = false;
    if (minus || x->s[0] == '+') i++;
    char kind = i + 1 < x->n && x->s[i] == '0' ? (char)(x->s[i + 1] | 32) : 0;
    int64_t wrote = kind == 'x' ? 16 : kind == 'o' ? 8 : kind == 'b' ? 2 : 10;
    if (wrote != 10 && (base == 0 || base == wrote)) {
        i += 2;
        base = wrote;
        if (i < x->n && x->s[i] == '_') i++;
    } else if (base == 0) {
        base = 10;
        for (size_t k = i; x->s[i] == '0' && k < x->n; k++)
            if (x->s[k] != '0' && x->s[k] != '_') return false; /* "012" */
    }
    if (minus) plain[n++] = '-';
    for (; i < x->n; i++) {
        if (x->s[i] == '_' && digit) {
            digit = false;
            continue;
        }
        if (digit_of(x->s[i]) >= base) return false;
        plain[n++] = x->s[i];
        digit = true;
    }
    if (!digit) return false;
    if (base == 10) {
        *out = vbt_int_text(t, plain, n, vbt_any_given(s));
        return true;
    }
    int64_t v = 0;
    for (size_t k = minus; k < n; k++)
        if (__builtin_mul_overflow(v, base, &v) || __builtin_add_overflow(v, digit_of(plain[k]), &v))
            too_big(t);
    *out = vbt_int(minus ? -v : v);
    out->given = vbt_any_given(s);
    return true;
}

double vbt_strtod(vbt *t, const char *s, size_t n) {
    char small[64], *copy = n < sizeof small ? small : vbt_alloc(t, n + 1);
    memcpy(copy, s, n);
    copy[n] = 0;
    const char *point = localeconv()->decimal_point;
    char *dot = memchr(copy, '.', n);
    if (dot && point && point[0] && !point[1]) *dot = point[0];
    return strtod(copy, NULL);
}

static size_t digits_at(const char *s, size_t n, size_t i, char *out, size_t *n_out) {
    size_t from = i;
    while (i < n && ((s[i] >= '0' && s[i] <= '9') || (s[i] == '_' && i > from && s[i - 1] != '_'))) {
        if (s[i] != '_') out[(*n_out)++] = s[i];
        i++;
    }
    return i > from && s[i - 1] == '_' ? from : i;
}

static bool same_letters(const char *s, size_t n, const char *word) {
    if (n != strlen(word)) return false;
    for (size_t i = 0; i < n; i++)
        if ((s[i] | 32) != word[i]) return false;
    return true;
}

bool vbt_parse_float(vbt *t, const vbt_str *s, double *out) {
    char *plain = vbt_alloc(t, s->n + 8);
    size_t n = 0, from = 0, to = s->n, bytes;
    while (from < to && vbt_space(vbt_char(s, from, &bytes))) from += bytes;
    while (to > from && (unsigned char)s->s[to - 1] < 0x80 && vbt_space((unsigned char)s->s[to - 1])) to--;
    const char *x = s->s;
    size_t i = from;
    bool minus = i < to && x[i] == '-';
    if (i < to && (x[i] == '-' || x[i] == '+')) i++;
    if (same_letters(x + i, to - i, "inf") || same_letters(x + i, to - i, "infinity") ||
        same_letters(x + i, to - i, "nan")) {
        *out = (x[i] | 32) == 'n' ? NAN : minus ? -INFINITY : INFINITY;
        return true;
    }
    if (minus) plain[n++] = '-';
    size_t before = n;
    i = digits_at(x, to, i, plain, &n);
    size_t whole = n - before;
    if (i < to && x[i] == '.') {
        plain[n++] = '.';
        size_t at = n;
        i = digits_at(x, to, i + 1, plain, &n);
        whole += n - at;
    }
    if (whole == 0) return false;
    if (i < to && (x[i] | 32) == 'e') {
        plain[n++] = 'e';
        i++;
        if (i < to && (x[i] == '-' || x[i] == '+')) plain[n++] = x[i++];
        size_t at = n;
        i = digits_at(x, to, i, plain, &n);
        if (n == at) return false;
    }
    if (i != to) return false;
    *out = vbt_strtod(t, plain, n);
    return true;
}

/* ------------------------------------------------------------------------------------------- rounding */

int vbt_print_double(char *out, size_t size, const char *format, int precision, double f) {
    const char *point = localeconv()->decimal_point;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    int n = snprintf(out, size, format, precision, f);
#pragma GCC diagnostic pop
    if (point && point[0] != '.' && n > 0) {
        char *dot = memchr(out, point[0], (size_t)n < size ? (size_t)n : size);
        if (dot) *dot = '.';
    }
    return n;
}

vbt_val vbt_truncate(vbt *t, double f) {
    if (f >= -9.2e18 && f <= 9.2e18) return vbt_int((int64_t)f);
    char text[400];
    int n = vbt_print_double(text, sizeof text, "%.*f", 0, f);
    return vbt_int_text(t, text, (size_t)n, false);
}

double vbt_round(vbt *t, double f, int64_t digits) {
    char text[800];
    if (!isfinite(f) || digits > 323) return f;
    if (digits < -308) return copysign(0.0, f);
    if (digits < 0) vbt_left_out(t, "rounding to tens is not supported");
    int n = vbt_print_double(text, sizeof text, "%.*f", (int)digits, f);
    return vbt_strtod(t, text, (size_t)n);
}
