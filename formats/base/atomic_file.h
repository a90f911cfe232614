/*
 * atomic_file.h - files that appear complete or not at all.
 *
 * Data goes to a temporary file in the folder of the target. A commit flushes it to disk and
 * renames it over the target. A failure, or mega_atomic_file_free without a commit, removes it. A
 * target that exists and is not a regular file (/dev/stdout, a FIFO) is written directly instead.
 * Nothing is buffered, so callers write in large pieces. "-" has no special meaning here.
 */
#ifndef MEGA_ATOMIC_FILE_H
#define MEGA_ATOMIC_FILE_H

#include "src/mega.h"

typedef struct MegaAtomicFile MegaAtomicFile;

/* Opens a target. A directory is an error. A symbolic link is followed, so that it remains a link.
 * A file that replaces another one keeps its permissions; those of a new file follow the umask. */
int mega_atomic_file_open(MegaAtomicFile **out, const char *path, MegaError *err);
/* Appends to what mega_atomic_file_write wrote before. */
int mega_atomic_file_write(MegaAtomicFile *output, const void *data, size_t size, MegaError *err);
/* Writes at an offset from the start. It fails if the target cannot seek, as a pipe cannot. */
int mega_atomic_file_write_at(MegaAtomicFile *output, uint64_t offset, const void *data,
                              size_t size, MegaError *err);
/* Flushes to disk and renames. Only mega_atomic_file_free may follow. */
int mega_atomic_file_commit(MegaAtomicFile *output, MegaError *err);
void mega_atomic_file_free(MegaAtomicFile *output);
/* Removes the temporary files of all outputs of this process. It is async-signal-safe: the handler
 * of a signal that ends the program calls it. */
void mega_outputs_abandon(void);

#endif
