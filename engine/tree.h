/* tree.h - the rows of an evaluation that are a tree: where each one's path lies in the cache. Internal.
 *
 * Row i is written to slot base + i, its position is base + its depth, and it sees the positions below `base`
 * and its own path, in path order. Afterwards one path is kept (vb_context_keep): its rows move to the slots
 * of their positions, and the cache is byte for byte one that was fed the path as a chain (P4). */
#ifndef VB_TREE_H
#define VB_TREE_H

#include "base/base.h"

typedef struct vb_tree {
    bool held; /* the cache holds these rows; false: what it holds is a chain */
    int base, n;
    int taken;          /* rows of the evaluation in progress: they become n's when it has succeeded */
    int32_t *parent;    /* (n + taken) */
    int32_t *depth;     /* (n + taken) */
    size_t *start;      /* (n + taken) */
    int32_t *path;      /* row i's, from `base` on: path[start[i] .. start[i] + depth[i]] */
    size_t rows, slots; /* there is room for */
} vb_tree;

/* Takes in the shape of n rows behind `length` slots; *chain: they are a chain, and nothing was taken in.
 * Where a tree is held they go on with it: their parents count from its first row, and *chain is false.
 * Errors: VB_ERR_ARGUMENT (a parent that does not come before), VB_ERR_MEMORY. */
int vb_tree_take(vb_tree *t, int length, const int32_t *parent, size_t n, bool *chain, vb_error *err);
/* The rows taken in are in the cache now. */
void vb_tree_hold(vb_tree *t);
/* The row that row i of the evaluation in progress is. */
static inline size_t vb_tree_row(const vb_tree *t, size_t i) {
    return (t->held ? (size_t)t->n : 0) + i;
}
void vb_tree_close(vb_tree *t);
/* VB_ERR_ARGUMENT unless rows[0..k) are a path from the root. */
int vb_tree_check_path(const vb_tree *t, const int32_t *rows, size_t k, vb_error *err);
/* Whether the first k rows are a chain, so that forgetting the others is a matter of counting. */
bool vb_tree_is_chain(const vb_tree *t, int k);

#endif
