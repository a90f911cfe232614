/*
 * checkpoint.h - checkpoints of other programs: named tensors and arguments, whatever the file is.
 *
 *   torch zip        torch_zip.c + pickle.c     PyTorch >= 1.6
 *   torch legacy     torch_legacy.c + pickle.c  PyTorch < 1.6
 *   safetensors      safetensors.c
 *
 * mega_checkpoint_open recognises the kind by content. Nothing from a pickle is ever executed: a
 * data-only machine builds the values, and classes and functions that mean nothing to it are inert.
 * Tensor data is mapped and read on demand, optimizer state never. Tensors that nothing here can
 * read (complex, sparse, of more than 8 dimensions, ...) are listed all the same.
 */
#ifndef MEGA_CHECKPOINT_H
#define MEGA_CHECKPOINT_H

#include <jansson.h>

#include "formats/tensor/dtype.h"
#include "src/mega.h"

#define MEGA_CHECKPOINT_MAX_RANK 8

typedef struct MegaCheckpointTensor {
    const char *name; /* as in the state dict */
    const char *type; /* of its elements, "f32"; or why it is not readable: "complex64", "sparse" */
    bool readable;    /* false: of what follows, only rank, shape and elements hold */
    MegaDtype dtype;
    int rank; /* at most MEGA_CHECKPOINT_MAX_RANK if it is readable; -1: its shape is not known */
    const uint64_t *shape; /* [rank] */
    const int64_t *stride; /* [rank], in elements; checked to stay inside the storage */
    uint64_t elements;
    uint64_t offset;       /* first element, in elements of the storage */
    const void *storage;   /* mapped bytes; equal pointers mean a shared storage */
    uint64_t storage_size; /* bytes */
} MegaCheckpointTensor;

typedef struct MegaCheckpoint MegaCheckpoint;

/* Something that a checkpoint holds beside the tensors of the state dict, in words. */
typedef struct MegaCheckpointBeside {
    char *name; /* "epoch", "model.version" */
    char *what; /* "12", "complex64 [2, 3]", "collections.deque" */
} MegaCheckpointBeside;

/* A training run may keep two sets of weights: the model's own, and their moving average. */
typedef enum MegaWeightSet {
    MEGA_WEIGHTS_ANY, /* the model's, or averaged ones where there are no others */
    MEGA_WEIGHTS_MODEL,
    MEGA_WEIGHTS_EMA,
} MegaWeightSet;

typedef struct MegaCheckpointOptions {
    /* Of two sets in separate dicts the one that this names is taken, of one set that one;
     * mega_checkpoint_averaged tells which it is. */
    MegaWeightSet weights;
    uint64_t max_memory; /* bytes that opening may take beside the mapped file; 0: what is in
                            proportion to the file, which is never exceeded */
} MegaCheckpointOptions;

int mega_checkpoint_open(MegaCheckpoint **out, const char *path,
                         const MegaCheckpointOptions *options, MegaError *err);
void mega_checkpoint_close(MegaCheckpoint *checkpoint);

/* Bytes that opening has taken beside the mapped file. */
uint64_t mega_checkpoint_memory(const MegaCheckpoint *checkpoint);
/* About what the JSON library takes for a text: it makes a value of every few bytes. */
uint64_t mega_checkpoint_json_cost(const char *text, uint64_t length);
const char *mega_checkpoint_kind(const MegaCheckpoint *checkpoint); /* "torch zip", ... */
/* Where the state dict lies: "model", "ema.module"; "": at the top. */
const char *mega_checkpoint_place(const MegaCheckpoint *checkpoint);
/* Whether the name of its place says that it holds averages, and the place of the other set of
 * weights, or NULL. */
bool mega_checkpoint_averaged(const MegaCheckpoint *checkpoint);
const char *mega_checkpoint_other_place(const MegaCheckpoint *checkpoint);
/* Whether a part of such a place, or of a tensor's name, stands for averages: "model_ema". */
bool mega_checkpoint_is_average(const char *name, size_t length);
/* What lies beside it; *left of it had no room in the list. */
size_t mega_checkpoint_beside_count(const MegaCheckpoint *checkpoint, size_t *left);
const MegaCheckpointBeside *mega_checkpoint_beside(const MegaCheckpoint *checkpoint, size_t index);
/* The tensors of the state dict: the dict with tensors under `model`, `state_dict` or
 * `model_state_dict`, at any depth, else the largest. In the order of the file. */
size_t mega_checkpoint_count(const MegaCheckpoint *checkpoint);
const MegaCheckpointTensor *mega_checkpoint_tensor(const MegaCheckpoint *checkpoint, size_t index);
const MegaCheckpointTensor *mega_checkpoint_find(const MegaCheckpoint *checkpoint,
                                                 const char *name);
/* Arguments (`args`, `cfg.model`, Lightning's `hyper_parameters`, ...): a JSON object, borrowed;
 * NULL when the file has none. Tuples become arrays, instances of classes of options and trees of
 * OmegaConf objects; what JSON cannot hold becomes a string such as "<torch.device>". */
const json_t *mega_checkpoint_args(const MegaCheckpoint *checkpoint);
/* Compares the bytes of the tensor's storage with the checksum that the file has for it, if it has
 * one; reading a damaged storage without this gives wrong numbers. */
int mega_checkpoint_verify(const MegaCheckpoint *checkpoint, const MegaCheckpointTensor *tensor,
                           MegaError *err);
/* The most bytes that mega_checkpoint_verify and then mega_checkpoint_read_f32 take at once: pages of
 * the mapped file, and dst as it is filled. The pages have been given back afterwards. */
uint64_t mega_checkpoint_reading(const MegaCheckpoint *checkpoint,
                                 const MegaCheckpointTensor *tensor);
/* Gives back the pages of the mapped file that looking at a tensor's storage has taken. */
void mega_checkpoint_release(const MegaCheckpointTensor *tensor);
/* Gathers any strides and converts to float32; dst [tensor->elements], row-major. Of readable
 * tensors only. */
void mega_checkpoint_read_f32(const MegaCheckpointTensor *tensor, float *dst);
/* True when both show the same elements of the same storage in the same order. */
bool mega_checkpoint_same(const MegaCheckpointTensor *a, const MegaCheckpointTensor *b);

#endif
