/*
 * no_files.c - replaces mapped_file.c and input_stream.c in a build without files (make
 * WITH_SYSTEM=0), where models and inputs come from memory: opening a path is an error.
 */
#include "formats/base/input_stream.h"
#include "formats/base/mapped_file.h"

static int refuse(const char *name, MegaError *err)
{
    return mega_fail(err, MEGA_ERR_UNSUPPORTED, "cannot open %s: this build opens no files", name);
}

int mega_mapped_file_open(MegaMappedFile *out, const char *path, const char *what, MegaError *err)
{
    (void)what;
    *out = (MegaMappedFile){.fd = -1};
    return refuse(path, err);
}

void mega_mapped_file_close(MegaMappedFile *file)
{
    *file = (MegaMappedFile){.fd = -1};
}

int mega_mapped_file_check(const MegaMappedFile *file, const char *name, MegaError *err)
{
    (void)file;
    (void)name;
    (void)err;
    return 0;
}

void mega_mapped_file_release(const void *begin, uint64_t size)
{
    (void)begin;
    (void)size;
}

bool mega_source_is_regular(const char *path)
{
    (void)path;
    return false;
}

int mega_source_open(int *fd, const char *path, MegaError *err)
{
    *fd = -1;
    return refuse(mega_source_name(path), err);
}

int mega_source_peek(const char *path, void *out, size_t size, size_t *got, MegaError *err)
{
    (void)out;
    (void)size;
    *got = 0;
    return refuse(mega_source_name(path), err);
}

void mega_source_forget(const char *path)
{
    (void)path;
}

int mega_source_read(MegaBuffer *out, const char *path, const char *what, uint64_t limit,
                     MegaError *err)
{
    (void)out;
    (void)what;
    (void)limit;
    return refuse(mega_source_name(path), err);
}
