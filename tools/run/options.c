/*
 * options.c - see options.h.
 */
#include "options.h"

#include <getopt.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "progress.h"

static bool output_lost; /* a line of JSON that could not be made */

void report(const char *format, ...)
{
    va_list args;
    progress_clear();
    va_start(args, format);
    fputs("mega-run: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
}

int usage_error(const char *command, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fprintf(stderr, "mega-run %s: ", command);
    vfprintf(stderr, format, args);
    fprintf(stderr, "\nTry 'mega-run %s --help'.\n", command);
    va_end(args);
    return 2;
}

int option_error(const char *command, int option, char **argv)
{
    const char *text = argv[optind - 1];
    if (option == ':')
        return usage_error(command, "option '%s' needs a value", text);
    if (optopt == 0)
        return usage_error(command, "option '%s' is unknown", text);
    if (strncmp(text, "--", 2) == 0 && strchr(text, '='))
        return usage_error(command, "option '%.*s' takes no value", (int)strcspn(text, "="), text);
    /* within a group such as -xq, optind has not moved on */
    return usage_error(command, "option '-%c' is unknown", optopt);
}

int finish_output(int status)
{
    if (fflush(stdout) != 0 || ferror(stdout)) {
        report("cannot write to standard output");
        return 1;
    }
    if (output_lost) {
        report("no memory for the JSON output");
        return 1;
    }
    return status;
}

/* strtol and strtod would skip blanks, and take "inf". */
static bool is_number_start(const char *text)
{
    return text[0] != '\0' && strchr("0123456789.-", text[0]);
}

bool parse_int(const char *text, long min, long max, int *out)
{
    char *end;
    long value = strtol(text, &end, 10);
    *out = (int)value;
    return is_number_start(text) && end != text && *end == '\0' && value >= min && value <= max;
}

bool parse_real(const char *text, double min, double max, double *out)
{
    char *end;
    *out = strtod(text, &end);
    return is_number_start(text) && end != text && *end == '\0' && *out >= min && *out <= max;
}

bool parse_chunk(const char *text, int *out)
{
    bool good = parse_int(text, 0, 1 << 26, out);
    if (*out == 0)
        *out = -1;
    return good;
}

bool parse_seconds(const char *text, double *out)
{
    return parse_real(text, 0, HUGE_VAL, out) && isfinite(*out) && *out > 0;
}

void print_json_line(json_t *object)
{
    const size_t flags = JSON_COMPACT | JSON_PRESERVE_ORDER | JSON_REAL_PRECISION(9);
    if (json_dumpf(object, stdout, flags) == 0)
        putchar('\n');
    else if (!ferror(stdout))
        output_lost = true;
    fflush(stdout);
    json_decref(object);
}

const char *class_name(const MegaModel *model, int index, char buffer[16])
{
    const char *label = mega_model_label(model, index);
    if (label)
        return label;
    snprintf(buffer, 16, "%d", index);
    return buffer;
}

int find_class(const MegaModel *model, const char *text, size_t size)
{
    const int classes = mega_model_class_count(model);
    char word[16] = "";
    int number;
    for (int i = 0; i < classes; i++) {
        const char *label = mega_model_label(model, i);
        if (label && strlen(label) == size && memcmp(label, text, size) == 0)
            return i;
    }
    if (size < sizeof word)
        memcpy(word, text, size);
    return parse_int(word, 0, classes - 1, &number) ? number : -1;
}
