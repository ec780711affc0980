/* storm.c - a library for LD_PRELOAD: a timer's signal every millisecond, whose handler does nothing and does
 * not ask for interrupted calls to go on, as a program's or a library's own timers may be set up. */
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/time.h>

static void on_alarm(int number) {
    (void)number;
}

__attribute__((constructor)) static void begin(void) {
    struct sigaction action;
    const struct itimerval each = {.it_interval = {.tv_usec = 1000}, .it_value = {.tv_usec = 1000}};
    memset(&action, 0, sizeof action);
    sigemptyset(&action.sa_mask);
    action.sa_handler = on_alarm;
    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &each, NULL);
}
