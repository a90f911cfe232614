/*
 * suggest.h - guesses which command or option a mistyped word was meant to be.
 */
#ifndef MEGA_SUGGEST_H
#define MEGA_SUGGEST_H

#include <getopt.h>
#include <stddef.h>

#define SUGGEST_MAX_EDITS 2

/* Returns how many edits (insert, delete or replace one character) lead from one short word to the
 * other, or a large number for long words. */
size_t edit_distance(const char *a, const char *b);

/* Explains a long option that getopt_long refused, "--tpo" or "--tpo=3". The text stands after
 * "option '--tpo' ": "is unknown; did you mean '--top'?" or "is ambiguous: ...". */
void explain_option(const char *text, const struct option *known, char *out, size_t size);

#endif
