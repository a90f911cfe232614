/*
 * command_line.h - the options of a command as a table, read by one loop for all commands.
 *
 *     const CommandOption table[] = {
 *         {"model", 'm', .take = take_text, .out = &options.model},
 *         {"beam", 'b', .take = take_int, .out = &options.beam, .least = 1, .most = 1024},
 *         SESSION_OPTIONS(&options.session),
 *         {0}};
 *
 * Options and inputs may stand in any order; "--" ends the options. A long option may be
 * abbreviated and have '_' for '-'. What is mistyped, or is called otherwise in other programs, is
 * answered by what it could have been.
 */
#ifndef MEGA_COMMAND_LINE_H
#define MEGA_COMMAND_LINE_H

#include <stdbool.h>

#include "src/mega.h"

typedef struct CommandOption CommandOption;
struct CommandOption {
    const char *name;
    char letter;       /* 0: none */
    const char *also;  /* further long names that are taken, separated by blanks; or NULL */
    const char *hints; /* letters that may mean this option, but are not taken; or NULL */
    /* Stores the value (NULL for take_flag). An error is a whole sentence. */
    int (*take)(const CommandOption *option, const char *value, MegaError *err);
    void *out;
    double least, most; /* of numbers */
};

int take_flag(const CommandOption *option, const char *value, MegaError *err); /* bool */
int take_text(const CommandOption *option, const char *value, MegaError *err); /* const char * */
int take_int(const CommandOption *option, const char *value, MegaError *err);  /* int */
int take_real(const CommandOption *option, const char *value, MegaError *err); /* double */
int take_seconds(const CommandOption *option, const char *value, MegaError *err); /* double > 0 */
int take_probability(const CommandOption *option, const char *value, MegaError *err); /* double */
int take_seed(const CommandOption *option, const char *value, MegaError *err);    /* uint64_t */
/* --chunk of a decoder into an int, as MegaDecoderOptions has it: 0 (none) becomes -1. */
int take_chunk(const CommandOption *option, const char *value, MegaError *err);
/* The value is an input, as if it stood without an option. */
int take_input(const CommandOption *option, const char *value, MegaError *err);
/* Kernels into a const char *, bytes such as "300M" into a uint64_t. */
int take_cpu(const CommandOption *option, const char *value, MegaError *err);
int take_size(const CommandOption *option, const char *value, MegaError *err);

/* --raw into a MegaPcm, whose rate is 0 without it. */
int take_raw(const CommandOption *option, const char *value, MegaError *err);

/* For custom take functions: "'VALUE' is not a valid value for --NAME; it takes EXPECTED". */
int refuse_value(const CommandOption *option, const char *value, MegaError *err,
                 const char *expected, ...) MEGA_PRINTF(4, 5);

/* Options that mean the same in every command. */
#define MODEL_OPTION(target) {.name = "model", .letter = 'm', .take = take_text, .out = (target)}
#define OUTPUT_OPTION(target) {.name = "output", .letter = 'o', .take = take_text, .out = (target)}
#define JSON_OPTION(target)                                                                        \
    {.name = "json", .also = "output-json", .take = take_flag, .out = (target)}
#define QUIET_OPTION(target) {.name = "quiet", .letter = 'q', .take = take_flag, .out = (target)}
#define VERBOSE_OPTION(target)                                                                     \
    {.name = "verbose", .letter = 'v', .take = take_flag, .out = (target)}
/* -i FILE and -f FILE, which other programs want before their inputs. */
#define INPUT_OPTIONS                                                                              \
    {.name = "input", .letter = 'i', .take = take_input},                                          \
        {.name = "file", .letter = 'f', .take = take_input}
/* How a session runs; target: a MegaSessionOptions. */
#define SESSION_OPTIONS(target)                                                                    \
    {.name = "threads", .letter = 't', .also = "num-threads n-threads", .take = take_int,          \
     .out = &(target)->threads, .least = 1, .most = 256},                                          \
        {.name = "cpu", .take = take_cpu, .out = &(target)->cpu},                                  \
        {.name = "max-memory", .take = take_size, .out = &(target)->max_memory}

typedef struct CommandSyntax {
    const char *command, *help;
    const CommandOption *options; /* ends with an entry without a name */
} CommandSyntax;

/* Reads the options; the inputs are left in argv[1 ...], *inputs of them. False: the command ends
 * with *status, because of --help, or of a mistake, which has been reported. */
bool read_command_line(const CommandSyntax *syntax, int argc, char **argv, int *inputs,
                       int *status);

/* The whole text must be a number in the range. */
bool parse_int(const char *text, long min, long max, int *out);

#endif
