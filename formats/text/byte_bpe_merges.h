/*
 * byte_bpe_merges.h - the inner loop of byte_bpe.h: merges the symbols of a word by rank.
 */
#ifndef MEGA_BYTE_BPE_MERGES_H
#define MEGA_BYTE_BPE_MERGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "src/mega.h"

typedef struct MegaMerge {
    int32_t left, right, merged;
} MegaMerge;

typedef struct MegaMergeTable MegaMergeTable;

/* Makes a table of merges, which are given in the order of their ranks; the last of several equal
 * pairs counts. Returns NULL if memory runs out. */
MegaMergeTable *mega_merge_table_new(const MegaMerge *merges, size_t count);
void mega_merge_table_free(MegaMergeTable *table);

typedef struct MegaSymbol {
    int32_t id;
    uint32_t width; /* in any unit; a merged symbol has the sum of its parts */
} MegaSymbol;

/* Scratch memory that is reused from word to word. */
typedef struct MegaMergeWork {
    void *memory;
    size_t capacity; /* in symbols */
} MegaMergeWork;

/* Merges symbols[*count] in place and sets *count to the number that is left. n symbols take n log
 * n time. */
int mega_merge_symbols(const MegaMergeTable *table, MegaSymbol *symbols, size_t *count,
                       MegaMergeWork *work, MegaError *err);
void mega_merge_work_free(MegaMergeWork *work);

#endif
