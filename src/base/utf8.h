/*
 * utf8.h - characters of UTF-8, one by one and in words. What shows a stranger's text and what
 * reads it agree through this on what a character is.
 */
#ifndef MEGA_UTF8_H
#define MEGA_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Length (1 to 4) of the well-formed character at text, and its code point in *code (may be NULL);
 * 0 if there is none: overlong forms, surrogates and values over U+10FFFF are not well formed. */
size_t mega_utf8_decode(const void *text, size_t size, uint32_t *code);
/* True for well-formed UTF-8 without NUL. */
bool mega_utf8_valid(const void *text, size_t size);
/* What steers a terminal or the order of what it shows: C0, DEL, C1, separators of lines and the
 * marks of bidirectional texts. */
bool mega_utf8_is_control(uint32_t code);
/* Puts a '?' in the place of every such character of a string, and of a byte 0x80 to 0x9f that is
 * part of no character, which terminals may take for C1. */
void mega_utf8_hide_controls(char *text);
/* White space as Python's str.isspace has it. */
bool mega_utf8_is_space(uint32_t code);
/* The next word between white space from *at on, in place; false at the end. */
bool mega_utf8_next_word(const char **at, const char *end, const char **word, size_t *length);
/* Leaves out white space at both ends. */
void mega_utf8_trim(const char **text, size_t *size);
/* The same for a string, in place: its first character that is no white space. */
char *mega_utf8_strip(char *text);

#endif
