#include "drafter.h"

#include "race.h"

#include <stdlib.h>

typedef struct drafter_model {
    vb_drafter_model_params p;
    size_t checked; /* path[0..checked) are ids that this model knows */
    bool blind;     /* the path holds an id that it does not know: no drafts */
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
    const vb_law_source *law = &m->p.law;
    int rc;

    out->n = 0;
    if (n == 0 || out->max < 1 || !fits(m, path, n)) return VB_OK;
    size_t have = (size_t)lm->length(lm->self);
    if (have >= n) {
        if ((rc = lm->truncate(lm->self, (int)n - 1, err))) return rc;
        have = n - 1;
    }
    if ((rc = lm->eval(lm->self, path + have, n - have, NULL, err))) return rc;
    size_t row = n - have - 1;
    for (int j = 0; j < out->max;) {
        vb_dist *q = &out->q[j];
        vb_drafted *d = &out->drafted[j];
        *d = (vb_drafted){0};
        rc = law->at(law->self, lm->logits(lm->self, row), m->p.limit, path, n + (size_t)j, &out->space[j], q,
                     err);
        if (rc) return rc;
        if (q->n == 0) break; /* every id that could be drafted is banned */
        d->id = path[n + (size_t)j] = choose(m, q, &out->space[j], n, j, d);
        out->n = ++j;
        if (j == out->max || vb_is_stop(m->p.stop, m->p.n_stop, d->id) || n + (size_t)j > (size_t)lm->n_ctx)
            break;
        if ((rc = lm->eval(lm->self, &d->id, 1, NULL, err))) return rc;
        row = 0;
    }
    return VB_OK;
}

static void settle(void *self, size_t n) {
    drafter_model *m = self;
    const vb_lm *lm = &m->p.lm;
    if ((size_t)lm->length(lm->self) > n) lm->truncate(lm->self, (int)n, NULL);
    if (m->checked > n) m->checked = n, m->blind = false;
}

static void model_close(void *self) {
    free(self);
}

int vb_drafter_model(vb_drafter *out, const vb_drafter_model_params *params, vb_error *err) {
    drafter_model *m = NULL;
    int rc = vb_alloc((void **)&m, 1, sizeof *m, "drafter", err);
    if (rc) return rc;
    m->p = *params;
    *out = (vb_drafter){m, sync, draft, settle, model_close};
    return VB_OK;
}
