/* calls.h - calls of tools and reasoning: how a template writes them, and how they are read back. Internal;
 * docs/chat.md says what is promised.
 *
 *   calls.c           the public functions; what prompts say about calls that their template does not show
 *   calls_probe.c     how a template writes calls, found by rendering conversations through it
 *   calls_input.c     a client's messages as the template wants them
 *   calls_tools.c     the request's tools: their names, the types of their arguments
 *   calls_scan.c      JSON byte by byte; literals with any white space in them
 *   calls_read.c      one call byte by byte: members of an object, a name and an object
 *   calls_tags.c      arguments between tags
 *   calls_literal.c   arguments as Python or Gemma writes them
 *   answer.c          an answer as it comes: content, reasoning, calls
 *   answer_channels.c the same for gpt-oss, whose every message has a header */
#ifndef VB_CHAT_CALLS_H
#define VB_CHAT_CALLS_H

#include "base/buf.h"
#include "chat/value.h"

/* ---------------------------------------------------------------------------------------------- scanning */

typedef enum vbc_step {
    VBC_MORE,
    VBC_DONE,   /* this byte was the last one */
    VBC_BEFORE, /* the byte before was the last one: this one does not belong to it */
    VBC_WRONG
} vbc_step;

enum { VBC_DEPTH = 256 }; /* nested values of an argument */

/* A JSON value, checked byte by byte (RFC 8259, UTF-8 included). Zero-initialise. */
typedef struct vbc_json {
    uint8_t state, stack[VBC_DEPTH / 8]; /* a bit per level: an object */
    int depth;
    uint8_t digits;            /* of \u, still to come */
    uint8_t more, least, most; /* bytes of a character still to come; what the next one may be */
    uint8_t word, at;          /* of true, false, null */
    uint8_t top;               /* first byte of the value */
} vbc_json;
vbc_step vbc_json_byte(vbc_json *j, unsigned char c);
/* Whether the text is one JSON value with nothing but white space around it; *first is its first byte. */
bool vbc_json_whole(const char *s, size_t n, char *first);
/* The text of a JSON string (with its quotes, checked before); false: half of a surrogate pair. */
bool vbc_json_text(const char *s, size_t n, vb_buf *out);
/* s between quotes as JSON; s is UTF-8. */
void vbc_json_put(vb_buf *b, const char *s, size_t n);
void vbc_json_escape(vb_buf *b, const char *s, size_t n); /* without the quotes */

typedef enum vbc_fit { VBC_NO, VBC_PART, VBC_YES } vbc_fit;
/* Whether s begins with a literal: white space in the literal stands for any, none too, and some may stand
 * before and behind { } [ ] , : and between tags; the byte 1 in it stands for an id, appended to *id (may be
 * NULL). PART: s is a beginning of it. *used: its bytes of s, without white space behind. */
vbc_fit vbc_match(const char *literal, const char *s, size_t n, size_t *used, vb_buf *id);
static inline bool vbc_space(char c) {
    return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}
/* White space at the beginning of s. */
size_t vbc_spaces(const char *s, size_t n);

/* ------------------------------------------------------------------------------------------------- tools */

typedef struct vbc_tools {
    vbt memory;
    const vbt_list *list; /* of functions: {"name": ..., "parameters": ...} */
} vbc_tools;
int vbc_tools_read(vbc_tools *t, const char *json, size_t n, vb_error *err);
void vbc_tools_free(vbc_tools *t);
/* The function of this name, NULL if there is none. */
const vbt_dict *vbc_tool(const vbc_tools *t, const char *name, size_t n);
/* The member of a dict by its key's bytes; never fails. */
const vbt_val *vbc_member(const vbt_dict *d, const char *key, size_t n);

enum { VBC_STRING = 1, VBC_NUMBER = 2, VBC_BOOL = 4, VBC_NULL = 8, VBC_OBJECT = 16, VBC_ARRAY = 32 };
/* The types that a function's argument may have by its schema, 0: it does not say. */
unsigned vbc_types(const vbt_dict *function, const char *key, size_t n);
/* An argument's text, as a format without types writes it, as JSON. */
void vbc_typed(vb_buf *out, const char *text, size_t n, unsigned types);

/* --------------------------------------------------------------------------------------------- the format */

struct vb_calls {
    vb_call_format f;
    const vb_chat *chat;
    const vb_tokenizer *tokenizer;
    char **texts; /* all that f and the fields below point to */
    size_t n_texts, texts_room;
    bool failed; /* a text did not fit into memory */
    const char
        *trigger;      /* open and begin up to the object or the name: what a call is recognised by; "": only
                             at the start of an answer */
    const char *other; /* another one, NULL if there is none */
    const char *next;  /* separator and begin, likewise */
    const char *tail;  /* end, behind the object or the arguments */
    const char *item_or;  /* TAGS: between and item; NULL otherwise */
    const char *end_or;   /* TAGS: between and end */
    bool channels;        /* gpt-oss */
    bool recipients;      /* Functionary */
    bool short_ids;       /* the template refuses ids but of nine letters and digits */
    bool null_content;    /* an answer of calls alone has None for content; "" otherwise */
    bool joins_parts;     /* the template does not take content in parts */
    bool tools_in_system; /* the template shows tools that are a member of the system message */
    bool names_in_ids;    /* the template writes a call's id in place of its name: functions.NAME:NUMBER */
};
/* A copy that lives as long as k. */
const char *vbc_keep(vb_calls *k, const char *s, size_t n);
const char *vbc_keeps(vb_calls *k, const char *a, const char *b); /* a and b, joined */

/* Fills k->f by rendering; what it does not find stays "". */
int vbc_probe(vb_calls *k, vb_error *err);
/* Fills it from what a prompt with tools tells the model, where the template does not show calls. */
void vbc_known(vb_calls *k, const char *prompt, size_t n);
/* gpt-oss, by its prompts; its answers are not written as its template shows them. */
bool vbc_known_channels(vb_calls *k, const char *prompt, size_t n);
/* A client's messages and tools as the template wants them; d holds the variables of the run. */
void vbc_input(vbt *t, const vb_calls *k, vbt_val d);
/* The fields behind f from f. */
void vbc_derive(vb_calls *k);

/* ------------------------------------------------------------------------------------- reading one call */

/* A value as Python or Gemma writes it, turned into JSON byte by byte. Zero-initialise, then set gemma. */
typedef struct vbc_literal {
    bool gemma;
    uint8_t state, stack[VBC_DEPTH / 8];
    int depth;
    char quote;
    vb_buf held; /* a word; what may end a string */
    uint32_t code;
    uint8_t digits, base;
    bool key; /* this string is a key */
} vbc_literal;
/* VBC_BEFORE: the value ended before this byte. */
vbc_step vbc_literal_byte(vbc_literal *l, char c, vb_buf *out);
void vbc_literal_free(vbc_literal *l);

/* One call while it is read, from behind what it was recognised by. */
typedef struct vbc_reader {
    const vb_calls *k;
    const vbc_tools *tools;
    bool any_name;
    bool lenient; /* vb_answer_params.loose */
    bool loose;   /* this call stands without its marks: a JSON object of exactly a name and arguments */
    bool doubled; /* in doubled braces */
    vb_call_style style; /* k's, or another one that models of this format write, too */
    int state, depth, role;
    vbc_json json;
    vbc_literal literal;
    vb_buf name, id, args, key, text, held;
    const vbt_dict *function; /* once the name is known */
    bool named;               /* the name is known and a call may be announced */
    bool has_args, begun;     /* its arguments are there; have begun */
    bool complete;            /* the answer may end here */
    bool either;              /* an object, or f.call(a=1) */
    size_t sure;              /* bytes of args that will stay, whole characters */
    unsigned types;           /* TAGS: of the argument being read */
    size_t sent, found;       /* TAGS: bytes of text in args; where the end may stand, SIZE_MAX: not seen */
    bool streamed,
        stripped; /* TAGS: the argument goes out as it comes; white space before it was looked at */
    int n_args;
} vbc_reader;
/* Forgets the call before. `other`: it was recognised by k->other. */
void vbc_reader_start(vbc_reader *r, bool other);
void vbc_reader_free(vbc_reader *r);
vbc_step vbc_read_byte(vbc_reader *r, char c);
/* The answer ended: whether what was read is a call. */
bool vbc_read_end(vbc_reader *r);
/* gpt-oss: the name stands in a header, and r goes on with the arguments. False: no tool is called so. */
bool vbc_reader_named(vbc_reader *r, const char *name, size_t n);

/* For calls_read.c: calls_tags.c and calls_literal.c. */
vbc_step vbc_read_tags(vbc_reader *r, char c);
bool vbc_end_tags(vbc_reader *r);
vbc_step vbc_read_python(vbc_reader *r, char c);
bool vbc_name_byte(char c);
/* Takes a byte of the name, or white space before it; false: the name ended before this byte. */
bool vbc_in_name(vbc_reader *r, char c);
/* The name is whole: false: there is no such tool. */
bool vbc_know_name(vbc_reader *r);
vbc_step vbc_read_tail(vbc_reader *r, char c);
/* r is behind the arguments: what is left is the tail. */
vbc_step vbc_to_tail(vbc_reader *r);
enum { VBC_NAME, VBC_BETWEEN, VBC_ARGS, VBC_TAIL, VBC_OWN }; /* states; those of a style begin at VBC_OWN */

/* ------------------------------------------------------------------------------------------- the answer */

typedef struct vbc_event {
    vb_said_kind kind;
    size_t from, to, name, id; /* in `out` */
    int index;
} vbc_event;

typedef enum vbc_place {
    VBC_AT_START, /* nothing but white space was said */
    VBC_IN_THOUGHT,
    VBC_BEHIND_THOUGHT,
    VBC_IN_CONTENT,
    VBC_IN_CALL,
    VBC_BEHIND_CALL,
    VBC_IN_HEADER, /* gpt-oss and Functionary, from here */
    VBC_IN_BODY
} vbc_place;

struct vb_answer {
    const vb_calls *k;
    vbc_tools tools;
    bool has_tools, reasoning, early;
    bool shows_thought; /* markers of reasoning are content, also as control tokens */
    bool loose;         /* calls without marks are looked for */
    bool fence;         /* the last call stood behind a code fence */
    bool list;          /* and in a list */
    char before;        /* the last byte of content; 0: there is none yet */
    uint64_t seed;
    vbc_place place;
    vb_buf in; /* bytes that are not decided yet, from `base` on */
    uint8_t *control;
    size_t control_room, base, at; /* at: IN_CALL: the next byte for the reader */
    vbc_reader reader;
    int n_calls;
    bool thought;   /* reasoning came already */
    bool announced; /* early: the call has begun for the caller */
    size_t told;    /* bytes of its arguments that were told */
    bool ended;
    vb_said_kind body; /* gpt-oss: what the body is */
    vb_buf out;
    vbc_event *events;
    size_t n_events, events_room, taken;
    bool failed;
};
/* The bytes [base, base + n) come out as this kind, control tokens as marks; base moves on. */
void vbc_say(vb_answer *a, vb_said_kind kind, size_t n);
void vbc_say_call(vb_answer *a, bool whole);
void vbc_say_arguments(vb_answer *a);
void vbc_say_end(vb_answer *a, vb_said_kind kind, size_t raw);
/* One step of gpt-oss; false: more bytes are needed. `last`: there are none. */
bool vbc_channels(vb_answer *a, bool last);
/* The same of Functionary. */
bool vbc_recipients(vb_answer *a, bool last);
/* Feeds the reader; false: more bytes are needed. */
bool vbc_in_call(vb_answer *a, bool last);

#endif
