/*
 * rotation.c - see rotation.h.
 */
#include "src/layers/rotation.h"

#include <math.h>

void mega_rotation_fill(float *rotation, size_t first, size_t positions, size_t zdim)
{
    const size_t half = zdim / 2;
    const float step = (float)(log(10000.0) / (double)half);
    for (size_t m = 0; m < half; m++) {
        const float frequency = expf((float)m * -step);
        for (size_t i = 0; i < positions; i++) {
            const float angle = (float)(first + i) * frequency;
            rotation[i * zdim + m] = cosf(angle);
            rotation[i * zdim + half + m] = sinf(angle);
        }
    }
}

void mega_rotate(const float *rotation, size_t zdim, const float *x, float factor, float *out)
{
    const size_t half = zdim / 2;
    for (size_t m = 0; m < half; m++) {
        const float cosine = rotation[m], sine = rotation[half + m];
        out[m] = (x[m] * cosine - x[half + m] * sine) * factor;
        out[half + m] = (x[half + m] * cosine + x[m] * sine) * factor;
    }
}
