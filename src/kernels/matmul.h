/*
 * matmul.h - matrix products over weights in panels (panels.h).
 *
 * With weights of 8 or 4 bits the rows of x are quantized to 8 bits on the way, each block with a
 * scale of its own, and multiplied in integers. The result differs from the product of the floats
 * by 0.8 % of its norm, for numbers of normal distribution and any size; with 4 bits by 8 %.
 */
#ifndef MEGA_MATMUL_H
#define MEGA_MATMUL_H

#include "src/kernels/kernels.h"

/* y [rows][out] = x [rows][in] weight^T, through the epilogue. */
void mega_matmul(const MegaKernels *kernels, const MegaPacked *weight, const float *x, size_t ldx,
                 size_t rows, float *y, size_t ldy, const MegaEpilogue *epilogue);

/* Rows of 8 bits for several products of the same rows: what threads do with parts of one weight
 * matrix. Rows that are too many for it are quantized by every mega_matmul again. */
#define MEGA_QUANTIZED_BLOCKS 2048 /* of all rows together */
typedef struct MegaQuantized {
    int8_t q[MEGA_QUANTIZED_BLOCKS * MEGA_SCALE_BLOCK];
    float scales[MEGA_QUANTIZED_BLOCKS];
    int32_t sums[MEGA_QUANTIZED_BLOCKS];
} MegaQuantized;

/* How many rows of `in` numbers fit; at least one, which may have to be cut. */
size_t mega_quantized_rows(size_t in);
/* False: too many. */
bool mega_quantize_rows(const MegaKernels *kernels, const float *x, size_t ldx, size_t rows,
                        size_t in, MegaQuantized *out);
/* mega_matmul of such rows: the same bits. */
void mega_matmul_quantized(const MegaKernels *kernels, const MegaPacked *weight,
                           MegaQuantized *x, size_t rows, float *y, size_t ldy,
                           const MegaEpilogue *epilogue);

#endif
