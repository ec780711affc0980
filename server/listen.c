/* listen.c - the sockets that a server listens on. See listen.h. */
#include "server/listen.h"

#include "base/base.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

/* A listening socket, or -1 with errno. */
static int listen_on(const struct addrinfo *a) {
    int one = 1, fd = socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, a->ai_protocol);
    if (fd < 0) return -1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (!bind(fd, a->ai_addr, a->ai_addrlen) && !listen(fd, 128)) return fd;
    int saved = errno;
    close(fd);
    errno = saved;
    return -1;
}

/* *fd is -1, with errno, if none of the host's addresses can be listened on. */
static int try_port(const char *host, int port, int *fd, vb_error *err) {
    char service[16];
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE},
                    *found;
    snprintf(service, sizeof service, "%d", port);
    int rc = getaddrinfo(host, service, &hints, &found);
    if (rc) return vb_fail(err, VB_ERR_ARGUMENT, "host %s: %s", host, gai_strerror(rc));
    *fd = -1;
    for (const struct addrinfo *a = found; a && *fd < 0; a = a->ai_next) *fd = listen_on(a);
    const int saved = errno;
    freeaddrinfo(found);
    errno = saved;
    return 0;
}

static int port_of(int fd) {
    struct sockaddr_storage name;
    socklen_t len = sizeof name;
    char service[16] = "";
    if (!getsockname(fd, (struct sockaddr *)&name, &len))
        getnameinfo((struct sockaddr *)&name, len, NULL, 0, service, sizeof service, NI_NUMERICSERV);
    return atoi(service);
}

/* Both loopback addresses on one port: programs that look up "localhost" get ::1 first, and not all of them
 * try the other. Where the system has no IPv6, or none on the loopback, 127.0.0.1 alone is all there is. */
static int try_loopback(int port, int fds[VBS_MAX_LISTEN], int *n, vb_error *err) {
    for (int tries = 0; tries < 8; tries++) {
        int rc = try_port("127.0.0.1", port, &fds[0], err);
        if (rc || fds[0] < 0) return rc;
        *n = 1;
        rc = try_port("::1", port_of(fds[0]), &fds[1], NULL);
        if (!rc && fds[1] >= 0) *n = 2;
        if (*n == 2 || rc || errno != EADDRINUSE) return 0;
        close(fds[0]);
        fds[0] = -1;
        *n = 0;
        errno = EADDRINUSE;
        if (port) return 0; /* any other free port may be free on both */
    }
    return 0;
}

static int try_host(const char *host, int port, int fds[VBS_MAX_LISTEN], int *n, vb_error *err) {
    *n = 0;
    if (!strcasecmp(host, "localhost")) return try_loopback(port, fds, n, err);
    int rc = try_port(host, port, &fds[0], err);
    if (!rc && fds[0] >= 0) *n = 1;
    return rc;
}

int vbs_listen(const char *host, int wanted, int fds[VBS_MAX_LISTEN], int *n, int *port, bool *fell_back,
               vb_error *err) {
    int number = wanted < 0 ? 0 : wanted ? wanted : 8000;
    int rc = try_host(host, number, fds, n, err);
    if (!rc && !*n && !wanted && errno == EADDRINUSE) {
        number = 8080;
        *fell_back = true;
        rc = try_host(host, number, fds, n, err);
    }
    if (rc) return rc;
    const int why = errno;
    if (!*n && why == EADDRINUSE && *fell_back)
        return vb_fail(err, VB_ERR_IO,
                       "ports 8000 and 8080 of %s are both in use: choose another with --port N", host);
    if (!*n)
        return vb_fail(err, VB_ERR_IO, "cannot listen on port %d of %s: %s%s", number, host, strerror(why),
                       why == EADDRINUSE ? ": choose another with --port N"
                       : why == EACCES   ? ": choose one above 1023 with --port N"
                                         : "");
    *port = port_of(fds[0]);
    return 0;
}
