/* hparams.h - reads metadata keys under an architecture's name, failing closed: a value that is missing, of
 * the wrong type, out of range or not understood is an error, because a forward pass with a guessed value
 * runs and gives wrong logits.
 *
 * A key counts as known because it was read: vb_hparams_close refuses every other key under the
 * architecture's name. So a key belongs to the architectures whose code reads it, and to no others (P6).
 * The first error stays; later reads then do nothing, so that a function may read all it needs and look at
 * `rc` once. Internal to ref/. */
#ifndef VB_HPARAMS_H
#define VB_HPARAMS_H

#include "ref/model.h"

typedef struct vb_hparams {
    const vb_gguf *g;
    const char *arch;           /* the prefix of the keys */
    bool *read;                 /* (vb_gguf_meta_count(g)): some function asked for this entry */
    const vb_rope_params *rope; /* what the caller wants instead of the file's */
    vb_error *err;
    int rc;
} vb_hparams;

int vb_hparams_open(vb_hparams *h, const vb_gguf *g, const char *arch, vb_error *err);
/* Refuses what nobody read; frees the memory. Returns h->rc. */
int vb_hparams_close(vb_hparams *h);

/* The entry "ARCH.key", NULL if there is none; counts as read. */
const vb_meta *vb_hparams_find(vb_hparams *h, const char *key);
/* The key is known and has no effect on the forward pass; the call's place says why. */
void vb_hparams_ignore(vb_hparams *h, const char *key);
/* Fails with "FILE: ARCH.key WHY" unless something failed before. */
void vb_hparams_refuse(vb_hparams *h, int code, const char *key, const char *why);

/* An integer in [min, max]. An array, one value per layer, must hold equal values. Absent: `fallback`, or an
 * error if that is negative. */
int64_t vb_hparams_int(vb_hparams *h, const char *key, int64_t fallback, int64_t min, int64_t max);
/* A finite float in [min, max]. Absent: `fallback`, or an error if that is NaN. */
double vb_hparams_float(vb_hparams *h, const char *key, double fallback, double min, double max);
/* A truth value. Absent: `fallback`. */
bool vb_hparams_bool(vb_hparams *h, const char *key, bool fallback);
/* True when the key is there and is this string. */
bool vb_hparams_is(vb_hparams *h, const char *key, const char *text);

#endif
