/* filters.h - what the files of filters share. Internal. */
#ifndef VB_CHAT_FILTERS_H
#define VB_CHAT_FILTERS_H

#include "chat/repr.h"
#include "chat/run.h"

typedef vbt_val (*vbt_filter_fn)(vbt *t, vbt_val v, const vbt_args *a);
typedef struct vbt_filter_def {
    const char *name;
    vbt_filter_fn run; /* NULL: Jinja has it, this does not */
} vbt_filter_def;

extern const vbt_filter_def vbt_text_filters[], vbt_list_filters[]; /* end with name == NULL */

/* str(v) */
const vbt_str *vbt_soft(vbt *t, vbt_val v);
/* Sorting and comparing without case: strings in lower case, other values as they are. */
vbt_val vbt_key(vbt *t, vbt_val v, vbt_val path, bool case_sensitive);
bool vbt_flag(vbt *t, vbt_val v, bool otherwise); /* an argument that may be missing */
int64_t vbt_number(vbt *t, vbt_val v, int64_t otherwise, const char *what);

#endif
