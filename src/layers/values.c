/*
 * values.c - see values.h.
 */
#include "src/layers/values.h"

#include <stdlib.h>
#include <string.h>

#include "src/base/checked.h"

static size_t head_panels(const MegaValues *values)
{
    return mega_pieces(values->columns, MEGA_PANEL);
}

uint64_t mega_values_floats(const MegaValues *values)
{
    return (uint64_t)values->heads * head_panels(values) * values->positions * MEGA_PANEL;
}

static float *panel_at(const MegaValues *values, size_t head, size_t panel, size_t position)
{
    return values->panels + (head * head_panels(values) + panel) * mega_values_stride(values) +
           position * MEGA_PANEL;
}

const float *mega_values_at(const MegaValues *values, size_t head, size_t position)
{
    return panel_at(values, head, 0, position);
}

void mega_values_store(const MegaValues *values, size_t first, size_t rows, const float *v,
                       size_t ld)
{
    for (size_t row = first; row < first + rows; row++, v += ld) {
        const float *from = v;
        for (size_t head = 0; head < values->heads; head++)
            for (size_t column = 0, count; column < values->columns;
                 column += count, from += count) {
                float *out = panel_at(values, head, column / MEGA_PANEL, row);
                count = mega_min_size(values->columns - column, MEGA_PANEL);
                if (count < MEGA_PANEL)
                    memset(out, 0, MEGA_PANEL * sizeof *out);
                memcpy(out, from, count * sizeof *out);
            }
    }
}

void mega_values_tap(const MegaValues *values, const MegaTapping *tapping, int index)
{
    const size_t width = values->heads * values->columns;
    float *v = tapping->tap ? malloc(values->positions * width * sizeof *v) : NULL, *out = v;
    if (!v)
        return;
    for (size_t row = 0; row < values->positions; row++)
        for (size_t head = 0; head < values->heads; head++)
            for (size_t column = 0, count; column < values->columns;
                 column += count, out += count) {
                count = mega_min_size(values->columns - column, MEGA_PANEL);
                memcpy(out, panel_at(values, head, column / MEGA_PANEL, row), count * sizeof *v);
            }
    mega_tap_layer(tapping, index, ".v", v, values->positions, width);
    free(v);
}
