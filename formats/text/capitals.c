/*
 * capitals.c - see capitals.h. The C library knows which letters belong together; it is asked in a
 * locale of its own, so that the user's does not change a translation.
 */
#define _GNU_SOURCE /* newlocale, memmem */
#include "formats/text/capitals.h"

#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <wctype.h>

#include "src/base/utf8.h"

#define SHARP_S 0xdf

struct MegaCapitals {
    locale_t locale;
    bool english, german;
};

static int no_memory(MegaError *err)
{
    return mega_fail(err, MEGA_ERR_MEMORY, "no memory for a text in capitals");
}

int mega_capitals_new(MegaCapitals **out, const char *language, MegaError *err)
{
    MegaCapitals *capitals = calloc(1, sizeof *capitals);
    *out = capitals;
    if (!capitals)
        return no_memory(err);
    capitals->english = strncmp(language, "en", 2) == 0;
    capitals->german = strncmp(language, "de", 2) == 0;
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

/* Returns the bytes of the letters that a text begins with; letters without case do not count. */
static size_t word_length(const MegaCapitals *capitals, const char *text, size_t size)
{
    size_t at = 0, length;
    for (uint32_t code; at < size; at += length) {
        length = mega_utf8_decode(text + at, size - at, &code);
        if (!has_case(capitals, code))
            break;
    }
    return at;
}

/* One way to write a word that was in capitals. */
typedef struct Spelling {
    size_t capitals; /* letters at the front that remain capitals */
    bool sharp;      /* SS becomes a sharp s */
} Spelling;

static void spell(const MegaCapitals *capitals, const char *word, size_t size, Spelling spelling,
                  MegaBuffer *out)
{
    uint32_t code;
    for (size_t at = 0, kept = spelling.capitals; at < size; kept -= kept > 0) {
        const bool sharp = kept == 0 && spelling.sharp && size - at >= 2 &&
                           memcmp(word + at, "SS", 2) == 0;
        const size_t length = mega_utf8_decode(word + at, size - at, &code);
        put(out, sharp ? SHARP_S : kept > 0 ? code : small_of(capitals, code));
        at += sharp ? 2 : length;
    }
}

typedef struct Reading {
    const MegaCapitals *capitals;
    MegaCountSymbols count;
    void *context;
} Reading;

static int choose_spelling(const Reading *reading, const char *word, size_t size, Spelling *best,
                           MegaError *err)
{
    const Spelling choices[] = {{0, false}, {1, false}, {size, false}, {0, true}, {1, true}};
    const size_t last = reading->capitals->german && memmem(word, size, "SS", 2) ? 5 : 3;
    size_t fewest = SIZE_MAX, found;
    int code = 0;
    for (size_t i = 0; i < last && !code; i++) {
        MegaBuffer spelt = {0};
        spell(reading->capitals, word, size, choices[i], &spelt);
        code = spelt.failed ? no_memory(err)
                            : reading->count(reading->context, (const char *)spelt.data,
                                             spelt.size, &found, err);
        mega_buffer_free(&spelt);
        const bool wins_a_tie = choices[i].capitals == size && found > 1;
        if (code || found > fewest || (found == fewest && !wins_a_tie))
            continue;
        fewest = found;
        *best = choices[i];
    }
    return code;
}

int mega_capitals_lower(const MegaCapitals *capitals, const char *text, size_t size,
                        MegaCountSymbols count, void *context, MegaBuffer *out, MegaError *err)
{
    const Reading reading = {capitals, count, context};
    bool begins = true, ended = false; /* begins: the next letter begins a sentence */
    int failure = 0;
    for (size_t at = 0, length; at < size && !failure; at += length) {
        length = word_length(capitals, text + at, size - at);
        if (length > 0) {
            Spelling best = {.capitals = length};
            if (!(capitals->english && length == 1 && text[at] == 'I'))
                failure = choose_spelling(&reading, text + at, length, &best, err);
            if (begins && best.capitals == 0)
                best.capitals = 1;
            spell(capitals, text + at, length, best, out);
            begins = ended = false;
            continue;
        }
        uint32_t code;
        length = mega_utf8_decode(text + at, size - at, &code);
        begins |= ended && mega_utf8_is_space(code);
        ended = has_ended(ended, code);
        put(out, code);
    }
    return !failure && out->failed ? no_memory(err) : failure;
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
