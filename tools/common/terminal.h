/*
 * terminal.h - protects the terminal on which the commands show something.
 *
 * Labels, paths, texts and metadata may come from a stranger and contain sequences that steer a
 * terminal: that change colours or the title, or type keys. This filter escapes them, in one place,
 * where the output is a terminal. Files and pipes get every byte as it is.
 */
#ifndef MEGA_TERMINAL_H
#define MEGA_TERMINAL_H

#include <stdarg.h>
#include <stdio.h>

#include "src/mega.h"

/* Puts stdout behind the filter if it is a terminal. Of the control characters
 * (mega_utf8_is_control), only tabs and line ends pass; others become \x1b or \u009b. It must be
 * called before anything is printed. */
void guard_terminal(void);

/* Writes a message to standard error with '?' in place of control characters, and
 * after it the hint that it has (hints.h). */
void put_message(const char *format, va_list args);

#endif
