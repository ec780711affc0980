/* law_parts.h - inside of a vb_law: the steps from logits to weights, one file each. distribution.c
 * calls them in the order of the definition (distribution.h). Internal. */
#ifndef VB_LAW_PARTS_H
#define VB_LAW_PARTS_H

#include "sampling/distribution.h"

enum { BLOCK = 64 }; /* ids: a word of a mask */

/* Ids whose x is not simply the logit: those with a bias or a penalty. */
typedef struct adjusted {
    int32_t id;
    double x;
} adjusted;

/* An id's weight and how far its surprise is from the expected one. */
typedef struct vb_surprise {
    vb_u128 far;
    int32_t at;
} vb_surprise;

struct vb_law {
    vb_sampling s;
    int32_t n_vocab;
    vb_exp_weights_fn exp_weights;
    uint64_t top_p, min_p, typical_p; /* floor(parameter * 2^32) */
    uint64_t xtc_p, xtc_least;        /* likewise */
    uint64_t sigmas;                  /* floor(top_n_sigma * 2^16) */
    vb_logit_bias *bias;
    int32_t *slot; /* (n_vocab) index + 1 into adj; 0 for ids that are not adjusted. All 0 between calls */
    adjusted *adj; /* (adj_capacity) */
    int32_t *seen; /* (adj_capacity) occurrences in the penalty window */
    size_t n_adj, adj_capacity;
    int32_t *heap;         /* (top_k) */
    uint64_t *bucket;      /* (VB_LAW_BUCKETS) */
    float *top;            /* of each block of ids: no x in it is larger */
    vb_surprise *surprise; /* (capacity) with typical_p */

    /* DRY. */
    int32_t *breakers; /* (n_dry_breakers) ascending */
    int32_t *repeat;   /* (adj_capacity) the longest repeat that the id would go on */
    int32_t *z;        /* (z_capacity) of a window */
    size_t z_capacity;

    const vb_mask *mask; /* NULL: none */
    size_t start;        /* where in the prefix its ids begin */
    uint64_t *allowed;   /* (n_vocab bits) what it said last */
};

#define VB_LAW_BUCKETS 2048

/* adjust.c: mask, bias, penalties, DRY. */
bool vb_law_has_penalties(const vb_sampling *s);
bool vb_law_has_dry(const vb_sampling *s);
int vb_law_ask_mask(vb_law *l, const int32_t *prefix, size_t n_prefix, vb_error *err);
int vb_law_adjust(vb_law *l, const float *logits, int32_t limit, const int32_t *prefix, size_t n_prefix,
                  vb_error *err);
void vb_law_forget_adjustments(vb_law *l);

/* x_i as distribution.h defines it. */
static inline double vb_law_value(const vb_law *l, const float *logits, int32_t id) {
    return l->slot[id] ? l->adj[l->slot[id] - 1].x : (double)logits[id];
}

/* select.c: one look at all logits, top-k. */
int vb_law_survey(vb_law *l, const float *logits, int32_t n, vb_error *err);
/* The ids of a block that may be chosen, ascending; returns how many. */
int vb_law_ids(const vb_law *l, int32_t block, int32_t limit, int32_t ids[BLOCK]);
/* The top_k best ids in l->heap, ascending; returns how many. */
int32_t vb_law_select_top_k(vb_law *l, const float *logits, int32_t limit);
/* The id with the largest x, the lowest among equals; -1: all are banned. *max: its x. */
int32_t vb_law_best(const vb_law *l, const float *logits, int32_t limit, double *max);

/* weigh.c: weights at a temperature, and what is read off all of them. */
int32_t vb_law_weights(const vb_law *l, const float *logits, const int32_t *ids, int32_t n, double max,
                       double temperature, const vb_dist_space *space);
double vb_law_temperature(const vb_law *l, const float *logits, int32_t limit, double max);
uint64_t vb_law_total(const uint64_t *w, int32_t n);
/* floor(2^32 * log w), w >= 1. */
uint64_t vb_law_log(uint64_t w);

/* truncate.c: each keeps some of the n ids of d, in their order, and returns how many. */
int32_t vb_law_keep_sigma(const vb_law *l, const float *logits, int32_t limit, double max,
                          const vb_dist_space *d, int32_t n);
int32_t vb_law_keep_typical(const vb_law *l, const vb_dist_space *d, int32_t n);
int32_t vb_law_keep_top_p(const vb_law *l, const vb_dist_space *d, int32_t n);
int32_t vb_law_keep_from(const vb_dist_space *d, int32_t n, uint64_t least);
int32_t vb_law_mix_xtc(const vb_law *l, const vb_dist_space *d, int32_t n);

#endif
