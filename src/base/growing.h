/*
 * growing.h - arrays that keep their contents when they grow, sized by a dry run like an arena.
 *
 * A layout asks for its arrays in the same order each time: first in a dry run, which only counts
 * bytes, then for memory. The arrays grow one after the other, so at most one of them exists twice
 * at any time. If memory runs out, no array has become smaller and no contents are lost.
 */
#ifndef MEGA_GROWING_H
#define MEGA_GROWING_H

#include "src/mega.h"

typedef struct MegaGrowingArray {
    void *memory;
    uint64_t size; /* bytes */
} MegaGrowingArray;

typedef struct MegaGrowing {
    MegaGrowingArray *arrays; /* [count] */
    size_t count;
    size_t next;     /* the array that the next mega_growing_take returns */
    bool dry;        /* this walk only counts bytes */
    bool grew;       /* the last mega_growing_take made its array larger */
    bool overflow;   /* the sizes do not fit into a size_t */
    bool failed;     /* memory ran out */
    uint64_t bytes;  /* all arrays that were taken since mega_growing_begin */
    uint64_t copied; /* the largest old array that exists beside its new one while it is copied */
} MegaGrowing;

/* Begins a walk over the arrays; with `dry` it only counts their bytes. */
void mega_growing_begin(MegaGrowing *growing, bool dry);
/* Returns the next array, enlarged to at least `bytes`. A dry run returns NULL. If memory runs out,
 * sets growing->failed and returns the array as it was, which may be NULL. */
void *mega_growing_take(MegaGrowing *growing, uint64_t bytes);
/* Does the same for count * each floats. */
float *mega_growing_floats(MegaGrowing *growing, uint64_t count, uint64_t each);
/* Returns how many bytes all arrays have at present. */
uint64_t mega_growing_size(const MegaGrowing *growing);
void mega_growing_free(MegaGrowing *growing);

#endif
