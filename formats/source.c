/*
 * source.c - open and read inputs; see source.h.
 */
#include "source.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define STEP 65536 /* bytes per read */

const char *mega_source_name(const char *path)
{
    return strcmp(path, "-") == 0 ? "standard input" : path;
}

int mega_source_open(int *fd, const char *path, MegaError *err)
{
    struct stat info;
    const char *name = mega_source_name(path);
    *fd = strcmp(path, "-") == 0 ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0)
                                 : open(path, O_RDONLY | O_CLOEXEC);
    if (*fd < 0)
        return mega_fail(err, MEGA_ERR_IO, "cannot open %s: %s", name, strerror(errno));
    if (fstat(*fd, &info) == 0 && S_ISDIR(info.st_mode)) {
        close(*fd);
        *fd = -1;
        return mega_fail(err, MEGA_ERR_IO, "%s is a folder; expected a file", name);
    }
    return 0;
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
