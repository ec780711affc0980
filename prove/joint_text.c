/* joint_text.c - the exact law of the first bytes of a text.
 *
 * The same text can be cut into tokens in many ways, and a sampler may take any of them, so the tokens of a
 * text that somebody else sampled are not known. What is known is its law:
 *
 *   P(text begins with s) = sum over token sequences x_1 .. x_m that reach over the end of s, but not without
 *                           x_m, of p(x_1 .. x_m)
 *   P(text is s)          = sum over sequences of exactly the text s, of p(sequence) * p(stop | sequence)
 *
 * Byte by byte: what is live at a prefix s are sequences of which only the last token reaches over s, and
 * those that end with s. The former go on with their next byte; after the latter the target's law is computed
 * once more, and each of its tokens goes on with its first byte. Tokens without a text (control tokens)
 * change the path and not the text.
 *
 * Sequences too unlikely to follow are not lost but loose:
 * every cell says how much more may be in it. */
#include "prove/joint.h"

#include "base/buf.h"

#include <stdlib.h>
#include <string.h>

/* A sequence ending with s is followed if it has at least so much of the least probability of a cell ... */
#define FOLLOW (1.0 / 100)
/* ... and tokens behind it are followed one by one down to this. */
#define FOLLOW_TOKEN (FOLLOW * 1e-5)

/* A sequence of tokens after the prompt: its last token and the one before. */
typedef struct sequence {
    int32_t before, token; /* sequences[0] is the empty one */
    int length, bytes;
} sequence;

/* A sequence and one token more, which reaches over what has been matched of it. */
typedef struct live {
    int32_t sequence, token;
    double p;
} live;

/* A text one byte longer than a cell's that may become a cell itself. */
typedef struct wider {
    int32_t parent, byte;
    double p, dropped; /* dropped: in tokens that are not followed one by one */
    size_t first, n;   /* of `next` */
} wider;

typedef struct builder {
    const vb_joint_params *p;
    vb_joint *j;
    const vb_dist_space *space;
    int32_t *path;
    sequence *sequences;
    size_t n_sequences, sequences_room;
    live *now, *next, *bag; /* now: of the cells of one depth, next: of their candidates */
    size_t n_now, now_room, n_next, next_room, n_bag, bag_room;
    size_t *first; /* (cells of the depth + 1): where a cell's begin in `now` */
    double *under; /* (cells of the depth): loose in their continuations; of a cell that is not expanded yet,
                      what is dropped in it alone */
    wider *found;
    size_t n_found, found_room;
    double *order;
    size_t order_room;
    /* of the cell at work, by the next byte: probability, the part of it that is dropped, entries of `bag` */
    double mass[VB_JOINT_END + 1], dropped[VB_JOINT_END + 1], pruned;
    size_t count[VB_JOINT_END + 1];
} builder;

static const char *text_of(const builder *b, int32_t token, size_t *len) {
    *len = 0;
    return vb_token_text(b->p->texts, token, false, len);
}

static int add_live(live **at, size_t *n, size_t *room, live x, vb_error *err) {
    int rc = vb_grow((void **)at, room, *n + 1, sizeof **at, "cells of the law", err);
    if (!rc) (*at)[(*n)++] = x;
    return rc;
}

/* Writes a sequence behind the prompt; returns the length of both. */
static size_t path_to(builder *b, int32_t at) {
    const sequence *s = &b->sequences[at];
    const size_t n = b->p->n_prompt + (size_t)s->length;
    for (; s->length > 0; s = &b->sequences[s->before])
        b->path[b->p->n_prompt + (size_t)s->length - 1] = s->token;
    return n;
}

/* One token more, which goes on with byte `at` of its text. */
static int go_on(builder *b, live x, size_t at, vb_error *err) {
    size_t len;
    const int byte = (unsigned char)text_of(b, x.token, &len)[at];
    b->mass[byte] += x.p;
    if (x.p < b->p->least * FOLLOW_TOKEN) {
        b->dropped[byte] += x.p;
        return VB_OK;
    }
    b->count[byte]++;
    return add_live(&b->bag, &b->n_bag, &b->bag_room, x, err);
}

/* The sequence x ends where the cell's text ends: what the target says next. Tokens without a text lead to
 * longer sequences of the same text. */
static int follow(builder *b, live x, vb_error *err) {
    const vb_joint_params *p = b->p;
    const float *logits;
    vb_dist d;
    size_t len;
    int rc = vb_grow((void **)&b->sequences, &b->sequences_room, b->n_sequences + 1, sizeof *b->sequences,
                     "cells of the law", err);
    if (rc) return rc;
    const int32_t at = (int32_t)b->n_sequences++;
    const sequence *before = at ? &b->sequences[x.sequence] : NULL;
    if (before) text_of(b, x.token, &len);
    b->sequences[at] = before ? (sequence){x.sequence, x.token, before->length + 1, before->bytes + (int)len}
                              : (sequence){.before = -1};
    if ((rc = vb_joint_row(p, b->path, path_to(b, at), b->space, &logits, &d, err))) return rc;
    live *silent = NULL;
    size_t n_silent = 0, room = 0;
    for (int32_t i = 0; i < d.n && !rc; i++) {
        const live y = {at, d.id[i], x.p * ((double)d.w[i] / (double)d.total)};
        if (vb_is_stop(p->stop, p->n_stop, y.token))
            b->mass[VB_JOINT_END] += y.p;
        else if (text_of(b, y.token, &len) && len > 0)
            rc = go_on(b, y, 0, err);
        else if (y.p < p->least * FOLLOW || b->sequences[at].length >= VB_JOINT_DEPTH)
            b->pruned += y.p;
        else
            rc = add_live(&silent, &n_silent, &room, y, err);
    }
    for (size_t i = 0; i < n_silent && !rc; i++) rc = follow(b, silent[i], err);
    free(silent);
    return rc;
}

/* Sorts what goes on from the cell by its next byte. */
static int split(builder *b, size_t index, vb_error *err) {
    const size_t depth = (size_t)b->j->cells[index].depth, i = index - b->j->level[depth];
    int rc = VB_OK;
    b->n_bag = 0;
    b->pruned = 0;
    memset(b->mass, 0, sizeof b->mass);
    memset(b->dropped, 0, sizeof b->dropped);
    memset(b->count, 0, sizeof b->count);
    if (depth == 0) return follow(b, (live){-1, -1, 1}, err);
    for (size_t k = b->first[i]; k < b->first[i + 1] && !rc; k++) {
        const live x = b->now[k];
        const size_t matched = depth - (size_t)b->sequences[x.sequence].bytes;
        size_t len;
        text_of(b, x.token, &len);
        if (len > matched)
            rc = go_on(b, x, matched, err);
        else if (x.p < b->p->least * FOLLOW)
            b->pruned += x.p;
        else
            rc = follow(b, x, err);
    }
    return rc;
}

/* The byte that a live sequence goes on with at a depth. */
static int next_byte(const builder *b, live x, size_t depth) {
    size_t len;
    return (unsigned char)text_of(b, x.token, &len)[depth - (size_t)b->sequences[x.sequence].bytes];
}

/* What the bag holds goes to `next`, by bytes; candidates from `first` on have their room there. */
static int hand_on(builder *b, size_t depth, size_t first_found, vb_error *err) {
    size_t at[VB_JOINT_END + 1], end = b->n_next;
    bool wanted[VB_JOINT_END + 1] = {false};
    for (size_t i = first_found; i < b->n_found; i++) {
        wider *w = &b->found[i];
        w->first = at[w->byte] = end;
        w->n = b->count[w->byte];
        wanted[w->byte] = true;
        end += w->n;
    }
    int rc = vb_grow((void **)&b->next, &b->next_room, end, sizeof *b->next, "cells of the law", err);
    if (rc) return rc;
    for (size_t i = 0; i < b->n_bag; i++) {
        const int c = next_byte(b, b->bag[i], depth);
        if (wanted[c]) b->next[at[c]++] = b->bag[i];
    }
    b->n_next = end;
    return VB_OK;
}

/* A cell's continuations: the likely ones become candidates. */
static int expand(void *self, size_t index, double *rest, double *loose, vb_error *err) {
    builder *b = self;
    vb_joint *j = b->j;
    const size_t first_found = b->n_found;
    int rc = split(b, index, err);
    if (rc || (rc = vb_joint_add_support(j, &j->cells[index], err))) return rc;
    const vb_cell *cell = &j->cells[index];
    double *under = &b->under[index - j->level[cell->depth]];
    *loose += *under + b->pruned;
    *under += b->pruned + cell->loose; /* nobody knows which continuation it is in */
    for (int c = 0; c <= VB_JOINT_END; c++) {
        if (b->mass[c] > 0 || *under > 0)
            j->support[cell->support + (size_t)c / 8] |= (uint8_t)(1u << (c % 8));
        if (b->mass[c] < b->p->least) {
            *rest += b->mass[c];
            continue;
        }
        if ((rc = vb_grow((void **)&b->found, &b->found_room, b->n_found + 1, sizeof *b->found,
                          "cells of the law", err)))
            return rc;
        b->found[b->n_found++] = (wider){(int32_t)index, c, b->mass[c], b->dropped[c], 0, 0};
    }
    return hand_on(b, (size_t)cell->depth, first_found, err);
}

/* The likeliest candidates become the cells of the next depth, in the order of parents and bytes. */
static int keep(void *self, int depth, double *rest, vb_error *err) {
    builder *b = self;
    vb_joint *j = b->j;
    const size_t most = (size_t)b->p->max_cells, level = j->level[depth - 1];
    int rc;
    if ((rc = vb_grow((void **)&b->order, &b->order_room, b->n_found, sizeof *b->order, "cells of the law",
                      err)) ||
        (rc = vb_grow((void **)&j->cells, &j->room, j->n + most, sizeof *j->cells, "cells of the law", err)))
        return rc;
    for (size_t i = 0; i < b->n_found; i++) b->order[i] = b->found[i].p;
    const double least = vb_joint_threshold(b->order, b->n_found, most);
    double *under = calloc(most, sizeof *under);
    size_t *first = calloc(most + 1, sizeof *first), kept = 0;
    b->n_now = 0;
    if (!under || !first) rc = vb_fail(err, VB_ERR_MEMORY, "out of memory for the cells of the law");
    for (size_t i = 0; i < b->n_found && !rc; i++) {
        const wider *w = &b->found[i];
        if (w->p < least || kept == most) {
            *rest += w->p;
            continue;
        }
        vb_cell *parent = &j->cells[w->parent];
        if (parent->n_children++ == 0) parent->first = (int32_t)j->n;
        j->cells[j->n++] = (vb_cell){.parent = w->parent,
                                     .token = w->byte,
                                     .depth = depth,
                                     .ended = w->byte == VB_JOINT_END,
                                     .p = w->p,
                                     .loose = b->under[(size_t)w->parent - level]};
        under[kept] = w->dropped;
        for (size_t k = 0; k < w->n && !rc; k++)
            rc = add_live(&b->now, &b->n_now, &b->now_room, b->next[w->first + k], err);
        first[++kept] = b->n_now;
    }
    free(b->under);
    free(b->first);
    b->under = under;
    b->first = first;
    b->n_found = b->n_next = 0;
    return rc;
}

int vb_joint_build_texts(vb_joint *j, const vb_joint_params *p, const vb_dist_space *space, vb_error *err) {
    builder b = {.p = p, .j = j, .space = space};
    const size_t longest = p->n_prompt + 2 * VB_JOINT_DEPTH;
    int rc;
    if (longest > (size_t)p->target.n_ctx)
        return vb_fail(err, VB_ERR_ARGUMENT,
                       "the law of texts takes a context of %zu tokens, and there are %d: use a larger -c "
                       "where the model allows it, or a shorter prompt",
                       longest, p->target.n_ctx);
    if ((rc = vb_alloc((void **)&b.path, longest, sizeof *b.path, "the law", err)) ||
        (rc = vb_alloc((void **)&b.under, 1, sizeof *b.under, "the law", err)))
        goto cleanup;
    memcpy(b.path, p->prompt, p->n_prompt * sizeof *b.path);
    rc = vb_joint_grow_tree(j, p->least, &(vb_joint_growth){&b, expand, keep}, err);
cleanup:
    free(b.path);
    free(b.sequences);
    free(b.now);
    free(b.next);
    free(b.bag);
    free(b.first);
    free(b.under);
    free(b.found);
    free(b.order);
    return rc;
}
