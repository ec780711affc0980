/* specials.c - a byte trie over control, unknown and user-defined tokens. Matching costs the length of the
 * match. */
#include "tokenizer/tokenizer.h"

#include <string.h>

static int new_node(vb_specials *s, uint8_t byte, int32_t *node, vb_error *err) {
    int rc = vb_grow((void **)&s->nodes, &s->cap, s->n + 1, sizeof *s->nodes, "special tokens", err);
    if (rc) return rc;
    if (s->n >= INT32_MAX)
        return vb_fail(err, VB_ERR_FORMAT, "the special tokens are too long taken together");
    s->nodes[s->n] = (vb_trie_node){.child = -1, .sibling = -1, .id = -1, .byte = byte};
    *node = (int32_t)s->n++;
    return VB_OK;
}

static int32_t child_of(const vb_specials *s, int32_t node, uint8_t byte) {
    int32_t c = s->nodes[node].child;
    while (c >= 0 && s->nodes[c].byte != byte) c = s->nodes[c].sibling;
    return c;
}

int vb_specials_add(vb_specials *s, const char *text, size_t len, int32_t id, vb_error *err) {
    if (len == 0) return VB_OK; /* an empty entry is never found in text */
    if (s->n == 0) memset(s->root, 0xFF, sizeof s->root);
    int32_t node = s->root[(uint8_t)text[0]];
    int rc;
    if (node < 0) {
        if ((rc = new_node(s, (uint8_t)text[0], &node, err))) return rc;
        s->root[(uint8_t)text[0]] = node;
    }
    for (size_t i = 1; i < len; i++) {
        int32_t c = child_of(s, node, (uint8_t)text[i]);
        if (c < 0) {
            if ((rc = new_node(s, (uint8_t)text[i], &c, err))) return rc;
            s->nodes[c].sibling = s->nodes[node].child;
            s->nodes[node].child = c;
        }
        node = c;
    }
    s->nodes[node].id = id;
    return VB_OK;
}

bool vb_specials_starts(const vb_specials *s, unsigned char byte) {
    return s->n > 0 && s->root[byte] >= 0;
}

int32_t vb_specials_match(const vb_tokenizer *t, const vb_specials *sp, const char *s, size_t n, bool all,
                          size_t *len) {
    int32_t best = -1;
    if (n == 0 || sp->n == 0) return -1;
    int32_t node = sp->root[(uint8_t)s[0]];
    for (size_t i = 1; node >= 0; i++) {
        int32_t id = sp->nodes[node].id;
        if (id >= 0 && (all || t->kind[id] == VB_TOKEN_USER)) {
            best = id;
            *len = i;
        }
        if (i >= n) break;
        node = child_of(sp, node, (uint8_t)s[i]);
    }
    return best;
}
