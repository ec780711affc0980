/* allowance.h - what the system leaves this process: CPU time and memory, as its control groups (cgroups v1
 * and v2) and limits have it. Linux; elsewhere there is no limit.
 *
 * A limit of a group holds for all groups below it. So every level counts, from the group that the process is
 * in up to the root of each mounted hierarchy: a service of systemd, a job of Slurm or a pod has its limit
 * some levels up or down from what is mounted at /sys/fs/cgroup.
 *
 * `root` goes in front of every path that is read: "" for this machine, a folder in tests. */
#ifndef VB_ALLOWANCE_H
#define VB_ALLOWANCE_H

#include "base/base.h"

/* Whole CPUs' worth of time that the groups allow, rounded down, at least 1; 0 without a limit. One thread
 * more than the quota pays for would have all of them wait for the one that is stopped. */
int vb_cgroup_cpus(const char *root);

/* Bytes that the groups still leave, UINT64_MAX without a limit. The file cache of a group is given back when
 * memory is short, so it counts as left. */
uint64_t vb_cgroup_memory(const char *root);

/* Bytes that may be allocated: the least of what the groups, the machine (MemAvailable) and the process's own
 * limits (ulimit -v, -d) leave. UINT64_MAX: unknown. An estimate: others allocate, too. */
uint64_t vb_memory_left(const char *root);

#endif
