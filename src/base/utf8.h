/*
 * utf8.h - reads UTF-8 by characters and by words. The code that shows a stranger's text and the
 * code that reads it both use this, so they agree on what a character is.
 */
#ifndef MEGA_UTF8_H
#define MEGA_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Returns the length (1 to 4) of the well-formed character at `text` and stores its code point in
 * *code, which may be NULL. Returns 0 if there is none: overlong forms, surrogates and values above
 * U+10FFFF are not well formed. */
size_t mega_utf8_decode(const void *text, size_t size, uint32_t *code);
/* Writes a code point that is valid in UTF-8, and returns the number of bytes. `out` has room for
 * 4. */
size_t mega_utf8_encode(uint32_t code, void *out);
/* Returns whether the whole text is well-formed UTF-8 without NUL. */
bool mega_utf8_valid(const void *text, size_t size);
/* Returns whether the character steers a terminal or the order of what it shows: C0, DEL, C1, line
 * separators and bidirectional marks. */
bool mega_utf8_is_control(uint32_t code);
/* Replaces every such character of a string by '?', and also a byte 0x80 to 0x9f outside a
 * character, which some terminals take for C1. */
void mega_utf8_hide_controls(char *text);
/* Returns whether the character is white space in the sense of Python's str.isspace. */
bool mega_utf8_is_space(uint32_t code);
/* Finds the next word from *at on, without copying it, and moves *at past it. Returns false at the
 * end. */
bool mega_utf8_next_word(const char **at, const char *end, const char **word, size_t *length);
/* Removes white space from both ends by moving *text and shortening *size. */
void mega_utf8_trim(const char **text, size_t *size);
/* Does the same in place for a string, and returns its first character that is not white space. */
char *mega_utf8_strip(char *text);

#endif
