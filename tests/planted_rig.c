/* planted_rig.c - what every planted mistake goes through: found at its level, and a line of the table
 * (planted.h). */
#include "tests/planted.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

vb_buf planted_table;
int planted_count;

void planted_caught(const char *bug, const char *file, const cf_comparison *c, int level) {
    char where[160], text[400];
    if (c->pass || !c->first.found) fail_msg("%s: not noticed by %s", bug, file);
    if (c->first.level != level)
        fail_msg("%s: seen at level %d (%s), not %d", bug, c->first.level, c->first.what, level);
    if (level == 1)
        snprintf(where, sizeof where, "text %d, %s, id %d", c->first.position, c->first.what,
                 c->first.element);
    else if (level <= 3)
        snprintf(where, sizeof where, "line %zu, %s, element %d", c->first.line_ours, c->first.what,
                 c->first.element);
    else if (c->first.layer >= 0)
        snprintf(where, sizeof where, "position %d, layer %d, %s", c->first.position, c->first.layer,
                 c->first.what);
    else
        snprintf(where, sizeof where, "position %d, %s", c->first.position, c->first.what);
    snprintf(text, sizeof text, "| %d | %s | `%s` | %s |\n", level, bug, file, where);
    vb_buf_add(&planted_table, text, strlen(text));
    planted_count++;
}

void planted_right(const char *what, const cf_comparison *c) {
    if (c->pass) return;
    fail_msg("%s: a right engine fails: level %d, %s, position %d, layer %d, element %d: %.9g, theirs %.9g",
             what, c->first.level, c->first.what, c->first.position, c->first.layer, c->first.element,
             c->first.ours, c->first.theirs);
}

char *planted_ours(const char *name, size_t *n) {
    char path[256], *text;
    vb_error err = {0};
    snprintf(path, sizeof path, "vectors/%s", name);
    if (cf_read_file(path, &text, n, &err)) fail_msg("%s", err.message);
    return text;
}
