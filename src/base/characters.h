/*
 * characters.h - finds the byte at which a character of a text begins, from its number.
 *
 * The places of tokens, tags and answers count characters. To find many of them in a long text, an
 * index holds the byte of every 64th character, so that no search begins at the text's beginning. A
 * byte that is no part of UTF-8 counts as a character.
 */
#ifndef MEGA_CHARACTERS_H
#define MEGA_CHARACTERS_H

#include <stddef.h>

typedef struct MegaCharacters {
    const char *text; /* [size], the caller's */
    size_t size;
    size_t *begins; /* [count] bytes before every 64th character */
    size_t count;   /* 0 if there was no memory; then searches begin at the text's beginning */
} MegaCharacters;

/* Indexes a text, which stays where it is until mega_characters_free. */
MegaCharacters mega_characters_of(const void *text, size_t size);
/* Returns the byte at which a character begins, or the size of a text that has fewer. */
size_t mega_characters_byte(const MegaCharacters *characters, size_t number);
void mega_characters_free(MegaCharacters *characters);

#endif
