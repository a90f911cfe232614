/*
 * items.h - lists the tensors that a model needs, each with its source: a tensor of a checkpoint,
 * or of a model file that is converted again. Tensors that the source holds joined or transposed
 * are cut out and transposed while they are read; no value changes.
 */
#ifndef MEGA_ITEMS_H
#define MEGA_ITEMS_H

#include "src/model/stored.h"
#include "tools/convert/architecture.h"

typedef struct Item {
    MegaTensorSpec spec;
    const MegaCheckpointTensor *from; /* the source is either of these two, or with neither ... */
    const MegaTensor *stored;         /* ... it is computed from other items (kernels.h) */
    /* How the source holds the item; see TensorPlace and MegaStored. */
    uint64_t first_row, whole_rows;
    bool transposed;
} Item;

typedef struct Items {
    const Architecture *architecture;
    const MegaCheckpoint *checkpoint;
    const MegaFile *file; /* the source if the two above are NULL */
    const MegaConfig *config; /* of the model; items_of_... set it */
    bool renews_kept;         /* kernels that a model file keeps are computed again, or left out */
    Item *items;          /* [count] */
    size_t count, capacity;
    size_t missing;         /* tensors that the checkpoint lacks */
    char last_missing[160]; /* a tensor that several items are parts of is counted only once */
} Items;

/* Lists what the architecture needs from a checkpoint. The error says which tensors are missing. */
int items_of_checkpoint(Items *items, MegaError *err);
/* Lists the tensors of a model file with that configuration. */
int items_of_file(Items *items, const MegaConfig *config, MegaError *err);

/* Returns whether an item is computed from others. */
static inline bool item_is_computed(const Item *item)
{
    return !item->from && !item->stored;
}

/* Returns whether the source holds more than the item, or holds it transposed. */
bool item_is_part(const Item *item);
/* Reads the elements of an item, values [spec.elements], row-major. */
int item_read(const Items *items, const Item *item, float *values, MegaError *err);
/* Reads the bytes of an item of a model file that is not transposed, in the type in which they are
 * stored. The caller frees *data. */
int item_read_bytes(const Items *items, const Item *item, char **data, size_t *size,
                    MegaError *err);
/* Returns whether two items are one tensor under two names: they have the same storage or, if the
 * file's format cannot tell, the same bytes. */
bool item_same(const Item *a, const Item *b);
/* Writes the indices of an element of the item in the tensor that holds it, such as "[0, 3]". */
void item_place_text(const Item *item, uint64_t element, char *text, size_t size);

#endif
