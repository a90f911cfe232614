/*
 * options.c - see options.h.
 */
#include "tools/run/options.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "formats/base/input_stream.h"
#include "tools/common/progress.h"
#include "tools/common/terminal.h"
#include "tools/run/command_line.h"

static bool output_lost; /* true once a line of JSON could not be made */

void report(const char *format, ...)
{
    va_list args;
    progress_clear();
    va_start(args, format);
    fputs("mega-run: ", stderr);
    put_message(format, args);
    fputc('\n', stderr);
    va_end(args);
}

void report_cut(const char *path, double end, double length, double clip, const char *way)
{
    char whole[40] = "";
    if (length > 0)
        snprintf(whole, sizeof whole, " of %.2f", length);
    report("%s: looked at the first %.2f%s s; %s %g looks at all of it", mega_source_name(path),
           end, whole, way, clip);
}

int usage_error(const char *command, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fprintf(stderr, "mega-run %s: ", command);
    put_message(format, args);
    fprintf(stderr, "\nTry 'mega-run %s --help'.\n", command);
    va_end(args);
    return 2;
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
