/* trace_values.c - the numbers, laws and coins in the lines of a trace, and the draws that they stand for. */
#include "prove/trace_parts.h"

#include "base/ids.h"

#include "ref/mathf.h"
#include "sampling/philox.h"

#include <math.h>
#include <stdlib.h>

bool vb_tc_integer(checker *c, const json_t *line, const char *name, json_int_t lo, json_int_t hi,
                   json_int_t *out) {
    const json_t *v = json_object_get(line, name);
    if (!json_is_integer(v) || json_integer_value(v) < lo || json_integer_value(v) > hi)
        FAIL("\"%s\" is missing or out of range", name);
    *out = json_integer_value(v);
    return true;
}

/* A decimal string below 2^127. */
bool vb_tc_number(checker *c, const json_t *v, wide *out) {
    const char *s = json_string_value(v);
    wide x = 0;
    if (!s || !*s || strlen(s) > 39) FAIL("a number is missing");
    for (; *s; s++) {
        if (*s < '0' || *s > '9' || x > (((wide)1 << 127) - 10) / 10) FAIL("a number is malformed");
        x = 10 * x + (wide)(unsigned)(*s - '0');
    }
    *out = x;
    return true;
}

bool vb_tc_id(checker *c, const json_t *v, int32_t *out) {
    if (!json_is_integer(v) || json_integer_value(v) < 0 || json_integer_value(v) >= c->n_vocab)
        FAIL("an id is missing or outside the vocabulary");
    *out = (int32_t)json_integer_value(v);
    return true;
}

/* float64: the bits count, the decimals must be theirs. */
bool vb_tc_real(checker *c, const json_t *o, const char *name, double *out) {
    char key[40], text[40];
    snprintf(key, sizeof key, "%s_bits", name);
    const char *bits = json_string_value(json_object_get(o, key));
    const char *shown = json_string_value(json_object_get(o, name));
    if (!bits || strlen(bits) != 16 || strspn(bits, "0123456789abcdef") != 16)
        FAIL("\"%s\" is not 16 hex digits", key);
    const uint64_t u = strtoull(bits, NULL, 16);
    memcpy(out, &u, sizeof u);
    if (!isfinite(*out)) FAIL("\"%s\" is not finite", key);
    snprintf(text, sizeof text, "%.9g", *out);
    if (shown && strcmp(shown, text)) FAIL("\"%s\" is not what its bits say", name);
    return true;
}

bool vb_tc_ratio(checker *c, const json_t *v, wide out[2]) {
    if (!vb_tc_number(c, json_array_get(v, 0), &out[0]) || !vb_tc_number(c, json_array_get(v, 1), &out[1]))
        return false;
    if (out[0] > c->largest || out[1] > LARGEST << 20 || out[1] == 0 || out[0] > out[1])
        FAIL("a probability is out of range");
    return true;
}

bool vb_tc_law(checker *c, const json_t *v, law *l) {
    const json_t *id = json_object_get(v, "id"), *w = json_object_get(v, "w");
    const size_t n = json_array_size(id);
    if (n < 1 || n > LAW_IDS || json_array_size(w) != n) FAIL("a law of %zu ids", n);
    if ((int)n > l->room) {
        free(l->id);
        free(l->w);
        l->id = malloc(n * sizeof *l->id);
        l->w = malloc(n * sizeof *l->w);
        l->room = l->id && l->w ? (int)n : 0;
        if (!l->room) FAIL("out of memory");
    }
    l->n = (int)n;
    l->total = 0;
    for (int i = 0; i < l->n; i++) {
        if (!vb_tc_id(c, json_array_get(id, (size_t)i), &l->id[i]) ||
            !vb_tc_number(c, json_array_get(w, (size_t)i), &l->w[i]))
            return false;
        if (l->w[i] == 0 || l->w[i] > c->largest || (i && l->id[i] <= l->id[i - 1]))
            FAIL("a law is out of order or range");
        l->total += l->w[i];
    }
    return true;
}

wide vb_tc_weight(const law *l, int32_t id) {
    const int32_t at = vb_id_place(l->id, l->n, id);
    return at >= 0 ? l->w[at] : 0;
}

/* Is this the coin of (position, offset, purpose), and what is its value? bound 0: any. */
bool vb_tc_coin(checker *c, const json_t *v, int offset, int purpose, wide bound, wide *r) {
    const json_t *counter = json_object_get(v, "counter");
    uint32_t at[4], w[4];
    wide said, value;
    if (!v) FAIL("a coin of purpose %d is missing", purpose);
    for (size_t i = 0; i < 4; i++) {
        const json_int_t x = json_integer_value(json_array_get(counter, i));
        if (!json_is_integer(json_array_get(counter, i)) || x < 0 || x > UINT32_MAX)
            FAIL("a coin's counter is malformed");
        at[i] = (uint32_t)x;
    }
    if (at[0] != c->s.position || at[1] != (uint32_t)offset || at[2] != (uint32_t)purpose)
        FAIL("a coin of (%u, %u, %u), not of (%d, %d, %d)", at[0], at[1], at[2], (int)c->s.position, offset,
             purpose);
    if (!vb_tc_number(c, json_object_get(v, "bound"), &said) ||
        !vb_tc_number(c, json_object_get(v, "value"), &value))
        return false;
    if (said == 0 || (bound && said != bound)) FAIL("a coin has another bound");
    bound = said;
    wide mask = 0;
    while (mask < bound - 1) mask = mask << 1 | 1;
    *r = 0;
    for (uint32_t index = 0; bound > 1; index++) { /* the first word below the bound is the one used */
        const uint32_t counter_now[4] = {at[0], at[1], at[2], index};
        vb_philox(counter_now, c->seed, w);
        *r = ((wide)w[3] << 96 | (wide)w[2] << 64 | (wide)w[1] << 32 | w[0]) & mask;
        if (*r >= bound) continue;
        if (index != at[3]) FAIL("a coin has index %u, not %u", at[3], index);
        break;
    }
    if (value != *r) FAIL("a coin has another value than seed and counter give");
    c->r->coins++;
    return true;
}

int32_t vb_tc_pick(const int32_t *id, const wide *w, int n, wide r) {
    for (int i = 0; i < n; i++) {
        if (r < w[i]) return id[i];
        r -= w[i];
    }
    return -1;
}

static bool is_among(const int32_t *ids, int n, int32_t id) {
    for (int i = 0; i < n; i++)
        if (ids[i] == id) return true;
    return false;
}

int32_t vb_tc_race(checker *c, const law *l, json_int_t position, const int32_t *without, int n) {
    double best = 0;
    int32_t winner = -1;
    for (int i = 0; i < l->n; i++) {
        const uint32_t counter[4] = {(uint32_t)position, (uint32_t)l->id[i], 0, 0};
        uint32_t w[4];
        if (is_among(without, n, l->id[i])) continue;
        vb_philox(counter, c->seed, w);
        double v = ((double)((uint64_t)w[1] << 32 | w[0]) + 0.5) / 18446744073709551616.0;
        if (v > 0x1.fffffffffffffp-1) v = 0x1.fffffffffffffp-1;
        double e = -vb_log1p(-v);
        if (e < v) e = v;
        if (winner < 0 || e / (double)l->w[i] < best) best = e / (double)l->w[i], winner = l->id[i];
    }
    c->r->races++;
    return winner;
}
