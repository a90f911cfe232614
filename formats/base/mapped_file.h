/*
 * mapped_file.h - maps files into memory for reading: models and checkpoints.
 *
 * Nothing is copied, so a large file opens at once and its pages belong to the system's cache. If
 * another process truncates the file while it is mapped, the kernel raises SIGBUS at the next
 * access; the commands handle that in tools/common/signals.c.
 */
#ifndef MEGA_MAPPED_FILE_H
#define MEGA_MAPPED_FILE_H

#include <stdint.h>

#include "src/mega.h"

typedef struct MegaMappedFile {
    const uint8_t *data; /* NULL if the file is empty */
    uint64_t size;
    int fd; /* stays open, so that its owner can see whether the file changes; -1: no file */
} MegaMappedFile;

/* Maps a regular file for reading. `what` ("checkpoint") names in messages what it should be. After
 * an error nothing is left to close. */
int mega_mapped_file_open(MegaMappedFile *out, const char *path, const char *what, MegaError *err);
/* Unmaps and closes. Does nothing if fd is -1. */
void mega_mapped_file_close(MegaMappedFile *file);

/* Returns an error if the file was cut short since it was mapped: touching a page of the mapping
 * after its new end raises SIGBUS. Bytes that belong to the caller, without a file, are left
 * alone. */
int mega_mapped_file_check(const MegaMappedFile *file, const char *name, MegaError *err);

/* Gives the whole pages among these bytes of a mapping back to the system. A process is charged for
 * the pages that it has touched, so a reader that is done with some of them releases them; they are
 * read from the file again if they are needed again. */
void mega_mapped_file_release(const void *begin, uint64_t size);

#endif
