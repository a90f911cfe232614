/*
 * command_line.h - reads the options of all commands with one loop, from a table that each command
 * gives.
 *
 *     const CommandOption table[] = {
 *         {"model", 'm', .take = take_text, .out = &options.model},
 *         {"beam", 'b', .take = take_int, .out = &options.beam, .least = 1, .most = 1024},
 *         SESSION_OPTIONS(&options.session),
 *         {0}};
 *
 * Options and inputs may stand in any order; "--" ends the options. A long option may be
 * abbreviated, and '_' may stand for '-'. If an option is mistyped, or has another name here than
 * in other programs, the message suggests the one that may be meant.
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
    double least, most; /* the range of a number */
};

int take_flag(const CommandOption *option, const char *value, MegaError *err); /* bool */
int take_text(const CommandOption *option, const char *value, MegaError *err); /* const char * */
int take_int(const CommandOption *option, const char *value, MegaError *err);  /* int */
int take_real(const CommandOption *option, const char *value, MegaError *err); /* double */
int take_seconds(const CommandOption *option, const char *value, MegaError *err); /* double > 0 */
int take_probability(const CommandOption *option, const char *value, MegaError *err); /* double */
int take_seed(const CommandOption *option, const char *value, MegaError *err);    /* uint64_t */
/* Stores --chunk of a decoder in an int, as MegaDecoderOptions has it: 0 (no chunks) becomes -1. */
int take_chunk(const CommandOption *option, const char *value, MegaError *err);
/* Takes the value as an input, as if it stood without an option. */
int take_input(const CommandOption *option, const char *value, MegaError *err);
/* take_cpu stores the name of kernels in a const char *, take_size a size such as "300M" in a
 * uint64_t of bytes. */
int take_cpu(const CommandOption *option, const char *value, MegaError *err);
int take_size(const CommandOption *option, const char *value, MegaError *err);

/* Stores the format of --raw in a MegaPcm. Without the option its rate stays 0. */
int take_raw(const CommandOption *option, const char *value, MegaError *err);

/* Makes the error of a custom take function: "'VALUE' is not a valid value for --NAME; it takes
 * EXPECTED". */
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
/* Options that say how a session runs; target is a MegaSessionOptions. */
#define SESSION_OPTIONS(target)                                                                    \
    {.name = "threads", .letter = 't', .also = "num-threads n-threads", .take = take_int,          \
     .out = &(target)->threads, .least = 1, .most = 256},                                          \
        {.name = "cpu", .take = take_cpu, .out = &(target)->cpu},                                  \
        {.name = "max-memory", .take = take_size, .out = &(target)->max_memory}
#define SESSION_HELP                                                                               \
    "  -t, --threads N         (as many as there are processors)\n"                                \
    "      --cpu NAME          kernels: generic, avx2 ... (the best of this machine)\n"            \
    "      --max-memory SIZE   refuse what needs more, such as 300M\n"
/* The last options of commands that go through files of text or a list of inputs. */
#define FILE_OPTIONS(session, quiet, verbose)                                                      \
    SESSION_OPTIONS(session), QUIET_OPTION(quiet), VERBOSE_OPTION(verbose), INPUT_OPTIONS

typedef struct CommandSyntax {
    const char *command, *help;
    const CommandOption *options; /* ends with an entry without a name */
} CommandSyntax;

/* Reads the options and leaves the inputs in argv[1 ... *inputs]. Returns false if the command must
 * end with *status, because of --help or of a mistake that has been reported. */
bool read_command_line(const CommandSyntax *syntax, int argc, char **argv, int *inputs,
                       int *status);

/* Parses a number. The whole text must be one, and it must lie in the range. */
bool parse_int(const char *text, long min, long max, int *out);

#endif
