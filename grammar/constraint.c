/* constraint.c - a grammar under a vocabulary, shared and bounded. */
#include "grammar/constraint.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "base/buf.h"

/* ----------------------------------------------------------------------------------------- vocabularies */

static void hash128(XXH3_state_t *s, uint8_t out[16]) {
    XXH128_canonical_t c;
    XXH128_canonicalFromHash(&c, XXH3_128bits_digest(s));
    memcpy(out, c.digest, 16);
}

static int hash_vocabulary(vb_vocabulary *v, int32_t n, vb_error *err) {
    XXH3_state_t *s = XXH3_createState();
    if (!s) return vb_fail(err, VB_ERR_MEMORY, "out of memory (a hash)");
    XXH3_128bits_reset(s);
    for (int32_t id = 0; id < n; id++) {
        const uint64_t len = v->text[id].s ? v->text[id].n : UINT64_MAX;
        XXH3_128bits_update(s, &len, sizeof len);
        if (v->text[id].s) XXH3_128bits_update(s, v->text[id].s, v->text[id].n);
    }
    hash128(s, v->hash);
    XXH3_freeState(s);
    return VB_OK;
}

/* What an id stands for in text: nothing for those that are no text (control, unknown, unused). */
static vbg_word word_of(const vb_tokenizer *t, int32_t id) {
    size_t n = 0;
    if (id >= vb_tokenizer_size(t)) return (vbg_word){NULL, 0, id};
    const vb_token_kind kind = vb_token_type(t, id);
    if (kind != VB_TOKEN_NORMAL && kind != VB_TOKEN_USER && kind != VB_TOKEN_BYTE)
        return (vbg_word){NULL, 0, id};
    const char *s = vb_token_text(t, id, false, &n);
    return n ? (vbg_word){s, n, id} : (vbg_word){NULL, 0, id};
}

int vb_vocabulary_open(vb_vocabulary **out, const vb_tokenizer *t, int32_t n_vocab, vb_error *err) {
    vb_vocabulary *v;
    vb_begin(err);
    if (n_vocab < 0) return vb_fail(err, VB_ERR_ARGUMENT, "n_vocab is %d", n_vocab);
    if (n_vocab == 0) n_vocab = vb_tokenizer_size(t);
    int rc = vb_alloc((void **)&v, 1, sizeof *v, "a vocabulary", err);
    if (rc) return rc;
    memset(v, 0, sizeof *v);
    v->tokenizer = t;
    rc = vb_alloc((void **)&v->text, (size_t)n_vocab + 1, sizeof *v->text, "a vocabulary", err);
    for (int32_t id = 0; id < n_vocab && !rc; id++) {
        v->text[id] = word_of(t, id);
        if (v->text[id].n > VBG_LONGEST_WORD)
            rc = vb_fail(err, VB_ERR_UNSUPPORTED,
                         "id %d stands for %zu bytes; grammars take vocabularies of up to %d", id,
                         v->text[id].n, VBG_LONGEST_WORD);
    }
    if (!rc) rc = vbg_vocab_build(&v->v, v->text, n_vocab, err);
    if (!rc) rc = hash_vocabulary(v, n_vocab, err);
    if (rc)
        vb_vocabulary_close(v);
    else
        *out = v;
    return rc;
}

void vb_vocabulary_close(vb_vocabulary *v) {
    if (!v) return;
    vbg_vocab_free(&v->v);
    free(v->text);
    free(v);
}

/* ----------------------------------------------------------------------------------------- making */

static void forget_masks(vb_constraint *c) {
    for (size_t i = 0; i < c->kept_size; i++) free(c->kept[i].bits);
    free(c->kept);
    c->kept = NULL;
    c->n_kept = c->kept_size = 0;
}

static void forget_all(vb_constraint *c) {
    forget_masks(c);
    vbg_masker_free(c->k);
    vbg_spell_free(c->spell);
    vbg_machine_free(c->m);
    c->k = NULL, c->spell = NULL, c->m = NULL;
}

int vbg_forget(vb_constraint *c, vb_error *err) {
    vbg_ir *ir;
    forget_all(c);
    c->epoch++;
    int rc = vbg_ir_copy(&ir, c->grammar->ir, err);
    if (!rc) rc = vbg_machine_new(&c->m, ir, err);
    if (!rc) c->m->max_bytes = c->max_bytes;
    if (!rc) rc = vbg_spell_new(&c->spell, c->m, &c->v, c->no_text, err);
    if (!rc) rc = vbg_masker_new(&c->k, c->m, &c->v, c->spell, err);
    if (rc) forget_all(c);
    return rc;
}

static size_t bytes_now(const vb_constraint *c) {
    return vbg_machine_bytes(c->m) + vbg_spell_bytes(c->spell) + c->k->bytes + c->n_kept * c->words * 8;
}

int vbg_make_room(vb_constraint *c, vb_error *err) {
    if (c->m && !vbg_failed(c, NULL)) {
        if (c->n_kept * c->words * 8 > c->max_bytes / 4) {
            forget_masks(c);
            c->stats.forgotten++;
        }
        if (bytes_now(c) <= c->max_bytes / 4 * 3) return VB_OK;
    }
    c->stats.forgotten++;
    return vbg_forget(c, err);
}

int vbg_failed(vb_constraint *c, vb_error *err) {
    if (c->m->error.code) return vb_fail(err, c->m->error.code, "%s", c->m->error.message);
    if (c->k->error.code) return vb_fail(err, c->k->error.code, "%s", c->k->error.message);
    return vbg_spell_error(c->spell, err);
}

static int take_ids(vb_constraint *c, const int32_t *ids, size_t n, const char *what, vb_error *err) {
    for (size_t i = 0; i < n; i++) {
        if (ids[i] < 0 || ids[i] >= c->v.n_vocab)
            return vb_fail(err, VB_ERR_ARGUMENT, "%s id %d is not in the vocabulary (0 to %d)", what, ids[i],
                           c->v.n_vocab - 1);
        c->no_text[ids[i] / 64] |= UINT64_C(1) << (ids[i] % 64);
    }
    return VB_OK;
}

/* Control ids that count as text get a vocabulary of their own. */
static int take_written(vb_constraint *c, const vb_constraint_params *p, vb_error *err) {
    if (p->n_written == 0) return VB_OK;
    int rc = vb_alloc((void **)&c->text, (size_t)c->v.n_vocab + 1, sizeof *c->text, "a constraint", err);
    if (rc) return rc;
    memcpy(c->text, c->v.text, (size_t)c->v.n_vocab * sizeof *c->text);
    for (size_t i = 0; i < p->n_written; i++) {
        const int32_t id = p->written[i];
        size_t n = 0;
        const bool there = id >= 0 && id < c->v.n_vocab && id < vb_tokenizer_size(c->vocabulary->tokenizer);
        const char *s = there ? vb_token_text(c->vocabulary->tokenizer, id, true, &n) : NULL;
        if (!s || n == 0 || n > VBG_LONGEST_WORD)
            return vb_fail(err, VB_ERR_ARGUMENT, "id %d, which shall be written as text, has none", id);
        c->text[id] = (vbg_word){s, n, id};
    }
    rc = vbg_vocab_build(&c->own, c->text, c->v.n_vocab, err);
    if (!rc) c->v = c->own;
    return rc;
}

/* End and banned ids are no text here: bytes that only they stood for are missing. */
static int take_params(vb_constraint *c, const vb_constraint_params *p, vb_error *err) {
    size_t n_end = p->n_end;
    const int32_t *end = p->end ? p->end : vb_stop_ids(c->vocabulary->tokenizer, &n_end);
    int rc = vb_alloc((void **)&c->no_text, c->words, 8, "a constraint", err);
    if (rc) return rc;
    memset(c->no_text, 0, c->words * 8);
    rc = take_ids(c, p->banned, p->n_banned, "banned", err);
    if (!rc) rc = vb_alloc((void **)&c->end, n_end + 1, sizeof *c->end, "a constraint", err);
    for (size_t i = 0; i < n_end && !rc; i++) {
        const int32_t id = end[i];
        if (id >= 0 && id < c->v.n_vocab && c->no_text[id / 64] >> (id % 64) & 1)
            continue; /* banned, or there already */
        rc = take_ids(c, &id, 1, "end", err);
        c->end[c->n_end++] = id;
    }
    if (rc) return rc;
    if (c->n_end == 0)
        return vb_fail(
            err, VB_ERR_ARGUMENT,
            "no id ends a text (the model has no end-of-text token, or it is banned): a text under a grammar "
            "could never end");
    if ((rc = take_written(c, p, err))) return rc;
    for (size_t i = 0; i < p->n_banned + c->n_end; i++) {
        const int32_t id = i < p->n_banned ? p->banned[i] : c->end[i - p->n_banned];
        bool again = false;
        for (size_t k = 0; k < i && k < p->n_banned; k++) again |= p->banned[k] == id;
        if (!again && c->v.text[id].s && c->v.text[id].n == 1) c->v.bytes[(uint8_t)c->v.text[id].s[0]]--;
    }
    return VB_OK;
}

vbg_word vbg_word_of(const vb_constraint *c, int32_t id) {
    const bool none = id < 0 || id >= c->v.n_vocab || c->no_text[id / 64] >> (id % 64) & 1;
    return none ? (vbg_word){NULL, 0, id} : c->v.text[id];
}

static int hash_constraint(vb_constraint *c, const vb_constraint_params *p, vb_error *err) {
    XXH3_state_t *s = XXH3_createState();
    if (!s) return vb_fail(err, VB_ERR_MEMORY, "out of memory (a hash)");
    XXH3_128bits_reset(s);
    XXH3_128bits_update(s, c->grammar->hash, 16);
    XXH3_128bits_update(s, c->vocabulary->hash, 16);
    XXH3_128bits_update(s, c->end, c->n_end * sizeof *c->end);
    XXH3_128bits_update(s, "banned", 6);
    if (p->n_banned) XXH3_128bits_update(s, p->banned, p->n_banned * sizeof *p->banned);
    XXH3_128bits_update(s, "written", 7);
    if (p->n_written) XXH3_128bits_update(s, p->written, p->n_written * sizeof *p->written);
    hash128(s, c->hash);
    XXH3_freeState(s);
    return VB_OK;
}

int vb_constraint_open(vb_constraint **out, const vb_grammar *g, const vb_vocabulary *v,
                       const vb_constraint_params *p, vb_error *err) {
    const vb_constraint_params defaults = {0};
    vb_constraint *c;
    vb_begin(err);
    if (!p) p = &defaults;
    int rc = vb_alloc((void **)&c, 1, sizeof *c, "a constraint", err);
    if (rc) return rc;
    memset(c, 0, sizeof *c);
    pthread_mutex_init(&c->lock, NULL);
    c->grammar = g, c->vocabulary = v, c->v = v->v;
    c->words = ((size_t)v->v.n_vocab + 63) / 64;
    c->max_bytes = p->max_bytes ? p->max_bytes : (size_t)64 << 20;
    rc = take_params(c, p, err);
    if (!rc) rc = hash_constraint(c, p, err);
    if (!rc) rc = vbg_forget(c, err);
    if (!rc && c->spell && !vbg_spell_state(c->spell, c->m->start)) {
        rc = vbg_failed(c, err);
        if (!rc)
            rc = vb_fail(err, VB_ERR_ARGUMENT,
                         "no text of the grammar can be spelled with this vocabulary: bytes that every one "
                         "of them needs "
                         "are missing or banned");
    }
    if (rc)
        vb_constraint_close(c);
    else
        *out = c;
    return rc;
}

void vb_constraint_close(vb_constraint *c) {
    if (!c) return;
    forget_all(c);
    pthread_mutex_destroy(&c->lock);
    vbg_vocab_free(&c->own);
    free(c->text);
    free(c->no_text);
    free(c->end);
    free(c);
}

/* ----------------------------------------------------------------------------------------- asking */

bool vbg_is_end(const vb_constraint *c, int32_t id) {
    for (size_t i = 0; i < c->n_end; i++)
        if (c->end[i] == id) return true;
    return false;
}

uint32_t vbg_after_id(vb_constraint *c, uint32_t state, int32_t id) {
    const vbg_word w = vbg_word_of(c, id);
    if (!w.s) return VBG_DEAD_STATE;
    const uint32_t next = vbg_advance(c->m, state, w.s, w.n);
    return c->spell && !vbg_spell_state(c->spell, next) ? VBG_DEAD_STATE : next;
}

/* Where the mask of a state is kept, or a free place for it. */
static vbg_kept *place(vb_constraint *c, uint32_t state, vb_error *err) {
    if (2 * (c->n_kept + 1) > c->kept_size) {
        const size_t size = c->kept_size ? 2 * c->kept_size : 64;
        vbg_kept *t;
        if (vb_alloc((void **)&t, size, sizeof *t, "masks", err)) return NULL;
        memset(t, 0, size * sizeof *t);
        for (size_t i = 0; i < c->kept_size; i++) {
            if (!c->kept[i].bits) continue;
            size_t at = c->kept[i].state * UINT64_C(0x9E3779B97F4A7C15) >> 32 & (size - 1);
            while (t[at].bits) at = (at + 1) & (size - 1);
            t[at] = c->kept[i];
        }
        free(c->kept);
        c->kept = t, c->kept_size = size;
    }
    size_t at = state * UINT64_C(0x9E3779B97F4A7C15) >> 32 & (c->kept_size - 1);
    while (c->kept[at].bits && c->kept[at].state != state) at = (at + 1) & (c->kept_size - 1);
    return &c->kept[at];
}

int vbg_state_mask(vb_constraint *c, uint32_t state, uint64_t *allowed, vb_error *err) {
    const double from = vb_now();
    vbg_kept *k = place(c, state, err);
    if (!k) return VB_ERR_MEMORY;
    c->stats.masks++;
    if (k->bits) {
        c->stats.kept++;
    } else {
        uint64_t *bits;
        int rc = vb_alloc((void **)&bits, c->words, 8, "a mask", err);
        if (rc) return rc;
        memset(bits, 0, c->words * 8);
        rc = vbg_mask(c->k, state, bits, err);
        if (!rc) rc = vbg_spell_error(c->spell, err);
        if (rc) {
            free(bits);
            return rc;
        }
        for (size_t i = 0; i < c->words; i++) bits[i] &= ~c->no_text[i];
        k->bits = bits, k->state = state;
        c->n_kept++;
    }
    memcpy(allowed, k->bits, c->words * 8);
    for (size_t i = 0; i < c->n_end && c->m->states[state].accept; i++)
        allowed[c->end[i] / 64] |= UINT64_C(1) << (c->end[i] % 64);
    const double took = vb_now() - from;
    c->stats.mask_s += took;
    if (took > c->stats.slowest_s) c->stats.slowest_s = took;
    return VB_OK;
}

static int text_locked(vb_constraint *c, const char *text, size_t len, uint64_t next[4], bool *complete,
                       size_t *valid, vb_error *err) {
    if (len > PTRDIFF_MAX) return vb_fail(err, VB_ERR_ARGUMENT, "a text of %zu bytes", len);
    int rc = vbg_make_room(c, err);
    if (rc) return rc;
    if (vbg_follow_text(c->m, text, len, next, complete, valid)) return VB_OK;
    return vbg_failed(c, err);
}

int vb_constraint_text(vb_constraint *c, const char *text, size_t len, uint64_t next[4], bool *complete,
                       size_t *valid, vb_error *err) {
    vb_begin(err);
    pthread_mutex_lock(&c->lock);
    const int rc = text_locked(c, text, len, next, complete, valid, err);
    pthread_mutex_unlock(&c->lock);
    return rc;
}

void vb_constraint_stats_get(vb_constraint *c, vb_constraint_stats *out) {
    pthread_mutex_lock(&c->lock);
    *out = c->stats;
    if (c->m) {
        out->states = c->m->n_states;
        out->bytes_missing = c->spell != NULL;
        out->lexemes = c->k->n_lexemes;
        out->bytes = bytes_now(c);
    }
    out->vocab_bytes = c->v.memory;
    pthread_mutex_unlock(&c->lock);
}
