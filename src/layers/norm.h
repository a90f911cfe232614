/*
 * norm.h - normalisation of rows (MODEL.md, "Norms").
 *
 *   layernorm   (x - mean) / sqrt(variance + eps) * weight + bias
 *   scalenorm   x / sqrt(mean(x^2) + eps) * scalar
 *   rmsnorm     x / sqrt(mean(x^2) + eps) * weight
 *   batchnorm   x * weight + bias, with the statistics folded in (fold.h)
 *   scalars     (x - mean + shift) / sqrt(variance) * scalar
 *   none        x
 *   multiply    x * weight
 */
#ifndef MEGA_NORM_H
#define MEGA_NORM_H

#include "src/kernels/kernels.h"
#include "src/model/fold.h"

/* Norms x [rows][width] to out, which may be x. */
void mega_norm_apply(const MegaNorm *norm, const MegaKernels *kernels, const float *x, size_t rows,
                     size_t width, float *out);

#endif
