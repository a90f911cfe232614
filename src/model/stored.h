/*
 * stored.h - finds a tensor of the table in a .mega file.
 *
 * In a file of the current layout, every tensor stands by itself under its own name. A file of an
 * earlier version may hold a tensor as some rows of another one, or transposed.
 */
#ifndef MEGA_STORED_H
#define MEGA_STORED_H

#include "formats/mega/mega_file.h"
#include "src/model/tensors.h"

typedef struct MegaStored {
    const MegaTensor *tensor;
    char name[96];       /* the name of `tensor`, which is the one in the file */
    uint64_t first_row;  /* row of `tensor` at which the wanted one begins */
    uint64_t whole_rows; /* number of rows of `tensor`; 0: it has no rows besides the wanted ones */
    bool transposed;
} MegaStored;

/* Returns whether a tensor of this name is not a weight, but was computed from weights. */
bool mega_stored_is_kept(const char *name);

/* Finds the tensor that `spec` describes and compares the shapes. Returns MEGA_ERR_MODEL if there
 * is no such tensor, or if it has another shape. config is the one that the file's metadata
 * gives. */
int mega_stored_find(const MegaFile *file, const MegaConfig *config, const MegaTensorSpec *spec,
                     MegaStored *out, MegaError *err);

#endif
