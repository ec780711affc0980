/* calls_tags.c - calls whose arguments stand between tags: <parameter=a>1</parameter>.
 *
 * A value may hold anything, the tag that ends it too: that tag ends a value only where another argument or
 * the end of the call follows. A value that holds all of that cannot be told from the end of its call. */
#include "chat/calls.h"

#include "base/utf8.h"

#include <string.h>

enum { KEY = VBC_OWN, BEHIND_KEY, TEXT };

/* A literal between the white space at its ends. */
typedef struct core {
    const char *s;
    size_t n, before, behind; /* bytes; white space in front and behind */
} core;

static core core_of(const char *literal) {
    size_t n = strlen(literal);
    core c = {literal, n, vbc_spaces(literal, n), 0};
    while (c.behind < n - c.before && vbc_space(literal[n - 1 - c.behind])) c.behind++;
    c.s += c.before;
    c.n -= c.before + c.behind;
    return c;
}

/* Both ways that a call can go on behind white space, tried on held bytes. */
static vbc_fit either(const char *item, const char *end, const char *s, size_t n, bool *ends) {
    const size_t spaces = vbc_spaces(s, n);
    size_t used;
    const vbc_fit more = vbc_match(item, s + spaces, n - spaces, &used, NULL),
                  last = vbc_match(end, s + spaces, n - spaces, &used, NULL);
    *ends = last == VBC_YES;
    if (more == VBC_YES || last == VBC_YES) return VBC_YES;
    return more == VBC_PART || last == VBC_PART ? VBC_PART : VBC_NO;
}

static void begin_key(vbc_reader *r) {
    r->state = KEY;
    r->key.n = r->held.n = 0;
}

static vbc_step finish(vbc_reader *r) {
    vb_buf_puts(&r->args, r->n_args ? "}" : "{}");
    r->begun = r->complete = r->has_args = true;
    r->sure = r->args.n;
    return VBC_DONE;
}

/* --------------------------------------------------------------------------------------------------- keys */

static void begin_text(vbc_reader *r, bool other) {
    const bool typed = strcmp(r->k->f.value, r->k->f.value_other) != 0;
    r->types = typed && !other ? VBC_STRING : vbc_types(r->function, r->key.s ? r->key.s : "", r->key.n);
    if (typed && other && r->types == VBC_STRING) r->types = 0;
    r->streamed = r->types == VBC_STRING;
    vb_buf_puts(&r->args, r->n_args++ ? ", " : "{");
    vbc_json_put(&r->args, r->key.s ? r->key.s : "", r->key.n);
    vb_buf_puts(&r->args, r->streamed ? ": \"" : ": ");
    r->begun = true;
    r->sure = r->args.n;
    r->text.n = r->sent = 0;
    r->found = SIZE_MAX;
    r->stripped = core_of(other ? r->k->f.value_other : r->k->f.value).behind == 0;
    r->state = TEXT;
}

static bool key_is_text(const vbc_reader *r) {
    for (size_t i = 0, k; i < r->key.n; i += k) {
        k = vb_utf8_char((const unsigned char *)r->key.s + i, r->key.n - i, NULL);
        if (k == 0) return false;
    }
    return r->key.n > 0;
}

/* Up to what follows a key in this format. */
static vbc_step in_key(vbc_reader *r, char c) {
    size_t used;
    if (!vb_buf_add(&r->held, &c, 1)) return VBC_WRONG;
    const vbc_fit text = vbc_match(r->k->f.value, r->held.s, r->held.n, &used, NULL),
                  other = vbc_match(r->k->f.value_other, r->held.s, r->held.n, &used, NULL);
    if (text == VBC_YES || other == VBC_YES) {
        if (!key_is_text(r)) return VBC_WRONG;
        begin_text(r, text != VBC_YES);
        return VBC_MORE;
    }
    if (text == VBC_PART || other == VBC_PART) return VBC_MORE;
    /* The first byte of what was held belongs to the key; the rest is looked at again. */
    vb_buf_add(&r->key, r->held.s, 1);
    vb_buf rest = {0};
    vb_buf_add(&rest, r->held.s + 1, r->held.n - 1);
    r->held.n = 0;
    vbc_step step = rest.failed ? VBC_WRONG : VBC_MORE;
    for (size_t i = 0; i < rest.n && step == VBC_MORE; i++) step = vbc_read_tags(r, rest.s[i]);
    vb_buf_free(&rest);
    return step;
}

/* ------------------------------------------------------------------------------------------------- values */

/* Bytes of text that belong to the value whatever comes, and end with a character. */
static size_t certain(const vbc_reader *r, core end) {
    size_t n = r->text.n;
    if (r->found != SIZE_MAX) {
        n = r->found;
    } else {
        for (size_t k = end.n - 1 < n ? end.n - 1 : n; k > 0; k--)
            if (memcmp(r->text.s + n - k, end.s, k) == 0) {
                n -= k;
                break;
            }
    }
    size_t spaces = 0;
    while (spaces < end.before && spaces < n && vbc_space(r->text.s[n - 1 - spaces])) spaces++;
    n -= spaces;
    size_t i = r->sent;
    while (i < n) {
        const size_t k = vb_utf8_char((const unsigned char *)r->text.s + i, n - i, NULL);
        if (k == 0) break;
        i += k;
    }
    return i;
}

static bool text_ends(vbc_reader *r, core end) {
    size_t n = r->found;
    if (n >= end.before && memcmp(r->text.s + n - end.before, end.s - end.before, end.before) == 0)
        n -= end.before;
    for (size_t i = r->streamed ? r->sent : 0, k; i < n; i += k) {
        k = vb_utf8_char((const unsigned char *)r->text.s + i, n - i, NULL);
        if (k == 0) return false;
    }
    const char *text = r->text.s ? r->text.s : "";
    if (r->streamed) {
        vbc_json_escape(&r->args, text + r->sent, n - r->sent);
        vb_buf_puts(&r->args, "\"");
    } else {
        vbc_typed(&r->args, text, n, r->types);
    }
    r->sure = r->args.n;
    return true;
}

/* The next place from `from` on where the value may end. */
static size_t find_end(const vb_buf *text, size_t from, core end) {
    for (size_t i = from; i + end.n <= text->n; i++)
        if (text->s[i] == *end.s && memcmp(text->s + i, end.s, end.n) == 0) return i;
    return SIZE_MAX;
}

static vbc_step in_text(vbc_reader *r, char c) {
    const core end = core_of(r->k->f.item_end);
    if (!r->stripped) {
        r->stripped = true;
        if (c == '\n') return VBC_MORE;
    }
    vb_buf_add(&r->text, &c, 1);
    if (r->text.failed) return VBC_WRONG;
    if (r->found == SIZE_MAX && r->text.n >= end.n) r->found = find_end(&r->text, r->text.n - end.n, end);
    while (r->found != SIZE_MAX) {
        const size_t behind = r->found + end.n;
        bool ends;
        const vbc_fit fit = either(r->k->f.item, r->k->f.end, r->text.s + behind, r->text.n - behind, &ends);
        if (fit == VBC_PART) break;
        if (fit == VBC_YES) {
            if (!text_ends(r, end)) return VBC_WRONG;
            if (ends) return finish(r);
            begin_key(r);
            return VBC_MORE;
        }
        r->found = find_end(&r->text, r->found + 1, end);
    }
    if (!r->streamed) return VBC_MORE;
    const size_t to = certain(r, end);
    vbc_json_escape(&r->args, r->text.s + r->sent, to - r->sent);
    r->sent = to;
    r->sure = r->args.n;
    return VBC_MORE;
}

/* --------------------------------------------------------------------------------------------------- all */

vbc_step vbc_read_tags(vbc_reader *r, char c) {
    bool ends;
    switch (r->state) {
    case VBC_NAME:
        if (vbc_in_name(r, c)) return VBC_MORE;
        if (!vbc_know_name(r)) return VBC_WRONG;
        r->state = VBC_BETWEEN;
        return vbc_read_tags(r, c);
    case VBC_BETWEEN:
        vb_buf_add(&r->held, &c, 1);
        switch (either(r->k->item_or, r->k->end_or, r->held.s, r->held.n, &ends)) {
        case VBC_PART: return VBC_MORE;
        case VBC_NO: return VBC_WRONG;
        default: break;
        }
        if (ends) return finish(r);
        begin_key(r);
        return VBC_MORE;
    case KEY: return in_key(r, c);
    default: return in_text(r, c);
    }
}

/* Whether s begins with the first tag of a literal. */
static bool first_tag(const char *literal, const char *s, size_t n) {
    const char *close = strchr(literal, '>');
    size_t used;
    if (!close) return false;
    char tag[256];
    const size_t size = (size_t)(close - literal) + 1;
    if (size >= sizeof tag) return false;
    memcpy(tag, literal, size);
    tag[size] = 0;
    const size_t spaces = vbc_spaces(s, n);
    return vbc_match(tag, s + spaces, n - spaces, &used, NULL) == VBC_YES;
}

bool vbc_end_tags(vbc_reader *r) {
    const core end = core_of(r->k->f.item_end);
    if (r->state == TEXT && r->found != SIZE_MAX) {
        const size_t behind = r->found + end.n;
        if (!first_tag(r->k->f.end, r->text.s + behind, r->text.n - behind) || !text_ends(r, end))
            return false;
    } else if (r->state != VBC_BETWEEN || r->held.n == 0 || !*r->k->f.between ||
               !first_tag(r->k->end_or + strlen(r->k->f.between), r->held.s, r->held.n)) {
        return false;
    }
    finish(r);
    return true;
}
