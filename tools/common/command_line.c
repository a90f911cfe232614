/*
 * command_line.c - see command_line.h.
 */
#include "tools/common/command_line.h"

#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/common/memory.h"
#include "tools/common/messages.h"
#include "tools/common/suggest.h"

#define MOST_OPTIONS 64 /* most options of one command */
#define MOST_NAME 32
#define OPT_ROW 256 /* getopt_long returns OPT_ROW + i for the long name of row i */

/* ---- Values --------------------------------------------------------------------------------- */

int refuse_value(const CommandOption *option, const char *value, MegaError *err,
                 const char *expected, ...)
{
    char text[256];
    va_list args;
    va_start(args, expected);
    vsnprintf(text, sizeof text, expected, args);
    va_end(args);
    return mega_fail(err, MEGA_ERR_ARGUMENT, "'%.80s' is not a valid value for --%s; it takes %s",
                     value, option->name, text);
}

/* Rejects what strtol and strtod would accept beyond numbers: leading blanks, and "inf". */
static bool is_number_start(const char *text)
{
    return text[0] != '\0' && strchr("0123456789.-", text[0]);
}

static bool parse_long(const char *text, long min, long max, long *out)
{
    char *end;
    *out = strtol(text, &end, 10);
    return is_number_start(text) && end != text && *end == '\0' && *out >= min && *out <= max;
}

bool parse_int(const char *text, long min, long max, int *out)
{
    long value;
    const bool good = parse_long(text, min, max, &value);
    *out = (int)value;
    return good;
}

bool parse_real(const char *text, double min, double max, double *out)
{
    char *end;
    *out = strtod(text, &end);
    return is_number_start(text) && end != text && *end == '\0' && *out >= min && *out <= max;
}

int take_flag(const CommandOption *option, const char *value, MegaError *err)
{
    (void)value, (void)err;
    *(bool *)option->out = true;
    return 0;
}

int take_text(const CommandOption *option, const char *value, MegaError *err)
{
    (void)err;
    *(const char **)option->out = value;
    return 0;
}

int take_input(const CommandOption *option, const char *value, MegaError *err)
{
    (void)option, (void)value, (void)err; /* read_command_line adds the value to the inputs */
    return 0;
}

int take_long(const CommandOption *option, const char *value, MegaError *err)
{
    if (parse_long(value, (long)option->least, (long)option->most, option->out))
        return 0;
    return refuse_value(option, value, err, "a whole number from %.0f to %.0f", option->least,
                        option->most);
}

int take_int(const CommandOption *option, const char *value, MegaError *err)
{
    CommandOption whole = *option;
    long number = 0;
    whole.out = &number;
    const int code = take_long(&whole, value, err);
    *(int *)option->out = (int)number;
    return code;
}

int take_real(const CommandOption *option, const char *value, MegaError *err)
{
    if (parse_real(value, option->least, option->most, option->out))
        return 0;
    return refuse_value(option, value, err, "a number from %g to %g", option->least,
                        option->most);
}

/* Parses a size in bytes, such as "300M", "1.5G" or "1000000". */
int take_size(const CommandOption *option, const char *value, MegaError *err)
{
    if (!parse_size(value, option->out))
        return refuse_value(option, value, err, SIZE_EXPECTED);
    return 0;
}

/* ---- Unknown options ------------------------------------------------------------------------ */

static const char *foreign_advice(char letter, const char *name)
{
    const ForeignOption *foreign = foreign_options;
    while (foreign->advice && !(letter && foreign->letter == letter) &&
           strcmp(foreign->name, name) != 0)
        foreign++;
    return foreign->advice;
}

/* Reports that an option is unknown, and suggests options that the letter may stand for. */
static int unknown_letter(const CommandSyntax *syntax, char letter)
{
    char list[200] = "";
    size_t used = 0;
    const CommandOption *option = syntax->options;
    for (; option->name && used < sizeof list; option++)
        if (option->name[0] == letter || (option->hints && strchr(option->hints, letter)))
            used += (size_t)snprintf(list + used, sizeof list - used, "%s'--%s'",
                                     used ? " or " : "; did you mean ", option->name);
    const char *advice = used ? NULL : foreign_advice(letter, "");
    return usage_error(syntax->command, "option '-%c' is unknown%s%s%s", letter, list,
                       used ? "?" : advice ? "; " : "", advice ? advice : "");
}

static int option_error(const CommandSyntax *syntax, int option, char **argv,
                        const struct option *known)
{
    const char *text = argv[optind - 1];
    const int length = (int)strcspn(text, "=");
    char reason[256], name[MOST_NAME];
    if (option == ':')
        return usage_error(syntax->command, "option '%s' needs a value", text);
    if (optopt == 0) {
        snprintf(name, sizeof name, "%.*s", length - 2, text + 2);
        const char *advice = foreign_advice(0, name);
        explain_option(text, known, reason, sizeof reason);
        return advice ? usage_error(syntax->command, "option '--%s' is unknown; %s", name, advice)
                      : usage_error(syntax->command, "option '%.*s' %s", length, text, reason);
    }
    if (strncmp(text, "--", 2) == 0 && text[length])
        return usage_error(syntax->command, "option '%.*s' takes no value", length, text);
    /* argv[optind - 1] is not the option within a group such as -xq, so the letter is used */
    return unknown_letter(syntax, (char)optopt);
}

/* ---- The loop ------------------------------------------------------------------------------- */

/* The tables that getopt_long takes. */
typedef struct Tables {
    struct option names[MOST_OPTIONS];
    char letters[2 * MOST_OPTIONS];
} Tables;

static void make_tables(Tables *t, const CommandOption *options)
{
    char *letter = t->letters;
    int count = 0;
    /* '-' returns inputs in their order, ':' reports a missing value as ':' */
    letter += sprintf(letter, "-:h");
    for (; options[count].name; count++) {
        const CommandOption *option = &options[count];
        const bool flag = option->take == take_flag;
        t->names[count] = (struct option){option->name, flag ? no_argument : required_argument,
                                          NULL, OPT_ROW + count};
        if (option->letter)
            letter += sprintf(letter, "%c%s", option->letter, flag ? "" : ":");
    }
    t->names[count] = (struct option){"help", no_argument, NULL, 'h'};
}

/* Returns the row of the table that a value of getopt_long stands for. */
static const CommandOption *find_option(const CommandOption *options, int value)
{
    if (value >= OPT_ROW)
        return &options[value - OPT_ROW];
    while (options->letter != value)
        options++;
    return options;
}

/* Returns whether a word, in which '_' may stand for '-', is one of the names, which are separated
 * by blanks. */
static bool is_among(const char *word, size_t length, const char *names)
{
    for (const char *at = names; at && *at; at += strspn(at, " ")) {
        const size_t size = strcspn(at, " ");
        size_t same = 0;
        while (size == length && same < size &&
               (word[same] == at[same] || (word[same] == '_' && at[same] == '-')))
            same++;
        if (same == length)
            return true;
        at += size;
    }
    return false;
}

/* Takes argv[optind] if it is a complete long option or one of its other names: "--beam_size=3", or
 * "--beam_size" before "3". Abbreviations are left to getopt_long, which would take "--file" for
 * one of "--files-from". **value is NULL if there is none. */
static const CommandOption *take_long_name(const CommandOption *options, int argc, char **argv,
                                           char **value)
{
    char *text = optind < argc ? argv[optind] : "";
    const size_t length = strcspn(text, "=");
    if (length < 3 || strncmp(text, "--", 2) != 0)
        return NULL;
    while (options->name && !is_among(text + 2, length - 2, options->name) &&
           !is_among(text + 2, length - 2, options->also))
        options++;
    if (!options->name)
        return NULL;
    optind++;
    *value = text[length] ? text + length + 1 : NULL;
    if (!*value && options->take != take_flag && optind < argc)
        *value = argv[optind++];
    return options;
}

/* Passes the value to the option's take function, or adds an input. Returns 0 or, after an error
 * message, the exit status. */
static int use_option(const CommandSyntax *syntax, const CommandOption *option, char *value,
                      char **argv, int *inputs)
{
    MegaError err = {0};
    if (option && option->given)
        *option->given = option->name;
    if (!option || option->take == take_input)
        argv[++*inputs] = value; /* this slot is free, since getopt_long has passed it */
    else if (option->take(option, value, &err))
        return usage_error(syntax->command, "%s", err.text);
    return 0;
}

bool read_command_line(const CommandSyntax *syntax, int argc, char **argv, int *inputs, int *status)
{
    Tables tables = {0};
    int found;
    *inputs = *status = 0;
    make_tables(&tables, syntax->options);
    opterr = 0;
    for (;;) {
        const char *text = argv[optind < argc ? optind : 0];
        char *value = NULL;
        const CommandOption *option = take_long_name(syntax->options, argc, argv, &value);
        if (option && (option->take == take_flag) == (value != NULL)) {
            *status = usage_error(syntax->command, "option '%.*s' %s", (int)strcspn(text, "="),
                                  text, value ? "takes no value" : "needs a value");
        } else if (!option) {
            found = getopt_long(argc, argv, tables.letters, tables.names, NULL);
            if (found == -1)
                break;
            if (found == 'h') {
                fputs(syntax->help, stdout);
                *status = finish_output(0);
                return false;
            }
            value = optarg;
            if (found == '?' || found == ':')
                *status = option_error(syntax, found, argv, tables.names);
            else if (found != 1)
                option = find_option(syntax->options, found);
        }
        if (!*status)
            *status = use_option(syntax, option, value, argv, inputs);
        if (*status)
            return false;
    }
    while (optind < argc)
        argv[++*inputs] = argv[optind++];
    return true;
}
