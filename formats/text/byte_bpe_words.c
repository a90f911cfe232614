/*
 * byte_bpe_words.c - see byte_bpe_words.h. A word lies in one of the PROBES slots from its hash on.
 *
 * Words lie one after the other in one block, so that those of a text share cache lines, and a
 * slot is the place of a word in it. The system gives memory only to the part that is in use.
 */
#include "formats/text/byte_bpe_words.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define SLOTS 131072
#define PROBES 4
#define UNITS 900000u /* size of the block, in units of 8 bytes; no word is at place 0. A small file
                         makes us reserve no more than 8 MiB with it (HOSTILE.md) */

struct MegaWords {
    _Atomic uint32_t slots[SLOTS]; /* 0 is an empty slot */
    _Atomic uint32_t used;
    uint64_t units[UNITS];
};

MegaWords *mega_words_new(void)
{
    MegaWords *words = calloc(1, sizeof *words);
    if (words)
        atomic_init(&words->used, 1);
    return words;
}

void mega_words_free(MegaWords *words)
{
    free(words);
}

/* ---- Words in blocks of 8 bytes: a call of memcmp or memcpy for each would cost more ----------
 */

static uint64_t load_block(const char *bytes)
{
    uint64_t block;
    memcpy(&block, bytes, sizeof block);
    return block;
}

/* Returns a number in which every byte of the last 0 to 7 of a word takes part, once or twice. */
static uint64_t load_rest(const char *bytes, size_t size)
{
    if (size >= 4) {
        uint32_t first, last;
        memcpy(&first, bytes, sizeof first);
        memcpy(&last, bytes + size - sizeof last, sizeof last);
        return first | (uint64_t)last << 32;
    }
    if (size == 0)
        return 0;
    return (uint8_t)bytes[0] | (uint64_t)(uint8_t)bytes[size / 2] << 8 |
           (uint64_t)(uint8_t)bytes[size - 1] << 16;
}

static uint64_t hash_word(const char *bytes, size_t size)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325) ^ size;
    for (; size >= 8; bytes += 8, size -= 8) {
        hash = (hash ^ load_block(bytes)) * UINT64_C(0x9e3779b97f4a7c15);
        hash ^= hash >> 32;
    }
    /* A product moves bits only upwards, and the slot is in the lowest ones: hence two of them. */
    hash = (hash ^ load_rest(bytes, size)) * UINT64_C(0xbf58476d1ce4e5b9);
    hash = (hash ^ hash >> 32) * UINT64_C(0x94d049bb133111eb);
    return hash ^ hash >> 32;
}

static bool same_bytes(const char *a, const char *b, size_t size)
{
    for (; size >= 8; a += 8, b += 8, size -= 8)
        if (load_block(a) != load_block(b))
            return false;
    return load_rest(a, size) == load_rest(b, size);
}

/* ---- The table ------------------------------------------------------------------------------ */

const MegaWord *mega_words_find(MegaWords *words, const char *bytes, size_t size, uint64_t *hash)
{
    *hash = hash_word(bytes, size);
    for (size_t i = 0; i < PROBES; i++) {
        const uint32_t place =
            atomic_load_explicit(&words->slots[(*hash + i) % SLOTS], memory_order_acquire);
        const MegaWord *word = (const MegaWord *)(const void *)&words->units[place];
        if (!place)
            return NULL;
        if (word->hash == (uint32_t)(*hash >> 32) && word->size == size &&
            same_bytes((const char *)(word->tokens + word->count), bytes, size))
            return word;
    }
    return NULL;
}

void mega_words_keep(MegaWords *words, uint64_t hash, const MegaWord *word,
                     const MegaWordToken *tokens, const char *bytes)
{
    const size_t tokens_size = word->count * sizeof *tokens;
    const uint32_t size =
        (uint32_t)((sizeof *word + tokens_size + word->size + 7) / sizeof *words->units);
    size_t slot = 0;
    while (slot < PROBES && atomic_load(&words->slots[(hash + slot) % SLOTS]))
        slot++;
    if (slot == PROBES || atomic_load(&words->used) > UNITS - MEGA_WORD_UNITS)
        return;
    /* Other threads may add a word each in between: `used` never overflows, but may pass the end.
     */
    const uint32_t place = atomic_fetch_add(&words->used, size);
    if (place > UNITS - MEGA_WORD_UNITS)
        return;
    MegaWord *kept = (MegaWord *)(void *)&words->units[place];
    *kept = *word;
    kept->hash = (uint32_t)(hash >> 32);
    memcpy(kept->tokens, tokens, tokens_size);
    memcpy((char *)kept->tokens + tokens_size, bytes, word->size);
    uint32_t empty = 0; /* otherwise another thread was faster, and this copy is not used */
    atomic_compare_exchange_strong(&words->slots[(hash + slot) % SLOTS], &empty, place);
}
