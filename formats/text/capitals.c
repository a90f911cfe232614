/*
 * capitals.c - see capitals.h. The C library knows which letters belong together; it is asked in a
 * locale of its own, so that the user's does not change a translation.
 */
#define _GNU_SOURCE /* newlocale */
#include "formats/text/capitals.h"

#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <wctype.h>

#include "src/base/utf8.h"

#define SHARP_S 0xdf

struct MegaCapitals {
    locale_t locale;
    bool english;
};

int mega_capitals_new(MegaCapitals **out, const char *language, MegaError *err)
{
    MegaCapitals *capitals = calloc(1, sizeof *capitals);
    *out = capitals;
    if (!capitals)
        return mega_fail(err, MEGA_ERR_MEMORY, "no memory for a tokenizer");
    capitals->english = strncmp(language, "en", 2) == 0;
    capitals->locale = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
    if (capitals->locale)
        return 0;
    mega_capitals_free(capitals);
    *out = NULL;
    return mega_fail(err, MEGA_ERR_UNSUPPORTED,
                     "this system has no locale C.UTF-8, by which texts in capitals are read");
}

void mega_capitals_free(MegaCapitals *capitals)
{
    if (capitals && capitals->locale)
        freelocale(capitals->locale);
    free(capitals);
}

static uint32_t small_of(const MegaCapitals *capitals, uint32_t code)
{
    return (uint32_t)towlower_l((wint_t)code, capitals->locale);
}

static uint32_t capital_of(const MegaCapitals *capitals, uint32_t code)
{
    return (uint32_t)towupper_l((wint_t)code, capitals->locale);
}

bool mega_capitals_found(const MegaCapitals *capitals, const char *text, size_t size)
{
    size_t count = 0;
    uint32_t code = 0;
    for (size_t at = 0, length; at < size; at += length) {
        length = mega_utf8_decode(text + at, size - at, &code);
        if (capital_of(capitals, code) != code || code == SHARP_S)
            return false;
        count += small_of(capitals, code) != code;
    }
    return count >= 2;
}

static void put(MegaBuffer *out, uint32_t code)
{
    char bytes[4];
    mega_put_bytes(out, bytes, mega_utf8_encode(code, bytes));
}

static bool has_case(const MegaCapitals *capitals, uint32_t code)
{
    return small_of(capitals, code) != code || capital_of(capitals, code) != code;
}

/* Returns whether a sentence has ended, with this character behind the last letter. */
static bool has_ended(bool ended, uint32_t code)
{
    const bool mark = code == '.' || code == '!' || code == '?';
    return mark || (ended && (code == '"' || code == '\'' || code == ')'));
}

void mega_capitals_lower(const MegaCapitals *capitals, const char *text, size_t size,
                         MegaBuffer *out)
{
    bool begins = true, ended = false, after_letter = false; /* begins: the next letter does */
    uint32_t code = 0, next;
    for (size_t at = 0, length; at < size; at += length) {
        length = mega_utf8_decode(text + at, size - at, &code);
        next = 0;
        mega_utf8_decode(text + at + length, size - at - length, &next);
        const bool alone = !after_letter && !has_case(capitals, next);
        const bool stays = begins || (capitals->english && code == 'I' && alone);
        after_letter = has_case(capitals, code);
        begins = !after_letter && (begins || (ended && mega_utf8_is_space(code)));
        ended = has_ended(ended, code);
        put(out, stays ? code : small_of(capitals, code));
    }
}

void mega_capitals_raise(const MegaCapitals *capitals, const char *text, size_t size,
                         MegaBuffer *out)
{
    uint32_t code;
    for (size_t at = 0, length; at < size; at += length) {
        length = mega_utf8_decode(text + at, size - at, &code);
        if (code == SHARP_S)
            mega_put_bytes(out, "SS", 2);
        else
            put(out, capital_of(capitals, code));
    }
}
