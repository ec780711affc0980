/* load.c - what else this machine was doing while something was measured, and how long ago that was. A
 * measurement beside other work is kept like any other, and would otherwise choose lengths for ever without a
 * word. */
#include "cli/cli.h"

#include <math.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

/* Processor time of all since the start, in seconds: *all with, *busy without idling. Linux only. */
static bool read_all(double *all, double *busy) {
    /* user nice system idle iowait irq softirq steal; guests are counted as users */
    double v[8] = {0};
    FILE *f = fopen("/proc/stat", "r");
    const long ticks = sysconf(_SC_CLK_TCK);
    const int n = f ? fscanf(f, "cpu %lf %lf %lf %lf %lf %lf %lf %lf", &v[0], &v[1], &v[2], &v[3], &v[4],
                             &v[5], &v[6], &v[7])
                    : 0;
    if (f) fclose(f);
    if (n < 4 || ticks <= 0) return false;
    *all = *busy = 0;
    for (int i = 0; i < 8; i++) {
        *all += v[i] / (double)ticks;
        if (i != 3 && i != 4) *busy += v[i] / (double)ticks;
    }
    return true;
}

static double own_seconds(void) {
    struct rusage u;
    if (getrusage(RUSAGE_SELF, &u)) return 0;
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
           1e-6 * (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

void cli_load_begin(cli_load *l) {
    *l = (cli_load){.own = own_seconds()};
    l->known = read_all(&l->all, &l->busy);
}

double cli_load_others(const cli_load *l) {
    double all, busy;
    if (!l->known || !read_all(&all, &busy) || all - l->all < 0.1) return (double)NAN;
    const double share = (busy - l->busy - (own_seconds() - l->own)) / (all - l->all);
    return share < 0 ? 0 : share > 1 ? 1 : share;
}

void cli_load_write(json_t *o, double others) {
    json_object_set_new(o, "others", cli_json_real(others));
    json_object_set_new(o, "at", json_integer((json_int_t)time(NULL)));
}

double cli_load_read(const json_t *o) {
    const json_t *v = json_object_get(o, "others");
    return json_is_number(v) ? json_number_value(v) : (double)NAN;
}

const char *cli_load_age(const json_t *o, char out[32]) {
    static const struct {
        double seconds;
        const char *word;
    } units[] = {{86400, "day"}, {3600, "hour"}, {60, "minute"}};
    const json_t *at = json_object_get(o, "at");
    const double age = difftime(time(NULL), (time_t)json_integer_value(at));
    snprintf(out, 32, json_is_integer(at) && age >= 0 ? "just now" : "before");
    for (int i = 0; i < 3 && json_is_integer(at) && age < 1e10; i++)
        if (age >= units[i].seconds) {
            const double n = floor(age / units[i].seconds);
            snprintf(out, 32, "%.0f %s%s ago", n, units[i].word, n == 1 ? "" : "s");
            break;
        }
    return out;
}

void cli_load_warn(double others, const char *what, const char *path, const char *way) {
    if (!(others > CLI_BUSY)) return;
    fprintf(stderr,
            "verbatim: note: %s while other programs used %.0f %% of the processors, and may be wrong", what,
            100 * others);
    if (path[0]) fprintf(stderr, " (%s)", path);
    fprintf(stderr, "; %s\n", way);
}
