/*
 * terminal.h - what the commands show a person.
 *
 * Labels, paths, texts and metadata may be a stranger's and hold what steers a terminal: other
 * colours, another title, keys that are pressed. Where the output is a terminal it is escaped, all
 * in one place; files and pipes get it as it is.
 */
#ifndef MEGA_TERMINAL_H
#define MEGA_TERMINAL_H

#include <stdarg.h>
#include <stdio.h>

#include "src/mega.h"

/* Puts stdout behind a filter if it is a terminal: of control characters (mega_utf8_is_control)
 * only tabs and line ends pass, others become \x1b or \u009b. To be called before anything is
 * printed. */
void guard_terminal(void);

/* A message on standard error, with '?' in the place of control characters: "PROGRAM: MESSAGE" and
 * a line end, or the message alone. */
void print_diagnostic(const char *program, const char *format, ...) MEGA_PRINTF(2, 3);
void put_message(const char *format, va_list args);

#endif
