/* schema_dfa_build.h - putting a vbj_dfa together, state by state. */
#ifndef VB_GRAMMAR_SCHEMA_DFA_BUILD_H
#define VB_GRAMMAR_SCHEMA_DFA_BUILD_H

#include "grammar/schema_dfa.h"

typedef struct {
    vbj_arena *arena;
    int32_t *first;
    bool *accept;
    vbj_edge *edges;
    size_t n_states, first_room, accept_room, edges_room;
    int32_t n_edges;
} vbj_build;

void vbj_build_begin(vbj_build *b, vbj_arena *a);
/* The next state; its edges follow, ascending, before the next state. Targets may be states that come
 * later. */
bool vbj_build_state(vbj_build *b, bool accept);
bool vbj_build_edge(vbj_build *b, uint32_t lo, uint32_t hi, int32_t to);
/* Without states that cannot be reached or cannot accept, numbered breadth first; not minimal. */
const vbj_dfa *vbj_build_end(vbj_build *b);

#endif
