/* whole.c - makes, writes and places output files. The system's rename puts a complete file in its place
 * in one step, so nobody ever sees a part of it. */
#include "base/whole.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MOST_NAMES = 1000 };

int vb_whole_open(const char *path, char **part, int *fd, vb_error *err) {
    const size_t size = strlen(path) + 48;
    void *name = NULL;
    int rc = vb_alloc(&name, size, 1, "a file name", err), file = -1;
    if (rc) return rc;
    for (int i = 1; file < 0 && i <= MOST_NAMES; i++) {
        const int n = snprintf(name, size, "%s.part-%ld", path, (long)getpid());
        if (i > 1) snprintf((char *)name + n, size - (size_t)n, "-%d", i);
        do file = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        while (file < 0 && errno == EINTR);
        if (file < 0 && errno != EEXIST) break;
    }
    if (file < 0) {
        rc = vb_fail(err, VB_ERR_IO, "cannot create %s: %s", (const char *)name, strerror(errno));
        free(name);
        return rc;
    }
    *part = name;
    *fd = file;
    return VB_OK;
}

int vb_whole_write(int fd, const void *bytes, size_t n) {
    const uint8_t *at = bytes;
    while (n) {
        const ssize_t done = write(fd, at, n < 1u << 30 ? n : 1u << 30);
        if (done < 0 && errno == EINTR) continue;
        if (done < 0) return -1;
        at += done;
        n -= (size_t)done;
    }
    return 0;
}

static int taken(const char *path, vb_error *err) {
    return vb_fail(err, VB_ERR_ARGUMENT,
                   "%s exists by now, another run wrote it: choose another name, or force it to be replaced",
                   path);
}

int vb_whole_place(const char *part, const char *path, bool replace, vb_error *err) {
    struct stat st;
    if (!replace) {
        /* A link does not replace what is there, as a rename does. Some file systems have none. */
        if (!link(part, path)) {
            unlink(part);
            return VB_OK;
        }
        if (errno == EEXIST || !lstat(path, &st)) return taken(path, err);
    }
    if (rename(part, path)) return vb_fail(err, VB_ERR_IO, "%s: cannot rename: %s", path, strerror(errno));
    return VB_OK;
}
