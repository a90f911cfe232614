/*
 * attention.c - see attention.h.
 */
#include "attention.h"

#include <math.h>
#include <string.h>

#include "matmul.h"

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

static size_t min_size(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Softmax needs the largest product of a row before the first weight, and the sum of all weights.
 * It takes the largest so far, and brings what it has of a row to the new one when that grows. */
typedef struct Rows {
    float top[MEGA_ATTENTION_ROWS], sum[MEGA_ATTENTION_ROWS];
} Rows;

/* Weights [rows][count] from products with keys j ... j + count - 1; earlier output follows. */
static void weigh(const MegaKernels *kernels, MegaAttentionKind kind, size_t rows, size_t count,
                  size_t hidden, float scale, const float *bias, Rows *softmax, bool first_block,
                  float *weights, float *out)
{
    for (size_t row = 0; row < rows; row++, weights += count, out += hidden) {
        if (kind != MEGA_ATTENTION_SOFTMAX) {
            kernels->attention(kind, weights, count, scale, bias - row);
            continue;
        }
        float shrink = kernels->softmax_block(weights, count, scale, bias - row,
                                              &softmax->top[row], &softmax->sum[row]);
        if (shrink != 1.0f && !first_block)
            kernels->scale(out, hidden, shrink);
    }
}

void mega_attention(const MegaKernels *kernels, MegaAttentionKind kind, const float *q,
                    const float *key_panels, const float *v, size_t first, size_t rows, size_t keys,
                    size_t zdim, size_t hidden, const float *bias, float *weights, float *out)
{
    MegaPacked packed = {.panels = key_panels, .in = zdim, .out = keys};
    bool normalized = kind == MEGA_ATTENTION_SOFTMAX;
    float scale = normalized ? 1.0f / sqrtf((float)zdim) : 1.0f / (float)keys;
    Rows softmax;
    for (size_t row = 0; row < rows; row++) {
        softmax.top[row] = -INFINITY;
        softmax.sum[row] = 0;
    }
    for (size_t j = 0; j < keys; j += MEGA_KEY_BLOCK) {
        MegaPacked block = mega_packed_columns(&packed, j, MEGA_KEY_BLOCK);
        MegaPanels values = {.data = v + j * hidden, .panel_stride = MEGA_PANEL,
                             .row_stride = hidden};
        mega_matmul(kernels, &block, q, zdim, rows, weights, block.out, false);
        weigh(kernels, kind, rows, block.out, hidden, scale, bias + j - first, &softmax, j == 0,
              weights, out);
        kernels->gemm(weights, block.out, rows, &values, block.out, out, hidden, hidden, j > 0);
    }
    for (size_t row = 0; normalized && row < rows; row++)
        kernels->scale(out + row * hidden, hidden, 1.0f / softmax.sum[row]);
}

size_t mega_attention_scratch(size_t rows, size_t keys)
{
    return rows * min_size(keys, MEGA_KEY_BLOCK);
}
