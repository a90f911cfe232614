/*
 * processors.c - see processors.h.
 *
 * A process belongs to one control group in every hierarchy. Version 2 has a single hierarchy and a
 * file cpu.max, which says "QUOTA PERIOD" or "max PERIOD". Version 1 has a hierarchy with the
 * controller "cpu" and two files, cpu.cfs_quota_us (-1 without a quota) and cpu.cfs_period_us. A
 * group never gets more than the groups around it, so every group up to the mount point counts.
 * Cpusets already show in the affinity mask.
 */
#define _GNU_SOURCE
#include "src/base/processors.h"

#include <limits.h>
#include <math.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST_PROCESSORS 65536 /* most bits that we expect in the system's affinity mask */

/* ---- Quotas --------------------------------------------------------------------------------- */

static bool read_line(const char *folder, const char *name, char *line, int size)
{
    char path[PATH_MAX];
    if (snprintf(path, sizeof path, "%s/%s", folder, name) >= (int)sizeof path)
        return false;
    FILE *file = fopen(path, "re");
    if (!file)
        return false;
    bool ok = fgets(line, size, file);
    fclose(file);
    return ok;
}

/* Returns the processors that one group's quota pays for. */
static double quota_of(const char *folder, bool version_2)
{
    char line[128];
    double quota = 0, period = 0;
    if (version_2) {
        if (!read_line(folder, "cpu.max", line, sizeof line) ||
            sscanf(line, "%lf %lf", &quota, &period) != 2)
            return INFINITY;
    } else {
        if (!read_line(folder, "cpu.cfs_quota_us", line, sizeof line) ||
            sscanf(line, "%lf", &quota) != 1 ||
            !read_line(folder, "cpu.cfs_period_us", line, sizeof line) ||
            sscanf(line, "%lf", &period) != 1)
            return INFINITY;
    }
    return quota > 0 && period > 0 ? quota / period : INFINITY;
}

/* Returns the smallest quota from `folder` up to its first `root` bytes, which name the mount
 * point. It overwrites `folder`. */
static double least_quota(char *folder, size_t root, bool version_2)
{
    double least = INFINITY;
    for (;;) {
        least = fmin(least, quota_of(folder, version_2));
        char *slash = strrchr(folder, '/');
        if (strlen(folder) <= root || !slash || (size_t)(slash - folder) < root)
            return least;
        *slash = '\0';
    }
}

/* ---- Where groups are mounted --------------------------------------------------------------- */

/* Decodes a field of mountinfo in place; it writes blanks and backslashes as octal numbers. */
static void unescape(char *text)
{
    char *out = text;
    for (const char *in = text; *in; out++) {
        unsigned code;
        if (in[0] == '\\' && sscanf(in + 1, "%3o", &code) == 1 && strlen(in) >= 4) {
            *out = (char)code;
            in += 4;
        } else {
            *out = *in++;
        }
    }
    *out = '\0';
}

/* Returns whether a comma-separated list contains the word. */
static bool list_contains(const char *list, const char *word)
{
    size_t size = strlen(word);
    for (const char *at = list; at; at = strchr(at, ',')) {
        at += *at == ',';
        if (strncmp(at, word, size) == 0 && strchr(",\n", at[size]))
            return true;
    }
    return false;
}

/* Returns the smallest quota that one line of mountinfo makes visible. `group` is the path of the
 * process's group in that hierarchy. A line is
 *
 *     ID PARENT DEVICE ROOT MOUNT OPTIONS [TAG...] - TYPE SOURCE SUPER-OPTIONS
 *
 * where ROOT is the part of the hierarchy that the mount point shows; in a container that is the
 * container's own group. The line is overwritten. */
static double quota_of_mount(char *line, const char *group, bool version_2)
{
    char *rest = strstr(line, " - "), *fields[5] = {line}, *type;
    if (!rest)
        return INFINITY;
    *rest = '\0';
    rest += 3;
    for (int i = 1; i < 5; i++) {
        fields[i] = strchr(fields[i - 1], ' ');
        if (!fields[i])
            return INFINITY;
        *fields[i]++ = '\0';
    }
    char *root = fields[3], *mount = fields[4];
    mount[strcspn(mount, " ")] = '\0';
    type = rest;
    const char *options = strrchr(rest, ' ');
    type[strcspn(type, " ")] = '\0';
    if (strcmp(type, version_2 ? "cgroup2" : "cgroup") != 0 ||
        (!version_2 && (!options || !list_contains(options + 1, "cpu"))))
        return INFINITY;
    unescape(root);
    unescape(mount);
    size_t shown = strcmp(root, "/") == 0 ? 0 : strlen(root);
    bool inside = strncmp(group, root, shown) == 0 && (group[shown] == '/' || !group[shown]);
    char folder[PATH_MAX];
    const char *below = inside ? group + shown : "";
    if (strcmp(below, "/") == 0 || strncmp(below, "/..", 3) == 0)
        below = "";
    if (snprintf(folder, sizeof folder, "%s%s", mount, below) >= (int)sizeof folder)
        return INFINITY;
    return least_quota(folder, strlen(mount), version_2);
}

static double quota_of_hierarchy(const char *mountinfo_file, const char *group, bool version_2)
{
    FILE *file = fopen(mountinfo_file, "re");
    char *line = NULL;
    size_t size = 0;
    double least = INFINITY;
    while (file && getline(&line, &size, file) > 0)
        least = fmin(least, quota_of_mount(line, group, version_2));
    free(line);
    if (file)
        fclose(file);
    return least;
}

double mega_processors_paid(const char *cgroup_file, const char *mountinfo_file)
{
    FILE *file = fopen(cgroup_file, "re");
    char *line = NULL;
    size_t size = 0;
    double least = INFINITY;
    while (file && getline(&line, &size, file) > 0) { /* a line is number:controllers:path */
        char *controllers = strchr(line, ':');
        char *path = controllers ? strchr(controllers + 1, ':') : NULL;
        if (!path)
            continue;
        controllers++;
        *path++ = '\0';
        path[strcspn(path, "\n")] = '\0';
        bool version_2 = *controllers == '\0';
        if (version_2 || list_contains(controllers, "cpu"))
            least = fmin(least, quota_of_hierarchy(mountinfo_file, path, version_2));
    }
    free(line);
    if (file)
        fclose(file);
    return least;
}

/* ---- Affinity -------------------------------------------------------------------------------- */

/* Returns the number of processors in the affinity mask. The system refuses a mask that is smaller
 * than its own, so this tries larger and larger ones. */
static int allowed_processors(void)
{
    for (size_t bits = 1024; bits <= MOST_PROCESSORS; bits *= 4) {
        cpu_set_t *set = CPU_ALLOC(bits);
        size_t bytes = CPU_ALLOC_SIZE(bits);
        int count = 0;
        if (set && sched_getaffinity(0, bytes, set) == 0)
            count = CPU_COUNT_S(bytes, set);
        CPU_FREE(set);
        if (count > 0)
            return count;
    }
    return 1;
}

double mega_processors(void)
{
    return fmin(allowed_processors(), mega_processors_paid("/proc/self/cgroup",
                                                           "/proc/self/mountinfo"));
}
