/* splitter.c - content, reasoning and calls, told apart and accounted for. See splitter.h. */
#include "server/splitter.h"

#include <stdlib.h>
#include <string.h>

/* ------------------------------------------------------------------------------------------------ pieces */

#define WHAT "what a request produced"

void vbs_pieces_free(vbs_pieces *p) {
    free(p->v);
    vb_buf_free(&p->text);
    memset(p, 0, sizeof *p);
}

void vbs_pieces_clear(vbs_pieces *p) {
    p->n = p->text.n = 0;
}

static int reserve(vbs_pieces *p, size_t n, size_t text, vb_error *err) {
    const int rc = vb_grow((void **)&p->v, &p->room, p->n + n, sizeof *p->v, WHAT, err);
    if (rc) return rc;
    return vb_buf_reserve(&p->text, text) ? 0 : vb_buf_done(&p->text, WHAT, err);
}

int vbs_pieces_append(vbs_pieces *to, const vbs_pieces *from, vb_error *err) {
    const int rc = reserve(to, from->n, from->text.n, err);
    if (rc) return rc;
    if (from->n) memcpy(to->v + to->n, from->v, from->n * sizeof *to->v);
    to->n += from->n;
    vb_buf_add(&to->text, from->text.s ? from->text.s : "", from->text.n);
    return 0;
}

void vbs_pieces_drop(vbs_pieces *p, size_t n) {
    size_t text = 0;
    for (size_t i = 0; i < n; i++) text += p->v[i].len;
    p->n -= n;
    /* What is empty may be NULL, which memmove does not take even for no bytes. */
    if (p->n) memmove(p->v, p->v + n, p->n * sizeof *p->v);
    p->text.n -= text;
    if (p->text.n) memmove(p->text.s, p->text.s + text, p->text.n);
}

/* What a token lets out of one kind is one piece; `first` is the first piece of this token. */
static int add(vbs_pieces *p, size_t first, vbs_kind kind, int call, const char *text, size_t len,
               vb_error *err) {
    const int rc = reserve(p, 1, len, err);
    if (rc) return rc;
    vb_buf_add(&p->text, text, len);
    if (p->n > first && p->v[p->n - 1].kind == kind && p->v[p->n - 1].call == call && kind != VBS_CALL)
        p->v[p->n - 1].len += len;
    else
        p->v[p->n++] = (vbs_piece){kind, call, len};
    return 0;
}

/* ---------------------------------------------------------------------------------------------- accounts */

/* Whether calls stand between marks of their own. Where a call is a bare JSON object, only one of a tool that
 * is there is taken for a call: any other may be what the user asked for. */
static bool has_marks(const vb_call_format *f) {
    const char *texts[] = {f->open, f->begin};
    for (int i = 0; i < 2; i++)
        for (const char *at = texts[i]; *at; at++)
            if (*at == '<' || (*at == '[' && at[1] >= 'A' && at[1] <= 'Z')) return true;
    return false;
}

int vbs_splitter_open(vbs_splitter *s, const vbs_ask *a, const vb_calls *calls, bool thinking, uint64_t key,
                      vb_error *err) {
    memset(s, 0, sizeof *s);
    vbs_text_open(&s->content, a->stops, a->n_stops);
    if (!calls || !a->chat) return 0;
    const vb_call_format *f = vb_calls_format(calls);
    if (!f->think[0] && !f->think_end[0] && !f->everyone[0] && !a->tools) return 0;
    s->hidden = a->reasoning == VBS_REASONING_HIDDEN;
    if (a->reasoning == VBS_REASONING_CONTENT) s->format = f;
    s->one_call = a->one_call;
    const vb_answer_params p = {.tools = a->tools,
                                .n_tools = a->n_tools,
                                .thinking = thinking,
                                .no_reasoning = a->reasoning == VBS_REASONING_CONTENT,
                                .early = a->stream,
                                .any_name = has_marks(f),
                                .loose = a->loose_calls,
                                .seed = key};
    return vb_answer_open(&s->answer, calls, &p, err);
}

void vbs_splitter_close(vbs_splitter *s) {
    vbs_text_close(&s->content);
    vb_answer_close(s->answer);
    free(s->ends);
    free(s->places);
    memset(s, 0, sizeof *s);
}

/* The next `len` bytes of what was generated are of this kind: so are the tokens that end in them. */
static void account(vbs_splitter *s, size_t len, bool reasoning) {
    size_t n = 0;
    s->told += len;
    while (n < s->n_ends && s->ends[n] <= s->told) n++;
    if (reasoning) s->reasoning_tokens += n;
    s->n_ends -= n;
    if (n && s->n_ends) memmove(s->ends, s->ends + n, s->n_ends * sizeof *s->ends);
}

/* Where byte `at` of the content stands in all that was generated. */
static uint64_t raw_place(const vbs_splitter *s, uint64_t at) {
    size_t i = s->n_places;
    while (i > 0 && s->places[i - 1].content > at) i--;
    return i ? s->places[i - 1].raw + (at - s->places[i - 1].content) : at;
}

/* ------------------------------------------------------------------------------------------------ events */

static int take_content(vbs_splitter *s, const char *text, size_t len, size_t first, vbs_pieces *out,
                        vb_error *err) {
    vbs_text *c = &s->content;
    if (s->told != raw_place(s, c->taken)) {
        const int rc =
            vb_grow((void **)&s->places, &s->places_room, s->n_places + 1, sizeof *s->places, WHAT, err);
        if (rc) return rc;
        s->places[s->n_places++] = (vbs_place){c->taken, s->told};
    }
    int rc = vbs_text_push(c, text, len, err);
    if (!rc && c->n_out) rc = add(out, first, VBS_CONTENT, 0, c->out, c->n_out, err);
    account(s, len, false);
    if (!c->stopped) return rc;
    s->stopped = true;
    s->cut = raw_place(s, c->cut);
    return rc;
}

static int take_thought(vbs_splitter *s, const char *text, size_t len, size_t first, vbs_pieces *out,
                        vb_error *err) {
    char whole[256 + 3];
    int rc = 0;
    account(s, len, true);
    for (size_t at = 0; at < len && !rc && !s->hidden; at += 256) {
        const size_t n = vb_utf8_push(&s->thought, text + at, len - at < 256 ? len - at : 256, whole);
        if (n) rc = add(out, first, VBS_REASONING, 0, whole, n, err);
    }
    return rc;
}

/* A thought that ended in the middle of a character. */
static int end_thought(vbs_splitter *s, size_t first, vbs_pieces *out, vb_error *err) {
    char rest[8];
    const size_t n = s->hidden ? 0 : vb_utf8_flush(&s->thought, rest);
    return n ? add(out, first, VBS_REASONING, 0, rest, n, err) : 0;
}

static int take_call(vbs_splitter *s, const vb_said *e, size_t first, vbs_pieces *out, vb_error *err) {
    const size_t id = strlen(e->id), name = strlen(e->name);
    char *text = malloc(id + name + 1);
    if (!text) return vb_fail(err, VB_ERR_MEMORY, "out of memory for a call");
    memcpy(text, e->id, id + 1);
    memcpy(text + id + 1, e->name, name);
    const int rc = add(out, first, VBS_CALL, e->index, text, id + 1 + name, err);
    free(text);
    s->passed_on = false;
    return rc;
}

/* Whether a text is this marker, but for white space around it. */
static bool is_marker(const char *text, size_t len, const char *marker) {
    static const char space[] = " \n\t\r";
    marker += strspn(marker, space);
    size_t n = strlen(marker);
    while (n > 0 && strchr(space, marker[n - 1])) n--;
    while (len > 0 && strchr(space, *text)) text++, len--;
    while (len > 0 && strchr(space, text[len - 1])) len--;
    return n > 0 && n == len && !memcmp(text, marker, n);
}

static int take_marks(vbs_splitter *s, const vb_said *e, size_t first, vbs_pieces *out, vb_error *err) {
    const vb_call_format *f = s->format;
    /* Thoughts that stay in the content stay there with their markers, control tokens or not. */
    if (f && (is_marker(e->text, e->len, f->think) || is_marker(e->text, e->len, f->think_end)))
        return take_content(s, e->text, e->len, first, out, err);
    account(s, e->len, false);
    return 0;
}

static int take(vbs_splitter *s, const vb_said *e, size_t first, vbs_pieces *out, vb_error *err) {
    int rc = 0;
    if (e->kind != VB_SAID_REASONING) rc = end_thought(s, first, out, err);
    if (rc) return rc;
    switch (e->kind) {
    case VB_SAID_CONTENT: return take_content(s, e->text, e->len, first, out, err);
    case VB_SAID_REASONING: return take_thought(s, e->text, e->len, first, out, err);
    case VB_SAID_CALL: return take_call(s, e, first, out, err);
    case VB_SAID_ARGUMENTS:
        s->passed_on = true;
        return add(out, first, VBS_ARGUMENTS, e->index, e->text, e->len, err);
    case VB_SAID_CALL_CUT: /* what was sent of it stays sent */
        if (!s->passed_on) return take_content(s, e->text, e->len, first, out, err);
        account(s, e->len, false);
        return 0;
    case VB_SAID_CALL_END:
        account(s, e->len, false);
        s->calls++;
        s->stopped = s->one_call;
        s->cut = s->told;
        return 0;
    case VB_SAID_MARKS: return take_marks(s, e, first, out, err);
    }
    return 0;
}

static int drain(vbs_splitter *s, size_t first, vbs_pieces *out, vb_error *err) {
    vb_said e;
    int rc = 0;
    while (!rc && !s->stopped && vb_answer_next(s->answer, &e)) rc = take(s, &e, first, out, err);
    return rc;
}

int vbs_splitter_push(vbs_splitter *s, const vb_tokenizer *t, int32_t id, vbs_pieces *out, vb_error *err) {
    size_t n_shown = 0, n = 0;
    const size_t first = out->n;
    if (s->stopped) return 0;
    const char *shown = vb_token_text(t, id, false, &n_shown);
    if (!s->answer) {
        s->fed += shown ? n_shown : 0;
        return take_content(s, shown ? shown : "", shown ? n_shown : 0, first, out, err);
    }
    const char *text = vb_token_text(t, id, true, &n);
    if (!text) n = 0;
    int rc = vb_grow((void **)&s->ends, &s->ends_room, s->n_ends + 1, sizeof *s->ends, WHAT, err);
    if (rc) return rc;
    s->fed += n;
    s->ends[s->n_ends++] = s->fed;
    rc = vb_answer_push(s->answer, n ? text : "", n, n > 0 && n_shown == 0, err);
    return rc ? rc : drain(s, first, out, err);
}

int vbs_splitter_end(vbs_splitter *s, vbs_pieces *out, vb_error *err) {
    const size_t first = out->n;
    int rc = 0;
    if (s->answer && !s->stopped) {
        rc = vb_answer_end(s->answer, err);
        if (!rc) rc = drain(s, first, out, err);
    }
    if (!rc) rc = end_thought(s, first, out, err);
    if (!rc) rc = vbs_text_end(&s->content, err);
    if (!rc && s->content.n_out) rc = add(out, first, VBS_CONTENT, 0, s->content.out, s->content.n_out, err);
    return rc;
}
