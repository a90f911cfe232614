/*
 * options.h - declares what the commands of mega-run share: their functions and messages.
 */
#ifndef MEGA_OPTIONS_H
#define MEGA_OPTIONS_H

#include <stdbool.h>

#include "src/mega.h"
#include "tools/common/json.h"
#include "tools/common/messages.h"
#include "tools/run/classes.h"
#include "tools/run/warnings.h"

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

/* Makes the JSON object with which all results of a text begin: its file and its line, which is 0
 * for a whole file. */
json_t *json_text_place(const char *name, size_t line);
/* Prints that object of a text that failed, with the error. */
void print_json_failure(const char *name, size_t line, const MegaError *err);

#endif
