/*
 * source_name.c - names an input for messages; see input_stream.h.
 */
#include <string.h>

#include "formats/base/input_stream.h"

const char *mega_source_name(const char *path)
{
    return strcmp(path, "-") == 0 ? "standard input" : path;
}
