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

#include "bytes.h"
#include "suggest.h"

void report(const char *format, ...)
{
    va_list args;
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

int option_error(const char *command, int option, char **argv, const struct option *known)
{
    const char *text = argv[optind - 1];
    char reason[256];
    if (option == ':')
        return usage_error(command, "option '%s' needs a value", text);
    if (optopt == 0) {
        explain_option(text, known, reason, sizeof reason);
        return usage_error(command, "option '%.*s' %s", (int)strcspn(text, "="), text, reason);
    }
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

json_t *json_text(const char *text)
{
    size_t size = strlen(text);
    if (mega_utf8_valid(text, size))
        return json_string(text);
    MegaBuffer clean = {0};
    mega_utf8_repair(text, size, &clean);
    json_t *value = clean.failed ? json_null() : json_stringn((char *)clean.data, clean.size);
    mega_buffer_free(&clean);
    return value;
}

void print_json_line(json_t *object)
{
    json_dumpf(object, stdout, JSON_COMPACT | JSON_PRESERVE_ORDER | JSON_REAL_PRECISION(9));
    putchar('\n');
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
