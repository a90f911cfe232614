/*
 * input_stream.c - opens and reads inputs; see input_stream.h.
 */
#define _GNU_SOURCE /* memfd_create, O_PATH */
#include "formats/base/input_stream.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define STEP 65536 /* bytes per read */

bool mega_source_is_regular(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISREG(info.st_mode);
}

/* ---- Pipes that were peeked at -------------------------------------------------------------- */

typedef struct Kept {
    struct Kept *next;
    int fd; /* a file in memory with what the pipe delivered */
    char path[];
} Kept;

static Kept *kept;           /* see input_stream.h, "Pipes" */
static bool stdin_was_taken; /* standard input was kept once, and nothing is left of it */
static pthread_mutex_t kept_lock = PTHREAD_MUTEX_INITIALIZER;

static bool is_stdin(const char *path)
{
    return strcmp(path, "-") == 0;
}

static int keep(const char *path, int fd, MegaError *err)
{
    const size_t size = strlen(path) + 1;
    Kept *entry = malloc(sizeof *entry + size);
    if (!entry)
        return mega_fail(err, MEGA_ERR_MEMORY, "no memory for reading %s", path);
    entry->fd = fd;
    memcpy(entry->path, path, size);
    pthread_mutex_lock(&kept_lock);
    entry->next = kept;
    kept = entry;
    pthread_mutex_unlock(&kept_lock);
    return 0;
}

/* Returns the link to the entry of a path; it points to NULL if there is none. */
static Kept **find_kept(const char *path)
{
    Kept **link = &kept;
    while (*link && strcmp((*link)->path, path) != 0)
        link = &(*link)->next;
    return link;
}

/* Returns the file that is kept for a path, or -1. */
static int kept_file(const char *path, bool *was_taken)
{
    pthread_mutex_lock(&kept_lock);
    const Kept *entry = *find_kept(path);
    const int fd = entry ? entry->fd : -1;
    *was_taken = !entry && is_stdin(path) && stdin_was_taken;
    pthread_mutex_unlock(&kept_lock);
    return fd;
}

/* Hands the file that is kept for a path to the caller, who closes it. Returns -1 if there is
 * none. */
static int take_kept(const char *path)
{
    pthread_mutex_lock(&kept_lock);
    Kept **link = find_kept(path), *entry = *link;
    const int fd = entry ? entry->fd : -1;
    if (entry) {
        *link = entry->next;
        stdin_was_taken |= is_stdin(path);
    }
    pthread_mutex_unlock(&kept_lock);
    free(entry);
    return fd;
}

void mega_source_forget(const char *path)
{
    const int fd = take_kept(path);
    if (fd >= 0)
        close(fd);
}

/* ---- Opening -------------------------------------------------------------------------------- */

int mega_source_open(int *fd, const char *path, MegaError *err)
{
    struct stat info;
    const char *name = mega_source_name(path);
    *fd = take_kept(path);
    if (*fd >= 0)
        return 0;
    *fd = is_stdin(path) ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0)
                         : open(path, O_RDONLY | O_CLOEXEC);
    if (*fd < 0)
        return mega_fail(err, MEGA_ERR_IO, "cannot open %s: %s", name, strerror(errno));
    int flags = fcntl(*fd, F_GETFL);
    if (flags < 0 || (flags & O_ACCMODE) == O_WRONLY || (flags & O_PATH)) {
        close(*fd);
        *fd = -1;
        return mega_fail(err, MEGA_ERR_IO, "cannot read %s: it is closed, or open for writing only",
                         name);
    }
    if (fstat(*fd, &info) == 0 && S_ISDIR(info.st_mode)) {
        close(*fd);
        *fd = -1;
        return mega_fail(err, MEGA_ERR_IO, "%s is a folder; expected a file", name);
    }
    return 0;
}

static int write_all(int fd, const uint8_t *bytes, size_t size)
{
    while (size) {
        const ssize_t put = write(fd, bytes, size);
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            return -1;
        bytes += put;
        size -= (size_t)put;
    }
    return 0;
}

/* Copies the rest of one file to the end of another. */
static int copy_rest(int to, int from, uint8_t *block, const char *name, MegaError *err)
{
    for (uint64_t size = 0;;) {
        const ssize_t got = read(from, block, STEP);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return mega_fail(err, MEGA_ERR_IO, "cannot read %s: %s", name, strerror(errno));
        if (got == 0)
            return 0;
        size += (uint64_t)got;
        if (size > MEGA_SOURCE_MAX_PIPE)
            return mega_fail(err, MEGA_ERR_LIMIT,
                             "%s is larger than %u bytes, the limit of a pipe; headerless samples "
                             "have none",
                             name, MEGA_SOURCE_MAX_PIPE);
        if (write_all(to, block, (size_t)got))
            return mega_fail(err, MEGA_ERR_MEMORY, "no memory for %s", name);
    }
}

int mega_source_make_seekable(int *fd, const char *name, MegaError *err)
{
    struct stat info;
    if (fstat(*fd, &info) == 0 && S_ISREG(info.st_mode))
        return 0;
    uint8_t *block = malloc(STEP);
    const int copy = memfd_create("mega-pipe", MFD_CLOEXEC);
    int code = 0;
    if (!block || copy < 0)
        code = mega_fail(err, MEGA_ERR_MEMORY, "no memory for reading %s", name);
    else
        code = copy_rest(copy, *fd, block, name, err);
    free(block);
    if (!code && lseek(copy, 0, SEEK_SET) != 0)
        code = mega_fail(err, MEGA_ERR_IO, "cannot read %s: %s", name, strerror(errno));
    if (code) {
        if (copy >= 0)
            close(copy);
        return code;
    }
    close(*fd);
    *fd = copy;
    return 0;
}

/* Devices such as /dev/zero have no end, so they are not peeked at. A terminal has one. */
static bool can_peek(int fd)
{
    struct stat info;
    return fstat(fd, &info) == 0 &&
           (S_ISREG(info.st_mode) || S_ISFIFO(info.st_mode) || S_ISSOCK(info.st_mode) ||
            (S_ISCHR(info.st_mode) && isatty(fd)));
}

int mega_source_peek(const char *path, void *out, size_t size, size_t *got, MegaError *err)
{
    struct stat info;
    bool was_taken;
    int fd = kept_file(path, &was_taken);
    const bool is_kept = fd >= 0;
    *got = 0;
    if (was_taken) /* nothing is left, and reading would wait for a terminal again */
        return 0;
    int code = is_kept ? 0 : mega_source_open(&fd, path, err);
    if (code)
        return code;
    if (!is_kept && !can_peek(fd)) {
        close(fd);
        return 0;
    }
    const bool regular = fstat(fd, &info) == 0 && S_ISREG(info.st_mode);
    if (!regular)
        code = mega_source_make_seekable(&fd, mega_source_name(path), err);
    const off_t at = code ? 0 : lseek(fd, 0, SEEK_CUR); /* a shell may have read part of stdin */
    while (!code && *got < size) {
        const ssize_t n = pread(fd, (char *)out + *got, size - *got, at + (off_t)*got);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            code = mega_fail(err, MEGA_ERR_IO, "cannot read %s: %s", mega_source_name(path),
                             strerror(errno));
        if (n <= 0)
            break;
        *got += (size_t)n;
    }
    if (!code && !regular && !(code = keep(path, fd, err)))
        return 0;
    if (!is_kept)
        close(fd);
    return code;
}

int mega_source_slurp(MegaBuffer *out, int fd, const char *name, const char *what, uint64_t limit,
                      MegaError *err)
{
    int code = 0;
    uint8_t *block = malloc(STEP);
    if (!block)
        return mega_fail(err, MEGA_ERR_MEMORY, "no memory for reading %s", name);
    for (;;) {
        ssize_t got = read(fd, block, STEP);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            code = mega_fail(err, MEGA_ERR_IO, "cannot read %s: %s", name, strerror(errno));
        if (got <= 0)
            break;
        if (out->size + (size_t)got > limit) {
            code = mega_fail(err, MEGA_ERR_LIMIT, "%s is larger than %llu bytes, the limit of %s",
                             name, (unsigned long long)limit, what);
            break;
        }
        mega_put_bytes(out, block, (size_t)got);
        if (out->failed) {
            code = mega_fail(err, MEGA_ERR_MEMORY, "no memory for %s", name);
            break;
        }
    }
    free(block);
    return code;
}

int mega_source_read(MegaBuffer *out, const char *path, const char *what, uint64_t limit,
                     MegaError *err)
{
    int fd = -1;
    int code = mega_source_open(&fd, path, err);
    if (code)
        return code;
    code = mega_source_slurp(out, fd, mega_source_name(path), what, limit, err);
    close(fd);
    return code;
}
