/*
 * stored.h - where a .mega file holds a tensor of the table.
 *
 * In a file of the current layout every tensor is there by itself, under its own name. One of an
 * earlier version may hold it as some rows of another tensor, or transposed.
 */
#ifndef MEGA_STORED_H
#define MEGA_STORED_H

#include "formats/mega/mega_file.h"
#include "src/model/tensors.h"

typedef struct MegaStored {
    const MegaTensor *tensor;
    char name[96];       /* of the tensor in the file */
    uint64_t first_row;  /* row of the tensor that the wanted one begins with */
    uint64_t whole_rows; /* how many rows the tensor has in all; 0: those of the wanted one */
    bool transposed;
} MegaStored;

/* Finds what `spec` describes and compares the shapes; MEGA_ERR_MODEL when there is no such tensor
 * or when it has another shape. config is what the file's metadata says. */
int mega_stored_find(const MegaFile *file, const MegaConfig *config, const MegaTensorSpec *spec,
                     MegaStored *out, MegaError *err);

#endif
