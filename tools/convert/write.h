/*
 * write.h - writes the tensors of a model, from a checkpoint or another model file, into a .mega
 * file.
 */
#ifndef MEGA_WRITE_H
#define MEGA_WRITE_H

#include "formats/mega/meta.h"
#include "tools/convert/architecture.h"

typedef struct WriteOptions {
    const char *path;
    MegaDtype dtype; /* type of matrices; vectors, norms and EMA parameters stay float32 */
    bool keep_types; /* rewrite_model keeps the types of the model file and ignores dtype */
    bool compress;
    bool keep_going;  /* tensors that the architecture does not know are reported, not refused */
    bool allow_non_finite; /* weights that are infinite or NaN are converted as they are */
    long keep_kernels; /* S4's kernels are kept for inputs of so many positions; 0: they are not
                          kept; negative: as in the model file, or not */
    bool quiet;
    uint64_t max_memory; /* bytes that the conversion may take; 0: no limit */
} WriteOptions;

/* Sets in the architecture what --keep-kernels asks for. */
int plan_kernels(const WriteOptions *options, Architecture *architecture,
                 const MegaCheckpoint *checkpoint, MegaError *err);
/* Converts a checkpoint. Memory stays near the size of the largest tensor. A failure, or a signal
 * that interrupts it, leaves no file behind. Warnings go to stderr. */
int write_model(const WriteOptions *options, const Architecture *architecture,
                const MegaCheckpoint *checkpoint, const MegaMeta *meta, MegaError *err);
/* Writes a model file again with other types, encodings or kept kernels. The general keys that are
 * given take the place of those of the file; other metadata stay as they are. */
int rewrite_model(const WriteOptions *options, const char *path, const MegaMeta *given,
                  MegaError *err);

#endif
