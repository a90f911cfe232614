/*
 * architecture.h - from a checkpoint's tensors and arguments to a MegaConfig.
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
    const NameRule *tensor_names; /* what the family calls each canonical tensor */
    const char *family;           /* for messages and metadata */
    Names names;                  /* the model's tensors in this checkpoint */
    unsigned sharing; /* what the arguments say is one tensor; for architecture_find */
} Architecture;

/* args may be NULL. chunk_size overrides the checkpoint's when >= 0 (0: no chunks). The checkpoint
 * must outlive *out, which is to be freed in any case. */
int architecture_detect(Architecture *out, const MegaCheckpoint *checkpoint, const json_t *args,
                        long chunk_size, MegaWeightSet weights, MegaError *err);
void architecture_free(Architecture *architecture);

/* The tensor that the original calls name, whatever prefix this checkpoint has; or NULL. Tensors
 * that the model shares may be stored under one of their names only. */
const MegaCheckpointTensor *architecture_find(const Architecture *architecture, const char *name);

/* ---- Arguments of the original, by the first of these names that is there ------------------- */

/* NULL when absent. JSON null (Python's None) is a value. */
const json_t *argument(const json_t *args, const char *name, const char *other_name);
const char *argument_string(const json_t *args, const char *name, const char *other_name);
/* Integer or real; fallback when absent, null or something else. */
double argument_number(const json_t *args, const char *name, const char *other_name,
                       double fallback);
/* fallback when absent or null; an error when it is not a whole number that fits an int. */
int argument_integer(const json_t *args, const char *name, const char *other_name, int fallback,
                     int *out, MegaError *err);

#endif
