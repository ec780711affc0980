/* shape.h - what answers must look like, as constraints that requests share. */
#ifndef VERBATIM_SERVER_SHAPE_H
#define VERBATIM_SERVER_SHAPE_H

#include "server/ask.h"

#include <pthread.h>

typedef struct vbs_shape vbs_shape;

typedef struct vbs_shapes {
    pthread_mutex_t lock;
    vb_vocabulary *vocabulary; /* made when the first one is needed */
    vbs_shape *first;
    uint64_t clock;
} vbs_shapes;

typedef struct vbs_shape_terms {
    const vb_tokenizer *tokenizer;
    int32_t n_vocab;
    const vb_call_format *calls; /* NULL: none */
} vbs_shape_terms;

void vbs_shapes_init(vbs_shapes *s);
void vbs_shapes_close(vbs_shapes *s);
/* The constraint of what the request says (vbs_ask_shaped), to be put back. From any thread. Errors: those of
 * vb_grammar_open, vb_grammar_open_calls and vb_constraint_open. */
int vbs_shape_get(vbs_shapes *s, vbs_shape **out, const vbs_ask *a, const vbs_shape_terms *t, vb_error *err);
void vbs_shape_put(vbs_shapes *s, vbs_shape *shape);
vb_constraint *vbs_shape_constraint(const vbs_shape *s); /* NULL for NULL */

/* The id of a template's marker, or -1 if it is none. */
int32_t vbs_marker_id(const vb_tokenizer *t, const char *marker);

#endif
