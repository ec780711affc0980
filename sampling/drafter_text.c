/* drafter_text.c - a draft model of another vocabulary: the path becomes text, the text its ids; what it
 * writes becomes text, and that the target's ids, which are proposed.
 *
 *   path   ... | target's ids      what is proposed   | d_1 d_2 ...
 *   text   ... | the path's text   what it writes     | the text of w_1 w_2 w_3 ...
 *   ids    ... | the same as ids of the draft         | w_1 w_2 w_3 ...      (its cache holds a prefix of
 * these)
 *
 * It writes its likeliest ids, so what is proposed is a function of the path, and q is one-hot: every rule
 * accepts a token x with the target's own p(x), and is exact as for any other q. Its ids of the path follow
 * from the path alone (translate.h), so neither does it matter how the path was read. The last token that its
 * text makes may be the beginning of a longer one: it waits for more text, unless the list has room for no
 * more than what is there. */
#include "sampling/drafter.h"

#include "base/base.h"
#include "tokenizer/translate.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_WRITTEN = 4 * VB_MAX_GAMMA };

typedef struct drafter_text {
    vb_drafter_text_params p;
    vb_translation *read; /* the path */
    int32_t *ids;         /* (n_ids) the cache holds the first ones; the rest is to be evaluated */
    size_t n_ids, ids_room;

    /* The proposal in progress. */
    int32_t *path; /* NULL: none */
    size_t n;      /* of the path without drafts */
    vb_proposal *out;
    bool complete;
    size_t n_next;   /* ids that are evaluated now */
    int n_given;     /* drafts of others in front of its own */
    int n_seen;      /* drafts when it last looked */
    size_t n_before; /* ids in front of what it writes */

    /* What it has written behind them. */
    char *text;                           /* (n_text) */
    size_t n_text, text_room, n_proposed; /* bytes */
    size_t end[MOST_WRITTEN];             /* (n_written) where the text of each id ends */
    double sure_of[MOST_WRITTEN];
    int n_written;
    double sure[VB_MAX_GAMMA]; /* of the drafts */

    vb_ids made; /* the target's ids of its text */
    vb_work work;
} drafter_text;

/* Behind path[0..length), drafts of others included. Sets `complete` where nothing can be written. */
static int begin(drafter_text *m, const int32_t *path, size_t length, vb_error *err) {
    const vb_lm *lm = &m->p.lm;
    const size_t have = vb_lm_length(lm);
    size_t n = 0, same = 0;
    int rc = vb_translation_read(m->read, path, length, err);
    if (rc) return rc;
    const int32_t *ids = vb_translation_ids(m->read, &n);
    m->n_text = m->n_proposed = 0;
    m->n_written = 0;
    m->complete = n == 0 || n > (size_t)lm->n_ctx || !vb_translation_whole(m->read);
    if (m->complete) {
        m->n_before = m->n_ids = have;
        return VB_OK;
    }
    while (same < have && same + 1 < n && m->ids[same] == ids[same]) same++;
    if (have > same && (rc = vb_lm_truncate(lm, same, err))) return rc;
    if ((rc = vb_grow((void **)&m->ids, &m->ids_room, n + MOST_WRITTEN, sizeof *m->ids, "drafts", err)))
        return rc;
    memcpy(m->ids + same, ids + same, (n - same) * sizeof *ids);
    m->n_before = m->n_ids = n;
    return VB_OK;
}

/* All but the last id, which draft() evaluates together with what else is missing. */
static int feed(drafter_text *m, vb_error *err) {
    const vb_lm *lm = &m->p.lm;
    const size_t have = vb_lm_length(lm);
    return have + 1 < m->n_ids ? vb_lm_feed(lm, m->ids + have, m->n_ids - 1 - have, err) : VB_OK;
}

static int sync(void *self, const int32_t *path, size_t n, vb_error *err) {
    drafter_text *m = self;
    if (n == 0) return VB_OK;
    int rc = begin(m, path, n, err);
    if (!rc && !m->complete) rc = feed(m, err);
    m->complete = true;
    return rc;
}

/* Goes on behind the path and the drafts of others that stand there. */
static int go_on(drafter_text *m, vb_error *err) {
    m->n_given = m->n_seen = m->out->n;
    return begin(m, m->path, m->n + (size_t)m->out->n, err);
}

static int draft(void *self, int32_t *path, size_t n, vb_proposal *out, vb_error *err) {
    drafter_text *m = self;
    m->complete = true;
    if (n == 0 || out->max < 1) return VB_OK;
    m->path = path;
    m->n = n;
    m->out = out;
    int rc = go_on(m, err);
    if (!rc && !m->complete && m->n_ids > vb_lm_length(&m->p.lm) + VB_LM_PIECE) rc = feed(m, err);
    return rc;
}

static bool wants(void *self, const vb_lm **model, vb_eval_item *item) {
    drafter_text *m = self;
    const vb_lm *lm = &m->p.lm;
    if (m->complete) return false;
    /* Text that must follow was put behind its own: it goes on from there. */
    if (m->out->n != m->n_seen && go_on(m, NULL)) m->complete = true;
    m->complete = m->complete || m->out->n == m->out->max ||
                  vb_proposal_ends(m->out, m->p.stop, m->p.n_stop) || m->n_ids > (size_t)lm->n_ctx ||
                  m->n_written == MOST_WRITTEN;
    if (m->complete) return false;
    const size_t have = vb_lm_length(lm);
    m->n_next = m->n_ids - have;
    *model = lm;
    *item = (vb_eval_item){.tokens = m->ids + have, .n = m->n_next};
    return true;
}

/* The likeliest id, the lowest among equals, and how likely it is. */
static int32_t likeliest(const drafter_text *m, double *sure) {
    const float *logits = vb_lm_logits(&m->p.lm, m->n_next - 1);
    const int32_t known = vb_tokenizer_size(m->p.draft);
    const int32_t n = m->p.kept ? (int32_t)m->p.n_kept : m->p.lm.n_vocab;
    int32_t best = 0;
    for (int32_t i = 1; i < n && (m->p.kept ? m->p.kept[i] : i) < known; i++)
        if (logits[i] > logits[best]) best = i;
    *sure = vb_lm_sure(logits, n, best);
    return m->p.kept ? m->p.kept[best] : best;
}

/* How sure the draft is of the bytes [from, to) of its text. */
static double sure_of_text(const drafter_text *m, size_t from, size_t to) {
    double sure = 1;
    for (int i = 0; i < m->n_written; i++)
        if ((i ? m->end[i - 1] : 0) < to && m->end[i] > from) sure *= m->sure_of[i];
    return sure;
}

static int propose(drafter_text *m, const int32_t *ids, size_t n, vb_error *err) {
    const vb_certain c = {&m->p.law, m->p.limit, m->p.choice, m->p.stop, m->p.n_stop};
    const int before = m->out->n;
    const int rc = vb_propose_all(m->out, m->path, m->n, ids, 0, n, INT_MAX, &c, err);
    if (rc) return rc;
    for (int i = before; i < m->out->n; i++) {
        size_t len;
        vb_token_text(m->p.target, m->out->drafted[i].id, false, &len);
        m->sure[i] = sure_of_text(m, m->n_proposed, m->n_proposed + len);
        m->n_proposed += len;
    }
    m->n_seen = m->out->n;
    if ((size_t)(m->out->n - before) < n) m->complete = true; /* full, at its end, or forbidden */
    return VB_OK;
}

/* Proposes what its text makes, but for the last token; `all`: nothing follows. */
static int propose_text(drafter_text *m, bool all, vb_error *err) {
    const char *text = m->text + m->n_proposed;
    const size_t left = m->n_text - m->n_proposed, whole = vb_whole_characters(text, left),
                 room = (size_t)(m->out->max - m->out->n);
    size_t n = 0, at = 0;
    m->made.n = 0;
    if (whole == 0) return VB_OK;
    const int rc = vb_encode_more(m->p.target, &m->work, text, whole, &m->made, err);
    if (rc) return rc;
    /* Vocabularies that rewrite text (NFC, unknown characters) can spell another one. */
    for (; n < m->made.n; n++) {
        size_t len;
        const char *s = vb_token_text(m->p.target, m->made.v[n], false, &len);
        if (len == 0 || len > whole - at || memcmp(s, text + at, len) != 0) break;
        at += len;
    }
    if (n < m->made.n) all = true, m->complete = true;
    if (n > room)
        n = room;
    else if (!all && n < room && n > 0)
        n--;
    return propose(m, m->made.v, n, err);
}

/* Where it ends the text or writes a control token, what it means is proposed if the target has the like. */
static int propose_end(drafter_text *m, int32_t id, vb_error *err) {
    int rc = propose_text(m, true, err);
    const int32_t to = vb_translate_special(m->p.draft, m->p.target, id);
    if (!rc && !m->complete && to >= 0 && m->n_proposed == m->n_text) rc = propose(m, &to, 1, err);
    m->complete = true;
    return rc;
}

static int resume(void *self, vb_error *err) {
    drafter_text *m = self;
    size_t len;
    double sure;
    const int32_t id = likeliest(m, &sure);
    const char *s = vb_token_text(m->p.draft, id, false, &len);
    m->sure_of[m->n_written] = sure;
    m->end[m->n_written++] = m->n_text + len;
    if (len == 0 || vb_token_is_stop(m->p.draft, id)) return propose_end(m, id, err);
    int rc = vb_grow((void **)&m->text, &m->text_room, m->n_text + len, 1, "drafts", err);
    if (rc) return rc;
    memcpy(m->text + m->n_text, s, len);
    m->n_text += len;
    m->ids[m->n_ids++] = id;
    return propose_text(m, false, err);
}

static double sure(void *self, int i) {
    const drafter_text *m = self;
    return m->sure[i];
}

/* How many of the ids that are evaluated still hold, of those that path[0..n) says and of what was written
 * and kept. */
static size_t still_held(drafter_text *m, size_t n) {
    const size_t own = m->n + (size_t)m->n_given;
    size_t kept = 0, bytes = 0;
    if (vb_translation_cut(m->read, n)) { /* the others may change when it goes on */
        vb_translation_ids(m->read, &kept);
        return kept;
    }
    if (!m->path) return SIZE_MAX;
    for (size_t i = own; i < n; i++) {
        size_t len;
        vb_token_text(m->p.target, m->path[i], false, &len);
        bytes += len;
    }
    while (kept < (size_t)m->n_written && m->end[kept] <= bytes) kept++;
    return m->n_before + kept;
}

static void settle(void *self, size_t n) {
    drafter_text *m = self;
    const size_t held = still_held(m, n);
    if (vb_lm_length(&m->p.lm) > held) vb_lm_truncate(&m->p.lm, held, NULL);
    m->path = NULL;
    m->complete = true;
}

static const int32_t *holds(void *self, size_t *n) {
    const drafter_text *m = self;
    *n = vb_lm_length(&m->p.lm);
    return m->ids;
}

static void text_close(void *self) {
    drafter_text *m = self;
    vb_translation_close(m->read);
    vb_work_free(&m->work);
    free(m->made.v);
    free(m->text);
    free(m->ids);
    free(m);
}

/* What the cache holds already, if somebody says what that is. */
static int take_over(drafter_text *m, vb_error *err) {
    const vb_lm *lm = &m->p.lm;
    const size_t n = m->p.n_history;
    int rc = vb_grow((void **)&m->ids, &m->ids_room, n + MOST_WRITTEN, sizeof *m->ids, "drafts", err);
    if (rc) return rc;
    if (n != vb_lm_length(lm)) return vb_lm_truncate(lm, 0, err);
    if (n) memcpy(m->ids, m->p.history, n * sizeof *m->ids);
    return VB_OK;
}

int vb_drafter_text(vb_drafter *out, const vb_drafter_text_params *params, vb_error *err) {
    drafter_text *m = NULL;
    int rc = vb_alloc((void **)&m, 1, sizeof *m, "drafter", err);
    if (rc) return rc;
    m->p = *params;
    m->complete = true;
    if ((rc = take_over(m, err)) ||
        (rc = vb_translation_open(&m->read, params->target, params->draft, err))) {
        text_close(m);
        return rc;
    }
    m->p.history = NULL;
    *out = (vb_drafter){.self = m,
                        .sync = sync,
                        .draft = draft,
                        .settle = settle,
                        .close = text_close,
                        .wants = wants,
                        .resume = resume,
                        .sure = sure,
                        .holds = holds};
    return VB_OK;
}
