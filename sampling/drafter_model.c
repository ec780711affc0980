/* drafter_model.c - a smaller model drafts. A proposal grows by one token per round: `wants` says what the
 * model has to evaluate, and `resume` draws the next token from the law of the logits. */
#include "sampling/drafter.h"

#include <stdlib.h>

typedef struct drafter_model {
    vb_drafter_model_params p;
    size_t checked; /* path[0..checked) are ids that this model knows */
    bool blind;     /* the path holds an id that it does not know: no drafts */

    /* The proposal in progress. */
    int32_t *path;
    size_t n; /* of the path without drafts */
    vb_proposal *out;
    bool complete;
    size_t n_next; /* tokens that the model evaluates now */

    float *wide; /* (lm.n_vocab) logits of all ids where the model gives some; else NOWHERE */
} drafter_model;

/* A logit without weight at any temperature that is allowed (at most 10^6): 2^40*exp(-10^30/10^6) < 1. */
#define NOWHERE (-1e30f)

/* Can path[0..n) be taken in at all? */
static bool fits(drafter_model *m, const int32_t *path, size_t n) {
    for (; m->checked < n && !m->blind; m->checked++)
        m->blind = path[m->checked] < 0 || path[m->checked] >= m->p.lm.n_vocab;
    return !m->blind && n <= (size_t)m->p.lm.n_ctx;
}

/* The cache is always a prefix of the path: settle() cuts it back to what still holds. The path's last token
 * is left out here; draft() evaluates it together with what else is missing. */
static int sync(void *self, const int32_t *path, size_t n, vb_error *err) {
    drafter_model *m = self;
    const vb_lm *lm = &m->p.lm;
    const size_t have = vb_lm_length(lm);
    if (n == 0 || !fits(m, path, n) || have >= n - 1) return VB_OK;
    return vb_lm_feed(lm, path + have, n - 1 - have, err);
}

static int32_t choose(const drafter_model *m, vb_dist *q, const vb_dist_space *space, size_t n, int j,
                      vb_drafted *d) {
    const vb_coin_key key = {(uint32_t)n, (uint32_t)j, VB_PURPOSE_DRAFT};
    vb_residual walk;
    vb_weights w;
    if (m->p.choice == VB_CHOOSE_RACE)
        return m->p.coins->race(m->p.coins->self, q, (uint32_t)n + (uint32_t)j);
    if (m->p.choice == VB_CHOOSE_GRID) vb_dist_rescale(q, space, VB_BLOCK_Q_BITS);
    vb_dist_weights(&walk, q, &w);
    d->has_draw = true;
    return q->id[m->p.coins->pick(m->p.coins->self, key, &w, &d->draw)];
}

static int draft(void *self, int32_t *path, size_t n, vb_proposal *out, vb_error *err) {
    drafter_model *m = self;
    const vb_lm *lm = &m->p.lm;
    int rc;

    m->complete = true;
    if (n == 0 || out->max < 1 || !fits(m, path, n)) return VB_OK;
    if (vb_lm_length(lm) >= n && (rc = vb_lm_truncate(lm, n - 1, err))) return rc;
    m->path = path;
    m->n = n;
    m->out = out;
    m->complete = false;
    return VB_OK;
}

/* What the model has not seen of path and drafts. The proposal is complete when it is full or ends, when the
 * context has no room, and when a draft that came from elsewhere is not in this model's vocabulary. */
static bool wants(void *self, const vb_lm **model, vb_eval_item *item) {
    drafter_model *m = self;
    const vb_lm *lm = &m->p.lm;
    const vb_proposal *o = m->out;
    if (m->complete) return false;
    m->complete = o->n == o->max || vb_proposal_ends(o, m->p.stop, m->p.n_stop) ||
                  m->n + (size_t)o->n > (size_t)lm->n_ctx;
    const size_t have = vb_lm_length(lm), end = m->n + (size_t)o->n;
    for (size_t i = have; i < end; i++) m->complete |= m->path[i] >= lm->n_vocab;
    if (m->complete) return false;
    m->n_next = end - have;
    *model = lm;
    *item = (vb_eval_item){.tokens = m->path + have, .n = m->n_next};
    return true;
}

/* The logits of all ids. */
static const float *logits_of(drafter_model *m) {
    const float *logits = vb_lm_logits(&m->p.lm, m->n_next - 1);
    if (!m->p.kept) return logits;
    for (size_t i = 0; i < m->p.n_kept; i++) m->wide[m->p.kept[i]] = logits[i];
    return m->wide;
}

/* The logits after the path and the drafts so far are there: draws the next one. */
static int resume(void *self, vb_error *err) {
    drafter_model *m = self;
    const vb_law_source *law = &m->p.law;
    vb_proposal *o = m->out;
    const int j = o->n;
    vb_dist q;
    vb_drafted with = {0}; /* the coin of its draw */

    const float *logits = logits_of(m);
    int rc = law->at(law->self, logits, m->p.limit, m->path, m->n + (size_t)j, &o->space[j], &q, err);
    if (rc) return rc;
    /* Every id that could be drafted is banned, or has no row in a trimmed output matrix. */
    m->complete = q.n == 0 || (m->p.kept && logits[q.id[0]] <= NOWHERE);
    if (m->complete) return VB_OK;
    const int32_t id = choose(m, &q, &o->space[j], m->n, j, &with);
    vb_drafted *d = vb_propose(o, m->path, m->n, id);
    d->has_draw = with.has_draw;
    d->draw = with.draw;
    o->q[j] = q;
    return VB_OK;
}

static void settle(void *self, size_t n) {
    drafter_model *m = self;
    const vb_lm *lm = &m->p.lm;
    if (vb_lm_length(lm) > n) vb_lm_truncate(lm, n, NULL);
    if (m->checked > n) m->checked = n, m->blind = false;
    m->complete = true;
}

static void model_close(void *self) {
    drafter_model *m = self;
    free(m->wide);
    free(m);
}

int vb_drafter_draft(const vb_drafter *d, int32_t *path, size_t n, vb_proposal *out, vb_error *err) {
    const vb_lm *lm;
    vb_eval_item item;
    int rc = d->draft(d->self, path, n, out, err);
    while (rc == VB_OK && d->wants && d->wants(d->self, &lm, &item)) {
        rc = vb_lm_eval(lm, item.tokens, item.n, item.want, err);
        if (rc == VB_OK) rc = d->resume(d->self, err);
    }
    return rc;
}

void vb_propose_certain(vb_proposal *o, int32_t *path, size_t n, int32_t id, uint64_t one) {
    const vb_dist_space *space = &o->space[o->n];
    space->id[0] = id;
    space->w[0] = one;
    o->q[o->n] = (vb_dist){1, space->id, space->w, one};
    vb_propose(o, path, n, id);
}

static int none_sync(void *self, const int32_t *path, size_t n, vb_error *err) {
    (void)self, (void)path, (void)n, (void)err;
    return VB_OK;
}
static int none_draft(void *self, int32_t *path, size_t n, vb_proposal *out, vb_error *err) {
    (void)self, (void)path, (void)n, (void)out, (void)err;
    return VB_OK;
}
static void none_settle(void *self, size_t n) {
    (void)self, (void)n;
}
static void none_close(void *self) {
    (void)self;
}

vb_drafter vb_drafter_none(void) {
    return (vb_drafter){.sync = none_sync, .draft = none_draft, .settle = none_settle, .close = none_close};
}

int vb_drafter_model(vb_drafter *out, const vb_drafter_model_params *params, vb_error *err) {
    drafter_model *m = NULL;
    int rc = vb_alloc((void **)&m, 1, sizeof *m, "drafter", err);
    if (rc) return rc;
    m->p = *params;
    m->complete = true;
    const size_t n_wide = params->kept ? (size_t)params->lm.n_vocab : 0;
    if ((rc = vb_alloc((void **)&m->wide, n_wide, sizeof *m->wide, "drafter", err))) {
        free(m);
        return rc;
    }
    for (size_t i = 0; i < n_wide; i++) m->wide[i] = NOWHERE;
    *out = (vb_drafter){.self = m,
                        .sync = sync,
                        .draft = draft,
                        .settle = settle,
                        .close = model_close,
                        .wants = wants,
                        .resume = resume};
    return VB_OK;
}
