/* allowance.c - finds the control groups of this process and walks from each up to the root, where every
 * level may set a limit. The file names and formats are those of Linux's cgroups, versions 1 and 2
 * (allowance.h). */
#include "base/allowance.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum { LINE = 4096, MOST_GROUPS = 10000 /* looked at in a search */ };

/* On the heap: threads with small stacks open models, too. */
typedef struct walk {
    const char *root, *controller; /* "cpu" or "memory" */
    void (*visit)(void *user, const char *dir, bool v2);
    void *user;
    char line[LINE], mount_root[LINE], mount_point[LINE], group[LINE], dir[3 * LINE];
    bool found; /* a mounted hierarchy shows the process's own group */
} walk;

static FILE *open_below(const char *root, const char *path, const char *name) {
    const size_t size = strlen(root) + strlen(path) + strlen(name) + 1;
    char *full = malloc(size);
    if (!full) return NULL;
    snprintf(full, size, "%s%s%s", root, path, name);
    FILE *f = fopen(full, "re");
    free(full);
    return f;
}

/* ---------------------------------------------------------------------------------------------- the walk */

/* "cpu" in "cpu,cpuacct" */
static bool lists(const char *names, const char *name) {
    const size_t len = strlen(name);
    while (*names) {
        const size_t n = strcspn(names, ",");
        if (n == len && !strncmp(names, name, n)) return true;
        names += n + (names[n] == ',');
    }
    return false;
}

/* The process's group in the hierarchy of the controller: a line "4:cpu,cpuacct:/a/b", for v2 "0::/a/b". */
static bool find_group(walk *w, bool v2) {
    bool found = false;
    FILE *f = open_below(w->root, "/proc/self/cgroup", "");
    if (!f) return false;
    while (!found && fgets(w->line, sizeof w->line, f)) {
        w->line[strcspn(w->line, "\n")] = 0;
        char *names = strchr(w->line, ':'), *path = names ? strchr(names + 1, ':') : NULL;
        if (!path || path[1] != '/') continue;
        *path++ = 0;
        names++;
        found = v2 ? !*names : lists(names, w->controller);
        if (found) memcpy(w->group, path, strlen(path) + 1);
    }
    fclose(f);
    return found;
}

/* mountinfo writes blanks and backslashes in paths as \040 and so on. */
static void unescape(char *s) {
    char *to = s;
    while (*s) {
        if (s[0] == '\\' && s[1] >= '0' && s[1] <= '3' && s[2] >= '0' && s[2] <= '7' && s[3] >= '0' &&
            s[3] <= '7') {
            *to++ = (char)((s[1] - '0') * 64 + (s[2] - '0') * 8 + (s[3] - '0'));
            s += 4;
        } else {
            *to++ = *s++;
        }
    }
    *to = 0;
}

/* A line of mountinfo, "36 35 98:0 /root /mount/point rw,noatime master:1 - cgroup name rw,cpu". True if it
 * is a hierarchy that may have the controller; the root of what is mounted and where are then in *w. */
static bool read_mount(walk *w, bool *v2) {
    char *save = NULL, *type = strstr(w->line, " - ");
    if (!type) return false;
    *type = 0;
    type += 3;
    const char *fields[5];
    for (int i = 0; i < 5; i++)
        if (!(fields[i] = strtok_r(i ? NULL : w->line, " ", &save))) return false;
    memcpy(w->mount_root, fields[3], strlen(fields[3]) + 1);
    memcpy(w->mount_point, fields[4], strlen(fields[4]) + 1);
    const char *fs = strtok_r(type, " \n", &save);
    const char *source = fs ? strtok_r(NULL, " \n", &save) : NULL;
    const char *options = source ? strtok_r(NULL, " \n", &save) : NULL;
    if (!options) return false;
    unescape(w->mount_root);
    unescape(w->mount_point);
    *v2 = !strcmp(fs, "cgroup2");
    return *v2 || (!strcmp(fs, "cgroup") && lists(options, w->controller));
}

/* What of the group's path lies below the mounted part of the hierarchy; NULL if the group is not in it. */
static const char *below_mount(const walk *w) {
    const char *top = w->mount_root, *group = w->group;
    const size_t n = strcmp(top, "/") ? strlen(top) : 0;
    if (strncmp(group, top, n) || (group[n] && group[n] != '/') || !strncmp(group + n, "/..", 3)) return NULL;
    return strcmp(group + n, "/") ? group + n : "";
}

/* Levels between what is mounted and the root of our namespace of control groups, where that is mounted from
 * outside of it: paths are written from the namespace's root, "/../..", so the names on the way down to the
 * group are not known. 0: not so. */
static int levels_above(const walk *w) {
    int n = 0;
    const char *up = w->mount_root;
    for (; !strncmp(up, "/..", 3); up += 3) n++;
    return *up || !strncmp(w->group, "/..", 3) ? 0 : n;
}

static bool holds_us(const walk *w, const char *dir) {
    char line[32];
    bool found = false;
    FILE *f = open_below(w->root, dir, "/cgroup.procs");
    while (f && !found && fgets(line, sizeof line, f)) found = strtol(line, NULL, 10) == (long)getpid();
    if (f) fclose(f);
    return found;
}

/* Looks for the group `levels` below w->dir: the one that has this process in its list. */
static bool search(walk *w, int levels, int *looked) {
    const size_t len = strlen(w->dir), path = strlen(w->root) + len + 1;
    char *full = malloc(path);
    if (!full) return false;
    snprintf(full, path, "%s%s", w->root, w->dir);
    DIR *d = opendir(full);
    bool found = false;
    for (const struct dirent *e; d && !found && *looked < MOST_GROUPS && (e = readdir(d)) != NULL;) {
        if (e->d_name[0] == '.' || (e->d_type != DT_DIR && e->d_type != DT_UNKNOWN)) continue;
        if (len + strlen(e->d_name) + strlen(w->group) + 2 > sizeof w->dir) continue;
        ++*looked;
        snprintf(w->dir + len, sizeof w->dir - len, "/%s%s", e->d_name,
                 levels > 1 || !strcmp(w->group, "/") ? "" : w->group);
        found = levels > 1 ? search(w, levels - 1, looked) : holds_us(w, w->dir);
    }
    if (d) closedir(d);
    free(full);
    if (!found) w->dir[len] = 0;
    return found;
}

/* From w->dir up to where its hierarchy is mounted. */
static void climb(walk *w, bool v2) {
    const size_t top = strlen(w->mount_point);
    for (;;) {
        w->visit(w->user, w->dir, v2);
        char *slash = strrchr(w->dir, '/');
        if (!slash || (size_t)(slash - w->dir) < top) return;
        *slash = 0;
    }
}

static void visit_mounts(walk *w) {
    FILE *f = open_below(w->root, "/proc/self/mountinfo", "");
    if (!f) return;
    while (fgets(w->line, sizeof w->line, f)) {
        bool v2;
        if (!strchr(w->line, '\n') && !feof(f)) { /* a longer line is some other file system's */
            for (int c; (c = fgetc(f)) != EOF && c != '\n';) {
            }
            continue;
        }
        if (!read_mount(w, &v2) || !find_group(w, v2)) continue;
        const char *below = below_mount(w);
        const int levels = below ? 0 : levels_above(w);
        if (!below && !levels) continue;
        w->found = true;
        snprintf(w->dir, sizeof w->dir, "%s%s", w->mount_point, below ? below : "");
        int looked = 0;
        if (levels) search(w, levels, &looked); /* not found: what is mounted is above us in any case */
        climb(w, v2);
    }
    fclose(f);
}

/* Calls `visit` with every folder whose limits hold for this process. Where /proc does not say which these
 * are, what is mounted at the usual place is the best guess. */
static void walk_groups(const char *root, const char *controller,
                        void (*visit)(void *user, const char *dir, bool v2), void *user) {
    walk *w = calloc(1, sizeof *w);
    if (!w) return;
    w->root = root;
    w->controller = controller;
    w->visit = visit;
    w->user = user;
    visit_mounts(w);
    if (!w->found) {
        visit(user, "/sys/fs/cgroup", true);
        snprintf(w->dir, sizeof w->dir, "/sys/fs/cgroup/%s", controller);
        visit(user, w->dir, false);
    }
    free(w);
}

/* ---------------------------------------------------------------------------------------------- numbers */

/* The first `max` whole numbers of a file; returns how many there are. "max" is none. */
static int read_numbers(const char *root, const char *dir, const char *name, int max, uint64_t *out) {
    char line[128];
    FILE *f = open_below(root, dir, name);
    if (!f) return 0;
    const char *at = fgets(line, sizeof line, f);
    int n = 0;
    while (at && n < max) {
        char *end;
        at += strspn(at, " \t");
        errno = 0;
        if (*at < '0' || *at > '9') break; /* -1 is v1's "no limit" */
        out[n] = strtoull(at, &end, 10);
        if (errno || !strchr(" \t\n", *end)) break; /* a number too large, or one that goes on as text */
        n++;
        at = end;
    }
    fclose(f);
    return n;
}

/* The sum of the values of two keys in a file of lines "KEY VALUE". */
static uint64_t sum_of(const char *root, const char *dir, const char *name, const char *a, const char *b) {
    char line[256], key[64];
    unsigned long long value, sum = 0;
    FILE *f = open_below(root, dir, name);
    while (f && fgets(line, sizeof line, f))
        if (sscanf(line, "%63s %llu", key, &value) == 2 && (!strcmp(key, a) || !strcmp(key, b))) sum += value;
    if (f) fclose(f);
    return sum;
}

/* ---------------------------------------------------------------------------------------------- CPUs */

typedef struct cpus {
    const char *root;
    uint64_t least; /* 0: no limit yet */
} cpus;

static void visit_cpus(void *user, const char *dir, bool v2) {
    cpus *c = user;
    uint64_t v[2]; /* microseconds of CPU time per period of so many microseconds */
    if (v2 ? read_numbers(c->root, dir, "/cpu.max", 2, v) < 2
           : !read_numbers(c->root, dir, "/cpu.cfs_quota_us", 1, v) ||
                 !read_numbers(c->root, dir, "/cpu.cfs_period_us", 1, v + 1))
        return;
    if (!v[0] || !v[1]) return;
    const uint64_t n = v[0] / v[1] ? v[0] / v[1] : 1;
    if (!c->least || n < c->least) c->least = n;
}

int vb_cgroup_cpus(const char *root) {
    cpus c = {root, 0};
    walk_groups(root, "cpu", visit_cpus, &c);
    return c.least > 1u << 20 ? 1 << 20 : (int)c.least;
}

/* ---------------------------------------------------------------------------------------------- memory */

typedef struct memory {
    const char *root;
    uint64_t left;
} memory;

static void least(uint64_t *left, uint64_t limit, uint64_t used) {
    const uint64_t n = limit > used ? limit - used : 0;
    if (n < *left) *left = n;
}

static void visit_memory(void *user, const char *dir, bool v2) {
    static const char *const V1[] = {"/memory.limit_in_bytes"};
    static const char *const V2[] = {"/memory.max", "/memory.high"};
    memory *m = user;
    uint64_t limit, used;
    for (int i = 0; i < (v2 ? 2 : 1); i++) {
        if (!read_numbers(m->root, dir, v2 ? V2[i] : V1[i], 1, &limit) || limit >> 60) continue;
        if (!read_numbers(m->root, dir, v2 ? "/memory.current" : "/memory.usage_in_bytes", 1, &used))
            used = 0;
        const uint64_t cache =
            v2 ? sum_of(m->root, dir, "/memory.stat", "inactive_file", "active_file")
               : sum_of(m->root, dir, "/memory.stat", "total_inactive_file", "total_active_file");
        least(&m->left, limit, used > cache ? used - cache : 0);
    }
}

uint64_t vb_cgroup_memory(const char *root) {
    memory m = {root, UINT64_MAX};
    walk_groups(root, "memory", visit_memory, &m);
    return m.left;
}

uint64_t vb_memory_left(const char *root) {
    uint64_t left = vb_cgroup_memory(root), pages[6];
    const uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    const uint64_t available = sum_of(root, "/proc", "/meminfo", "MemAvailable:", "MemAvailable:");
    if (available && available < UINT64_MAX >> 10) least(&left, available << 10, 0);
    if (read_numbers(root, "/proc/self", "/statm", 6, pages) < 6) return left;
    struct rlimit r;
    if (!getrlimit(RLIMIT_AS, &r) && r.rlim_cur != RLIM_INFINITY) least(&left, r.rlim_cur, pages[0] * page);
    if (!getrlimit(RLIMIT_DATA, &r) && r.rlim_cur != RLIM_INFINITY) least(&left, r.rlim_cur, pages[5] * page);
    return left;
}

uint64_t vb_available_memory(void) {
    return vb_memory_left("");
}
