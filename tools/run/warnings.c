/*
 * warnings.c - see warnings.h.
 */
#include "tools/run/warnings.h"

#include <stdio.h>

#include "formats/base/input_stream.h"
#include "tools/common/messages.h"

void report_warning(void *context, const char *sentence)
{
    (void)context;
    report("warning: %s", sentence);
}

void report_cut(const char *path, double end, double length, double clip, const char *way)
{
    char whole[40] = "";
    if (length > 0)
        snprintf(whole, sizeof whole, " of %.2f", length);
    report("%s: classified only the first %.2f%s s; %s %g covers all of it", mega_source_name(path),
           end, whole, way, clip);
}
