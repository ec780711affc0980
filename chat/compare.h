/* compare.h - equality and order as Python has them. Internal. */
#ifndef VB_CHAT_COMPARE_H
#define VB_CHAT_COMPARE_H

#include "chat/value.h"

bool vbt_equal(vbt *t, vbt_val a, vbt_val b);
/* a < b; raises where Python does. */
bool vbt_less(vbt *t, vbt_val a, vbt_val b);
/* a op b with op one of "<", "<=", ">", ">=" */
bool vbt_ordered(vbt *t, vbt_val a, vbt_val b, const char *op);
/* a in b */
bool vbt_contains(vbt *t, vbt_val b, vbt_val a);
bool vbt_same(vbt_val a, vbt_val b); /* a is b */
/* A float that is kept as its text (vbt_read_exact_json). */
bool vbt_is_decimal(vbt_val v);
/* Sorts v[0..n) by keys[0..n), both moved; stable, also in reverse. */
void vbt_sort(vbt *t, vbt_val *v, vbt_val *keys, size_t n, bool reverse);

#endif
