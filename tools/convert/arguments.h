/*
 * arguments.h - the arguments with which a checkpoint's model was trained.
 */
#ifndef MEGA_ARGUMENTS_H
#define MEGA_ARGUMENTS_H

#include <jansson.h>

#include "formats/checkpoint/checkpoint.h"

/* Merges the checkpoint's own arguments with those of the file `config`, which override them; it
 * may be NULL. max_memory is as in WriteOptions. The caller releases *out, also after an error. */
int merge_arguments(json_t **out, const MegaCheckpoint *checkpoint, const char *config,
                    uint64_t max_memory, MegaError *err);

#endif
