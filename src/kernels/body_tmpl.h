/*
 * body_tmpl.h - the body of a complete tier of kernels. Each tier's file includes it once and
 * defines
 *
 *   VECTOR_BYTES   the width of a vector
 *   KERNELS        the name of its table
 *   KERNELS_NAME   the same name as text
 *
 * The parts that it includes see each other's functions in the order of the includes.
 */
#include "src/kernels/kernels.h"
#include "src/kernels/vectors_tmpl.h"
#include "src/kernels/tile_tmpl.h"
#include "src/kernels/gemm_tmpl.h"
#include "src/kernels/int8_tmpl.h"
#include "src/kernels/attention_tmpl.h"
#include "src/kernels/ema_tmpl.h"
#include "src/kernels/states_tmpl.h"

/* ---- Rows ----------------------------------------------------------------------------------- */

static void affine(const float *x, size_t rows, size_t columns, const float *scale,
                   const float *shift, float *out)
{
    for (size_t row = 0; row < rows; row++, x += columns, out += columns) {
        size_t i = 0;
        for (; i + LANES <= columns; i += LANES)
            store(out + i, multiply_add(load(x + i), load(scale + i), load(shift + i)));
        for (; i < columns; i++)
            out[i] = multiply_add_1(x[i], scale[i], shift[i]);
    }
}

/* Returns the sum of (x - center)^2, or of x - center if not `squared`. */
static float sum_row(const float *x, size_t n, float center, bool squared)
{
    V sum = {0};
    size_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        V v = load(x + i) - center;
        sum = squared ? multiply_add(v, v, sum) : sum + v;
    }
    float total = sum_lanes(sum);
    for (; i < n; i++) {
        float v = x[i] - center;
        total = squared ? multiply_add_1(v, v, total) : total + v;
    }
    return total;
}

static void layer_norm(const float *x, size_t rows, size_t columns, const float *weight,
                       const float *bias, float *out)
{
    for (size_t row = 0; row < rows; row++, x += columns, out += columns) {
        float mean = sum_row(x, columns, 0.0f, false) / (float)columns;
        float variance = sum_row(x, columns, mean, true) / (float)columns;
        float scale = 1.0f / sqrtf(variance + MEGA_EPSILON);
        for (size_t i = 0; i < columns; i++) {
            float v = (x[i] - mean) * scale;
            out[i] = weight ? multiply_add_1(v, weight[i], bias[i]) : v;
        }
    }
}

static void rms_norm(const float *x, size_t rows, size_t columns, const float *weight, float scalar,
                     float *out)
{
    for (size_t row = 0; row < rows; row++, x += columns, out += columns) {
        float square = sum_row(x, columns, 0.0f, true) / (float)columns;
        float scale = 1.0f / sqrtf(square + MEGA_EPSILON);
        for (size_t i = 0; i < columns; i++)
            out[i] = x[i] * scale * (weight ? weight[i] : scalar);
    }
}

/* ---- Element by element --------------------------------------------------------------------- */

static void multiply(float *restrict x, const float *restrict y, size_t n)
{
    for (size_t i = 0; i < n; i++)
        x[i] *= y[i];
}

static void add(float *restrict x, const float *restrict y, size_t n)
{
    for (size_t i = 0; i < n; i++)
        x[i] += y[i];
}

/* ---- Complex numbers ------------------------------------------------------------------------ */

/* The numbers that go down are copied to a block that goes up, so that the compiler vectorises. */
static void multiply_mirrored(float *restrict up, float *restrict down, const float *restrict a,
                              const float *restrict b, size_t n)
{
    float v[2 * MIRROR_BLOCK];
    for (size_t first = 0; first < n; first += MIRROR_BLOCK) {
        const size_t count = n - first < MIRROR_BLOCK ? n - first : MIRROR_BLOCK;
        const float *p = a + 2 * first, *q = b + 2 * first;
        float *u = up + 2 * first;
        for (size_t i = 0; i < count; i++)
            memcpy(v + 2 * i, down - 2 * (first + i), 2 * sizeof *v);
        for (size_t i = 0; i < 2 * count; i += 2) {
            const float ur = u[i], ui = u[i + 1], vr = v[i], vi = v[i + 1];
            u[i] = (ur * p[i] - ui * p[i + 1]) + (vr * q[i] + vi * q[i + 1]);
            u[i + 1] = (ur * p[i + 1] + ui * p[i]) + (vr * q[i + 1] - vi * q[i]);
            v[i] = (vr * p[i] + vi * p[i + 1]) + (ur * q[i] - ui * q[i + 1]);
            v[i + 1] = (vi * p[i] - vr * p[i + 1]) - (ur * q[i + 1] + ui * q[i]);
        }
        for (size_t i = 0; i < count; i++)
            memcpy(down - 2 * (first + i), v + 2 * i, 2 * sizeof *v);
    }
}

/* ---- Probes --------------------------------------------------------------------------------- */

static float probe_arithmetic(size_t rounds, float factor)
{
    V sum[MEGA_PROBE_VECTORS], f = splat(factor);
    for (int v = 0; v < MEGA_PROBE_VECTORS; v++)
        sum[v] = splat((float)v);
    for (size_t i = 0; i < rounds; i++)
#pragma GCC unroll 12
        for (int v = 0; v < MEGA_PROBE_VECTORS; v++)
            sum[v] = multiply_add(sum[v], f, f);
    for (int v = 1; v < MEGA_PROBE_VECTORS; v++)
        sum[0] += sum[v];
    return sum_lanes(sum[0]);
}

static float probe_memory(const float *x, size_t n)
{
    V sum[4] = {{0}};
    for (size_t i = 0; i + 4 * LANES <= n; i += 4 * LANES)
#pragma GCC unroll 4
        for (int v = 0; v < 4; v++)
            sum[v] += load(x + i + v * LANES);
    return sum_lanes(sum[0] + sum[1] + sum[2] + sum[3]);
}

const MegaKernels KERNELS = {
    .name = KERNELS_NAME,
    .lanes = LANES,
    .integer = {quantize, gemm_int8, probe_integers},
    .gemm = gemm,
    .finish = finish,
    .affine = affine,
    .layer_norm = layer_norm,
    .rms_norm = rms_norm,
    .attention = attention,
    .softmax_block = softmax_block,
    .attend_keys = attend_keys,
    .attend_values = attend_values,
    .exp_sum = exp_sum,
    .log_sum_exp = log_sum_exp,
    .multiply = multiply,
    .add = add,
    .scale = multiply_by,
    .multiply_mirrored = multiply_mirrored,
    .ema = ema,
    .ema_step = ema_step,
    .ema_output = ema_output,
    .run_states = run_states,
    .exp_block = exp_block,
    .longest_key = longest_key,
    .probe_arithmetic = probe_arithmetic,
    .probe_memory = probe_memory,
};
