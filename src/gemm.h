/*
 * gemm.h - matrix products by OpenBLAS with one thread: parallelism is ours (threads.h). The engine
 * goes through matmul.h instead; this is for operands that are not packed, outside of it.
 *
 * OpenBLAS counts its threads per process; mega_session_new sets that to 1. Row-major; ld* are the
 * distances between rows. Shapes are bounded by the caps of config.c and the input, so that they
 * fit into an int.
 */
#ifndef MEGA_GEMM_H
#define MEGA_GEMM_H

#include <cblas.h>
#include <stddef.h>

/* C [m][n] = beta C + A [m][k] B [n][k]^T: a linear layer, B its weight. */
static inline void mega_gemm_nt(size_t m, size_t n, size_t k, const float *a, size_t lda,
                                const float *b, size_t ldb, float beta, float *c, size_t ldc)
{
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (int)m, (int)n, (int)k, 1.0f, a, (int)lda,
                b, (int)ldb, beta, c, (int)ldc);
}

#endif
