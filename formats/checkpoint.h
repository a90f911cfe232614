/*
 * checkpoint.h - checkpoints of other programs: named tensors and arguments, whatever the file is.
 *
 *   torch zip        torch_zip.c + pickle.c     PyTorch >= 1.6
 *   torch legacy     torch_legacy.c + pickle.c  PyTorch < 1.6
 *   safetensors      safetensors.c
 *
 * mega_checkpoint_open recognises the kind by content. Nothing from a pickle is ever executed: a
 * data-only machine with an allow-list builds the values; what is not on the list is an error with
 * its name and offset. Tensor data is mapped and read on demand, optimizer state never.
 */
#ifndef MEGA_CHECKPOINT_H
#define MEGA_CHECKPOINT_H

#include <jansson.h>

#include "dtype.h"
#include "mega.h"

#define MEGA_CHECKPOINT_MAX_RANK 8

typedef struct MegaCheckpointTensor {
    const char *name; /* as in the state dict */
    MegaDtype dtype;
    int rank;
    uint64_t shape[MEGA_CHECKPOINT_MAX_RANK];
    int64_t stride[MEGA_CHECKPOINT_MAX_RANK]; /* in elements; checked to stay inside the storage */
    uint64_t elements;
    uint64_t offset;       /* first element, in elements of the storage */
    const void *storage;   /* mapped bytes; equal pointers mean a shared storage */
    uint64_t storage_size; /* bytes */
} MegaCheckpointTensor;

typedef struct MegaCheckpoint MegaCheckpoint;

int mega_checkpoint_open(MegaCheckpoint **out, const char *path, MegaError *err);
void mega_checkpoint_close(MegaCheckpoint *checkpoint);

const char *mega_checkpoint_kind(const MegaCheckpoint *checkpoint); /* "torch zip", ... */
/* The tensors of the state dict: of `model`, `state_dict` or `model_state_dict` if the top level
 * has one, else of the top level itself. In the order of the file. */
size_t mega_checkpoint_count(const MegaCheckpoint *checkpoint);
const MegaCheckpointTensor *mega_checkpoint_tensor(const MegaCheckpoint *checkpoint, size_t index);
const MegaCheckpointTensor *mega_checkpoint_find(const MegaCheckpoint *checkpoint,
                                                 const char *name);
/* Arguments (`args`, or `cfg.model`): a JSON object, borrowed; NULL when the file has none. Tuples
 * become arrays, what JSON cannot hold becomes a string such as "<torch.device>". */
const json_t *mega_checkpoint_args(const MegaCheckpoint *checkpoint);
/* Compares the bytes of the tensor's storage with the checksum that the file has for it, if it has
 * one; reading a damaged storage without this gives wrong numbers. */
int mega_checkpoint_verify(const MegaCheckpoint *checkpoint, const MegaCheckpointTensor *tensor,
                           MegaError *err);
/* Gathers any strides and converts to float32; dst [tensor->elements], row-major. */
void mega_checkpoint_read_f32(const MegaCheckpointTensor *tensor, float *dst);
/* True when both show the same elements of the same storage in the same order. */
bool mega_checkpoint_same(const MegaCheckpointTensor *a, const MegaCheckpointTensor *b);

#endif
