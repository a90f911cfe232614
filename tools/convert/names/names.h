/*
 * names.h - the tensors of a checkpoint by the names that the model itself gives them.
 *
 * Wrappers put parts in front of every name: "module." (DataParallel), "model." (Lightning),
 * "_orig_mod." (torch.compile), "student.", "ema_model." and more, several of them in any order;
 * and some put theirs into the middle, where only a part of the model is wrapped.
 */
#ifndef MEGA_NAMES_H
#define MEGA_NAMES_H

#include "formats/checkpoint/checkpoint.h"

#define NAMES_MAX_PREFIX 256
#define NAMES_MAX_PREFIXES 16

typedef struct Name {
    const char *name; /* without prefix and wrappers */
    const MegaCheckpointTensor *tensor;
} Name;

typedef struct Names {
    Name *items; /* [count], by name: those with the prefix */
    size_t count;
    char *text;                    /* owned: all names */
    char prefix[NAMES_MAX_PREFIX]; /* in front of the model's names; "" or such as "model." */
    bool averaged;                 /* the prefix says that they are averages */
    bool has_other;                /* there are weights of the other kind, too, with this prefix: */
    char other[NAMES_MAX_PREFIX];
} Names;

/* Finds the prefix of the model: what stands before one of `marks`, the names of tensors that only
 * a model has, and is no part of the model itself. *mark is the first one that has it; -1: there is
 * none, and no prefix. */
int names_find(Names *out, const MegaCheckpoint *checkpoint, const char *const *marks,
               int mark_count, MegaWeightSet weights, int *mark, MegaError *err);
void names_free(Names *names);
/* NULL if there is none. */
const MegaCheckpointTensor *names_get(const Names *names, const char *name);

#endif
