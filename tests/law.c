/* law.c - coins that try every answer, tables as models, and the sums over all paths as rationals (law.h). */
#include "tests/law.h"

#include "ref/mathf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---------------------------------------------------------------------- tables */

static uint32_t mix(uint32_t h, uint32_t x) {
    h = (h ^ x) * 0x9E3779B1u;
    h ^= h >> 15;
    h *= 0x85EBCA6Bu;
    return h ^ h >> 13;
}

void law_table_weights(const law_table *t, int n_vocab, const int32_t *prefix, size_t n, uint64_t *w) {
    uint32_t h = mix(t->seed, (uint32_t)n);
    for (size_t i = 0; i < n; i++) h = mix(h, (uint32_t)prefix[i] + 1);
    uint64_t total = 0;
    int largest = 0;
    for (int i = 0; i < n_vocab; i++) {
        const uint32_t r = mix(h, 77u + (uint32_t)i);
        switch (t->style) {
        case LAW_GENERIC: w[i] = 1 + r % 6; break;
        case LAW_ZEROS: w[i] = r % 3 == 0 ? 0 : r / 3 % 6; break;
        case LAW_SKEWED: w[i] = r % 2 ? 60 : 1; break;
        case LAW_ONE_HOT: w[i] = (uint32_t)i == h % (uint32_t)n_vocab; break;
        case LAW_EVEN: w[i] = i % 2 == 0 ? 1 + r % 6 : 0; break;
        case LAW_ODD: w[i] = i % 2 == 1 ? 1 + r % 6 : 0; break;
        }
        total += w[i];
        if (w[i] > w[largest]) largest = i;
    }
    if (total == 0) w[h % (uint32_t)n_vocab] = total = 1;
    if (t->pow2) {
        uint64_t power = 1;
        while (power < total) power *= 2;
        w[largest] += power - total;
    }
}

static void exp_weights(const double *z, int n, uint64_t *w) {
    for (int i = 0; i < n; i++) w[i] = (uint64_t)(0x1p40 * vb_exp(z[i]));
}

/* The weights of the real law, by a vb_law of its own. */
static void real_weights(const law_case *c, const law_table *t, const int32_t *prefix, size_t n,
                         uint64_t *w) {
    uint64_t table[LAW_VOCAB], room[LAW_VOCAB];
    int32_t ids[LAW_VOCAB];
    float logits[LAW_VOCAB];
    const vb_dist_space space = {LAW_VOCAB, ids, room};
    vb_law *l = NULL;
    vb_dist d;
    law_table_weights(t, c->n_vocab, prefix, n, table);
    for (int i = 0; i < c->n_vocab; i++) logits[i] = (float)table[i], w[i] = 0;
    if (vb_law_open(&l, &c->sampling, c->n_vocab, exp_weights, NULL) ||
        vb_law_distribution(l, logits, c->n_vocab, prefix, n, &space, &d, NULL))
        abort();
    for (int32_t i = 0; i < d.n; i++) w[d.id[i]] = d.w[i];
    vb_law_close(l);
}

/* The law of the target after a prefix, penalties included. */
static void final_weights(const law_case *c, const law_table *t, const int32_t *prefix, size_t n,
                          uint64_t *w) {
    if (c->masked) {
        law_masked_weights(c, t, prefix, n, w);
        return;
    }
    if (c->real) {
        real_weights(c, t, prefix, n, w);
        return;
    }
    law_table_weights(t, c->n_vocab, prefix, n, w);
    if (!c->penalties) return;
    for (int i = 0; i < c->n_vocab; i++) {
        bool recent = false;
        for (size_t j = n > 2 ? n - 2 : 0; j < n; j++) recent |= prefix[j] == i;
        if (!recent) w[i] *= 2;
    }
}

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

/* ---------------------------------------------------------------------- table models */

#define TAPE 64

typedef struct table_lm {
    const law_case *c;
    const law_table *t;
    int row_shift;
    int cold; /* so many tokens at the front it has not seen */
    int32_t tokens[TAPE];
    int n, first;         /* tokens held; those from `first` on are the last call's, or a tree's */
    bool held;            /* a tree's */
    int32_t parent[TAPE]; /* of tokens[first + i], counted from there */
    float rows[TAPE][LAW_VOCAB];
    float hidden[TAPE][2];
} table_lm;

/* A hidden row: the length of the token's path and a hash of it. */
static void hidden_row(const int32_t *path, size_t n, float out[2]) {
    uint32_t h = 3;
    for (size_t i = 0; i < n; i++) h = mix(h, (uint32_t)path[i]);
    out[0] = (float)n;
    out[1] = (float)(h >> 8);
}

/* What is held in front and the branch of row i; returns its length. */
static size_t table_branch(const table_lm *m, int32_t i, int32_t *path) {
    size_t n = (size_t)m->first, depth = 0;
    memcpy(path, m->tokens, n * sizeof *path);
    for (int32_t at = i; at >= 0; at = m->parent[at]) depth++;
    n += depth;
    for (int32_t at = i; at >= 0; at = m->parent[at])
        path[(size_t)m->first + --depth] = m->tokens[m->first + at];
    return n;
}

/* Takes in the tokens of a call; false: they do not fit what is held. */
static bool table_take(table_lm *m, const vb_eval_item *item) {
    if ((size_t)m->n + item->n > TAPE || (m->held && !item->parent)) return false;
    if (!m->held) m->first = m->n;
    for (size_t i = 0; i < item->n; i++) {
        const int32_t at = m->n - m->first;
        m->parent[at] = item->parent ? item->parent[i] : at - 1;
        if (m->parent[at] >= at || m->parent[at] < -1) return false;
        m->held |= m->parent[at] != at - 1;
        m->tokens[m->n++] = item->tokens[i];
    }
    return true;
}

static void table_eval(const vb_lm *const *lm, vb_eval_item *items, size_t n_items) {
    for (size_t k = 0; k < n_items; k++) {
        table_lm *m = lm[k]->self;
        vb_eval_item *item = &items[k];
        const int before = m->n;
        item->code = VB_OK;
        if (!table_take(m, item)) {
            item->code = vb_fail(item->err, VB_ERR_FULL, "the tape is full or holds a tree");
            continue;
        }
        for (size_t i = 0; i < item->n; i++) {
            uint64_t w[LAW_VOCAB];
            int32_t path[TAPE];
            const size_t n = table_branch(m, before - m->first + (int32_t)i, path);
            law_table_weights(m->t, m->c->n_vocab, path + m->cold, n - (size_t)m->cold, w);
            for (int j = 0; j < m->c->n_vocab; j++) m->rows[i][j] = (float)w[j];
            hidden_row(path, n, m->hidden[i]);
        }
    }
}

static const float *table_logits(void *self, size_t i) {
    const table_lm *m = self;
    const size_t shift = (size_t)m->row_shift;
    return m->rows[i >= shift ? i - shift : 0];
}

static int table_truncate(void *self, int n, vb_error *err) {
    table_lm *m = self;
    if (n < 0 || n > m->n) return vb_fail(err, VB_ERR_ARGUMENT, "truncate to %d of %d", n, m->n);
    if (m->held && n > m->first) return vb_fail(err, VB_ERR_ARGUMENT, "truncate inside a tree");
    m->n = n;
    m->held = false;
    return VB_OK;
}

static int table_keep(void *self, int n, const int32_t *rows, size_t k, vb_error *err) {
    table_lm *m = self;
    if (n != m->first) return vb_fail(err, VB_ERR_ARGUMENT, "keep behind %d, not %d", n, m->first);
    for (size_t i = 0; i < k; i++) {
        if (rows[i] < (int32_t)i || n + rows[i] >= m->n)
            return vb_fail(err, VB_ERR_ARGUMENT, "row %d cannot be kept", (int)rows[i]);
        if (m->parent[rows[i]] != (i ? rows[i - 1] : -1))
            return vb_fail(err, VB_ERR_ARGUMENT, "row %d does not follow", (int)rows[i]);
    }
    for (size_t i = 0; i < k; i++) {
        m->tokens[(size_t)n + i] = m->tokens[n + rows[i]];
    }
    m->n = n + (int)k;
    m->held = false;
    return VB_OK;
}

static int table_length(void *self) {
    const table_lm *m = self;
    return m->n;
}

static const float *table_hidden(void *self, size_t i) {
    const table_lm *m = self;
    return m->hidden[i];
}

static int table_want_hidden(void *self, int *width, vb_error *err) {
    (void)self, (void)err;
    *width = 2;
    return VB_OK;
}

static const vb_lm_kind table_kind = {.eval = table_eval,
                                      .logits = table_logits,
                                      .truncate = table_truncate,
                                      .keep = table_keep,
                                      .length = table_length,
                                      .hidden = table_hidden,
                                      .want_hidden = table_want_hidden};

static vb_lm lm_of(table_lm *m, const law_case *c, const law_table *t, int n_ctx, int row_shift) {
    *m = (table_lm){.c = c, .t = t, .row_shift = row_shift};
    return (vb_lm){m, &table_kind, c->n_vocab, n_ctx};
}

typedef struct law_env {
    const law_case *c;
    vb_drafter real;
    size_t step_n;    /* path length at the start of the step */
    size_t told;      /* positions whose hidden rows were shown */
    vb_proposal *out; /* in progress */
    uint32_t steps;
    vb_law *law; /* of a masked case, and the same without the mask */
    vb_law *bare;
} law_env;

/* Logits are weights already; penalties come on top, by the prefix that the loop names. */
typedef struct law_source {
    const law_case *c;
    law_env *env;
    bool without_drafts;
    bool target;
} law_source;

/* The real law under the mask, and what the mistakes make of it. The drafter's law under MASK_P_ONLY is
 * the masked one in what it says; masked_pick draws from the other. */
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

/* ---------------------------------------------------------------------- coins */

#define TRAIL 64

/* One answered question: which answer, of how many, what is now known of the coin, and the path's
 * probability. */
typedef struct answer {
    vb_coin_key key;
    int index, n;  /* index-th of the n possible answers */
    int32_t value; /* what that answer says */
    mpq_t lo, hi;  /* the coin lies in [lo, hi) */
    mpq_t p;       /* of the path up to here */
} answer;

typedef struct explorer {
    answer trail[TRAIL];
    int depth; /* questions asked in this run */
    int known; /* answers that this run repeats or changes */
    uint64_t reused;
    mpq_t lo, hi, a, b, width;
} explorer;

static void explorer_init(explorer *e) {
    memset(e, 0, sizeof *e);
    for (int i = 0; i < TRAIL; i++) mpq_inits(e->trail[i].lo, e->trail[i].hi, e->trail[i].p, NULL);
    mpq_inits(e->lo, e->hi, e->a, e->b, e->width, NULL);
}

static void explorer_clear(explorer *e) {
    for (int i = 0; i < TRAIL; i++) mpq_clears(e->trail[i].lo, e->trail[i].hi, e->trail[i].p, NULL);
    mpq_clears(e->lo, e->hi, e->a, e->b, e->width, NULL);
}

static void set_u128(mpz_t z, vb_u128 x) {
    const uint64_t words[2] = {vb_u128_lo(x), vb_u128_hi(x)};
    mpz_import(z, 2, -1, sizeof *words, 0, 0, words);
}

static void set_ratio(mpq_t q, vb_u128 num, vb_u128 den) {
    set_u128(mpq_numref(q), num);
    set_u128(mpq_denref(q), den);
    mpq_canonicalize(q);
}

/* The question: the coin's interval is cut at at(0)/total, (at(0) + at(1))/total, ...;
 * which part is it in? */
static int32_t ask(explorer *e, vb_coin_key key, const vb_weights *w) {
    if (e->depth >= TRAIL) abort();
    answer *now = &e->trail[e->depth];
    const bool fresh = e->depth >= e->known;
    if (!fresh && e->depth < e->known - 1) { /* as in the run before */
        if (memcmp(&now->key, &key, sizeof key)) abort();
        e->depth++;
        return now->value;
    }
    if (fresh) now->index = 0;
    now->key = key;

    /* What is known of this coin. */
    mpq_set_ui(e->lo, 0, 1);
    mpq_set_ui(e->hi, 1, 1);
    for (int i = e->depth; i-- > 0;) {
        if (memcmp(&e->trail[i].key, &key, sizeof key)) continue;
        mpq_set(e->lo, e->trail[i].lo);
        mpq_set(e->hi, e->trail[i].hi);
        e->reused++;
        break;
    }
    /* The parts that are still possible; the index-th one is the answer. */
    vb_u128 cum = 0;
    now->n = 0;
    for (int32_t i = 0; i < w->n; i++) {
        const vb_u128 x = w->at(w->arg, i);
        if (x == 0) continue;
        set_ratio(e->a, cum, w->total);
        cum += x;
        set_ratio(e->b, cum, w->total);
        if (mpq_cmp(e->a, e->lo) < 0) mpq_set(e->a, e->lo);
        if (mpq_cmp(e->b, e->hi) > 0) mpq_set(e->b, e->hi);
        if (mpq_cmp(e->a, e->b) >= 0) continue;
        if (now->n++ == now->index) {
            mpq_set(now->lo, e->a);
            mpq_set(now->hi, e->b);
            now->value = i;
        }
    }
    if (cum > w->total || now->n == 0) abort();
    /* p = p so far * (hi - lo of the answer) / (hi - lo of what was known) */
    mpq_sub(e->a, now->hi, now->lo);
    mpq_sub(e->width, e->hi, e->lo);
    mpq_div(now->p, e->a, e->width);
    if (e->depth > 0) mpq_mul(now->p, now->p, e->trail[e->depth - 1].p);
    e->depth++;
    if (fresh) e->known = e->depth;
    return now->value;
}

static int32_t explorer_pick(void *self, vb_coin_key key, const vb_weights *w, vb_coin *coin) {
    *coin = (vb_coin){.counter = {key.position, key.offset, key.purpose, 0}};
    return ask(self, key, w);
}

static vb_u128 two_parts(void *arg, int32_t i) {
    const vb_u128 *part = arg;
    return part[i];
}

static bool explorer_below(void *self, vb_coin_key key, vb_u128 threshold, vb_u128 bound, vb_coin *coin) {
    vb_u128 part[2] = {threshold, bound - threshold};
    const vb_weights w = {2, bound, two_parts, part};
    *coin = (vb_coin){.counter = {key.position, key.offset, key.purpose, 0}};
    return ask(self, key, &w) == 0;
}

/* The noise of a position: here one real number, which each law cuts by its own weights. Any noise that
 * belongs to the position will do for what `coupled` promises; that the race's gives a draw is shown
 * elsewhere (test_accept.c). */
static int32_t explorer_race(void *self, const vb_dist *d, uint32_t position) {
    explorer *e = self;
    const uint64_t reused = e->reused; /* to meet it again is what it is for */
    vb_residual walk;
    vb_weights w;
    vb_dist_weights(&walk, d, &w);
    const int32_t i = ask(e, (vb_coin_key){position, 0, VB_PURPOSE_RACE}, &w);
    e->reused = reused;
    return d->id[i];
}

/* Any other ids will do behind the one that it chooses: the drafts are wrong, and no more than that. */
static int explorer_ranks(void *self, const vb_dist *d, uint32_t position, int most, int32_t *out) {
    int n = 0;
    out[n++] = explorer_race(self, d, position);
    for (int32_t i = 0; i < d->n && n < most; i++)
        if (d->id[i] != out[0]) out[n++] = d->id[i];
    return n;
}

/* On to the next path; false when there is none. */
static bool explorer_next(explorer *e) {
    int i = e->depth;
    while (i > 0 && e->trail[i - 1].index + 1 >= e->trail[i - 1].n) i--;
    if (i == 0) return false;
    e->trail[i - 1].index++;
    e->known = i;
    e->depth = 0;
    return true;
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
    for (size_t j = 0; j < n; j++) h = mix(h, (uint32_t)path[j]);
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
    static int32_t id[TAPE][LAW_VOCAB];
    static uint64_t w[TAPE][LAW_VOCAB];
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
static int insert_forced(vb_verify *v, vb_error *err) {
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
        out->max = (int)(mix(env->c->clock, env->steps++) % (uint32_t)out->max) + 1;
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
        for (size_t j = 0; j <= n + (size_t)i; j++) h = mix(h, (uint32_t)path[j]);
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
        hidden_row(path, from + i + 1, due);
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

/* ---------------------------------------------------------------------- runs */

void law_init(law_result *r) {
    memset(r, 0, sizeof *r);
    for (int i = 0; i < LAW_CELLS; i++) mpq_init(r->law[i]);
    mpq_inits(r->tv, r->accepted, r->emitted, NULL);
}

void law_clear(law_result *r) {
    for (int i = 0; i < LAW_CELLS; i++) mpq_clear(r->law[i]);
    mpq_clears(r->tv, r->accepted, r->emitted, NULL);
}

/* Cell of an output of at most n_tokens tokens: digits token + 1, 0 for nothing. */
static int cell(const law_case *c, const int32_t *tokens, int n) {
    int k = 0;
    for (int i = 0; i < c->n_tokens; i++) k = k * (c->n_vocab + 1) + (i < n ? tokens[i] + 1 : 0);
    return k;
}

typedef struct one_run {
    int n, accepted, emitted; /* the latter two of the first step */
    int seen;
    bool stuck; /* a mask let nothing through */
    int by_length[8], branched;
    int32_t tokens[LAW_TOKENS + VB_MAX_GAMMA + 1];
} one_run;

/* In front of the model: what followed the path's end when it occurred before. */
static int put_copies(const law_case *c, const vb_drafter_model_params *m, vb_drafter *d, vb_error *err) {
    const vb_drafter model = *d;
    const vb_drafter_suffix_params p = {.min = c->copies,
                                        .before = &model,
                                        .limit = m->limit,
                                        .choice = m->choice,
                                        .n_ctx = TAPE,
                                        .stop = m->stop,
                                        .n_stop = m->n_stop};
    return vb_drafter_suffix(d, &p, err);
}

/* One path through the loop: until n_tokens or a stop token. */
static bool run(const law_case *c, const vb_coins *right, one_run *o) {
    table_lm target, draft;
    law_env env = {.c = c};
    law_source source = {c, &env, c->prefix_without_drafts, true}, draft_source = {c, &env, false, false};
    const vb_mask mask = law_mask_of(c, &env.step_n);
    vb_error err = {0};
    vb_spec *s = NULL;
    vb_step step;
    bool done = false;

    vb_wrong_coins space;
    const vb_coins planted = c->wrong ? vb_wrong_coins_on(&space, c->wrong, right) : *right,
                   *coins = &planted;
    const vb_drafter_model_params dp = {
        .lm = lm_of(&draft, c, &c->q, c->draft_n_ctx ? c->draft_n_ctx : TAPE, 0),
        .law = {.self = &draft_source, .capacity = LAW_VOCAB, .at = source_at},
        .limit = c->limit ? c->limit : c->n_vocab,
        .choice = c->wrong ? c->wrong->choice : c->choice,
        .coins = coins,
        .stop = &c->stop,
        .n_stop = c->stop >= 0};
    const bool whole = c->costs || c->length_bug || (c->masked && c->bug != MASK_P_ONLY);
    const vb_drafter drafter = {.self = &env,
                                .sync = env_sync,
                                .draft = whole ? env_begin : env_draft,
                                .wants = whole ? env_wants : NULL,
                                .resume = whole ? env_resume : NULL,
                                .settle = env_settle,
                                .close = env_close,
                                .see = c->sees ? env_see : NULL,
                                .sure = c->text && whole ? env_sure : NULL};
    vb_spec_parts parts = {.target = lm_of(&target, c, &c->p, TAPE, c->wrong ? c->wrong->row_shift : 0),
                           .law = {.self = &source,
                                   .capacity = LAW_VOCAB,
                                   .at = source_at,
                                   .why_empty = source_empty,
                                   .forced = c->masked ? source_forced : NULL},
                           .drafter = c->alone ? NULL : &drafter,
                           .coins = coins,
                           .rule = c->bug == MASK_FORCED_INSERTED ? insert_forced
                                   : c->text_bug == TEXT_SPELLED  ? law_text_rule
                                   : c->wrong                     ? c->wrong->rule
                                                                  : c->rule,
                           .one = vb_one_hot(c->choice),
                           .gamma = c->gamma,
                           .tree = c->shape[0] > 0,
                           .costs = c->costs,
                           .reads_past_alone = true,
                           .stop = &c->stop,
                           .n_stop = c->stop >= 0};
    const int32_t prompt = 0;
    memcpy(parts.shape, c->shape, sizeof parts.shape);
    draft.cold = c->length_bug == LENGTH_COLD;
    *o = (one_run){.accepted = -1};
    if (c->masked && (vb_law_open(&env.law, &c->sampling, LAW_VOCAB, exp_weights, &err) ||
                      vb_law_open(&env.bare, &c->sampling, LAW_VOCAB, exp_weights, &err) ||
                      vb_law_set_mask(env.law, &mask, &err)))
        goto fail;
    if (c->masked) vb_law_begin(env.law, 1);
    if (c->real && vb_law_open(&env.bare, &c->sampling, c->n_vocab, exp_weights, &err)) goto fail;
    if ((c->text ? law_text_drafter(c, &dp, &env.real, &err) : vb_drafter_model(&env.real, &dp, &err)) ||
        (c->copies && put_copies(c, &dp, &env.real, &err)) || vb_spec_assemble(&s, &parts, &err) ||
        vb_spec_prompt(s, &prompt, 1, &err))
        goto fail;
    for (bool stopped = false; o->n < c->n_tokens && !stopped;) {
        const int missing = c->n_tokens - o->n;
        const int rc = vb_spec_step(s, c->trim ? (size_t)missing : TAPE, &step, &err);
        if (rc == VB_ERR_MASK && c->bug) { /* the text ends where nothing may follow */
            o->stuck = true;
            break;
        }
        if (rc) goto fail;
        const int taken = c->after ? c->after(&step) : step.n_emitted;
        o->by_length[step.n_drafted & 7]++;
        bool chain = true;
        for (int i = 0; i < step.n_drafted; i++) chain &= step.drafted[i].parent == i - 1;
        o->branched += !chain;
        if (o->accepted < 0) o->accepted = step.n_accepted, o->emitted = taken;
        for (int i = 0; i < taken && !stopped; i++) {
            o->tokens[o->n++] = step.emitted[i].id;
            stopped = step.emitted[i].stop;
        }
    }
    if (o->n > c->n_tokens) o->n = c->n_tokens;
    o->seen = (int)env.told;
    done = !c->sees || env.told == (size_t)target.n;
    if (!done) printf("%s: %zu hidden rows of %d positions\n", c->name, env.told, target.n);
fail:
    if (err.code && !o->stuck) printf("%s: %s\n", c->name, err.message);
    vb_spec_close(s);
    if (c->alone && env.real.close) env.real.close(env.real.self); /* the vb_spec had no drafter to close */
    vb_law_close(env.law);
    vb_law_close(env.bare);
    return done;
}

int law_sample(const law_case *c, uint64_t seed) {
    const vb_coins coins = c->wrong && c->wrong->key ? vb_real_coins(&seed) : vb_coins_philox(&seed);
    one_run o;
    return run(c, &coins, &o) ? cell(c, o.tokens, o.n) : -1;
}

/* Runs one path and adds it, with its probability, to the result. */
static bool add_path(const law_case *c, explorer *e, law_result *r) {
    const vb_coins coins = {explorer_below, explorer_pick, explorer_race, explorer_ranks, e};
    one_run o;
    mpq_t one, x;
    if (!run(c, &coins, &o)) return false;
    mpq_inits(one, x, NULL);
    mpq_set_ui(one, 1, 1);
    mpq_t *p = e->depth ? &e->trail[e->depth - 1].p : &one;
    const int k = cell(c, o.tokens, o.n);
    mpq_add(r->law[k], r->law[k], *p);
    mpq_set_ui(x, (unsigned long)o.accepted, 1);
    mpq_mul(x, x, *p);
    mpq_add(r->accepted, r->accepted, x);
    mpq_set_ui(x, (unsigned long)o.emitted, 1);
    mpq_mul(x, x, *p);
    mpq_add(r->emitted, r->emitted, x);
    r->paths++;
    r->seen += (uint64_t)o.seen;
    for (int i = 0; i < 8; i++) r->by_length[i] += (uint64_t)o.by_length[i];
    r->branched += (uint64_t)o.branched;
    r->stuck += o.stuck;
    mpq_clears(one, x, NULL);
    return true;
}

/* tv = 1/2 sum |law - p|, walking all outputs of the target alone. */
static void compare(const law_case *c, law_result *r, int32_t *path, int n, const mpq_t p, mpq_t *rest) {
    if (n == c->n_tokens || (n > 0 && path[n] == c->stop)) { /* path[0] is the prompt */
        mpq_t *seen = &r->law[cell(c, path + 1, n)];
        mpq_t d;
        mpq_init(d);
        mpq_sub(d, *seen, p);
        mpq_sub(*rest, *rest, *seen);
        mpq_abs(d, d);
        mpq_add(r->tv, r->tv, d);
        mpq_clear(d);
        return;
    }
    uint64_t w[LAW_VOCAB], total = 0;
    mpq_t x;
    mpq_init(x);
    final_weights(c, &c->p, path, (size_t)n + 1, w);
    for (int i = 0; i < c->n_vocab; i++) total += w[i];
    for (int i = 0; i < c->n_vocab; i++) {
        if (w[i] == 0) continue; /* what comes out there nevertheless is left in `rest` */
        set_ratio(x, w[i], total);
        mpq_mul(x, x, p);
        path[n + 1] = i;
        compare(c, r, path, n + 1, x, rest);
    }
    mpq_clear(x);
}

bool law_enumerate(const law_case *c, law_result *r) {
    static explorer e;
    bool ok = true;
    explorer_init(&e);
    do ok = add_path(c, &e, r);
    while (ok && explorer_next(&e));
    r->reused = e.reused;

    mpq_t one, rest;
    int32_t path[LAW_TOKENS + 1] = {0};
    mpq_inits(one, rest, NULL);
    mpq_set_ui(one, 1, 1);
    for (int i = 0; i < LAW_CELLS; i++) mpq_add(rest, rest, r->law[i]);
    if (ok && mpq_cmp(rest, one)) {
        printf("%s: the probabilities of all paths sum to %.17g, not 1\n", c->name, mpq_get_d(rest));
        ok = false;
    }
    compare(c, r, path, 0, one, &rest);
    mpq_add(r->tv, r->tv, rest); /* outputs that the target never gives */
    mpq_div_2exp(r->tv, r->tv, 1);
    mpq_clears(one, rest, NULL);
    explorer_clear(&e);
    return ok;
}

/* ---------------------------------------------------------------------- formulas */

/* Adds sum over l of E[acceptance of the first l drafts] for drafts that follow path[0..n). weight: the
 * probability under q of the drafts so far. share: prod min(1, r_i), or P. Written from the formulas with
 * rationals, not from the code: q on the grid of 2^34 and P rounded down to 2^-32 for block. */
static void expected(const law_case *c, bool block, int32_t *path, size_t n, int left, const mpq_t weight,
                     const mpq_t share, mpq_t sum) {
    uint64_t p[LAW_VOCAB] = {0}, q[LAW_VOCAB] = {0}, P = 0, Q = 0;
    if (left == 0) return;
    final_weights(c, &c->p, path, n, p);
    final_weights(c, &c->q, path, n, q);
    const int limit = c->limit ? c->limit : c->n_vocab;
    int largest = 0;
    for (int i = 0; i < c->n_vocab; i++) P += p[i];
    for (int i = 0; i < limit; i++) {
        Q += q[i];
        if (q[i] > q[largest]) largest = i;
    }
    if (Q == 0) return;
    if (block) { /* onto the grid */
        uint64_t grid = 0;
        for (int i = 0; i < limit; i++) q[i] = (uint64_t)(((vb_u128)q[i] << 34) / Q), grid += q[i];
        Q = (uint64_t)1 << 34;
        q[largest] += Q - grid;
    }
    mpq_t px, qx, s, w;
    mpq_inits(px, qx, s, w, NULL);
    for (int i = 0; i < limit; i++) {
        if (q[i] == 0) continue;
        set_ratio(px, p[i], P);
        set_ratio(qx, q[i], Q);
        mpq_div(s, px, qx);
        if (block) {
            mpq_mul(s, s, share);
            if (mpq_cmp_ui(s, 1, 1) > 0) mpq_set_ui(s, 1, 1);
            mpq_mul_2exp(s, s, 32);
            mpz_fdiv_q(mpq_numref(s), mpq_numref(s), mpq_denref(s));
            mpz_set_ui(mpq_denref(s), 1);
            mpq_div_2exp(s, s, 32);
        } else {
            if (mpq_cmp_ui(s, 1, 1) > 0) mpq_set_ui(s, 1, 1);
            mpq_mul(s, s, share);
        }
        mpq_mul(w, weight, qx);
        mpq_mul(px, w, s); /* this prefix's term */
        mpq_add(sum, sum, px);
        path[n] = i;
        int more = left - 1;
        if (i == c->stop) more = 0;
        if (c->stop_early) {
            uint32_t h = 5;
            for (size_t j = 0; j <= n; j++) h = mix(h, (uint32_t)path[j]);
            if (h % 2) more = 0;
        }
        expected(c, block, path, n + 1, more, w, s, sum);
    }
    mpq_clears(px, qx, s, w, NULL);
}

void law_expected_accepted(const law_case *c, bool block, mpq_t out) {
    int32_t path[TAPE] = {0};
    mpq_t one;
    mpq_init(one);
    mpq_set_ui(one, 1, 1);
    mpq_set_ui(out, 0, 1);
    int gamma = c->gamma;
    if (c->trim && gamma > c->n_tokens - 1) gamma = c->n_tokens - 1;
    expected(c, block, path, 1, gamma, one, one, out);
    mpq_clear(one);
}
