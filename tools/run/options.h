/*
 * options.h - declares what the commands of mega-run share: their functions, a message and names of
 * classes.
 */
#ifndef MEGA_OPTIONS_H
#define MEGA_OPTIONS_H

#include <stdbool.h>

#include "src/mega.h"
#include "tools/common/json.h"
#include "tools/common/messages.h"

#ifndef MEGA_WITH_SERVER
#define MEGA_WITH_SERVER 1
#endif

/* The commands: main.c calls them with argv[0] = their name. They return the exit status. */
int command_answer(int argc, char **argv);
int command_bench(int argc, char **argv);
int command_choose(int argc, char **argv);
int command_classify(int argc, char **argv);
int command_detokenize(int argc, char **argv);
int command_embed(int argc, char **argv);
int command_eval(int argc, char **argv);
int command_explain(int argc, char **argv);
int command_fill(int argc, char **argv);
int command_forward(int argc, char **argv);
int command_generate(int argc, char **argv);
int command_info(int argc, char **argv);
int command_inspect(int argc, char **argv);
int command_models(int argc, char **argv);
int command_plot(int argc, char **argv);
int command_score(int argc, char **argv);
int command_serve(int argc, char **argv);
int command_tag(int argc, char **argv);
int command_tokenize(int argc, char **argv);
int command_translate(int argc, char **argv);
int command_verify(int argc, char **argv);

/* Tells that only the first `end` of `length` seconds of a recording were used (length 0: not
 * known), and which option takes all of it: `way`, such as "--window", which is to be followed by
 * `clip`, the seconds of a clip. */
void report_cut(const char *path, double end, double length, double clip, const char *way);
/* Makes the JSON object with which all results of a text begin: its file and its line, which is 0
 * for a whole file. */
json_t *json_text_place(const char *name, size_t line);
/* Prints that object of a text that failed, with the error. */
void print_json_failure(const char *name, size_t line, const MegaError *err);

/* Returns the label of a class or, if it has none, its number, which is written to buffer. */
const char *class_name(const MegaModel *model, int index, char buffer[16]);
/* Returns the class with that label or number, or -1 if there is none. */
int find_class(const MegaModel *model, const char *text, size_t size);
/* Takes the next of labels, or numbers of classes, that commas separate. `path` names the model in
 * the error if there is no such class. */
int next_class(const MegaModel *model, const char *path, const char **names, int *label,
               MegaError *err);
/* Returns whether a label, such as _silence_, stands for background, which makes no events. */
bool is_background(const char *label);

#endif
