/* calls_input.c - messages and tools as clients of the OpenAI API write them, turned into what templates
 * take.
 *
 * Templates are written for transformers' users, who pass a call's arguments as an object; clients send
 * its JSON text. What else templates differ in was found by rendering (calls_probe.c). */
#include "chat/calls.h"
#include "chat/repr.h"
#include "chat/text.h"

#include <stdio.h>
#include <string.h>

static vbt_val *member(const vbt_val *v, const char *name) {
    if (!v || v->type != VBT_DICT) return NULL;
    return (vbt_val *)(uintptr_t)vbc_member(v->u.dict, name, strlen(name));
}

static bool is_word(const vbt_val *v, const char *word) {
    return v && v->type == VBT_STR && vbt_is(v->u.s, word);
}

static void set(vbt *t, const vbt_val *dict, const char *name, vbt_val v) {
    vbt_dict_set(t, dict->u.dict, vbt_word(t, name), v);
}

/* --------------------------------------------------------------------------------------------- arguments */

/* The text as a value; false: it is no JSON. */
static bool read_json(vbt *t, const vbt_str *s, vbt_val *out) {
    jmp_buf outer;
    vb_error *const err = t->err;
    const int depth = t->depth;
    memcpy(outer, t->out, sizeof outer);
    t->err = NULL;
    t->rc = VB_OK;
    if (setjmp(t->out) == 0) *out = vbt_read_exact_json(t, s->s, s->n);
    memcpy(t->out, outer, sizeof outer);
    t->err = err;
    const int rc = t->rc;
    t->rc = VB_OK;
    if (rc && rc != VB_ERR_ARGUMENT) vbt_fail(t, rc, "arguments of a call: too large to be read");
    if (rc) t->depth = depth;
    return rc == VB_OK;
}

static vbt_val json_text(vbt *t, vbt_val v) {
    vbt_buf b = {.t = t, .given = true};
    const vbt_json how = {.item = vbt_word(t, ", ").u.s, .key = vbt_word(t, ": ").u.s};
    vbt_put_json(&b, v, &how);
    return vbt_buf_value(&b);
}

/* `arguments`: an object for the template, or its text where the template can only take that. What is no
 * object stays what it is. */
static void call_arguments(vbt *t, const vb_calls *k, const vbt_val *function) {
    vbt_val *v = member(function, "arguments"), object = {0};
    if (!v) return;
    if (k->f.arguments_text) {
        if (v->type == VBT_DICT) *v = json_text(t, *v);
        return;
    }
    if (v->type != VBT_STR) return;
    if (vbc_spaces(v->u.s->s, v->u.s->n) == v->u.s->n)
        *v = vbt_dict_new(t, 0); /* clients send "" for no arguments */
    else if (read_json(t, v->u.s, &object) && object.type == VBT_DICT)
        *v = object;
}

/* ---------------------------------------------------------------------------------------------------- ids */

/* Nine letters and digits for any other id, the same for the same. */
static vbt_val short_id(vbt *t, const vbt_str *s) {
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    char id[9];
    bool good = s->n == 9;
    uint64_t h = 0xCBF29CE484222325U; /* FNV-1a */
    for (size_t i = 0; i < s->n; i++) {
        good &= s->s[i] && strchr(letters, s->s[i]) != NULL;
        h = (h ^ (unsigned char)s->s[i]) * 0x100000001B3U;
    }
    if (good) return (vbt_val){.type = VBT_STR, .u.s = s};
    h ^= h >> 29;
    for (size_t i = 0; i < sizeof id; i++, h /= 62) id[i] = letters[h % 62];
    return vbt_text(t, id, sizeof id, true);
}

static void ids(vbt *t, const vb_calls *k, vbt_val *id) {
    if (k->short_ids && id && id->type == VBT_STR) *id = short_id(t, id->u.s);
}

/* Kimi's template writes ids in place of names: functions.NAME:NUMBER, counted through the conversation.
 * Others' ids become that; results first, which are told by the old ones. */
static vbt_val named_id(vbt *t, const vbt_val *call, size_t number) {
    const vbt_val *name = member(member(call, "function"), "name");
    char digits[24];
    vbt_buf b = {.t = t, .given = true};
    vbt_puts(&b, "functions.", true);
    if (name && name->type == VBT_STR) vbt_put_str(&b, name->u.s);
    snprintf(digits, sizeof digits, ":%zu", number);
    vbt_puts(&b, digits, true);
    return vbt_buf_value(&b);
}

static bool is_named_id(const vbt_val *id) {
    static const char head[] = "functions.";
    return id && id->type == VBT_STR && id->u.s->n > sizeof head &&
           memcmp(id->u.s->s, head, sizeof head - 1) == 0 && memchr(id->u.s->s, ':', id->u.s->n);
}

/* The id that the call with this one gets; `calls_too`: it gets it now. */
static void named_ids(vbt *t, const vbt_list *messages, vbt_val *of, bool calls_too) {
    size_t number = 0;
    for (size_t i = 0; i < messages->n; i++) {
        const vbt_val *calls = member(&messages->v[i], "tool_calls");
        for (size_t j = 0; calls && calls->type == VBT_LIST && j < calls->u.list->n; j++, number++) {
            vbt_val *call = &calls->u.list->v[j], *id = member(call, "id");
            if (!id || id->type != VBT_STR || is_named_id(id)) continue;
            if (calls_too)
                *id = named_id(t, call, number);
            else if (vbt_same_text(id->u.s, of->u.s))
                *of = named_id(t, call, number);
        }
    }
}

/* The name of the tool that the call of this id named, in the messages before `at`. */
static const vbt_val *name_of(const vbt_list *messages, size_t at, const vbt_val *id) {
    for (size_t i = at; id && id->type == VBT_STR && i-- > 0;) {
        const vbt_val *calls = member(&messages->v[i], "tool_calls");
        for (size_t j = 0; calls && calls->type == VBT_LIST && j < calls->u.list->n; j++) {
            const vbt_val *own = member(&calls->u.list->v[j], "id");
            if (own && own->type == VBT_STR && vbt_same_text(own->u.s, id->u.s))
                return member(member(&calls->u.list->v[j], "function"), "name");
        }
    }
    return NULL;
}

/* ----------------------------------------------------------------------------------------------- messages */

/* Parts that are all text, as one text. */
static void join_parts(vbt *t, vbt_val *content) {
    vbt_buf b = {.t = t, .given = true};
    if (!content || content->type != VBT_LIST) return;
    for (size_t i = 0; i < content->u.list->n; i++) {
        const vbt_val *text = member(&content->u.list->v[i], "text");
        if (!text || text->type != VBT_STR) return;
        vbt_put_str(&b, text->u.s);
    }
    *content = vbt_buf_value(&b);
}

/* Reasoning comes under three names and goes under the one that the template shows. */
static void reasoning(vbt *t, const vb_calls *k, const vbt_val *m) {
    static const char *const keys[] = {"reasoning_content", "reasoning", "thinking"};
    if (!*k->f.think_key || member(m, k->f.think_key)) return;
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        const vbt_val *v = member(m, keys[i]);
        if (!v || v->type != VBT_STR) continue;
        set(t, m, k->f.think_key, *v);
        return;
    }
}

/* Python's name=value, ... of an object. */
static void put_keywords(vbt_buf *b, const vbt_dict *d) {
    for (size_t i = 0; i < d->n; i++) {
        if (i > 0) vbt_puts(b, ", ", false);
        vbt_put_value(b, d->keys[i]);
        vbt_puts(b, "=", false);
        vbt_put_repr(b, d->values[i]);
    }
}

/* Where the template leaves earlier calls out, they are written into the answer's text as the model wrote
 * them: it would not know what the results are of. */
static void write_calls(vbt *t, const vb_calls *k, const vbt_val *m, const vbt_list *calls) {
    const vb_call_format *f = &k->f;
    const vbt_val *content = member(m, "content");
    vbt_buf b = {.t = t, .given = true};
    if (content && content->type == VBT_STR) {
        vbt_put_str(&b, content->u.s);
        if (content->u.s->n > 0) vbt_puts(&b, f->lead, false);
    }
    vbt_puts(&b, f->open, false);
    for (size_t i = 0; i < calls->n; i++) {
        const vbt_val *function = member(&calls->v[i], "function"), *name = member(function, "name"),
                      *arguments = member(function, "arguments");
        if (!name || name->type != VBT_STR) return;
        if (i > 0) vbt_puts(&b, f->separator, false);
        vbt_puts(&b, f->begin, false);
        vbt_put_str(&b, name->u.s);
        vbt_puts(&b, f->between, false);
        if (f->style != VB_CALLS_PYTHON)
            vbt_put_str(&b, (arguments ? json_text(t, *arguments) : vbt_text(t, "{}", 2, true)).u.s);
        else if (arguments && arguments->type == VBT_DICT)
            put_keywords(&b, arguments->u.dict);
        vbt_puts(&b, f->end, false);
    }
    vbt_puts(&b, f->close, false);
    set(t, m, "content", vbt_buf_value(&b));
}

static void assistant(vbt *t, const vb_calls *k, const vbt_val *m) {
    const vbt_val *calls = member(m, "tool_calls");
    vbt_val *content = member(m, "content");
    reasoning(t, k, m);
    if (!calls || calls->type != VBT_LIST || calls->u.list->n == 0) return;
    const bool none =
        !content || content->type == VBT_NONE || (content->type == VBT_STR && content->u.s->n == 0);
    for (size_t i = 0; i < calls->u.list->n; i++) {
        call_arguments(t, k, member(&calls->u.list->v[i], "function"));
        ids(t, k, member(&calls->u.list->v[i], "id"));
    }
    if (none) set(t, m, "content", k->null_content ? vbt_none() : vbt_text(t, "", 0, true));
    if (!k->f.probed && !k->channels && k->f.style != VB_CALLS_NONE) write_calls(t, k, m, calls->u.list);
}

static void tools_in_system(vbt *t, vbt_val d, vbt_list *messages) {
    const vbt_val *tools = member(&d, "tools");
    if (!tools || tools->type != VBT_LIST || tools->u.list->n == 0) return;
    const bool has = messages->n > 0 && is_word(member(&messages->v[0], "role"), "system");
    if (!has) {
        const vbt_val list = {.type = VBT_LIST, .u.list = messages}, one = vbt_dict_new(t, 3);
        set(t, &one, "role", vbt_word(t, "system"));
        set(t, &one, "content", vbt_text(t, "", 0, true));
        vbt_list_add(t, list, one);
        memmove(messages->v + 1, messages->v, (messages->n - 1) * sizeof *messages->v);
        messages->v[0] = one;
    }
    set(t, &messages->v[0], "tools", json_text(t, *tools));
}

void vbc_input(vbt *t, const vb_calls *k, vbt_val d) {
    vbt_val *all = member(&d, "messages");
    if (!all || all->type != VBT_LIST) return;
    vbt_list *messages = all->u.list;
    for (size_t i = 0; i < messages->n; i++) {
        const vbt_val *m = &messages->v[i], *role = member(m, "role");
        if (m->type != VBT_DICT) continue;
        if (k->joins_parts) join_parts(t, member(m, "content"));
        if (is_word(role, "assistant")) assistant(t, k, m);
        if (!is_word(role, "tool")) continue;
        ids(t, k, member(m, "tool_call_id"));
        const vbt_val *name = member(m, "name") ? NULL : name_of(messages, i, member(m, "tool_call_id"));
        if (name) set(t, m, "name", *name);
    }
    for (size_t i = 0; k->names_in_ids && i < messages->n; i++) {
        vbt_val *id = member(&messages->v[i], "tool_call_id");
        if (id && id->type == VBT_STR && !is_named_id(id)) named_ids(t, messages, id, false);
    }
    if (k->names_in_ids) named_ids(t, messages, NULL, true);
    if (k->tools_in_system) tools_in_system(t, d, messages);
}
