/* drafter_suffix.c - the longest repeat drafts: what followed the end of the path when it occurred
 * before, in the path or in a corpus. It stands alone or in front of another drafter, which proposes
 * where the match is too short.
 *
 * Who proposes, and how many tokens, follows from the path and from forced text that stands in the
 * proposal already: both are kept. So it is exact under every rule, and the text of a seed does not
 * depend on how the path was read (at once, in pieces, after a prefix hit). */
#include "sampling/drafter.h"

#include "sampling/corpus.h"

#include <stdlib.h>
#include <string.h>

typedef struct drafter_suffix {
    vb_drafter_suffix_params p;
    vb_drafter other; /* with p.before */
    vb_suffix *index; /* of path[0..n): only what is kept enters */
    vb_suffix_match in_corpus;
    vb_suffix_match held; /* the path's repeat before its last token, */
    size_t held_end;      /* and where that ended */
    bool copying;         /* the proposal in progress is a copy */
    size_t other_at;      /* the length of the path that the other drafter last took in */
} drafter_suffix;

static void read_path(drafter_suffix *g, const int32_t *path, size_t n) {
    const vb_corpus *c = g->p.corpus;
    for (size_t i = vb_suffix_length(g->index); i < n; i++) {
        g->held = vb_suffix_repeat(g->index, &g->held_end);
        if (!vb_suffix_add(g->index, path[i])) return;
        if (c) g->in_corpus = vb_suffix_step(c->index, g->in_corpus, path[i]);
    }
}

static int sync(void *self, const int32_t *path, size_t n, vb_error *err) {
    drafter_suffix *g = self;
    read_path(g, path, n);
    if (!g->p.before) return VB_OK;
    g->other_at = n;
    return g->other.sync(g->other.self, path, n, err);
}

/* What the copy is made of: a text, the place to go on from, and how much of the end it repeats. */
typedef struct source {
    const int32_t
        *text; /* ends in what must not be copied, or has no end: the path, which the copy extends */
    size_t from, n;
    int32_t len;
} source;

/* The longest match of the path and the drafts that stand behind it; in the path rather than in the corpus
 * where both are as long. */
static source look(const drafter_suffix *g, const int32_t *path, size_t n, const vb_proposal *out) {
    const vb_corpus *c = g->p.corpus;
    size_t end = 0;
    vb_suffix_match own = vb_suffix_repeat(g->index, &end), theirs = g->in_corpus;
    for (int i = 0; i < out->n; i++) {
        own = vb_suffix_step(g->index, own, path[n + (size_t)i]);
        end = vb_suffix_end(g->index, own);
        if (c) theirs = vb_suffix_step(c->index, theirs, path[n + (size_t)i]);
    }
    if (c && theirs.len > own.len)
        return (source){c->text, vb_suffix_end(c->index, theirs), c->n, theirs.len};
    /* A repeat has ended with the last token, which stands where the text had another one: an edit, behind
     * which the text most likely goes on. */
    const int32_t edited = g->held.len / 2;
    if (out->n == 0 && own.len <= g->held.len && own.len < edited && g->held_end + 1 < n)
        return (source){path, g->held_end + 1, SIZE_MAX, edited};
    return (source){path, end, SIZE_MAX, own.len};
}

/* A copy is at most twice as long as what it repeats: a short match says little. */
static int copy(drafter_suffix *g, int32_t *path, size_t n, const source *s, vb_proposal *out,
                vb_error *err) {
    const int most = s->len > out->max ? out->max : out->n + 2 * s->len;
    const vb_certain c = {&g->p.law, g->p.limit, g->p.choice, g->p.stop, g->p.n_stop};
    const int before = out->n, rc = vb_propose_all(out, path, n, s->text, s->from, s->n, most, &c, err);
    for (int i = before; i < out->n; i++) out->drafted[i].copied = true;
    return rc;
}

static int draft(void *self, int32_t *path, size_t n, vb_proposal *out, vb_error *err) {
    drafter_suffix *g = self;
    int rc;
    read_path(g, path, n);
    const source s = look(g, path, n, out);
    g->copying = !g->p.before || s.len >= g->p.min;
    if (g->copying) return s.len >= g->p.min ? copy(g, path, n, &s, out, err) : VB_OK;
    /* Many copies later the other one has much to read: in pieces, as a prompt. */
    if (n > g->other_at + VB_LM_PIECE && (rc = sync(g, path, n, err))) return rc;
    g->other_at = n;
    return g->other.draft(g->other.self, path, n, out, err);
}

static bool wants(void *self, const vb_lm **lm, vb_eval_item *item) {
    drafter_suffix *g = self;
    return !g->copying && g->other.wants && g->other.wants(g->other.self, lm, item);
}

static int resume(void *self, vb_error *err) {
    drafter_suffix *g = self;
    return g->other.resume(g->other.self, err);
}

static int see(void *self, const int32_t *path, size_t from, size_t n, const float *const *row, int width,
               vb_error *err) {
    drafter_suffix *g = self;
    return g->other.see(g->other.self, path, from, n, row, width, err);
}

static double sure(void *self, int i) {
    const drafter_suffix *g = self;
    return g->other.sure(g->other.self, i);
}

static const int32_t *holds(void *self, size_t *n) {
    const drafter_suffix *g = self;
    return g->other.holds(g->other.self, n);
}

/* An automaton cannot be cut: where less than it has read still holds, it reads the path again. Steps never
 * ask for that, for drafts do not enter; text that is taken back does. */
static void settle(void *self, size_t n) {
    drafter_suffix *g = self;
    if (vb_suffix_length(g->index) > n) {
        vb_suffix_clear(g->index);
        g->in_corpus = g->held = (vb_suffix_match){0, 0};
    }
    if (g->other_at > n) g->other_at = n;
    if (g->p.before) g->other.settle(g->other.self, n);
}

static void suffix_close(void *self) {
    drafter_suffix *g = self;
    if (g->p.before) g->other.close(g->other.self);
    vb_suffix_close(g->index);
    free(g);
}

int vb_drafter_suffix(vb_drafter *out, const vb_drafter_suffix_params *params, vb_error *err) {
    drafter_suffix *g = NULL;
    int rc = vb_alloc((void **)&g, 1, sizeof *g, "suffix drafter", err);
    if (rc) return rc;
    g->p = *params;
    if ((rc = vb_suffix_open(&g->index, params->n_ctx + 1, err))) {
        free(g);
        return rc;
    }
    *out = (vb_drafter){.self = g, .sync = sync, .draft = draft, .settle = settle, .close = suffix_close};
    if (!params->before) return VB_OK;
    g->other = *params->before;
    out->wants = wants;
    out->resume = resume;
    if (g->other.see) out->see = see;
    if (g->other.sure) out->sure = sure;
    if (g->other.holds) out->holds = holds;
    return VB_OK;
}
