/* schema_numbers.c - sets of numbers, as automata over the ways in which they are written.
 *
 * The spellings, all of them numbers of RFC 8259:
 *   plain     -?(0|[1-9][0-9]{0,19})(\.[0-9]{1,20})?
 *   exponent  -?[1-9](\.[0-9]{1,20})?[eE][+-]?[0-9]{1,3}   with an exponent of at most 307, so that every
 *             reader's double
 *                                                          holds the number
 * A comparison with a bound reads a spelling from left to right and keeps what it needs to know in a few
 * small numbers: which of the two is larger so far, digit by digit, and how many digits there were. */
#include "grammar/schema_dfa_build.h"
#include "grammar/schema_internal.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { INTEGER_DIGITS = 20, FRACTION_DIGITS = 20, LARGEST_EXPONENT = 307, MAX_DIVISOR = 3000 };

/* ----------------------------------------------------------------------------------------- decimals */

/* (-1)^negative * 0.d1 d2 ... dn * 10^point, d1 and dn not 0; zero has no digits and point 0. */
typedef struct {
    bool negative;
    int n, point;
    char digits[40];
} decimal;

/* The shortest decimal that reads back as the same double: what was written, up to 15 digits. */
static void shortest(double d, char *out, size_t size) {
    for (int precision = 1; precision <= 17; precision++) {
        snprintf(out, size, "%.*e", precision - 1, d);
        if (strtod(out, NULL) == d) return;
    }
}

static void read_decimal(const json_t *v, decimal *out) {
    char text[64];
    if (json_is_integer(v))
        snprintf(text, sizeof text, "%" JSON_INTEGER_FORMAT, json_integer_value(v));
    else
        shortest(json_real_value(v), text, sizeof text);
    *out = (decimal){.negative = *text == '-'};
    int before = 0, exponent = 0;
    bool fraction = false;
    for (const char *s = text + out->negative; *s; s++) {
        if (*s == 'e') {
            exponent = atoi(s + 1);
            break;
        }
        if (*s == '.' || *s == ',') {
            fraction = true;
            continue;
        }
        if (!fraction && (out->n || *s != '0')) before++;
        if (fraction && !out->n && *s == '0') before--;
        if ((out->n || *s != '0') && out->n < (int)sizeof out->digits) out->digits[out->n++] = *s;
    }
    while (out->n && out->digits[out->n - 1] == '0') out->n--;
    out->point = out->n ? before + exponent : 0;
    if (!out->n) out->negative = false;
}

/* ------------------------------------------------------------------------------------- the machines */

typedef enum { START, SIGN, ZERO, INTEGER, POINT, FRACTION, E, E_SIGN, EXPONENT } phase;
typedef enum { COMPARE, DIVIDE, WHOLE } machine_kind;
/* What a comparison can say, as bits; for DIVIDE and WHOLE: FITS or FAILS. */
enum { LESS = 1, EQUAL = 2, GREATER = 4, FITS = 8, FAILS = 16 };

typedef struct {
    machine_kind kind;
    decimal bound;    /* COMPARE */
    uint32_t divisor; /* DIVIDE: by divisor * 10^-places */
    int places;
} machine;

/* Where a spelling stands. All fields are 0 where they no longer matter, so that equal futures are equal
 * bytes. */
typedef struct {
    uint8_t phase, negative;
    uint8_t n;       /* digits in this part */
    uint8_t single;  /* one digit before the point: an exponent may follow */
    int8_t plain;    /* -1, 0, 1: the digits so far against the bound's, as a plain number */
    int8_t mantissa; /* the same as d.ddd */
    uint8_t minus;   /* of the exponent */
    uint8_t rest;    /* DIVIDE and WHOLE: a digit after `places` is not 0 */
    uint16_t exponent;
    uint16_t remainder;
    uint32_t index; /* the state's number, not compared */
} spelling;

enum { COMPARED = offsetof(spelling, index) };

static int digit_of(const decimal *d, int i) {
    return i >= 0 && i < d->n ? d->digits[i] - '0' : 0;
}

static int8_t sign_of(int d) {
    return (int8_t)((d > 0) - (d < 0));
}

/* The part before the point is over: the longer one is larger. */
static void end_integer(const machine *m, spelling *s) {
    int digits = s->phase == ZERO ? 0 : s->n, wanted = m->bound.point > 0 ? m->bound.point : 0;
    if (digits != wanted) s->plain = sign_of(digits - wanted);
}

static void integer_digit(const machine *m, spelling *s, int d) {
    if (m->kind == COMPARE) {
        if (!s->plain) s->plain = sign_of(d - digit_of(&m->bound, s->n));
        s->mantissa = s->n ? 0 : s->plain;
    } else if (m->kind == DIVIDE) {
        s->remainder = (uint16_t)((s->remainder * 10u + (uint32_t)d) % m->divisor);
    }
    s->n++;
    s->single = s->n == 1;
}

static void fraction_digit(const machine *m, spelling *s, int d) {
    s->n++;
    if (m->kind == COMPARE) {
        if (!s->plain) s->plain = sign_of(d - digit_of(&m->bound, m->bound.point + s->n - 1));
        if (s->single && !s->mantissa) s->mantissa = sign_of(d - digit_of(&m->bound, s->n));
    } else if (m->kind == DIVIDE && s->n <= m->places) {
        s->remainder = (uint16_t)((s->remainder * 10u + (uint32_t)d) % m->divisor);
        /* Behind the last place only this matters. */
        if (s->n == m->places) s->remainder = s->remainder != 0;
    } else if (d) {
        s->rest = 1;
        s->remainder = 0;
    }
}

static bool begin_exponent(const machine *m, spelling *s) {
    if (!s->single || m->kind != COMPARE) return false;
    int seen = s->phase == INTEGER ? 1 : 1 + s->n;
    if (!s->mantissa && m->bound.n > seen) s->mantissa = -1;
    *s = (spelling){.phase = E, .negative = s->negative, .mantissa = s->mantissa};
    return true;
}

/* An exponent that the bound's does not begin with is no longer kept as a number, of which there are
 * hundreds: only how |number| compares if no digit, one, two follow, as digits of base 4, and 0 where so many
 * may not. A part of those behind 3 and 30 may, so these stay. */
enum { FORGOTTEN = 1000 };

static void forget_exponent(const machine *m, spelling *s) {
    const int wanted = m->bound.point - 1, least = wanted < 0 ? -wanted : wanted;
    const bool fixed = !m->bound.n || (wanted && (wanted < 0) != s->minus);
    const int beyond = !m->bound.n || !s->minus ? 1 : -1;
    int code = 0;
    for (int r = 0, low = s->exponent, size = 1; r <= 3 - s->n; r++, low *= 10, size *= 10) {
        if (low > LARGEST_EXPONENT) break;
        if (low + size - 1 > LARGEST_EXPONENT) return;
        if (!fixed && low <= least && least < low + size) return;
        const int relation = fixed ? beyond : s->minus ? sign_of(least - low) : sign_of(low - least);
        code |= (2 + relation) << 2 * r;
    }
    *s = (spelling){.phase = EXPONENT, .negative = s->negative, .exponent = (uint16_t)(FORGOTTEN + code)};
}

static bool exponent_digit(const machine *m, spelling *s, int d) {
    s->phase = EXPONENT;
    if (s->exponent >= FORGOTTEN) {
        s->exponent = (uint16_t)(FORGOTTEN + (s->exponent - FORGOTTEN) / 4);
        return s->exponent > FORGOTTEN;
    }
    s->exponent = (uint16_t)(s->exponent * 10 + d);
    if (++s->n > 3 || s->exponent > LARGEST_EXPONENT) return false;
    forget_exponent(m, s);
    return true;
}

/* One character more; false: no spelling begins so. */
static bool step(const machine *m, spelling *s, char c) {
    int d = c >= '0' && c <= '9' ? c - '0' : -1;
    switch (s->phase) {
    case START:
    case SIGN:
        if (c == '-' && s->phase == START) {
            s->phase = SIGN;
            s->negative = 1;
            return true;
        }
        if (d < 0) return false;
        s->phase = d ? INTEGER : ZERO;
        if (d) integer_digit(m, s, d);
        return true;
    case ZERO:
    case INTEGER:
        if (d >= 0 && s->phase == INTEGER && s->n < INTEGER_DIGITS) {
            integer_digit(m, s, d);
            return true;
        }
        if (c == '.') {
            if (m->kind == COMPARE) end_integer(m, s);
            s->phase = POINT;
            s->n = 0;
            if (!m->places) s->remainder = s->remainder != 0;
            return true;
        }
        return (c == 'e' || c == 'E') && begin_exponent(m, s);
    case POINT:
    case FRACTION:
        if (d >= 0 && s->n < FRACTION_DIGITS) {
            s->phase = FRACTION;
            fraction_digit(m, s, d);
            return true;
        }
        return s->phase == FRACTION && (c == 'e' || c == 'E') && begin_exponent(m, s);
    case E:
        if (c == '-' || c == '+') {
            s->phase = E_SIGN;
            s->minus = c == '-';
            return true;
        }
        return d >= 0 && exponent_digit(m, s, d);
    default: return d >= 0 && exponent_digit(m, s, d);
    }
}

/* |number| against |bound|. */
static int compare_size(const machine *m, const spelling *end) {
    spelling s = *end;
    if (s.phase == EXPONENT) {
        if (s.exponent >= FORGOTTEN) return (s.exponent - FORGOTTEN) % 4 - 2;
        int exponent = s.minus ? -(int)s.exponent : s.exponent;
        if (!m->bound.n || exponent != m->bound.point - 1)
            return m->bound.n ? sign_of(exponent - (m->bound.point - 1)) : 1;
        return s.mantissa;
    }
    int fraction = s.phase == FRACTION ? s.n : 0;
    if (s.phase != FRACTION) end_integer(m, &s);
    return !s.plain && m->bound.n > m->bound.point + fraction ? -1 : s.plain;
}

static int compare(const machine *m, const spelling *s) {
    int size = compare_size(m, s);
    if (!m->bound.n) return size == 0 ? EQUAL : s->negative ? LESS : GREATER;
    if (s->negative != m->bound.negative) return s->negative ? LESS : GREATER;
    if (s->negative) size = -size;
    return size < 0 ? LESS : size > 0 ? GREATER : EQUAL;
}

/* What the machine says of a spelling that ends here; 0 where none does, or it has nothing to say. */
static int verdict(const machine *m, const spelling *s) {
    if (s->phase != ZERO && s->phase != INTEGER && s->phase != FRACTION && s->phase != EXPONENT) return 0;
    if (m->kind == COMPARE) return compare(m, s);
    if (s->phase == FRACTION && s->rest) return FAILS;
    if (m->kind == WHOLE) return s->phase != FRACTION && !(s->phase == ZERO && s->negative) ? FITS : 0;
    uint32_t r = s->remainder;
    int read = s->phase != FRACTION ? 0 : s->n < m->places ? s->n : m->places;
    for (int i = read; i < m->places; i++) r = r * 10 % m->divisor;
    return r ? FAILS : FITS;
}

/* -------------------------------------------------------------------------------------- to automata */

typedef struct {
    vbj_arena *arena;
    spelling *states;
    size_t n, room;
    uint32_t *table;
    size_t size;
} spellings;

static size_t hash_spelling(const spelling *s) {
    unsigned char bytes[COMPARED];
    memcpy(bytes, s, COMPARED);
    uint64_t h = 1;
    for (size_t i = 0; i < COMPARED; i++) h = (h ^ bytes[i]) * 0x100000001B3u;
    h *= 0x9E3779B97F4A7C15u;
    return (size_t)(h ^ h >> 32);
}

static bool grow_spellings(spellings *a) {
    size_t size = a->size ? 2 * a->size : 1024;
    uint32_t *table = vbj_take(a->arena, size, sizeof *table);
    if (!table) return false;
    for (size_t i = 0; i < a->n; i++) {
        size_t at = hash_spelling(&a->states[i]) & (size - 1);
        while (table[at]) at = (at + 1) & (size - 1);
        table[at] = (uint32_t)i + 1;
    }
    a->table = table;
    a->size = size;
    return true;
}

static int32_t spelling_index(spellings *a, const spelling *s) {
    if (2 * (a->n + 1) > a->size && !grow_spellings(a)) return -1;
    size_t at = hash_spelling(s) & (a->size - 1);
    for (; a->table[at]; at = (at + 1) & (a->size - 1))
        if (memcmp(&a->states[a->table[at] - 1], s, COMPARED) == 0) return (int32_t)a->table[at] - 1;
    if (!vbj_grow(a->arena, &a->states, a->n, &a->room, sizeof *s)) return -1;
    a->states[a->n++] = *s;
    a->table[at] = (uint32_t)a->n;
    return (int32_t)a->n - 1;
}

/* The spellings of which the machine says one of `wanted`. */
static const vbj_dfa *run(vbj_arena *keep, const machine *m, int wanted) {
    static const char alphabet[] = "+-.0123456789Ee"; /* ascending */
    vbj_arena scratch;
    vbj_arena_part(&scratch, keep);
    spellings all = {.arena = &scratch};
    vbj_build b;
    vbj_build_begin(&b, &scratch);
    spelling start = {0};
    const vbj_dfa *d = NULL;
    bool good = spelling_index(&all, &start) >= 0;
    for (size_t k = 0; good && k < all.n; k++) {
        good = vbj_build_state(&b, verdict(m, &all.states[k]) & wanted) && vbj_steps(&scratch, 15);
        for (const char *c = alphabet; good && *c; c++) {
            spelling next = all.states[k];
            if (!step(m, &next, *c)) continue;
            int32_t to = spelling_index(&all, &next);
            good = to >= 0 && vbj_build_edge(&b, (unsigned char)*c, (unsigned char)*c, to);
        }
    }
    if (good) d = vbj_dfa_minimal(&scratch, vbj_build_end(&b));
    return vbj_dfa_keep(keep, &scratch, d);
}

static const vbj_dfa *set_of(vbj_compiler *c, const machine *m, int wanted) {
    char name[112];
    snprintf(name, sizeof name, "number %d %d %d %.40s e%d %u %d", (int)m->kind, wanted, m->bound.negative,
             m->bound.digits, m->bound.point, (unsigned)m->divisor, m->places);
    const vbj_dfa *d = vbj_cache_get(c, name);
    if (d) return d;
    d = run(&c->arena, m, wanted);
    return d && vbj_cache_put(c, name, d) ? d : NULL;
}

/* ----------------------------------------------------------------------------------------- the sets */

/* Of all numbers and of none only the identity counts until one is written out, which few schemas need. */
static const int32_t no_edges[2] = {0, 0};
static const bool accepts[1] = {true}, refuses[1] = {false};
static const vbj_dfa every_number = {.n_states = 1, .first = no_edges, .accept = accepts};
static const vbj_dfa no_number = {.n_states = 1, .first = no_edges, .accept = refuses};

/* An automaton that is made when somebody asks: a known one, what a machine says, or a product. */
struct vbj_late {
    const vbj_dfa *known;
    const vbj_late *x, *y;
    vbj_product_kind kind;
    int depth; /* of products */
    machine m;
    int wanted;
};

static const vbj_late late_every = {.known = &every_number}, late_none = {.known = &no_number};

void vbj_numbers_all(vbj_numbers *out) {
    *out = (vbj_numbers){&every_number, &late_none};
}

void vbj_numbers_none(vbj_numbers *out) {
    *out = (vbj_numbers){&no_number, &late_every};
}

const vbj_dfa *vbj_numbers_written(vbj_compiler *c, const vbj_dfa *d) {
    static const char syntax[] =
        "^-?(?:(?:0|[1-9][0-9]{0,19})(?:\\.[0-9]{1,20})?|"
        "[1-9](?:\\.[0-9]{1,20})?[eE][+-]?(?:[0-9]{1,2}|0[0-9]{2}|[12][0-9]{2}|30[0-7]))$";
    return d == &every_number ? vbj_pattern(c, NULL, "number", syntax, sizeof syntax - 1) : d;
}

static const vbj_dfa *product(vbj_compiler *c, const vbj_dfa *x, const vbj_dfa *y, vbj_product_kind kind) {
    char name[64];
    if (x == y) return x;
    if (kind == VBJ_BOTH && (x == &every_number || y == &no_number)) return y;
    if (kind == VBJ_BOTH && (y == &every_number || x == &no_number)) return x;
    if (kind == VBJ_EITHER && (x == &no_number || y == &every_number)) return y;
    if (kind == VBJ_EITHER && (y == &no_number || x == &every_number)) return x;
    snprintf(name, sizeof name, "%d %p %p", (int)kind, (const void *)x, (const void *)y);
    const vbj_dfa *d = vbj_cache_get(c, name);
    if (d) return d;
    d = vbj_dfa_product(&c->arena, x, y, kind);
    if (d && vbj_dfa_empty(d)) d = &no_number;
    return d && vbj_cache_put(c, name, d) ? d : NULL;
}

static const vbj_dfa *make(vbj_compiler *c, const vbj_late *l) {
    if (l->known) return l->known;
    const vbj_dfa *d = vbj_map_get(&c->late, l);
    if (d) return d;
    if (l->x) {
        const vbj_dfa *x = make(c, l->x), *y = x ? make(c, l->y) : NULL;
        d = y ? product(c, x, y, l->kind) : NULL;
    } else {
        d = set_of(c, &l->m, l->wanted);
    }
    return d && vbj_map_put(&c->arena, &c->late, l, d) ? d : NULL;
}

static const vbj_late *later(vbj_compiler *c, vbj_late what) {
    vbj_late *l = vbj_take(&c->arena, 1, sizeof *l);
    if (l) *l = what;
    return l;
}

enum { MOST_LATE = 200 }; /* products on top of each other, so that `make` does not call itself more deeply */

static const vbj_late *late_product(vbj_compiler *c, const vbj_late *x, const vbj_late *y,
                                    vbj_product_kind kind) {
    if (x == y) return x;
    const vbj_late *zero = kind == VBJ_BOTH ? &late_none : &late_every,
                   *unit = kind == VBJ_BOTH ? &late_every : &late_none;
    if (x == zero || y == zero) return zero;
    if (x == unit) return y;
    if (y == unit) return x;
    const int depth = 1 + (x->depth > y->depth ? x->depth : y->depth);
    const vbj_late *l = later(c, (vbj_late){.x = x, .y = y, .kind = kind, .depth = depth});
    if (!l || depth < MOST_LATE) return l;
    const vbj_dfa *d = make(c, l);
    return d ? later(c, (vbj_late){.known = d}) : NULL;
}

static int joined(vbj_compiler *c, const vbj_numbers *x, const vbj_numbers *y, vbj_product_kind kind,
                  vbj_numbers *out) {
    const vbj_numbers n = {product(c, x->yes, y->yes, kind),
                           late_product(c, x->no, y->no, kind == VBJ_BOTH ? VBJ_EITHER : VBJ_BOTH)};
    *out = n;
    return n.yes && n.no ? vbj_check_dfa(c, n.yes) : vbj_full(c);
}

int vbj_numbers_and(vbj_compiler *c, const vbj_numbers *x, const vbj_numbers *y, vbj_numbers *out) {
    return joined(c, x, y, VBJ_BOTH, out);
}

int vbj_numbers_or(vbj_compiler *c, const vbj_numbers *x, const vbj_numbers *y, vbj_numbers *out) {
    return joined(c, x, y, VBJ_EITHER, out);
}

int vbj_numbers_not(vbj_compiler *c, const vbj_numbers *x, vbj_numbers *out) {
    const vbj_numbers n = {make(c, x->no), later(c, (vbj_late){.known = x->yes})};
    *out = n;
    return n.yes && n.no ? vbj_check_dfa(c, n.yes) : vbj_full(c);
}

/* What a machine says, and what it says of the others. */
static int of_machine(vbj_compiler *c, const machine *m, int wanted, int others, vbj_numbers *out) {
    *out = (vbj_numbers){set_of(c, m, wanted), later(c, (vbj_late){.m = *m, .wanted = others})};
    return out->yes && out->no ? 0 : vbj_full(c);
}

static int compared(vbj_compiler *c, const json_t *bound, int wanted, vbj_numbers *n) {
    machine m = {.kind = COMPARE};
    vbj_numbers set;
    read_decimal(bound, &m.bound);
    const int rc = of_machine(c, &m, wanted, (LESS | EQUAL | GREATER) & ~wanted, &set);
    return rc ? rc : vbj_numbers_and(c, n, &set, n);
}

static int whole(vbj_compiler *c, vbj_numbers *n) {
    const machine m = {.kind = WHOLE};
    vbj_numbers set;
    const int rc = of_machine(c, &m, FITS, FAILS, &set);
    return rc ? rc : vbj_numbers_and(c, n, &set, n);
}

static int divided(vbj_compiler *c, const json_t *schema, const json_t *v, vbj_numbers *n) {
    decimal d;
    if (!json_is_number(v) || json_number_value(v) <= 0)
        return vbj_refuse(c, VB_ERR_FORMAT, schema, "multipleOf", "must be a number above 0");
    read_decimal(v, &d);
    /* 0.d1 .. dn * 10^point = (d1 .. dn) * 10^-(n - point) */
    machine m = {.kind = DIVIDE, .places = d.n - d.point};
    uint64_t divisor = 0;
    for (int i = 0; i < d.n && divisor <= MAX_DIVISOR; i++)
        divisor = divisor * 10 + (uint64_t)(d.digits[i] - '0');
    for (; m.places < 0 && divisor <= MAX_DIVISOR; m.places++) divisor *= 10;
    if (divisor > MAX_DIVISOR || m.places > FRACTION_DIGITS)
        return vbj_refuse(c, VB_ERR_UNSUPPORTED, schema, "multipleOf",
                          "more than %d, not counting the decimal point, is not supported", MAX_DIVISOR);
    m.divisor = (uint32_t)divisor;
    vbj_numbers set;
    const int rc = of_machine(c, &m, FITS, FAILS, &set);
    return rc ? rc : vbj_numbers_and(c, n, &set, n);
}

/* One end: `minimum` and `exclusiveMinimum`, or their counterparts. In draft 4 the second was a flag. */
static int one_end(vbj_compiler *c, const json_t *schema, const char *closed, const char *open, int beyond,
                   vbj_numbers *n) {
    const json_t *bound = json_object_get(schema, closed), *exclusive = json_object_get(schema, open);
    int rc = 0;
    c->at_keyword = closed;
    if (bound && !json_is_number(bound))
        return vbj_refuse(c, VB_ERR_FORMAT, schema, closed, "must be a number");
    if (exclusive && !json_is_number(exclusive) && !json_is_boolean(exclusive))
        return vbj_refuse(c, VB_ERR_FORMAT, schema, open, "must be a number");
    if (bound) rc = compared(c, bound, json_is_true(exclusive) ? beyond : beyond | EQUAL, n);
    if (!rc && json_is_number(exclusive)) rc = compared(c, exclusive, beyond, n);
    return rc;
}

int vbj_numbers_base(vbj_compiler *c, const json_t *schema, bool integer, vbj_numbers *out) {
    int rc = 0;
    vbj_numbers_all(out);
    const json_t *divisor = json_object_get(schema, "multipleOf");
    if (!rc && integer) rc = whole(c, out);
    if (!rc) rc = one_end(c, schema, "minimum", "exclusiveMinimum", GREATER, out);
    if (!rc) rc = one_end(c, schema, "maximum", "exclusiveMaximum", LESS, out);
    c->at_keyword = "multipleOf";
    if (!rc && divisor) rc = divided(c, schema, divisor, out);
    return rc;
}

/* A constant as JSON writers spell it: 10, 2.5, 1e-07, 1e+30. A double that is whole also without ".0". */
static size_t spell_value(const json_t *v, char texts[5][64]) {
    if (json_is_integer(v)) {
        snprintf(texts[0], 64, "%" JSON_INTEGER_FORMAT, json_integer_value(v));
        return 1;
    }
    double d = json_real_value(v);
    decimal x;
    size_t n = 0;
    read_decimal(v, &x);
    const char *sign = x.negative ? "-" : "";
    if (!x.n) {
        snprintf(texts[n++], 64, "0");
        snprintf(texts[n++], 64, "0.0");
        return n;
    }
    if (x.point >= x.n && x.point <= INTEGER_DIGITS) {
        snprintf(texts[n++], 64, "%.0f", d);
        snprintf(texts[n++], 64, "%.1f", d);
    } else if (x.point < x.n && x.point > -FRACTION_DIGITS && x.n - x.point <= FRACTION_DIGITS &&
               x.point <= INTEGER_DIGITS) {
        snprintf(texts[n++], 64, "%.*f", x.n - x.point, d);
    }
    char tail[40] = "";
    if (x.n > 1) snprintf(tail, sizeof tail, ".%.*s", x.n - 1, x.digits + 1);
    snprintf(texts[n++], 64, "%s%c%se%d", sign, x.digits[0], tail, x.point - 1);
    snprintf(texts[n++], 64, "%s%c%se%+03d", sign, x.digits[0], tail, x.point - 1);
    return n;
}

int vbj_numbers_value(vbj_compiler *c, const json_t *value, vbj_numbers *out) {
    char texts[5][64], name[80];
    const char *list[5];
    size_t lengths[5], n = spell_value(value, texts);
    for (size_t i = 0; i < n; i++) list[i] = texts[i], lengths[i] = strlen(texts[i]);
    machine m = {.kind = COMPARE};
    read_decimal(value, &m.bound);
    snprintf(name, sizeof name, "value %s", texts[0]);
    const vbj_dfa *d = vbj_cache_get(c, name);
    if (!d) {
        d = vbj_dfa_texts(&c->arena, list, lengths, n);
        if (!d || !vbj_cache_put(c, name, d)) return vbj_full(c);
    }
    *out = (vbj_numbers){d, later(c, (vbj_late){.m = m, .wanted = LESS | GREATER})};
    return out->no ? 0 : vbj_full(c);
}
