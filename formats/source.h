/*
 * source.h - where inputs come from: a path, or "-" for standard input.
 *
 * The first step of the data flow, shared by audio.c, image.c and text.c: opens for reading only,
 * refuses what cannot be an input (folders) and reads whole files up to a limit, growing as data
 * arrives, so that a pipe or a lying file size cannot make it allocate more than there is.
 */
#ifndef MEGA_SOURCE_H
#define MEGA_SOURCE_H

#include "bytes.h"
#include "mega.h"

/* "standard input" for "-", else the path: for messages. */
const char *mega_source_name(const char *path);
/* *fd is the caller's to close; for "-" it is a duplicate of standard input. */
int mega_source_open(int *fd, const char *path, MegaError *err);
/* Appends everything that is left of fd. More than limit bytes are MEGA_ERR_LIMIT; `what` ("an
 * image") names the kind of input in that message. name as mega_source_name gives it. */
int mega_source_slurp(MegaBuffer *out, int fd, const char *name, const char *what, uint64_t limit,
                      MegaError *err);
/* Both in one: opens path, reads all of it, closes. Free *out also after an error. */
int mega_source_read(MegaBuffer *out, const char *path, const char *what, uint64_t limit,
                     MegaError *err);

#endif
