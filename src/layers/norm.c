/*
 * norm.c - see norm.h.
 */
#include "src/layers/norm.h"

#include <math.h>
#include <string.h>

/* The norm of S4's models with transposed layers. No epsilon is added to the variance, so it is
 * computed in double, lest a row that hardly varies be blown up by rounding errors. */
static void norm_by_scalars(const MegaNorm *norm, const float *x, size_t rows, size_t width,
                            float *out)
{
    for (size_t row = 0; row < rows; row++, x += width, out += width) {
        double sum = 0, squares = 0;
        for (size_t i = 0; i < width; i++)
            sum += x[i];
        const double mean = sum / (double)width;
        for (size_t i = 0; i < width; i++)
            squares += (x[i] - mean) * (x[i] - mean);
        const double scale = (double)norm->scalar / sqrt(squares / (double)width);
        for (size_t i = 0; i < width; i++)
            out[i] = (float)((x[i] - mean + (double)norm->shift) * scale);
    }
}

void mega_norm_apply(const MegaNorm *norm, const MegaKernels *kernels, const float *x, size_t rows,
                     size_t width, float *out)
{
    switch (norm->kind) {
    case MEGA_NORM_LAYER: kernels->layer_norm(x, rows, width, norm->weight, norm->bias, out); break;
    case MEGA_NORM_SCALE:
    case MEGA_NORM_RMS: kernels->rms_norm(x, rows, width, norm->weight, norm->scalar, out); break;
    case MEGA_NORM_BATCH:
    case MEGA_NORM_MULTIPLY: kernels->affine(x, rows, width, norm->weight, norm->bias, out); break;
    case MEGA_NORM_SCALARS: norm_by_scalars(norm, x, rows, width, out); break;
    case MEGA_NORM_NONE:
        if (out != x)
            memcpy(out, x, rows * width * sizeof *x);
        break;
    }
}
