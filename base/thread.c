/* thread.c - starts a thread with a stack of one size on every system. */
#include "base/thread.h"

#include <stddef.h>

int vb_thread_start(pthread_t *thread, void *(*fn)(void *), void *arg) {
    enum { STACK = 1 << 20 };
    pthread_attr_t attr;
    int rc = pthread_attr_init(&attr);
    if (rc) return rc;
    rc = pthread_attr_setstacksize(&attr, (size_t)STACK);
    if (!rc) rc = pthread_create(thread, &attr, fn, arg);
    pthread_attr_destroy(&attr);
    return rc;
}
