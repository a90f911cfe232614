/*
 * items.h - the tensors that a model needs, each with the place that it comes from: a tensor of a
 * checkpoint, or of a model file that is written anew. Whatever that place holds joined or
 * transposed is cut and turned while it is read; no value changes.
 */
#ifndef MEGA_ITEMS_H
#define MEGA_ITEMS_H

#include "src/model/stored.h"
#include "tools/convert/architecture.h"

typedef struct Item {
    MegaTensorSpec spec;
    const MegaCheckpointTensor *from; /* one of these two, which holds ours */
    const MegaTensor *stored;
    /* How it holds it (TensorPlace, MegaStored). */
    uint64_t first_row, whole_rows;
    bool transposed;
} Item;

typedef struct Items {
    const Architecture *architecture;
    const MegaCheckpoint *checkpoint;
    const MegaFile *file; /* instead of these two */
    Item *items;          /* [count] */
    size_t count, capacity;
    size_t missing;         /* tensors that the checkpoint lacks */
    char last_missing[160]; /* what several parts are cut from is missing only once */
} Items;

/* Of a checkpoint: all that the architecture needs. Says which tensors are missing. */
int items_of_checkpoint(Items *items, MegaError *err);
/* Of a model file with that configuration. */
int items_of_file(Items *items, const MegaConfig *config, MegaError *err);

/* Whether the tensor that holds an item holds more, or holds it transposed. */
bool item_is_part(const Item *item);
/* The elements of an item, row-major, [spec.elements]. */
int item_read(const Items *items, const Item *item, float *values, MegaError *err);
/* The bytes of a stored item that is not transposed, in its type; *data is to be freed. */
int item_read_bytes(const Items *items, const Item *item, char **data, size_t *size,
                    MegaError *err);
/* One table under two names: the same storage, or, where the file's format cannot tell, the same
 * bytes. */
bool item_same(const Item *a, const Item *b);
/* "[0, 3]": where an element of the item lies in the tensor that holds it. */
void item_place_text(const Item *item, uint64_t element, char *text, size_t size);

#endif
