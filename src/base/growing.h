/*
 * growing.h - arrays that keep what is in them when they grow, planned like an arena.
 *
 * A layout walks its arrays in the same order each time: first to count them, then to have them.
 * They grow one after the other, so at most one is there twice. When memory runs out the arrays are
 * as large as they were, or larger, and all that was in them is kept.
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
    size_t next;     /* the array that the next mega_growing_take is about */
    bool dry;        /* only counts */
    bool grew;       /* the last mega_growing_take made its array larger */
    bool overflow;   /* the sizes do not fit into a size_t */
    bool failed;     /* memory ran out */
    uint64_t bytes;  /* of all arrays since mega_growing_begin */
    uint64_t copied; /* the most of them that has to be there twice while it grows */
} MegaGrowing;

/* Begins a walk over the arrays. */
void mega_growing_begin(MegaGrowing *growing, bool dry);
/* Returns the next array, which has at least so many bytes now. A dry run gives NULL, and a failure
 * what there was before, which may be NULL. */
void *mega_growing_take(MegaGrowing *growing, uint64_t bytes);
/* Does the same for count * each floats. */
float *mega_growing_floats(MegaGrowing *growing, uint64_t count, uint64_t each);
/* Returns the bytes of all arrays as they are. */
uint64_t mega_growing_size(const MegaGrowing *growing);
void mega_growing_free(MegaGrowing *growing);

#endif
