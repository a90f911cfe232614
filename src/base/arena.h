/*
 * arena.h - one block of memory for everything a forward pass needs, sized by a dry run.
 *
 * The plan walks its allocations twice: on an arena without memory, which only adds up, then on one
 * with memory, which hands out. So size and use cannot disagree.
 */
#ifndef MEGA_ARENA_H
#define MEGA_ARENA_H

#include "src/mega.h"

typedef struct MegaArena {
    char *base;    /* NULL: dry run */
    size_t size;   /* bytes at base */
    size_t used;   /* bytes handed out, or counted */
    bool overflow; /* the sizes do not fit into a size_t */
} MegaArena;

/* Memory for anything, 64-byte aligned and not initialised; NULL in a dry run. */
void *mega_arena_take(MegaArena *arena, uint64_t bytes);
/* The same for count floats. */
float *mega_arena_floats(MegaArena *arena, uint64_t count);
/* Makes room for `size` bytes, keeping a block that is large enough; nothing is handed out yet. */
int mega_arena_reserve(MegaArena *arena, size_t size, MegaError *err);
void mega_arena_free(MegaArena *arena);

#endif
