/*
 * options.h - what the commands of mega-run share: messages, JSON lines and names of classes.
 */
#ifndef MEGA_OPTIONS_H
#define MEGA_OPTIONS_H

#include <stdbool.h>

#include "src/mega.h"
#include "tools/common/json.h"

/* The commands: main.c calls them with argv[0] = their name. They return the exit status. */
int command_bench(int argc, char **argv);
int command_classify(int argc, char **argv);
int command_detokenize(int argc, char **argv);
int command_eval(int argc, char **argv);
int command_explain(int argc, char **argv);
int command_forward(int argc, char **argv);
int command_generate(int argc, char **argv);
int command_inspect(int argc, char **argv);
int command_models(int argc, char **argv);
int command_plot(int argc, char **argv);
int command_score(int argc, char **argv);
int command_tokenize(int argc, char **argv);
int command_translate(int argc, char **argv);
int command_verify(int argc, char **argv);

/* "mega-run: SENTENCE" on standard error. */
void report(const char *format, ...) MEGA_PRINTF(1, 2);
/* "mega-run COMMAND: SENTENCE" and where to look; returns 2. */
int usage_error(const char *command, const char *format, ...) MEGA_PRINTF(2, 3);
/* Of a recording whose first clip alone was looked at: that it ends at `end` of `length` seconds
 * (0: not known), and the way to look at all of it, "--window", which gets the length of a clip. */
void report_cut(const char *path, double end, double length, double clip, const char *way);
/* Flushes standard output: status, or 1 with a message if not everything could be written. */
int finish_output(int status);

/* One object as one line on standard output, flushed; consumes the reference. What there is no
 * memory for (NULL, too) makes finish_output fail. */
void print_json_line(json_t *object);

/* The label of a class, or its number written to buffer. */
const char *class_name(const MegaModel *model, int index, char buffer[16]);
/* The class of that label or with that number; -1: none. */
int find_class(const MegaModel *model, const char *text, size_t size);

#endif
