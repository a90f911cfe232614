/*
 * tap.c - see tap.h.
 */
#include "src/layers/tap.h"

#include <stdio.h>

void mega_tap(const MegaTapping *tapping, const char *stage, const float *data, size_t rows,
              size_t columns)
{
    if (tapping->tap)
        tapping->tap(tapping->context, stage, tapping->input, data, rows, columns);
}

void mega_tap_layer(const MegaTapping *tapping, int index, const char *part, const float *data,
                    size_t rows, size_t columns)
{
    char stage[48];
    if (!tapping->tap)
        return;
    snprintf(stage, sizeof stage, "%slayer.%d%s", tapping->stack, index, part);
    mega_tap(tapping, stage, data, rows, columns);
}
