/* connection.h - one client's connection: requests until it ends, and what handlers write to it. */
#ifndef VERBATIM_SERVER_CONNECTION_H
#define VERBATIM_SERVER_CONNECTION_H

#include "server/http_head.h"

struct vbs_server;
struct vbs_call;

/* A connection, from accept to close. The list, `answering`, `since` and `evicted` are under the server's
 * lock. */
typedef struct vbs_peer {
    struct vbs_server *s;
    struct vbs_peer *next, **link; /* in vbs_server.peers, the newest first */
    int fd;
    double since;   /* when it was opened, or its last request was answered */
    bool answering; /* a whole request is there and being worked on */
    bool evicted;
    char *buffer; /* [at, n): bytes that came and are not read yet */
    size_t at, n;
} vbs_peer;

/* Answers requests until the connection ends; closes nothing. */
void vbs_connection_serve(vbs_peer *peer);

#endif
