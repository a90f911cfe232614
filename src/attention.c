/*
 * attention.c - see attention.h.
 */
#include "attention.h"

#include <math.h>
#include <string.h>

#include "gemm.h"

void mega_rotary_table(const float *alpha, const float *beta, size_t zdim, size_t positions,
                       float *table)
{
    size_t half = zdim / 2;
    float *center = table + positions - 1;
    memset(table, 0, (2 * positions - 1) * sizeof *table);
    for (size_t m = 0; m < half; m++) {
        double a1 = alpha[m], a2 = alpha[half + m], b1 = beta[m], b2 = beta[half + m];
        double even = a1 * b1 + a2 * b2, odd = a2 * b1 - a1 * b2;
        double frequency = exp(-(double)m / (double)half * log(10000.0));
        double step_cos = cos(frequency), step_sin = sin(frequency), c = 1, s = 0;
        for (size_t delta = 0; delta < positions; delta++) {
            center[delta] += (float)(even * c + odd * s);
            if (delta > 0)
                center[-(ptrdiff_t)delta] += (float)(even * c - odd * s);
            double next = c * step_cos - s * step_sin;
            s = s * step_cos + c * step_sin;
            c = next;
        }
    }
}

void mega_attention(const MegaKernels *kernels, MegaAttentionKind kind, const float *q,
                    const float *k, const float *v, size_t first, size_t rows, size_t keys,
                    size_t zdim, size_t hidden, const float *bias, float *weights, float *out)
{
    float scale = kind == MEGA_ATTENTION_SOFTMAX ? 1.0f / sqrtf((float)zdim) : 1.0f / (float)keys;
    mega_gemm_nt(rows, keys, zdim, q, zdim, k, zdim, 0.0f, weights, keys);
    for (size_t row = 0; row < rows; row++)
        kernels->attention(kind, weights + row * keys, keys, scale, bias - (first + row));
    mega_gemm_nn(rows, hidden, keys, weights, keys, v, hidden, out, hidden);
}
