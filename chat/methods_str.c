/* methods_str.c - the methods of strings. */
#include "chat/format.h"
#include "chat/number.h"
#include "chat/run.h"

#include <string.h>

/* One call: a method of a string. `name` starts a word of the table in methods.c. */
typedef struct call {
    vbt *t;
    const vbt_str *s;
    const char *name;
    const vbt_args *a;
} call;

static bool is(const char *name, const char *word) {
    size_t n = strlen(word);
    return strncmp(name, word, n) == 0 && (name[n] == ' ' || name[n] == 0);
}

static int name_len(const call *c) {
    return (int)strcspn(c->name, " ");
}

static void count_args(const call *c, size_t least, size_t most) {
    if (c->a->n_named) vbt_raise(c->t, "str.%.*s() takes no keyword arguments", name_len(c), c->name);
    if (c->a->n < least)
        vbt_raise(c->t, "%.*s expected at least %zu argument, got %zu", name_len(c), c->name, least, c->a->n);
    if (c->a->n > most)
        vbt_raise(c->t, "%.*s expected at most %zu argument, got %zu", name_len(c), c->name, most, c->a->n);
}

static const vbt_str *text(const call *c, vbt_val v) {
    if (v.type != VBT_STR)
        vbt_raise(c->t, "%.*s() argument must be str, not %s", name_len(c), c->name, vbt_type_name(v));
    return v.u.s;
}

/* ---------------------------------------------------------------------------------------------- cutting */

static vbt_val strip(const call *c) {
    count_args(c, 0, 1);
    vbt_val chars = c->a->n ? c->a->v[0] : vbt_none();
    int which = is(c->name, "strip") ? 3 : is(c->name, "lstrip") ? 1 : 2;
    return vbt_strip(c->t, c->s, chars.type == VBT_NONE ? NULL : text(c, chars), which);
}

static void reverse(vbt_val list) {
    vbt_list *l = list.u.list;
    for (size_t i = 0; i < l->n / 2; i++) {
        vbt_val v = l->v[i];
        l->v[i] = l->v[l->n - 1 - i];
        l->v[l->n - 1 - i] = v;
    }
}

/* At white space; what is left when `most` cuts are made keeps its inner spaces. */
static vbt_val split_spaces(const call *c, int64_t most, bool right) {
    vbt_val out = vbt_list_new(c->t, VBT_LIST, 0), words = vbt_list_new(c->t, VBT_LIST, 0);
    const vbt_str *s = c->s;
    size_t bytes, starts = 0, n = 0;
    bool in_word = false;
    vbt_steps(c->t, s->n / 16);
    for (size_t i = 0; i < s->n; i += bytes) { /* pairs of offsets */
        bool space = vbt_space(vbt_char(s, i, &bytes));
        if (!space && !in_word) starts = i;
        if (space && in_word)
            vbt_list_add(c->t, words, vbt_pair(c->t, vbt_int((int64_t)starts), vbt_int((int64_t)i)));
        in_word = !space;
    }
    if (in_word) vbt_list_add(c->t, words, vbt_pair(c->t, vbt_int((int64_t)starts), vbt_int((int64_t)s->n)));
    const vbt_list *w = words.u.list;
    n = w->n;
    bool all = most < 0 || (uint64_t)most >= n;
    size_t cuts = all ? n : (size_t)most;
    for (size_t i = 0; i < cuts; i++) {
        const vbt_val *p = w->v[right ? n - 1 - i : i].u.list->v;
        vbt_list_add(c->t, out, vbt_part(c->t, s, (size_t)p[0].u.i, (size_t)p[1].u.i));
    }
    if (!all) { /* the rest, in one piece */
        size_t from = right ? 0 : (size_t)w->v[cuts].u.list->v[0].u.i,
               to = right ? (size_t)w->v[n - 1 - cuts].u.list->v[1].u.i : s->n;
        vbt_list_add(c->t, out, vbt_part(c->t, s, from, to));
    }
    if (right) reverse(out);
    return out;
}

static vbt_val split(const call *c) {
    vbt_val v[2];
    bool right = is(c->name, "rsplit");
    vbt_bind(c->t, right ? "rsplit" : "split", c->a, "sep maxsplit", 0, v);
    int64_t most = v[1].type == VBT_MISSING ? -1 : vbt_need_int(c->t, v[1], "maxsplit");
    if (v[0].type == VBT_MISSING || v[0].type == VBT_NONE) return split_spaces(c, most, right);
    const vbt_str *sep = text(c, v[0]);
    if (sep->n == 0) vbt_raise(c->t, "empty separator");
    vbt_val out = vbt_list_new(c->t, VBT_LIST, 0);
    size_t from = 0, to = c->s->n;
    while (most != 0) {
        size_t at = right ? vbt_rfind(c->t, c->s, from, to, sep) : vbt_find(c->t, c->s, from, to, sep);
        if (at == SIZE_MAX) break;
        vbt_list_add(c->t, out,
                     right ? vbt_part(c->t, c->s, at + sep->n, to) : vbt_part(c->t, c->s, from, at));
        if (right)
            to = at;
        else
            from = at + sep->n;
        if (most > 0) most--;
    }
    vbt_list_add(c->t, out, vbt_part(c->t, c->s, from, to));
    if (right) reverse(out);
    return out;
}

static vbt_val partition(const call *c) {
    count_args(c, 1, 1);
    const vbt_str *sep = text(c, c->a->v[0]);
    bool right = is(c->name, "rpartition");
    if (sep->n == 0) vbt_raise(c->t, "empty separator");
    size_t at = right ? vbt_rfind(c->t, c->s, 0, c->s->n, sep) : vbt_find(c->t, c->s, 0, c->s->n, sep);
    vbt_val out = vbt_list_new(c->t, VBT_TUPLE, 3), whole = {.type = VBT_STR, .u.s = c->s};
    if (at == SIZE_MAX) {
        vbt_list_add(c->t, out, right ? vbt_word(c->t, "") : whole);
        vbt_list_add(c->t, out, vbt_word(c->t, ""));
        vbt_list_add(c->t, out, right ? whole : vbt_word(c->t, ""));
        return out;
    }
    vbt_list_add(c->t, out, vbt_part(c->t, c->s, 0, at));
    vbt_list_add(c->t, out, c->a->v[0]);
    vbt_list_add(c->t, out, vbt_part(c->t, c->s, at + sep->n, c->s->n));
    return out;
}

static vbt_val remove_end(const call *c) {
    count_args(c, 1, 1);
    const vbt_str *what = text(c, c->a->v[0]);
    const vbt_str *s = c->s;
    bool front = is(c->name, "removeprefix");
    bool there = s->n >= what->n && memcmp(s->s + (front ? 0 : s->n - what->n), what->s, what->n) == 0;
    if (!there) return (vbt_val){.type = VBT_STR, .u.s = s};
    return front ? vbt_part(c->t, s, what->n, s->n) : vbt_part(c->t, s, 0, s->n - what->n);
}

/* ------------------------------------------------------------------------------------------ searching */

/* The bytes that arguments 1 and 2 bound, in characters; false if the start lies behind the end of the
 * text. */
static bool range(const call *c, size_t *from, size_t *to) {
    int64_t n = (int64_t)vbt_char_count(c->s), v[2] = {0, n};
    for (size_t i = 0; i < 2; i++) {
        if (c->a->n <= i + 1 || c->a->v[i + 1].type == VBT_NONE) continue;
        v[i] = vbt_need_int(c->t, c->a->v[i + 1], "slice indices");
        if (v[i] < 0) v[i] = v[i] < -n ? 0 : v[i] + n;
        if (i == 1 && v[i] > n) v[i] = n;
    }
    if (v[0] > n || v[0] > v[1]) return false;
    *from = vbt_char_offset(c->s, (size_t)v[0]);
    *to = vbt_char_offset(c->s, (size_t)v[1]);
    return true;
}

static vbt_val find(const call *c) {
    count_args(c, 1, 3);
    const vbt_str *what = text(c, c->a->v[0]);
    size_t from, to, at = SIZE_MAX;
    if (range(c, &from, &to))
        at = c->name[0] == 'r' ? vbt_rfind(c->t, c->s, from, to, what) : vbt_find(c->t, c->s, from, to, what);
    if (at != SIZE_MAX) {
        vbt_str head = {c->s->s, at, NULL, false, false, -1};
        return vbt_int((int64_t)vbt_char_count(&head));
    }
    if (is(c->name, "index") || is(c->name, "rindex")) vbt_raise(c->t, "substring not found");
    return vbt_int(-1);
}

static vbt_val count(const call *c) {
    count_args(c, 1, 3);
    const vbt_str *what = text(c, c->a->v[0]);
    size_t from, to;
    int64_t n = 0;
    if (!range(c, &from, &to)) return vbt_int(0);
    if (what->n == 0) {
        vbt_str part = {c->s->s + from, to - from, NULL, false, false, -1};
        return vbt_int((int64_t)vbt_char_count(&part) + 1);
    }
    for (size_t at; (at = vbt_find(c->t, c->s, from, to, what)) != SIZE_MAX; n++) from = at + what->n;
    return vbt_int(n);
}

static vbt_val at_end(const call *c) {
    count_args(c, 1, 3);
    bool front = is(c->name, "startswith");
    vbt_val what = c->a->v[0], one = vbt_list_new(c->t, VBT_TUPLE, 1);
    size_t from, to;
    if (what.type != VBT_STR && what.type != VBT_TUPLE)
        vbt_raise(c->t, "%.*s first arg must be str or a tuple of str, not %s", name_len(c), c->name,
                  vbt_type_name(what));
    if (what.type == VBT_STR) vbt_list_add(c->t, one, what);
    const vbt_list *l = what.type == VBT_STR ? one.u.list : what.u.list;
    bool valid = range(c, &from, &to);
    for (size_t i = 0; i < l->n; i++) {
        const vbt_str *w = text(c, l->v[i]);
        if (valid && to - from >= w->n && memcmp(c->s->s + (front ? from : to - w->n), w->s, w->n) == 0)
            return vbt_bool(true);
    }
    return vbt_bool(false);
}

/* ----------------------------------------------------------------------------------------------- making */

static vbt_val replace(const call *c) {
    count_args(c, 2, 3);
    const vbt_str *old = text(c, c->a->v[0]), *new = text(c, c->a->v[1]), *s = c->s;
    int64_t most = c->a->n > 2 ? vbt_need_int(c->t, c->a->v[2], "replace") : -1;
    vbt_buf out = {.t = c->t, .limit = VBT_OUTPUT_LIMIT};
    size_t from = 0, bytes;
    if (old->n == 0) { /* before each character and at the end */
        for (size_t i = 0; i < s->n && most != 0; i += bytes, most -= most > 0) {
            vbt_char(s, i, &bytes);
            vbt_put_str(&out, new);
            vbt_put_part(&out, s, i, i + bytes);
            from = i + bytes;
        }
        vbt_put_part(&out, s, from, s->n);
        if (most != 0) vbt_put_str(&out, new);
        return vbt_buf_value(&out);
    }
    while (most != 0) {
        size_t at = vbt_find(c->t, s, from, s->n, old);
        if (at == SIZE_MAX) break;
        vbt_put_part(&out, s, from, at);
        vbt_put_str(&out, new);
        from = at + old->n;
        most -= most > 0;
    }
    vbt_put_part(&out, s, from, s->n);
    return vbt_buf_value(&out);
}

static vbt_val join(const call *c) {
    count_args(c, 1, 1);
    if (!vbt_can_iterate(c->a->v[0])) vbt_raise(c->t, "can only join an iterable");
    const vbt_list *l = vbt_elements(c->t, c->a->v[0]);
    vbt_buf out = {.t = c->t, .limit = VBT_OUTPUT_LIMIT};
    for (size_t i = 0; i < l->n; i++) {
        if (l->v[i].type != VBT_STR)
            vbt_raise(c->t, "sequence item %zu: expected str instance, %s found", i, vbt_type_name(l->v[i]));
        if (i > 0) vbt_put_str(&out, c->s);
        vbt_put_str(&out, l->v[i].u.s);
    }
    return vbt_buf_value(&out);
}

static vbt_val pad(const call *c) {
    count_args(c, 1, 2);
    int64_t width = vbt_need_int(c->t, c->a->v[0], "width"), n = (int64_t)vbt_char_count(c->s);
    vbt_val fill = c->a->n > 1 ? c->a->v[1] : vbt_word(c->t, " ");
    if (fill.type != VBT_STR || vbt_char_count(fill.u.s) != 1)
        vbt_raise(c->t, "The fill character must be exactly one character long");
    if (width <= n) return (vbt_val){.type = VBT_STR, .u.s = c->s};
    int64_t more = width - n, left = is(c->name, "ljust") ? 0 : more;
    if (is(c->name, "center")) left = more / 2 + (more & width & 1);
    vbt_buf out = {.t = c->t, .limit = VBT_OUTPUT_LIMIT};
    for (int64_t i = 0; i < left; i++) vbt_put_str(&out, fill.u.s);
    vbt_put_str(&out, c->s);
    for (int64_t i = left; i < more; i++) vbt_put_str(&out, fill.u.s);
    return vbt_buf_value(&out);
}

static vbt_val zfill(const call *c) {
    count_args(c, 1, 1);
    int64_t width = vbt_need_int(c->t, c->a->v[0], "width"), n = (int64_t)vbt_char_count(c->s);
    bool sign = c->s->n > 0 && (c->s->s[0] == '+' || c->s->s[0] == '-');
    vbt_buf out = {.t = c->t, .limit = VBT_OUTPUT_LIMIT};
    vbt_put_part(&out, c->s, 0, sign);
    for (; n < width; n++) vbt_put(&out, "0", 1, vbt_any_given(c->s));
    vbt_put_part(&out, c->s, sign, c->s->n);
    return vbt_buf_value(&out);
}

static vbt_val expandtabs(const call *c) {
    vbt_val v;
    vbt_bind(c->t, "expandtabs", c->a, "tabsize", 0, &v);
    int64_t size = v.type == VBT_MISSING ? 8 : vbt_need_int(c->t, v, "tabsize"), column = 0;
    vbt_buf out = {.t = c->t, .limit = VBT_OUTPUT_LIMIT};
    size_t bytes;
    for (size_t i = 0; i < c->s->n; i += bytes) {
        uint32_t cp = vbt_char(c->s, i, &bytes);
        if (cp == '\t') {
            int64_t more = size > 0 ? size - column % size : 0;
            for (int64_t k = 0; k < more; k++) vbt_put(&out, " ", 1, vbt_byte_given(c->s, i));
            column += more;
        } else {
            vbt_put_part(&out, c->s, i, i + bytes);
            column = cp == '\n' || cp == '\r' ? 0 : column + 1;
        }
    }
    return vbt_buf_value(&out);
}

static vbt_val splitlines(const call *c) {
    vbt_val keep;
    vbt_bind(c->t, "splitlines", c->a, "keepends", 0, &keep);
    bool keeps = keep.type != VBT_MISSING && vbt_need_int(c->t, keep, "splitlines()") != 0;
    return vbt_splitlines(c->t, c->s, keeps);
}

/* ----------------------------------------------------------------------------------------------- all */

static vbt_val change_case(const call *c) {
    static const struct {
        const char *name;
        vbt_case to;
    } cases[] = {{"upper", VBT_UPPER},   {"lower", VBT_LOWER},   {"title", VBT_TITLE},
                 {"casefold", VBT_FOLD}, {"swapcase", VBT_SWAP}, {"capitalize", VBT_CAPITAL}};
    size_t i = 0;
    count_args(c, 0, 0);
    while (!is(c->name, cases[i].name)) i++;
    return vbt_change_case(c->t, c->s, cases[i].to);
}

static vbt_val question(const call *c) {
    char word[32] = "";
    count_args(c, 0, 0);
    memcpy(word, c->name, (size_t)name_len(c));
    return vbt_bool(vbt_text_is(c->t, c->s, word));
}

static vbt_val format(const call *c) {
    return vbt_format(c->t, c->s, c->a);
}

vbt_val vbt_str_method(vbt *t, const vbt_str *s, const char *name, const vbt_args *a) {
    static const struct {
        const char *name;
        vbt_val (*run)(const call *c);
    } methods[] = {{"strip", strip},
                   {"lstrip", strip},
                   {"rstrip", strip},
                   {"split", split},
                   {"rsplit", split},
                   {"partition", partition},
                   {"rpartition", partition},
                   {"removeprefix", remove_end},
                   {"removesuffix", remove_end},
                   {"find", find},
                   {"rfind", find},
                   {"index", find},
                   {"rindex", find},
                   {"count", count},
                   {"startswith", at_end},
                   {"endswith", at_end},
                   {"replace", replace},
                   {"join", join},
                   {"ljust", pad},
                   {"rjust", pad},
                   {"center", pad},
                   {"zfill", zfill},
                   {"expandtabs", expandtabs},
                   {"splitlines", splitlines},
                   {"upper", change_case},
                   {"lower", change_case},
                   {"title", change_case},
                   {"casefold", change_case},
                   {"swapcase", change_case},
                   {"capitalize", change_case},
                   {"format", format}};
    call c = {t, s, name, a};
    if (s->markup) vbt_left_out(t, "methods of text that the filters safe and escape made are not supported");
    vbt_steps(t, s->n / 64);
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++)
        if (is(name, methods[i].name)) return methods[i].run(&c);
    return question(&c);
}
