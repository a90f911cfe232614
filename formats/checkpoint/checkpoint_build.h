/*
 * checkpoint_build.h - declares how the readers of the formats fill a MegaCheckpoint. Private to
 * checkpoint.c, torch_*.c, safetensors.c and folder.c.
 */
#ifndef MEGA_CHECKPOINT_BUILD_H
#define MEGA_CHECKPOINT_BUILD_H

#include "formats/base/mapped_file.h"
#include "formats/checkpoint/checkpoint.h"
#include "formats/checkpoint/pickle.h"
#include "formats/checkpoint/zip.h"

#define MEGA_CHECKPOINT_MAX_TENSORS 65536
#define MEGA_CHECKPOINT_MAX_NAME 512
/* Most values of a pickle that are looked at in search of tensors. A few bytes can share a value
 * very often, and values may contain themselves. */
#define MEGA_TORCH_MAX_WORK 40000000u

struct MegaCheckpoint {
    char *name;
    const char *kind;
    MegaMappedFile map;
    uint64_t max_memory; /* limit of the options, in bytes */
    uint64_t memory;     /* bytes taken besides the mapping */
    MegaCheckpointTensor *tensors; /* [count]; names are owned */
    size_t count, capacity;
    const MegaCheckpointTensor **sorted; /* [count], sorted by name once all tensors are added */
    json_t *args;
    bool averaged;
    char *place; /* NULL means "" */
    char *other_place, *rival_place; /* NULL means that there is none */
    MegaCheckpointExtra *extras; /* [extra_count], with owned texts */
    size_t extra_count, extras_left;
    MegaZip *zip; /* the archive of a torch zip file, which has the checksums */
    MegaCheckpoint **parts; /* [part_count]: the files of a folder, whose tensors these are */
    int part_count;
};

/* Begins a message with the name of the file. */
#define MEGA_CHECKPOINT_FAIL(code, format, ...)                                                    \
    mega_fail(err, code, "%s: " format, checkpoint->name, ##__VA_ARGS__)

/* Returns how much memory the values of the file may take. The limit grows with the file's size,
 * so that a small file cannot unpack to much, and never exceeds what the caller allows. */
static inline uint64_t mega_checkpoint_allowance(const MegaCheckpoint *checkpoint)
{
    const uint64_t least = UINT64_C(32) << 20, most = UINT64_C(1) << 30, factor = 24;
    const uint64_t size = checkpoint->map.size;
    const uint64_t trusted = size < (most - least) / factor ? least + size * factor : most;
    return checkpoint->max_memory && checkpoint->max_memory < trusted ? checkpoint->max_memory
                                                                      : trusted;
}

/* Copies the tensor under the name, which must be 1 to MEGA_CHECKPOINT_MAX_NAME bytes of text.
 * Shape, strides and type are copied, too. The caller must have checked everything but the name. */
int mega_checkpoint_add(MegaCheckpoint *checkpoint, const MegaCheckpointTensor *tensor,
                        const char *name, size_t length, MegaError *err);

/* Frees what a checkpoint knows besides its tensors: arguments and list of other values. */
void mega_checkpoint_drop_values(MegaCheckpoint *checkpoint);

/* Finds the bytes of a storage in the mapped file, exactly elements * item size of them. */
typedef int (*MegaStorageFind)(void *context, const MegaPickleStorage *storage,
                               const uint8_t **bytes, uint64_t *size, MegaError *err);
/* torch_state.c: takes the tensors of the state dict and the arguments out of the root value. */
int mega_torch_state(MegaCheckpoint *checkpoint, const MegaPickleValue *root, MegaWeightSet weights,
                     MegaStorageFind find, void *context, MegaError *err);
/* torch_module.c: tell whether a value is a module of torch.nn or wraps one, and visit each of its
 * tensors under the name that it would have in a state dict. An error of the visitor ends the
 * walk. Both add to *work how many values they looked at; too much of it is an error. */
typedef int (*MegaModuleVisit)(void *context, const char *name, const MegaPickleTensor *tensor,
                               MegaError *err);
bool mega_torch_is_module(const MegaPickleValue *value, uint64_t *work);
int mega_torch_module_each(const char *file, const MegaPickleValue *module, uint64_t *work,
                           MegaModuleVisit visit, void *context, MegaError *err);
/* torch_args.c: takes the arguments, if there are any in this dict and none have been found. */
int mega_torch_arguments(MegaCheckpoint *checkpoint, const MegaPickleValue *root, MegaError *err);
/* torch_extras.c: lists what the file holds besides the tensors of the state dict chain[depth],
 * where each element of the chain is a dict or list that contains the next. */
int mega_torch_extras(MegaCheckpoint *checkpoint, const MegaPickleValue *const *chain, int depth,
                      const char *prefix, MegaError *err);

int mega_torch_zip_load(MegaCheckpoint *checkpoint, MegaWeightSet weights, MegaError *err);
int mega_torch_legacy_load(MegaCheckpoint *checkpoint, MegaWeightSet weights, MegaError *err);
int mega_safetensors_load(MegaCheckpoint *checkpoint, MegaError *err);
/* folder.c: tells whether a path is a folder, and loads one. */
bool mega_folder_is(const char *path);
int mega_folder_load(MegaCheckpoint *checkpoint, const MegaCheckpointOptions *options,
                     MegaError *err);

#endif
