/*
 * spill.c - see spill.h.
 */
#include "src/base/spill.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "src/base/nameless_file.h"

struct MegaSpill {
    uint64_t size;
    char *memory; /* [size], or NULL */
    int fd;       /* descriptor of the file, or -1 */
    MegaError err;
};

int mega_spill_new(MegaSpill **out, uint64_t size, const char *folder, MegaError *err)
{
    *out = NULL;
    MegaSpill *spill = calloc(1, sizeof *spill);
    if (!spill)
        return mega_fail(err, MEGA_ERR_MEMORY, "no memory for a temporary file");
    *spill = (MegaSpill){.size = size, .fd = -1};
    int code = 0;
    if (!folder) {
        spill->memory = size <= SIZE_MAX ? malloc((size_t)size) : NULL;
        if (!spill->memory)
            code = mega_fail(err, MEGA_ERR_MEMORY, "no memory for %.1f MB", (double)size / 1e6);
    } else {
        spill->fd = mega_nameless_file_open(folder, err);
        code = spill->fd < 0 ? spill->fd : 0;
    }
    if (code) {
        spill->fd = -1;
        mega_spill_free(spill);
        return code;
    }
    *out = spill;
    return 0;
}

void mega_spill_free(MegaSpill *spill)
{
    if (!spill)
        return;
    if (spill->fd >= 0)
        close(spill->fd);
    free(spill->memory);
    free(spill);
}

static void fail(MegaSpill *spill, const char *what, ssize_t got)
{
    mega_fail(&spill->err, MEGA_ERR_IO, "cannot %s a temporary file: %s", what,
              got < 0 ? strerror(errno) : "it is shorter than it was");
}

void mega_spill_read(MegaSpill *spill, uint64_t at, void *bytes, size_t size)
{
    assert(at <= spill->size && size <= spill->size - at);
    if (spill->memory)
        memcpy(bytes, spill->memory + at, size);
    for (size_t done = 0; spill->fd >= 0 && !spill->err.code && done < size;) {
        const ssize_t got = pread(spill->fd, (char *)bytes + done, size - done, (off_t)(at + done));
        if (got > 0)
            done += (size_t)got;
        else if (got == 0 || errno != EINTR)
            fail(spill, "read", got);
    }
}

void mega_spill_write(MegaSpill *spill, uint64_t at, const void *bytes, size_t size)
{
    assert(at <= spill->size && size <= spill->size - at);
    if (spill->memory)
        memcpy(spill->memory + at, bytes, size);
    for (size_t done = 0; spill->fd >= 0 && !spill->err.code && done < size;) {
        const ssize_t got =
            pwrite(spill->fd, (const char *)bytes + done, size - done, (off_t)(at + done));
        if (got > 0)
            done += (size_t)got;
        else if (got == 0 || errno != EINTR)
            fail(spill, "write", got);
    }
}

int mega_spill_check(const MegaSpill *spill, MegaError *err)
{
    return spill->err.code ? mega_fail(err, spill->err.code, "%s", spill->err.text) : 0;
}
