/* schema_check.h - whether a JSON value is an instance of a schema, for the tests: straight from the
 * specification, keyword by keyword, on the value. It shares no code and no idea with grammar/schema*.c
 * (patterns by PCRE2, numbers as doubles), and does not know formats, $id and "unevaluated". */
#ifndef TESTS_SCHEMA_CHECK_H
#define TESTS_SCHEMA_CHECK_H

#include <jansson.h>
#include <stdbool.h>

bool schema_check(const json_t *root, const json_t *schema, const json_t *value);

#endif
