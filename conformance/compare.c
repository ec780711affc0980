/* compare.c - two recordings of one model: where they first differ, and by how much. */
#include "conformance/recording.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

bool cf_tolerance_of(const char *name, cf_tolerance *out, cf_bounds *b) {
    if (!strcmp(name, "bitwise")) {
        *out = CF_BITWISE;
        *b = (cf_bounds){0, 0, 0, 0};
    } else if (!strcmp(name, "f32")) {
        *out = CF_F32;
        *b = (cf_bounds){0x1p-10, 1e-6, 1e-3, 0.02};
    } else if (!strcmp(name, "f16")) {
        *out = CF_F16;
        *b = (cf_bounds){0x1p-6, 2e-3, 0.05, 0.1};
    } else if (!strcmp(name, "q8")) {
        *out = CF_Q8;
        *b = (cf_bounds){0x1p-3, 2e-2, 0.5, 0.5};
    } else {
        return false;
    }
    return true;
}

/* float32 numbers in a row: the bits as a signed count of steps from zero. */
static int64_t steps_of(double x) {
    const float f = (float)x;
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    return bits & 0x80000000u ? -(int64_t)(bits & 0x7fffffffu) : (int64_t)bits;
}

int64_t cf_float_steps(double x, double y) {
    const int64_t d = steps_of(y) - steps_of(x);
    return d < 0 ? -d : d;
}

/* The contract's arrays are float32, so two values are the same if they round to the same float32; beyond its
 * range all of them round to infinity, and the values themselves decide. */
static bool same_bits(double x, double y) {
    return steps_of(x) == steps_of(y) && (isfinite((float)x) || x == y);
}

/* Which element of its array value i of a row is. */
static int element_of(const cf_row *r, int i) {
    if (r->element) return r->element[i];
    return r->have < r->n && i >= 8 ? r->n - 16 + i : i;
}

static int by_number(const void *p, const void *q) {
    const int32_t a = *(const int32_t *)p, b = *(const int32_t *)q;
    return (a > b) - (a < b);
}

/* Value of element e; false where it is not known. */
static bool value_at(const cf_row *r, int e, double *out) {
    int at = e;
    if (r->element) {
        const int32_t key = e,
                      *found =
                          r->have ? bsearch(&key, r->element, (size_t)r->have, sizeof key, by_number) : NULL;
        at = found ? (int)(found - r->element) : -1;
    } else if (r->have < r->n && e >= 8) {
        at = e < r->n - 8 ? -1 : e - (r->n - 16);
    }
    if (at < 0 || at >= r->have) return false;
    *out = r->x[at];
    return true;
}

static void set(cf_divergence *d, const cf_row *a, const cf_row *b, int element, double x, double y) {
    if (d->found) return;
    *d = (cf_divergence){.found = true,
                         .level = !strcmp(a->op, "logits") ? 5 : 4,
                         .prompt = a->prompt,
                         .position = a->position,
                         .layer = a->layer,
                         .element = element,
                         .ours = x,
                         .theirs = y,
                         .line_ours = a->line,
                         .line_theirs = b->line};
    snprintf(d->what, sizeof d->what, "%s", a->op);
    d->ulp = cf_float_steps(x, y);
}

/* The largest value, and the log of the sum of exp(x - max): log softmax is x - max - log_sum. They stay
 * apart, or a large maximum would swallow the logarithm. */
static double log_sum(const double *x, int n, double *max) {
    double m = x[0], s = 0;
    for (int i = 1; i < n; i++) m = x[i] > m ? x[i] : m;
    for (int i = 0; i < n; i++) s += exp(x[i] - m);
    *max = m;
    return log(s);
}

static double kl_of(const cf_row *a, const cf_row *b) {
    double ma, mb, kl = 0;
    const double la = log_sum(a->x, a->n, &ma), lb = log_sum(b->x, b->n, &mb);
    for (int i = 0; i < a->n; i++) {
        const double x = a->x[i] - ma - la, p = exp(x);
        if (p > 0) kl += p * (x - (b->x[i] - mb - lb)); /* 0 times an infinite difference is 0 */
    }
    return kl > 0 ? kl : 0; /* rounding may leave a sum just below 0 */
}

/* The k ids of largest value, lower ids first among equals, as a sorted set. */
static void best_ids(const cf_row *r, int k, int *id) {
    for (int j = 0; j < k; j++) {
        int best = -1;
        for (int i = 0; i < r->n; i++) {
            bool taken = false;
            for (int t = 0; t < j; t++) taken = taken || id[t] == i;
            if (!taken && (best < 0 || r->x[i] > r->x[best])) best = i;
        }
        id[j] = best;
    }
}

static bool same_set(const int *a, const int *b, int k) {
    for (int i = 0; i < k; i++) {
        bool found = false;
        for (int j = 0; j < k; j++) found = found || a[i] == b[j];
        if (!found) return false;
    }
    return true;
}

static bool compare_logits(const cf_row *a, const cf_row *b, const cf_bounds *bounds, bool bitwise,
                           double *of_row, cf_comparison *out) {
    int x[5] = {0}, y[5] = {0};
    if (a->element || b->element || a->have != a->n || b->have != b->n) return true;
    const double kl = *of_row = kl_of(a, b);
    const int k = a->n < 5 ? a->n : 5;
    out->positions++;
    out->mean_kl += kl; /* divided at the end */
    if (kl > out->max_kl) out->max_kl = kl;
    best_ids(a, k, x);
    best_ids(b, k, y);
    out->top1 += x[0] == y[0];
    out->top5 += same_set(x, y, k);
    return bitwise || kl <= bounds->kl;
}

/* An array of ours of which nothing was compared. */
static void not_compared(const cf_row *a, const cf_watch *watch, cf_comparison *out) {
    out->rows_missing++;
    if (watch && watch->array) watch->array(watch->user, a, NULL, 0, -1, true);
}

static void compare_rows(const cf_row *a, const cf_row *b, const cf_bounds *bounds, bool bitwise,
                         const cf_watch *watch, cf_comparison *out) {
    double size = 0, worst = 0, worst_x = 0, worst_y = 0, kl = -1;
    int at = -1, compared = 0;
    for (int i = 0; i < a->have; i++) {
        double y;
        const int e = element_of(a, i);
        if (fabs(a->x[i]) > size) size = fabs(a->x[i]);
        if (!value_at(b, e, &y)) continue;
        compared++;
        if (!same_bits(a->x[i], y)) set(&out->first_bits, a, b, e, a->x[i], y);
        const double d = fabs(a->x[i] - y);
        const bool differs = bitwise && !same_bits(a->x[i], y);
        if (differs ? at < 0 : !bitwise && d > worst) {
            at = e;
            worst_x = a->x[i];
            worst_y = y;
        }
        if (d > worst) worst = d;
    }
    if (!compared) {
        not_compared(a, watch, out);
        return;
    }
    const double relative = size > 0 ? worst / size : worst > 0 ? INFINITY : 0;
    bool good = bitwise ? at < 0 : relative <= bounds->row;
    out->rows++;
    if (relative > out->worst_row) out->worst_row = relative;
    if (!strcmp(a->op, "logits") && !compare_logits(a, b, bounds, bitwise, &kl, out)) good = false;
    if (watch && watch->array) watch->array(watch->user, a, b, relative, kl, good);
    if (good) return;
    out->rows_beyond++;
    set(&out->first, a, b, at, worst_x, worst_y);
}

/* Theirs are log-probabilities, ours logits: both as log-probabilities. */
static int compare_as_logprobs(const cf_row *a, const cf_row *b, const cf_bounds *bounds, bool bitwise,
                               const cf_watch *watch, cf_comparison *out, vb_error *err) {
    cf_row shifted = *a;
    double max;
    if (a->element || a->have != a->n) { /* the normaliser takes all of them */
        not_compared(a, watch, out);
        return VB_OK;
    }
    int rc = vb_alloc((void **)&shifted.x, (size_t)a->n, sizeof *shifted.x, "log-probabilities", err);
    if (rc) return rc;
    const double sum = log_sum(a->x, a->n, &max) + max;
    for (int i = 0; i < a->n; i++) shifted.x[i] = a->x[i] - sum;
    compare_rows(&shifted, b, bounds, bitwise, watch, out);
    free(shifted.x);
    return VB_OK;
}

static const cf_row *find_row(const cf_recording *r, const cf_row *const *sorted, const cf_row *key) {
    const cf_row *const *found =
        r->n_rows ? bsearch(&key, sorted, r->n_rows, sizeof *sorted, cf_row_order) : NULL;
    return found ? *found : NULL;
}

static int all_rows(const cf_recording *ours, const cf_recording *theirs, const cf_bounds *b, bool bitwise,
                    const cf_watch *watch, cf_comparison *out, vb_error *err) {
    const cf_row **sorted = NULL;
    int rc = vb_alloc((void **)&sorted, theirs->n_rows + 1, sizeof *sorted, "an index", err);
    if (rc) return rc;
    for (size_t i = 0; i < theirs->n_rows; i++) sorted[i] = &theirs->rows[i];
    if (theirs->n_rows) qsort(sorted, theirs->n_rows, sizeof *sorted, cf_row_order);
    for (size_t i = 0; i < ours->n_rows && !rc; i++) {
        const cf_row *a = &ours->rows[i];
        const cf_row *found = find_row(theirs, sorted, a);
        cf_row key = *a;
        snprintf(key.op, sizeof key.op, "logprobs");
        const bool logprobs = !found && !strcmp(a->op, "logits") && (found = find_row(theirs, sorted, &key));
        if (!found)
            not_compared(a, watch, out);
        else if (found->n != a->n)
            rc = vb_fail(err, VB_ERR_ARGUMENT, "%s: line %zu: %s has %d values, in %s: line %zu it has %d",
                         theirs->path, found->line, a->op, found->n, ours->path, a->line, a->n);
        else if (logprobs)
            rc = compare_as_logprobs(a, found, b, bitwise, watch, out, err);
        else
            compare_rows(a, found, b, bitwise, watch, out);
    }
    free(sorted);
    return rc;
}

/* A difference in what an engine says or reports; where it is the first, it is kept. */
static void output_differs(const cf_divergence *d, cf_comparison *out) {
    if (!out->first_bits.found) out->first_bits = *d;
    if (d->near_tie)
        out->near_ties++;
    else if (!out->first.found)
        out->first = *d;
}

/* Log-probabilities of the n first tokens of two lists, the first of which stands at `position`. Number of
 * those compared. */
static size_t compare_logprobs(const cf_tokens *a, const cf_tokens *b, size_t n, size_t position,
                               const cf_bounds *bounds, cf_divergence *d, cf_comparison *out) {
    size_t compared = 0;
    for (size_t i = 0; i < n && a->logprob && b->logprob; i++) {
        const double x = a->logprob[i], y = b->logprob[i], gap = fabs(x - y);
        if (isnan(x) || isnan(y)) continue; /* not known */
        compared++;
        if (gap > out->worst_logprob) out->worst_logprob = gap;
        if (x == y || d->found) continue;
        cf_divergence at = {.found = true,
                            .level = 5,
                            .prompt = a->prompt,
                            .position = (int)(position + i),
                            .layer = -1,
                            .element = 0,
                            .ours = x,
                            .theirs = y,
                            .line_ours = a->line,
                            .line_theirs = b->line};
        at.ulp = cf_float_steps(x, y);
        snprintf(at.what, sizeof at.what, "log-probability");
        if (!out->first_bits.found) out->first_bits = at;
        if (gap <= bounds->logprob) continue;
        *d = at;
        output_differs(d, out);
    }
    out->logprobs += compared;
    return compared;
}

/* How many log-probabilities of a list of n are known. */
static size_t known_logprobs(const cf_tokens *t, size_t n) {
    size_t known = 0;
    for (size_t i = 0; i < n && t->logprob; i++) known += isnan(t->logprob[i]) ? 0 : 1;
    return known;
}

/* Greedy tokens up to the first that differs; sampled ones count only bit for bit: other engines have other
 * noise. Log-probabilities as far as the tokens agree. */
static void compare_output(const cf_tokens *a, const cf_tokens *b, const cf_bounds *bounds, size_t prompt_len,
                           const cf_watch *watch, cf_comparison *out) {
    cf_divergence d = {.found = false};
    size_t same = 0;
    while (same < a->n && same < b->n && a->id[same] == b->id[same]) same++;
    const bool differs = same < a->n && same < b->n;
    const size_t logprobs = compare_logprobs(a, b, same, prompt_len, bounds, &d, out);
    out->steps += same + differs;
    out->steps_missing += a->n - same - differs;
    out->logprobs_missing += known_logprobs(a, a->n) - logprobs;
    if (differs && !d.found) {
        d = (cf_divergence){.found = true,
                            .near_tie = a->greedy && a->margin && a->margin[same] < bounds->near_tie,
                            .level = 5,
                            .prompt = a->prompt,
                            .position = (int)(prompt_len + same),
                            .layer = -1,
                            .element = -1,
                            .ours = a->id[same],
                            .theirs = b->id[same],
                            .line_ours = a->line,
                            .line_theirs = b->line};
        snprintf(d.what, sizeof d.what, "%s", a->greedy ? "greedy token" : "sampled token");
        output_differs(&d, out);
    }
    if (watch && watch->tokens) watch->tokens(watch->user, a, same + differs, logprobs, &d);
}

/* Of the prompts' own tokens: n - 1 log-probabilities, the first of token 1. */
static void compare_prompt(const cf_tokens *a, const cf_tokens *b, const cf_bounds *bounds,
                           const cf_watch *watch, cf_comparison *out) {
    cf_divergence d = {.found = false};
    const size_t n = a->n ? a->n - 1 : 0, known = known_logprobs(a, n);
    const size_t logprobs = b ? compare_logprobs(a, b, n, 1, bounds, &d, out) : 0;
    out->logprobs_missing += known - logprobs;
    if (known && watch && watch->tokens) watch->tokens(watch->user, a, 0, logprobs, &d);
}

/* An output of ours with those of theirs that are of the same prompt and seed. */
static void compare_outputs(const cf_tokens *a, const cf_recording *theirs, const cf_bounds *bounds,
                            size_t prompt_len, const cf_watch *watch, cf_comparison *out) {
    bool found = false;
    for (size_t k = 0; k < theirs->n_outputs; k++) {
        const cf_tokens *b = &theirs->outputs[k];
        if (a->prompt != b->prompt || a->greedy != b->greedy || a->seed != b->seed) continue;
        compare_output(a, b, bounds, prompt_len, watch, out);
        found = true;
    }
    if (found) return;
    const cf_divergence none = {.found = false};
    out->steps_missing += a->n;
    out->logprobs_missing += known_logprobs(a, a->n);
    if (watch && watch->tokens) watch->tokens(watch->user, a, 0, 0, &none);
}

static int check_prompts(const cf_recording *ours, const cf_recording *theirs, vb_error *err) {
    const char *a = json_string_value(json_object_get(ours->head, "model_xxh3")),
               *b = json_string_value(json_object_get(theirs->head, "model_xxh3"));
    if (a && b && strcmp(a, b) != 0)
        return vb_fail(err, VB_ERR_ARGUMENT, "%s and %s are recordings of different models (model_xxh3)",
                       ours->path, theirs->path);
    if (!ours->n_prompts || !theirs->n_prompts)
        return vb_fail(err, VB_ERR_ARGUMENT, "%s: no prompt", ours->n_prompts ? theirs->path : ours->path);
    for (size_t k = 0; k < ours->n_prompts && k < theirs->n_prompts; k++) {
        const cf_tokens *x = &ours->prompts[k], *y = &theirs->prompts[k];
        if (x->n != y->n || memcmp(x->id, y->id, x->n * sizeof *x->id) != 0)
            return vb_fail(err, VB_ERR_ARGUMENT,
                           "%s: line %zu: the tokens of prompt %zu differ from %s: line %zu (level 1: "
                           "compare token ids first)",
                           theirs->path, y->line, k, ours->path, x->line);
    }
    return VB_OK;
}

int cf_compare(const cf_recording *ours, const cf_recording *theirs, cf_tolerance t, const cf_bounds *b,
               const cf_watch *watch, cf_comparison *out, vb_error *err) {
    cf_comparison c = {0};
    int rc = check_prompts(ours, theirs, err);
    if (!rc) rc = all_rows(ours, theirs, b, t == CF_BITWISE, watch, &c, err);
    for (size_t k = 0; k < ours->n_prompts && !rc; k++)
        compare_prompt(&ours->prompts[k], k < theirs->n_prompts ? &theirs->prompts[k] : NULL, b, watch, &c);
    for (size_t i = 0; i < ours->n_outputs && !rc; i++) {
        const cf_tokens *x = &ours->outputs[i];
        if (x->greedy || t == CF_BITWISE)
            compare_outputs(x, theirs, b, ours->prompts[x->prompt].n, watch, &c);
    }
    if (!rc && !c.rows && !c.steps && !c.logprobs)
        rc = vb_fail(err, VB_ERR_ARGUMENT,
                     "%s and %s have nothing in common: not one value of OURS was compared", ours->path,
                     theirs->path);
    if (rc) return rc;
    if (c.positions) c.mean_kl /= (double)c.positions;
    c.pass = !c.first.found;
    *out = c;
    return VB_OK;
}
