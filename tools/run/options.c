/*
 * options.c - see options.h.
 */
#include "tools/run/options.h"

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
