/* calls_read.c - one call, byte by byte: a name and an object behind it, or both as members of an object. */
#include "chat/calls.h"

#include <string.h>

/* --------------------------------------------------------------------------------------------- the reader */

void vbc_reader_start(vbc_reader *r, bool other) {
    vb_buf *const all[] = {&r->name, &r->id, &r->args, &r->key, &r->text, &r->held};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) all[i]->n = 0;
    r->style = r->k->f.style;
    r->either = other;
    r->state = r->style == VB_CALLS_MEMBERS ? VBC_OWN : VBC_NAME;
    r->depth = r->n_args = 0;
    r->json = (vbc_json){0};
    vbc_literal_free(&r->literal);
    r->literal.gemma = r->style == VB_CALLS_GEMMA;
    r->function = NULL;
    r->named = r->has_args = r->begun = r->complete = r->loose = r->doubled = false;
    r->sure = r->sent = 0;
}

void vbc_reader_free(vbc_reader *r) {
    vb_buf *const all[] = {&r->name, &r->id, &r->args, &r->key, &r->text, &r->held};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) vb_buf_free(all[i]);
    vbc_literal_free(&r->literal);
}

bool vbc_name_byte(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-' || c == '.' || c == '/' || (unsigned char)c >= 0x80;
}

bool vbc_in_name(vbc_reader *r, char c) {
    if (r->name.n == 0 && vbc_space(c)) return true;
    if (!vbc_name_byte(c)) return false;
    vb_buf_add(&r->name, &c, 1);
    return true;
}

bool vbc_know_name(vbc_reader *r) {
    if (r->name.n == 0) return false;
    r->function = vbc_tool(r->tools, r->name.s, r->name.n);
    r->named = r->function || (r->any_name && !r->loose);
    return r->named;
}

bool vbc_reader_named(vbc_reader *r, const char *name, size_t n) {
    vbc_reader_start(r, false);
    vb_buf_add(&r->name, name, n);
    r->state = VBC_ARGS;
    return vbc_know_name(r);
}

vbc_step vbc_to_tail(vbc_reader *r) {
    r->state = VBC_TAIL;
    r->complete = r->has_args = r->begun = true;
    r->sure = r->args.n;
    r->held.n = 0;
    return *r->k->tail && !r->loose ? VBC_MORE : VBC_DONE;
}

vbc_step vbc_read_tail(vbc_reader *r, char c) {
    size_t used;
    if (r->held.n == 0 && vbc_space(c)) return VBC_MORE;
    vb_buf_add(&r->held, &c, 1);
    switch (vbc_match(r->k->tail, r->held.s, r->held.n, &used, &r->id)) {
    case VBC_YES: return VBC_DONE;
    case VBC_PART: return VBC_MORE;
    default: return VBC_WRONG;
    }
}

/* A byte of the object of arguments. */
static vbc_step in_object(vbc_reader *r, char c) {
    if (!r->begun && vbc_space(c)) return VBC_MORE;
    if (!r->begun && c != '{') return VBC_WRONG;
    r->begun = true;
    vb_buf_add(&r->args, &c, 1);
    const vbc_step step = vbc_json_byte(&r->json, (unsigned char)c);
    if (step != VBC_WRONG && r->json.more == 0) r->sure = r->args.n;
    return step;
}

/* --------------------------------------------------------------------------------- a name, then an object */

static vbc_step read_named(vbc_reader *r, char c) {
    size_t used;
    switch (r->state) {
    case VBC_NAME:
        if (vbc_in_name(r, c)) return VBC_MORE;
        if (!vbc_know_name(r)) return VBC_WRONG;
        r->state = *r->k->f.between ? VBC_BETWEEN : VBC_ARGS;
        return read_named(r, c);
    case VBC_BETWEEN:
        vb_buf_add(&r->held, &c, 1);
        r->id.n = 0;
        switch (vbc_match(r->k->f.between, r->held.s, r->held.n, &used, &r->id)) {
        case VBC_PART: return VBC_MORE;
        case VBC_NO: return VBC_WRONG;
        default: break;
        }
        r->state = VBC_ARGS;
        /* Of a literal that is white space alone this byte is the first one behind. */
        return used < r->held.n ? read_named(r, c) : VBC_MORE;
    case VBC_ARGS: {
        const vbc_step step = in_object(r, c);
        return step == VBC_DONE ? vbc_to_tail(r) : step;
    }
    default: return vbc_read_tail(r, c);
    }
}

/* -------------------------------------------------------------------------------- members of an object */

enum { OPEN = VBC_OWN, FIRST_KEY, KEY, IN_KEY, COLON, VALUE, IN_VALUE, BEHIND };
enum { OTHER, NAME, ARGUMENTS, ID, WRAP }; /* what a member is */

static bool is_one(const vb_buf *key, const char *const *names) {
    for (; *names; names++)
        if (key->n == strlen(*names) && memcmp(key->s, *names, key->n) == 0) return true;
    return false;
}

/* Models write one format's key in another's, too. */
static int role_of(const vb_buf *key) {
    static const char *const names[] = {"name", "tool_name", NULL},
                             *const arguments[] = {"arguments", "parameters", NULL},
                             *const ids[] = {"id", "tool_call_id", "call_id", NULL},
                             *const wraps[] = {"function", NULL};
    if (is_one(key, names)) return NAME;
    if (is_one(key, arguments)) return ARGUMENTS;
    if (is_one(key, ids)) return ID;
    return is_one(key, wraps) ? WRAP : OTHER;
}

/* A member's value has ended; its text is in r->text unless it is the object of arguments. */
static bool member_ends(vbc_reader *r) {
    char first;
    r->state = BEHIND;
    if (r->text.failed || r->args.failed) return false;
    switch (r->role) {
    case NAME: return vbc_json_text(r->text.s, r->text.n, &r->name) && vbc_know_name(r);
    case ARGUMENTS:
        r->has_args = true;
        if (r->begun) return true;
        /* An object in a string, as OpenAI's API has it, or null. */
        if (r->text.n > 0 && r->text.s[0] == 'n') return vb_buf_puts(&r->args, "{}");
        return vbc_json_text(r->text.s, r->text.n, &r->args) &&
               vbc_json_whole(r->args.s ? r->args.s : "", r->args.n, &first) && first == '{';
    case ID:
        r->id.n = 0;
        if (r->text.s[0] == '"') return vbc_json_text(r->text.s, r->text.n, &r->id);
        return vb_buf_add(&r->id, r->text.s, r->text.n);
    default: return true;
    }
}

static vbc_step begin_value(vbc_reader *r, char c) {
    r->json = (vbc_json){0};
    r->text.n = 0;
    r->state = IN_VALUE;
    if (r->role == WRAP && c == '{' && r->depth == 1) {
        r->depth = 2;
        r->state = FIRST_KEY;
        return VBC_MORE;
    }
    if ((r->role == NAME && (r->named || c != '"')) || (r->role == ID && c != '"' && (c < '0' || c > '9')) ||
        (r->role == ARGUMENTS && (r->has_args || !strchr("{\"n", c))))
        return VBC_WRONG;
    if (r->role == ARGUMENTS && c == '{') return in_object(r, c);
    vb_buf_add(&r->text, &c, 1);
    return vbc_json_byte(&r->json, (unsigned char)c);
}

static vbc_step in_value(vbc_reader *r, char c) {
    vbc_step step;
    if (r->role == ARGUMENTS && r->begun && !r->has_args) {
        step = in_object(r, c);
    } else {
        step = vbc_json_byte(&r->json, (unsigned char)c);
        if (step != VBC_BEFORE) vb_buf_add(&r->text, &c, 1);
    }
    if (step == VBC_MORE || step == VBC_WRONG) return step;
    if (!member_ends(r)) return VBC_WRONG;
    return step == VBC_BEFORE ? vbc_read_byte(r, c) : VBC_MORE;
}

static vbc_step object_ends(vbc_reader *r) {
    r->state = BEHIND;
    if (--r->depth > 0) return VBC_MORE;
    if (!r->named) return VBC_WRONG;
    if (!r->has_args) {
        /* A tool without arguments; but where nothing marks a call, an object with a name is not yet one. */
        if (!*r->k->trigger || r->loose) return VBC_WRONG;
        vb_buf_puts(&r->args, "{}");
    }
    return vbc_to_tail(r);
}

static vbc_step in_key(vbc_reader *r, char c) {
    vb_buf_add(&r->text, &c, 1);
    const vbc_step step = vbc_json_byte(&r->json, (unsigned char)c);
    if (step != VBC_DONE) return step;
    r->key.n = 0;
    if (!vbc_json_text(r->text.s, r->text.n, &r->key)) return VBC_WRONG;
    r->role = role_of(&r->key);
    r->state = COLON;
    return r->loose && r->role != NAME && r->role != ARGUMENTS ? VBC_WRONG : VBC_MORE;
}

static vbc_step read_members(vbc_reader *r, char c) {
    switch (r->state) {
    case IN_KEY: return in_key(r, c);
    case IN_VALUE: return in_value(r, c);
    case VBC_TAIL: return vbc_read_tail(r, c);
    default: break;
    }
    if (vbc_space(c)) return VBC_MORE;
    switch (r->state) {
    case OPEN:
        r->depth = 1;
        r->state = FIRST_KEY;
        if (c == '{') return VBC_MORE;
        if (!r->either) return VBC_WRONG;
        r->style = VB_CALLS_PYTHON; /* f.call(a=1) */
        r->state = VBC_NAME;
        return vbc_read_byte(r, c);
    case FIRST_KEY:
    case KEY:
        if (c == '}' && r->state == FIRST_KEY) return object_ends(r);
        if (c == '{' && r->state == FIRST_KEY && r->lenient && !r->doubled && r->depth == 1) {
            r->doubled = true; /* as some templates' examples have it, for want of an escape */
            r->depth = 2;
            return VBC_MORE;
        }
        r->json = (vbc_json){0};
        r->text.n = 0;
        r->state = IN_KEY;
        return c == '"' ? in_key(r, c) : VBC_WRONG;
    case COLON: r->state = VALUE; return c == ':' ? VBC_MORE : VBC_WRONG;
    case VALUE: return begin_value(r, c);
    default:
        if (c == '}') return object_ends(r);
        r->state = KEY;
        return c == ',' ? VBC_MORE : VBC_WRONG;
    }
}

/* ------------------------------------------------------------------------------------------- any style */

vbc_step vbc_read_byte(vbc_reader *r, char c) {
    switch (r->style) {
    case VB_CALLS_MEMBERS: return read_members(r, c);
    case VB_CALLS_TAGS: return vbc_read_tags(r, c);
    case VB_CALLS_PYTHON:
    case VB_CALLS_GEMMA: return vbc_read_python(r, c);
    default: return read_named(r, c);
    }
}

bool vbc_read_end(vbc_reader *r) {
    return r->complete || (r->style == VB_CALLS_TAGS && vbc_end_tags(r));
}
