/*
 * test_processors.c - reads the CPU quota of control groups from hierarchies made of plain files.
 */
#define _GNU_SOURCE
#include "tests/unit/support.h"

#include <errno.h>
#include <math.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "src/base/processors.h"

static char root[] = "/tmp/mega-groups-XXXXXX";

/* Writes a file below the root, and makes the folders that it needs. */
static void put(const char *name, const char *text)
{
    char path[512];
    assert_in_range(snprintf(path, sizeof path, "%s/%s", root, name), 1, sizeof path - 1);
    for (char *slash = path + strlen(root) + 1; (slash = strchr(slash, '/')); slash++) {
        *slash = '\0';
        assert_true(mkdir(path, 0700) == 0 || errno == EEXIST);
        *slash = '/';
    }
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

/* Adds the line of mountinfo that mounts a hierarchy's part `at`; folder may contain \040. */
static void mount(char *lines, size_t size, const char *at, const char *folder, const char *type,
                  const char *options)
{
    size_t used = strlen(lines);
    assert_in_range(snprintf(lines + used, size - used,
                             "31 25 0:27 %s %s/%s rw,relatime shared:9 - %s cgroup rw,%s\n", at,
                             root, folder, type, options),
                    1, size - used - 1);
}

static double paid(const char *groups, const char *mounts)
{
    char cgroup[512], mountinfo[512];
    put("cgroup", groups);
    put("mountinfo", mounts);
    snprintf(cgroup, sizeof cgroup, "%s/cgroup", root);
    snprintf(mountinfo, sizeof mountinfo, "%s/mountinfo", root);
    return mega_processors_paid(cgroup, mountinfo);
}

static void version_2(void **state)
{
    char mounts[4096] = "22 1 254:0 / / rw - ext4 /dev/vda rw\n";
    (void)state;
    mount(mounts, sizeof mounts, "/", "v2", "cgroup2", "nsdelegate");
    put("v2/cgroup.procs", "");
    put("v2/user/cpu.max", "150000 100000\n");
    put("v2/user/shell/cpu.max", "max 100000\n");
    put("v2/user/shell/job/cpu.max", "400000 100000\n");
    put("v2/half/cpu.max", "25000 50000\n");
    put("v2/none/cpu.max", "max 100000\n");
    put("v2/odd/cpu.max", "0 100000\n");
    put("v2/odd/two/cpu.max", "nonsense");
    assert_true(paid("0::/user/shell/job\n", mounts) ==
                1.5); /* the group around it has the smallest quota */
    assert_true(paid("0::/user/shell\n", mounts) == 1.5);
    assert_true(paid("0::/half\n", mounts) == 0.5);
    assert_true(isinf(paid("0::/none\n", mounts)));
    assert_true(isinf(paid("0::/\n", mounts)));
    assert_true(isinf(paid("0::/odd/two\n", mounts)));
    assert_true(isinf(paid("0::/not-there\n", mounts)));
    assert_true(isinf(paid("", mounts)) && isinf(paid("0::/half\n", "")));
    assert_true(isinf(paid("nonsense\n0\n0:\n", mounts)));
}

static void version_1(void **state)
{
    char mounts[4096] = "";
    (void)state;
    mount(mounts, sizeof mounts, "/", "v1/memory", "cgroup", "memory");
    mount(mounts, sizeof mounts, "/", "v1/cpuset", "cgroup", "cpuset");
    mount(mounts, sizeof mounts, "/", "v1/cpu", "cgroup", "cpu,cpuacct");
    mount(mounts, sizeof mounts, "/", "v1/unified", "cgroup2", "nsdelegate");
    put("v1/cpu/cpu.cfs_quota_us", "-1\n");
    put("v1/cpu/cpu.cfs_period_us", "100000\n");
    put("v1/cpu/a/cpu.cfs_quota_us", "20000\n");
    put("v1/cpu/a/cpu.cfs_period_us", "100000\n");
    put("v1/cpu/a/b/cpu.cfs_quota_us", "-1\n");
    put("v1/cpu/a/b/cpu.cfs_period_us", "100000\n");
    put("v1/cpu/three/cpu.cfs_quota_us", "300000\n");
    put("v1/cpu/three/cpu.cfs_period_us", "100000\n");
    put("v1/memory/a/cpu.cfs_quota_us", "1000\n"); /* belongs to another controller */
    put("v1/memory/a/cpu.cfs_period_us", "100000\n");
    assert_true(paid("5:memory:/three\n3:cpu,cpuacct:/a\n0::/\n", mounts) == 0.2);
    assert_true(paid("3:cpuacct,cpu:/a/b\n", mounts) == 0.2);
    assert_true(paid("3:cpu:/three\n", mounts) == 3);
    assert_true(isinf(paid("5:memory:/a\n4:cpuset:/a\n", mounts)));
    assert_true(isinf(paid("3:cpu,cpuacct:/\n", mounts)));
}

/* A container sees its own group as the root of the mount, with or without a namespace of
 * groups. */
static void containers(void **state)
{
    char mounts[4096] = "";
    (void)state;
    mount(mounts, sizeof mounts, "/docker/abc", "box", "cgroup2", "nsdelegate");
    put("box/cpu.max", "100000 100000\n");
    put("box/inner/cpu.max", "70000 100000\n");
    assert_true(paid("0::/docker/abc\n", mounts) == 1);
    assert_true(paid("0::/docker/abc/inner\n", mounts) == 0.7);
    /* a group that is not below the mount gets at least the mount's own quota */
    assert_true(paid("0::/docker/abcdef\n", mounts) == 1);
    assert_true(paid("0::/../other\n", mounts) == 1);
    char blanks[4096] = "";
    mount(blanks, sizeof blanks, "/", "my\\040groups", "cgroup2", "rw");
    put("my groups/one/cpu.max", "50000 100000\n");
    assert_true(paid("0::/one\n", blanks) == 0.5);
}

static void affinity_counts(void **state)
{
    cpu_set_t all, one;
    (void)state;
    assert_int_equal(sched_getaffinity(0, sizeof all, &all), 0);
    assert_true(mega_processors() > 0 && mega_processors() <= CPU_COUNT(&all));
    CPU_ZERO(&one);
    for (int i = 0; i < CPU_SETSIZE && CPU_COUNT(&one) == 0; i++)
        if (CPU_ISSET(i, &all))
            CPU_SET(i, &one);
    assert_int_equal(sched_setaffinity(0, sizeof one, &one), 0);
    assert_true(mega_processors() <= 1);
    assert_int_equal(sched_setaffinity(0, sizeof all, &all), 0);
}

static int make_root(void **state)
{
    (void)state;
    return mkdtemp(root) ? 0 : -1;
}

static int remove_root(void **state)
{
    char command[64];
    (void)state;
    snprintf(command, sizeof command, "rm -r %s", root);
    return system(command);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(version_2),
        cmocka_unit_test(version_1),
        cmocka_unit_test(containers),
        cmocka_unit_test(affinity_counts),
    };
    return cmocka_run_group_tests(tests, make_root, remove_root);
}
