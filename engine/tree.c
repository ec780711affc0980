/* tree.c - rows that are a tree. See tree.h. */
#include "engine/tree.h"

#include <stdlib.h>
#include <string.h>

static int check_parents(const int32_t *parent, size_t n, bool *chain, vb_error *err) {
    *chain = true;
    for (size_t i = 0; i < n; i++) {
        if (parent[i] < -1 || parent[i] >= (int64_t)i)
            return vb_fail(err, VB_ERR_ARGUMENT,
                           "parent[%zu] is %d, must be -1 or a token that comes before it", i,
                           (int)parent[i]);
        *chain = *chain && parent[i] == (int32_t)i - 1;
    }
    return VB_OK;
}

/* Room for n rows and `slots` slots of paths; what was there is gone. */
static int reserve(vb_tree *t, size_t n, size_t slots, vb_error *err) {
    static const char what[] = "a tree of tokens";
    int rc = VB_OK;
    if (n > t->rows) {
        vb_tree_close(t);
        if ((rc = vb_alloc((void **)&t->parent, n, sizeof *t->parent, what, err)) ||
            (rc = vb_alloc((void **)&t->depth, n, sizeof *t->depth, what, err)) ||
            (rc = vb_alloc((void **)&t->start, n, sizeof *t->start, what, err)))
            return rc;
        t->rows = n;
    }
    if (slots > t->slots) {
        free(t->path);
        t->path = NULL;
        t->slots = 0;
        if ((rc = vb_alloc((void **)&t->path, slots, sizeof *t->path, what, err))) return rc;
        t->slots = slots;
    }
    return VB_OK;
}

int vb_tree_take(vb_tree *t, int base, const int32_t *parent, size_t n, bool *chain, vb_error *err) {
    size_t slots = 0;
    int rc = check_parents(parent, n, chain, err);
    if (rc || *chain) return rc;
    if ((rc = reserve(t, n, 0, err))) return rc;
    for (size_t i = 0; i < n; i++) {
        t->depth[i] = parent[i] < 0 ? 0 : t->depth[parent[i]] + 1;
        t->start[i] = slots;
        slots += (size_t)t->depth[i] + 1;
    }
    if ((rc = reserve(t, n, slots, err))) return rc;
    memcpy(t->parent, parent, n * sizeof *parent);
    for (size_t i = 0; i < n; i++) {
        int32_t *path = t->path + t->start[i];
        if (parent[i] >= 0) memcpy(path, t->path + t->start[parent[i]], (size_t)t->depth[i] * sizeof *path);
        path[t->depth[i]] = (int32_t)(base + (int)i);
    }
    t->base = base;
    t->n = (int)n;
    return VB_OK;
}

void vb_tree_close(vb_tree *t) {
    free(t->parent);
    free(t->depth);
    free(t->start);
    free(t->path);
    *t = (vb_tree){0};
}

int vb_tree_check_path(const vb_tree *t, const int32_t *rows, size_t k, vb_error *err) {
    for (size_t i = 0; i < k; i++) {
        if (rows[i] < 0 || rows[i] >= t->n)
            return vb_fail(err, VB_ERR_ARGUMENT,
                           "rows[%zu] is %d, must be a token of the last evaluation: 0 to %d", i,
                           (int)rows[i], t->n - 1);
        const int32_t before = i ? rows[i - 1] : -1;
        if (t->parent[rows[i]] != before)
            return vb_fail(err, VB_ERR_ARGUMENT,
                           "rows are no path: token %d follows %d, not %d (-1: what was held before)",
                           (int)rows[i], (int)t->parent[rows[i]], (int)before);
    }
    return VB_OK;
}

bool vb_tree_is_chain(const vb_tree *t, int k) {
    for (int i = 0; i < k; i++)
        if (t->parent[i] != i - 1) return false;
    return true;
}
