/*
 * moses_prefixes.h - lists the abbreviations of a language, without their full stop.
 */
#ifndef MEGA_MOSES_PREFIXES_H
#define MEGA_MOSES_PREFIXES_H

#include <stdbool.h>
#include <stddef.h>

bool mega_moses_is_prefix(const char *language, const char *word, size_t length);
/* Returns whether a word is an abbreviation only before a number, as "No" is in "No. 5". */
bool mega_moses_is_numeric_prefix(const char *language, const char *word, size_t length);

#endif
