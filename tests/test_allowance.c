/* test_allowance.c - what control groups leave a process,
 * from folders that look like /proc and /sys/fs/cgroup. */
#include "base/allowance.h"

#include "base/pool.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

static char root[64];

static int begin(void **state) {
    (void)state;
    snprintf(root, sizeof root, "%s", "/tmp/verbatim-allowance.XXXXXX");
    return mkdtemp(root) ? 0 : -1;
}

static int end(void **state) {
    char command[96];
    (void)state;
    snprintf(command, sizeof command, "rm -rf '%s'", root);
    return system(command);
}

/* A file below the root, with the folders that lead to it. */
static void put(const char *path, const char *text) {
    char full[512];
    const int n = snprintf(full, sizeof full, "%s%s", root, path);
    assert_true(n > 0 && (size_t)n < sizeof full);
    for (char *s = full + strlen(root) + 1; (s = strchr(s, '/')) != NULL; s++) {
        *s = 0;
        mkdir(full, 0777);
        *s = '/';
    }
    FILE *f = fopen(full, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void proc(const char *group, const char *mountinfo) {
    put("/proc/self/cgroup", group);
    put("/proc/self/mountinfo", mountinfo);
}

#define OTHERS                                                                                               \
    "22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/root rw\n"                                              \
    "31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755\n"
#define V2 OTHERS "38 31 0:38 / /sys/fs/cgroup rw,relatime shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
#define V1                                                                                                   \
    OTHERS                                                                                                   \
    "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct\n"                   \
    "34 31 0:31 / /sys/fs/cgroup/cpuset rw,relatime - cgroup cgroup rw,cpuset\n"                             \
    "35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n"

static void test_v2_nested(void **state) {
    (void)state;
    proc("0::/system.slice/x.service\n", V2);
    assert_int_equal(vb_cgroup_cpus(root), 0);
    assert_true(vb_cgroup_memory(root) == UINT64_MAX);
    put("/sys/fs/cgroup/system.slice/x.service/cpu.max", "100000 100000\n");
    assert_int_equal(vb_cgroup_cpus(root), 1);
    put("/sys/fs/cgroup/system.slice/x.service/cpu.max", "max 100000\n");
    assert_int_equal(vb_cgroup_cpus(root), 0);
    put("/sys/fs/cgroup/system.slice/cpu.max", "350000 100000\n"); /* a limit some levels up, rounded down */
    assert_int_equal(vb_cgroup_cpus(root), 3);
    put("/sys/fs/cgroup/cpu.max", "200000 100000\n"); /* the least counts */
    assert_int_equal(vb_cgroup_cpus(root), 2);
    put("/sys/fs/cgroup/system.slice/x.service/cpu.max", "25000 100000\n");
    assert_int_equal(vb_cgroup_cpus(root), 1);
    put("/sys/fs/cgroup/system.slice/y.service/cpu.max", "1000 100000\n"); /* somebody else's */
    put("/sys/fs/cgroup/system.slice/x.service/cpu.max", "max 100000\n");
    assert_int_equal(vb_cgroup_cpus(root), 2);
}

static void test_v1_nested(void **state) {
    (void)state;
    proc("9:name=systemd:/\n4:memory:/job/step\n3:cpuset:/\n1:cpu,cpuacct:/job/step\n0::/\n", V1);
    put("/sys/fs/cgroup/cpu,cpuacct/job/step/cpu.cfs_quota_us", "-1\n");
    put("/sys/fs/cgroup/cpu,cpuacct/job/step/cpu.cfs_period_us", "100000\n");
    assert_int_equal(vb_cgroup_cpus(root), 0);
    put("/sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_quota_us", "150000\n");
    put("/sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_period_us", "100000\n");
    assert_int_equal(vb_cgroup_cpus(root), 1);
    put("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"); /* how v1 writes "none" */
    assert_true(vb_cgroup_memory(root) == UINT64_MAX);
    put("/sys/fs/cgroup/memory/job/memory.limit_in_bytes", "1000000\n");
    put("/sys/fs/cgroup/memory/job/memory.usage_in_bytes", "700000\n");
    assert_true(vb_cgroup_memory(root) == 300000);
    put("/sys/fs/cgroup/memory/job/memory.stat",
        "cache 1\ninactive_file 9\ntotal_inactive_file 100000\ntotal_active_file 50000\n");
    assert_true(vb_cgroup_memory(root) == 450000);
    put("/sys/fs/cgroup/memory/job/step/memory.limit_in_bytes", "5000\n");
    put("/sys/fs/cgroup/memory/job/step/memory.usage_in_bytes", "6000\n");
    assert_true(vb_cgroup_memory(root) == 0);
}

static void test_v2_memory(void **state) {
    (void)state;
    proc("0::/a/b\n", V2);
    put("/sys/fs/cgroup/a/memory.max", "max\n");
    put("/sys/fs/cgroup/a/memory.high", "max\n");
    assert_true(vb_cgroup_memory(root) == UINT64_MAX);
    put("/sys/fs/cgroup/a/memory.max", "2000000\n");
    put("/sys/fs/cgroup/a/memory.current", "1500000\n");
    put("/sys/fs/cgroup/a/memory.stat", "anon 5\ninactive_file 300000\nactive_file 200000\n");
    assert_true(vb_cgroup_memory(root) == 1000000);
    put("/sys/fs/cgroup/a/memory.high", "1600000\n"); /* beyond it the group is slowed down to a crawl */
    assert_true(vb_cgroup_memory(root) == 600000);
    put("/proc/meminfo", "MemTotal:  24684092 kB\nMemFree: 1 kB\nMemAvailable:    500 kB\n");
    assert_true(vb_memory_left(root) == 512000);
    put("/proc/meminfo", "MemTotal:  24684092 kB\nMemAvailable:    5000 kB\n");
    assert_true(vb_memory_left(root) == 600000);
}

/* A container sees its own group at the mount's root, under one of two names; a bind mount shows a part. */
static void test_namespaces_and_binds(void **state) {
    (void)state;
    put("/sys/fs/cgroup/cpu.max", "300000 100000\n");
    put("/sys/fs/cgroup/sub/cpu.max", "200000 100000\n");
    put("/sys/fs/cgroup/docker/id/sub/cpu.max", "100000 100000\n"); /* not what these paths mean */
    proc("0::/\n", V2);
    assert_int_equal(vb_cgroup_cpus(root), 3);
    proc("0::/sub\n", V2);
    assert_int_equal(vb_cgroup_cpus(root), 2);
    proc("0::/docker/id/sub\n",
         OTHERS "38 31 0:38 /docker/id /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate\n");
    assert_int_equal(vb_cgroup_cpus(root), 2);
    proc("0::/docker/id\n", OTHERS "38 31 0:38 /docker/id /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
    assert_int_equal(vb_cgroup_cpus(root), 3);
    /* Mounted outside of the namespace: a level above the namespace's root. */
    proc("0::/\n", OTHERS "38 31 0:38 /.. /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
    assert_int_equal(vb_cgroup_cpus(root), 3);
    /* The group in it is the one that lists this process. */
    char pid[32];
    snprintf(pid, sizeof pid, "1\n%ld\n", (long)getpid());
    put("/sys/fs/cgroup/docker/id/cgroup.procs", pid);
    put("/sys/fs/cgroup/docker/id/cpu.max", "100000 100000\n");
    put("/sys/fs/cgroup/other/id/cgroup.procs", "1\n");
    put("/sys/fs/cgroup/other/id/cpu.max", "1 100000\n");
    proc("0::/\n", OTHERS "38 31 0:38 /../.. /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
    assert_int_equal(vb_cgroup_cpus(root), 1);
    put("/sys/fs/cgroup/docker/id/cpu.max", "200000 100000\n");
    put("/sys/fs/cgroup/docker/id/sub/cgroup.procs", pid);
    proc("0::/sub\n", OTHERS "38 31 0:38 /../.. /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
    assert_int_equal(vb_cgroup_cpus(root), 1);
    /* A group outside of the namespace, beside its root. */
    proc("0::/../sub\n", OTHERS "38 31 0:38 /.. /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
    assert_int_equal(vb_cgroup_cpus(root), 2);
    /* The hierarchy in two places, with a blank in the name of one. */
    put("/mnt/my groups/cpu.max", "100000 100000\n");
    proc("0::/sub\n", V2 "39 31 0:38 /sub /mnt/my\\040groups rw - cgroup2 cgroup2 rw\n");
    assert_int_equal(vb_cgroup_cpus(root), 1);
    /* A part that we are not in: whatever is limited there. */
    proc("0::/sub\n", V2 "39 31 0:38 /su /mnt/my\\040groups rw - cgroup2 cgroup2 rw\n");
    assert_int_equal(vb_cgroup_cpus(root), 2);
}

/* v1 for the CPU and v2 beside it: each has its own path. */
static void test_hybrid(void **state) {
    (void)state;
    proc("4:memory:/m\n1:cpu,cpuacct:/c\n0::/u\n",
         V1 "38 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n");
    put("/sys/fs/cgroup/cpu,cpuacct/c/cpu.cfs_quota_us", "400000\n");
    put("/sys/fs/cgroup/cpu,cpuacct/c/cpu.cfs_period_us", "100000\n");
    assert_int_equal(vb_cgroup_cpus(root), 4);
    put("/sys/fs/cgroup/unified/u/cpu.max", "300000 100000\n");
    assert_int_equal(vb_cgroup_cpus(root), 3);
}

static void test_without_proc(void **state) {
    (void)state;
    assert_int_equal(vb_cgroup_cpus(root), 0);
    assert_true(vb_memory_left(root) == UINT64_MAX);
    put("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "250000\n");
    put("/sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
    put("/sys/fs/cgroup/memory/memory.limit_in_bytes", "123456\n");
    assert_int_equal(vb_cgroup_cpus(root), 2);
    assert_true(vb_cgroup_memory(root) == 123456);
    put("/sys/fs/cgroup/cpu.max", "150000 100000\n");
    assert_int_equal(vb_cgroup_cpus(root), 1);
}

/* Nothing of this is a limit, and none of it may stop the next level from being one. */
static void test_malformed(void **state) {
    static const char *const bad[] = {"",
                                      "\n",
                                      "x\n",
                                      "-1\n",
                                      "100000\n",
                                      "0 0\n",
                                      "100000 0\n",
                                      "0 100000\n",
                                      "1e5 100000\n",
                                      "max\n",
                                      "max 1",
                                      "100000 -5\n",
                                      "99999999999999999999 1\n"};
    static const char *const mounts[] = {"",
                                         "\n",
                                         " - ",
                                         " - cgroup2\n",
                                         "a b c d e - cgroup2 x\n",
                                         "1 2 3 / /sys/fs/cgroup - cgroup2 cgroup2 rw"};
    char longer[9000];
    (void)state;
    put("/sys/fs/cgroup/cpu.max", "500000 100000\n");
    proc("0::/a\n", V2);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        put("/sys/fs/cgroup/a/cpu.max", bad[i]);
        put("/sys/fs/cgroup/a/memory.max", bad[i]);
        assert_int_equal(vb_cgroup_cpus(root), 5);
    }
    put("/sys/fs/cgroup/a/cpu.max", "100000 100000\n");
    for (size_t i = 0; i < sizeof mounts / sizeof *mounts; i++) {
        proc("::\nx\n0:/a\n0::a\n0::/a\n", mounts[i]);
        assert_true(vb_cgroup_cpus(root) > 0);
    }
    memset(longer, 'x', sizeof longer);
    longer[sizeof longer - 1] = 0;
    proc("0::/a\n", longer);
    assert_int_equal(vb_cgroup_cpus(root), 5);
    snprintf(longer + 8000, 1000, "\n%s", V2);
    put("/proc/self/mountinfo", longer);
    assert_int_equal(vb_cgroup_cpus(root), 1);
    put("/proc/self/cgroup", "");
    assert_int_equal(vb_cgroup_cpus(root), 5); /* the usual place */
}

static void test_this_machine(void **state) {
    (void)state;
    const int cpus = vb_cgroup_cpus("");
    assert_true(cpus >= 0 && (cpus == 0 || vb_physical_cores() <= cpus));
    assert_true(vb_memory_left("") > 0);
}

int main(void) {
#define T(f) cmocka_unit_test_setup_teardown(f, begin, end)
    const struct CMUnitTest tests[] = {
        T(test_v2_nested), T(test_v1_nested),    T(test_v2_memory), T(test_namespaces_and_binds),
        T(test_hybrid),    T(test_without_proc), T(test_malformed), T(test_this_machine),
    };
    return cmocka_run_group_tests_name("allowance", tests, NULL, NULL);
}
