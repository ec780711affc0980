/* prove.c - samples completions, counts them in the cells of the law, and judges the counts: chi-square at
 * every depth, impossible tokens, other paths and wrong log-probabilities. */
#include "prove/prove.h"

#include "prove/stats.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define EXPECTED   5.0  /* samples that a cell is expected to hold at least; chi-square is good enough then */
#define CONFIDENCE 1e-3 /* of the bounds on total variation */

/* ---------------------------------------------------------------------------------------------- sampling */

/* The first tokens of a generation. Steps are not cut short: a step emits what it emits, so that bonus tokens
 * and second steps are as they are in use. */
static int sample(const vb_prove_params *p, const vb_prove_subject *s, uint64_t seed, bool alone,
                  vb_completion *c, vb_prove_report *r, vb_error *err) {
    const vb_joint_params *law = &p->law;
    vb_spec *spec = NULL;
    vb_step step;
    vb_stats stats;
    int rc;
    memset(c, 0, sizeof *c);
    if ((rc = s->open(s->self, seed, alone, &spec, err)) ||
        (rc = vb_spec_prompt(spec, &law->prompt[law->n_prompt - 1], 1, err)))
        goto cleanup;
    for (bool stopped = false; c->n < law->depth && !stopped;) {
        if ((rc = vb_spec_step(spec, SIZE_MAX, &step, err))) goto cleanup;
        for (int i = 0; i < step.n_emitted && c->n < law->depth && !stopped; i++) {
            c->token[c->n] = step.emitted[i].id;
            c->logprob[c->n++] = step.emitted[i].logprob;
            stopped = step.emitted[i].stop;
        }
    }
    vb_spec_stats(spec, &stats);
    r->drafted += stats.drafted;
    r->accepted += stats.accepted;
cleanup:
    vb_spec_close(spec);
    return rc;
}

/* Bit for bit. */
static bool same_real(double a, double b) {
    uint64_t x, y;
    memcpy(&x, &a, sizeof x);
    memcpy(&y, &b, sizeof y);
    return x == y;
}

static bool same(const vb_completion *a, const vb_completion *b) {
    bool yes = a->n == b->n;
    for (int i = 0; i < a->n && yes; i++)
        yes = a->token[i] == b->token[i] && same_real(a->logprob[i], b->logprob[i]);
    return yes;
}

/* A reported log-probability against the target's. */
static void check_logprob(double law, double reported, double tolerance, vb_prove_report *r) {
    const double d = fabs(law - reported);
    if (isnan(reported) && tolerance > 0) return; /* not reported */
    r->logprobs++;
    r->logprob_differs += tolerance > 0 ? !(d <= tolerance) : !same_real(law, reported);
    if (d > r->logprob_worst) r->logprob_worst = d;
}

/* Follows a completion down the tree. tolerance < 0: nothing is said of log-probabilities. */
static void count(vb_joint *j, int stage, const vb_completion *c, double tolerance, vb_prove_report *r) {
    int32_t at = 0;
    for (int i = 0; i < c->n && at >= 0; i++) {
        at = vb_joint_child(j, at, c->token[i]);
        if (at == -2) r->stage[stage].impossible++;
        if (at < 0) return;
        j->cells[at].seen[stage]++;
        if (tolerance >= 0) check_logprob(j->cells[at].logprob, c->logprob[i], tolerance, r);
    }
}

/* ---------------------------------------------------------------------------------------------- judging */

static bool is_cell(const vb_cell *c, int depth) {
    return c->depth == depth || (c->ended && c->depth > 0);
}

/* A cell whose probability lies in [p, p + loose]; chi-square and total variation are added up with the value
 * that fits best what is seen, so that no way of cutting a text that was left out can raise an alarm. */
static void judge_cell(double p, double loose, double seen, double n, double *chi2, double *tv) {
    const double share = seen / n, fit = fmin(fmax(share, p), p + loose);
    if (fit > 0) *chi2 += (seen - n * fit) * (seen - n * fit) / (n * fit);
    *tv += fabs(share - fit);
}

/* Chi-square over the cells of one depth, the rest pooled; a rest with too few expected samples joins the
 * smallest cell. */
static void judge_depth(const vb_joint *j, int stage, int depth, double n, int depths, vb_prove_depth *d) {
    const double rest = j->rest[depth], loose = j->loose[depth];
    double seen_rest = n, chi2 = 0, tv = 0;
    size_t smallest = 0;
    int cells = 0;
    for (size_t i = 1; i < j->level[depth + 1]; i++) {
        const vb_cell *c = &j->cells[i];
        if (!is_cell(c, depth)) continue;
        cells++;
        seen_rest -= (double)c->seen[stage];
        if (!smallest || c->p < j->cells[smallest].p) smallest = i;
    }
    const bool joined = (rest + loose) * n < EXPECTED;
    for (size_t i = 1; i < j->level[depth + 1]; i++) {
        const vb_cell *c = &j->cells[i];
        if (!is_cell(c, depth)) continue;
        const bool all = joined && i == smallest;
        judge_cell(c->p + (all ? rest : 0), all ? loose : c->loose,
                   (double)c->seen[stage] + (all ? seen_rest : 0), n, &chi2, &tv);
    }
    if (!joined) {
        cells++;
        judge_cell(rest, loose, seen_rest, n, &chi2, &tv);
    }
    *d = (vb_prove_depth){
        .cells = cells, .chi2 = chi2, .tv = 0.5 * tv, .p = 1, .found_tv = 1, .loose = loose, .tv_high = 1};
    if (cells >= 2) {
        d->p = vb_chi2_tail(chi2, cells - 1);
        d->found_tv = fmin(1, vb_power_tv(n, cells, VB_PROVE_AGAIN / depths, VB_PROVE_POWER) + loose);
    }
    const double radius = vb_tv_radius(n, cells, CONFIDENCE);
    d->tv_low = fmax(0, d->tv - radius);
    d->tv_high = fmin(1, d->tv + radius + loose);
}

static void judge(const vb_joint *j, int stage, uint64_t n, vb_prove_report *r) {
    vb_prove_stage *s = &r->stage[stage];
    double least = 1;
    s->samples = n;
    for (int k = 0; k < j->depth; k++) {
        judge_depth(j, stage, k + 1, (double)n, j->depth, &s->depth[k]);
        least = fmin(least, s->depth[k].p);
    }
    s->p = s->impossible ? 0 : fmin(1, least * j->depth);
    r->n_stages = stage + 1;
}

/* The cells that deviate most, by (seen - expected)^2/expected. */
static void find_worst(const vb_joint *j, int stage, double n, vb_prove_report *r) {
    double value[VB_PROVE_WORST];
    r->n_worst = 0;
    for (size_t i = 1; i < j->n; i++) {
        const vb_cell *c = &j->cells[i];
        const double seen = (double)c->seen[stage];
        double v = 0, tv = 0;
        judge_cell(c->p, c->loose, seen, n, &v, &tv);
        int at = r->n_worst;
        while (at > 0 && value[at - 1] < v) at--;
        if (at >= VB_PROVE_WORST) continue;
        if (r->n_worst < VB_PROVE_WORST) r->n_worst++;
        for (int k = r->n_worst - 1; k > at; k--) {
            value[k] = value[k - 1];
            r->worst[k] = r->worst[k - 1];
        }
        value[at] = v;
        vb_prove_worst *w = &r->worst[at];
        *w = (vb_prove_worst){.n = c->depth, .expected = c->p, .seen = seen / n};
        for (const vb_cell *up = c; up->depth > 0; up = &j->cells[up->parent])
            w->token[up->depth - 1] = up->token;
    }
}

/* ---------------------------------------------------------------------------------------------- the proof */

/* Twice the same, and the same as the target alone. */
static int check_again(const vb_prove_params *p, const vb_prove_subject *s, uint64_t seed,
                       const vb_completion *c, vb_prove_report *r, vb_error *err) {
    vb_completion again;
    int rc = sample(p, s, seed, false, &again, r, err);
    if (rc) return rc;
    r->repeated++;
    r->repeat_differs += !same(c, &again);
    if (!s->same_path) return VB_OK;
    if ((rc = sample(p, s, seed, true, &again, r, err))) return rc;
    r->paths++;
    r->path_differs += !same(c, &again);
    return VB_OK;
}

/* Completions from..to - 1 of a stage. */
static int run_some(const vb_prove_params *p, const vb_prove_subject *s, vb_joint *j, int stage,
                    uint64_t from, uint64_t to, vb_prove_report *r, vb_error *err) {
    const uint64_t first = p->seed + (stage ? p->samples : 0);
    for (uint64_t i = from; i < to; i++) {
        vb_completion c;
        int rc;
        if (p->cancel && p->cancel(p->user)) return vb_fail(err, VB_ERR_CANCELLED, "cancelled");
        if ((rc = sample(p, s, first + i, false, &c, r, err))) return rc;
        count(j, stage, &c, 0, r);
        if (stage == 0 && i < p->repeats && (rc = check_again(p, s, first + i, &c, r, err))) return rc;
        if (p->progress && (i + 1 - from) % 500 == 0) p->progress(p->user, i + 1 - from, to - from);
    }
    return VB_OK;
}

static int run_stage(const vb_prove_params *p, const vb_prove_subject *s, vb_joint *j, int stage, uint64_t n,
                     vb_prove_report *r, vb_error *err) {
    int rc = run_some(p, s, j, stage, 0, n, r, err);
    if (rc) return rc;
    judge(j, stage, n, r);
    find_worst(j, stage, (double)n, r);
    return VB_OK;
}

static int open_law(const vb_prove_params *p, uint64_t n, vb_joint **j, vb_prove_report *r, vb_error *err) {
    vb_joint_params law = p->law;
    if (n < 1) return vb_fail(err, VB_ERR_ARGUMENT, "no samples");
    law.least = EXPECTED / (double)n;
    memset(r, 0, sizeof *r);
    int rc = vb_joint_open(j, &law, err);
    if (rc) return rc;
    r->tokens = law.depth;
    r->laws = (*j)->n_expanded;
    return VB_OK;
}

int vb_prove(const vb_prove_params *p, const vb_prove_subject *s, vb_prove_report *out, vb_error *err) {
    vb_prove_report r = {0};
    vb_joint *j = NULL;
    int rc = open_law(p, p->samples, &j, &r, err);
    if (rc) return rc;
    if ((rc = run_stage(p, s, j, 0, p->samples, &r, err))) goto cleanup;
    const double first = r.stage[0].p;
    if (first < VB_PROVE_AGAIN && first >= VB_PROVE_FAIL &&
        (rc = run_stage(p, s, j, 1, VB_PROVE_MORE * p->samples, &r, err)))
        goto cleanup;
    r.ok = r.stage[r.n_stages - 1].p >= VB_PROVE_FAIL && !r.repeat_differs && !r.path_differs &&
           !r.logprob_differs;
    *out = r;
cleanup:
    vb_joint_close(j);
    return rc;
}

int vb_prove_part(const vb_prove_params *p, const vb_prove_subject *s, uint64_t from, uint64_t to,
                  vb_joint **out, vb_prove_report *report, vb_error *err) {
    vb_prove_report r = {0};
    vb_joint *j = NULL;
    int rc = open_law(p, p->samples, &j, &r, err);
    if (rc) return rc;
    if ((rc = run_some(p, s, j, 0, from, to, &r, err))) {
        vb_joint_close(j);
        return rc;
    }
    *report = r;
    *out = j;
    return VB_OK;
}

void vb_prove_judge(const vb_joint *j, uint64_t samples, vb_prove_report *r) {
    r->tokens = j->depth;
    r->laws = j->n_expanded;
    judge(j, 0, samples, r);
    find_worst(j, 0, (double)samples, r);
    r->ok = r->stage[0].p >= VB_PROVE_FAIL && !r->repeat_differs && !r->path_differs && !r->logprob_differs;
    r->undecided = r->ok && r->stage[0].p < VB_PROVE_AGAIN;
}

/* ---------------------------------------------------------------------------------------------- batches */

static bool alike(const vb_completion *a, const vb_completion *b, double tolerance) {
    if (tolerance <= 0) return same(a, b);
    bool yes = a->n == b->n;
    for (int i = 0; i < a->n && yes; i++)
        yes = a->token[i] == b->token[i] && !(fabs(a->logprob[i] - b->logprob[i]) > tolerance);
    return yes;
}

/* The first completions again, and once more without speculation. */
static int batch_again(const vb_prove_params *p, const vb_prove_batches *s, uint64_t seed, size_t n,
                       const vb_completion *first, vb_completion *space, vb_prove_report *r, vb_error *err) {
    for (int alone = 0; alone <= (s->same_path ? 1 : 0) && n > 0; alone++) {
        int rc = s->draw(s->self, seed, n, alone != 0, space, err);
        if (rc) return rc;
        uint64_t differs = 0;
        for (size_t i = 0; i < n; i++) differs += !alike(&first[i], &space[i], s->tolerance);
        *(alone ? &r->paths : &r->repeated) += n;
        *(alone ? &r->path_differs : &r->repeat_differs) += differs;
        if (p->cancel && p->cancel(p->user)) return vb_fail(err, VB_ERR_CANCELLED, "cancelled");
    }
    return VB_OK;
}

static int batch_stage(const vb_prove_params *p, const vb_prove_batches *s, vb_joint *j, int stage,
                       uint64_t n, vb_completion *space, vb_prove_report *r, vb_error *err) {
    const uint64_t first = p->seed + (stage ? p->samples : 0);
    for (uint64_t done = 0; done < n;) {
        const size_t m = n - done < s->size ? (size_t)(n - done) : s->size;
        int rc = s->draw(s->self, first + done, m, false, space, err);
        if (rc) return rc;
        for (size_t i = 0; i < m; i++) count(j, stage, &space[i], s->tolerance, r);
        const size_t repeats = stage || done >= p->repeats ? 0
                               : p->repeats - done < m     ? (size_t)(p->repeats - done)
                                                           : m;
        if ((rc = batch_again(p, s, first + done, repeats, space, space + s->size, r, err))) return rc;
        done += m;
        if (p->cancel && p->cancel(p->user)) return vb_fail(err, VB_ERR_CANCELLED, "cancelled");
        if (p->progress) p->progress(p->user, done, n);
    }
    judge(j, stage, n, r);
    find_worst(j, stage, (double)n, r);
    return VB_OK;
}

int vb_prove_in_batches(const vb_prove_params *p, const vb_prove_batches *s, vb_prove_report *out,
                        vb_error *err) {
    vb_prove_report r = {0};
    vb_joint *j = NULL;
    vb_completion *space = NULL;
    int rc = open_law(p, p->samples, &j, &r, err);
    if (rc) return rc;
    if ((rc = vb_alloc((void **)&space, s->size, 2 * sizeof *space, "completions", err)) ||
        (rc = batch_stage(p, s, j, 0, p->samples, space, &r, err)))
        goto cleanup;
    if (r.stage[0].p < VB_PROVE_AGAIN && r.stage[0].p >= VB_PROVE_FAIL &&
        (rc = batch_stage(p, s, j, 1, VB_PROVE_MORE * p->samples, space, &r, err)))
        goto cleanup;
    r.ok = r.stage[r.n_stages - 1].p >= VB_PROVE_FAIL && !r.repeat_differs && !r.path_differs &&
           !r.logprob_differs;
    *out = r;
cleanup:
    free(space);
    vb_joint_close(j);
    return rc;
}

int vb_prove_samples(const vb_prove_params *p, const int32_t *rows, uint64_t n, vb_prove_report *out,
                     vb_error *err) {
    vb_prove_report r = {0};
    vb_joint *j = NULL;
    int rc = open_law(p, n, &j, &r, err);
    if (rc) return rc;
    for (uint64_t i = 0; i < n; i++) {
        vb_completion c = {0};
        const int32_t *row = rows + i * (uint64_t)p->law.depth;
        while (c.n < p->law.depth && row[c.n] >= 0) c.token[c.n] = row[c.n], c.n++;
        count(j, 0, &c, -1, &r);
    }
    judge(j, 0, n, &r);
    find_worst(j, 0, (double)n, &r);
    r.ok = r.stage[0].p >= VB_PROVE_FAIL;
    r.undecided = r.ok && r.stage[0].p < VB_PROVE_AGAIN;
    *out = r;
    vb_joint_close(j);
    return VB_OK;
}
