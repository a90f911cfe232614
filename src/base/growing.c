/*
 * growing.c - see growing.h.
 */
#include "src/base/growing.h"

#include <stdlib.h>

#include "src/base/checked.h"

void mega_growing_begin(MegaGrowing *growing, bool dry)
{
    growing->next = 0;
    growing->dry = dry;
    growing->grew = growing->overflow = growing->failed = false;
    growing->bytes = growing->copied = 0;
}

/* Returns array number `next`, which is all zeros if it is new, or NULL if there is no memory for a
 * longer list. */
static MegaGrowingArray *next_array(MegaGrowing *growing)
{
    if (growing->next == growing->count) {
        size_t count = growing->count + 1;
        MegaGrowingArray *arrays = realloc(growing->arrays, count * sizeof *arrays);
        if (!arrays)
            return NULL;
        arrays[growing->count] = (MegaGrowingArray){0};
        growing->arrays = arrays;
        growing->count = count;
    }
    return &growing->arrays[growing->next++];
}

void *mega_growing_take(MegaGrowing *growing, uint64_t bytes)
{
    MegaGrowingArray *array = next_array(growing);
    growing->grew = false;
    if (!array) {
        growing->failed = true;
        return NULL;
    }
    uint64_t size = bytes > array->size ? bytes : array->size;
    growing->overflow |= size > SIZE_MAX / 2 || !mega_add(growing->bytes, size, &growing->bytes);
    if (bytes > array->size && array->size > growing->copied)
        growing->copied = array->size;
    if (growing->dry)
        return NULL;
    if (bytes <= array->size || growing->overflow)
        return array->memory;
    void *memory = realloc(array->memory, (size_t)bytes);
    if (!memory) {
        growing->failed = true;
        return array->memory;
    }
    *array = (MegaGrowingArray){memory, bytes};
    growing->grew = true;
    return memory;
}

float *mega_growing_floats(MegaGrowing *growing, uint64_t count, uint64_t each)
{
    uint64_t bytes;
    if (!mega_mul(count, each, &bytes) || !mega_mul(bytes, sizeof(float), &bytes)) {
        growing->overflow = true;
        bytes = 0;
    }
    return mega_growing_take(growing, bytes);
}

uint64_t mega_growing_size(const MegaGrowing *growing)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < growing->count; i++)
        bytes += growing->arrays[i].size;
    return bytes;
}

void mega_growing_free(MegaGrowing *growing)
{
    for (size_t i = 0; i < growing->count; i++)
        free(growing->arrays[i].memory);
    free(growing->arrays);
    *growing = (MegaGrowing){0};
}
