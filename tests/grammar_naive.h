/* grammar_naive.h - a second reader of expressions over bytes (grammar/ir.h), for the tests: it tries one
 * way after the other, straight from what the nodes mean. It shares nothing with the automaton but the
 * nodes, and takes exponential time where that takes little. No ~. */
#ifndef TESTS_GRAMMAR_NAIVE_H
#define TESTS_GRAMMAR_NAIVE_H

#include "grammar/ir.h"

/* A mistake to plant: fresh texts may come again. */
extern bool grammar_naive_forgets;

bool grammar_naive_match(const vbg_ir *ir, vbg_node root, const char *text, size_t n);

#endif
