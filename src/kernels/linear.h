/*
 * linear.h - linear layers that read the same rows, in parallel over output columns or by the
 * calling thread alone.
 *
 * A step of the decoder has one row per sequence, far fewer rows than the weights have columns.
 * Therefore the columns are divided between the threads. Every column is computed in one piece, so
 * the division does not change a result. Rows that meet quantized weights are quantized once for
 * all layers.
 */
#ifndef MEGA_LINEAR_H
#define MEGA_LINEAR_H

#include "src/base/threads.h"
#include "src/kernels/matmul.h"

#define MEGA_LINEAR_BLOCK 64 /* columns that share an entry of block_top and block_sum */

/* y = x weight^T, then the epilogue. */
typedef struct MegaLinear {
    const float *x; /* [rows][in], ldx floats from row to row */
    size_t ldx;
    const MegaPacked *weight;
    float *y; /* [rows][out], ldy floats from row to row */
    size_t ldy;
    MegaEpilogue epilogue;
    /* [rows][blocks], or NULL. For every MEGA_LINEAR_BLOCK columns of y they receive the largest
     * number, and the sum of the exponentials relative to it. Both cost little here, while y is in
     * the cache. */
    float *block_top, *block_sum;
    size_t blocks; /* ceil(out / MEGA_LINEAR_BLOCK) */
} MegaLinear;

#define MEGA_MAX_LINEARS 4 /* most layers of one call */

/* Runs `count` layers, at most MEGA_MAX_LINEARS, that read the same x and write to different y.
 * Their tasks go to the pool together, so that threads wait for each other once and not once a
 * layer. With pool NULL the calling thread works alone. */
void mega_linear_run(MegaPool *pool, const MegaKernels *kernels, const MegaLinear *linears,
                     size_t count, size_t rows);

#endif
