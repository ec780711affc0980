/* thread.h - a thread with a stack of a size that does not depend on the system. */
#ifndef VB_THREAD_H
#define VB_THREAD_H

#include <pthread.h>

/* pthread_create with 1 MiB of stack: what is inherited otherwise may be 8 MiB, which counts against a limit
 * of the address space (ulimit -v), 128 KiB (musl) or a few (ulimit -s). */
int vb_thread_start(pthread_t *thread, void *(*fn)(void *), void *arg);

#endif
