/* once.h - a set of items that are made ready once each, by whoever needs them first: a bit per item that
 * threads may ask for while others set it. Internal. */
#ifndef VB_ONCE_H
#define VB_ONCE_H

#include "base/base.h"

typedef struct vb_once vb_once;

int vb_once_open(vb_once **out, size_t items, vb_error *err);
void vb_once_close(vb_once *o);
/* True: what was done before vb_once_done is visible to the caller. */
bool vb_once_is(const vb_once *o, size_t item);
/* Between these two the caller alone makes items ready: it asks again which are, does its work, and says for
 * each that it is done. */
void vb_once_enter(vb_once *o);
void vb_once_done(vb_once *o, size_t item);
void vb_once_leave(vb_once *o);

#endif
