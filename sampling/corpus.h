/* corpus.h - inside of a vb_corpus. Internal. */
#ifndef VB_CORPUS_H
#define VB_CORPUS_H

#include "sampling/suffix.h"

struct vb_corpus {
    vb_suffix *index;
    int32_t *text; /* (n) -1 between two texts: no path has it, so no match goes across */
    size_t n;
};

#endif
