/* line.h - lines that a person types: editing, history, completion and pasting on a terminal (line.c, by
 * libedit), or as they come where there is no terminal or no libedit (line_plain.c). Internal to the
 * command. */
#ifndef VERBATIM_CLI_LINE_H
#define VERBATIM_CLI_LINE_H

#include <stdbool.h>
#include <stddef.h>

typedef struct cli_line cli_line;

/* `words` are completed at the start of a line, NULL-terminated; behind one of them a file name is. NULL: out
 * of memory. */
cli_line *cli_line_open(const char *const *words);
void cli_line_close(cli_line *l);
/* Whether lines are edited here; otherwise the terminal does what it does. */
bool cli_line_edits(const cli_line *l);
/* The next line without its end, allocated (free); it may hold line breaks that were pasted or typed with Alt
 * and Enter. Returns as cli_read_line: 0, 1 when Ctrl-C came instead, -1 at the end of input, -2 where it
 * cannot be read or held, which it says. `prompt` is shown on standard error. */
int cli_line_read(cli_line *l, const char *prompt, char **text, size_t *n);
/* Something that Up brings back. */
void cli_line_remember(cli_line *l, const char *text);

#endif
