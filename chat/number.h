/* number.h - Python's arithmetic. Internal. */
#ifndef VB_CHAT_NUMBER_H
#define VB_CHAT_NUMBER_H

#include "chat/value.h"

/* a op b; op is '+', '-', '*', '/', '%', or 'f' for // and 'p' for **. Also of strings and lists. */
vbt_val vbt_binary(vbt *t, char op, vbt_val a, vbt_val b);
vbt_val vbt_negate(vbt *t, vbt_val v, bool minus); /* -v, +v */
vbt_val vbt_absolute(vbt *t, vbt_val v);
/* An integer written with these digits, beyond 64 bits where it has to be. */
vbt_val vbt_int_text(vbt *t, const char *digits, size_t n, bool given);
/* int(text, base) and float(text); false: Python raises ValueError. */
bool vbt_parse_int(vbt *t, const vbt_str *s, int64_t base, vbt_val *out);
bool vbt_parse_float(vbt *t, const vbt_str *s, double *out);
/* A double of "1.5e3" as the C locale reads it; t may be NULL for short ones. */
double vbt_strtod(vbt *t, const char *s, size_t n);
/* int(f) of a finite float. */
vbt_val vbt_truncate(vbt *t, double f);
/* round(f, digits) */
double vbt_round(vbt *t, double f, int64_t digits);
/* An argument that has to be an integer, `what` it is called. */
int64_t vbt_need_int(vbt *t, vbt_val v, const char *what);
/* A number as a float. */
double vbt_as_double(vbt *t, vbt_val v);
/* snprintf of a double, with a point whatever the locale. */
int vbt_print_double(char *out, size_t size, const char *format, int precision, double f);

#endif
