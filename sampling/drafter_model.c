/* drafter_model.c - a smaller model drafts. A proposal grows by one token per round: `wants` says what the
 * model has to evaluate, and `resume` draws the next token from the law of the logits. */
#include "sampling/drafter.h"

#include "sampling/race.h"

#include <stdlib.h>

typedef struct drafter_model {
    vb_drafter_model_params p;
    size_t checked; /* path[0..checked) are ids that this model knows */
    bool blind;     /* the path holds an id that it does not know: no drafts */

    /* The proposal in progress. */
    int32_t *path;
    size_t n; /* of the path without drafts */
    vb_proposal *out;
    const int32_t *next; /* (n_next) to be evaluated; n_next = 0: the proposal is complete */
    size_t n_next;
} drafter_model;

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
    const size_t have = (size_t)lm->length(lm->self);
    if (n == 0 || !fits(m, path, n) || have >= n - 1) return VB_OK;
    return vb_lm_feed(lm, path + have, n - 1 - have, err);
}

static int32_t choose(const drafter_model *m, vb_dist *q, const vb_dist_space *space, size_t n, int j,
                      vb_drafted *d) {
    const vb_coin_key key = {(uint32_t)n, (uint32_t)j, VB_PURPOSE_DRAFT};
    vb_residual walk;
    vb_weights w;
    if (m->p.choice == VB_CHOOSE_RACE) return vb_race(q, m->p.seed, (uint32_t)n + (uint32_t)j);
    if (m->p.choice == VB_CHOOSE_GRID) vb_dist_rescale(q, space, VB_BLOCK_Q_BITS);
    vb_dist_weights(&walk, q, &w);
    d->has_draw = true;
    return q->id[m->p.coins->pick(m->p.coins->self, key, &w, &d->draw)];
}

static int draft(void *self, int32_t *path, size_t n, vb_proposal *out, vb_error *err) {
    drafter_model *m = self;
    const vb_lm *lm = &m->p.lm;
    int rc;

    out->n = 0;
    m->n_next = 0;
    if (n == 0 || out->max < 1 || !fits(m, path, n)) return VB_OK;
    size_t have = (size_t)lm->length(lm->self);
    if (have >= n) {
        if ((rc = lm->truncate(lm->self, (int)n - 1, err))) return rc;
        have = n - 1;
    }
    m->path = path;
    m->n = n;
    m->out = out;
    m->next = path + have;
    m->n_next = n - have;
    return VB_OK;
}

static bool wants(void *self, vb_lm_call *call) {
    const drafter_model *m = self;
    if (m->n_next == 0) return false;
    *call = (vb_lm_call){.lm = &m->p.lm, .tokens = m->next, .n = m->n_next};
    return true;
}

/* The logits after the path and the drafts so far are there: draws the next one. */
static int resume(void *self, vb_error *err) {
    drafter_model *m = self;
    const vb_lm *lm = &m->p.lm;
    const vb_law_source *law = &m->p.law;
    const int j = m->out->n;
    const size_t end = m->n + (size_t)j; /* of path and drafts so far */
    vb_dist *q = &m->out->q[j];
    vb_drafted *d = &m->out->drafted[j];

    const float *logits = lm->logits(lm->self, m->n_next - 1);
    m->n_next = 0;
    *d = (vb_drafted){0};
    int rc = law->at(law->self, logits, m->p.limit, m->path, end, &m->out->space[j], q, err);
    if (rc) return rc;
    if (q->n == 0) return VB_OK; /* every id that could be drafted is banned */
    d->id = m->path[end] = choose(m, q, &m->out->space[j], m->n, j, d);
    m->out->n = j + 1;
    if (j + 1 == m->out->max || vb_is_stop(m->p.stop, m->p.n_stop, d->id) || end + 1 > (size_t)lm->n_ctx)
        return VB_OK;
    m->next = &m->path[end];
    m->n_next = 1;
    return VB_OK;
}

static void settle(void *self, size_t n) {
    drafter_model *m = self;
    const vb_lm *lm = &m->p.lm;
    if ((size_t)lm->length(lm->self) > n) lm->truncate(lm->self, (int)n, NULL);
    if (m->checked > n) m->checked = n, m->blind = false;
    m->n_next = 0;
}

static void model_close(void *self) {
    free(self);
}

int vb_drafter_draft(const vb_drafter *d, int32_t *path, size_t n, vb_proposal *out, vb_error *err) {
    vb_lm_call call;
    int rc = d->draft(d->self, path, n, out, err);
    while (rc == VB_OK && d->wants && d->wants(d->self, &call)) {
        rc = call.lm->eval(call.lm->self, call.tokens, call.n, call.want, err);
        if (rc == VB_OK) rc = d->resume(d->self, err);
    }
    return rc;
}

int vb_drafter_model(vb_drafter *out, const vb_drafter_model_params *params, vb_error *err) {
    drafter_model *m = NULL;
    int rc = vb_alloc((void **)&m, 1, sizeof *m, "drafter", err);
    if (rc) return rc;
    m->p = *params;
    *out = (vb_drafter){.self = m,
                        .sync = sync,
                        .draft = draft,
                        .settle = settle,
                        .close = model_close,
                        .wants = wants,
                        .resume = resume};
    return VB_OK;
}
