/*
 * options.c - see options.h.
 */
#define _GNU_SOURCE /* strchrnul */
#include "tools/run/options.h"

#include <stdio.h>
#include <string.h>

#include "formats/base/input_stream.h"
#include "tools/run/command_line.h"

void report_cut(const char *path, double end, double length, double clip, const char *way)
{
    char whole[40] = "";
    if (length > 0)
        snprintf(whole, sizeof whole, " of %.2f", length);
    report("%s: looked at the first %.2f%s s; %s %g looks at all of it", mega_source_name(path),
           end, whole, way, clip);
}

json_t *json_text_place(const char *name, size_t line)
{
    json_t *object = json_pack("{s:o}", "input", json_text(name));
    if (line)
        json_object_set_new(object, "line", json_integer((json_int_t)line));
    return object;
}

void print_json_failure(const char *name, size_t line, const MegaError *err)
{
    json_t *object = json_text_place(name, line);
    json_object_set_new(object, "error", json_error(err));
    print_json_line(object);
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

int next_class(const MegaModel *model, const char *path, const char **names, int *label,
               MegaError *err)
{
    const char *at = *names, *end = strchrnul(at, ',');
    *names = *end ? end + 1 : end;
    *label = find_class(model, at, (size_t)(end - at));
    return *label >= 0
               ? 0
               : mega_fail(err, MEGA_ERR_ARGUMENT,
                           "'%.*s' is neither a class of %s nor the number of one; "
                           "'mega-run inspect --json' lists them",
                           (int)(end - at < 60 ? end - at : 60), at, path);
}

bool is_background(const char *label)
{
    const size_t length = label ? strlen(label) : 0;
    return length > 2 && label[0] == '_' && label[length - 1] == '_';
}
