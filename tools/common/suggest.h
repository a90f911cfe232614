/*
 * suggest.h - what somebody may have meant who mistyped a command or an option.
 */
#ifndef MEGA_SUGGEST_H
#define MEGA_SUGGEST_H

#include <getopt.h>
#include <stddef.h>

#define SUGGEST_MAX_EDITS 2

/* Edits (insert, delete, replace one character) from one short word to another; a large number for
 * long words. */
size_t edit_distance(const char *a, const char *b);

/* What is wrong with a long option that getopt_long did not take, "--tpo" or "--tpo=3", to stand
 * behind "option '--tpo' ": "is unknown; did you mean '--top'?" or "is ambiguous: ...". */
void explain_option(const char *text, const struct option *known, char *out, size_t size);

#endif
