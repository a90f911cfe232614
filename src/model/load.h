/*
 * load.h - brings the weights of a file into a model: finds every tensor that the configuration
 * implies, gives it memory, and decodes it there. Tensors that are stored as the kernels read them
 * are used in the mapped file; the others are copied, matrices into panels.
 */
#ifndef MEGA_LOAD_H
#define MEGA_LOAD_H

#include "src/model/model.h"

/* Which tensor of the file holds which tensor of the model. It is needed while a model is opened,
 * and borrows the model. */
typedef struct MegaLoader MegaLoader;

/* Binds every tensor of model->weights to one of model->file, and counts model->parameters. Fails
 * with MEGA_ERR_MODEL if one is missing, has another shape or is not part of the architecture. */
int mega_loader_new(MegaLoader **out, MegaModel *model, MegaError *err);
void mega_loader_free(MegaLoader *loader);

/* Points every weight to where its numbers lie or, if that is in the arena, will be decoded. With
 * an empty arena this is a dry run, which counts the memory. */
void mega_loader_place(MegaLoader *loader, MegaArena *arena);

/* Returns the bytes of the file that are used where they are mapped, once the weights have been
 * placed. */
uint64_t mega_loader_in_place(const MegaLoader *loader);

/* Decodes what was placed in the arena, in parallel, and lists the matrices in model->forms. Fails
 * with the first block, in the order of the file, that is damaged. */
int mega_loader_decode(const MegaLoader *loader, MegaError *err);

#endif
