/*
 * text_argument.h - decides whether an argument of a command that takes texts, such as translate or
 * fill, is a file or the text itself.
 *
 * "-", and every path that exists, is a file. An argument that looks like a path (a word with a
 * '/', or with an ending such as ".txt", or anything that begins with "/", "./", "../" or "~/") but
 * does not exist is an error, since a file is missing. Everything else is a text. The value of
 * --text is a text in any case.
 */
#ifndef MEGA_TEXT_ARGUMENT_H
#define MEGA_TEXT_ARGUMENT_H

#include "tools/run/lines.h"

/* Tells the user, once a run, that the program waits for input from the terminal. Call it before
 * "-" is read. */
void tell_of_terminal(const char *path);
/* Tells whether an argument is a text. A folder, or a file that is missing, is an error. */
int is_text_argument(const char *argument, bool *is_text, MegaError *err);
/* Opens a file that holds the text and nothing else; the caller closes *fd. */
int open_text(int *fd, const char *text, MegaError *err);
/* Reads the whole text that an argument stands for. *name becomes the name of the file, for
 * messages, or NULL for a text. *out must be freed also after an error. */
int read_text_argument(MegaBuffer *out, const char *argument, ArgumentKind kind,
                       const MegaTextRules *rules, const char **name, MegaError *err);

/* Prints the first warning of a run and drops the others: a text with symbols that the model does
 * not know rarely comes alone. It fits MegaPipelineOptions.warn. */
void warn_once(void *context, const char *sentence);

#endif
