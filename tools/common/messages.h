/*
 * messages.h - prints messages on standard error, and makes sure that standard output was written.
 */
#ifndef MEGA_MESSAGES_H
#define MEGA_MESSAGES_H

#include <jansson.h>

#include "src/mega.h"

extern const char program_name[]; /* each program defines its own */

/* Prints "PROGRAM: SENTENCE" on standard error. */
void report(const char *format, ...) MEGA_PRINTF(1, 2);
/* Prints "PROGRAM COMMAND: SENTENCE" and how to get help, and returns the exit status, 2. `command`
 * is NULL if the program has no commands. */
int usage_error(const char *command, const char *format, ...) MEGA_PRINTF(2, 3);
/* Flushes standard output. Returns `status`, or reports an error and returns 1 if not everything
 * could be written. */
int finish_output(int status);

/* Ends the program by SIGPIPE if the reader of standard output has gone. A stream may run for hours
 * without a result, and so without a write that would fail. */
void heed_closed_output(void);

/* Prints an object as one line on standard output, flushes it and consumes the reference. If there
 * is no memory for the object, or it is NULL, finish_output will fail. */
void print_json_line(json_t *object);

#endif
