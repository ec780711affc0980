/* reads.c - which of the caller's variables a template looks at. */
#include "chat/run.h"

#include <string.h>

static bool in_scope(const vbt_scope *s, const char *name) {
    for (size_t i = 0; s && i < s->n; i++)
        if (s->refs[i].load == VBT_LOAD_RESOLVE && vbt_is(s->refs[i].name, name)) return true;
    return false;
}

/* A name that a scope takes from the caller is entered there (scope.c): the scopes of a tree are asked. */
static bool in_tree(const vbt_node *n, const char *name) {
    for (; n; n = n->next)
        if (in_scope(n->scope, name) || in_scope(n->else_scope, name) || in_scope(n->test_scope, name) ||
            in_tree(n->a, name) || in_tree(n->b, name) || in_tree(n->c, name) || in_tree(n->d, name) ||
            in_tree(n->list, name) || in_tree(n->args, name))
            return true;
    return false;
}

bool vbt_reads(const vbt_node *body, const vbt_scope *scope, const char *name) {
    return in_scope(scope, name) || in_tree(body, name);
}
