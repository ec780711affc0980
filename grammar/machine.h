/* machine.h - running a grammar: a pushdown automaton over bytes, made deterministic as it is needed.
 * Internal.
 *
 * What may still come is a set of alternatives, each a stack: a lexeme that is being read (a regular
 * expression; reading a byte takes its derivative), and below it what must follow, from the next to the last.
 *
 *   cell    one thing that must follow, and the tail below it
 *   tail    a set of cells, any of which may come next: stacks that differ below share what is above
 *   head    a lexeme and the tail behind it
 *   state   a set of heads, and whether the text may end here
 *
 * All are hash-consed: equal stacks are equal numbers, loops and right recursion push nothing that
 * stays, and a state's mask can be kept under its number. Of a state with equal lexemes the tails are
 * united, so that ambiguity costs a set's size and no more.
 *
 * Every head in a state can be completed as far as bytes go: expressions without a text are never entered. */
#ifndef VBG_MACHINE_H
#define VBG_MACHINE_H

#include "grammar/node.h"

typedef enum vbg_cell_kind {
    VBG_C_END,  /* the bottom: the text ends */
    VBG_C_NODE, /* `what` is an expression */
    VBG_C_SCOPE /* a memory ends here; `what` is the expression of all texts recorded in it */
} vbg_cell_kind;

typedef struct vbg_cell {
    uint32_t kind;
    vbg_node what;
    uint32_t tail;
} vbg_cell;

typedef struct vbg_head {
    vbg_node lexeme;
    uint32_t tail;
    uint32_t text; /* of a fresh text: what was read of it so far, as an index of vbg_machine.texts; else 0 */
} vbg_head;

typedef struct vbg_state {
    uint32_t first, n; /* heads */
    bool accept;
} vbg_state;

/* Numbers for equal things: a hash table of numbers beside an array. */
typedef struct vbg_index {
    uint32_t *slot; /* number + 1 */
    size_t size, n;
} vbg_index;

enum { VBG_DEAD_STATE = 0 };
#define VBG_UNKNOWN UINT32_MAX

/* A set of heads while it is put together. */
typedef struct vbg_heads {
    vbg_head *h;
    size_t n, room;
    bool accept;
} vbg_heads;

typedef struct vbg_machine {
    vbg_ir *ir;
    vbg_cell *cells;
    size_t n_cells, room_cells;
    uint32_t *members; /* of tails */
    size_t n_members, room_members;
    struct vbg_tail {
        uint32_t first, n;
        uint32_t after;  /* the state when nothing of the lexeme before is left, or VBG_UNKNOWN */
        uint32_t merged; /* the same with each expression in one cell, or VBG_UNKNOWN */
    } * tails;
    size_t n_tails, room_tails;
    vbg_head *heads;
    size_t n_heads, room_heads;
    vbg_state *states;
    size_t n_states, room_states;
    struct vbg_text {
        uint32_t before;
        uint8_t byte;
    } * texts; /* 0: none, 1: the empty text */
    size_t n_texts, room_texts;
    vbg_index cell_index, tail_index, state_index, text_index;
    vbg_node **next; /* (room_next) derivatives by byte of those lexemes that were asked for some */
    size_t room_next;
    size_t bytes;     /* allocated, about, without the ir's */
    size_t max_bytes; /* 0: no bound. More is VB_ERR_UNSUPPORTED */
    vbg_heads scratch[2];
    int uniting;    /* how deep unite calls itself */
    vb_error error; /* the first failure; everything answers VBG_DEAD_STATE afterwards */
    uint32_t start;
} vbg_machine;

/* A machine at the start of the grammar's root. It takes the ir, on failure too. */
int vbg_machine_new(vbg_machine **out, vbg_ir *ir, vb_error *err);
void vbg_machine_free(vbg_machine *m);
size_t vbg_machine_bytes(const vbg_machine *m);

/* The lexeme after a byte; VBG_NONE if it cannot come. */
vbg_node vbg_step_slow(vbg_machine *m, vbg_node n, uint8_t c);
static inline vbg_node vbg_step(vbg_machine *m, vbg_node n, uint8_t c) {
    if (n < m->room_next && m->next[n] && m->next[n][c] != VBG_UNKNOWN) return m->next[n][c];
    return vbg_step_slow(m, n, c);
}
/* The state after the bytes; VBG_DEAD_STATE if they cannot come. */
uint32_t vbg_advance(vbg_machine *m, uint32_t state, const char *bytes, size_t n);
/* The state when what is above the tail is done. */
uint32_t vbg_after(vbg_machine *m, uint32_t tail);
/* Bytes that may follow the state. */
void vbg_next_bytes(vbg_machine *m, uint32_t state, uint64_t next[4]);
/* vb_grammar_text; false, and nothing written, if the machine has failed. */
bool vbg_follow_text(vbg_machine *m, const char *text, size_t len, uint64_t next[4], bool *complete,
                     size_t *valid);

#endif
