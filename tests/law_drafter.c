/* law_drafter.c - what the loop is given in the enumeration: laws over rows of tables, and a drafter around
 * the real one; with the mistakes that are planted in masks, trees and lengths (law_parts.h). */
#include "tests/law_parts.h"

#include <string.h>

static void to_dist(const uint64_t *w, int n, const vb_dist_space *space, vb_dist *out) {
    int32_t kept = 0;
    uint64_t total = 0;
    for (int i = 0; i < n; i++) {
        if (w[i] == 0) continue;
        space->id[kept] = i;
        space->w[kept++] = w[i];
        total += w[i];
    }
    *out = (vb_dist){kept, space->id, space->w, total};
}

/* The real law under the mask, and what the mistakes make of it. The drafter's law under MASK_P_ONLY is
 * the masked one in what it says (say_masked); its drafts are drawn from the other. */
static int masked_at(const law_source *s, const float *logits, const int32_t *prefix, size_t n_prefix,
                     const vb_dist_space *space, vb_dist *out, vb_error *err) {
    const law_mask_bug bug = s->c->bug;
    int32_t kept = 0;
    const bool bare =
        bug == MASK_AFTER || (bug == MASK_Q_ONLY && s->target) || (bug == MASK_P_ONLY && !s->target);
    int rc = vb_law_distribution(bare ? s->env->bare : s->env->law, logits, LAW_VOCAB, prefix, n_prefix,
                                 space, out, err);
    if (rc || bug != MASK_AFTER) return rc;
    out->total = 0;
    for (int32_t i = 0; i < out->n; i++) {
        if (!law_mask_allows(prefix + 1, n_prefix - 1, space->id[i])) continue;
        space->id[kept] = space->id[i];
        space->w[kept++] = space->w[i];
        out->total += space->w[i];
    }
    out->n = kept;
    return VB_OK;
}

static int source_at(void *self, const float *logits, int32_t limit, const int32_t *prefix, size_t n_prefix,
                     const vb_dist_space *space, vb_dist *out, vb_error *err) {
    const law_source *s = self;
    uint64_t w[LAW_VOCAB] = {0};
    if (s->c->masked) return masked_at(s, logits, prefix, n_prefix, space, out, err);
    if (s->c->real)
        return vb_law_distribution(s->env->bare, logits, limit, prefix,
                                   s->without_drafts ? s->env->step_n : n_prefix, space, out, err);
    size_t n = s->without_drafts ? s->env->step_n : n_prefix;
    for (int i = 0; i < limit; i++) {
        w[i] = (uint64_t)logits[i];
        bool recent = false;
        for (size_t j = n > 2 ? n - 2 : 0; j < n; j++) recent |= prefix[j] == i;
        if (s->c->penalties && !recent) w[i] *= 2;
    }
    to_dist(w, s->c->trim_p && s->target ? s->c->limit : limit, space, out);
    return VB_OK;
}

static int source_empty(const void *self, vb_error *err) {
    const law_source *s = self;
    if (s->c->masked && s->c->bug != MASK_AFTER) return vb_law_why_empty(s->env->law, err);
    return vb_fail(err, VB_ERR_MASK, "nothing is left");
}

static int source_forced(void *self, const int32_t *prefix, size_t n_prefix, int32_t *out, int max,
                         int *n_out, vb_error *err) {
    const law_source *s = self;
    const vb_mask m = law_mask_of(s->c, &s->env->step_n);
    return m.forced(m.self, prefix + 1, n_prefix - 1, out, max, n_out, err);
}

vb_law_source law_of(law_source *s) {
    return (vb_law_source){.self = s, .capacity = LAW_VOCAB, .at = source_at};
}

vb_law_source law_target(law_source *s) {
    vb_law_source law = law_of(s);
    law.why_empty = source_empty;
    if (s->c->masked) law.forced = source_forced;
    return law;
}

/* ---------------------------------------------------------------------- the drafter */

static int env_sync(void *self, const int32_t *path, size_t n, vb_error *err) {
    law_env *env = self;
    env->step_n = n;
    return env->real.sync(env->real.self, path, n, err);
}

/* A tree by hand: two tokens after the path, two after each of them, one more after the last: which ones and
 * in which order the path says. Nothing follows a stop token. */
static int tree_draft(law_env *env, int32_t *path, size_t n, vb_proposal *out) {
    static const int32_t parent[] = {-1, -1, 0, 1, 0, 1, 5};
    const int32_t V = env->c->n_vocab;
    uint32_t h = 9;
    for (size_t j = 0; j < n; j++) h = law_mix(h, (uint32_t)path[j]);
    int place[7], children[8] = {0}; /* of each node, in front the path's */
    for (int i = 0; i < 7 && out->n < out->max; i++) {
        const int p = parent[i] < 0 ? -1 : place[parent[i]];
        place[i] = -1;
        if (parent[i] >= 0 && (p < 0 || out->drafted[p].id == env->c->stop)) continue;
        const int32_t id =
            (int32_t)(((h >> 3 * (parent[i] + 1)) + (uint32_t)children[p + 1]++) % (uint32_t)V);
        place[i] = out->n;
        vb_propose_certain(out, path, n, id, 1);
        out->drafted[place[i]].parent = p;
    }
    return VB_OK;
}

/* MASK_P_ONLY: the drafts were drawn from the law without the mask; what is said of them is the one with
 * it. */
static void say_masked(law_env *env, const int32_t *path, size_t n, vb_proposal *out) {
    static int32_t id[LAW_TAPE][LAW_VOCAB];
    static uint64_t w[LAW_TAPE][LAW_VOCAB];
    for (int i = 0; i < out->n; i++) {
        uint64_t table[LAW_VOCAB];
        float logits[LAW_VOCAB];
        const vb_dist_space space = {LAW_VOCAB, id[i], w[i]};
        const size_t end = n + (size_t)i;
        law_table_weights(&env->c->q, LAW_VOCAB, path, end, table);
        for (int j = 0; j < LAW_VOCAB; j++) logits[j] = (float)table[j];
        if (out->drafted[i].forced ||
            vb_law_distribution(env->law, logits, LAW_VOCAB, path, end, &space, &out->q[i], NULL))
            continue;
        if (env->c->choice == VB_CHOOSE_GRID && out->q[i].n)
            vb_dist_rescale(&out->q[i], &space, VB_BLOCK_Q_BITS);
    }
}

/* Text that must follow is taken as it is. */
int law_insert_forced(vb_verify *v, vb_error *err) {
    const vb_dist *p;
    vb_residual walk;
    vb_weights w;
    int k = 0;
    while (k < v->n && v->drafted[k].forced) k++;
    if (k == 0) return vb_rule_rejection(v, err);
    v->n_accepted = k;
    v->final = -1;
    v->has_final_coin = false;
    for (int i = 0; i < k; i++) {
        v->drafted[i].tested = v->drafted[i].accepted = true;
        v->kept[i] = i;
    }
    if (v->ends[k - 1]) return VB_OK;
    int rc = v->p(v->arg, k, &p, err);
    if (rc) return rc;
    vb_dist_weights(&walk, p, &w);
    v->final = p->id[v->coins->pick(v->coins->self, (vb_coin_key){v->position, (uint32_t)k, VB_PURPOSE_BONUS},
                                    &w, &v->final_coin)];
    return VB_OK;
}

/* As it is: the loop itself goes on with it, and puts forced text in between. */
static int env_begin(void *self, int32_t *path, size_t n, vb_proposal *out, vb_error *err) {
    law_env *env = self;
    env->step_n = n;
    env->out = out;
    if (env->c->length_bug == LENGTH_CLOCK)
        out->max = (int)(law_mix(env->c->clock, env->steps++) % (uint32_t)out->max) + 1;
    return env->real.draft(env->real.self, path, n, out, err);
}
static bool env_wants(void *self, const vb_lm **lm, vb_eval_item *item) {
    law_env *env = self;
    return env->real.wants(env->real.self, lm, item);
}
static int env_resume(void *self, vb_error *err) {
    law_env *env = self;
    const int n = env->out->n, rc = env->real.resume(env->real.self, err);
    if (rc || env->c->length_bug != LENGTH_DROPS || env->out->n == n) return rc;
    const vb_dist *q = &env->out->q[n];
    if (2 * vb_dist_weight(q, env->out->drafted[n].id) < q->total) env->out->n = env->out->max = n;
    return rc;
}

/* What the planted mistakes make of a tree. */
static void spoil_tree(const law_case *c, int32_t *path, size_t n, vb_proposal *out) {
    for (int i = 0; c->tree_bug == TREE_NOT_RENORMALISED && i + 1 < out->n; i++)
        if (out->drafted[i + 1].parent == out->drafted[i].parent) out->q[i + 1].total = out->q[i].total;
    if (c->tree_bug != TREE_RERANKED || out->n != 2) return;
    const vb_drafted other = out->drafted[1];
    if (vb_dist_weight(&out->q[0], other.id) > vb_dist_weight(&out->q[0], out->drafted[0].id)) {
        out->drafted[0] = other;
        path[n] = other.id;
    }
    out->n = 1;
}

static int env_draft(void *self, int32_t *path, size_t n, vb_proposal *out, vb_error *err) {
    law_env *env = self;
    env->step_n = n;
    if (env->c->tree) return tree_draft(env, path, n, out);
    int rc = vb_drafter_draft(&env->real, path, n, out, err);
    if (env->c->wrong && !rc) vb_wrong_trim(env->c->wrong, out);
    if (!rc) spoil_tree(env->c, path, n, out);
    if (env->c->bug == MASK_P_ONLY && !rc) say_masked(env, path, n, out);
    if (env->c->text_bug == TEXT_WEIGHED && !rc) law_text_weigh(env->c->n_vocab, out);
    if (rc || !env->c->stop_early) return rc;
    for (int i = 0; i < out->n; i++) { /* a rule that looks at nothing but what it keeps */
        uint32_t h = 5;
        for (size_t j = 0; j <= n + (size_t)i; j++) h = law_mix(h, (uint32_t)path[j]);
        if (h % 2) out->n = i + 1;
    }
    return VB_OK;
}

static double env_sure(void *self, int i) {
    law_env *env = self;
    return env->real.sure(env->real.self, i);
}

static void env_settle(void *self, size_t n) {
    law_env *env = self;
    env->real.settle(env->real.self, n);
}

static int env_see(void *self, const int32_t *path, size_t from, size_t n, const float *const *row, int width,
                   vb_error *err) {
    law_env *env = self;
    if (from != env->told || width != 2)
        return vb_fail(err, VB_ERR_ARGUMENT, "hidden rows from %zu on, due from %zu", from, env->told);
    for (size_t i = 0; i < n; i++) {
        float due[2];
        law_hidden_row(path, from + i + 1, due);
        if (memcmp(due, row[i], sizeof due))
            return vb_fail(err, VB_ERR_ARGUMENT, "the hidden row of position %zu is another's", from + i);
    }
    env->told += n;
    return VB_OK;
}

static void env_close(void *self) {
    law_env *env = self;
    env->real.close(env->real.self);
}

vb_drafter law_drafter(law_env *env) {
    const law_case *c = env->c;
    const bool whole = c->costs || c->length_bug || (c->masked && c->bug != MASK_P_ONLY);
    return (vb_drafter){.self = env,
                        .sync = env_sync,
                        .draft = whole ? env_begin : env_draft,
                        .wants = whole ? env_wants : NULL,
                        .resume = whole ? env_resume : NULL,
                        .settle = env_settle,
                        .close = env_close,
                        .see = c->sees ? env_see : NULL,
                        .sure = c->text && whole ? env_sure : NULL};
}
