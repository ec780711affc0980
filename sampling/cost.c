/* cost.c - how many tokens a step drafts. Read vb_pace_plan first: it weighs the tokens that a draft of each
 * length is expected to bring against the time that it takes. See cost.h.
 *
 * Notation: c(T, n) the time of T tokens in one pass behind n positions, d(n) that of a drafted token, both
 * in units of c(1, 0); a_i the probability that the draft at place i is accepted if those before it were;
 * E(m) = 1 + a_1 + a_1 a_2 + ... + a_1 ... a_m the tokens that a step of m drafts brings [Leviathan et al.
 * 2211.17192, equation 1, with places that differ].
 *
 * Only +, -, *, / and square roots of float64 in a fixed order, so that the lengths are the same on every
 * machine. */
#include "sampling/cost.h"

#include "base/base.h"

#include <math.h>
#include <string.h>
#include <xxhash.h>

/* A rate forgets: after each step what was known before counts this much, whether it was tried in that step
 * or not. About the last 70 steps count, and a place that is not tried any more, because it looked bad,
 * becomes a place like the others again. */
#define KEEP 0.985
/* Of siblings, in steps that draft none: to try a tree that did not pay costs a step each time. */
#define KEEP_UNTRIED 0.999
/* What is assumed before anything is known, and for how many tries that counts. */
#define GUESS        0.7
#define GUESS_TRIES  4.0
#define LOOKUP_GUESS 0.5
/* Before anything is known a draft takes one evaluation; for so many drafts that counts. */
#define EACH_TRIES 4.0
/* The tries for which the rate over all places counts at one place. */
#define PLACE_TRIES 4.0
/* Bounds of the loss: what may be lost at once, and what may be lost per token in the long run. Together with
 * what measuring gets wrong this keeps a hostile drafter above 0.97 of the target alone. */
#define LOSS_AT_ONCE 1.6
#define LOSS_SHARE   0.012
/* A gain beyond this many tokens is no licence to lose more. */
#define GAIN_KEPT 16.0
enum { FIRST_GAP = 8, LAST_GAP = 512 };

/* ---------------------------------------------------------------------- what passes cost */

/* Between whole numbers of tokens linear; beyond the last one as from its half to it. */
static double at_rows(const int32_t row[VB_COST_ROWS], double T) {
    const int last = VB_COST_ROWS;
    if (T >= last) {
        const int half = last / 2;
        const double slope = (double)(row[last - 1] - row[half - 1]) / (last - half);
        return 1e-3 * (row[last - 1] + slope * (T - last));
    }
    const int low = T < 1 ? 1 : (int)T;
    return 1e-3 * (row[low - 1] + (T - low) * (double)(row[low] - row[low - 1]));
}

/* c(T, n) = c(T, 0) + n/far * (c(T, far) - c(T, 0)): attention reads every position once. */
double vb_cost_pass(const vb_costs *c, double T, double n) {
    const double near = at_rows(c->target[0], T), far = at_rows(c->target[1], T);
    return near + n / c->far * (far - near);
}

double vb_cost_draft(const vb_costs *c, double n) {
    return 1e-3 * (c->draft[0] + n / c->far * (c->draft[1] - c->draft[0]));
}

void vb_costs_typical(vb_costs *out) {
    static const int32_t near[VB_COST_ROWS] = {1000, 1020, 1040, 1070, 1180, 1300, 1420, 1540,
                                               1670, 1800, 1930, 2060, 2190, 2320, 2450, 2580};
    *out = (vb_costs){.far = 1024, .draft = {170, 175}, .draft_read = 30};
    for (int t = 0; t < VB_COST_ROWS; t++) {
        out->target[0][t] = near[t];
        out->target[1][t] = near[t] + 15 * (t + 1);
    }
}

uint64_t vb_costs_hash(const vb_costs *c) {
    int32_t words[2 * VB_COST_ROWS + 4];
    uint8_t bytes[4 * (2 * VB_COST_ROWS + 4)];
    size_t n = 0;
    words[n++] = c->far;
    for (int i = 0; i < 2; i++)
        for (int t = 0; t < VB_COST_ROWS; t++) words[n++] = c->target[i][t];
    for (int i = 0; i < 2; i++) words[n++] = c->draft[i];
    words[n++] = c->draft_read;
    for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (uint8_t)((uint32_t)words[i / 4] >> 8 * (i % 4));
    return XXH3_64bits(bytes, sizeof bytes);
}

int vb_costs_check(const vb_costs *c, vb_error *err) {
    vb_begin(err);
    const int32_t most = 1000000000;
    if (c->far < 1) return vb_fail(err, VB_ERR_ARGUMENT, "costs: far is %d, must be at least 1", (int)c->far);
    for (int i = 0; i < 2; i++) {
        for (int t = 0; t < VB_COST_ROWS; t++)
            if (c->target[i][t] < (t ? c->target[i][t - 1] : 1) || c->target[i][t] > most)
                return vb_fail(err, VB_ERR_ARGUMENT,
                               "costs: target[%d][%d] is %d, must be positive and not below the one before",
                               i, t, (int)c->target[i][t]);
        if (c->draft[i] < 0 || c->draft[i] > most)
            return vb_fail(err, VB_ERR_ARGUMENT, "costs: draft[%d] is %d, must be 0 to %d", i,
                           (int)c->draft[i], (int)most);
    }
    if (c->draft_read < 0 || c->draft_read > most)
        return vb_fail(err, VB_ERR_ARGUMENT, "costs: draft_read is %d, must be 0 to %d", (int)c->draft_read,
                       (int)most);
    return VB_OK;
}

/* ---------------------------------------------------------------------- rates */

static void count(vb_rate *r, bool hit) {
    r->tries += 1;
    r->hits += hit;
}

static void forget_by(vb_rate *r, int n, double keep) {
    for (int i = 0; i < n; i++) {
        r[i].tries *= keep;
        r[i].hits *= keep;
    }
}

static void forget(vb_rate *r, int n) {
    forget_by(r, n, KEEP);
}

/* The mean of the tries and of `weight` more that had `guess`. */
static double mean(const vb_rate *r, double guess, double weight) {
    return (r->hits + weight * guess) / (r->tries + weight);
}

static double overall(const vb_record *r, vb_source source) {
    return mean(&r->all, source == VB_BY_MODEL ? GUESS : LOOKUP_GUESS, GUESS_TRIES);
}

static double at_place(const vb_record *r, vb_source source, int place) {
    return mean(&r->place[place], overall(r, source), PLACE_TRIES);
}

static int bin_of(double confidence) {
    static const double edge[VB_PACE_BINS - 1] = {0.2, 0.35, 0.5, 0.65, 0.8, 0.9, 0.97};
    int bin = 0;
    while (bin < VB_PACE_BINS - 1 && confidence >= edge[bin]) bin++;
    return bin;
}

/* Of a draft that its drafter is so sure of. Before anything is known of such drafts: the rate over all, and
 * half of what this confidence is above or below the usual one. A drafter that is never sure and mostly right
 * would otherwise be distrusted in each bin anew. */
static double at_confidence(const vb_record *r, vb_source source, double confidence) {
    const double all = overall(r, source),
                 usual = mean(&r->sure, source == VB_BY_MODEL ? GUESS : LOOKUP_GUESS, GUESS_TRIES);
    double guess = all + 0.5 * (confidence - usual);
    if (guess > 1) guess = 1;
    if (guess < 0) guess = 0;
    return mean(&r->bin[bin_of(confidence)], guess, GUESS_TRIES);
}

/* ---------------------------------------------------------------------- the plan */

void vb_pace_start(vb_pace *p, const vb_costs *c) {
    *p = (vb_pace){.costs = *c};
    for (int i = 0; i < VB_N_SOURCES; i++) p->record[i].probe_gap = p->record[i].probe_at = FIRST_GAP;
}

void vb_pace_company(vb_pace *p, int others, int rows) {
    p->others = others;
    p->rows = rows;
}

/* c(T) of this sequence's T rows beside those of the others. */
static double pass(const vb_pace *p, double T) {
    return vb_cost_pass(&p->costs, p->rows + T, p->position);
}

/* d: drafts of several sequences share a pass as their targets do. */
static double draft_token(const vb_pace *p) {
    const double d = vb_cost_draft(&p->costs, p->position), n = p->others + 1;
    return d * vb_cost_pass(&p->costs, n, 0) / (vb_cost_pass(&p->costs, 1, 0) * n);
}

/* Of a draft: a model of another vocabulary may write several ids for one of the target's. */
static double draft_each(const vb_pace *p) {
    return mean(&p->each, 1, EACH_TRIES) * draft_token(p);
}

/* The time that `m` drafts of a source take before they are verified. */
static double drafting(const vb_pace *p, vb_source source, int m) {
    if (m == 0 || source == VB_BY_LOOKUP) return 0;
    return m * draft_each(p) + p->unread * 1e-3 * p->costs.draft_read;
}

/* What a step of m drafts costs more than a token of the target alone, if none is accepted. */
static double worst(const vb_pace *p, vb_source source, int m) {
    return drafting(p, source, m) + vb_cost_pass(&p->costs, m + 1, p->position) -
           vb_cost_pass(&p->costs, 1, p->position);
}

/* The m that maximises (others + E(m)) / (c(m + 1) + drafting), the smallest of equals; *rate is that
 * maximum. */
static int best_length(const vb_pace *p, vb_source source, int max, double *rate) {
    double tokens = p->others + 1, reach = 1, most = tokens / pass(p, 1);
    int best = 0;
    for (int m = 1; m <= max; m++) {
        reach *= at_place(&p->record[source], source, m - 1);
        tokens += reach;
        const double r = tokens / (pass(p, m + 1) + drafting(p, source, m));
        if (r > most) most = r, best = m;
    }
    *rate = most;
    return best;
}

static double most_lost(const vb_pace *p) {
    return LOSS_AT_ONCE + LOSS_SHARE * p->emitted;
}

/* No more than what may be lost: the guarantee does not rest on the rates. */
static int within_the_loss(const vb_pace *p, vb_source source, int m) {
    while (m > 0 && p->loss + worst(p, source, m) > most_lost(p)) m--;
    return m;
}

/* Of n tries the share is off by about 1/(2 sqrt(n)): one draft is worth it as long as its true rate may well
 * be one that pays, a > (c(2) + d) / c(1) - 1. */
static bool may_pay(const vb_pace *p, vb_source source) {
    const vb_record *r = &p->record[source];
    const double a = at_place(r, source, 0) + 0.5 / sqrt(r->all.tries + 1), now = pass(p, 1);
    return (p->others + 1 + a) * now > (p->others + 1) * (pass(p, 2) + drafting(p, source, 1));
}

/* A drafter that does not pay is tried with one token now and then, each time after twice as many steps, and
 * only out of the share that may be lost in the long run. */
static bool probe(const vb_pace *p, vb_source source) {
    return p->steps >= p->record[source].probe_at && p->loss + worst(p, source, 1) <= LOSS_SHARE * p->emitted;
}

/* Changes nothing that outlasts the step: one that fails is planned again, and the same. */
static int plan(vb_pace *p, vb_source source, int max, double *rate) {
    int m = best_length(p, source, max, rate);
    p->trying[source] = VB_PAYS;
    if (m == 0 && max > 0 && may_pay(p, source)) {
        m = 1;
    } else if (m == 0) {
        m = max > 0 && probe(p, source);
        p->trying[source] = m ? VB_PROBES : VB_RESTS;
    }
    return within_the_loss(p, source, m);
}

void vb_pace_plan(vb_pace *p, size_t n, int max, bool model) {
    double rate[VB_N_SOURCES] = {0};
    if (max > VB_AUTO_MAX) max = VB_AUTO_MAX;
    p->position = (double)n;
    p->n = 0;
    p->evaluated = -1;
    p->reach = 1;
    p->planned[VB_BY_LOOKUP] = plan(p, VB_BY_LOOKUP, max, &rate[VB_BY_LOOKUP]);
    p->planned[VB_BY_MODEL] = model ? plan(p, VB_BY_MODEL, max, &rate[VB_BY_MODEL]) : 0;
    p->rate = model ? rate[VB_BY_MODEL] : rate[VB_BY_LOOKUP];
    memset(p->shape, 0, sizeof p->shape);
    p->model = model;
}

/* ---------------------------------------------------------------------- trees */

/* What is assumed of the second, third and fourth sibling where those before it are rejected. */
static const double SIBLING_GUESS[VB_PACE_SIBLINGS - 1] = {0.3, 0.2, 0.15};
/* A tree has to promise so much more than the plan's chain, which goes on while its drafter is sure. */
#define TREE_MARGIN 1.02

/* Shapes are tried depth by depth: E = 1 + s_1 + s_1 s_2 + ..., s the probability that one of the siblings is
 * accepted, 1 - (1 - a)(1 - b_2) ... (1 - b_B); the time c(nodes + 1) + a pass of the draft model per depth,
 * over the nodes of the depth before. */
typedef struct growth {
    const vb_pace *p;
    int max, shape[VB_TREE_DEPTH], best[VB_TREE_DEPTH];
    double missed[VB_PACE_SIBLINGS]; /* [B - 1]: (1 - b_2) ... (1 - b_B) */
    double rate, time;               /* of the best one */
} growth;

/* A shape so far. */
typedef struct grown {
    int depth, wide, nodes; /* wide: nodes of the last depth */
    double tokens, reach, drafting;
} grown;

/* The draft model over `wide` tokens in a pass: as much more than one as the target takes, or as reading text
 * takes, whichever is more. A small model is sooner busy with the arithmetic of its rows. */
static double draft_pass(const vb_pace *p, int wide) {
    const double d = draft_token(p),
                 like = d * vb_cost_pass(&p->costs, wide, 0) / vb_cost_pass(&p->costs, 1, 0),
                 read = d + (wide - 1) * 1e-3 * p->costs.draft_read;
    return like > read ? like : read;
}

/* Further depths, each of at most as many siblings as the one before: a tree is widest where it is reached
 * most often. It ends because each adds a node, and there are at most VB_AUTO_MAX. */
static void grow(growth *g, const grown *t) {
    const vb_pace *p = g->p;
    if (t->depth == VB_TREE_DEPTH) return;
    const int most = t->depth ? g->shape[t->depth - 1] : VB_PACE_SIBLINGS;
    const double a = at_place(&p->record[VB_BY_MODEL], VB_BY_MODEL, t->depth);
    for (int b = 1; b <= most && t->nodes + t->wide * b <= g->max; b++) {
        const double reach = t->reach * (1 - (1 - a) * g->missed[b - 1]);
        const grown next = {.depth = t->depth + 1,
                            .wide = t->wide * b,
                            .nodes = t->nodes + t->wide * b,
                            .tokens = t->tokens + reach,
                            .reach = reach,
                            .drafting = t->drafting + draft_pass(p, t->wide)};
        const double rate = (p->others + next.tokens) / (pass(p, next.nodes + 1) + next.drafting);
        g->shape[t->depth] = b;
        if (rate > g->rate && g->shape[0] > 1) {
            g->rate = rate;
            g->time = pass(p, next.nodes + 1) + next.drafting;
            memcpy(g->best, g->shape, sizeof g->best);
        }
        grow(g, &next);
    }
    g->shape[t->depth] = 0;
}

void vb_pace_plan_tree(vb_pace *p, int max) {
    growth g = {.p = p, .max = max < VB_AUTO_MAX ? max : VB_AUTO_MAX, .rate = TREE_MARGIN * p->rate};
    const grown root = {
        .wide = 1, .tokens = 1, .reach = 1, .drafting = p->unread * 1e-3 * p->costs.draft_read};
    if (!p->trees || !p->model) return;
    g.missed[0] = 1;
    for (int i = 1; i < VB_PACE_SIBLINGS; i++)
        g.missed[i] = g.missed[i - 1] * (1 - mean(&p->sibling[i - 1], SIBLING_GUESS[i - 1], GUESS_TRIES));
    grow(&g, &root);
    const int size = vb_draft_tree_size(g.best);
    /* Half of what may be lost: where trees lose it, chains can still be tried. */
    if (size == 0 || p->loss + g.time - vb_cost_pass(&p->costs, 1, p->position) > 0.5 * most_lost(p)) return;
    memcpy(p->shape, g.best, sizeof p->shape);
    p->planned[VB_BY_MODEL] = size;
    p->trying[VB_BY_MODEL] = VB_PAYS; /* even where no chain does */
}

void vb_pace_note(vb_pace *p, const vb_drafted *d, vb_source source, double confidence) {
    if (p->n == VB_AUTO_MAX) return;
    p->source[p->n] = (uint8_t)source;
    p->confidence[p->n] = (float)confidence;
    p->n++;
    if (!d->forced) p->reach *= at_confidence(&p->record[source], source, confidence);
}

/* With r the rate that the plan expects, time t is worth r*t tokens: drafting goes on if some number of
 * further tokens is expected to bring more than it costs,
 *
 *   reach * (a_(k+1) + a_(k+1) a_(k+2) + ...)  >  r * (j*d + c(k+1+j) - c(k+1))    for some j >= 1. */
bool vb_pace_more(const vb_pace *p, int max) {
    const vb_record *r = &p->record[VB_BY_MODEL];
    const double d = draft_each(p), now = pass(p, p->n + 1);
    double reach = p->reach, tokens = 0;
    for (int m = p->n + 1; m <= max && m <= VB_AUTO_MAX; m++) {
        reach *= at_place(r, VB_BY_MODEL, m - 1);
        tokens += reach;
        if (tokens > p->rate * ((m - p->n) * d + pass(p, m + 1) - now)) return true;
    }
    return false;
}

/* ---------------------------------------------------------------------- what came of it */

/* When a drafter that does not pay is tried next. */
static void schedule(const vb_pace *p, vb_record *r, vb_trying now) {
    if (now == VB_PAYS) {
        r->probe_gap = FIRST_GAP;
        r->probe_at = p->steps + FIRST_GAP;
    } else if (now == VB_PROBES) {
        r->probe_at = p->steps + r->probe_gap;
        if (r->probe_gap < LAST_GAP) r->probe_gap *= 2;
    }
}

void vb_pace_evaluated(vb_pace *p, int n) {
    p->evaluated = n;
}

/* The time that the draft model took. */
static double learn_each(vb_pace *p, int by_model) {
    const int n = p->evaluated < 0 ? by_model : p->evaluated;
    if (n == 0) return 0;
    forget(&p->each, 1);
    p->each.tries += by_model;
    p->each.hits += n;
    return n * draft_token(p) + p->unread * 1e-3 * p->costs.draft_read;
}

static void forget_all(vb_pace *p) {
    for (int i = 0; i < VB_N_SOURCES; i++) {
        forget(&p->record[i].all, 1);
        forget(p->record[i].place, VB_AUTO_MAX);
        forget(p->record[i].bin, VB_PACE_BINS);
        forget(&p->record[i].sure, 1);
    }
}

/* A step took so much time and brought so many tokens. */
static void account(vb_pace *p, double time, int n_emitted) {
    p->loss += time - n_emitted * vb_cost_pass(&p->costs, 1, p->position);
    if (p->loss < -GAIN_KEPT) p->loss = -GAIN_KEPT;
    p->emitted += n_emitted;
    p->steps++;
    for (int i = 0; i < VB_N_SOURCES; i++) schedule(p, &p->record[i], p->trying[i]);
}

static int place_of(const vb_drafted *drafts, int i) {
    int place = 0;
    while ((i = drafts[i].parent) >= 0) place++;
    return place;
}

/* Siblings before draft i; *taken: one of them was accepted. */
static int rank_of(const vb_drafted *drafts, int i, bool *taken) {
    int rank = 0;
    *taken = false;
    for (int k = 0; k < i; k++) {
        if (drafts[k].parent != drafts[i].parent) continue;
        rank++;
        *taken |= drafts[k].accepted;
    }
    return rank;
}

void vb_pace_learn_tree(vb_pace *p, const vb_drafted *drafts, int n, int n_emitted) {
    int wide[VB_AUTO_MAX + 1] = {1}, accepted = 0, depths = 0; /* wide: by place + 1; the path in front */
    vb_record *r = &p->record[VB_BY_MODEL];
    double time = vb_cost_pass(&p->costs, n + 1, p->position) + p->unread * 1e-3 * p->costs.draft_read;
    forget_all(p);
    forget(p->sibling, VB_PACE_SIBLINGS - 1);
    for (int i = 0; i < n && i < VB_AUTO_MAX; i++) {
        const int place = place_of(drafts, i);
        bool taken;
        const int rank = rank_of(drafts, i, &taken);
        accepted += drafts[i].accepted;
        if (wide[place + 1]++ == 0 && !drafts[i].forced) time += draft_pass(p, wide[place]);
        if (place >= depths) depths = place + 1;
        if (!drafts[i].tested || drafts[i].forced || taken) continue;
        if (rank == 0) count(&r->all, drafts[i].accepted);
        if (rank == 0) count(&r->place[place], drafts[i].accepted);
        if (rank > 0 && rank < VB_PACE_SIBLINGS) count(&p->sibling[rank - 1], drafts[i].accepted);
    }
    account(p, time, n_emitted);
    p->unread = accepted == depths ? 1 : 0; /* its last token was drawn, and not read */
}

void vb_pace_learn(vb_pace *p, const vb_drafted *drafts, int n, int n_emitted) {
    int by_model = 0, accepted = 0;
    if (n > 0) forget_all(p);
    if (n > 0) forget_by(p->sibling, VB_PACE_SIBLINGS - 1, KEEP_UNTRIED);
    for (int i = 0; i < n && i < p->n; i++) {
        vb_record *r = &p->record[p->source[i]];
        by_model += p->source[i] == VB_BY_MODEL;
        accepted += drafts[i].accepted;
        if (!drafts[i].tested || drafts[i].forced) continue;
        count(&r->all, drafts[i].accepted);
        count(&r->place[i], drafts[i].accepted);
        count(&r->bin[bin_of((double)p->confidence[i])], drafts[i].accepted);
        r->sure.tries += 1;
        r->sure.hits += (double)p->confidence[i];
    }
    const double time = learn_each(p, by_model) + vb_cost_pass(&p->costs, n + 1, p->position);
    account(p, time, n_emitted);
    /* Behind a draft that is accepted whole its last token is unread, beside the one that came after it. */
    if (by_model == 0)
        p->unread += n_emitted;
    else
        p->unread = accepted == n ? 1 : 0;
}
