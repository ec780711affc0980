/* interrupt.c - Ctrl-C ends a generation cleanly; a second one ends the program. */
#include "cli/cli.h"

#include <signal.h>
#include <string.h>

static volatile sig_atomic_t interrupted; /* the signal's number */
static const char *loading;               /* the file that is being loaded */

static void on_signal(int number) {
    interrupted = number;
}

void cli_interrupt_install(void) {
    struct sigaction action;
    memset(&action, 0, sizeof action);
    sigemptyset(&action.sa_mask);
    action.sa_handler = on_signal;
    action.sa_flags =
        (int)SA_RESETHAND; /* the second one has its default effect; no SA_RESTART: reads return */
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    action.sa_handler = SIG_IGN;
    action.sa_flags = 0;
    sigaction(SIGPIPE, &action, NULL);
}

bool cli_interrupted(void) {
    return interrupted != 0;
}

void cli_interrupt_reset(void) {
    interrupted = 0;
    cli_interrupt_install();
}

bool cli_interrupt_callback(void *user) {
    (void)user;
    return interrupted != 0;
}

void cli_interrupt_loading(const char *path) {
    loading = path;
}

int cli_interrupt_loaded(int rc) {
    if (!rc && cli_interrupted()) rc = cli_interrupt_report();
    loading = NULL;
    return rc;
}

int cli_interrupt_report(void) {
    const char *who = interrupted == SIGTERM ? "a signal (SIGTERM)" : "Ctrl-C";
    if (loading)
        return cli_error("stopped by %s while %s was being loaded; nothing was done yet", who, loading);
    return cli_error("stopped by %s before there was a result", who);
}
