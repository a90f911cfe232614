/*
 * mapped_file.c - see mapped_file.h.
 */
#include "formats/base/mapped_file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static int map(MegaMappedFile *file, const char *path, const char *what, MegaError *err)
{
    struct stat info;
    if (file->fd < 0 || fstat(file->fd, &info) != 0)
        return mega_fail(err, MEGA_ERR_IO, "cannot open %s: %s", path, strerror(errno));
    if (S_ISDIR(info.st_mode))
        return mega_fail(err, MEGA_ERR_IO, "%s: this is a directory; name the %s in it", path,
                         what);
    if (!S_ISREG(info.st_mode))
        return mega_fail(err, MEGA_ERR_IO,
                         "%s: this is not a regular file; a %s has to be mapped into memory", path,
                         what);
    if (info.st_size == 0)
        return 0;
    if ((uint64_t)info.st_size > SIZE_MAX)
        return mega_fail(err, MEGA_ERR_LIMIT, "%s: the file is too large for the address space",
                         path);
    void *data = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_PRIVATE, file->fd, 0);
    if (data == MAP_FAILED)
        return mega_fail(err, MEGA_ERR_IO, "cannot map %s: %s", path, strerror(errno));
    file->data = data;
    file->size = (uint64_t)info.st_size;
    return 0;
}

int mega_mapped_file_open(MegaMappedFile *out, const char *path, const char *what, MegaError *err)
{
    /* Without O_NONBLOCK, a FIFO that has no writer would block us. */
    *out = (MegaMappedFile){.fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
    int code = map(out, path, what, err);
    if (code)
        mega_mapped_file_close(out);
    return code;
}

void mega_mapped_file_close(MegaMappedFile *file)
{
    if (file->fd >= 0) {
        if (file->data)
            munmap((void *)(uintptr_t)file->data, (size_t)file->size);
        close(file->fd);
    }
    *file = (MegaMappedFile){.fd = -1};
}

int mega_mapped_file_check(const MegaMappedFile *file, const char *name, MegaError *err)
{
    struct stat info;
    if (file->fd < 0)
        return 0;
    if (fstat(file->fd, &info) != 0)
        return mega_fail(err, MEGA_ERR_IO, "%s: cannot read: %s", name, strerror(errno));
    if ((uint64_t)info.st_size < file->size)
        return mega_fail(err, MEGA_ERR_IO,
                         "%s: the file was cut short from %" PRIu64 " to %" PRIu64
                         " bytes while it is in use",
                         name, file->size, (uint64_t)info.st_size);
    return 0;
}

void mega_mapped_file_release(const void *begin, uint64_t size)
{
    const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), address = (uintptr_t)begin;
    const uintptr_t first = (address + page - 1) / page * page;
    const uintptr_t end = (address + (uintptr_t)size) / page * page;
    if (first < end)
        madvise((void *)first, end - first, MADV_DONTNEED);
}
