/*
 * arena.h - one block of memory for everything that a forward pass needs, sized by a dry run.
 *
 * The plan makes the same requests twice: first on an arena without memory, which only adds them
 * up, then on one with memory, which serves them. Size and use therefore cannot disagree.
 */
#ifndef MEGA_ARENA_H
#define MEGA_ARENA_H

#include "src/mega.h"

typedef struct MegaArena {
    char *base;    /* NULL in a dry run */
    size_t size;   /* size of the block at base */
    size_t used;   /* bytes handed out, or counted in a dry run */
    bool overflow; /* set when the sizes do not fit into a size_t */
} MegaArena;

/* Hands out memory for any type, 64-byte aligned and not initialised. Returns NULL in a dry run
 * and if the sizes overflow. */
void *mega_arena_take(MegaArena *arena, uint64_t bytes);
/* Does the same for `count` floats. */
float *mega_arena_floats(MegaArena *arena, uint64_t count);
/* Makes room for `size` bytes and starts over with nothing handed out. A block that is large enough
 * is kept; otherwise the old one and its contents are freed, also if this returns
 * MEGA_ERR_MEMORY. */
int mega_arena_reserve(MegaArena *arena, size_t size, MegaError *err);
void mega_arena_free(MegaArena *arena);

#endif
