/* guide.c - a generation under a constraint: a stack of ids and the states after them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "base/buf.h"
#include "grammar/constraint.h"

/* States of a guide that are none of the machine's. */
static const uint32_t FREE = UINT32_MAX - 1, ENDED = UINT32_MAX - 2, FIRST = UINT32_MAX - 3;
static bool is_machine(uint32_t state) {
    return state < FIRST && state != VBG_DEAD_STATE;
}

struct vb_guide {
    vb_constraint *c;
    int32_t *after, *opens;
    size_t n_after, n_opens;
    bool end_before;
    char *prefix;
    size_t n_prefix;
    char name[33];
    /* The ids asked for last, and states[i] after i of them; of this epoch of the constraint. */
    int32_t *ids;
    uint32_t *states;
    size_t n, room_ids, room_states;
    uint32_t epoch;
};

static uint32_t begin(vb_guide *g) {
    return vbg_advance(g->c->m, g->c->m->start, g->prefix, g->n_prefix);
}

static bool one_of(const int32_t *ids, size_t n, int32_t id) {
    for (size_t i = 0; i < n; i++)
        if (ids[i] == id) return true;
    return false;
}

static uint32_t advance(vb_guide *g, uint32_t state, int32_t id) {
    if (state == ENDED) return VBG_DEAD_STATE;
    if (state == FIRST) {
        if (one_of(g->opens, g->n_opens, id)) return FREE;
        state = begin(g);
    }
    if (state == FREE) {
        if (one_of(g->after, g->n_after, id)) return begin(g);
        if (!vbg_is_end(g->c, id)) return id >= 0 && id < g->c->v.n_vocab ? FREE : VBG_DEAD_STATE;
        return g->end_before ? ENDED : VBG_DEAD_STATE;
    }
    if (vbg_is_end(g->c, id)) return g->c->m->states[state].accept ? ENDED : VBG_DEAD_STATE;
    return vbg_after_id(g->c, state, id);
}

/* Makes the stack that of ids[0..n): what it has in common with them stays. */
static int follow(vb_guide *g, const int32_t *ids, size_t n, vb_error *err) {
    size_t same = 0;
    int rc = vb_grow((void **)&g->ids, &g->room_ids, n + 1, sizeof *g->ids, "a guide", err);
    if (!rc) rc = vb_grow((void **)&g->states, &g->room_states, n + 2, sizeof *g->states, "a guide", err);
    if (rc) return rc;
    if (g->epoch != g->c->epoch) {
        g->epoch = g->c->epoch;
        g->n = 0;
        g->states[0] = g->n_opens ? FIRST : g->n_after ? FREE : begin(g);
    }
    while (same < n && same < g->n && g->ids[same] == ids[same]) same++;
    for (g->n = same; g->n < n; g->n++) {
        g->ids[g->n] = ids[g->n];
        g->states[g->n + 1] = advance(g, g->states[g->n], ids[g->n]);
    }
    if ((rc = vbg_failed(g->c, err))) g->epoch = g->c->epoch - 1;
    return rc;
}

/* follow, once more from the beginning if what was kept left too little room. With the lock held. */
static int locked_follow(vb_guide *g, const int32_t *ids, size_t n, vb_error *err) {
    vb_error first = {0};
    if (n > INT32_MAX) return vb_fail(err, VB_ERR_ARGUMENT, "%zu ids are more than any context holds", n);
    int rc = vbg_make_room(g->c, err);
    if (rc) return rc;
    if (follow(g, ids, n, &first) == VB_OK) return VB_OK;
    rc = vbg_forget(g->c, err);
    return rc ? rc : follow(g, ids, n, err);
}

static void all_ids(const vb_guide *g, uint64_t *allowed) {
    const vb_constraint *c = g->c;
    memset(allowed, 0xFF, c->words * 8);
    if (c->v.n_vocab % 64) allowed[c->words - 1] = (UINT64_C(1) << (c->v.n_vocab % 64)) - 1;
    for (size_t i = 0; i < c->words; i++) allowed[i] &= ~c->no_text[i];
    for (size_t i = 0; i < c->n_end && g->end_before; i++)
        allowed[c->end[i] / 64] |= UINT64_C(1) << (c->end[i] % 64);
    for (size_t i = 0; i < g->n_after; i++) allowed[g->after[i] / 64] |= UINT64_C(1) << (g->after[i] % 64);
}

static int allowed_at(vb_guide *g, uint32_t state, uint64_t *allowed, vb_error *err) {
    if (state == FREE) {
        all_ids(g, allowed);
        return VB_OK;
    }
    if (state == ENDED || state == VBG_DEAD_STATE) {
        memset(allowed, 0, g->c->words * 8);
        return VB_OK;
    }
    if (state != FIRST) return vbg_state_mask(g->c, state, allowed, err);
    const int rc = vbg_state_mask(g->c, begin(g), allowed, err);
    for (size_t i = 0; i < g->n_opens && !rc; i++)
        allowed[g->opens[i] / 64] |= UINT64_C(1) << (g->opens[i] % 64);
    return rc;
}

int vb_guide_allowed(vb_guide *g, const int32_t *ids, size_t n, uint64_t *allowed, vb_error *err) {
    vb_error first = {0};
    vb_begin(err);
    pthread_mutex_lock(&g->c->lock);
    int rc = locked_follow(g, ids, n, err);
    if (!rc && (rc = allowed_at(g, g->states[n], allowed, &first))) {
        rc = vbg_forget(g->c, err);
        if (!rc) rc = follow(g, ids, n, err);
        if (!rc) rc = allowed_at(g, g->states[n], allowed, err);
    }
    pthread_mutex_unlock(&g->c->lock);
    return rc;
}

/* ----------------------------------------------------------------------------------------- forced text */

/* The text that must follow a state; *open: more may follow it, so that its last id may straddle its end. */
static size_t forced_text(vb_guide *g, uint32_t state, char *out, size_t room, bool *open) {
    size_t n = 0;
    *open = true;
    while (n < room && is_machine(state) && !g->c->m->states[state].accept) {
        uint64_t next[4];
        int bytes = 0, c = 0;
        vbg_next_bytes(g->c->m, state, next);
        for (int i = 0; i < 4; i++) {
            bytes += __builtin_popcountll(next[i]);
            if (next[i]) c = i * 64 + __builtin_ctzll(next[i]);
        }
        if (bytes != 1) return n;
        out[n] = (char)c;
        state = vbg_advance(g->c->m, state, out + n, 1);
        n++;
    }
    if (is_machine(state) && g->c->m->states[state].accept) *open = g->c->m->states[state].n > 0;
    return n;
}

int vb_guide_forced_text(vb_guide *g, const int32_t *ids, size_t n, char *out, size_t room, size_t *len,
                         vb_error *err) {
    bool open;
    vb_begin(err);
    pthread_mutex_lock(&g->c->lock);
    int rc = locked_follow(g, ids, n, err);
    if (!rc) {
        const size_t k = forced_text(g, g->states[n], out, room, &open);
        rc = vbg_failed(g->c, err);
        if (!rc) *len = k;
    }
    pthread_mutex_unlock(&g->c->lock);
    return rc;
}

/* Where ids[0..n) spell exactly this text: the number of leading ones to skip; SIZE_MAX if they do not. */
static size_t spell_exactly(const vb_constraint *c, const int32_t *ids, size_t n, const char *text,
                            size_t len) {
    for (size_t skip = 0; skip < n && skip < 4; skip++) {
        size_t at = 0, i = skip;
        for (; i < n; i++) {
            const vbg_word w = vbg_word_of(c, ids[i]);
            if (!w.s || w.n > len - at || memcmp(w.s, text + at, w.n) != 0) break;
            at += w.n;
        }
        if (i == n && at == len) return skip;
    }
    return SIZE_MAX;
}

/* The ids that the tokenizer makes of a text in the middle of others. Some tokenizers put a space in
 * front of a text: there it is tokenised behind a line's end, which is taken off again. */
static int tokenise(const vb_constraint *c, const char *text, size_t len, int32_t **ids, size_t *n,
                    size_t *skip, vb_error *err) {
    const vb_tokenizer *t = c->vocabulary->tokenizer;
    int rc = vb_tokenize(t, text, len, 0, ids, n, err);
    if (rc || (*skip = spell_exactly(c, *ids, *n, text, len)) != SIZE_MAX) return rc;
    char *behind;
    vb_free(*ids);
    *ids = NULL;
    rc = vb_alloc((void **)&behind, len + 1, 1, "forced text", err);
    if (rc) return rc;
    behind[0] = '\n';
    memcpy(behind + 1, text, len);
    rc = vb_tokenize(t, behind, len + 1, 0, ids, n, err);
    free(behind);
    if (!rc) *skip = spell_exactly(c, *ids, *n, text, len);
    return rc;
}

enum { FORCED_BYTES = 512 };

int vb_guide_forced(vb_guide *g, const int32_t *ids, size_t n, int32_t *out, int max, int *n_out,
                    vb_error *err) {
    char text[FORCED_BYTES];
    int32_t *made = NULL;
    size_t n_made = 0, skip = SIZE_MAX, len = 0;
    bool open = true;
    int count = 0;
    vb_begin(err);
    pthread_mutex_lock(&g->c->lock);
    int rc = locked_follow(g, ids, n, err);
    if (!rc) len = forced_text(g, g->states[n], text, sizeof text, &open);
    if (!rc && len && max > 0) rc = tokenise(g->c, text, len, &made, &n_made, &skip, err);
    if (!rc && skip != SIZE_MAX) {
        uint32_t state = g->states[n];
        for (size_t i = skip; i + (open ? 1 : 0) < n_made && count < max; i++) {
            state = advance(g, state, made[i]);
            if (state == VBG_DEAD_STATE) break;
            out[count++] = made[i];
        }
    }
    if (!rc) rc = vbg_failed(g->c, err);
    if (!rc) *n_out = count;
    vb_free(made);
    pthread_mutex_unlock(&g->c->lock);
    return rc;
}

int vb_guide_at(vb_guide *g, const int32_t *ids, size_t n, vb_guide_state *out, vb_error *err) {
    vb_begin(err);
    pthread_mutex_lock(&g->c->lock);
    const int rc = locked_follow(g, ids, n, err);
    if (!rc) {
        const uint32_t s = g->states[n];
        vb_guide_state r = {.valid = n, .ended = s == ENDED, .begun = s != FREE && s != FIRST};
        while (r.valid && g->states[r.valid] == VBG_DEAD_STATE) r.valid--;
        if (s == FREE) r.complete = g->end_before;
        if (s == FIRST) r.complete = g->c->m->states[begin(g)].accept;
        if (is_machine(s)) {
            r.complete = g->c->m->states[s].accept;
            r.only_end = r.complete && g->c->m->states[s].n == 0;
        }
        *out = r;
    }
    pthread_mutex_unlock(&g->c->lock);
    return rc;
}

/* ----------------------------------------------------------------------------------------- the guide */

static void name_guide(vb_guide *g) {
    XXH3_state_t *s = XXH3_createState();
    XXH128_canonical_t c = {{0}};
    if (s) {
        XXH3_128bits_reset(s);
        XXH3_128bits_update(s, g->c->hash, 16);
        if (g->n_after) XXH3_128bits_update(s, g->after, g->n_after * sizeof *g->after);
        XXH3_128bits_update(s, &g->n_opens, sizeof g->n_opens);
        if (g->n_opens) XXH3_128bits_update(s, g->opens, g->n_opens * sizeof *g->opens);
        XXH3_128bits_update(s, g->end_before ? "e" : "g", 1);
        if (g->n_prefix) XXH3_128bits_update(s, g->prefix, g->n_prefix);
        XXH128_canonicalFromHash(&c, XXH3_128bits_digest(s));
        XXH3_freeState(s);
    }
    for (int i = 0; i < 16; i++) snprintf(g->name + 2 * i, 3, "%02x", c.digest[i]);
}

static int take_ids(vb_guide *g, int32_t **to, const int32_t *ids, size_t n, vb_error *err) {
    for (size_t i = 0; i < n; i++)
        if (ids[i] < 0 || ids[i] >= g->c->v.n_vocab)
            return vb_fail(err, VB_ERR_ARGUMENT,
                           "id %d, which begins a grammar or a text before it, is not in the vocabulary",
                           ids[i]);
    const int rc = vb_alloc((void **)to, n + 1, sizeof **to, "a guide", err);
    if (!rc && n) memcpy(*to, ids, n * sizeof **to);
    return rc;
}

static int take_params(vb_guide *g, const vb_guide_params *p, vb_error *err) {
    if (p->n_opens && !p->n_after)
        return vb_fail(err, VB_ERR_ARGUMENT,
                       "ids open a free text, and none is named after which the grammar begins");
    int rc = take_ids(g, &g->after, p->after, p->n_after, err);
    if (!rc) rc = take_ids(g, &g->opens, p->opens, p->n_opens, err);
    if (!rc) rc = vb_alloc((void **)&g->prefix, p->n_prefix + 1, 1, "a guide", err);
    if (rc) return rc;
    if (p->n_prefix) memcpy(g->prefix, p->prefix, p->n_prefix);
    g->n_after = p->n_after, g->n_opens = p->n_opens, g->n_prefix = p->n_prefix,
    g->end_before = p->end_before;
    return VB_OK;
}

int vb_guide_open(vb_guide **out, vb_constraint *c, const vb_guide_params *p, vb_error *err) {
    const vb_guide_params defaults = {0};
    vb_guide *g;
    vb_begin(err);
    int rc = vb_alloc((void **)&g, 1, sizeof *g, "a guide", err);
    if (rc) return rc;
    memset(g, 0, sizeof *g);
    g->c = c;
    pthread_mutex_lock(&c->lock);
    rc = take_params(g, p ? p : &defaults, err);
    g->epoch = c->epoch - 1;
    if (!rc) rc = locked_follow(g, NULL, 0, err);
    if (!rc) {
        const uint32_t start = begin(g);
        if (start == VBG_DEAD_STATE || (c->spell && !vbg_spell_state(c->spell, start)))
            rc = vb_fail(err, VB_ERR_ARGUMENT,
                         "the text given in front is no beginning of a text of the grammar");
    }
    pthread_mutex_unlock(&c->lock);
    name_guide(g);
    if (rc)
        vb_guide_close(g);
    else
        *out = g;
    return rc;
}

void vb_guide_close(vb_guide *g) {
    if (!g) return;
    free(g->after);
    free(g->opens);
    free(g->prefix);
    free(g->ids);
    free(g->states);
    free(g);
}

static int mask_at(void *self, const int32_t *ids, size_t n, uint64_t *allowed, vb_error *err) {
    return vb_guide_allowed(self, ids, n, allowed, err);
}

static int mask_forced(void *self, const int32_t *ids, size_t n, int32_t *out, int max, int *n_out,
                       vb_error *err) {
    return vb_guide_forced(self, ids, n, out, max, n_out, err);
}

vb_mask vb_guide_mask(vb_guide *g) {
    return (vb_mask){
        .self = g, .at = mask_at, .forced = mask_forced, .n_vocab = g->c->v.n_vocab, .name = g->name};
}
