/* chat_tools.h - what `verbatim chat` does besides text: thoughts shown dimmed, tools that are run after
 * asking. */
#ifndef VERBATIM_CLI_CHAT_TOOLS_H
#define VERBATIM_CLI_CHAT_TOOLS_H

#include "base/buf.h"
#include "cli/chat.h"

/* ------------------------------------------------------------------------------------------- tools */

/* Reads the file. Returns CLI_OK, CLI_USAGE or CLI_FAIL (after a message). Close it either way. */
int chat_tools_open(chat_tools *t, const char *path);
void chat_tools_close(chat_tools *t);
/* Asks about each call of a message, runs what is allowed, and appends the results as messages. *done is set
 * where somebody has to speak first: the input ended, or Ctrl-C. */
int chat_run_calls(chat *c, const json_t *calls, bool *done);

/* ------------------------------------------------------------------------------------------ answers */

/* An answer while it comes, told apart and shown. */
typedef struct chat_said {
    const chat *c;
    cli_stream *stream;
    vb_answer *answer; /* NULL: all is content, and cli_stream shows it */
    vb_buf content, reasoning;
    json_t *calls;     /* as in a message */
    vb_buf arguments;  /* of the present one */
    bool color, begun; /* `begun`: something stands on the present line */
    bool passed_on;    /* arguments of the present call were shown */
    vb_said_kind last; /* of what is shown */
    double first_at;   /* when the first token was there; 0: not yet */
} chat_said;

int chat_said_open(chat_said *s, const chat *c, cli_stream *stream, const vb_prompt *prompt);
void chat_said_close(chat_said *s);
int chat_said_step(void *said, const vb_step *step);
/* The answer has ended; `text` is what it is without chat_said (cli_result). *message is what the
 * conversation gains, to be released. */
int chat_said_end(chat_said *s, const char *text, json_t **message);

#endif
