/*
 * attention.c - see attention.h.
 */
#include "src/layers/attention.h"

#include <math.h>
#include <string.h>

#include "src/kernels/matmul.h"

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

/* Weights [rows][count] of softmax from products with a block of keys; earlier output follows. */
static void weigh(const MegaKernels *kernels, size_t rows, size_t count, size_t hidden, float scale,
                  const float *bias, Rows *softmax, bool first_block, float *weights, float *out)
{
    for (size_t row = 0; row < rows; row++, weights += count, out += hidden) {
        float shrink = kernels->softmax_block(weights, count, scale, bias - row,
                                              &softmax->top[row], &softmax->sum[row]);
        if (shrink != 1.0f && !first_block)
            kernels->scale(out, hidden, shrink);
    }
}

void mega_attention(const MegaKernels *kernels, MegaAttentionKind kind, const float *q,
                    const float *key_panels, const float *v, size_t first, size_t rows, size_t keys,
                    size_t zdim, size_t hidden, const float *bias, const float *factor,
                    size_t ld_factor, float *weights, float *out)
{
    MegaPacked packed = {.panels = key_panels, .in = zdim, .out = keys};
    bool softmax = kind == MEGA_ATTENTION_SOFTMAX;
    float scale = softmax ? 1.0f / sqrtf((float)zdim) : 1.0f / (float)keys;
    Rows sums;
    for (size_t row = 0; row < rows; row++) {
        sums.top[row] = -INFINITY;
        sums.sum[row] = 0;
    }
    for (size_t j = 0; j < keys; j += MEGA_KEY_BLOCK) {
        MegaPacked block = mega_packed_columns(&packed, j, MEGA_KEY_BLOCK);
        MegaPanels values = {.data = v + j * hidden, .panel_stride = MEGA_PANEL,
                             .row_stride = hidden};
        MegaEpilogue weigh_block = {.function = kind == MEGA_ATTENTION_LAPLACE
                                                    ? MEGA_FUNCTION_LAPLACE
                                                    : MEGA_FUNCTION_RELU2,
                                    .scale = scale, .bias = bias + j - first, .bias_step = -1};
        MegaEpilogue add_up = {0};
        if (j > 0)
            add_up = mega_epilogue_add(out, hidden);
        mega_matmul(kernels, &block, q, zdim, rows, weights, block.out,
                    softmax ? &(MegaEpilogue){0} : &weigh_block);
        if (softmax)
            weigh(kernels, rows, block.out, hidden, scale, bias + j - first, &sums, j == 0,
                  weights, out);
        kernels->gemm(weights, block.out, rows, &values, block.out, out, hidden, hidden, &add_up);
    }
    for (size_t row = 0; row < rows; row++) {
        if (softmax)
            kernels->scale(out + row * hidden, hidden, 1.0f / sums.sum[row]);
        kernels->multiply(out + row * hidden, factor + row * ld_factor, hidden);
    }
}

size_t mega_attention_scratch(size_t rows, size_t keys)
{
    return rows * min_size(keys, MEGA_KEY_BLOCK);
}
