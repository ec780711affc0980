/* schema_arena.h - memory that a compilation takes piece by piece and gives back at once, with a limit on
 * bytes and on steps.
 *
 * A small schema can describe an automaton that fills any machine (nested repetitions, products of
 * patterns). So everything that the compiler builds comes from an arena, and every loop whose length the
 * input decides counts its steps: what is too large ends in an error, after a bounded time and in bounded
 * memory. */
#ifndef VB_GRAMMAR_SCHEMA_ARENA_H
#define VB_GRAMMAR_SCHEMA_ARENA_H

#include "base/base.h"

typedef struct vbj_chunk vbj_chunk;

typedef struct vbj_arena {
    vbj_chunk *chunks; /* the newest first */
    size_t used;       /* bytes taken from the system */
    size_t limit;      /* most of them */
    uint64_t steps;    /* work done */
    uint64_t max_steps;
    bool full;   /* the limit on bytes or steps was met */
    bool failed; /* the system had no memory */
} vbj_arena;

void vbj_arena_begin(vbj_arena *a, size_t limit, uint64_t max_steps);
void vbj_arena_end(vbj_arena *a);
/* A part of `a` for what is needed for a moment: it has what bytes and steps `a` has left. vbj_arena_join
 * ends it and adds its steps, and its failure if it had one, to those of `a`. */
void vbj_arena_part(vbj_arena *part, const vbj_arena *a);
void vbj_arena_join(vbj_arena *a, vbj_arena *part);

/* `count` elements of `size` bytes, zeroed, aligned for any type; NULL where the limit or the system says
 * no: a->full or a->failed tells which, and stays set. */
void *vbj_take(vbj_arena *a, size_t count, size_t size);
/* Room for more: *items (of `size` bytes, `n` used, *room there) has place for one more after it. The old
 * block stays in the arena until the end, so doubling costs at most as much again. False as vbj_take's
 * NULL. */
bool vbj_grow(vbj_arena *a, void *items, size_t n, size_t *room, size_t size);
/* Counts n steps; false when there were too many. */
bool vbj_steps(vbj_arena *a, uint64_t n);
/* Steps of sorting n things. */
uint64_t vbj_sorting(uint64_t n);

#endif
