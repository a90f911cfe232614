/*
 * matmul.h - matrix products over weights in panels (panels.h).
 *
 * With weights of 8 bits the rows of x are quantized on the way, each block with a scale of its
 * own, and multiplied in integers. The result differs from the product of the floats by 0.8 % of
 * its norm, for numbers of normal distribution and any size.
 */
#ifndef MEGA_MATMUL_H
#define MEGA_MATMUL_H

#include "kernels.h"

/* y [rows][out] = x [rows][in] weight^T, or +=. */
void mega_matmul(const MegaKernels *kernels, const MegaPacked *weight, const float *x, size_t ldx,
                 size_t rows, float *y, size_t ldy, bool add);

#endif
