/*
 * processors.h - how many processors this process may keep busy. Its affinity mask allows a number
 * of them, and the quotas of its control groups may pay for fewer.
 */
#ifndef MEGA_PROCESSORS_H
#define MEGA_PROCESSORS_H

/* Returns that number, which is positive. A quota may leave a fraction: 0.5 is half a processor. */
double mega_processors(void);

/* Returns what the quotas alone pay for, or INFINITY if there are none. It is the smallest quota of
 * all groups that this /proc/self/cgroup names and of the groups around them, in the hierarchies
 * that this /proc/self/mountinfo lists. A file that cannot be read sets no quota. */
double mega_processors_paid(const char *cgroup_file, const char *mountinfo_file);

#endif
