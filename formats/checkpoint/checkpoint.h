/*
 * checkpoint.h - reads the checkpoints of other programs, of any format, as named tensors and
 * arguments.
 *
 *   torch zip        torch_zip.c + pickle.c     PyTorch >= 1.6
 *   torch legacy     torch_legacy.c + pickle.c  PyTorch < 1.6
 *   safetensors      safetensors.c
 *   a folder         folder.c: config.json and files of the kinds above
 *
 * mega_checkpoint_open recognises the format of a file by content. Nothing from a pickle is ever
 * executed: pickle.c builds plain values only, and classes and functions that it does not know stay
 * mere names. Tensor data is mapped and read on demand; optimizer state is never read. Tensors that
 * this code cannot read (complex, sparse, of more than 8 dimensions, ...) are listed, too.
 */
#ifndef MEGA_CHECKPOINT_H
#define MEGA_CHECKPOINT_H

#include <jansson.h>

#include "formats/tensor/dtype.h"
#include "src/mega.h"

#define MEGA_CHECKPOINT_MAX_RANK 8

typedef struct MegaCheckpointTensor {
    const char *name; /* its name in the state dict */
    /* type of its elements, such as "f32", or what keeps it from being read: "complex64",
     * "sparse" */
    const char *type;
    bool readable; /* if false, only rank, shape and elements are valid */
    MegaDtype dtype;
    int rank; /* at most MEGA_CHECKPOINT_MAX_RANK if readable; -1 if the shape is not known */
    const uint64_t *shape; /* [rank] */
    const int64_t *stride; /* [rank], in elements; it is checked to stay inside the storage */
    uint64_t elements;
    uint64_t offset;       /* place of the first element, in elements of the storage */
    const void *storage;   /* mapped bytes; tensors with equal pointers share a storage */
    uint64_t storage_size; /* bytes of the storage */
    int file; /* number of the file that has it: a folder's files are sorted by name; else 0 */
} MegaCheckpointTensor;

typedef struct MegaCheckpoint MegaCheckpoint;

/* Describes a value that a checkpoint holds besides the tensors of the state dict. */
typedef struct MegaCheckpointExtra {
    char *name; /* "epoch", "model.version" */
    char *what; /* "12", "complex64 [2, 3]", "collections.deque" */
} MegaCheckpointExtra;

/* A training run may keep two sets of weights: the model's own, and their moving average. */
typedef enum MegaWeightSet {
    MEGA_WEIGHTS_ANY, /* the model's own, or averaged ones if there are no others */
    MEGA_WEIGHTS_MODEL,
    MEGA_WEIGHTS_EMA,
} MegaWeightSet;

typedef struct MegaCheckpointOptions {
    /* Says which set is taken if there are two in separate dicts. A single set is taken in any
     * case; mega_checkpoint_averaged tells which it is. */
    MegaWeightSet weights;
    /* most bytes that opening may take besides the mapped file; 0 sets no limit but the one in
     * proportion to the file, which always holds */
    uint64_t max_memory;
} MegaCheckpointOptions;

int mega_checkpoint_open(MegaCheckpoint **out, const char *path,
                         const MegaCheckpointOptions *options, MegaError *err);
void mega_checkpoint_close(MegaCheckpoint *checkpoint);

/* Returns the bytes that opening has taken besides the mapped file. */
uint64_t mega_checkpoint_memory(const MegaCheckpoint *checkpoint);
/* Estimates what the JSON library takes for a text: a few bytes of it can become one value. */
uint64_t mega_checkpoint_json_cost(const char *text, uint64_t length);
const char *mega_checkpoint_kind(const MegaCheckpoint *checkpoint); /* "torch zip", ... */
/* Returns where the state dict lies: "model", "ema.module", or "" if it is at the top. */
const char *mega_checkpoint_place(const MegaCheckpoint *checkpoint);
/* Return whether the name of its place says that it holds averages, and the place of the other set
 * of weights, which is NULL if there is none. */
bool mega_checkpoint_averaged(const MegaCheckpoint *checkpoint);
const char *mega_checkpoint_other_place(const MegaCheckpoint *checkpoint);
/* Returns the place of another state dict that is as likely to be the model but has other weights,
 * or NULL. */
const char *mega_checkpoint_rival_place(const MegaCheckpoint *checkpoint);
/* Returns whether a part of such a place, or of a tensor's name, stands for averages:
 * "model_ema". */
bool mega_checkpoint_is_average(const char *name, size_t length);
/* Return what the file holds besides the state dict; *left counts the entries for which the list
 * had no room. */
size_t mega_checkpoint_extra_count(const MegaCheckpoint *checkpoint, size_t *left);
const MegaCheckpointExtra *mega_checkpoint_extra(const MegaCheckpoint *checkpoint, size_t index);
/* Return the tensors of the state dict, in the order of the file. The state dict is the dict with
 * tensors under `model`, `state_dict` or `model_state_dict` at any depth, or else the largest
 * one. */
size_t mega_checkpoint_count(const MegaCheckpoint *checkpoint);
const MegaCheckpointTensor *mega_checkpoint_tensor(const MegaCheckpoint *checkpoint, size_t index);
const MegaCheckpointTensor *mega_checkpoint_find(const MegaCheckpoint *checkpoint,
                                                 const char *name);
/* Returns the arguments (`args`, `cfg.model`, Lightning's `hyper_parameters`, ...) as a borrowed
 * JSON object, or NULL if the file has none. Tuples become arrays; instances of option classes and
 * trees of OmegaConf become objects; what JSON cannot hold becomes a string such as
 * "<torch.device>". */
const json_t *mega_checkpoint_args(const MegaCheckpoint *checkpoint);
/* Compares the tensor's storage with the file's checksum, if it has one. Reading a damaged storage
 * without this gives wrong numbers. */
int mega_checkpoint_verify(const MegaCheckpoint *checkpoint, const MegaCheckpointTensor *tensor,
                           MegaError *err);
/* Returns the most bytes that mega_checkpoint_verify and then mega_checkpoint_read_f32 take at
 * once: pages of the mapped file, and dst while it is filled. The pages are given back
 * afterwards. */
uint64_t mega_checkpoint_reading(const MegaCheckpoint *checkpoint,
                                 const MegaCheckpointTensor *tensor);
/* Gives back the pages of the mapped file that were loaded by reading this tensor's storage. */
void mega_checkpoint_release(const MegaCheckpointTensor *tensor);
/* Gathers elements at any strides and converts them to float32 in dst [tensor->elements],
 * row-major. The tensor must be readable. */
void mega_checkpoint_read_f32(const MegaCheckpointTensor *tensor, float *dst);
/* Returns whether both tensors are the same elements of the same storage in the same order. */
bool mega_checkpoint_same(const MegaCheckpointTensor *a, const MegaCheckpointTensor *b);

#endif
