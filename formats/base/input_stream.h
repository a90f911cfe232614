/*
 * input_stream.h - where inputs come from: a path, or "-" for standard input.
 *
 * The first step of the data flow, shared by audio.c, image.c and vocab.c: opens for reading only,
 * refuses what cannot be an input (folders) and reads whole files up to a limit, growing as data
 * arrives, so that a pipe or a lying file size cannot make it allocate more than there is.
 */
#ifndef MEGA_INPUT_STREAM_H
#define MEGA_INPUT_STREAM_H

#include "formats/base/bytes.h"
#include "src/mega.h"

#define MEGA_SOURCE_MAX_PIPE (1u << 30) /* bytes of a pipe that are kept in memory */

/* "standard input" for "-", else the path: for messages. */
const char *mega_source_name(const char *path);
/* *fd is the caller's to close; for "-" it is a duplicate of standard input. */
int mega_source_open(int *fd, const char *path, MegaError *err);
/* Puts a file in memory with all that a pipe has in the place of *fd, so that it can be read from
 * any position, as a regular file, which is left alone. More than MEGA_SOURCE_MAX_PIPE bytes are
 * MEGA_ERR_LIMIT. */
int mega_source_make_seekable(int *fd, const char *name, MegaError *err);
/* The first bytes of a path, *got of them, without taking them away from whoever opens it next:
 * what a pipe has is kept in memory until then. Nothing (*got = 0) is looked at of a device. */
int mega_source_peek(const char *path, void *out, size_t size, size_t *got, MegaError *err);
/* Appends everything that is left of fd. More than limit bytes are MEGA_ERR_LIMIT; `what` ("an
 * image") names the kind of input in that message. name as mega_source_name gives it. */
int mega_source_slurp(MegaBuffer *out, int fd, const char *name, const char *what, uint64_t limit,
                      MegaError *err);
/* Opens `path`, reads all of it like mega_source_slurp, and closes it. Free *out also after an
 * error. */
int mega_source_read(MegaBuffer *out, const char *path, const char *what, uint64_t limit,
                     MegaError *err);

#endif
