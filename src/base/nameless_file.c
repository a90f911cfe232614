/*
 * nameless_file.c - see nameless_file.h. Not every file system supports O_TMPFILE; on the others
 * the file gets a name, which is removed as soon as the file is open.
 */
#define _GNU_SOURCE /* O_TMPFILE, mkostemp */
#include "src/base/nameless_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int mega_nameless_file_open(const char *folder, MegaError *err)
{
    int fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, S_IRUSR | S_IWUSR);
    if (fd >= 0)
        return fd;
    const size_t size = strlen(folder) + sizeof "/mega-XXXXXX";
    char *path = malloc(size);
    if (!path)
        return mega_fail(err, MEGA_ERR_MEMORY, "no memory for the name of a temporary file");
    snprintf(path, size, "%s/mega-XXXXXX", folder);
    fd = mkostemp(path, O_CLOEXEC);
    if (fd >= 0)
        unlink(path);
    else
        fd = mega_fail(err, MEGA_ERR_IO, "cannot make a temporary file in %s: %s", folder,
                       strerror(errno));
    free(path);
    return fd;
}
