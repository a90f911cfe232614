/*
 * byte_bpe_words.h - the cache of byte_bpe.h. Most words of a text have occurred before, so a table
 * keeps short words together with their tokens.
 *
 * Any number of threads may use a table at once, and none waits for another: a slot changes only
 * once, from empty to a word, and a word never changes.
 */
#ifndef MEGA_BYTE_BPE_WORDS_H
#define MEGA_BYTE_BPE_WORDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MEGA_WORD_MAX 64 /* bytes of the longest word that is kept */

/* A token of a word. Its place is the characters [start, end) of the word. */
typedef struct MegaWordToken {
    int32_t id;
    uint8_t start, end;
    uint8_t leading, trailing; /* blanks at the ends of the token's text */
} MegaWordToken;

typedef struct MegaWord {
    uint32_t hash; /* the upper half */
    uint8_t size, count, characters;
    MegaWordToken tokens[]; /* [count], followed by the bytes of the word */
} MegaWord;

/* The size of the longest word, in units of 8 bytes. */
#define MEGA_WORD_UNITS (1 + MEGA_WORD_MAX + MEGA_WORD_MAX / 8)

typedef struct MegaWords MegaWords;

/* Returns NULL if memory runs out. */
MegaWords *mega_words_new(void);
void mega_words_free(MegaWords *words);

/* Returns the word of at most MEGA_WORD_MAX bytes, or NULL if it is not there. *hash is what
 * mega_words_keep takes. */
const MegaWord *mega_words_find(MegaWords *words, const char *bytes, size_t size, uint64_t *hash);
/* Keeps a word of word->size bytes, if there is room for it. It is copied; its hash, tokens and
 * bytes are those that are given apart. */
void mega_words_keep(MegaWords *words, uint64_t hash, const MegaWord *word,
                     const MegaWordToken *tokens, const char *bytes);

#endif
