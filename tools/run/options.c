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

#include "kernels.h"
#include "progress.h"
#include "suggest.h"

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

/* "300M", "1.5G", "1000000": bytes. */
static bool parse_size(const char *text, uint64_t *out)
{
    static const char units[] = "kMGT";
    char *end;
    double value = strtod(text, &end), factor = 1;
    if (!is_number_start(text) || end == text)
        return false;
    const char *unit = *end ? strchr(units, *end == 'K' ? 'k' : *end) : NULL;
    for (const char *u = units; unit && u <= unit; u++)
        factor *= 1000;
    if ((*end && !unit) || (unit && end[1]) || !(value > 0) || value * factor > 1e18)
        return false;
    *out = (uint64_t)(value * factor);
    return true;
}

static bool parse_cpu(const char *name, const char **out)
{
    const MegaKernels *all[MEGA_MOST_TIERS];
    size_t count = mega_kernels_all(all);
    *out = name;
    if (mega_kernels_by_name(name))
        return true;
    fputs("mega-run: this machine has the kernels", stderr);
    for (size_t i = 0; i < count; i++)
        fprintf(stderr, " %s,", all[i]->name);
    fputs(" openblas\n", stderr);
    return false;
}

bool parse_session_option(int option, const char *value, MegaSessionOptions *out)
{
    switch (option) {
    case OPT_THREADS: return parse_int(value, 1, 256, &out->threads);
    case OPT_CPU: return parse_cpu(value, &out->cpu);
    case OPT_MAX_MEMORY: return parse_size(value, &out->max_memory);
    default: return false;
    }
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
