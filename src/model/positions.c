/*
 * positions.c - see positions.h.
 */
#include "src/model/positions.h"

#include <math.h>

static void fill_frequencies(float *frequencies, size_t count)
{
    const float step = count > 1 ? (float)(-log(10000.0) / (double)(count - 1)) : 0;
    for (size_t k = 0; k < count; k++)
        frequencies[k] = (float)exp((double)((float)k * step));
}

void mega_positions_prepare(MegaPositions *out, const MegaStackConfig *config, const float *table,
                            int pad, MegaArena *arena)
{
    *out = (MegaPositions){.kind = config->positions, .width = (size_t)config->width,
                           .first_row = (size_t)(pad + 1), .table = table};
    if (config->positions != MEGA_POSITIONS_SINUSOIDAL)
        return;
    float *frequencies = mega_arena_floats(arena, out->width / 2);
    if (frequencies)
        fill_frequencies(frequencies, out->width / 2);
    out->frequencies = frequencies;
}

static void add_sinusoids(const MegaPositions *positions, size_t position, float *x)
{
    const size_t half = positions->width / 2;
    const float number = (float)(position + positions->first_row);
    for (size_t k = 0; k < half; k++) {
        const float angle = number * positions->frequencies[k];
        x[k] += sinf(angle);
        x[half + k] += cosf(angle);
    }
}

void mega_positions_add(const MegaPositions *positions, size_t position, size_t rows, float *x)
{
    const size_t d = positions->width;
    for (size_t row = 0; row < rows; row++, x += d) {
        if (positions->kind == MEGA_POSITIONS_SINUSOIDAL)
            add_sinusoids(positions, position + row, x);
        for (size_t i = 0; positions->kind == MEGA_POSITIONS_LEARNED && i < d; i++)
            x[i] += positions->table[(position + row) * d + i];
    }
}
