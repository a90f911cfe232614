/*
 * text_argument.h - an argument of translate, score, generate and explain: a file, or a text
 * itself.
 *
 * "-" and whatever exists is a file. Of the rest, what looks like a path (a word with a '/', or
 * with an ending such as ".txt", or anything that begins with "/", "./", "../" or "~/") is a file
 * that is missing: an error. Everything else is a text. --text gives a text whatever it looks like.
 */
#ifndef MEGA_TEXT_ARGUMENT_H
#define MEGA_TEXT_ARGUMENT_H

#include "tools/run/lines.h"

/* Before "-" is read: says, once a run, that a terminal is waited for. */
void tell_of_terminal(const char *path);
/* Decides which. An error: a folder, or a file that is missing. */
int is_text_argument(const char *argument, bool *is_text, MegaError *err);
/* A file that holds a text and nothing else; *fd is the caller's to close. */
int open_text(int *fd, const char *text, MegaError *err);
/* The whole text that an argument stands for; literal: it is a text, as with --text. *name: of its
 * file, for messages, or NULL. Free *out also after an error. */
int read_text_argument(MegaBuffer *out, const char *argument, bool literal,
                       const MegaTextRules *rules, const char **name, MegaError *err);

/* Warns with the first sentence of a run and keeps the others to itself: a text whose symbols the
 * model does not know is rarely alone. As MegaPipelineOptions.warn. */
void warn_once(void *context, const char *sentence);

#endif
