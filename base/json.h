/* json.h - reading and writing JSON so that it is whole or an error.
 *
 * Jansson's functions say by their return values when memory runs out, its writer forgets it for the keys of
 * objects, and its reader then reads beyond its own buffers. A program that puts JSON together in hundreds of
 * places lets Jansson allocate through functions that remember a failure (vb_json_watch), and whoever
 * finishes or reads a text asks them once: nothing leaves with a piece missing, nothing is called malformed
 * that only did not fit. The memory is of the thread. */
#ifndef VB_BASE_JSON_H
#define VB_BASE_JSON_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

/* Makes Jansson allocate through this file, for the whole process: for programs, first thing in main. The
 * library does not do this to its callers, and checks every call instead. */
void vb_json_watch(void);

/* An allocation for JSON failed in this thread since vb_json_begin, or ever. */
bool vb_json_failed(void);
void vb_json_begin(void);
/* The same said by code that allocates a part of a value by itself. */
void vb_json_fail(void);

/* json_loadb. NULL with vb_json_failed(): the memory did not suffice, the text may be good; *where (which may
 * be NULL) says so too. */
json_t *vb_json_read(const char *text, size_t n, size_t flags, json_error_t *where);

/* json_dumps, with the length in *n (which may be NULL); free() it. NULL: out of memory, now or since
 * vb_json_begin, or no value, or one that cannot be written. */
char *vb_json_write(const json_t *value, size_t flags, size_t *n);

#endif
