/* options.h - the table of options (options.c), seen by the parser only. */
#ifndef VERBATIM_CLI_OPTIONS_H
#define VERBATIM_CLI_OPTIONS_H

#include "args.h"

typedef enum cli_kind {
    CLI_FLAG,   /* bool */
    CLI_STRING, /* const char * */
    CLI_INT,    /* int64_t in [min, max] */
    CLI_REAL,   /* double in [min, max] */
    CLI_CHOICE, /* const char *, one of `choices` ("q8|q16") */
    CLI_LIST    /* cli_list: may be given several times */
} cli_kind;

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

/* The defaults, which --help states too. */
void cli_defaults(unsigned command, cli_options *o);

#endif
