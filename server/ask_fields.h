/* ask_fields.h - fields that other servers know: which are taken under another name, and which values of
 * those that are not there change nothing. The table is ask_table.c, what is done with it ask_fields.c. */
#ifndef VERBATIM_SERVER_ASK_FIELDS_H
#define VERBATIM_SERVER_ASK_FIELDS_H

#include "server/ask.h"

typedef struct vbs_alias {
    const char *foreign, *own;
} vbs_alias;
extern const vbs_alias VBS_ALIASES[]; /* ends with foreign == NULL */

typedef struct vbs_field {
    const char *name, *neutral, *beside, *use; /* as ask_table.c says; beside and use may be NULL */
} vbs_field;
extern const vbs_field VBS_REFUSED[], VBS_REFUSED_IN_MESSAGE[],
    VBS_REFUSED_IN_PART[];                                                 /* end with name == NULL */
extern const char *const VBS_HARMLESS[], *const VBS_HARMLESS_IN_MESSAGE[]; /* end with NULL */

/* Whether a value is one of a list in the notation of ask_table.c. */
bool vbs_is_neutral(const char *neutral, const json_t *v, int n_ctx);
bool vbs_listed(const char *const *list, const char *key);
/* The fields of a message or part `o`, called `where` in what is said:
 * those in `known` are read elsewhere. */
int vbs_ask_inner(vbs_ask *a, const char *where, const json_t *o, const vbs_field *refused,
                  const char *const *known, vbs_problem *p);
/* ask_samplers.c: 0 if `samplers` (an order of steps, as llama.cpp and text-generation-webui take it)
 * describes what is done here with the request's sampling; else -1 with the reason. */
int vbs_check_samplers(const char *key, const json_t *v, const vb_sampling *s, vbs_problem *p);
/* typical_p, top_n_sigma, xtc_*, dynatemp_*, dry_* into the request's sampling, which holds the defaults. */
int vbs_read_samplers(vbs_ask *a, const vbs_terms *t, vbs_problem *p);

#endif
