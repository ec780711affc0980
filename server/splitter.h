/* splitter.h - from tokens to what a client is told of them: content, reasoning, calls of tools. Knows
 * neither HTTP nor the engine.
 *
 * Which bytes are what is chat/'s to say (vb_answer); this keeps account of them. Stop strings are looked for
 * in the content alone: what a model thinks and what it hands to a tool are not cut. */
#ifndef VERBATIM_SERVER_SPLITTER_H
#define VERBATIM_SERVER_SPLITTER_H

#include "base/buf.h"
#include "server/ask.h"

typedef enum vbs_kind {
    VBS_CONTENT = 0,
    VBS_REASONING,
    VBS_CALL,     /* a call begins: its id, a NUL, the tool's name */
    VBS_ARGUMENTS /* the next bytes of its arguments, a JSON text */
} vbs_kind;

typedef struct vbs_piece {
    vbs_kind kind;
    int call;   /* its number from 0 */
    size_t len; /* bytes of vbs_pieces.text */
} vbs_piece;

/* In the order in which they came. Texts are whole characters as far as they are valid. */
typedef struct vbs_pieces {
    vbs_piece *v; /* (n) */
    size_t n, room;
    vb_buf text;
} vbs_pieces;

void vbs_pieces_free(vbs_pieces *p);
void vbs_pieces_clear(vbs_pieces *p);
int vbs_pieces_append(vbs_pieces *to, const vbs_pieces *from, vb_error *err);
/* Takes the first n away. */
void vbs_pieces_drop(vbs_pieces *p, size_t n);

/* The content's bytes from `content` on stand from `raw` on in all that was generated. */
typedef struct vbs_place {
    uint64_t content, raw;
} vbs_place;

typedef struct vbs_splitter {
    vbs_text content;
    vb_answer *answer;            /* NULL: all is content */
    vb_utf8 thought;              /* a character of reasoning that is not whole yet */
    bool hidden;                  /* reasoning is told nobody */
    const vb_call_format *format; /* NULL unless reasoning stays in the content */
    bool one_call;                /* the first call ends the answer */
    bool passed_on;               /* arguments of the present call */
    uint64_t fed;                 /* bytes of all tokens so far: their texts, those of control tokens too */
    uint64_t told;                /* of these, what is known to be what */
    uint64_t *ends;               /* (n_ends) where tokens end whose bytes are not all known yet */
    size_t n_ends, ends_room;
    vbs_place *places; /* (n_places) where content goes on after something else */
    size_t n_places, places_room;
    /* Results. */
    bool stopped; /* a stop string is complete, or one call was enough */
    uint64_t cut; /* with `stopped`: where the answer ends, counted as `fed` is */
    size_t calls; /* whole ones */
    size_t reasoning_tokens;
} vbs_splitter;

/* `calls` NULL: all is content. `thinking`: the prompt ends inside reasoning. Ids of calls are made from
 * `key`. Errors: those of vb_answer_open. Close it either way. */
int vbs_splitter_open(vbs_splitter *s, const vbs_ask *a, const vb_calls *calls, bool thinking, uint64_t key,
                      vb_error *err);
void vbs_splitter_close(vbs_splitter *s);
/* Takes a token; what it lets out is added to *out. Nothing is taken once it has stopped. */
int vbs_splitter_push(vbs_splitter *s, const vb_tokenizer *t, int32_t id, vbs_pieces *out, vb_error *err);
/* The answer ends here: what was held comes out. */
int vbs_splitter_end(vbs_splitter *s, vbs_pieces *out, vb_error *err);

#endif
