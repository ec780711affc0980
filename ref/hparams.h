/* hparams.h - what a file's metadata says about the forward pass, read and validated. Internal to ref/. */
#ifndef VB_HPARAMS_H
#define VB_HPARAMS_H

#include "model.h"

/* Limits, far above the models in use, that keep every product of two of these in range. */
enum {
    VB_MAX_LAYERS = 4096,
    VB_MAX_WIDTH = 1 << 20, /* dim, ffn_dim, heads*head_dim */
    VB_MAX_HEADS = 1 << 16,
    VB_MAX_CONTEXT = 1 << 24,
    VB_MAX_VOCAB = 1 << 24,
};

/* Fills in m->arch, m->eps, m->rot, m->rope_scale, *rope_base and every field of m->info that metadata
 * determines. Every key under the architecture's name must be known: one that is not might change the output
 * (P6). Errors: VB_ERR_UNSUPPORTED, VB_ERR_FORMAT, naming file and key. */
int vb_hparams_read(vb_model *m, double *rope_base, vb_error *err);

#endif
