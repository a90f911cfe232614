/*
 * hints.h - maps terms in the library's error messages to the command-line options that set them.
 *
 * The library speaks of windows and dictionaries, since it does not know who calls it. The programs
 * add the name of the option to such a message.
 */
#ifndef MEGA_HINTS_H
#define MEGA_HINTS_H

/* Returns the options that are to follow an error message of the library, in brackets, or NULL if
 * there are none for it. */
const char *hint_for(const char *sentence);

#endif
