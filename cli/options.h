/* options.h - the table of options (options.c), seen by the parser only. */
#ifndef VERBATIM_CLI_OPTIONS_H
#define VERBATIM_CLI_OPTIONS_H

#include "cli/args.h"

typedef enum cli_kind {
    CLI_FLAG,   /* bool */
    CLI_STRING, /* const char * */
    CLI_INT,    /* int64_t in [min, max], or CLI_AUTO for the word that `choices` holds */
    CLI_SHORT,  /* int in [min, max] */
    CLI_REAL,   /* double in [min, max] */
    CLI_CHOICE, /* const char *, one of `choices` ("q8|q16") */
    CLI_LIST    /* cli_list: may be given several times */
} cli_kind;

/* The least value that is more than nothing, as a minimum. */
#define CLI_ABOVE_0 1e-300

typedef struct cli_option {
    const char
        *names; /* "-t|--threads|--n-threads": the first short one and the first long one lead in --help */
    const char *arg; /* what the help calls the value; NULL for a flag */
    const char *help;
    unsigned commands; /* CMD_ bits */
    cli_kind kind;
    size_t offset; /* in cli_options */
    double min, max;
    const char *choices;
} cli_option;

extern const cli_option CLI_OPTIONS[];
extern const size_t CLI_N_OPTIONS;

/* Goes through the words of "a|b|c". Start with *at = words; false at the end. */
bool cli_next_word(const char **at, char word[48]);
bool cli_has_word(const char *words, const char *word);

/* The option of a command that has this name, or NULL. A long name may lack one of its dashes, and may be
 * another program's name for it. */
const cli_option *cli_find_option(const char *name, unsigned command);
/* Puts a value where the option has it; `said` is how it was given ("--port 80", "VERBATIM_PORT=80"), for the
 * message. Returns CLI_OK or CLI_USAGE (after a message). */
int cli_set_value(const cli_option *opt, const char *said, const char *value, cli_options *o);
/* What to use here instead of another program's option, or why there is nothing (foreign_names.c); NULL: no
 * such name is known. */
const char *cli_foreign_name(const char *name, unsigned command);
/* The option here that another program's option means exactly; NULL: there is none. */
const char *cli_foreign_alias(const char *name, unsigned command);
/* All of these names as a page in Markdown: docs/coming-from.md. */
void cli_foreign_table(void);
#endif
