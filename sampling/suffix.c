/* suffix.c - the online construction (suffix.h). Edges stand in one list, found by a hash of (state, token),
 * and are chained by state, because a clone takes over all of them. */
#include "sampling/suffix.h"

#include <stdlib.h>
#include <string.h>

enum { LATEST = 32 }; /* links along which the latest occurrence is kept */

typedef struct state {
    int32_t len, link; /* link -1: the root's */
    int32_t end;
    int32_t edges; /* the first one; -1: none */
} state;

typedef struct edge {
    int32_t from, token, to, next; /* next: of the same state; -1: none */
} edge;

struct vb_suffix {
    size_t capacity; /* tokens */
    state *states;   /* (2*capacity + 1) */
    edge *edges;     /* (3*capacity) */
    int32_t *slots;  /* (n_slots) index + 1 of an edge; 0: empty */
    size_t n_slots;  /* a power of two, more than edges */
    int32_t n_states, n_edges;
    int32_t last;       /* the state of the whole text */
    int32_t repeat_end; /* where the match ended before */
    int32_t repeat_len;
};

/* ---------------------------------------------------------------------- edges */

static size_t hash(int32_t from, int32_t token) {
    uint64_t h = ((uint64_t)(uint32_t)from << 32 | (uint32_t)token) * 0x9E3779B97F4A7C15u;
    h = (h ^ h >> 32) * 0xD6E8FEB86659FD93u;
    return (size_t)(h ^ h >> 32);
}

/* The slot of the edge, or the empty one where it belongs. */
static int32_t *slot_of(const vb_suffix *s, int32_t from, int32_t token) {
    for (size_t i = hash(from, token);; i++) {
        int32_t *slot = &s->slots[i & (s->n_slots - 1)];
        if (*slot == 0) return slot;
        const edge *e = &s->edges[*slot - 1];
        if (e->from == from && e->token == token) return slot;
    }
}

static edge *find(const vb_suffix *s, int32_t from, int32_t token) {
    const int32_t *slot = slot_of(s, from, token);
    return *slot ? &s->edges[*slot - 1] : NULL;
}

static void connect(vb_suffix *s, int32_t from, int32_t token, int32_t to) {
    s->edges[s->n_edges] = (edge){from, token, to, s->states[from].edges};
    s->states[from].edges = s->n_edges++;
    *slot_of(s, from, token) = s->n_edges;
}

/* ---------------------------------------------------------------------- the text grows */

/* q stands for substrings that now end at different places: those up to `len` get a state of their own. */
static int32_t split(vb_suffix *s, int32_t q, int32_t len) {
    const int32_t clone = s->n_states++;
    s->states[clone] = (state){len, s->states[q].link, s->states[q].end, -1};
    for (int32_t e = s->states[q].edges; e >= 0; e = s->edges[e].next)
        connect(s, clone, s->edges[e].token, s->edges[e].to);
    s->states[q].link = clone;
    return clone;
}

bool vb_suffix_add(vb_suffix *s, int32_t token) {
    if (vb_suffix_length(s) == s->capacity) return false;
    const int32_t now = s->n_states++, len = s->states[s->last].len + 1;
    int32_t p = s->last, link = 0;
    edge *e = NULL;
    s->states[now] = (state){len, 0, len, -1};
    for (; p >= 0 && !(e = find(s, p, token)); p = s->states[p].link) connect(s, p, token, now);
    if (p >= 0) {
        const int32_t q = e->to;
        link = q;
        if (s->states[p].len + 1 < s->states[q].len) {
            link = split(s, q, s->states[p].len + 1);
            for (; p >= 0 && (e = find(s, p, token)) && e->to == q; p = s->states[p].link) e->to = link;
        }
    }
    s->states[now].link = link;
    s->last = now;
    s->repeat_len = s->states[link].len;
    s->repeat_end = s->states[link].end;
    /* The suffixes of the text have occurred once more. */
    for (int i = 0; link > 0 && i < LATEST; i++, link = s->states[link].link) s->states[link].end = len;
    return true;
}

/* ---------------------------------------------------------------------- questions */

vb_suffix_match vb_suffix_repeat(const vb_suffix *s, size_t *end) {
    if (s->repeat_len == 0) return (vb_suffix_match){0, 0};
    *end = (size_t)s->repeat_end;
    return (vb_suffix_match){s->states[s->last].link, s->repeat_len};
}

vb_suffix_match vb_suffix_step(const vb_suffix *s, vb_suffix_match m, int32_t token) {
    for (;;) {
        const edge *e = find(s, m.state, token);
        if (e) return (vb_suffix_match){e->to, m.len + 1};
        if (m.state == 0) return (vb_suffix_match){0, 0};
        m.state = s->states[m.state].link;
        m.len = s->states[m.state].len;
    }
}

size_t vb_suffix_end(const vb_suffix *s, vb_suffix_match m) {
    return (size_t)s->states[m.state].end;
}

size_t vb_suffix_length(const vb_suffix *s) {
    return (size_t)s->states[s->last].len;
}

size_t vb_suffix_states(const vb_suffix *s) {
    return (size_t)s->n_states;
}

/* ---------------------------------------------------------------------- opening and closing */

void vb_suffix_clear(vb_suffix *s) {
    memset(s->slots, 0, s->n_slots * sizeof *s->slots);
    s->states[0] = (state){0, -1, 0, -1};
    s->n_states = 1;
    s->n_edges = s->last = s->repeat_len = s->repeat_end = 0;
}

int vb_suffix_open(vb_suffix **out, size_t n, vb_error *err) {
    vb_suffix *s = NULL;
    static const char what[] = "the suffix automaton";
    int rc;
    if (n > VB_SUFFIX_TOKENS)
        return vb_fail(err, VB_ERR_UNSUPPORTED, "a suffix automaton over %zu tokens: at most %zu", n,
                       VB_SUFFIX_TOKENS);
    if ((rc = vb_alloc((void **)&s, 1, sizeof *s, what, err))) return rc;
    s->capacity = n;
    for (s->n_slots = 16; s->n_slots < 4 * n;) s->n_slots *= 2;
    if ((rc = vb_alloc((void **)&s->states, 2 * n + 1, sizeof *s->states, what, err)) ||
        (rc = vb_alloc((void **)&s->edges, 3 * n + 1, sizeof *s->edges, what, err)) ||
        (rc = vb_alloc((void **)&s->slots, s->n_slots, sizeof *s->slots, what, err))) {
        vb_suffix_close(s);
        return rc;
    }
    vb_suffix_clear(s);
    *out = s;
    return VB_OK;
}

void vb_suffix_close(vb_suffix *s) {
    if (!s) return;
    free(s->states);
    free(s->edges);
    free(s->slots);
    free(s);
}
