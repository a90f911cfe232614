/*
 * norm.c - see norm.h.
 */
#include "src/layers/norm.h"

void mega_norm_apply(const MegaNorm *norm, const MegaKernels *kernels, const float *x, size_t rows,
                     size_t width, float *out)
{
    switch (norm->kind) {
    case MEGA_NORM_LAYER:
        kernels->layer_norm(x, rows, width, norm->weight, norm->bias, out);
        break;
    case MEGA_NORM_SCALE:
    case MEGA_NORM_RMS:
        kernels->rms_norm(x, rows, width, norm->weight, norm->scalar, out);
        break;
    case MEGA_NORM_BATCH:
        kernels->affine(x, rows, width, norm->weight, norm->bias, out);
        break;
    }
}
