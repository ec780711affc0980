/* drafter_model.c - a smaller model drafts, a chain or a tree. A proposal grows by one depth per round:
 * `wants` says what the model has to evaluate, and `resume` chooses the next tokens from the laws of the
 * logits.
 *
 * The drafts of a tree stand in the list depth by depth, and so they do in the model's cache, behind the
 * path: draft i is at slot n + i. */
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
    bool complete;
    int from;      /* drafts from here to the end of the list get children next; -1: the path does */
    int level;     /* depths of the shape that are there */
    size_t n_next; /* tokens that the model evaluates now */
    uint8_t want[VB_MAX_GAMMA];
    int32_t parent[VB_MAX_GAMMA];

    /* What the model's cache holds behind `base` positions is a tree; `holds`: it will, after this round. */
    bool held, holds;
    size_t base;

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

/* ---------------------------------------------------------------------- a round */

static bool is_tree(const drafter_model *m) {
    return m->out->shape != NULL;
}

static bool ends(const drafter_model *m, int i) {
    return i >= 0 && vb_is_stop(m->p.stop, m->p.n_stop, m->out->drafted[i].id);
}

static int draft(void *self, int32_t *path, size_t n, vb_proposal *out, vb_error *err) {
    drafter_model *m = self;
    const vb_lm *lm = &m->p.lm;
    int rc;

    m->complete = true;
    m->held = false;
    if (n == 0 || out->max < 1 || !fits(m, path, n)) return VB_OK;
    if (vb_lm_length(lm) >= n && (rc = vb_lm_truncate(lm, n - 1, err))) return rc;
    m->path = path;
    m->n = n;
    m->out = out;
    m->complete = false;
    m->from = out->n - 1;
    m->level = 0;
    return VB_OK;
}

static int depth_of(const vb_proposal *o, int i) {
    int depth = 0;
    for (; i >= 0; i = o->drafted[i].parent) depth++;
    return depth;
}

/* Is there another depth? Not behind stop tokens. All of the last depth are equally deep. */
static bool grows(const drafter_model *m) {
    const vb_proposal *o = m->out;
    bool open = false;
    if (o->n >= o->max) return false;
    for (int i = m->from; i < o->n; i++) open |= !ends(m, i);
    if (!open || !is_tree(m)) return open;
    return m->level < VB_TREE_DEPTH && m->out->shape[m->level] > 0 && depth_of(o, m->from) < o->depth;
}

/* A depth of a tree, behind those that the cache holds: who of them wants children, and whom each follows. As
 * long as every depth has one draft the cache holds a chain. */
static void lay_out(drafter_model *m, size_t have, vb_eval_item *item) {
    const vb_proposal *o = m->out;
    m->holds = m->held || m->n_next > 1;
    if (!m->held) m->base = have;
    for (int i = m->from; i < o->n; i++) {
        m->want[i - m->from] = !ends(m, i);
        m->parent[i - m->from] = (int32_t)((int64_t)m->n + o->drafted[i].parent - (int64_t)m->base);
    }
    item->want = m->want;
    item->parent = m->holds ? m->parent : NULL;
}

/* What the model has not seen of path and drafts. The proposal is complete when it is full or ends, when the
 * context has no room, and when a draft that came from elsewhere is not in this model's vocabulary. */
static bool wants(void *self, const vb_lm **model, vb_eval_item *item) {
    drafter_model *m = self;
    const vb_lm *lm = &m->p.lm;
    const vb_proposal *o = m->out;
    if (m->complete) return false;
    if (!is_tree(m)) m->from = o->n - 1; /* text that must follow may have been added */
    m->complete = !grows(m) || m->n + (size_t)o->n > (size_t)lm->n_ctx;
    const size_t have = vb_lm_length(lm), end = m->n + (size_t)o->n;
    for (size_t i = have; i < end; i++) m->complete |= m->path[i] >= lm->n_vocab;
    if (m->complete) return false;
    m->n_next = end - have;
    *model = lm;
    *item = (vb_eval_item){.tokens = m->path + have, .n = m->n_next};
    m->holds = false;
    if (m->level > 0 && is_tree(m)) lay_out(m, have, item);
    return true;
}

/* The logits of all ids after token i of the evaluation. */
static const float *logits_of(drafter_model *m, size_t i) {
    const float *logits = vb_lm_logits(&m->p.lm, i);
    if (!m->p.kept) return logits;
    for (size_t k = 0; k < m->p.n_kept; k++) m->wide[m->p.kept[k]] = logits[k];
    return m->wide;
}

/* The law after draft `at` and those that it follows (-1: the path), into the room of the next draft. They
 * stand behind the path while it is asked for, where otherwise the list stands. */
static int law_after(drafter_model *m, int at, const float *logits, vb_dist *q, vb_error *err) {
    const vb_law_source *law = &m->p.law;
    const vb_proposal *o = m->out;
    const int depth = depth_of(o, at);
    for (int i = at, d = depth; d > 0; i = o->drafted[i].parent)
        m->path[m->n + (size_t)--d] = o->drafted[i].id;
    const int rc =
        law->at(law->self, logits, m->p.limit, m->path, m->n + (size_t)depth, &o->space[o->n], q, err);
    for (int i = 0; i < depth; i++) m->path[m->n + (size_t)i] = o->drafted[i].id;
    return rc;
}

/* ---------------------------------------------------------------------- siblings */

static vb_drafted *add(const drafter_model *m, int at, int32_t id, const vb_dist *q) {
    vb_proposal *o = m->out;
    o->q[o->n] = *q;
    vb_drafted *d = vb_propose(o, m->path, m->n, id);
    d->parent = at;
    return d;
}

/* The first ones of the race with the target's noise: all have the law q, which is reported of each. */
static void race(const drafter_model *m, int at, int breadth, const vb_dist *q) {
    const vb_proposal *o = m->out;
    const vb_coins *c = m->p.coins;
    const uint32_t position = (uint32_t)m->n + (uint32_t)depth_of(o, at);
    int32_t id[VB_RACE_MOST];
    int n = 1;
    if (breadth == 1)
        id[0] = c->race(c->self, q, position);
    else
        n = c->ranks(c->self, q, position, breadth, id);
    for (int i = 0; i < n && o->n < o->max; i++) add(m, at, id[i], q);
}

/* The heaviest, of equals the lower ids. */
static void top(const drafter_model *m, int at, int breadth, const vb_dist *q) {
    vb_proposal *o = m->out;
    int32_t place[VB_RACE_MOST];
    int n = 0;
    for (int32_t i = 0; i < q->n; i++) {
        int k = n < breadth ? n++ : breadth;
        for (; k > 0 && q->w[place[k - 1]] < q->w[i]; k--)
            if (k < breadth) place[k] = place[k - 1];
        if (k < breadth) place[k] = i;
    }
    for (int k = 0; k < n; k++) place[k] = q->id[place[k]]; /* q's room is the first one's */
    for (int k = 0; k < n && o->n < o->max; k++) {
        vb_propose_certain(o, m->path, m->n, place[k], 1);
        o->drafted[o->n - 1].parent = at;
    }
}

/* q without an id, into another room. */
static vb_dist without(const vb_dist *q, int32_t id, const vb_dist_space *space) {
    int32_t n = 0;
    uint64_t total = 0;
    for (int32_t i = 0; i < q->n; i++) {
        if (q->id[i] == id) continue;
        space->id[n] = q->id[i];
        space->w[n++] = q->w[i];
        total += q->w[i];
    }
    return (vb_dist){n, space->id, space->w, total};
}

/* Each from what those before it have left of q, which is what is reported of it: integers over a smaller
 * total, so renormalised. */
static void draw(const drafter_model *m, int at, int breadth, vb_dist q) {
    const vb_proposal *o = m->out;
    const vb_coins *c = m->p.coins;
    for (int k = 0; k < breadth && q.n > 0 && o->n < o->max; k++) {
        const vb_coin_key key = {(uint32_t)m->n, (uint32_t)o->n, VB_PURPOSE_DRAFT};
        vb_residual walk;
        vb_weights w;
        vb_coin coin;
        if (m->p.choice == VB_CHOOSE_GRID) vb_dist_rescale(&q, &o->space[o->n], VB_BLOCK_Q_BITS);
        vb_dist_weights(&walk, &q, &w);
        const int32_t id = q.id[c->pick(c->self, key, &w, &coin)];
        vb_drafted *d = add(m, at, id, &q);
        d->has_draw = true;
        d->draw = coin;
        if (k + 1 < breadth && o->n < o->max) q = without(&q, id, &o->space[o->n]);
    }
}

/* The children of draft `at`. */
static int sprout(drafter_model *m, int at, const float *logits, vb_error *err) {
    const int breadth = is_tree(m) ? m->out->shape[m->level] : 1;
    vb_dist q;
    const int rc = law_after(m, at, logits, &q, err);
    if (rc) return rc;
    /* Every id that could be drafted is banned, or has no row in a trimmed output matrix. */
    if (q.n == 0 || (m->p.kept && logits[q.id[0]] <= NOWHERE)) return VB_OK;
    if (m->p.choice == VB_CHOOSE_RACE)
        race(m, at, breadth, &q);
    else if (m->p.choice == VB_CHOOSE_TOP)
        top(m, at, breadth, &q);
    else
        draw(m, at, breadth, q);
    return VB_OK;
}

/* The logits after the drafts of the last depth are there: chooses the next one. */
static int resume(void *self, vb_error *err) {
    drafter_model *m = self;
    const vb_proposal *o = m->out;
    const int to = o->n;
    const size_t first = m->n_next - (size_t)(to - m->from > 0 ? to - m->from : 1);
    m->held = m->holds;
    for (int at = m->from; at < to && o->n < o->max; at++) {
        const float *logits = ends(m, at) ? NULL : logits_of(m, first + (size_t)(at - m->from));
        const int rc = logits ? sprout(m, at, logits, err) : VB_OK;
        if (rc) return rc;
    }
    m->complete = o->n == to;
    m->from = to;
    m->level++;
    return VB_OK;
}

/* ---------------------------------------------------------------------- what holds */

/* The drafts that stand behind the path now are a path through the tree: their rows, as far as the model has
 * evaluated them. */
static size_t kept_rows(const drafter_model *m, size_t n, size_t held, int32_t rows[VB_MAX_GAMMA]) {
    const vb_proposal *o = m->out;
    size_t k = 0;
    int at = -1;
    for (size_t d = m->n; d < n; d++) {
        int next = at + 1;
        while (next < o->n && (o->drafted[next].parent != at || o->drafted[next].id != m->path[d])) next++;
        if (next >= o->n || m->n + (size_t)next >= held) break;
        if (m->n + (size_t)next >= m->base) rows[k++] = (int32_t)(m->n + (size_t)next - m->base);
        at = next;
    }
    return k;
}

static void settle(void *self, size_t n) {
    drafter_model *m = self;
    const vb_lm *lm = &m->p.lm;
    if (m->held && n > m->base) {
        int32_t rows[VB_MAX_GAMMA];
        const size_t k = kept_rows(m, n, vb_lm_length(lm), rows);
        if (lm->kind->keep(lm->self, (int)m->base, rows, k, NULL)) vb_lm_truncate(lm, m->base, NULL);
    } else if (vb_lm_length(lm) > n || m->held) {
        vb_lm_truncate(lm, n < m->base || !m->held ? n : m->base, NULL);
    }
    m->held = false;
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
        item.err = err;
        lm->kind->eval(&lm, &item, 1);
        rc = item.code;
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

int vb_propose_all(vb_proposal *o, int32_t *path, size_t n, const int32_t *text, size_t from, size_t end,
                   int most, const vb_certain *c, vb_error *err) {
    for (; o->n < o->max && o->n < most && from < end && !vb_proposal_ends(o, c->stop, c->n_stop); from++) {
        const int32_t id = text[from];
        bool allowed = id >= 0 && id < c->limit;
        int rc = VB_OK;
        if (allowed && c->law->allows &&
            (rc = c->law->allows(c->law->self, path, n + (size_t)o->n, id, &allowed, err)))
            return rc;
        if (!allowed) break;
        vb_propose_certain(o, path, n, id, vb_one_hot(c->choice));
    }
    return VB_OK;
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
