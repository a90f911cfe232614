/*
 * hints.h - what the library's sentences call by name, and the options of a command line for it.
 *
 * The library speaks of windows and dictionaries, since it does not know who calls it. The programs
 * add the option that a user of theirs has for it.
 */
#ifndef MEGA_HINTS_H
#define MEGA_HINTS_H

/* Returns the hint that belongs behind a sentence of the library, in brackets, or NULL. */
const char *hint_for(const char *sentence);

#endif
