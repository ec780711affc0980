/* ask_samplers.c - an order of sampling steps, which some clients send with every request.
 *
 * Here the order is fixed: penalties, temperature, top_k, top_p, min_p. Another order is the same law where
 * it only moves steps that are off, or exchanges two that commute: top_k keeps the same tokens before and
 * after the temperature, which is monotone, and top_k and min_p each cut the sorted list at a place that does
 * not depend on the other. At temperature 0 the most likely token survives every cut, so only the penalties'
 * place counts. A step that is on and not named would be left out elsewhere. All else is another law, and
 * refused. */
#include "server/ask_fields.h"

#include <string.h>

enum { PENALTIES, TEMPERATURE, TOP_K, TOP_P, MIN_P, N_STEPS, OFF };

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
    {"dry", 'd', OFF},
    {"top_n_sigma", 's', OFF},
    {"typ_p", 'y', OFF},
    {"typical_p", 0, OFF},
    {"typical", 0, OFF},
    {"xtc", 'x', OFF},
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
    case TEMPERATURE: return s->temperature < 1 || s->temperature > 1;
    case TOP_K: return s->temperature > 0 && s->top_k > 0;
    case TOP_P: return s->temperature > 0 && s->top_p < 1;
    default: return s->temperature > 0 && s->min_p > 0;
    }
}

static bool commute(int a, int b) {
    return (a == TOP_K && (b == TEMPERATURE || b == MIN_P)) ||
           (b == TOP_K && (a == TEMPERATURE || a == MIN_P));
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
        for (int k = 0; k < n_order; k++) same = same && (order[k] <= step || commute(order[k], step));
        named[row] = seen[step] = true;
        if (n_order < N_ROWS) order[n_order++] = step;
    }
    for (int step = 0; step < N_STEPS; step++) same = same && (seen[step] || !is_on(s, step));
    if (same) return 0;
    return VBS_BAD(p, key,
                   "%.60s: with these settings that is another law than this server's order: penalties, "
                   "temperature, top_k, "
                   "top_p, min_p; leave it out to get this order",
                   key);
}
