/* tree.c - rows that are a tree. See tree.h. */
#include "engine/tree.h"

#include <stdlib.h>
#include <string.h>

/* The rows of this call are numbers `first` and on. */
static int check_parents(const int32_t *parent, size_t first, size_t n, bool *chain, vb_error *err) {
    *chain = first == 0;
    for (size_t i = 0; i < n; i++) {
        if (parent[i] < -1 || parent[i] >= (int64_t)(first + i))
            return vb_fail(err, VB_ERR_ARGUMENT,
                           "parent[%zu] is %d, must be -1 or a token that comes before it", i,
                           (int)parent[i]);
        *chain = *chain && parent[i] == (int32_t)i - 1;
    }
    return VB_OK;
}

/* Room for n elements where there are `room`; what is there stays. */
static int widen(void **array, size_t room, size_t n, size_t size, vb_error *err) {
    void *wider = NULL;
    const int rc = vb_alloc(&wider, n, size, "a tree of tokens", err);
    if (rc) return rc;
    if (room) memcpy(wider, *array, room * size);
    free(*array);
    *array = wider;
    return VB_OK;
}

/* Room for n rows and `slots` slots of paths, and then for some more: a tree that grows depth by depth is not
 * to allocate at each. */
static int reserve(vb_tree *t, size_t n, size_t slots, vb_error *err) {
    int rc;
    if (n > t->rows) {
        n += n / 2;
        if ((rc = widen((void **)&t->parent, t->rows, n, sizeof *t->parent, err)) ||
            (rc = widen((void **)&t->depth, t->rows, n, sizeof *t->depth, err)) ||
            (rc = widen((void **)&t->start, t->rows, n, sizeof *t->start, err)))
            return rc;
        t->rows = n;
    }
    if (slots > t->slots) {
        slots += slots / 2;
        if ((rc = widen((void **)&t->path, t->slots, slots, sizeof *t->path, err))) return rc;
        t->slots = slots;
    }
    return VB_OK;
}

int vb_tree_take(vb_tree *t, int length, const int32_t *parent, size_t n, bool *chain, vb_error *err) {
    const size_t first = vb_tree_row(t, 0);
    int rc = check_parents(parent, first, n, chain, err);
    if (rc || *chain) return rc;
    if ((rc = reserve(t, first + n, 0, err))) return rc;
    size_t slots = first ? t->start[first - 1] + (size_t)t->depth[first - 1] + 1 : 0;
    for (size_t i = first; i < first + n; i++) {
        const int32_t before = parent[i - first];
        t->parent[i] = before;
        t->depth[i] = before < 0 ? 0 : t->depth[before] + 1;
        t->start[i] = slots;
        slots += (size_t)t->depth[i] + 1;
    }
    if ((rc = reserve(t, first + n, slots, err))) return rc;
    if (!t->held) t->base = length;
    for (size_t i = first; i < first + n; i++) {
        int32_t *path = t->path + t->start[i];
        const int32_t before = t->parent[i];
        if (before >= 0) memcpy(path, t->path + t->start[before], (size_t)t->depth[i] * sizeof *path);
        path[t->depth[i]] = (int32_t)(t->base + (int)i);
    }
    t->taken = (int)n;
    return VB_OK;
}

void vb_tree_hold(vb_tree *t) {
    t->n = (t->held ? t->n : 0) + t->taken;
    t->held = true;
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
