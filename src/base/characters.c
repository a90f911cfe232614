/*
 * characters.c - see characters.h.
 */
#include "src/base/characters.h"

#include <stdlib.h>

#include "src/base/utf8.h"

#define STEP 64 /* characters from one entry of the index to the next */

/* Returns where the character after the one at byte `at` begins. `at` lies before the end. */
static size_t next_character(const char *text, size_t size, size_t at)
{
    const size_t length = mega_utf8_decode(text + at, size - at, NULL);
    return at + (length ? length : 1);
}

MegaCharacters mega_characters_of(const void *text, size_t size)
{
    MegaCharacters out = {.text = text, .size = size};
    out.begins = malloc((size / STEP + 1) * sizeof *out.begins);
    size_t number = 0;
    for (size_t at = 0; out.begins && at < size; at = next_character(out.text, size, at))
        if (number++ % STEP == 0)
            out.begins[out.count++] = at;
    return out;
}

size_t mega_characters_byte(const MegaCharacters *characters, size_t number)
{
    size_t step = number / STEP, at = 0;
    if (step >= characters->count)
        step = characters->count ? characters->count - 1 : 0;
    if (characters->count)
        at = characters->begins[step];
    for (size_t left = number - step * STEP; left > 0 && at < characters->size; left--)
        at = next_character(characters->text, characters->size, at);
    return at;
}

void mega_characters_free(MegaCharacters *characters)
{
    free(characters->begins);
    *characters = (MegaCharacters){0};
}
