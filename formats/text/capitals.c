/*
 * capitals.c - see capitals.h. The C library knows which letters belong together; it is asked in a
 * locale of its own, so that the user's does not change a translation.
 */
#define _GNU_SOURCE /* newlocale, memmem */
#include "formats/text/capitals.h"

#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wctype.h>

#include "formats/text/moses_prefixes.h"
#include "src/base/utf8.h"

#define SHARP_S 0xdf

struct MegaCapitals {
    locale_t locale;
    char language[16];
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
    snprintf(capitals->language, sizeof capitals->language, "%s", language);
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
        if (capital_of(capitals, code) != code || iswlower_l((wint_t)code, capitals->locale))
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

/* Returns whether a sentence has ended, with this character after the last letter. */
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
    size_t capitals; /* how many letters at the front remain capitals; the word's bytes mean all */
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

/* A word of a text, and what stands around it. */
typedef struct Word {
    const char *text;
    size_t size;
    bool begins;        /* a sentence begins with it */
    bool is_ending;     /* it stands after an apostrophe, as the S of IT'S */
    bool has_full_stop; /* a full stop follows, and something after that */
    bool has_number;    /* after the full stop is a number */
} Word;

static Word word_at(const char *text, size_t size, size_t at, size_t length, bool begins)
{
    const size_t end = at + length;
    static const char curly[] = "\xe2\x80\x99";
    return (Word){.text = text + at,
                  .size = length,
                  .begins = begins,
                  .is_ending = at > 0 && (text[at - 1] == '\'' ||
                                          (at >= 3 && memcmp(text + at - 3, curly, 3) == 0)),
                  .has_full_stop = end + 1 < size && text[end] == '.',
                  .has_number = end + 2 < size && memcmp(text + end, ". ", 2) == 0 &&
                                text[end + 2] >= '0' && text[end + 2] <= '9'};
}

/* Returns whether a word is a letter by itself, which names something: vitamin C, J. Smith, the
 * S-Bahn. An English article does not. */
static bool is_initial(const MegaCapitals *capitals, const Word *word)
{
    return (capitals->english || capitals->german) && !word->is_ending &&
           mega_utf8_decode(word->text, word->size, NULL) == word->size &&
           !(capitals->english && *word->text == 'A' && !word->has_full_stop);
}

/* Returns whether an abbreviation ends with the full stop after a word, and how it is written:
 * "Mr", "etc", or "No" before a number. */
static bool is_abbreviation(const MegaCapitals *capitals, const Word *word, Spelling *spelling)
{
    bool found = false;
    for (size_t kept = 2; word->has_full_stop && kept-- > 0 && !found;) {
        MegaBuffer spelt = {0};
        *spelling = (Spelling){.capitals = kept};
        spell(capitals, word->text, word->size, *spelling, &spelt);
        const char *const text = (const char *)spelt.data;
        found = !spelt.failed &&
                (mega_moses_is_prefix(capitals->language, text, spelt.size) ||
                 (word->has_number &&
                  mega_moses_is_numeric_prefix(capitals->language, text, spelt.size)));
        mega_buffer_free(&spelt);
    }
    return found;
}

/* Chooses the spelling with the fewest symbols. */
static int count_spellings(const Reading *reading, const Word *word, Spelling *best, MegaError *err)
{
    const Spelling choices[] = {
        {0, false}, {1, false}, {word->size, false}, {0, true}, {1, true}};
    const bool has_ss = reading->capitals->german && memmem(word->text, word->size, "SS", 2);
    size_t fewest = SIZE_MAX, found;
    int code = 0;
    for (int i = 0; i < (has_ss ? 5 : 3) && !code; i++) {
        MegaBuffer spelt = {0};
        spell(reading->capitals, word->text, word->size, choices[i], &spelt);
        code = spelt.failed ? no_memory(err)
                            : reading->count(reading->context, (const char *)spelt.data,
                                             spelt.size, &found, err);
        mega_buffer_free(&spelt);
        const bool wins_a_tie = choices[i].capitals == word->size && found > 1;
        if (code || found > fewest || (found == fewest && !wins_a_tie))
            continue;
        fewest = found;
        *best = choices[i];
    }
    return code;
}

/* Appends a word. *keeps_stop becomes true if a full stop after it ends no sentence. */
static int put_word(const Reading *reading, const Word *word, bool *keeps_stop, MegaBuffer *out,
                    MegaError *err)
{
    const MegaCapitals *capitals = reading->capitals;
    Spelling spelling = {.capitals = word->size};
    int code = 0;
    *keeps_stop = true;
    if (!is_initial(capitals, word) && !is_abbreviation(capitals, word, &spelling)) {
        *keeps_stop = false;
        code = count_spellings(reading, word, &spelling, err);
    }
    if (word->begins && spelling.capitals == 0)
        spelling.capitals = 1;
    spell(capitals, word->text, word->size, spelling, out);
    return code;
}

int mega_capitals_lower(const MegaCapitals *capitals, const char *text, size_t size,
                        MegaCountSymbols count, void *context, MegaBuffer *out, MegaError *err)
{
    const Reading reading = {capitals, count, context};
    bool begins = true, ended = false, keeps_stop = false; /* begins: the next word does */
    int failure = 0;
    for (size_t at = 0, length; at < size && !failure; at += length) {
        length = word_length(capitals, text + at, size - at);
        if (length > 0) {
            const Word word = word_at(text, size, at, length, begins);
            failure = put_word(&reading, &word, &keeps_stop, out, err);
            begins = ended = false;
            continue;
        }
        uint32_t code;
        length = mega_utf8_decode(text + at, size - at, &code);
        begins |= ended && mega_utf8_is_space(code);
        ended = has_ended(ended, code) && !(keeps_stop && code == '.');
        keeps_stop = false;
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
