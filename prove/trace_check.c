#define XXH_STATIC_LINKING_ONLY /* XXH3_state_t on the stack */
#include "trace_check.h"

#include "base/json.h"
#include "mathf.h"
#include "philox.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

__extension__ typedef unsigned __int128 wide;

#define MAX_DRAFTS 32
#define LAW_IDS    (1 << 20)
#define LARGEST    ((wide)1 << 40) /* the largest weight of a law at a temperature above 0 */

/* A law as read: grows, and is used again for the next step. */
typedef struct law {
    bool there;
    int n, room;
    int32_t *id;
    wide *w, total;
} law;

typedef struct step {
    json_int_t position;
    int n, accepted, n_emitted;
    const json_t *drafted, *emitted, *final;
    int32_t id[MAX_DRAFTS];
    wide p[MAX_DRAFTS][2], q[MAX_DRAFTS][2]; /* weight and total of the drafted id */
    bool has_p[MAX_DRAFTS];
    bool ends; /* nothing follows the last draft */
} step;

typedef struct checker {
    vb_trace_report *r;
    char chain[33];
    uint64_t seed;
    char rule[16], draft[16];
    json_int_t n_vocab, gamma, top_k;
    double temperature;
    int32_t *stop;
    size_t n_stop;
    json_int_t position; /* of the next token */
    bool ended, headed;
    step s;
    law p[MAX_DRAFTS + 1], q[MAX_DRAFTS];
    wide *w; /* (w_room) weights of a residual */
    int w_room;
} checker;

#define FAIL(...)                                                                                            \
    do {                                                                                                     \
        snprintf(c->r->why, sizeof c->r->why, __VA_ARGS__);                                                  \
        return false;                                                                                        \
    } while (0)

/* ---------------------------------------------------------------------- values */

static bool integer(checker *c, const json_t *line, const char *name, json_int_t lo, json_int_t hi,
                    json_int_t *out) {
    const json_t *v = json_object_get(line, name);
    if (!json_is_integer(v) || json_integer_value(v) < lo || json_integer_value(v) > hi)
        FAIL("\"%s\" is missing or out of range", name);
    *out = json_integer_value(v);
    return true;
}

/* A decimal string below 2^127. */
static bool number(checker *c, const json_t *v, wide *out) {
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

static bool token_id(checker *c, const json_t *v, int32_t *out) {
    if (!json_is_integer(v) || json_integer_value(v) < 0 || json_integer_value(v) >= c->n_vocab)
        FAIL("an id is missing or outside the vocabulary");
    *out = (int32_t)json_integer_value(v);
    return true;
}

/* float64: the bits count, the decimals must be theirs. */
static bool real(checker *c, const json_t *o, const char *name, double *out) {
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

static bool ratio(checker *c, const json_t *v, wide out[2]) {
    if (!number(c, json_array_get(v, 0), &out[0]) || !number(c, json_array_get(v, 1), &out[1])) return false;
    if (out[0] > LARGEST || out[1] > LARGEST << 20 || out[1] == 0 || out[0] > out[1])
        FAIL("a probability is out of range");
    return true;
}

static bool read_law(checker *c, const json_t *v, law *l) {
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
        if (!token_id(c, json_array_get(id, (size_t)i), &l->id[i]) ||
            !number(c, json_array_get(w, (size_t)i), &l->w[i]))
            return false;
        if (l->w[i] == 0 || l->w[i] > LARGEST || (i && l->id[i] <= l->id[i - 1]))
            FAIL("a law is out of order or range");
        l->total += l->w[i];
    }
    return true;
}

static wide weight(const law *l, int32_t id) {
    int lo = 0, hi = l->n;
    while (lo < hi) {
        const int mid = lo + (hi - lo) / 2;
        if (l->id[mid] < id)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < l->n && l->id[lo] == id ? l->w[lo] : 0;
}

/* Is this the coin of (position, offset, purpose), and what is its value? bound 0: any. */
static bool read_coin(checker *c, const json_t *v, int offset, int purpose, wide bound, wide *r) {
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
    if (!number(c, json_object_get(v, "bound"), &said) || !number(c, json_object_get(v, "value"), &value))
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

static int32_t pick(const int32_t *id, const wide *w, int n, wide r) {
    for (int i = 0; i < n; i++) {
        if (r < w[i]) return id[i];
        r -= w[i];
    }
    return -1;
}

static int32_t race(checker *c, const law *l, json_int_t position) {
    double best = 0;
    int32_t winner = -1;
    for (int i = 0; i < l->n; i++) {
        const uint32_t counter[4] = {(uint32_t)position, (uint32_t)l->id[i], 0, 0};
        uint32_t w[4];
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

/* ---------------------------------------------------------------------- the rules */

static bool is(const char *a, const char *b) {
    return !strcmp(a, b);
}

static bool races(const checker *c) {
    return is(c->rule, "coupled") || is(c->rule, "greedy");
}

static bool check_drafts(checker *c) {
    const step *s = &c->s;
    for (int i = 0; i < s->n; i++) {
        const json_t *draw = json_object_get(json_array_get(s->drafted, (size_t)i), "draw");
        const law *p = &c->p[i], *q = &c->q[i];
        wide r;
        c->r->drafted++;
        if (s->has_p[i] && p->there && (s->p[i][0] != weight(p, s->id[i]) || s->p[i][1] != p->total))
            FAIL("draft %d: p is not what its law says", i);
        if (c->r->full && (s->q[i][0] != weight(q, s->id[i]) || s->q[i][1] != q->total))
            FAIL("draft %d: q is not what its law says", i);
        if (s->q[i][0] == 0) FAIL("draft %d has probability 0", i);
        if (is(c->draft, "ngram")) {
            if (s->q[i][0] != s->q[i][1]) FAIL("draft %d: an n-gram's law is not one-hot", i);
        } else if (races(c)) {
            if (c->r->full && race(c, q, s->position + i) != s->id[i])
                FAIL("draft %d does not win the race on q", i);
        } else {
            if (!read_coin(c, draw, i, 1, s->q[i][1], &r)) return false;
            if (c->r->full && pick(q->id, q->w, q->n, r) != s->id[i])
                FAIL("draft %d is not what its coin draws", i);
            c->r->draws += c->r->full;
        }
        if (draw && (is(c->draft, "ngram") || races(c))) FAIL("draft %d has a coin and needs none", i);
    }
    return true;
}

/* Probability threshold/bound; a coin only where that is open. */
static bool decide(checker *c, int i, wide threshold, wide bound, bool *yes) {
    const json_t *coin = json_object_get(json_array_get(c->s.drafted, (size_t)i), "coin");
    wide r;
    *yes = threshold >= bound;
    if (threshold >= bound || threshold == 0) {
        if (coin) FAIL("draft %d: a coin for what is certain", i);
        return true;
    }
    if (!read_coin(c, coin, i, 2, bound, &r)) return false;
    *yes = r < threshold;
    c->r->decisions++;
    return true;
}

/* The token after the accepted ones, from the weights w over p's ids (NULL: not known, the coin alone). */
static bool check_final(checker *c, int purpose, const law *p, const wide *w) {
    wide total = 0, r;
    int32_t id;
    for (int i = 0; w && i < p->n; i++) total += w[i];
    if (w && total == 0) FAIL("the last token comes from an empty residual");
    if (!read_coin(c, c->s.final, c->s.accepted, purpose, total, &r)) return false;
    if (!w) return true;
    if (!token_id(c, json_object_get(json_array_get(c->s.emitted, (size_t)c->s.accepted), "id"), &id))
        return false;
    if (id != pick(p->id, w, p->n, r)) FAIL("the last token is not what its coin draws");
    c->r->finals++;
    return true;
}

static bool check_coupled(checker *c) {
    const step *s = &c->s;
    if (s->final) FAIL("a coin for the last token of a race");
    for (int i = 0; i <= s->accepted; i++) {
        int32_t id;
        if (i == s->n && s->ends) break;
        if (!c->r->full) continue;
        if (!c->p[i].there) FAIL("the law of place %d is missing", i);
        if (!token_id(c, json_object_get(json_array_get(s->emitted, (size_t)i), "id"), &id)) return false;
        if (race(c, &c->p[i], s->position + i) != id) FAIL("token %d does not win the race", i);
        if (i < s->n && (id == s->id[i]) != (i < s->accepted)) FAIL("draft %d was judged otherwise", i);
    }
    return true;
}

static bool room(checker *c, int n) {
    if (n <= c->w_room) return true;
    free(c->w);
    c->w = malloc((size_t)n * sizeof *c->w);
    c->w_room = c->w ? n : 0;
    if (!c->w) FAIL("out of memory");
    return true;
}

/* accept iff r < w*V for r in [0, v*W); otherwise a draw from max(0, w*V - v*W) */
static bool check_rejection(checker *c) {
    const step *s = &c->s;
    const bool full = c->r->full;
    for (int i = 0; i < s->n; i++) {
        const law *p = &c->p[i], *q = &c->q[i];
        bool yes;
        if (!s->has_p[i] || (full && !p->there)) FAIL("draft %d was not looked at", i);
        if (!decide(c, i, s->p[i][0] * s->q[i][1], s->q[i][0] * s->p[i][1], &yes)) return false;
        if (yes != (i < s->accepted)) FAIL("draft %d was judged otherwise", i);
        if (yes) continue;
        if (!full) return check_final(c, 3, p, NULL);
        if (!room(c, p->n)) return false;
        for (int k = 0; k < p->n; k++) {
            const wide a = p->w[k] * q->total, b = weight(q, p->id[k]) * p->total;
            c->w[k] = a > b ? a - b : 0;
        }
        return check_final(c, 3, p, c->w);
    }
    if (s->ends) return true;
    if (full && !c->p[s->n].there) FAIL("the law of the bonus token is missing");
    return check_final(c, 4, &c->p[s->n], full ? c->p[s->n].w : NULL);
}

static const wide ONE = (wide)1 << 32, GRID = (wide)1 << 34;

/* P' = min(1, floor(P*p/q)) in units of 1/ONE */
static wide next_p(wide P, wide w, wide W, wide v) {
    if (v == 0) return ONE;
    const wide x = P * w * GRID / (v * W);
    return x < ONE ? x : ONE;
}

/* R(y) = P*w*V - v*W*P' */
static bool residual(checker *c, int place, wide P, wide *sum) {
    const law *p = &c->p[place], *q = &c->q[place];
    if (!p->there) FAIL("the law of place %d is missing", place);
    if (!room(c, p->n)) return false;
    *sum = 0;
    for (int k = 0; k < p->n; k++) {
        const wide v = weight(q, p->id[k]);
        c->w[k] = P * p->w[k] * GRID - v * p->total * next_p(P, p->w[k], p->total, v);
        *sum += c->w[k];
    }
    return true;
}

static bool check_block(checker *c) {
    const step *s = &c->s;
    wide P = ONE, P_tau = ONE, r, sum;
    int tau = 0;
    for (int i = 0; i < s->n && P; i++) {
        bool yes;
        if (!s->has_p[i]) FAIL("draft %d was not looked at", i);
        if (s->q[i][1] != GRID) FAIL("draft %d: q is not on the grid of block", i);
        P = next_p(P, s->p[i][0], s->p[i][1], s->q[i][0]);
        if (i + 1 == s->n) {
            if (!decide(c, i, P, ONE, &yes)) return false;
        } else if (c->r->full) {
            if (!residual(c, i + 1, P, &sum)) return false;
            if (!decide(c, i, sum, sum + (ONE - P) * c->p[i + 1].total * GRID, &yes)) return false;
        } else {
            const json_t *coin = json_object_get(json_array_get(s->drafted, (size_t)i), "coin");
            if (coin && !read_coin(c, coin, i, 2, 0, &r)) return false;
            yes = i < s->accepted; /* the threshold needs the whole laws: taken as it is */
        }
        if (yes) tau = i + 1, P_tau = P;
    }
    if (tau != s->accepted) FAIL("%d drafts are kept, not %d", tau, s->accepted);
    if (tau == s->n && s->ends) return true;
    if (!c->r->full) return check_final(c, tau == s->n ? 4 : 3, NULL, NULL);
    if (tau == s->n) {
        if (!c->p[tau].there) FAIL("the law of the bonus token is missing");
        return check_final(c, 4, &c->p[tau], c->p[tau].w);
    }
    return residual(c, tau, P_tau, &sum) && check_final(c, 3, &c->p[tau], c->w);
}

/* ---------------------------------------------------------------------- a step */

static bool is_stop(const checker *c, int32_t id) {
    for (size_t i = 0; i < c->n_stop; i++)
        if (c->stop[i] == id) return true;
    return false;
}

/* The target's law: its largest weight and length are what sampling makes them. */
static bool check_p(checker *c, const law *l) {
    wide largest = 0;
    for (int i = 0; i < l->n; i++)
        if (l->w[i] > largest) largest = l->w[i];
    if (c->temperature > 0 ? largest != LARGEST : l->n != 1 || largest != 1)
        FAIL("a law of the target does not have the weights of its temperature");
    if (c->top_k > 0 && l->n > c->top_k) FAIL("a law of the target has more than top_k ids");
    return true;
}

static bool read_laws(checker *c, const json_t *line) {
    const json_t *p = json_object_get(line, "p"), *q = json_object_get(line, "q");
    for (int i = 0; i <= c->s.n; i++) {
        const json_t *v = json_array_get(p, (size_t)i);
        c->p[i].there = json_is_object(v);
        if (c->p[i].there && (!read_law(c, v, &c->p[i]) || !check_p(c, &c->p[i]))) return false;
        if (i < c->s.n && !read_law(c, json_array_get(q, (size_t)i), &c->q[i])) return false;
    }
    return true;
}

static bool read_drafts(checker *c) {
    step *s = &c->s;
    for (int i = 0; i < s->n; i++) {
        const json_t *d = json_array_get(s->drafted, (size_t)i), *p = json_object_get(d, "p");
        if (!token_id(c, json_object_get(d, "id"), &s->id[i]) || !ratio(c, json_object_get(d, "q"), s->q[i]))
            return false;
        s->has_p[i] = json_is_array(p);
        if (s->has_p[i] && !ratio(c, p, s->p[i])) return false;
        if (json_is_true(json_object_get(d, "accepted")) != (i < s->accepted))
            FAIL("draft %d: its flag and the number of accepted ones disagree", i);
        if (json_is_true(json_object_get(d, "tested")) != (i <= s->accepted))
            FAIL("draft %d: tested or not does not fit the number of accepted ones", i);
    }
    return true;
}

static bool check_emitted(checker *c) {
    const step *s = &c->s;
    for (int i = 0; i < s->n_emitted; i++) {
        const json_t *e = json_array_get(s->emitted, (size_t)i);
        const char *from = json_string_value(json_object_get(e, "from"));
        const char *due = i < s->accepted ? "draft" : s->n == 0 ? "target" : i == s->n ? "bonus" : "residual";
        int32_t id;
        double logprob;
        if (!token_id(c, json_object_get(e, "id"), &id)) return false;
        if (!from || !is(from, due)) FAIL("token %d is said to come from elsewhere than \"%s\"", i, due);
        if (i < s->accepted && id != s->id[i]) FAIL("an accepted draft is not what was emitted");
        if (json_is_true(json_object_get(e, "stop")) != is_stop(c, id))
            FAIL("token %d: stop is not what the header's ids say", i);
        if (is_stop(c, id) && i + 1 < s->n_emitted) FAIL("a token after a stop token");
        if (!real(c, e, "logprob", &logprob)) return false;
        if (logprob > 0) FAIL("token %d: a log-probability above 0", i);
    }
    return true;
}

static bool check_step(checker *c, const json_t *line) {
    step *s = &c->s;
    json_int_t number_of, accepted;
    memset(s, 0, sizeof *s);
    if (!integer(c, line, "position", 1, INT32_MAX, &s->position) ||
        !integer(c, line, "step", 0, INT32_MAX, &number_of) ||
        !integer(c, line, "accepted", 0, MAX_DRAFTS, &accepted))
        return false;
    s->drafted = json_object_get(line, "drafted");
    s->emitted = json_object_get(line, "emitted");
    s->final = json_object_get(line, "final");
    s->accepted = (int)accepted;
    if (s->position != c->position) FAIL("position %d follows %d", (int)s->position, (int)c->position);
    if (number_of != c->r->steps) FAIL("step %d where step %d is due", (int)number_of, c->r->steps);
    if (json_array_size(s->drafted) > (size_t)c->gamma || json_array_size(s->drafted) < (size_t)accepted)
        FAIL("%d accepted of %zu drafted", s->accepted, json_array_size(s->drafted));
    s->n = (int)json_array_size(s->drafted);
    const size_t n_emitted = json_array_size(s->emitted);
    s->ends = s->accepted > 0 && n_emitted == (size_t)s->accepted;
    if (!s->ends && n_emitted != (size_t)s->accepted + 1)
        FAIL("%zu emitted after %d accepted", n_emitted, s->accepted);
    s->n_emitted = (int)n_emitted;
    if (!read_drafts(c) || !check_emitted(c)) return false;
    if (c->r->full && !read_laws(c, line)) return false;
    if (s->ends && !is_stop(c, s->id[s->accepted - 1])) FAIL("the last token is missing");
    if (!check_drafts(c)) return false;
    c->position += s->n_emitted;
    c->r->steps++;
    c->r->tokens += s->n_emitted;
    c->r->accepted += s->accepted;
    return is(c->rule, "rejection") ? check_rejection(c)
           : is(c->rule, "block")   ? check_block(c)
                                    : check_coupled(c);
}

/* ---------------------------------------------------------------------- lines */

static bool one_of(const char *word, const char *const *list) {
    for (; word && *list; list++)
        if (is(word, *list)) return true;
    return false;
}

static bool check_header(checker *c, const json_t *line) {
    static const char *const rules[] = {"coupled", "greedy", "rejection", "block", NULL};
    static const char *const drafts[] = {"none", "model", "ngram", NULL};
    const char *trace = json_string_value(json_object_get(line, "trace"));
    const char *rule = json_string_value(json_object_get(line, "accept"));
    const char *draft = json_string_value(json_object_get(line, "draft"));
    const json_t *sampling = json_object_get(line, "sampling"), *stop = json_object_get(line, "stop");
    wide seed;
    if (!trace || !is(trace, "verbatim") || json_integer_value(json_object_get(line, "version")) != 1)
        FAIL("not a trace of version 1");
    if (!one_of(rule, rules)) FAIL("\"accept\" is none of coupled, greedy, rejection, block");
    if (!one_of(draft, drafts)) FAIL("\"draft\" is none of none, model, ngram");
    if (!integer(c, line, "n_vocab", 1, LAW_IDS, &c->n_vocab) ||
        !integer(c, line, "gamma", 0, MAX_DRAFTS, &c->gamma) ||
        !integer(c, sampling, "top_k", 0, INT32_MAX, &c->top_k) ||
        !real(c, sampling, "temperature", &c->temperature) ||
        !number(c, json_object_get(line, "seed"), &seed))
        return false;
    if (seed >> 64) FAIL("a seed of more than 64 bits");
    if (!json_is_boolean(json_object_get(line, "full"))) FAIL("\"full\" is missing");
    c->n_stop = json_array_size(stop);
    if (c->n_stop && !(c->stop = malloc(c->n_stop * sizeof *c->stop))) FAIL("out of memory");
    for (size_t i = 0; i < c->n_stop; i++)
        if (!token_id(c, json_array_get(stop, i), &c->stop[i])) return false;
    c->r->full = json_is_true(json_object_get(line, "full"));
    c->seed = (uint64_t)seed;
    snprintf(c->draft, sizeof c->draft, "%s", draft);
    snprintf(c->rule, sizeof c->rule, "%s", is(draft, "none") ? "coupled" : rule);
    c->headed = true;
    return true;
}

static bool check_prompt(checker *c, const json_t *line) {
    const json_t *tokens = json_object_get(line, "tokens");
    const size_t n = json_array_size(tokens);
    int32_t id;
    if (json_integer_value(json_object_get(line, "prompt")) != c->position) FAIL("text at another position");
    if (n < 1 || n > INT32_MAX - (size_t)c->position) FAIL("%zu tokens of text", n);
    for (size_t i = 0; i < n; i++)
        if (!token_id(c, json_array_get(tokens, i), &id)) return false;
    c->position += (json_int_t)n;
    c->r->prompts++;
    return true;
}

static bool check_line(checker *c, const json_t *line) {
    json_int_t end, steps;
    if (c->ended) FAIL("a line after the end");
    if (!json_is_object(line)) FAIL("not a JSON object");
    if (!c->headed) return check_header(c, line);
    if (json_object_get(line, "step")) return check_step(c, line);
    if (json_object_get(line, "prompt")) return check_prompt(c, line);
    if (!integer(c, line, "end", 0, INT32_MAX, &end) || !integer(c, line, "steps", 0, INT32_MAX, &steps))
        return false;
    if (end != c->position || steps != c->r->steps) FAIL("the end does not fit");
    c->ended = true;
    return true;
}

/* ---------------------------------------------------------------------- the chain */

static const char chain_key[] = ",\"chain\":\"";
#define TAIL (sizeof chain_key - 1 + 32 + 2) /* ,"chain":"32 digits"} */

/* XXH3-128 of the digits before and this line's text up to the comma. */
static void link_of(const char *chain, const char *body, size_t len, char digits[33]) {
    XXH3_state_t state;
    XXH128_canonical_t hash;
    XXH3_128bits_reset(&state);
    XXH3_128bits_update(&state, chain, 32);
    XXH3_128bits_update(&state, body, len);
    XXH128_canonicalFromHash(&hash, XXH3_128bits_digest(&state));
    for (int i = 0; i < 16; i++) snprintf(digits + 2 * i, 3, "%02x", hash.digest[i]);
}

static bool has_chain(const char *line, size_t len) {
    return len > TAIL && !memcmp(line + len - TAIL, chain_key, sizeof chain_key - 1) &&
           !memcmp(line + len - 2, "\"}", 2);
}

static bool check_chain(checker *c, const char *line, size_t len) {
    char digits[33];
    if (!has_chain(line, len)) FAIL("the line has no chain");
    link_of(c->chain, line, len - TAIL, digits);
    if (memcmp(digits, line + len - 34, 32))
        FAIL("the chain breaks: this line or the order of lines was changed");
    memcpy(c->chain, digits, 33);
    return true;
}

void vb_trace_rechain(char *text, size_t len) {
    char chain[33] = "00000000000000000000000000000000";
    for (size_t at = 0; at < len;) {
        const char *newline = memchr(text + at, '\n', len - at);
        const size_t n = newline ? (size_t)(newline - (text + at)) : len - at;
        char digits[33];
        if (!has_chain(text + at, n)) return;
        link_of(chain, text + at, n - TAIL, digits);
        memcpy(text + at + n - 34, digits, 32);
        memcpy(chain, digits, 33);
        at += n + 1;
    }
}

static bool check_text(checker *c, const char *text, size_t len) {
    for (size_t at = 0; at < len;) {
        const char *line = text + at, *newline = memchr(line, '\n', len - at);
        c->r->line = c->r->lines + 1;
        if (!newline) FAIL("the line is cut off");
        const size_t n = (size_t)(newline - line);
        if (!check_chain(c, line, n)) return false;
        json_t *v = vb_json_read(line, n, JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES, NULL);
        const bool ok = v && check_line(c, v);
        if (!v) snprintf(c->r->why, sizeof c->r->why, vb_json_failed() ? "out of memory" : "not JSON");
        json_decref(v);
        if (!ok) return false;
        c->r->lines++;
        at += n + 1;
    }
    if (!c->ended) FAIL("the trace ends early: its last line is missing");
    return true;
}

bool vb_trace_check(const char *text, size_t len, vb_trace_report *r) {
    memset(r, 0, sizeof *r);
    checker *c = calloc(1, sizeof *c);
    if (!c) {
        snprintf(r->why, sizeof r->why, "out of memory");
        return false;
    }
    c->r = r;
    memset(c->chain, '0', 32);
    r->ok = check_text(c, text, len);
    for (int i = 0; i <= MAX_DRAFTS; i++) free(c->p[i].id), free(c->p[i].w);
    for (int i = 0; i < MAX_DRAFTS; i++) free(c->q[i].id), free(c->q[i].w);
    free(c->w);
    free(c->stop);
    free(c);
    return r->ok;
}
