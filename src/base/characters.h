/*
 * characters.h - finds the byte at which a character of a text begins, from its number.
 *
 * The positions of tokens, tags and answers are counted in characters. To find many of them in a
 * long text, an index holds the byte at which every 64th character begins, so that no search starts
 * at the beginning of the text. A byte that belongs to no well-formed UTF-8 counts as a character.
 */
#ifndef MEGA_CHARACTERS_H
#define MEGA_CHARACTERS_H

#include <stddef.h>

typedef struct MegaCharacters {
    const char *text; /* [size], owned by the caller */
    size_t size;
    size_t *begins; /* [count]: where characters 0, 64, 128, ... begin */
    size_t count;   /* 0 if there was no memory; then searches start at the beginning of the text */
} MegaCharacters;

/* Indexes a text, which must stay where it is until mega_characters_free. */
MegaCharacters mega_characters_of(const void *text, size_t size);
/* Returns the byte at which a character begins, or the size of a text that has fewer. */
size_t mega_characters_byte(const MegaCharacters *characters, size_t number);
void mega_characters_free(MegaCharacters *characters);

#endif
