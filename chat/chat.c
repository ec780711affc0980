/* chat.c - the public functions: a template opened, a conversation rendered. */
#include "chat/calls.h"
#include "chat/names.h"
#include "chat/repr.h"
#include "chat/run.h"
#include "chat/templates.h"

#include "gguf/gguf.h"
#include "tokenizer/tokenizer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct vb_chat {
    vbt memory; /* of the tree */
    vbt_node *body;
    vbt_scope *scope;
    const char *file;    /* what messages call it */
    const char *markers; /* of a template of our own: tokens that it needs, with spaces between; NULL: none */
    vb_chat *tool_use;   /* for conversations with tools, if there is another one */
    vb_error tool_error; /* that one could not be read */
};

/* ---------------------------------------------------------------------------------------------- opening */

static int parse(vb_chat *c, const char *text, size_t len, vb_error *err) {
    vbt *t = &c->memory;
    t->limit = VBT_MEMORY_LIMIT;
    t->file = c->file;
    t->err = err;
    if (setjmp(t->out)) return t->rc;
    c->body = vbt_parse(t, text, len);
    c->scope = vbt_find_scopes(t, c->body);
    t->err = NULL;
    return VB_OK;
}

int vb_chat_open_text(vb_chat **out, const char *text, size_t len, const char *file, vb_error *err) {
    vb_begin(err);
    vb_chat *c = NULL;
    if (len > VBT_TEMPLATE_LIMIT)
        return vb_fail(err, VB_ERR_UNSUPPORTED, "%s: a chat template of %zu bytes; at most %zu are read",
                       file, len, VBT_TEMPLATE_LIMIT);
    int rc = vb_alloc((void **)&c, 1, sizeof *c, "a chat template", err);
    if (rc) return rc;
    c->file = strdup(file);
    if (!c->file) rc = vb_fail(err, VB_ERR_MEMORY, "out of memory for a chat template");
    if (!rc) rc = parse(c, text, len, err);
    if (rc) {
        vb_chat_close(c);
        return rc;
    }
    *out = c;
    return VB_OK;
}

void vb_chat_close(vb_chat *c) {
    if (!c) return;
    vb_chat_close(c->tool_use);
    vbt_free_all(&c->memory);
    free((char *)(uintptr_t)c->file);
    free(c);
}

static int open_key(vb_chat **out, const vb_gguf *g, const char *key, vb_error *err) {
    char file[600];
    const vb_meta *m = vb_gguf_find(g, key);
    const char *s;
    size_t len;
    if (!m) return vb_fail(err, VB_ERR_UNSUPPORTED, "%s: no %s in the file", vb_gguf_path(g), key);
    if (m->type != VB_VALUE_STRING || !vb_meta_string(g, m, 0, &s, &len))
        return vb_fail(err, VB_ERR_FORMAT, "%s: %s is no text", vb_gguf_path(g), key);
    snprintf(file, sizeof file, "%.500s: %.80s", vb_gguf_path(g), key);
    return vb_chat_open_text(out, s, len, file, err);
}

int vb_chat_open(vb_chat **out, const vb_gguf *g, const char *name, vb_error *err) {
    vb_begin(err);
    static const char base[] = "tokenizer.chat_template";
    char key[200];
    vb_chat *c = NULL;
    if (name) {
        snprintf(key, sizeof key, "%s.%.150s", base, name);
        return open_key(out, g, key, err);
    }
    /* "default" is the name of a list's plain one where there is no template without a name. */
    snprintf(key, sizeof key, "%s.default", base);
    bool plain = vb_gguf_find(g, base) || !vb_gguf_find(g, key);
    int rc = open_key(&c, g, plain ? base : key, err);
    if (rc) return rc;
    snprintf(key, sizeof key, "%s.tool_use", base);
    if (c && vb_gguf_find(g, key)) (void)open_key(&c->tool_use, g, key, &c->tool_error);
    *out = c;
    return VB_OK;
}

/* ---------------------------------------------------------------------------------------------- our own */

const char *const *vb_chat_names(void) {
    return vbt_template_names;
}

int vb_chat_open_named(vb_chat **out, const char *name, vb_error *err) {
    vb_begin(err);
    size_t i = 0;
    while (vbt_template_names[i] && strcmp(vbt_template_names[i], name) != 0) i++;
    if (!vbt_template_names[i]) {
        vb_buf list = {0};
        char shown[64];
        for (i = 0; vbt_template_names[i]; i++) {
            if (i > 0) vb_buf_puts(&list, ", ");
            vb_buf_puts(&list, vbt_template_names[i]);
        }
        int rc = vb_fail(err, VB_ERR_ARGUMENT, "no chat template is called '%s'; there are: %s",
                         vb_escape(name, strlen(name), shown, sizeof shown), list.s ? list.s : "");
        free(list.s);
        return rc;
    }
    char file[80];
    snprintf(file, sizeof file, "chat template '%s'", name);
    int rc = vb_chat_open_text(out, vbt_template_texts[i], strlen(vbt_template_texts[i]), file, err);
    if (rc) return rc;
    /* The first line of a template that needs markers names them: {#- markers: A B -#} */
    static const char head[] = "{#- markers:";
    if (strncmp(vbt_template_texts[i], head, strlen(head)) == 0)
        (*out)->markers = vbt_template_texts[i] + strlen(head);
    return VB_OK;
}

int vb_chat_fits(const vb_chat *c, const vb_tokenizer *t, vb_error *err) {
    vb_begin(err);
    for (const char *p = c->markers; p;) {
        p += strspn(p, " ");
        size_t n = strcspn(p, " \n");
        if (strncmp(p, "-#}", 3) == 0) break;
        if (!vb_token_is_marker(t, vb_token_find(t, p, n)))
            return vb_fail(
                err, VB_ERR_VOCAB,
                "%s writes '%.*s', and the vocabulary has no such token: the model does not know this "
                "template",
                c->file, (int)n, p);
        p += n;
    }
    return VB_OK;
}

bool vb_chat_reads(const vb_chat *c, const char *name) {
    return vbt_reads(c->body, c->scope, name) || (c->tool_use && vb_chat_reads(c->tool_use, name));
}

/* ------------------------------------------------------------------------------------------ variables */

static void set(vbt *t, vbt_val d, const char *name, vbt_val v) {
    vbt_dict_set(t, d.u.dict, vbt_word(t, name), v);
}

/* A role is a word that templates put between < and >, where it has to count as theirs. A word of letters,
 * digits, _ and - alone spells no marker. */
static void own_role(const vbt_str *s) {
    for (size_t i = 0; i < s->n; i++) {
        char c = s->s[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
              c == '-'))
            return;
    }
    ((vbt_str *)(uintptr_t)s)->given = false;
}

static vbt_val messages(vbt *t, const vb_chat_request *r) {
    vbt_val list = vbt_list_new(t, VBT_LIST, r->n_messages);
    for (size_t i = 0; i < r->n_messages; i++) {
        const vb_chat_message *m = &r->messages[i];
        if (!m->role || !m->content)
            vbt_raise(t, "message %zu has no %s", i + 1, m->role ? "content" : "role");
        vbt_val one = vbt_dict_new(t, 2);
        set(t, one, "role", vbt_text(t, m->role, strlen(m->role), true));
        set(t, one, "content", vbt_text(t, m->content, strlen(m->content), true));
        vbt_list_add(t, list, one);
    }
    return list;
}

static void own_roles(vbt *t, const vbt_val *list) {
    for (size_t i = 0; list && list->type == VBT_LIST && i < list->u.list->n; i++) {
        const vbt_val m = list->u.list->v[i],
                      *role = m.type == VBT_DICT ? vbt_dict_name(t, m.u.dict, "role") : NULL;
        if (role && role->type == VBT_STR) own_role(role->u.s);
    }
}

static void set_token(vbt *t, vbt_val d, const char *name, const vb_tokenizer *tok, int32_t id) {
    size_t n;
    if (id < 0) return;
    const char *s = vb_token_text(tok, id, true, &n);
    set(t, d, name, vbt_text(t, s, n, false));
}

/* What transformers passes, then what the caller does. */
static vbt_val variables(vbt *t, const vb_tokenizer *tok, const vb_chat_request *r) {
    vbt_val d = vbt_dict_new(t, 16), own = vbt_none();
    if (tok) set_token(t, d, "bos_token", tok, vb_token_bos(tok));
    if (tok) set_token(t, d, "eos_token", tok, vb_token_eos(tok));
    set(t, d, "tools", vbt_none());
    set(t, d, "documents", vbt_none());
    set(t, d, "add_generation_prompt", vbt_bool(r->open_turn && !r->continue_last));
    if (r->variables) own = vbt_read_json(t, r->variables, r->n_variables);
    if (r->variables && own.type != VBT_DICT) vbt_raise(t, "the request is no JSON object");
    for (size_t i = 0; r->variables && i < own.u.dict->n; i++)
        vbt_dict_set(t, d.u.dict, own.u.dict->keys[i], own.u.dict->values[i]);
    const vbt_val *more = r->variables ? vbt_dict_name(t, own.u.dict, "chat_template_kwargs") : NULL;
    if (more && more->type != VBT_DICT && more->type != VBT_NONE)
        vbt_raise(t, "chat_template_kwargs: expected an object");
    for (size_t i = 0; more && more->type == VBT_DICT && i < more->u.dict->n; i++)
        vbt_dict_set(t, d.u.dict, more->u.dict->keys[i], more->u.dict->values[i]);
    if (r->messages) set(t, d, "messages", messages(t, r));
    if (r->calls) vbc_input(t, r->calls, d);
    own_roles(t, vbt_dict_name(t, d.u.dict, "messages"));
    return d;
}

/* ------------------------------------------------------------------------------------------- the date */

/* "YYYY-MM-DD" or "YYYY-MM-DD HH:MM:SS"; false: it is none, or there is no such day. */
static bool read_date(const char *s, size_t n, int date[6]) {
    static const char form[] = "0000-00-00 00:00:00";
    static const int days[] = {31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int at = 0;
    if (n != 10 && n != 19) return false;
    memset(date, 0, 6 * sizeof *date);
    for (size_t i = 0; i < n; i++) {
        if (form[i] != '0') {
            if (s[i] != form[i] && !(form[i] == ' ' && s[i] == 'T')) return false;
            at++;
            continue;
        }
        if (s[i] < '0' || s[i] > '9') return false;
        date[at] = date[at] * 10 + (s[i] - '0');
    }
    bool leap = date[0] % 4 == 0 && (date[0] % 100 != 0 || date[0] % 400 == 0);
    if (date[0] < 1 || date[1] < 1 || date[1] > 12 || date[2] < 1 || date[2] > days[date[1] - 1])
        return false;
    if (date[1] == 2 && date[2] == 29 && !leap) return false;
    return date[3] < 24 && date[4] < 60 && date[5] < 60;
}

bool vb_chat_date(const char *text, int date[6]) {
    return read_date(text, strlen(text), date);
}

static void now(int date[6]) {
    time_t seconds = time(NULL);
    struct tm tm = {0};
    localtime_r(&seconds, &tm);
    const int d[6] = {tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec};
    memcpy(date, d, sizeof d);
}

/* ------------------------------------------------------------------------------------------ rendering */

void vb_prompt_free(vb_prompt *p) {
    free(p->text);
    free(p->spans);
    memset(p, 0, sizeof *p);
}

/* Out of the arena: the text, and its marks as spans. */
static int hand_over(const vbt_str *s, vb_prompt *p, vb_error *err) {
    size_t n = s->n > 0;
    for (size_t i = 1; i < s->n; i++) n += vbt_byte_given(s, i) != vbt_byte_given(s, i - 1);
    int rc = vb_alloc((void **)&p->text, s->n + 1, 1, "a prompt", err);
    if (!rc) rc = vb_alloc((void **)&p->spans, n + 1, sizeof *p->spans, "a prompt's spans", err);
    if (rc) return rc;
    memcpy(p->text, s->s, s->n);
    p->text[s->n] = 0;
    p->len = s->n;
    for (size_t i = 0; i < s->n; i++) {
        bool given = vbt_byte_given(s, i);
        if (i == 0 || given != p->spans[p->n_spans - 1].given) p->spans[p->n_spans++].given = given;
        p->spans[p->n_spans - 1].end = i + 1;
    }
    return VB_OK;
}

typedef struct rendering {
    vbt t;
    vbt_render given;
    int date[6];
} rendering;

static void find_date(rendering *r, const vb_chat_request *q) {
    const vbt_val *v = vbt_dict_name(&r->t, r->t.variables, "date");
    r->given.date = r->date;
    if (q->date)
        memcpy(r->date, q->date, sizeof r->date);
    else if (v && v->type == VBT_STR)
        r->given.bad_date = !read_date(v->u.s->s, v->u.s->n, r->date);
    else
        now(r->date), r->given.today = true;
}

/* Which template is run: the one for tools if the conversation has any. */
static int choose(vbt *t, const vb_chat **c, vb_error *err) {
    const vbt_val *tools = vbt_dict_name(t, t->variables, "tools");
    if (!tools || tools->type == VBT_NONE) return VB_OK;
    if ((*c)->tool_error.code) return vb_fail(err, (*c)->tool_error.code, "%s", (*c)->tool_error.message);
    if ((*c)->tool_use) *c = (*c)->tool_use;
    return VB_OK;
}

static int run(rendering *r, const vb_chat *plain, const vb_tokenizer *tok, const vb_chat_request *q,
               vb_prompt *out, vb_error *err) {
    vbt *t = &r->t;
    if (setjmp(t->out)) return t->rc;
    const vb_chat *c = plain;
    t->variables = variables(t, tok, q).u.dict;
    find_date(r, q);
    int rc = choose(t, &c, err);
    if (rc) return rc;
    t->file = c->file;
    t->frame = vbt_frame_new(t, c->scope, NULL);
    const vbt_val tag = q->continue_last ? vbt_continue_mark(t, q) : vbt_none();
    vbt_val v = vbt_capture(t, c->body);
    if (q->continue_last) v = vbt_continue_cut(t, v.u.s, tag);
    rc = hand_over(v.u.s, out, err);
    out->dated = r->given.today && r->given.asked_date;
    out->asked_date = r->given.asked_date;
    memcpy(out->date, r->date, sizeof out->date);
    return rc;
}

int vb_chat_render(const vb_chat *c, const vb_tokenizer *t, const vb_chat_request *q, vb_prompt *out,
                   vb_error *err) {
    vb_begin(err);
    rendering *r = NULL;
    vb_prompt p = {0};
    size_t bytes = q->n_variables;
    for (size_t i = 0; q->messages && i < q->n_messages; i++)
        if (q->messages[i].content) bytes += strlen(q->messages[i].content);
    int rc = vb_alloc((void **)&r, 1, sizeof *r, "a rendering", err);
    if (rc) return rc;
    r->t.limit = bytes < SIZE_MAX / 64 ? VBT_MEMORY_LIMIT + 32 * bytes : SIZE_MAX / 2;
    r->t.file = c->file;
    r->t.err = err;
    r->t.render = &r->given;
    rc = run(r, c, t, q, &p, err);
    vbt_free_all(&r->t);
    free(r);
    if (rc)
        vb_prompt_free(&p);
    else
        *out = p;
    return rc;
}
