/*
 * command_line.h - reads the options of both programs and of all commands with one loop, from a
 * table that each command gives.
 *
 *     const CommandOption table[] = {
 *         {"model", 'm', .take = take_text, .out = &options.model},
 *         {"beam", 'b', .take = take_int, .out = &options.beam, .least = 1, .most = 1024},
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
    const char **given; /* receives the name of the option when it is given; or NULL */
};

/* An option of other programs, by letter and long name, and what to do here instead. A program
 * lists those that its users may try; the list ends with an entry without advice. */
typedef struct ForeignOption {
    char letter; /* 0: none */
    const char *name, *advice;
} ForeignOption;
extern const ForeignOption foreign_options[];

int take_flag(const CommandOption *option, const char *value, MegaError *err); /* bool */
int take_text(const CommandOption *option, const char *value, MegaError *err); /* const char * */
int take_int(const CommandOption *option, const char *value, MegaError *err);  /* int */
int take_long(const CommandOption *option, const char *value, MegaError *err); /* long */
int take_real(const CommandOption *option, const char *value, MegaError *err); /* double */
/* Stores a size such as "300M" in a uint64_t of bytes. */
int take_size(const CommandOption *option, const char *value, MegaError *err);
/* Takes the value as an input, as if it stood without an option. */
int take_input(const CommandOption *option, const char *value, MegaError *err);

/* Makes the error of a custom take function: "'VALUE' is not a valid value for --NAME; it takes
 * EXPECTED". */
int refuse_value(const CommandOption *option, const char *value, MegaError *err,
                 const char *expected, ...) MEGA_PRINTF(4, 5);

typedef struct CommandSyntax {
    const char *command; /* its name in messages; NULL: the program has no commands */
    const char *help;
    const CommandOption *options; /* ends with an entry without a name */
} CommandSyntax;

/* Reads the options and leaves the inputs in argv[1 ... *inputs]. Returns false if the command must
 * end with *status, because of --help or of a mistake that has been reported. */
bool read_command_line(const CommandSyntax *syntax, int argc, char **argv, int *inputs,
                       int *status);

/* Parse a number. The whole text must be one, and it must lie in the range. */
bool parse_int(const char *text, long min, long max, int *out);
bool parse_real(const char *text, double min, double max, double *out);

#endif
