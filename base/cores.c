/* cores.c - how many threads are worth having: physical cores, not hardware threads (two threads of one core
 * share the units that the kernels keep busy), within the affinity mask and the control groups' CPU quota. */
#include "base/pool.h"

#include "base/allowance.h"

#include <stdio.h>
#include <unistd.h>

#ifdef __linux__
#include <sched.h>

static int read_line(const char *path, char *line, int size) {
    FILE *f = fopen(path, "r");
    if (!f) return -1;
    const bool ok = fgets(line, size, f) != NULL;
    fclose(f);
    return ok ? 0 : -1;
}

/* The first CPU in the list of those that share a core with `cpu` and are in the mask: one CPU stands for
 * each core. */
static bool stands_for_core(int cpu, const cpu_set_t *mask) {
    char path[96], line[512];
    snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/topology/thread_siblings_list", cpu);
    if (read_line(path, line, sizeof line)) return true;
    /* "0,4" or "0-1": any sibling in the mask that has a lower number speaks for the core instead. */
    const char *s = line;
    int first, last, used;
    while (sscanf(s, "%d%n", &first, &used) == 1) {
        s += used;
        last = first;
        if (*s == '-' && sscanf(s, "-%d%n", &last, &used) == 1) s += used;
        for (int i = first; i <= last && i < cpu; i++) {
            if (i >= 0 && i < CPU_SETSIZE && CPU_ISSET((size_t)i, mask)) return false;
        }
        if (*s != ',') break;
        s++;
    }
    return true;
}

int vb_physical_cores(void) {
    cpu_set_t mask;
    int cores = 0;
    CPU_ZERO(&mask);
    if (sched_getaffinity(0, sizeof mask, &mask) == 0) {
        for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
            if (CPU_ISSET((size_t)cpu, &mask) && stands_for_core(cpu, &mask)) cores++;
        }
    } else {
        cores = (int)sysconf(_SC_NPROCESSORS_ONLN);
    }
    const int quota = vb_cgroup_cpus("");
    if (quota > 0 && quota < cores) cores = quota;
    return cores < 1 ? 1 : cores;
}

#else

int vb_physical_cores(void) {
    const long n = sysconf(_SC_NPROCESSORS_ONLN);
    return n < 1 ? 1 : (int)n;
}

#endif
