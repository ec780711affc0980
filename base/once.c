/* once.c - see once.h. */
#include "base/once.h"

#include "base/thread.h"

#include <stdatomic.h>
#include <stdlib.h>

struct vb_once {
    pthread_mutex_t mutex;
    atomic_bool ready[];
};

int vb_once_open(vb_once **out, size_t items, vb_error *err) {
    vb_once *o = NULL;
    int rc = vb_alloc((void **)&o, sizeof *o + items * sizeof o->ready[0], 1, "a list of what is ready", err);
    if (rc) return rc;
    for (size_t i = 0; i < items; i++) atomic_init(&o->ready[i], false);
    pthread_mutex_init(&o->mutex, NULL);
    *out = o;
    return VB_OK;
}

void vb_once_close(vb_once *o) {
    if (!o) return;
    pthread_mutex_destroy(&o->mutex);
    free(o);
}

bool vb_once_is(const vb_once *o, size_t item) {
    return atomic_load_explicit(&o->ready[item], memory_order_acquire);
}

void vb_once_enter(vb_once *o) {
    pthread_mutex_lock(&o->mutex);
}

void vb_once_done(vb_once *o, size_t item) {
    atomic_store_explicit(&o->ready[item], true, memory_order_release);
}

void vb_once_leave(vb_once *o) {
    pthread_mutex_unlock(&o->mutex);
}
