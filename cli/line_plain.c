/* line_plain.c - lines as they come, in builds without libedit. See line.h. */
#include "cli/line.h"

#include "cli/cli.h"

#include <stdlib.h>

struct cli_line {
    int unused;
};

cli_line *cli_line_open(const char *const *words) {
    (void)words;
    return calloc(1, sizeof(cli_line));
}

void cli_line_close(cli_line *l) {
    free(l);
}

bool cli_line_edits(const cli_line *l) {
    (void)l;
    return false;
}

int cli_line_read(cli_line *l, const char *prompt, char **text, size_t *n) {
    (void)l;
    return cli_read_prompted(prompt, text, n);
}

void cli_line_remember(cli_line *l, const char *text) {
    (void)l;
    (void)text;
}
