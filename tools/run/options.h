/*
 * options.h - declares what the commands of mega-run share: messages, JSON lines and names of
 * classes.
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

/* Prints "mega-run: SENTENCE" on standard error. */
void report(const char *format, ...) MEGA_PRINTF(1, 2);
/* Prints "mega-run COMMAND: SENTENCE" and how to get help, and returns the exit status, 2. */
int usage_error(const char *command, const char *format, ...) MEGA_PRINTF(2, 3);
/* Tells that only the first `end` of `length` seconds of a recording were used (length 0: not
 * known), and which option takes all of it: `way`, such as "--window", which is to be followed by
 * `clip`, the seconds of a clip. */
void report_cut(const char *path, double end, double length, double clip, const char *way);
/* Flushes standard output. Returns `status`, or reports an error and returns 1 if not everything
 * could be written. */
int finish_output(int status);

/* Prints an object as one line on standard output, flushes it and consumes the reference. If there
 * is no memory for the object, or it is NULL, finish_output will fail. */
void print_json_line(json_t *object);

/* Returns the label of a class or, if it has none, its number, which is written to buffer. */
const char *class_name(const MegaModel *model, int index, char buffer[16]);
/* Returns the class with that label or number, or -1 if there is none. */
int find_class(const MegaModel *model, const char *text, size_t size);

#endif
