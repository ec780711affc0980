/* ctrl_c.c - in front of the C library (LD_PRELOAD): the moment a file is opened whose name ends as VB_CTRL_C
 * says, the program gets the signal that Ctrl-C sends. */
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

int open(const char *path, int flags, ...) {
    const char *wanted = getenv("VB_CTRL_C");
    const size_t n = strlen(path), end = wanted ? strlen(wanted) : 0;
    mode_t mode = 0;
    if (flags & O_CREAT) {
        va_list ap;
        va_start(ap, flags);
        mode = va_arg(ap, mode_t);
        va_end(ap);
    }
    const int fd = (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
    if (end && n >= end && !strcmp(path + n - end, wanted)) raise(SIGINT);
    return fd;
}
