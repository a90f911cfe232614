/*
 * write.h - the tensors of a detected architecture, from a checkpoint or another model file into a
 * .mega file.
 */
#ifndef MEGA_WRITE_H
#define MEGA_WRITE_H

#include "formats/mega/meta.h"
#include "tools/convert/architecture.h"

typedef struct WriteOptions {
    const char *path;
    MegaDtype dtype;  /* of matrices; vectors, norms and EMA parameters stay float32 */
    bool keep_types;  /* of a model file that is written anew, instead */
    bool compress;
    bool keep_going;  /* tensors that the architecture does not know are reported, not refused */
    bool allow_non_finite; /* weights that are infinite or NaN are converted as they are */
    bool quiet;
    uint64_t max_memory; /* bytes that the conversion may take; 0: no limit */
} WriteOptions;

/* Memory stays near the largest tensor. A failure, or an interrupting signal, leaves nothing
 * behind. Warnings go to stderr. */
int write_model(const WriteOptions *options, const Architecture *architecture,
                const MegaCheckpoint *checkpoint, const MegaMeta *meta, MegaError *err);
/* A model file once more, with other types or encodings; the metadata stays as it is. */
int rewrite_model(const WriteOptions *options, const char *path, MegaError *err);
/* For signal handlers: removes the temporary file of a write_model that is under way. */
void write_abandon(void);

#endif
