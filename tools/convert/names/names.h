/*
 * names.h - finds the tensors of a checkpoint by the names that the model itself gives them.
 *
 * Wrappers put parts in front of every name: "module." (DataParallel), "model." (Lightning),
 * "_orig_mod." (torch.compile), "student.", "ema_model." and more. Several of them may be there, in
 * any order. If only a part of the model is wrapped, they stand in the middle of a name.
 */
#ifndef MEGA_NAMES_H
#define MEGA_NAMES_H

#include "formats/checkpoint/checkpoint.h"

#define NAMES_MAX_PREFIX 256
#define NAMES_MAX_PREFIXES 16

typedef struct Name {
    const char *name; /* the name without prefix and wrappers */
    const MegaCheckpointTensor *tensor;
} Name;

typedef struct Names {
    Name *items; /* [count], the tensors with the prefix, sorted by name */
    size_t count;
    char *text;                    /* memory of all names, owned */
    char prefix[NAMES_MAX_PREFIX]; /* stands before the model's names, such as "model.", or "" */
    bool averaged;                 /* the prefix says that the weights are a moving average */
    /* the checkpoint also has the other set of weights, with this prefix: */
    bool has_other;
    char other[NAMES_MAX_PREFIX];
} Names;

/* Finds the prefix of the model. `marks` are names of tensors that only a model has; what stands
 * before one of them in the checkpoint, and is not part of the model itself, is the prefix. *mark
 * becomes the index of the first mark that is found, or -1 if there is none; the prefix is then
 * empty. */
int names_find(Names *out, const MegaCheckpoint *checkpoint, const char *const *marks,
               int mark_count, MegaWeightSet weights, int *mark, MegaError *err);
void names_free(Names *names);
/* Returns the tensor of that name, or NULL. */
const MegaCheckpointTensor *names_get(const Names *names, const char *name);

#endif
