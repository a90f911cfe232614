/*
 * byte_bpe_merges.h - the inner part of byte_bpe.h: symbols of one word are merged by rank.
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

/* Merges in the order of their ranks; of equal pairs the last one counts. NULL without memory. */
MegaMergeTable *mega_merge_table_new(const MegaMerge *merges, size_t count);
void mega_merge_table_free(MegaMergeTable *table);

typedef struct MegaSymbol {
    int32_t id;
    uint32_t width; /* in whatever unit: of merged symbols it is the sum */
} MegaSymbol;

/* Memory for words, used again for the next one. */
typedef struct MegaMergeWork {
    void *memory;
    size_t capacity; /* symbols */
} MegaMergeWork;

/* Merges in place what can be merged of symbols[count]; *count becomes what is left. n symbols take
 * n log n time. */
int mega_merge_symbols(const MegaMergeTable *table, MegaSymbol *symbols, size_t *count,
                       MegaMergeWork *work, MegaError *err);
void mega_merge_work_free(MegaMergeWork *work);

#endif
