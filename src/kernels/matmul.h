/*
 * matmul.h - matrix products with weights stored in panels (panels.h).
 *
 * For weights of 8 or 4 bits, the rows of x are quantized to 8 bits first, with one scale for each
 * block of MEGA_SCALE_BLOCK numbers, and the products are made in integers. For normally
 * distributed numbers of any size, the result differs from the product in floats by 0.8 % of its
 * norm with 8-bit weights and by 8 % with 4-bit weights.
 */
#ifndef MEGA_MATMUL_H
#define MEGA_MATMUL_H

#include "src/kernels/kernels.h"

/* y [rows][out] = x [rows][in] weight^T, then the epilogue. */
void mega_matmul(const MegaKernels *kernels, const MegaPacked *weight, const float *x, size_t ldx,
                 size_t rows, float *y, size_t ldy, const MegaEpilogue *epilogue);

/* Quantized rows that several products share. Threads that each multiply by a part of one weight
 * matrix use it, so that the rows are quantized only once. If the rows do not fit, every
 * mega_matmul quantizes them again. */
#define MEGA_QUANTIZED_BLOCKS 2048 /* of all rows together */
typedef struct MegaQuantized {
    int8_t q[MEGA_QUANTIZED_BLOCKS * MEGA_SCALE_BLOCK];
    float scales[MEGA_QUANTIZED_BLOCKS];
    int32_t sums[MEGA_QUANTIZED_BLOCKS];
} MegaQuantized;

/* Returns how many rows of `in` numbers to multiply at a time: as many as a MegaQuantized holds,
 * but at least 1. A row longer than MEGA_QUANTIZED_BLOCKS blocks is multiplied in pieces. */
size_t mega_quantized_rows(size_t in);
/* Returns whether a MegaQuantized holds that many rows. */
bool mega_quantized_fit(size_t rows, size_t in);
/* Quantizes rows first ... first + rows - 1 of x [][in] into their places in *out, where all rows
 * have to fit. */
void mega_quantize_rows(const MegaKernels *kernels, const float *x, size_t ldx, size_t in,
                        size_t first, size_t rows, MegaQuantized *out);
/* Multiplies such rows; the result has the same bits as mega_matmul's. */
void mega_matmul_quantized(const MegaKernels *kernels, const MegaPacked *weight,
                           MegaQuantized *x, size_t rows, float *y, size_t ldy,
                           const MegaEpilogue *epilogue);

#endif
