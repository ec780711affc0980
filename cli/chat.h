/* chat.h - a conversation: what chat.c (turns) and chat_commands.c (lines that begin with a slash) share. */
#ifndef VERBATIM_CLI_CHAT_H
#define VERBATIM_CLI_CHAT_H

#include "cli/cli.h"
#include "cli/line.h"

/* Tools of a file (--tools): a JSON list of {"type": "function", "function": {...}, "command": "..."}. */
typedef struct chat_tools {
    json_t *list;     /* as the model is shown them: without the commands. NULL: none */
    json_t *commands; /* by name */
    char *text;       /* `list` as JSON */
    size_t len;
} chat_tools;

typedef struct chat {
    cli_session session;
    vb_chat *template;
    vb_calls *calls; /* how it writes calls and reasoning */
    chat_tools tools;
    json_t *messages;   /* array of {"role", "content"}, as a request over HTTP has them */
    vb_spec *spec;      /* NULL before the first turn */
    int32_t *draft_ids; /* (n_draft_ids) what the last vb_spec left in the draft's cache, if no path */
    size_t n_draft_ids;
    vb_prompt prompt; /* what was rendered for the last answer */
    char *answer;     /* its text */
    cli_line *line;
    bool interactive;
    bool dated; /* --date */
    int date[6];
    bool drafts;            /* tokens are shown by their origin, refused drafts too */
    uint64_t turns, reused; /* turns; prompt tokens found in the cache */
    vb_stats before;        /* of vb_specs that were closed */
    size_t generated;
    double seconds;
    double asked;         /* when the present answer was asked for */
    double first, firsts; /* seconds from there to the first token: of the last answer, and of all together */
    uint64_t begun;       /* answers that came to a first token */
} chat;

/* Appends a message; CLI_OK or CLI_FAIL (after a message). */
int chat_add(chat *c, const char *role, const char *content);
/* The messages, but for the system message, are forgotten, and what the caches hold. */
int chat_reset(chat *c);
/* Sampling, draft or rule have changed: what the caches hold stays, and generation goes on under the new
 * ones. */
int chat_reopen(chat *c);
/* Another drafter (cli_session_draft); where it fails the old one goes on. CLI_FAIL only where that fails
 * too. */
int chat_change_draft(chat *c, const char *kind, const char *path);
/* The assistant speaks: the conversation is rendered, what is new of it evaluated, and the answer appended.
 * CLI_OK also where it failed in a way that the conversation survives; then the last message is taken back if
 * `undo`. */
int chat_answer(chat *c, bool undo);
/* Tokens, speed and acceptance so far, on standard error. */
void chat_print_stats(const chat *c);

/* The commands' names, NULL-terminated, for completion. */
extern const char *const chat_command_names[];
/* Obeys a line that begins with a slash. *end is set by /quit. Returns CLI_FAIL only where the conversation
 * cannot go on. */
int chat_obey(chat *c, const char *line, bool *end);

#endif
