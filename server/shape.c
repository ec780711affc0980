/* shape.c - constraints for answers: made from what a request says, kept for the next one that says the same,
 * so that masks once made are there. */
#include "server/shape.h"

#include "base/base.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

enum {
    KEPT = 8
}; /* constraints nobody uses are kept up to this number in all; each holds up to MOST bytes */
#define MOST ((size_t)32 << 20)

struct vbs_shape {
    vbs_shape *next;
    XXH128_hash_t key;
    vb_grammar *grammar;
    vb_constraint *constraint;
    int users;
    uint64_t used;
};

void vbs_shapes_init(vbs_shapes *s) {
    memset(s, 0, sizeof *s);
    pthread_mutex_init(&s->lock, NULL);
}

static void free_shape(vbs_shape *s) {
    vb_constraint_close(s->constraint);
    vb_grammar_close(s->grammar);
    free(s);
}

void vbs_shapes_close(vbs_shapes *s) {
    for (vbs_shape *at = s->first, *next; at; at = next) {
        next = at->next;
        free_shape(at);
    }
    vb_vocabulary_close(s->vocabulary);
    pthread_mutex_destroy(&s->lock);
}

/* ----------------------------------------------------------------------------------------------- making */

static XXH128_hash_t add(XXH128_hash_t h, const void *bytes, size_t n) {
    const XXH128_hash_t x = XXH3_128bits_withSeed(bytes, n, h.low64);
    return (XXH128_hash_t){x.low64, x.high64 ^ h.high64};
}

static XXH128_hash_t key_of(const vbs_ask *a) {
    const int32_t head[8] = {(int32_t)a->shape,
                             a->shape_whitespace,
                             a->shape_strict,
                             vbs_ask_forces(a),
                             (int32_t)a->tool_choice,
                             a->one_call,
                             0,
                             0};
    XXH128_hash_t h = XXH3_128bits(head, sizeof head);
    h = add(h, a->shape_text ? a->shape_text : "", a->n_shape);
    if (!vbs_ask_forces(a)) return h;
    h = add(h, a->tools, a->n_tools);
    return add(h, a->tool_name, strlen(a->tool_name));
}

static vb_grammar_kind kind_of(vbs_shape_kind k) {
    return k == VBS_SHAPE_GBNF     ? VB_GRAMMAR_GBNF
           : k == VBS_SHAPE_REGEX  ? VB_GRAMMAR_REGEX
           : k == VBS_SHAPE_OBJECT ? VB_GRAMMAR_JSON_OBJECT
                                   : VB_GRAMMAR_JSON_SCHEMA;
}

/* Adds the control ids in a text of the format to ids[0..n). */
static size_t add_control(const vb_tokenizer *t, const char *text, int32_t *ids, size_t n, size_t room) {
    int32_t *found = NULL;
    size_t k = 0, len;
    if (vb_tokenize(t, text, strlen(text), VB_TOKENIZE_PARSE_SPECIAL, &found, &k, NULL)) return n;
    for (size_t i = 0; i < k && n < room; i++) {
        bool there = false;
        vb_token_text(t, found[i], false, &len);
        for (size_t j = 0; j < n; j++) there |= ids[j] == found[i];
        if (len == 0 && !there) ids[n++] = found[i];
    }
    vb_free(found);
    return n;
}

/* Those that a call is written with. */
static size_t control_of(const vb_tokenizer *t, const vb_call_format *f, int32_t *ids, size_t room) {
    const char *const texts[] = {f->open, f->begin, f->between, f->end, f->separator, f->close};
    size_t n = 0;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) n = add_control(t, texts[i], ids, n, room);
    return n;
}

static int open_grammar(vb_grammar **out, const vbs_ask *a, const vb_call_format *f, vb_error *err) {
    const vb_grammar_params p = {.any_whitespace = a->shape_whitespace, .strict = a->shape_strict};
    if (!vbs_ask_forces(a))
        return vb_grammar_open(out, kind_of(a->shape), a->shape_text ? a->shape_text : "", a->n_shape, &p,
                               err);
    const vb_calls_wanted w = {.tools = a->tools,
                               .n_tools = a->n_tools,
                               .name = a->tool_choice == VBS_TOOLS_NAMED ? a->tool_name : NULL,
                               .one = a->one_call || a->tool_choice == VBS_TOOLS_NAMED,
                               .required =
                                   a->tool_choice == VBS_TOOLS_REQUIRED || a->tool_choice == VBS_TOOLS_NAMED,
                               .content_kind = kind_of(a->shape),
                               .content = a->shape == VBS_SHAPE_OBJECT ? "{}" : a->shape_text,
                               .n_content = a->n_shape};
    return vb_grammar_open_calls(out, f, &w, &p, err);
}

/* With the lock held. */
static int make(vbs_shapes *s, vbs_shape **out, const vbs_ask *a, const vbs_shape_terms *t, vb_error *err) {
    vbs_shape *shape = NULL;
    int rc = vb_alloc((void **)&shape, 1, sizeof *shape, "a constraint", err);
    if (rc) return rc;
    int32_t written[16];
    vb_constraint_params p = {.max_bytes = MOST, .written = written};
    if (vbs_ask_forces(a)) p.n_written = control_of(t->tokenizer, t->calls, written, 16);
    if (!s->vocabulary) rc = vb_vocabulary_open(&s->vocabulary, t->tokenizer, t->n_vocab, err);
    if (!rc) rc = open_grammar(&shape->grammar, a, t->calls, err);
    if (!rc) rc = vb_constraint_open(&shape->constraint, shape->grammar, s->vocabulary, &p, err);
    if (rc) {
        free_shape(shape);
        return rc;
    }
    shape->next = s->first;
    s->first = shape;
    *out = shape;
    return VB_OK;
}

/* Beyond KEPT the one that was used longest ago goes. With the lock held. */
static void drop_old(vbs_shapes *s) {
    for (;;) {
        int n = 0;
        vbs_shape **oldest = NULL;
        for (vbs_shape **at = &s->first; *at; at = &(*at)->next, n++)
            if (!(*at)->users && (!oldest || (*at)->used < (*oldest)->used)) oldest = at;
        if (n <= KEPT || !oldest) return;
        vbs_shape *gone = *oldest;
        *oldest = gone->next;
        free_shape(gone);
    }
}

int vbs_shape_get(vbs_shapes *s, vbs_shape **out, const vbs_ask *a, const vbs_shape_terms *t, vb_error *err) {
    const XXH128_hash_t key = key_of(a);
    int rc = VB_OK;
    pthread_mutex_lock(&s->lock);
    vbs_shape *shape = s->first;
    while (shape && !XXH128_isEqual(shape->key, key)) shape = shape->next;
    if (!shape) rc = make(s, &shape, a, t, err);
    if (!rc) {
        shape->key = key;
        shape->users++;
        shape->used = ++s->clock;
        *out = shape;
        drop_old(s);
    }
    pthread_mutex_unlock(&s->lock);
    return rc;
}

void vbs_shape_put(vbs_shapes *s, vbs_shape *shape) {
    if (!shape) return;
    pthread_mutex_lock(&s->lock);
    shape->users--;
    drop_old(s);
    pthread_mutex_unlock(&s->lock);
}

vb_constraint *vbs_shape_constraint(const vbs_shape *s) {
    return s ? s->constraint : NULL;
}

/* ------------------------------------------------------------------------------------- reasoning */

/* The marker as it is, then without the white space around it: a token's text may be either. */
int32_t vbs_marker_id(const vb_tokenizer *t, const char *marker) {
    size_t n = strlen(marker);
    int32_t id = n ? vb_token_find(t, marker, n) : -1;
    while (id < 0 && n && strchr(" \n\t", *marker)) marker++, n--;
    while (id < 0 && n && strchr(" \n\t", marker[n - 1])) n--;
    return id < 0 && n ? vb_token_find(t, marker, n) : id;
}
