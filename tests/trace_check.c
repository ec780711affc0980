#include "trace_check.h"

#include "mathf.h"
#include "philox.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

__extension__ typedef unsigned __int128 wide;

typedef struct checker {
    char chain[33];
    char *why;
    trace_counts *n;
    uint64_t seed;
    char rule[16], draft[16];
    json_int_t position; /* of the next token */
    bool ended, headed;
} checker;

#define FAIL(...)                                                                                            \
    do {                                                                                                     \
        snprintf(c->why, 256, __VA_ARGS__);                                                                  \
        return false;                                                                                        \
    } while (0)

/* ------------------------------------------------------------------------------------------------ values */

static wide number(const json_t *v) { /* a decimal string */
    wide x = 0;
    for (const char *s = json_string_value(v); s && *s; s++) x = 10 * x + (wide)(unsigned)(*s - '0');
    return x;
}

typedef struct law {
    int n;
    json_int_t id[1024];
    wide w[1024], total;
} law;

static bool read_law(checker *c, const json_t *v, law *l) {
    const json_t *id = json_object_get(v, "id"), *w = json_object_get(v, "w");
    l->n = (int)json_array_size(id);
    l->total = 0;
    if (l->n < 1 || l->n > 1024 || json_array_size(w) != (size_t)l->n) FAIL("a law of %d ids", l->n);
    for (int i = 0; i < l->n; i++) {
        l->id[i] = json_integer_value(json_array_get(id, (size_t)i));
        l->w[i] = number(json_array_get(w, (size_t)i));
        l->total += l->w[i];
        if (l->w[i] == 0 || (i && l->id[i] <= l->id[i - 1])) FAIL("a law that is not in order");
    }
    return true;
}

static wide weight(const law *l, json_int_t id) {
    for (int i = 0; i < l->n; i++)
        if (l->id[i] == id) return l->w[i];
    return 0;
}

/* Is this the coin of (position, offset, purpose) with this bound, and what is its value? */
static bool read_coin(checker *c, const json_t *v, json_int_t position, int offset, int purpose, wide bound,
                      wide *r) {
    const json_t *counter = json_object_get(v, "counter");
    uint32_t at[4], w[4];
    for (size_t i = 0; i < 4; i++) at[i] = (uint32_t)json_integer_value(json_array_get(counter, i));
    if (at[0] != position || at[1] != (uint32_t)offset || at[2] != (uint32_t)purpose)
        FAIL("position %d: a coin of (%u, %u, %u), not of (%d, %d, %d)", (int)position, at[0], at[1], at[2],
             (int)position, offset, purpose);
    if (number(json_object_get(v, "bound")) != bound)
        FAIL("position %d: a coin with another bound", (int)position);
    wide mask = 0;
    while (mask < bound - 1) mask = mask << 1 | 1;
    for (uint32_t index = 0; bound > 1;
         index++) { /* the first word below the bound is the one that was used */
        const uint32_t counter_now[4] = {at[0], at[1], at[2], index};
        vb_philox(counter_now, c->seed, w);
        *r = ((wide)w[3] << 96 | (wide)w[2] << 64 | (wide)w[1] << 32 | w[0]) & mask;
        if (*r < bound) {
            if (index != at[3]) FAIL("position %d: index %u, not %u", (int)position, at[3], index);
            break;
        }
    }
    if (bound == 1) *r = 0;
    if (number(json_object_get(v, "value")) != *r)
        FAIL("position %d: a coin with another value", (int)position);
    return true;
}

static json_int_t pick(const json_int_t *id, const wide *w, int n, wide r) {
    for (int i = 0; i < n; i++) {
        if (r < w[i]) return id[i];
        r -= w[i];
    }
    return -1;
}

static json_int_t race(checker *c, const law *l, json_int_t position) {
    double best = 0;
    json_int_t winner = -1;
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
    c->n->races++;
    return winner;
}

/* ------------------------------------------------------------------------------------------------ a step */

typedef struct step {
    json_int_t position;
    int n, accepted;
    const json_t *drafted, *emitted, *final;
    json_int_t id[33];
    law p[33], q[33];
    bool has_p[33];
    bool ends; /* nothing follows the last draft */
} step;

static bool check_drafts(checker *c, const step *s) {
    for (int i = 0; i < s->n; i++) {
        const json_t *d = json_array_get(s->drafted, (size_t)i), *q = json_object_get(d, "q");
        if (number(json_array_get(q, 0)) != weight(&s->q[i], s->id[i]) ||
            number(json_array_get(q, 1)) != s->q[i].total)
            FAIL("position %d: q of draft %d", (int)s->position, i);
        const json_t *p = json_object_get(d, "p");
        if (s->has_p[i] && (number(json_array_get(p, 0)) != weight(&s->p[i], s->id[i]) ||
                            number(json_array_get(p, 1)) != s->p[i].total))
            FAIL("position %d: p of draft %d", (int)s->position, i);
        c->n->drafted++;
        if (!strcmp(c->draft, "ngram")) {
            if (s->q[i].n != 1) FAIL("an n-gram's law is not one-hot");
        } else if (!strcmp(c->rule, "coupled") || !strcmp(c->rule, "greedy")) {
            if (race(c, &s->q[i], s->position + i) != s->id[i])
                FAIL("position %d: the drafter's race", (int)s->position);
        } else {
            wide r;
            if (!read_coin(c, json_object_get(d, "draw"), s->position, i, 1, s->q[i].total, &r)) return false;
            if (pick(s->q[i].id, s->q[i].w, s->q[i].n, r) != s->id[i])
                FAIL("position %d: draft %d is not what its coin draws", (int)s->position, i);
            c->n->draws++;
        }
    }
    return true;
}

static bool decide(checker *c, const step *s, int i, wide threshold, wide bound, bool *yes) {
    const json_t *coin = json_object_get(json_array_get(s->drafted, (size_t)i), "coin");
    *yes = threshold >= bound;
    if (threshold >= bound || threshold == 0) {
        if (coin) FAIL("position %d: a coin for what is certain", (int)s->position);
        return true;
    }
    wide r;
    if (!read_coin(c, coin, s->position, i, 2, bound, &r)) return false;
    *yes = r < threshold;
    c->n->decisions++;
    return true;
}

static bool check_final(checker *c, const step *s, int purpose, const wide *w) {
    const law *p = &s->p[s->accepted];
    wide total = 0, r;
    for (int i = 0; i < p->n; i++) total += w[i];
    if (!read_coin(c, s->final, s->position, s->accepted, purpose, total, &r)) return false;
    const json_t *last = json_array_get(s->emitted, (size_t)s->accepted);
    if (json_integer_value(json_object_get(last, "id")) != pick(p->id, w, p->n, r))
        FAIL("position %d: the last token is not what its coin draws", (int)s->position);
    c->n->finals++;
    return true;
}

static bool check_coupled(checker *c, const step *s) {
    for (int i = 0; i <= s->n; i++) {
        if (i == s->n && s->ends) break;
        const json_int_t y = race(c, &s->p[i], s->position + i);
        const bool yes = i < s->n && y == s->id[i];
        if (yes != (i < s->accepted)) FAIL("position %d: draft %d was judged otherwise", (int)s->position, i);
        if (yes) continue;
        const json_t *last = json_array_get(s->emitted, (size_t)i);
        if (json_integer_value(json_object_get(last, "id")) != y)
            FAIL("position %d: the race", (int)s->position);
        break;
    }
    return true;
}

static bool check_rejection(checker *c, const step *s) {
    static wide w[1024];
    for (int i = 0; i < s->n; i++) {
        const law *p = &s->p[i], *q = &s->q[i];
        bool yes;
        if (!decide(c, s, i, weight(p, s->id[i]) * q->total, weight(q, s->id[i]) * p->total, &yes))
            return false;
        if (yes != (i < s->accepted)) FAIL("position %d: draft %d was judged otherwise", (int)s->position, i);
        if (yes) continue;
        for (int k = 0; k < p->n; k++) {
            const wide a = p->w[k] * q->total, b = weight(q, p->id[k]) * p->total;
            w[k] = a > b ? a - b : 0;
        }
        return check_final(c, s, 3, w);
    }
    return s->ends || check_final(c, s, 4, s->p[s->n].w);
}

static const wide ONE = (wide)1 << 32, GRID = (wide)1 << 34;

static wide next_p(wide P, wide w, wide W, wide v) {
    if (v == 0) return ONE;
    const wide x = P * w * GRID / (v * W);
    return x < ONE ? x : ONE;
}

static wide residual(const law *p, const law *q, wide P, wide *w) {
    wide sum = 0;
    for (int k = 0; k < p->n; k++) {
        const wide v = weight(q, p->id[k]);
        w[k] = P * p->w[k] * GRID - v * p->total * next_p(P, p->w[k], p->total, v);
        sum += w[k];
    }
    return sum;
}

static bool check_block(checker *c, const step *s) {
    static wide w[1024];
    wide P = ONE, P_tau = ONE;
    int tau = 0;
    for (int i = 0; i < s->n && P; i++) {
        bool yes;
        if (s->q[i].total != GRID) FAIL("position %d: q is not on the grid", (int)s->position);
        P = next_p(P, weight(&s->p[i], s->id[i]), s->p[i].total, weight(&s->q[i], s->id[i]));
        wide threshold = P, bound = ONE;
        if (i + 1 < s->n) {
            threshold = residual(&s->p[i + 1], &s->q[i + 1], P, w);
            bound = threshold + (ONE - P) * s->p[i + 1].total * GRID;
        }
        if (!decide(c, s, i, threshold, bound, &yes)) return false;
        if (yes) tau = i + 1, P_tau = P;
    }
    if (tau != s->accepted) FAIL("position %d: %d accepted, not %d", (int)s->position, s->accepted, tau);
    if (tau == s->n) return s->ends || check_final(c, s, 4, s->p[s->n].w);
    residual(&s->p[tau], &s->q[tau], P_tau, w);
    return check_final(c, s, 3, w);
}

static bool check_step(checker *c, const json_t *line) {
    static step s;
    memset(&s, 0, sizeof s);
    s.position = json_integer_value(json_object_get(line, "position"));
    s.drafted = json_object_get(line, "drafted");
    s.emitted = json_object_get(line, "emitted");
    s.final = json_object_get(line, "final");
    s.n = (int)json_array_size(s.drafted);
    s.accepted = (int)json_integer_value(json_object_get(line, "accepted"));
    const int n_emitted = (int)json_array_size(s.emitted);
    if (s.position != c->position) FAIL("position %d follows %d", (int)s.position, (int)c->position);
    if (s.n > 32 || s.accepted > s.n) FAIL("%d accepted of %d", s.accepted, s.n);
    if (json_integer_value(json_object_get(line, "step")) != c->n->steps) FAIL("a step is missing");
    for (int i = 0; i <= s.n; i++) {
        const json_t *p = json_array_get(json_object_get(line, "p"), (size_t)i);
        const json_t *q = json_array_get(json_object_get(line, "q"), (size_t)i);
        s.has_p[i] = json_is_object(p);
        if (s.has_p[i] && !read_law(c, p, &s.p[i])) return false;
        if (i == s.n) break;
        if (!read_law(c, q, &s.q[i])) return false;
        const json_t *d = json_array_get(s.drafted, (size_t)i);
        s.id[i] = json_integer_value(json_object_get(d, "id"));
        if (json_is_true(json_object_get(d, "accepted")) != (i < s.accepted)) FAIL("accepted flags");
        if (i < s.accepted) {
            const json_t *e = json_array_get(s.emitted, (size_t)i);
            if (json_integer_value(json_object_get(e, "id")) != s.id[i] ||
                strcmp(json_string_value(json_object_get(e, "from")), "draft"))
                FAIL("position %d: an accepted draft is not what was emitted", (int)s.position);
        }
    }
    s.ends = n_emitted == s.accepted;
    if (!s.ends && n_emitted != s.accepted + 1) FAIL("%d emitted after %d accepted", n_emitted, s.accepted);
    if (s.ends && !json_is_true(json_object_get(json_array_get(s.emitted, (size_t)n_emitted - 1), "stop")))
        FAIL("position %d: the last token is missing", (int)s.position);
    c->position += n_emitted;
    c->n->steps++;
    c->n->accepted += s.accepted;
    if (!check_drafts(c, &s)) return false;
    if (!strcmp(c->rule, "rejection")) return check_rejection(c, &s);
    if (!strcmp(c->rule, "block")) return check_block(c, &s);
    return check_coupled(c, &s);
}

/* ------------------------------------------------------------------------------------------------ lines */

static bool check_header(checker *c, const json_t *line) {
    const char *trace = json_string_value(json_object_get(line, "trace"));
    const char *rule = json_string_value(json_object_get(line, "accept"));
    const char *draft = json_string_value(json_object_get(line, "draft"));
    if (!trace || strcmp(trace, "verbatim") || json_integer_value(json_object_get(line, "version")) != 1 ||
        !rule || !draft)
        FAIL("not a trace of version 1");
    if (!json_is_true(json_object_get(line, "full"))) FAIL("not a full trace");
    c->seed = (uint64_t)number(json_object_get(line, "seed"));
    snprintf(c->draft, sizeof c->draft, "%s", draft);
    snprintf(c->rule, sizeof c->rule, "%s", strcmp(draft, "none") ? rule : "coupled");
    c->headed = true;
    return true;
}

static const char chain_key[] = ",\"chain\":\"";
#define TAIL (sizeof chain_key - 1 + 32 + 2) /* ,"chain":"32 digits"} */

static void link_of(const char *chain, const char *body, size_t len, char digits[33]) {
    char *buffer = malloc(32 + len);
    memcpy(buffer, chain, 32);
    memcpy(buffer + 32, body, len);
    XXH128_canonical_t hash;
    XXH128_canonicalFromHash(&hash, XXH3_128bits(buffer, 32 + len));
    free(buffer);
    for (int i = 0; i < 16; i++) snprintf(digits + 2 * i, 3, "%02x", hash.digest[i]);
}

static bool check_chain(checker *c, const char *line, size_t len) {
    char digits[33];
    if (len <= TAIL || memcmp(line + len - TAIL, chain_key, sizeof chain_key - 1) ||
        memcmp(line + len - 2, "\"}", 2))
        FAIL("line %d has no chain", c->n->lines);
    link_of(c->chain, line, len - TAIL, digits);
    if (memcmp(digits, line + len - 34, 32)) FAIL("line %d breaks the chain", c->n->lines);
    memcpy(c->chain, digits, 33);
    return true;
}

void trace_rechain(char *text, size_t len) {
    char chain[33] = "00000000000000000000000000000000";
    for (size_t at = 0; at < len;) {
        const size_t n = (size_t)((char *)memchr(text + at, '\n', len - at) - (text + at));
        char digits[33];
        link_of(chain, text + at, n - TAIL, digits);
        memcpy(text + at + n - 34, digits, 32);
        memcpy(chain, digits, 33);
        at += n + 1;
    }
}

static bool check_line(checker *c, const json_t *line) {
    if (c->ended) FAIL("a line after the end");
    if (!c->headed) return check_header(c, line);
    if (json_object_get(line, "step")) return check_step(c, line);
    const json_t *prompt = json_object_get(line, "prompt"), *end = json_object_get(line, "end");
    if (prompt) {
        if (json_integer_value(prompt) != c->position) FAIL("text at another position");
        c->position += (json_int_t)json_array_size(json_object_get(line, "tokens"));
        c->n->prompts++;
        return true;
    }
    if (!end || json_integer_value(end) != c->position ||
        json_integer_value(json_object_get(line, "steps")) != c->n->steps)
        FAIL("the end does not fit");
    c->ended = true;
    return true;
}

bool trace_check(const char *text, size_t len, trace_counts *counts, char why[256]) {
    checker state = {.why = why, .n = counts}, *c = &state;
    memset(counts, 0, sizeof *counts);
    memset(c->chain, '0', 32);
    for (size_t at = 0; at < len; counts->lines++) {
        const char *line = text + at, *newline = memchr(line, '\n', len - at);
        if (!newline) FAIL("the last line is cut off");
        const size_t n = (size_t)(newline - line);
        if (!check_chain(c, line, n)) return false;
        json_t *v = json_loadb(line, n, JSON_ALLOW_NUL, NULL);
        const bool ok = v && check_line(c, v);
        if (!v) snprintf(why, 256, "line %d is not JSON", counts->lines);
        json_decref(v);
        if (!ok) return false;
        at += n + 1;
    }
    if (!c->ended) FAIL("the trace ends early");
    return true;
}
