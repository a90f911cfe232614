/*
 * linear.h - linear layers over few rows, in parallel over output columns.
 *
 * A decoder's step has as many rows as sequences, far fewer than weights: so the weights are what
 * is divided between the threads. A column is the same whatever the cut.
 */
#ifndef MEGA_LINEAR_H
#define MEGA_LINEAR_H

#include "src/base/threads.h"
#include "src/kernels/matmul.h"

#define MEGA_LINEAR_BLOCK 64

/* y = x weight^T, through the epilogue. */
typedef struct MegaLinear {
    const float *x; /* [rows][in], ldx floats from row to row */
    size_t ldx;
    const MegaPacked *weight;
    float *y; /* [rows][out], ldy floats from row to row */
    size_t ldy;
    MegaEpilogue epilogue;
    /* NULL, or [rows][blocks]: of every MEGA_LINEAR_BLOCK columns of y the largest number, and the
     * sum of exponentials of all relative to it, found while y is in the caches */
    float *block_top, *block_sum;
    size_t blocks; /* ceil(out / MEGA_LINEAR_BLOCK) */
} MegaLinear;

#define MEGA_MAX_LINEARS 4

/* `count` layers of the same x, at most MEGA_MAX_LINEARS, whose y are apart: the work of all is
 * divided at once. */
void mega_linear_run(MegaPool *pool, const MegaKernels *kernels, const MegaLinear *linears,
                     size_t count, size_t rows);

#endif
