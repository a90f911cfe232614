/*
 * architecture.h - derives a MegaConfig from a checkpoint's tensors and arguments.
 *
 * Every size is taken from a tensor's shape; the arguments decide only what shapes cannot tell,
 * such as the attention function. A new family of models is one more row of the table in
 * architecture.c.
 */
#ifndef MEGA_ARCHITECTURE_H
#define MEGA_ARCHITECTURE_H

#include "src/model/tensors.h"
#include "tools/convert/names/names.h"
#include "tools/convert/names/table.h"

typedef struct Architecture {
    MegaConfig config;
    const NameRule *tensor_names; /* the family's name for each canonical tensor */
    const char *family;           /* name of the family, for messages and metadata */
    Names names;                  /* the model's tensors in this checkpoint */
    const SharedName *shared; /* the family's tensors with two names, or NULL */
    unsigned sharing; /* the rows of it that are true of this model, as bits */
    /* ends of the names of tensors that inference does not use; the list ends with NULL, and may be
     * NULL */
    const char *const *unused;
    const char *class_name; /* the class of the original's code, or NULL */
    bool lenient;           /* tensors that it does not know are left out, as the original does */
    /* the tensor that has both of these names, or NULL; and another one with one of them, which
     * does not count */
    const MegaCheckpointTensor *tied, *tied_other;
    const char *tied_names[2];
    bool tied_differ; /* these two have different values */
} Architecture;

/* Detects the architecture. args may be NULL. chunk_size, if it is not negative, overrides that of
 * the checkpoint; 0 means no chunks. The checkpoint must outlive *out, which must be freed in any
 * case. */
int architecture_detect(Architecture *out, const MegaCheckpoint *checkpoint, const json_t *args,
                        long chunk_size, MegaWeightSet weights, MegaError *err);
void architecture_free(Architecture *architecture);

/* Returns the tensor that the original model calls `name`, whatever prefix this checkpoint has, or
 * NULL. A tensor that the model shares is found under each of its names, even if it is stored under
 * one only. */
const MegaCheckpointTensor *architecture_find(const Architecture *architecture, const char *name);

/* ---- Arguments of the original, by the first of these names that is there ------------------- */

/* Returns an argument, or NULL if it is absent. JSON null (Python's None) is a value. */
const json_t *argument(const json_t *args, const char *name, const char *other_name);
const char *argument_string(const json_t *args, const char *name, const char *other_name);
/* Returns a number, integer or real, or the fallback if the argument is absent, null or of another
 * type. */
double argument_number(const json_t *args, const char *name, const char *other_name,
                       double fallback);
/* Stores a whole number, or the fallback if the argument is absent or null. A value that is not a
 * whole number, or does not fit an int, is an error. */
int argument_integer(const json_t *args, const char *name, const char *other_name, int fallback,
                     int *out, MegaError *err);

#endif
