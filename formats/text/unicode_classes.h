/*
 * unicode_classes.h - tells a tokenizer which characters are letters, numbers and white space.
 *
 * Byte-level tokenizers cut texts between letters, numbers, white space and everything else, as
 * Unicode 14.0 defines them. Characters of later versions count as "everything else", even if the
 * library that is asked here (PCRE2) knows a later version.
 *
 * The library is asked about 256 neighbouring characters when the first of them occurs, since most
 * texts need few of the 200,000. Any number of threads may use an object at once.
 */
#ifndef MEGA_UNICODE_CLASSES_H
#define MEGA_UNICODE_CLASSES_H

#include <stdatomic.h>
#include <stdbool.h>

#include "src/mega.h"

enum {
    MEGA_CLASS_OTHER = 0,
    MEGA_CLASS_LETTER = 1, /* L* */
    MEGA_CLASS_NUMBER = 2, /* N* */
    MEGA_CLASS_WHITE = 3,  /* U+0009 to U+000D, U+0085 and Z* */
    MEGA_CLASS_MASK = 3,
    MEGA_CLASS_WORD = 4, /* a flag beside the others: letter, mark, decimal digit, connector or
                            joiner of Unicode 15.0 */
};

#define MEGA_CLASSES_SIZE 0x31400 /* Unicode 14.0 has no letter, number or white space beyond */
#define MEGA_CLASSES_PAGE 256

typedef struct MegaUnicodeClasses {
    uint8_t *of;        /* [MEGA_CLASSES_SIZE]; the first page is always there */
    atomic_bool *known; /* [MEGA_CLASSES_SIZE / MEGA_CLASSES_PAGE] which pages are there */
    struct MegaClassPatterns *patterns;
} MegaUnicodeClasses;

int mega_unicode_classes_new(MegaUnicodeClasses **out, MegaError *err);
void mega_unicode_classes_free(MegaUnicodeClasses *classes);
/* Fills the page of a character below MEGA_CLASSES_SIZE. */
void mega_unicode_classes_fill(const MegaUnicodeClasses *classes, uint32_t code);

/* Returns the class and flag of a character below MEGA_CLASSES_SIZE. */
static inline unsigned mega_unicode_flags(const MegaUnicodeClasses *classes, uint32_t code)
{
    if (!atomic_load_explicit(&classes->known[code / MEGA_CLASSES_PAGE], memory_order_acquire))
        mega_unicode_classes_fill(classes, code);
    return classes->of[code];
}

static inline unsigned mega_unicode_class(const MegaUnicodeClasses *classes, uint32_t code)
{
    return code < MEGA_CLASSES_SIZE ? mega_unicode_flags(classes, code) & MEGA_CLASS_MASK
                                    : MEGA_CLASS_OTHER;
}

/* Returns whether this character continues a word. */
bool mega_unicode_is_word(const MegaUnicodeClasses *classes, uint32_t code);

#endif
