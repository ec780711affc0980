/* A test of the tests: mistakes that real engines have shipped, planted one by one into the loop, a rule or a
 * drafter. The enumeration must catch every one, and must pass the right code in the same harness.
 *
 * Where such mistakes were seen in the wild: docs/speculation.md, "Mistakes that the enumeration catches". */
#include "law.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

/* ------------------------------------------------------------------------------------------------ wrong
 * rules */

/* The right rules again, written so that each mistake is one flag. With no flag set they must pass. */
static struct flags {
    bool paired_by_index, residual_is_p, not_normalised, no_bonus, bonus_row_before, u_at_most, break_early,
        p_tau_one, round_up, textbook_residual, accept_argmax;
} flag;

static bool decide(const vb_verify *v, int offset, vb_u128 threshold, vb_u128 bound, vb_drafted *d) {
    if (flag.u_at_most) threshold++;
    if (threshold >= bound) return true;
    if (threshold == 0) return false;
    const vb_coin_key key = {v->position, (uint32_t)offset, VB_PURPOSE_ACCEPT};
    return v->coins->below(v->coins->self, key, threshold, bound, &d->coin);
}

typedef struct any_weights {
    vb_u128 w[LAW_VOCAB + 1];
} any_weights;

static vb_u128 any_at(void *arg, int32_t i) {
    const any_weights *a = arg;
    return a->w[i];
}

static void draw(vb_verify *v, uint32_t purpose, const vb_dist *p, any_weights *a, int n) {
    const vb_coin_key key = {v->position, (uint32_t)v->n_accepted, purpose};
    vb_weights w = {n, 0, any_at, a};
    for (int i = 0; i < n; i++) w.total += a->w[i];
    const int32_t i = v->coins->pick(v->coins->self, key, &w, &v->final_coin);
    v->final = i < p->n ? p->id[i] : p->id[p->n - 1];
    v->has_final_coin = true;
}

static int bonus(vb_verify *v, vb_error *err) {
    const vb_dist *p;
    any_weights a;
    if (v->ends || flag.no_bonus) return VB_OK;
    int rc = v->p(v->arg, flag.bonus_row_before ? v->n - 1 : v->n, &p, err);
    if (rc) return rc;
    for (int i = 0; i < p->n; i++) a.w[i] = p->w[i];
    draw(v, VB_PURPOSE_BONUS, p, &a, p->n);
    return VB_OK;
}

/* Where nothing is left to draw from, wrong code falls back to p. */
static void or_p(any_weights *a, const vb_dist *p) {
    vb_u128 sum = 0;
    for (int i = 0; i < p->n; i++) sum += a->w[i];
    for (int i = 0; i < p->n && sum == 0; i++) a->w[i] = p->w[i];
}

static void reject(vb_verify *v, const vb_dist *p, const vb_dist *q) {
    any_weights a;
    int n = p->n;
    vb_u128 sum = 0;
    for (int i = 0; i < n; i++) {
        uint64_t vi = flag.paired_by_index ? (i < q->n ? q->w[i] : 0) : vb_dist_weight(q, p->id[i]);
        const vb_u128 x = (vb_u128)p->w[i] * q->total, y = (vb_u128)vi * p->total;
        a.w[i] = flag.residual_is_p ? p->w[i] : x > y ? x - y : 0;
        sum += a.w[i];
    }
    if (flag.not_normalised)
        a.w[n++] = (vb_u128)p->total * q->total - sum; /* u beyond the sum: the last id */
    if (!flag.not_normalised) or_p(&a, p);
    draw(v, VB_PURPOSE_RESIDUAL, p, &a, n);
}

static int rejection(vb_verify *v, vb_error *err) {
    v->n_accepted = 0;
    v->final = -1;
    v->has_final_coin = false;
    for (int i = 0; i < v->n; i++) {
        const vb_dist *p, *q = &v->q[i];
        int rc = v->p(v->arg, i, &p, err);
        if (rc) return rc;
        const vb_u128 threshold = (vb_u128)vb_dist_weight(p, v->draft[i]) * q->total;
        const vb_u128 bound = (vb_u128)vb_dist_weight(q, v->draft[i]) * p->total;
        bool yes = decide(v, i, threshold, bound, &v->drafted[i]);
        if (flag.accept_argmax) {
            int best = 0;
            for (int j = 1; j < p->n; j++)
                if (p->w[j] > p->w[best]) best = j;
            yes = p->id[best] == v->draft[i];
        }
        if (!yes) {
            reject(v, p, q);
            return VB_OK;
        }
        v->n_accepted++;
    }
    return bonus(v, err);
}

static uint64_t next(uint64_t P, uint64_t w, const vb_dist *p, uint64_t q) {
    const vb_u128 num = ((vb_u128)P * w) << VB_BLOCK_Q_BITS, den = (vb_u128)q * p->total;
    if (q == 0 || num >= den * VB_BLOCK_ONE) return VB_BLOCK_ONE;
    return (uint64_t)((num + (flag.round_up ? den - 1 : 0)) / den);
}

/* P*w*V - v*W*P', and its two wrong forms: the textbook's max(0, P*p - q), and P := 1. */
static vb_u128 block_residual(const vb_dist *p, const vb_dist *q, uint64_t P, any_weights *a) {
    vb_u128 sum = 0;
    for (int i = 0; i < p->n; i++) {
        const uint64_t vi = vb_dist_weight(q, p->id[i]);
        const uint64_t to = flag.textbook_residual ? VB_BLOCK_ONE : next(P, p->w[i], p, vi);
        const vb_u128 x = ((vb_u128)P * p->w[i]) << VB_BLOCK_Q_BITS, y = (vb_u128)vi * p->total * to;
        a->w[i] = x > y ? x - y : 0;
        sum += a->w[i];
    }
    return sum;
}

static int block(vb_verify *v, vb_error *err) {
    const vb_dist *p;
    any_weights a;
    uint64_t P = VB_BLOCK_ONE, P_tau = P;
    int tau = 0, rc;
    v->n_accepted = 0;
    v->final = -1;
    v->has_final_coin = false;
    for (int i = 0; i < v->n; i++) {
        vb_u128 threshold = 0, bound = VB_BLOCK_ONE;
        if ((rc = v->p(v->arg, i, &p, err))) return rc;
        P = next(P, vb_dist_weight(p, v->draft[i]), p, vb_dist_weight(&v->q[i], v->draft[i]));
        if (i + 1 == v->n) {
            threshold = P;
        } else {
            if ((rc = v->p(v->arg, i + 1, &p, err))) return rc;
            threshold = block_residual(p, &v->q[i + 1], P, &a);
            bound = threshold + (((vb_u128)(VB_BLOCK_ONE - P) * p->total) << VB_BLOCK_Q_BITS);
        }
        if (decide(v, i, threshold, bound, &v->drafted[i]))
            tau = i + 1, P_tau = P;
        else if (flag.break_early)
            break;
    }
    v->n_accepted = tau;
    if (tau == v->n) return bonus(v, err);
    if ((rc = v->p(v->arg, tau, &p, err))) return rc;
    block_residual(p, &v->q[tau], flag.p_tau_one ? VB_BLOCK_ONE : P_tau, &a);
    or_p(&a, p);
    draw(v, VB_PURPOSE_RESIDUAL, p, &a, p->n);
    return VB_OK;
}

/* ------------------------------------------------------------------------------------------------ wrong
 * drafters */

static int argmax_draft(law_env *env, int32_t *path, size_t n, vb_proposal *out) {
    for (out->n = 0; out->n < out->max; out->n++) {
        vb_dist *q = &out->q[out->n];
        law_q(env, path, n + (size_t)out->n, &out->space[out->n], q);
        int best = 0;
        for (int i = 1; i < q->n; i++)
            if (q->w[i] > q->w[best]) best = i;
        path[n + (size_t)out->n] = q->id[best];
        out->drafted[out->n] = (vb_drafted){.id = q->id[best]};
    }
    return VB_OK;
}

/* Draws from q without its least likely id (as top-k would) and reports q with it. */
static int truncated_draft(law_env *env, int32_t *path, size_t n, vb_proposal *out) {
    for (out->n = 0; out->n < out->max; out->n++) {
        vb_dist *q = &out->q[out->n];
        any_weights a;
        law_q(env, path, n + (size_t)out->n, &out->space[out->n], q);
        int least = 0;
        for (int i = 0; i < q->n; i++) {
            a.w[i] = q->w[i];
            if (q->w[i] < q->w[least]) least = i;
        }
        if (q->n > 1) a.w[least] = 0;
        vb_weights w = {q->n, 0, any_at, &a};
        for (int i = 0; i < q->n; i++) w.total += a.w[i];
        vb_drafted *d = &out->drafted[out->n];
        *d = (vb_drafted){0};
        const vb_coin_key key = {(uint32_t)n, (uint32_t)out->n, VB_PURPOSE_DRAFT};
        d->id = path[n + (size_t)out->n] = q->id[env->coins->pick(env->coins->self, key, &w, &d->draw)];
    }
    return VB_OK;
}

/* A confidence threshold on the wrong side: a token is drawn, found unlikely, and dropped. */
static int discarding_draft(law_env *env, int32_t *path, size_t n, vb_proposal *out) {
    int rc = env->real.draft(env->real.self, path, n, out, NULL);
    for (int i = 0; i < out->n && rc == VB_OK; i++)
        if (4 * vb_dist_weight(&out->q[i], out->drafted[i].id) < out->q[i].total) out->n = i;
    return rc;
}

/* ------------------------------------------------------------------------------------------------ wrong
 * coins */

static vb_coin_key one_stream(vb_coin_key k) {
    return (vb_coin_key){k.position, k.offset, 0};
}
static vb_coin_key by_position(vb_coin_key k) {
    return (vb_coin_key){k.position + k.offset, 0, k.purpose};
}
static vb_coin_key one_u(vb_coin_key k) {
    return k.purpose == VB_PURPOSE_ACCEPT ? (vb_coin_key){k.position, 0, k.purpose} : k;
}
static vb_coin_key every_step_alike(vb_coin_key k) {
    return (vb_coin_key){0, k.offset, k.purpose};
}

static int drop_bonus(vb_step *step) {
    return step->n_accepted > 0 && step->n_accepted == step->n_drafted ? step->n_accepted : step->n_emitted;
}

/* ------------------------------------------------------------------------------------------------ the hunt
 */

typedef struct hunt {
    double tv;         /* the largest seen */
    bool tv_found;     /* exactly: not 0 */
    bool length_found; /* emitted is not accepted + 1 */
    uint64_t reused;
} hunt;

/* Runs a (wrong) program on a few pairs of tables: three ids over full steps, four ids over the first two
 * tokens. */
static hunt run(const law_case *wrong) {
    static const struct {
        int n_vocab, n_tokens;
        law_style p, q;
    } tables[] = {
        {3, 3, LAW_GENERIC, LAW_GENERIC}, {3, 3, LAW_ZEROS, LAW_ZEROS},    {3, 3, LAW_SKEWED, LAW_SKEWED},
        {4, 2, LAW_GENERIC, LAW_ZEROS},   {4, 2, LAW_GENERIC, LAW_SKEWED},
    };
    hunt h = {0};
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++) {
        law_case c = *wrong;
        law_result r;
        mpq_t d;
        c.n_vocab = tables[i].n_vocab;
        c.n_tokens = tables[i].n_tokens;
        c.gamma = 2;
        c.stop = -1;
        c.p = (law_table){tables[i].p, 7 + (uint32_t)i, false};
        c.q = (law_table){tables[i].q, 19 + (uint32_t)i, false};
        law_init(&r);
        mpq_init(d);
        assert_true(law_enumerate(&c, &r));
        if (mpq_get_d(r.tv) > h.tv) h.tv = mpq_get_d(r.tv);
        h.tv_found |= mpq_sgn(r.tv) != 0;
        mpq_sub(d, r.emitted, r.accepted);
        h.length_found |= mpq_cmp_ui(d, 1, 1) != 0;
        h.reused += r.reused;
        mpq_clear(d);
        law_clear(&r);
    }
    return h;
}

static void caught(const char *what, const law_case *c, const struct flags f) {
    flag = f;
    const hunt h = run(c);
    flag = (struct flags){0};
    printf("  %-66s TV %-10.3g%s%s\n", what, h.tv, h.reused ? ", a coin met again" : "",
           h.length_found ? ", too few tokens" : "");
    assert_true(h.tv_found || h.length_found);
}

static void right_rules_pass(void **state) {
    (void)state;
    const law_case right[] = {
        {.name = "rejection", .rule = vb_rule_rejection, .choice = VB_CHOOSE_COIN, .penalties = true},
        {.name = "block", .rule = vb_rule_block, .choice = VB_CHOOSE_GRID, .penalties = true},
        {.name = "rejection, second writing", .rule = rejection, .choice = VB_CHOOSE_COIN},
        {.name = "block, second writing", .rule = block, .choice = VB_CHOOSE_GRID},
    };
    for (size_t i = 0; i < sizeof right / sizeof *right; i++) {
        const hunt h = run(&right[i]);
        assert_false(h.tv_found);
        assert_false(h.length_found);
        assert_int_equal(h.reused, 0);
    }
}

static void wrong_rejection(void **state) {
    (void)state;
    const law_case c = {.name = "planted", .rule = rejection, .choice = VB_CHOOSE_COIN};
    law_case d = c;
    puts("rejection:");
    d.draft = argmax_draft;
    caught("drafts are the argmax of q, accepted by p/q", &d, (struct flags){0});
    d.draft = truncated_draft;
    caught("drafts are drawn from truncated q, accepted by raw q", &d, (struct flags){0});
    d.draft = discarding_draft;
    caught("the drafter discards tokens it finds unlikely", &d, (struct flags){0});
    d = c, d.key = one_stream;
    caught("draft, acceptance and residual share a random stream", &d, (struct flags){0});
    d = c, d.key = every_step_alike;
    caught("every step starts the random stream again", &d, (struct flags){0});
    caught("residual pairs p and q by index, not by id", &c, (struct flags){.paired_by_index = true});
    caught("residual is p", &c, (struct flags){.residual_is_p = true});
    caught("residual is not normalised", &c, (struct flags){.not_normalised = true});
    caught("accepts iff the draft is the argmax of p", &c, (struct flags){.accept_argmax = true});
    caught("u <= p/q instead of u < p/q", &c, (struct flags){.u_at_most = true});
    caught("no bonus token", &c, (struct flags){.no_bonus = true});
    caught("bonus token from the row before", &c, (struct flags){.bonus_row_before = true});
    d = c, d.after = drop_bonus;
    caught("bonus token in the context but not in the output", &d, (struct flags){0});
    d = c, d.row_shift = 1;
    caught("logits off by one row", &d, (struct flags){0});
    d = c, d.penalties = d.prefix_without_drafts = true;
    caught("penalties do not see the drafted tokens", &d, (struct flags){0});
}

static void wrong_block(void **state) {
    (void)state;
    const law_case c = {.name = "planted", .rule = block, .choice = VB_CHOOSE_GRID};
    law_case d = c;
    puts("block:");
    caught("stops at the first failure", &c, (struct flags){.break_early = true});
    caught("residual with P_tau = 1", &c, (struct flags){.p_tau_one = true});
    caught("rounds P up", &c, (struct flags){.round_up = true});
    caught("textbook residual max(0, P*p - q) with a rounded P", &c,
           (struct flags){.textbook_residual = true});
    caught("u <= h instead of u < h", &c, (struct flags){.u_at_most = true});
    caught("bonus token from the row before", &c, (struct flags){.bonus_row_before = true});
    d.key = by_position;
    caught("coins belong to positions, so the next step meets them again", &d, (struct flags){0});
    d.key = one_u;
    caught("one coin decides about all places", &d, (struct flags){0});
    d.key = one_stream;
    caught("draft, acceptance and residual share a random stream", &d, (struct flags){0});
    d = c, d.draft = discarding_draft;
    caught("the drafter discards tokens it finds unlikely", &d, (struct flags){0});
    d = c, d.row_shift = 1;
    caught("logits off by one row", &d, (struct flags){0});
    d = c, d.penalties = d.prefix_without_drafts = true;
    caught("penalties do not see the drafted tokens", &d, (struct flags){0});
}

/* Coins that belong to positions do no harm under rejection: what lies beyond the first rejection is never
 * looked at. And a one-step test of block cannot see them: only what follows the first token of the second
 * step does. */
static void coins_by_position(void **state) {
    (void)state;
    law_case c = {
        .name = "by position", .rule = vb_rule_rejection, .choice = VB_CHOOSE_COIN, .key = by_position};
    hunt h = run(&c);
    printf("coins that belong to positions, rejection: TV %g\n", h.tv);
    law_result r;
    c = (law_case){.name = "block, the first token alone",
                   .rule = vb_rule_block,
                   .choice = VB_CHOOSE_GRID,
                   .key = by_position,
                   .n_vocab = 3,
                   .gamma = 2,
                   .n_tokens = 1,
                   .p = {LAW_GENERIC, 7, false},
                   .q = {LAW_GENERIC, 19, false},
                   .stop = -1};
    law_init(&r);
    assert_true(law_enumerate(&c, &r));
    assert_int_equal(mpq_sgn(r.tv), 0);
    law_clear(&r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(right_rules_pass),
        cmocka_unit_test(wrong_rejection),
        cmocka_unit_test(wrong_block),
        cmocka_unit_test(coins_by_position),
    };
    return cmocka_run_group_tests_name("planted", tests, NULL, NULL);
}
