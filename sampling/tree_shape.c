/* tree_shape.c - the shape of a tree of drafts: how many siblings there are at each depth. */
#include "include/verbatim.h"

#include "base/base.h"
#include "sampling/accept.h"

#include <stdlib.h>
#include <string.h>

/* b_1 + b_1 b_2 + b_1 b_2 b_3 + ...; beyond VB_MAX_GAMMA it stops counting. */
int vb_draft_tree_size(const int tree[VB_TREE_DEPTH]) {
    int64_t size = 0, wide = 1;
    for (int i = 0; i < VB_TREE_DEPTH && tree[i] > 0 && size <= VB_MAX_GAMMA; i++) {
        wide *= tree[i];
        size += wide;
    }
    return size > VB_MAX_GAMMA ? VB_MAX_GAMMA + 1 : (int)size;
}

int vb_draft_tree_read(const char *text, int tree[VB_TREE_DEPTH], vb_error *err) {
    vb_begin(err);
    int shape[VB_TREE_DEPTH] = {0}, n = 0;
    const char *at = text;
    if (!text || !tree) return vb_fail(err, VB_ERR_ARGUMENT, "vb_draft_tree_read: an argument is NULL");
    if (!strcmp(text, "off") || !strcmp(text, "auto")) {
        if (text[0] == 'a') shape[0] = VB_TREE_AUTO;
        memcpy(tree, shape, sizeof shape);
        return VB_OK;
    }
    for (;; at++) {
        char *end = NULL;
        const long v = *at >= '0' && *at <= '9' ? strtol(at, &end, 10) : 0;
        if (v < 1 || v > VB_MAX_GAMMA || n == VB_TREE_DEPTH || (*end && *end != ','))
            return vb_fail(
                err, VB_ERR_ARGUMENT,
                "tree %.40s: expected the siblings at each depth with commas between, such as 3,2,1 "
                "(at most %d depths), off or auto",
                text, VB_TREE_DEPTH);
        shape[n++] = (int)v;
        at = end;
        if (!*at) break;
    }
    if (vb_draft_tree_size(shape) > VB_MAX_GAMMA)
        return vb_fail(err, VB_ERR_ARGUMENT,
                       "tree %.40s: more than %d tokens; each depth has as many siblings "
                       "behind every token of the depth before",
                       text, VB_MAX_GAMMA);
    memcpy(tree, shape, sizeof shape);
    return VB_OK;
}
