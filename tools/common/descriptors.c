/*
 * descriptors.c - see descriptors.h.
 */
#define _GNU_SOURCE
#include "tools/common/descriptors.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

/* open takes the lowest free number, and lower ones are occupied. The mode is the wrong one on
 * purpose: a read of standard input fails as it does when it is closed, and so does a write of the
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
            _exit(1); /* there is nowhere to say why */
    }
}
