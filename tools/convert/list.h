/*
 * list.h - mega-convert --list: prints the tensors and arguments of a checkpoint.
 */
#ifndef MEGA_LIST_H
#define MEGA_LIST_H

#include <jansson.h>

#include "formats/checkpoint/checkpoint.h"

/* Prints the tensors, the other contents and the arguments; args may be NULL. */
void list_checkpoint(const MegaCheckpoint *checkpoint, const json_t *args);
/* Prints the same as one JSON object. */
void list_json(const MegaCheckpoint *checkpoint, const char *path, json_t *args);

#endif
