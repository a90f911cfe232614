/*
 * rotation.c - see rotation.h.
 */
#include "src/layers/rotation.h"

#include <math.h>

void mega_rotation_fill(float *rotation, size_t positions, size_t zdim)
{
    const size_t half = zdim / 2;
    const float step = (float)(log(10000.0) / (double)half);
    for (size_t m = 0; m < half; m++) {
        const float frequency = expf((float)m * -step);
        for (size_t position = 0; position < positions; position++) {
            const float angle = (float)position * frequency;
            rotation[position * zdim + m] = cosf(angle);
            rotation[position * zdim + half + m] = sinf(angle);
        }
    }
}

void mega_rotate(const float *rotation, size_t position, size_t zdim, const float *x, float factor,
                 float *out)
{
    const size_t half = zdim / 2;
    const float *cosine = rotation + position * zdim, *sine = cosine + half;
    for (size_t m = 0; m < half; m++) {
        out[m] = (x[m] * cosine[m] - x[half + m] * sine[m]) * factor;
        out[half + m] = (x[half + m] * cosine[m] + x[m] * sine[m]) * factor;
    }
}
