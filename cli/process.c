/* process.c - what the system may do to a program is made sure of before anything else happens: closed
 * standard descriptors, a limit on the size of files, a mapped file that is cut short. */
#include "cli/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

/* A closed descriptor below 3 would be the next file that is opened: what the program prints would lie among
 * the weights that it writes. What stands there instead is opened the wrong way round, so that using it is
 * the error that it was before. */
static void occupy_descriptors(void) {
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
        if (fcntl(fd, F_GETFD) >= 0 || errno != EBADF) continue;
        if (open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY) < 0 && open("/", O_RDONLY) < 0)
            return;
    }
}

/* The whole handler may run in any thread at any moment: only what POSIX calls async-signal-safe. */
static void on_bus_error(int number, siginfo_t *info, void *context) {
    static const char before[] = "verbatim: ",
                      after[] = ": cannot be read any more: the file was cut short while it was in use, or "
                                "its disk failed\n";
    const char *path = vb_gguf_file_at(info->si_addr);
    (void)context;
    if (!path) return; /* not ours to explain: the default action, restored by now, comes next */
    ssize_t n = write(STDERR_FILENO, before, sizeof before - 1);
    n = n < 0 ? n : write(STDERR_FILENO, path, strlen(path));
    n = n < 0 ? n : write(STDERR_FILENO, after, sizeof after - 1);
    (void)number, (void)n;
    _exit(CLI_FAIL);
}

int cli_process_open(void) {
    enum { LEAST_STACK = 64 << 10 };
    struct sigaction action;
    struct rlimit stack;
    occupy_descriptors();
    if (!getrlimit(RLIMIT_STACK, &stack) && stack.rlim_cur < LEAST_STACK) { /* too small for printf, too */
        static const char text[] = "verbatim: the stack is too small (ulimit -s): 64 kB are needed\n";
        const ssize_t n = write(STDERR_FILENO, text, sizeof text - 1);
        (void)n;
        return CLI_FAIL;
    }
    signal(SIGXFSZ, SIG_IGN); /* a file that grows too large is a write that fails (EFBIG) */
    memset(&action, 0, sizeof action);
    sigemptyset(&action.sa_mask);
    action.sa_sigaction = on_bus_error;
    action.sa_flags = SA_SIGINFO | (int)SA_RESETHAND;
    sigaction(SIGBUS, &action, NULL);
    return CLI_OK;
}
