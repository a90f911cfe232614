/*
 * test_atomic_file.c - files that appear complete or not at all (formats/base/atomic_file.h).
 */
#include "tests/unit/support.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "formats/base/atomic_file.h"

static char folder[64], path[128];

static int make_folder(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/mega-test-XXXXXX");
    bool made = mkdtemp(folder) != NULL;
    snprintf(path, sizeof path, "%s/text", folder);
    return made ? 0 : -1;
}

static int remove_folder(void **state)
{
    (void)state;
    return rmdir(folder); /* fails if a test left a file */
}

static void assert_content(const char *name, const char *expected)
{
    char text[64] = {0};
    FILE *file = fopen(name, "r");
    assert_non_null(file);
    (void)!fread(text, 1, sizeof text - 1, file);
    fclose(file);
    assert_string_equal(text, expected);
}

static int write_text(const char *name, const char *text, MegaError *err)
{
    MegaAtomicFile *output = NULL;
    int code = mega_atomic_file_open(&output, name, err);
    if (!code)
        code = mega_atomic_file_write(output, text, strlen(text), err);
    if (!code)
        code = mega_atomic_file_commit(output, err);
    mega_atomic_file_free(output);
    return code;
}

static void assert_fails(const char *name, const char *message)
{
    MegaError err = {0};
    assert_int_equal(write_text(name, "text", &err), MEGA_ERR_IO);
    if (!strstr(err.text, message) || !strstr(err.text, name))
        fail_msg("'%s' does not contain '%s' and '%s'", err.text, message, name);
}

static void test_pieces(void **state)
{
    (void)state;
    MegaError err = {0};
    MegaAtomicFile *output = NULL;
    assert_int_equal(mega_atomic_file_open(&output, path, &err), 0);
    assert_int_equal(mega_atomic_file_write(output, "hello ", 6, &err), 0);
    assert_int_equal(mega_atomic_file_write(output, "world", 5, &err), 0);
    assert_int_equal(mega_atomic_file_write_at(output, 0, "H", 1, &err), 0);
    assert_int_equal(mega_atomic_file_write(output, "!", 1, &err), 0);
    assert_int_equal(access(path, F_OK), -1);
    assert_int_equal(mega_atomic_file_commit(output, &err), 0);
    mega_atomic_file_free(output);
    assert_content(path, "Hello world!");
    unlink(path);
    mega_atomic_file_free(NULL);
}

/* Without a commit the old file is unchanged, and no other file is left. */
static void test_not_committed(void **state)
{
    (void)state;
    MegaError err = {0};
    for (int abandon = 0; abandon < 2; abandon++) {
        MegaAtomicFile *output = NULL;
        assert_int_equal(write_text(path, "old", &err), 0);
        assert_int_equal(mega_atomic_file_open(&output, path, &err), 0);
        assert_int_equal(mega_atomic_file_write(output, "new", 3, &err), 0);
        assert_int_equal(count_files(folder), 2);
        if (abandon) {
            mega_outputs_abandon(); /* as a signal handler would */
            assert_int_equal(count_files(folder), 1);
        }
        mega_atomic_file_free(output);
        assert_int_equal(count_files(folder), 1);
        assert_content(path, "old");
        unlink(path);
    }
}

static void test_bad_targets(void **state)
{
    (void)state;
    assert_fails(folder, "it is a directory");
    assert_fails("/no/such/folder/text", "No such file or directory");
    assert_fails("/dev/full", "No space left");
    assert_int_equal(count_files(folder), 0);
}

/* If a caller continues after a failed write, it must not get a file with a hole. */
static void test_failed_part(void **state)
{
    (void)state;
    MegaError err = {0};
    MegaAtomicFile *output = NULL;
    struct rlimit before, small;
    assert_int_equal(mega_atomic_file_open(&output, path, &err), 0);
    assert_int_equal(mega_atomic_file_write(output, "four", 4, &err), 0);
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    small = before;
    small.rlim_cur = 4;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    assert_int_equal(mega_atomic_file_write(output, "more", 4, &err), MEGA_ERR_IO);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    signal(SIGXFSZ, handler);
    assert_int_equal(mega_atomic_file_write(output, "rest", 4, &err), 0);
    assert_int_equal(mega_atomic_file_commit(output, &err), MEGA_ERR_IO);
    assert_non_null(strstr(err.text, "a part of it could not be written"));
    mega_atomic_file_free(output);
    assert_int_equal(count_files(folder), 0);
}

/* A target that is not a regular file is written to, and not replaced. */
static void test_special_files(void **state)
{
    (void)state;
    MegaError err = {0};
    MegaAtomicFile *output = NULL;
    struct stat info;
    char text[16] = {0};
    assert_int_equal(write_text("/dev/null", "text", &err), 0);
    assert_int_equal(stat("/dev/null", &info), 0);
    assert_true(S_ISCHR(info.st_mode));
    assert_int_equal(mkfifo(path, 0600), 0);
    int fd = open(path, O_RDWR | O_NONBLOCK);
    assert_int_equal(write_text(path, "through", &err), 0);
    assert_int_equal(read(fd, text, sizeof text), 7);
    assert_string_equal(text, "through");
    assert_int_equal(mega_atomic_file_open(&output, path, &err), 0);
    assert_int_equal(mega_atomic_file_write_at(output, 0, "x", 1, &err), MEGA_ERR_IO);
    assert_non_null(strstr(err.text, "it is a pipe"));
    mega_atomic_file_free(output);
    close(fd);
    assert_int_equal(stat(path, &info), 0);
    assert_true(S_ISFIFO(info.st_mode));
    unlink(path);
}

/* Replaces the system's function, to record the permissions that the file had before it changes
 * them. */
static mode_t rights_before;
int fchmod(int fd, mode_t mode)
{
    struct stat info;
    if (fstat(fd, &info) == 0)
        rights_before = info.st_mode & 0777;
    return (int)syscall(SYS_fchmod, fd, mode);
}

static mode_t mode_of(const char *name)
{
    struct stat info;
    assert_int_equal(stat(name, &info), 0);
    return info.st_mode & 0777;
}

static void test_permissions_and_links(void **state)
{
    (void)state;
    MegaError err = {0};
    struct stat info;
    char link_path[128];
    snprintf(link_path, sizeof link_path, "%s/link", folder);
    mode_t before = umask(027);
    assert_int_equal(write_text(path, "first", &err), 0);
    umask(before);
    assert_int_equal(mode_of(path), 0640);
    assert_int_equal(chmod(path, 0600), 0);
    assert_int_equal(symlink("text", link_path), 0);
    before = umask(0);
    rights_before = 0777;
    assert_int_equal(write_text(link_path, "second", &err), 0);
    umask(before);
    assert_int_equal(mode_of(path), 0600);
    assert_int_equal(rights_before & 077, 0); /* at no moment */
    assert_int_equal(lstat(link_path, &info), 0);
    assert_true(S_ISLNK(info.st_mode));
    assert_content(path, "second");
    assert_int_equal(count_files(folder), 2);
    unlink(link_path);
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pieces),
        cmocka_unit_test(test_not_committed),
        cmocka_unit_test(test_bad_targets),
        cmocka_unit_test(test_failed_part),
        cmocka_unit_test(test_special_files),
        cmocka_unit_test(test_permissions_and_links),
    };
    return cmocka_run_group_tests_name("output", tests, make_folder, remove_folder);
}
