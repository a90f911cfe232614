/*
 * processors.h - how many processors this process may keep busy: what its affinity mask allows and
 * what the quotas of its control groups pay for.
 */
#ifndef MEGA_PROCESSORS_H
#define MEGA_PROCESSORS_H

/* Processors, of which a quota may leave a fraction: 0.5 is half of one. Positive. */
double mega_processors(void);

/* What the quotas alone pay for, INFINITY without any: the smallest of all groups that a process
 * with this /proc/self/cgroup is in, and of those around them, in the hierarchies that this
 * /proc/self/mountinfo lists. A file that cannot be read sets no quota. */
double mega_processors_paid(const char *cgroup_file, const char *mountinfo_file);

#endif
