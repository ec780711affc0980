/* listen.h - the sockets that a server listens on. */
#ifndef VERBATIM_SERVER_LISTEN_H
#define VERBATIM_SERVER_LISTEN_H

#include "include/verbatim.h"

#include <stdbool.h>

enum { VBS_MAX_LISTEN = 2 };

/* Listens on `port` of `host`: 0: 8000, or 8080 if that is taken; -1: any that is free. "localhost" is both
 * loopback addresses, or the one that there is. Sets fds, *n, *port and *fell_back. Errors: VB_ERR_IO, naming
 * the ports tried; VB_ERR_ARGUMENT for a host that is none. */
int vbs_listen(const char *host, int wanted, int fds[VBS_MAX_LISTEN], int *n, int *port, bool *fell_back,
               vb_error *err);

#endif
