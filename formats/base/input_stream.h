/*
 * input_stream.h - opens and reads inputs: a path, or "-" for standard input.
 *
 * This is the first step of the data flow, which audio.c, image.c and vocab.c share. It opens for
 * reading only and refuses folders, which cannot be inputs. It reads whole files up to a limit into
 * memory that grows as data arrives, so that a pipe or a false file size cannot make it allocate
 * more than there is.
 *
 * Pipes. A pipe can be opened a second time (a FIFO, /dev/stdin, /dev/fd/63), but the bytes that
 * were read from it are gone. Commands peek at a path to choose a model, then to check that the
 * input fits it, and open it only later, in decoders that know nothing but its name. What a peek
 * has read of a pipe is therefore kept under its path, in one list of the process that a lock
 * guards, until the path is opened or forgotten.
 */
#ifndef MEGA_INPUT_STREAM_H
#define MEGA_INPUT_STREAM_H

#include <stdbool.h>

#include "formats/base/bytes.h"
#include "src/mega.h"

#define MEGA_SOURCE_MAX_PIPE (1u << 30) /* limit on the bytes of a pipe kept in memory */

/* Returns the name of an input for messages: "standard input" for "-", else the path. */
const char *mega_source_name(const char *path);
/* Returns whether the path names a regular file, which has an end and can be read again. */
bool mega_source_is_regular(const char *path);
/* Opens an input. The caller closes *fd, which is a duplicate of standard input for "-". A pipe
 * that was peeked at gives all of its bytes, once; the next call opens the path again. */
int mega_source_open(int *fd, const char *path, MegaError *err);
/* Replaces *fd by a file in memory that holds everything a pipe delivers, so that it can be read
 * from any position. A regular file is left alone. More than MEGA_SOURCE_MAX_PIPE bytes are
 * MEGA_ERR_LIMIT. */
int mega_source_make_seekable(int *fd, const char *name, MegaError *err);
/* Reads the first bytes of a path and sets *got to their number. Whoever opens the path next still
 * gets them: those of a pipe are kept in memory until then. A device is not read (*got = 0), nor is
 * standard input again once what was kept of it has been opened. */
int mega_source_peek(const char *path, void *out, size_t size, size_t *got, MegaError *err);
/* Frees what is kept of a pipe that will not be opened, because its content was refused. The next
 * peek at that path reads from the pipe again. */
void mega_source_forget(const char *path);
/* Appends everything that is left of fd. More than limit bytes are MEGA_ERR_LIMIT; that message
 * calls the kind of input `what` ("an image"). name is from mega_source_name. */
int mega_source_slurp(MegaBuffer *out, int fd, const char *name, const char *what, uint64_t limit,
                      MegaError *err);
/* Opens `path`, reads all of it like mega_source_slurp, and closes it. Free *out also after an
 * error. */
int mega_source_read(MegaBuffer *out, const char *path, const char *what, uint64_t limit,
                     MegaError *err);

#endif
