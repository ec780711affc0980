/* joint.c - grows the tree of cells, depth by depth. Each cell is expanded by one evaluation of the
 * target, and the likeliest continuations become the cells of the next depth. */
#include "prove/joint.h"

#include "base/buf.h"

#include <stdlib.h>
#include <string.h>

typedef struct candidate {
    int32_t parent, token;
    double p, logprob;
} candidate;

typedef struct builder {
    const vb_joint_params *p;
    vb_joint *j;
    vb_dist_space space;
    int32_t *path; /* prompt and prefix */
    candidate *found;
    size_t n_found, found_room;
    double *order;
} builder;

static size_t bitmap_bytes(const vb_joint *j) {
    return ((size_t)j->n_vocab + 7) / 8;
}

/* Writes the prefix of a cell behind the prompt; returns its length. */
static size_t path_to(builder *b, int32_t cell) {
    const int depth = b->j->cells[cell].depth;
    for (int d = depth; d > 0; d--) {
        b->path[b->p->n_prompt + (size_t)d - 1] = b->j->cells[cell].token;
        cell = b->j->cells[cell].parent;
    }
    return b->p->n_prompt + (size_t)depth;
}

int vb_joint_row(const vb_joint_params *p, const int32_t *path, size_t n, const vb_dist_space *space,
                 const float **logits, vb_dist *out, vb_error *err) {
    const vb_lm *lm = &p->target;
    const size_t base = p->n_prompt - 1;
    int rc;
    if ((rc = vb_lm_truncate(lm, base, err)) || (rc = vb_lm_eval(lm, path + base, n - base, NULL, err)))
        return rc;
    *logits = vb_lm_logits(lm, n - base - 1);
    if ((rc = p->law.at(p->law.self, *logits, lm->n_vocab, path, n, space, out, err))) return rc;
    if (out->n > 0) return VB_OK;
    return p->law.why_empty ? p->law.why_empty(p->law.self, err)
                            : vb_fail(err, VB_ERR_ARGUMENT, "nothing is left to sample");
}

int vb_joint_add_support(vb_joint *j, vb_cell *cell, vb_error *err) {
    const size_t bytes = bitmap_bytes(j);
    uint8_t *grown = realloc(j->support, (j->n_expanded + 1) * bytes);
    if (!grown) return vb_fail(err, VB_ERR_MEMORY, "out of memory for the cells of the law");
    j->support = grown;
    cell->support = j->n_expanded++ * bytes;
    cell->expanded = true;
    memset(j->support + cell->support, 0, bytes);
    return VB_OK;
}

/* The target's law after a cell: its likely continuations become candidates. */
static int expand(void *self, size_t index, double *rest, double *loose, vb_error *err) {
    builder *b = self;
    vb_joint *j = b->j;
    const int32_t at = (int32_t)index;
    vb_cell *cell = &j->cells[at];
    (void)loose; /* every sequence of tokens has a cell or is pooled */
    const float *logits;
    vb_dist d;
    int rc;
    if ((rc = vb_joint_row(b->p, b->path, path_to(b, at), &b->space, &logits, &d, err)) ||
        (rc = vb_joint_add_support(j, cell, err)))
        return rc;
    for (int32_t i = 0; i < d.n; i++) {
        const double p = cell->p * ((double)d.w[i] / (double)d.total);
        j->support[cell->support + (size_t)d.id[i] / 8] |= (uint8_t)(1u << (d.id[i] % 8));
        if (p < b->p->least) {
            *rest += p;
            continue;
        }
        if ((rc = vb_grow((void **)&b->found, &b->found_room, b->n_found + 1, sizeof *b->found,
                          "cells of the law", err)))
            return rc;
        b->found[b->n_found++] = (candidate){at, d.id[i], p, vb_logprob(logits, j->n_vocab, d.id[i])};
    }
    return VB_OK;
}

static int falling(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return x < y ? 1 : x > y ? -1 : 0;
}

double vb_joint_threshold(double *p, size_t n, size_t most) {
    if (n <= most) return 0;
    qsort(p, n, sizeof *p, falling);
    return p[most - 1];
}

/* The least probability of the max_cells likeliest candidates. */
static int threshold(builder *b, double *out, vb_error *err) {
    *out = 0;
    if (b->n_found <= (size_t)b->p->max_cells) return VB_OK;
    free(b->order);
    int rc = vb_alloc((void **)&b->order, b->n_found, sizeof *b->order, "the cells of the law", err);
    if (rc) return rc;
    for (size_t i = 0; i < b->n_found; i++) b->order[i] = b->found[i].p;
    *out = vb_joint_threshold(b->order, b->n_found, (size_t)b->p->max_cells);
    return VB_OK;
}

/* Candidates stand in the order of parents and ids, and so do the cells they become. */
static int keep(void *self, int depth, double *rest, vb_error *err) {
    builder *b = self;
    vb_joint *j = b->j;
    double least;
    int rc = threshold(b, &least, err), kept = 0;
    if (rc) return rc;
    for (size_t i = 0; i < b->n_found; i++) {
        const candidate *c = &b->found[i];
        if (c->p < least || kept == b->p->max_cells) {
            *rest += c->p;
            continue;
        }
        kept++;
        if ((rc = vb_grow((void **)&j->cells, &j->room, j->n + 1, sizeof *j->cells, "cells of the law", err)))
            return rc;
        vb_cell *parent = &j->cells[c->parent];
        if (parent->n_children++ == 0) parent->first = (int32_t)j->n;
        j->cells[j->n++] = (vb_cell){.parent = c->parent,
                                     .token = c->token,
                                     .depth = depth,
                                     .ended = vb_is_stop(b->p->stop, b->p->n_stop, c->token),
                                     .p = c->p,
                                     .logprob = c->logprob};
    }
    b->n_found = 0;
    return VB_OK;
}

int vb_joint_grow_tree(vb_joint *j, double least, const vb_joint_growth *g, vb_error *err) {
    int rc = vb_grow((void **)&j->cells, &j->room, 1, sizeof *j->cells, "cells of the law", err);
    if (rc) return rc;
    j->cells[0] = (vb_cell){.parent = -1, .p = 1};
    j->n = j->level[1] = 1;
    for (int d = 0; d < j->depth; d++) {
        double rest = j->rest[d], loose = j->loose[d];
        for (size_t i = j->level[d]; i < j->level[d + 1]; i++) {
            const vb_cell *c = &j->cells[i];
            if (c->ended) continue;
            /* below twice `least` there is hardly a continuation that would be a cell */
            if (d > 0 && c->p < 2 * least)
                rest += c->p;
            else if ((rc = g->expand(g->self, i, &rest, &loose, err)))
                return rc;
        }
        if ((rc = g->keep(g->self, d + 1, &rest, err))) return rc;
        j->rest[d + 1] = rest;
        j->loose[d + 1] = loose;
        j->level[d + 2] = j->n;
    }
    return VB_OK;
}

int vb_joint_open(vb_joint **out, const vb_joint_params *p, vb_error *err) {
    builder b = {.p = p};
    int rc;
    if (p->depth < 1 || p->depth > VB_JOINT_DEPTH || p->n_prompt < 1 || p->max_cells < 1)
        return vb_fail(err, VB_ERR_ARGUMENT, "the joint law takes a prompt and 1 to %d tokens or bytes",
                       VB_JOINT_DEPTH);
    const size_t capacity = (size_t)p->law.capacity;
    if ((rc = vb_alloc((void **)&b.j, 1, sizeof *b.j, "the law", err)) ||
        (rc = vb_alloc((void **)&b.space.id, capacity, sizeof *b.space.id, "the law", err)) ||
        (rc = vb_alloc((void **)&b.space.w, capacity, sizeof *b.space.w, "the law", err)) ||
        (rc = vb_alloc((void **)&b.path, p->n_prompt + VB_JOINT_DEPTH, sizeof *b.path, "the law", err)))
        goto cleanup;
    b.space.capacity = p->law.capacity;
    memcpy(b.path, p->prompt, p->n_prompt * sizeof *b.path);
    b.j->depth = p->depth;
    b.j->n_vocab = p->texts ? VB_JOINT_END + 1 : p->target.n_vocab;
    rc = p->texts ? vb_joint_build_texts(b.j, p, &b.space, err)
                  : vb_joint_grow_tree(b.j, p->least, &(vb_joint_growth){&b, expand, keep}, err);
    vb_lm_truncate(&p->target, p->n_prompt - 1, NULL);
    if (rc) goto cleanup;
    *out = b.j;
    b.j = NULL;
cleanup:
    vb_joint_close(b.j);
    free(b.space.id);
    free(b.space.w);
    free(b.path);
    free(b.found);
    free(b.order);
    return rc;
}

void vb_joint_close(vb_joint *j) {
    if (!j) return;
    free(j->cells);
    free(j->support);
    free(j);
}

int32_t vb_joint_child(const vb_joint *j, int32_t cell, int32_t token) {
    const vb_cell *c = &j->cells[cell];
    if (!c->expanded) return -1;
    if (token < 0 || token >= j->n_vocab || !(j->support[c->support + (size_t)token / 8] >> (token % 8) & 1))
        return -2;
    int32_t lo = c->first, hi = c->first + c->n_children;
    while (lo < hi) {
        const int32_t mid = lo + (hi - lo) / 2;
        if (j->cells[mid].token < token)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < c->first + c->n_children && j->cells[lo].token == token ? lo : -1;
}
