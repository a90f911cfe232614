/*
 * descriptors.c - see descriptors.h.
 */
#define _GNU_SOURCE
#include "tools/common/descriptors.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

/* Opens take the lowest free number, and all lower ones are occupied. The access mode is wrong on
 * purpose: reading standard input then fails as it does when it is closed, and so does writing the
 * others. O_PATH, which allows neither, is for a system without /dev. */
void secure_descriptors(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
        if (fcntl(fd, F_GETFD) >= 0 || errno != EBADF)
            continue;
        int opened = open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY);
        if (opened < 0)
            opened = open("/", O_PATH);
        if (opened != fd)
            _exit(1); /* there is no descriptor left on which to say why */
    }
}
