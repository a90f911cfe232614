/*
 * atomic_file.c - writes to a temporary file, then renames it; see atomic_file.h.
 */
#include "formats/base/atomic_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

struct MegaAtomicFile {
    char *path;        /* the target, with symbolic links resolved */
    char *temporary;   /* NULL: the target is written directly */
    int fd;            /* -1 when closed */
    uint64_t position; /* where the next mega_atomic_file_write writes */
    int slot;          /* of the temporary file in `temporaries`; -1: it has none */
    bool committed;
    bool failed; /* a part was not written, so there will be no file */
};

/* The temporary files of this process, for mega_outputs_abandon. A signal handler may run in any
 * thread at any time, so it finds them in static memory. No signal removes a file that finds all
 * slots taken, which cannot happen to a program with one output at a time. */
#define SLOTS 16
enum { SLOT_FREE, SLOT_TAKEN, SLOT_READY };
static struct {
    atomic_int state;
    char path[PATH_MAX];
} temporaries[SLOTS];

static int take_slot(const char *path)
{
    for (int i = 0; i < SLOTS && strlen(path) < PATH_MAX; i++) {
        int expected = SLOT_FREE;
        if (!atomic_compare_exchange_strong(&temporaries[i].state, &expected, SLOT_TAKEN))
            continue;
        strcpy(temporaries[i].path, path);
        atomic_store(&temporaries[i].state, SLOT_READY);
        return i;
    }
    return -1;
}

static void free_slot(MegaAtomicFile *output)
{
    if (output->slot >= 0)
        atomic_store(&temporaries[output->slot].state, SLOT_FREE);
    output->slot = -1;
}

void mega_outputs_abandon(void)
{
    for (int i = 0; i < SLOTS; i++)
        if (atomic_load(&temporaries[i].state) == SLOT_READY)
            unlink(temporaries[i].path);
}

static int fail_write(MegaAtomicFile *output, MegaError *err)
{
    output->failed = true;
    return mega_fail(err, MEGA_ERR_IO, "cannot write %s: %s", output->path, strerror(errno));
}

/* Returns the folder of path in a string of its own: the part before the last slash, or ".". */
static char *folder_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    if (!slash)
        return strdup(".");
    return slash == path ? strdup("/") : strndup(path, (size_t)(slash - path));
}

/* Creates a file with a new name in the target's folder. Its permissions are never wider than
 * `mode`, so nobody can ever open it who could not open the file that it replaces. */
static int create_temporary(MegaAtomicFile *output, mode_t mode, MegaError *err)
{
    int code = MEGA_ERR_MEMORY;
    size_t size = 0;
    char *folder = folder_of(output->path);
    if (!folder)
        goto out;
    size = strlen(folder) + sizeof "/.mega-0123456789abcdef.tmp";
    output->temporary = malloc(size);
    if (!output->temporary)
        goto out;
    for (int attempt = 0; attempt < 100; attempt++) {
        uint64_t number = 0;
        if (getrandom(&number, sizeof number, 0) != sizeof number)
            number = (uint64_t)getpid() << 32 | (unsigned)attempt;
        snprintf(output->temporary, size, "%s/.mega-%016llx.tmp", folder,
                 (unsigned long long)number);
        /* take the slot first, so that a signal never finds a file without one */
        output->slot = take_slot(output->temporary);
        output->fd = open(output->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
        if (output->fd >= 0 || errno != EEXIST)
            break;
        free_slot(output);
    }
    code = output->fd >= 0
               ? 0
               : mega_fail(err, MEGA_ERR_IO, "cannot create %s: no file can be made in %s: %s",
                           output->path, folder, strerror(errno));
    if (code) { /* the file is not ours, so it is not removed */
        free_slot(output);
        free(output->temporary);
        output->temporary = NULL;
    }
out:
    if (code == MEGA_ERR_MEMORY)
        mega_fail(err, code, "no memory for writing %s", output->path);
    free(folder);
    return code;
}

int mega_atomic_file_open(MegaAtomicFile **out, const char *path, MegaError *err)
{
    struct stat info;
    int code = 0;
    *out = NULL;
    MegaAtomicFile *output = calloc(1, sizeof *output);
    if (!output)
        return mega_fail(err, MEGA_ERR_MEMORY, "no memory for writing %s", path);
    output->fd = output->slot = -1;
    bool exists = stat(path, &info) == 0;
    bool regular = exists && S_ISREG(info.st_mode);
    output->path = regular ? realpath(path, NULL) : NULL;
    if (!output->path)
        output->path = strdup(path);
    if (!output->path) {
        code = mega_fail(err, MEGA_ERR_MEMORY, "no memory for writing %s", path);
    } else if (exists && S_ISDIR(info.st_mode)) {
        code = mega_fail(err, MEGA_ERR_IO, "cannot write %s: it is a directory; name a file", path);
    } else if (exists && !regular) {
        output->fd = open(path, O_WRONLY | O_CLOEXEC);
        if (output->fd < 0)
            code = fail_write(output, err);
    } else {
        /* The umask narrows the permissions of a new file. A file that replaces another one starts
         * with the owner's permissions and then gets all of them, independent of the umask. */
        code = create_temporary(output, exists ? info.st_mode & 0600 : 0666, err);
        if (!code && exists && fchmod(output->fd, info.st_mode & 0777) != 0)
            code = fail_write(output, err);
    }
    if (code)
        mega_atomic_file_free(output);
    else
        *out = output;
    return code;
}

int mega_atomic_file_write(MegaAtomicFile *output, const void *data, size_t size, MegaError *err)
{
    const char *at = data;
    if (output->temporary) {
        int code = mega_atomic_file_write_at(output, output->position, data, size, err);
        output->position += size;
        return code;
    }
    while (size) {
        ssize_t written = write(output->fd, at, size < INT_MAX ? size : INT_MAX);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return fail_write(output, err);
        at += written;
        size -= (size_t)written;
    }
    return 0;
}

int mega_atomic_file_write_at(MegaAtomicFile *output, uint64_t offset, const void *data,
                              size_t size, MegaError *err)
{
    const char *at = data;
    while (size) {
        ssize_t written = pwrite(output->fd, at, size < INT_MAX ? size : INT_MAX, (off_t)offset);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0 && errno == ESPIPE) {
            output->failed = true;
            return mega_fail(err, MEGA_ERR_IO,
                             "cannot write %s: it is a pipe, and this format needs a file",
                             output->path);
        }
        if (written <= 0)
            return fail_write(output, err);
        at += written;
        offset += (uint64_t)written;
        size -= (size_t)written;
    }
    return 0;
}

/* Makes the new name survive a power failure, too. Not every file system supports this. */
static void sync_folder(const char *path)
{
    char *folder = folder_of(path);
    int fd = folder ? open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (fd >= 0) {
        (void)fsync(fd);
        close(fd);
    }
    free(folder);
}

int mega_atomic_file_commit(MegaAtomicFile *output, MegaError *err)
{
    int fd = output->fd;
    if (output->failed)
        return mega_fail(err, MEGA_ERR_IO, "cannot write %s: a part of it could not be written",
                         output->path);
    if (output->temporary && fsync(fd) != 0)
        return fail_write(output, err);
    output->fd = -1;
    if (close(fd) != 0)
        return fail_write(output, err);
    if (output->temporary) {
        if (rename(output->temporary, output->path) != 0)
            return fail_write(output, err);
        sync_folder(output->path);
    }
    output->committed = true;
    return 0;
}

void mega_atomic_file_free(MegaAtomicFile *output)
{
    if (!output)
        return;
    if (output->fd >= 0)
        close(output->fd);
    if (!output->committed && output->temporary)
        unlink(output->temporary);
    free_slot(output);
    free(output->temporary);
    free(output->path);
    free(output);
}
