/* node.h - the inside of ir.h, for the files that derive, check and run expressions. Internal to grammar/. */
#ifndef VBG_NODE_H
#define VBG_NODE_H

#include "grammar/ir.h"

typedef enum vbg_kind {
    VBG_K_NONE,
    VBG_K_EMPTY,
    VBG_K_BYTES,  /* a: index of the set */
    VBG_K_SEQ,    /* a, b; a is no sequence, or a lexeme that is one, in front of a b that is none */
    VBG_K_ALT,    /* b members from lists[a], ascending, each once, none an alternation */
    VBG_K_AND,    /* likewise */
    VBG_K_NOT,    /* a */
    VBG_K_REPEAT, /* a, min times to max; b: masks are made by counting its rounds (vbg_is_counted) */
    VBG_K_DFA,    /* a: index of the DFA, b: its state */
    VBG_K_RULE,   /* a: index of the rule */
    VBG_K_SCOPE,  /* a */
    VBG_K_FRESH   /* a */
} vbg_kind;

enum {
    VBG_F_REGULAR = 1,  /* no rule, scope or fresh text below */
    VBG_F_NULLABLE = 2, /* the empty text belongs to it; beyond regular ones: known after vbg_ir_finish */
    VBG_F_PURE = 4,     /* regular without & and ~: never empty, since VBG_NONE is folded away */
    VBG_F_TEXT = 8,     /* there is a text, as far as is known: regular ones look further (vbg_has_text) */
    VBG_F_COUNTED = 16, /* such a repetition, or one is below */
    VBG_F_SEEN = 32,    /* vbg_has_text has the answer, */
    VBG_F_SOME = 64     /* which is yes */
};

typedef struct vbg_item {
    uint8_t kind, flags;
    uint16_t depth; /* of the calls that derive it */
    vbg_node a, b;
    uint32_t min, max; /* of a repetition */
} vbg_item;

enum { VBG_MAX_DEPTH = 500 };

typedef struct vbg_set {
    uint64_t w[4];
} vbg_set;

typedef struct vbg_rule_entry {
    char *name; /* or NULL */
    vbg_node body;
    bool set;
} vbg_rule_entry;

typedef struct vbg_dfa_entry {
    uint32_t n_states;
    bool *accept, *alive; /* alive: a text is accepted from the state */
    uint32_t *first;
    vbg_dfa_edge *edges;
} vbg_dfa_entry;

struct vbg_ir {
    vbg_item *nodes;
    size_t n_nodes, room_nodes;
    vbg_set *sets;
    size_t n_sets, room_sets;
    vbg_node *lists;
    size_t n_lists, room_lists;
    vbg_rule_entry *rules;
    size_t n_rules, room_rules;
    vbg_dfa_entry *dfas;
    size_t n_dfas, room_dfas;
    uint32_t *table; /* hash -> node + 1 */
    size_t table_size;
    size_t bytes; /* allocated, about */
    vbg_node root;
    vbg_node single[256]; /* the sets of one byte, 0: not made yet */
    uint8_t reps[256];    /* one byte of every class that no set and no DFA tells apart */
    int n_reps;
    size_t reps_sets, reps_dfas; /* they were computed for so many */
    uint64_t told[2][256][2];    /* by sets and by DFAs: hashes of what is told of a byte */
    uint64_t work;               /* calls of vbg_derive, and what else takes as long as one */
    vb_error error;
};

static inline bool vbg_set_has(const vbg_set *s, unsigned c) {
    return s->w[c >> 6] >> (c & 63) & 1;
}
static inline const vbg_item *vbg_at(const vbg_ir *ir, vbg_node n) {
    return &ir->nodes[n];
}

vbg_node vbg_byte_range(vbg_ir *ir, unsigned lo, unsigned hi);
vbg_node vbg_dfa_state(vbg_ir *ir, uint32_t dfa,
                       uint32_t state); /* VBG_NONE if nothing is accepted from it */
/* A repetition of which is said whether it is counted. */
vbg_node vbg_repeat_as(vbg_ir *ir, vbg_node a, uint32_t min, uint32_t max, bool counted);
/* Work of one vbg_has_text, and of all that vbg_ir_finish asks: some tenths of a second. */
enum { VBG_MAX_SEARCH = 16000000 };
/* Whether the masks of a{min,max} are better made by counting rounds than by a state for every count: many
 * counts, rounds that begin with many bytes, and no round the beginning of another, so that a text has one
 * count. */
bool vbg_is_counted(vbg_ir *ir, vbg_node a, uint32_t min, uint32_t max);
/* All ways to write the JSON string that a text is, quotation marks included; the text itself if it is
 * none. */
vbg_node vbg_spellings(vbg_ir *ir, const char *s, size_t n);
/* The derivative of a regular node by a byte. */
vbg_node vbg_derive(vbg_ir *ir, vbg_node n, uint8_t c);
/* One byte of each class of bytes that no set and no DFA of the builder tells apart. */
const uint8_t *vbg_byte_classes(vbg_ir *ir, int *n);
/* A copy that may grow on its own. */
int vbg_ir_copy(vbg_ir **out, const vbg_ir *from, vb_error *err);

#endif
