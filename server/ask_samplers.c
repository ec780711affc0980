/* ask_samplers.c - an order of sampling steps, which some clients send with every request.
 *
 * Here the order is fixed: penalties, DRY, temperature, top_n_sigma, top_k, typical_p, top_p, min_p,
 * XTC. Another order is the same law where it only moves steps that are off, or exchanges two that
 * commute: top_k keeps the same tokens before and after the temperature, which is monotone, and top_k
 * and min_p each cut the sorted list at a place that does not depend on the other. At temperature 0 the
 * most likely token survives every cut, so only the penalties' place counts. A step that is on and not
 * named would be left out elsewhere. All else is another law, and refused. */
#include "server/ask_fields.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { PENALTIES, DRY, TEMPERATURE, SIGMA, TOP_K, TYPICAL, TOP_P, MIN_P, XTC, N_STEPS, OFF };

static const struct {
    const char *name;
    char letter; /* llama.cpp's short form; 0: none */
    int step;    /* OFF: not there, and refused where its own field asks for it */
} STEPS[] = {
    {"penalties", 'e', PENALTIES},
    {"repetition_penalty", 0, PENALTIES},
    {"presence_penalty", 0, PENALTIES},
    {"frequency_penalty", 0, PENALTIES},
    {"temperature", 't', TEMPERATURE},
    {"temp", 0, TEMPERATURE},
    {"top_k", 'k', TOP_K},
    {"top_p", 'p', TOP_P},
    {"min_p", 'm', MIN_P},
    {"dry", 'd', DRY},
    {"top_n_sigma", 's', SIGMA},
    {"typ_p", 'y', TYPICAL},
    {"typical_p", 0, TYPICAL},
    {"typical", 0, TYPICAL},
    {"xtc", 'x', XTC},
    {"dynamic_temperature", 0, OFF},
    {"quadratic_sampling", 0, OFF},
    {"epsilon_cutoff", 0, OFF},
    {"eta_cutoff", 0, OFF},
    {"tfs", 0, OFF},
    {"tfs_z", 0, OFF},
    {"top_a", 0, OFF},
    {"mirostat", 0, OFF},
    {"adaptive_p", 0, OFF},
    {"encoder_repetition_penalty", 0, OFF},
    {"no_repeat_ngram", 0, OFF},
};

enum { N_ROWS = sizeof STEPS / sizeof STEPS[0] };

/* The row of a name, or of a letter if there is no name; -1: not known. */
static int find_row(const char *name, char letter) {
    for (int i = 0; i < N_ROWS; i++)
        if (name ? !strcmp(STEPS[i].name, name) : STEPS[i].letter == letter) return i;
    return -1;
}

static bool is_on(const vb_sampling *s, int step) {
    switch (step) {
    case PENALTIES:
        return s->penalty_last_n != 0 &&
               (s->repeat_penalty < 1 || s->repeat_penalty > 1 || s->presence_penalty < 0 ||
                s->presence_penalty > 0 || s->frequency_penalty < 0 || s->frequency_penalty > 0);
    case DRY: return s->dry_multiplier > 0 && s->dry_last_n != 0;
    case TEMPERATURE: return s->temperature < 1 || s->temperature > 1 || s->dynatemp_range > 0;
    case SIGMA: return s->temperature > 0 && s->top_n_sigma > 0;
    case TYPICAL: return s->typical_p > 0 && s->typical_p < 1;
    case XTC: return s->xtc_probability > 0;
    case TOP_K: return s->temperature > 0 && s->top_k > 0;
    case TOP_P: return s->temperature > 0 && s->top_p < 1;
    default: return s->temperature > 0 && s->min_p > 0;
    }
}

static bool before_or_after(const vb_sampling *s, int a, int b) {
    if (b == TEMPERATURE) return (a == TOP_K || a == SIGMA) && !(s->dynatemp_range > 0);
    return a == TOP_K && b == MIN_P;
}

static bool commute(const vb_sampling *s, int a, int b) {
    return before_or_after(s, a, b) || before_or_after(s, b, a);
}

int vbs_check_samplers(const char *key, const json_t *v, const vb_sampling *s, vbs_problem *p) {
    const bool letters = json_is_string(v);
    const size_t n = letters ? json_string_length(v) : json_array_size(v);
    int order[N_ROWS], n_order = 0;
    bool named[N_ROWS] = {false}, seen[N_STEPS] = {false}, same = letters || json_is_array(v);
    if (n == 0 && same) return 0; /* said nothing, as everywhere */
    for (size_t i = 0; i < n && same; i++) {
        const char *name = letters ? NULL : json_string_value(json_array_get(v, i));
        const int row = letters || name ? find_row(name, letters ? json_string_value(v)[i] : 0) : -1;
        const int step = row < 0 ? OFF : STEPS[row].step;
        same = row >= 0;
        if (!same || step == OFF || !is_on(s, step)) continue;
        /* Twice is another law; the penalties may be named one by one. */
        same = !named[row] && (!seen[step] || step == PENALTIES);
        for (int k = 0; k < n_order; k++) same = same && (order[k] <= step || commute(s, order[k], step));
        named[row] = seen[step] = true;
        if (n_order < N_ROWS) order[n_order++] = step;
    }
    for (int step = 0; step < N_STEPS; step++) same = same && (seen[step] || !is_on(s, step));
    if (same) return 0;
    return VBS_BAD(
        p, key,
        "%.60s: with these settings that is another law than this server's order: penalties, "
        "dry, temperature, top_n_sigma, top_k, typical_p, top_p, min_p, xtc; leave it out to get this order",
        key);
}

/* ---------------------------------------------------------------------- fields */

/* The strings of dry_sequence_breakers: a list, or JSON of one in a string, as some clients send it. */
static int read_breakers(vbs_ask *a, const vbs_terms *t, vbs_problem *p) {
    enum { MOST = 64 };
    const json_t *v = vbs_get(a->root, "dry_sequence_breakers");
    const char *texts[MOST];
    vb_error err = {0};
    json_t *list = json_is_string(v) ? json_loads(json_string_value(v), 0, NULL) : json_incref((json_t *)v);
    const size_t n = json_array_size(list);
    bool good = !v || (json_is_array(list) && n <= MOST);
    for (size_t i = 0; i < n && good; i++)
        good = (texts[i] = json_string_value(json_array_get(list, i))) != NULL;
    int rc = 0;
    if (!good)
        rc = VBS_BAD(p, "dry_sequence_breakers",
                     "dry_sequence_breakers: expected a list of at most %d strings", MOST);
    else if (t->tokenizer && (!v || n) &&
             vb_dry_breakers(t->tokenizer, v ? texts : NULL, n, &a->breakers, &a->sampling.n_dry_breakers,
                             &err))
        rc = VBS_BAD(p, "dry_sequence_breakers", "dry_sequence_breakers: %s", err.message);
    a->sampling.dry_breakers = a->breakers;
    json_decref(list);
    return rc;
}

int vbs_read_samplers(vbs_ask *a, const vbs_terms *t, vbs_problem *p) {
    const json_t *r = a->root;
    vb_sampling *s = &a->sampling;
    vb_error err = {0};
    int64_t allowed = s->dry_allowed_length, last = s->dry_last_n;
    if (vbs_get_real(r, "typical_p", 0, INFINITY, &s->typical_p, NULL, p) ||
        vbs_get_real(r, "top_n_sigma", -INFINITY, 1000, &s->top_n_sigma, NULL, p) ||
        vbs_get_real(r, "xtc_probability", -INFINITY, 1, &s->xtc_probability, NULL, p) ||
        vbs_get_real(r, "xtc_threshold", 0, 1, &s->xtc_threshold, NULL, p) ||
        vbs_get_real(r, "dynatemp_range", -INFINITY, 1e6, &s->dynatemp_range, NULL, p) ||
        vbs_get_real(r, "dynatemp_exponent", 0, 100, &s->dynatemp_exponent, NULL, p) ||
        vbs_get_real(r, "dry_multiplier", 0, 1e6, &s->dry_multiplier, NULL, p) ||
        vbs_get_real(r, "dry_base", 0, 1e3, &s->dry_base, NULL, p) ||
        vbs_get_int(r, "dry_allowed_length", 0, INT32_MAX, &allowed, NULL, p) ||
        vbs_get_int(r, "dry_penalty_last_n", -1, INT32_MAX, &last, NULL, p))
        return -1;
    /* Values that mean "off" elsewhere. */
    if (s->typical_p > 1) s->typical_p = 1;
    if (s->top_n_sigma < 0) s->top_n_sigma = 0;
    if (s->xtc_probability < 0) s->xtc_probability = 0;
    if (s->dynatemp_range < 0) s->dynatemp_range = 0;
    s->dry_allowed_length = (int)allowed;
    s->dry_last_n = (int)last;
    if (!vb_sampling_check(s, t->n_vocab, &err)) return s->dry_multiplier > 0 ? read_breakers(a, t, p) : 0;
    char name[32];
    snprintf(name, sizeof name, "%.*s", (int)strcspn(err.message, " "), err.message);
    return VBS_BAD(p, name, "%s", err.message);
}
