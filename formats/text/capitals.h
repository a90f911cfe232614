/*
 * capitals.h - reads texts that are written IN CAPITALS in small letters, and writes them again.
 *
 * A translator has seen few such texts, and its vocabulary cuts them into single letters. A model
 * whose metadata have `text.capitals` "lower" is given "The station is closed." instead of "THE
 * STATION IS CLOSED.", and its translation is written in capitals.
 */
#ifndef MEGA_CAPITALS_H
#define MEGA_CAPITALS_H

#include "formats/base/bytes.h"
#include "src/mega.h"

typedef struct MegaCapitals MegaCapitals;

/* `language` is that of the texts; English writes "I" with a capital. */
int mega_capitals_new(MegaCapitals **out, const char *language, MegaError *err);
void mega_capitals_free(MegaCapitals *capitals);

/* Texts are well-formed UTF-8. */
/* Returns whether a text has two letters or more, and no small ones; a ligature that has no capital
 * is one. Letters without case, digits and marks do not count. */
bool mega_capitals_found(const MegaCapitals *capitals, const char *text, size_t size);
/* Puts into *count how many symbols a word is cut into. Unknown symbols count more. */
typedef int (*MegaCountSymbols)(void *context, const char *word, size_t size, size_t *count,
                                MegaError *err);
/* Appends a text with each word in the spelling that has the fewest symbols, which is the one that
 * a model knows best: in small letters; with a capital in front, as names and German nouns are; or
 * in capitals, as abbreviations are, which win if small letters are no better and the word is cut
 * anyway. A German SS may have been a sharp s. The first word of a sentence keeps its first
 * capital, and so do an English "I", letters that stand alone, and abbreviations such as "Mr." */
int mega_capitals_lower(const MegaCapitals *capitals, const char *text, size_t size,
                        MegaCountSymbols count, void *context, MegaBuffer *out, MegaError *err);
/* Appends a text in capitals; a German sharp s becomes SS. */
void mega_capitals_raise(const MegaCapitals *capitals, const char *text, size_t size,
                         MegaBuffer *out);

#endif
