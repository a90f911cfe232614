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

static void multiply_complex(const float *a, const float *b, size_t n, float *out)
{
    for (size_t i = 0; i < 2 * n; i += 2) {
        const float re = a[i] * b[i] - a[i + 1] * b[i + 1];
        const float im = a[i] * b[i + 1] + a[i + 1] * b[i];
        out[i] = re;
        out[i + 1] = im;
    }
}

static void multiply_conjugate(const float *a, const float *b, size_t n, float *out)
{
    for (size_t i = 0; i < 2 * n; i += 2) {
        const float re = a[i] * b[i] - a[i + 1] * b[i + 1];
        const float im = a[i] * b[i + 1] + a[i + 1] * b[i];
        out[i] = re;
        out[i + 1] = -im;
    }
}

static void scale_to_complex(const float *restrict x, size_t n, const float w[2],
                             float *restrict out)
{
    const float re = w[0], im = w[1];
    for (size_t i = 0; i < n; i++) {
        out[2 * i] = x[i] * re;
        out[2 * i + 1] = x[i] * im;
    }
}

static void scale_to_real(const float *restrict a, size_t n, const float w[2],
                          float *restrict y)
{
    const float re = w[0], im = w[1];
    for (size_t i = 0; i < n; i++)
        y[i] = a[2 * i] * re - a[2 * i + 1] * im;
}

/* ---- Transposition -------------------------------------------------------------------------- */

#define QUAD 4
typedef float Quad __attribute__((vector_size(16)));

/* Transposes 4 x 4 numbers. */
INLINE void transpose_quad(const float *x, size_t ldx, float *out, size_t ldo)
{
    Quad rows[QUAD], low[2], high[2];
    for (size_t i = 0; i < QUAD; i++)
        memcpy(&rows[i], x + i * ldx, sizeof *rows);
    for (size_t i = 0; i < 2; i++) { /* rows 0 and 1, then 2 and 3 */
        low[i] = __builtin_shufflevector(rows[2 * i], rows[2 * i + 1], 0, 4, 1, 5);
        high[i] = __builtin_shufflevector(rows[2 * i], rows[2 * i + 1], 2, 6, 3, 7);
    }
    rows[0] = __builtin_shufflevector(low[0], low[1], 0, 1, 4, 5);
    rows[1] = __builtin_shufflevector(low[0], low[1], 2, 3, 6, 7);
    rows[2] = __builtin_shufflevector(high[0], high[1], 0, 1, 4, 5);
    rows[3] = __builtin_shufflevector(high[0], high[1], 2, 3, 6, 7);
    for (size_t i = 0; i < QUAD; i++)
        memcpy(out + i * ldo, &rows[i], sizeof *rows);
}

static void transpose(const float *x, size_t ldx, size_t rows, size_t columns, float *out,
                      size_t ldo)
{
    for (size_t row = 0; row < rows; row += QUAD)
        for (size_t column = 0; column < columns; column += QUAD) {
            const float *from = x + row * ldx + column;
            float *to = out + column * ldo + row;
            if (rows - row >= QUAD && columns - column >= QUAD) {
                transpose_quad(from, ldx, to, ldo);
                continue;
            }
            for (size_t r = 0; r < QUAD && row + r < rows; r++)
                for (size_t c = 0; c < QUAD && column + c < columns; c++)
                    to[c * ldo + r] = from[r * ldx + c];
        }
}

/* ---- Probes --------------------------------------------------------------------------------- */

static float probe_arithmetic(size_t rounds, float factor)
{
    V sum[MEGA_PROBE_VECTORS], f = splat(factor);
    for (int v = 0; v < MEGA_PROBE_VECTORS; v++)
        sum[v] = splat((float)v);
    for (size_t i = 0; i < rounds; i++)
        UNROLL(12)
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
        UNROLL(4)
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
    .exp_rows = exp_rows,
    .longest_key = longest_key,
    .attend_keys = attend_keys,
    .attend_values = attend_values,
    .exp_sum = exp_sum,
    .log_sum_exp = log_sum_exp,
    .multiply = multiply,
    .add = add,
    .scale = multiply_by,
    .multiply_complex = multiply_complex,
    .multiply_conjugate = multiply_conjugate,
    .scale_to_complex = scale_to_complex,
    .scale_to_real = scale_to_real,
    .transpose = transpose,
    .ema = ema,
    .ema_step = ema_step,
    .ema_output = ema_output,
    .run_states = run_states,
    .probe_arithmetic = probe_arithmetic,
    .probe_memory = probe_memory,
};
