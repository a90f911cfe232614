/*
 * byte_bpe_merges.c - see byte_bpe_merges.h.
 *
 * In a short word, the best pair is looked for anew after each merge. In a longer one, pairs that
 * may be merged wait in a heap, ordered by rank and then by place. If the symbols of a pair have
 * changed by its turn, the pair is dropped. Both ways give the same: byte_bpe.c checks that the
 * text of a token is that of its parts, and the text of the two symbols at a place only grows, so a
 * pair that has changed never makes the token that it made before.
 */
#include "formats/text/byte_bpe_merges.h"

#include <stdlib.h>
#include <string.h>

#define NONE UINT32_MAX
#define MOST_SHORT 32 /* symbols of a short word */

/* ---- The table ------------------------------------------------------------------------------ */

typedef struct Slot {
    int32_t left, right; /* left -1: the slot is free */
    int32_t merged;
    uint32_t rank;
} Slot;

struct MegaMergeTable {
    Slot *slots; /* [mask + 1], open addressing */
    size_t mask;
};

static size_t hash_pair(int32_t left, int32_t right)
{
    uint64_t value = ((uint64_t)(uint32_t)left << 32) | (uint32_t)right;
    value *= UINT64_C(0x9e3779b97f4a7c15);
    value ^= value >> 29;
    value *= UINT64_C(0xbf58476d1ce4e5b9);
    return (size_t)(value ^ value >> 32);
}

/* Returns the slot of a pair, or the free slot where it belongs. */
static Slot *find_slot(const MegaMergeTable *table, int32_t left, int32_t right)
{
    size_t at = hash_pair(left, right) & table->mask;
    while (table->slots[at].left >= 0 &&
           (table->slots[at].left != left || table->slots[at].right != right))
        at = (at + 1) & table->mask;
    return &table->slots[at];
}

MegaMergeTable *mega_merge_table_new(const MegaMerge *merges, size_t count)
{
    size_t size = 16;
    while (size < 2 * count)
        size *= 2;
    MegaMergeTable *table = calloc(1, sizeof *table);
    if (!table || !(table->slots = malloc(size * sizeof *table->slots))) {
        free(table);
        return NULL;
    }
    table->mask = size - 1;
    memset(table->slots, 0xff, size * sizeof *table->slots);
    for (size_t i = 0; i < count; i++)
        *find_slot(table, merges[i].left, merges[i].right) =
            (Slot){merges[i].left, merges[i].right, merges[i].merged, (uint32_t)i};
    return table;
}

void mega_merge_table_free(MegaMergeTable *table)
{
    if (!table)
        return;
    free(table->slots);
    free(table);
}

/* ---- One word ------------------------------------------------------------------------------- */

typedef struct Pair {
    uint32_t rank, place; /* place of the left symbol */
    int32_t merged;
} Pair;

typedef struct Links {
    uint32_t before, after;
} Links;

/* The symbols of a word as a linked list, and the heap of its pairs. */
typedef struct Word {
    const MegaMergeTable *table;
    MegaSymbol *symbols; /* width 0: merged into an earlier symbol */
    Links *links;
    Pair *heap;
    size_t waiting;
} Word;

static bool comes_first(const Pair *a, const Pair *b)
{
    return a->rank != b->rank ? a->rank < b->rank : a->place < b->place;
}

#define HEAP_ITEM Pair
#define HEAP_ABOVE comes_first
#include "src/base/heap_tmpl.h"

/* Puts a symbol and the next one into the heap, if they can be merged. */
static void push_pair(Word *word, uint32_t place)
{
    if (place == NONE || word->links[place].after == NONE)
        return;
    const Slot *slot =
        find_slot(word->table, word->symbols[place].id, word->symbols[word->links[place].after].id);
    if (slot->left >= 0)
        heap_push(word->heap, &word->waiting, (Pair){slot->rank, place, slot->merged});
}

static void merge_pair(Word *word, const Pair *pair)
{
    MegaSymbol *left = &word->symbols[pair->place];
    const uint32_t next = word->links[pair->place].after;
    if (left->width == 0 || next == NONE)
        return;
    MegaSymbol *right = &word->symbols[next];
    const Slot *slot = find_slot(word->table, left->id, right->id);
    if (slot->left < 0 || slot->merged != pair->merged)
        return;
    left->id = pair->merged;
    left->width += right->width;
    right->width = 0;
    word->links[pair->place].after = word->links[next].after;
    if (word->links[next].after != NONE)
        word->links[word->links[next].after].before = pair->place;
    push_pair(word, word->links[pair->place].before);
    push_pair(word, pair->place);
}

/* A word of n symbols starts with at most n - 1 pairs, and each of at most n - 1 merges adds
 * two. */
#define PAIRS_PER_SYMBOL 3

static bool reserve(MegaMergeWork *work, size_t count)
{
    if (count <= work->capacity)
        return true;
    const size_t grown = count + count / 2 + 64;
    const size_t each = sizeof(Links) + PAIRS_PER_SYMBOL * sizeof(Pair);
    void *memory = grown <= SIZE_MAX / each ? malloc(grown * each) : NULL;
    if (!memory)
        return false;
    free(work->memory);
    work->memory = memory;
    work->capacity = grown;
    return true;
}

/* Returns the slot of the pair of two symbols, or NULL if they cannot be merged. */
static const Slot *slot_of(const MegaMergeTable *table, const MegaSymbol *symbols)
{
    const Slot *slot = find_slot(table, symbols[0].id, symbols[1].id);
    return slot->left >= 0 ? slot : NULL;
}

/* pairs[i] is that of the symbols i and i + 1. */
static void merge_short(const MegaMergeTable *table, MegaSymbol *symbols, size_t *count)
{
    const Slot *pairs[MOST_SHORT] = {0};
    size_t n = *count;
    for (size_t i = 0; i + 1 < n; i++)
        pairs[i] = slot_of(table, symbols + i);
    while (n > 1) {
        size_t best = 0;
        for (size_t i = 1; i + 1 < n; i++)
            if (pairs[i] && (!pairs[best] || pairs[i]->rank < pairs[best]->rank))
                best = i;
        if (!pairs[best])
            break;
        symbols[best].id = pairs[best]->merged;
        symbols[best].width += symbols[best + 1].width;
        n--;
        for (size_t i = best + 1; i < n; i++) {
            symbols[i] = symbols[i + 1];
            pairs[i - 1] = pairs[i];
        }
        if (best > 0)
            pairs[best - 1] = slot_of(table, symbols + best - 1);
        if (best + 1 < n)
            pairs[best] = slot_of(table, symbols + best);
    }
    *count = n;
}

int mega_merge_symbols(const MegaMergeTable *table, MegaSymbol *symbols, size_t *count,
                       MegaMergeWork *work, MegaError *err)
{
    const size_t n = *count;
    if (n <= MOST_SHORT) {
        merge_short(table, symbols, count);
        return 0;
    }
    if (n >= NONE || !reserve(work, n))
        return mega_fail(err, MEGA_ERR_MEMORY, "no memory to merge a word of %zu bytes", n);
    Word word = {.table = table, .symbols = symbols, .links = work->memory};
    word.heap = (Pair *)(void *)(word.links + work->capacity);
    for (uint32_t i = 0; i < n; i++)
        word.links[i] = (Links){i ? i - 1 : NONE, i + 1 < n ? i + 1 : NONE};
    for (uint32_t i = 0; i < n; i++)
        push_pair(&word, i);
    while (word.waiting > 0) {
        const Pair pair = heap_pop(word.heap, &word.waiting);
        merge_pair(&word, &pair);
    }
    size_t left = 0;
    for (size_t i = 0; i < n; i++)
        if (symbols[i].width > 0)
            symbols[left++] = symbols[i];
    *count = left;
    return 0;
}

void mega_merge_work_free(MegaMergeWork *work)
{
    free(work->memory);
    *work = (MegaMergeWork){0};
}
