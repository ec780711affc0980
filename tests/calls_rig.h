/* calls_rig.h - answers of models read back: a template, how it writes calls, and what an answer says.
 *
 * Answers are compared as a line: c(content) r(reasoning) m(marks) and [name arguments] for a call. Every
 * one is read whole, cut in two at every byte and byte by byte: the same line. */
#ifndef CALLS_RIG_H
#define CALLS_RIG_H

#include "include/verbatim.h"

#define CALL(x) "<tool_call>\n" x "\n</tool_call>"

/* Two functions: f with a parameter of every type, and get. */
extern const char cr_tools[];

typedef struct cr_rig {
    vb_chat *chat;
    vb_calls *calls;
} cr_rig;

cr_rig cr_open(const char *template);
/* tests/templates/NAME.jinja; skips the test where that is not. */
cr_rig cr_open_file(const char *name);
void cr_close(cr_rig *r);

/* Fails unless the answer says `want`, however it is cut. Bytes between two \1 are control tokens'. */
void cr_says_as(const cr_rig *r, const vb_answer_params *p, const char *text, const char *want);
void cr_says(const cr_rig *r, const char *text, const char *want);
/* All of it is content. */
void cr_stays(const cr_rig *r, const char *text);

/* A request's conversation as the template writes it; free. */
char *cr_rendered(const cr_rig *r, const char *variables);

#endif
