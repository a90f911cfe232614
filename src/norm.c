/*
 * norm.c - see norm.h. batchnorm with running statistics is affine: it is folded to x * scale +
 * shift.
 */
#include "norm.h"

#include <math.h>

static void fold_batchnorm(MegaNorm *norm, const MegaNormWeights *weights, size_t width,
                           MegaArena *arena)
{
    float *scale = mega_arena_floats(arena, width);
    float *shift = mega_arena_floats(arena, width);
    if (!scale || !shift)
        return; /* dry run */
    for (size_t i = 0; i < width; i++) {
        double weight = weights->weight ? weights->weight[i] : 1.0;
        double bias = weights->bias ? weights->bias[i] : 0.0;
        double factor = weight / sqrt((double)weights->variance[i] + (double)MEGA_EPSILON);
        scale[i] = (float)factor;
        shift[i] = (float)(bias - weights->mean[i] * factor);
    }
    norm->weight = scale;
    norm->bias = shift;
}

void mega_norm_prepare(MegaNorm *out, MegaNormKind kind, const MegaNormWeights *weights,
                       size_t width, MegaArena *arena)
{
    *out = (MegaNorm){.kind = kind, .weight = weights->weight, .bias = weights->bias, .scalar = 1};
    if (kind == MEGA_NORM_BATCH) {
        fold_batchnorm(out, weights, width, arena);
    } else if (kind == MEGA_NORM_SCALE) {
        out->weight = NULL;
        if (weights->weight && arena->base)
            out->scalar = weights->weight[0];
    }
}

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
