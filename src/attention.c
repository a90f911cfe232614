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

/* Keys whose values and weights stay in the caches while all rows pass over them. */
#define KEY_BLOCK 256

static size_t min_size(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* out += weights [rows][stride], columns first ... first + count - 1, times the values of these */
static void add_values(const MegaKernels *kernels, const float *weights, size_t stride,
                       const float *v, size_t rows, size_t count, size_t hidden, bool add,
                       float *out)
{
    MegaPanels values = {.data = v, .panel_stride = MEGA_PANEL, .row_stride = hidden};
    kernels->gemm(weights, stride, rows, &values, count, out, hidden, hidden, add);
}

/* Rows are normalised over all keys: their weights must be known before a value is added. */
static void attend_softmax(const MegaKernels *kernels, const MegaPacked *keys, const float *q,
                           const float *v, size_t first, size_t rows, size_t hidden,
                           const float *bias, float *weights, float *out)
{
    float scale = 1.0f / sqrtf((float)keys->in);
    mega_matmul(kernels, keys, q, keys->in, rows, weights, keys->out, false);
    for (size_t row = 0; row < rows; row++)
        kernels->attention(MEGA_ATTENTION_SOFTMAX, weights + row * keys->out, keys->out, scale,
                           bias - (first + row));
    for (size_t j = 0; j < keys->out; j += KEY_BLOCK)
        add_values(kernels, weights + j, keys->out, v + j * hidden, rows,
                   min_size(KEY_BLOCK, keys->out - j), hidden, j > 0, out);
}

void mega_attention(const MegaKernels *kernels, MegaAttentionKind kind, const float *q,
                    const float *key_panels, const float *v, size_t first, size_t rows, size_t keys,
                    size_t zdim, size_t hidden, const float *bias, float *weights, float *out)
{
    MegaPacked packed = {.panels = key_panels, .in = zdim, .out = keys};
    if (kind == MEGA_ATTENTION_SOFTMAX) {
        attend_softmax(kernels, &packed, q, v, first, rows, hidden, bias, weights, out);
        return;
    }
    for (size_t j = 0; j < keys; j += KEY_BLOCK) {
        MegaPacked block = mega_packed_columns(&packed, j, KEY_BLOCK);
        size_t count = block.out;
        mega_matmul(kernels, &block, q, zdim, rows, weights, count, false);
        for (size_t row = 0; row < rows; row++)
            kernels->attention(kind, weights + row * count, count, 1.0f / (float)keys,
                               bias + j - (first + row));
        add_values(kernels, weights, count, v + j * hidden, rows, count, hidden, j > 0, out);
    }
}
