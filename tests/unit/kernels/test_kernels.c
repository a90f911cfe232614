/*
 * test_kernels.c - compares every kernel of every tier with double precision, at all row lengths
 * around the vector width, between guard bands that must stay untouched.
 */
#include "tests/unit/support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/tensor/dtype.h"
#include "formats/tensor/quantize.h"
#include "src/kernels/matmul.h"
#include "tests/unit/reference.h"
#include "tests/unit/tiers.h"

#define MAX_COLUMNS 37

static const MegaKernels *tiers[MOST_TEST_TIERS];
static size_t tier_count;

static double apply(MegaFunction function, double x)
{
    switch (function) {
    case MEGA_FUNCTION_SIGMOID: return 1 / (1 + exp(-x));
    case MEGA_FUNCTION_LAPLACE: return 0.5 * (1 + erf((x - 0.707107) / (0.282095 * sqrt(2.0))));
    case MEGA_FUNCTION_RELU2: return x > 0 ? x * x : 0;
    default: return reference_activate((MegaActivation)function, x);
    }
}

/* An epilogue of random parts for y [rows][columns], and the memory of these parts. */
typedef struct Ending {
    MegaEpilogue epilogue;
    float *bias, *addend, *factor, *gate;
    bool adds_to_y;
} Ending;

static float *random_part(Random *random, size_t rows, size_t columns, size_t *ld)
{
    *ld = columns + (size_t)random_int(random, 0, 3);
    return random_floats(random, rows * *ld, -1, 1);
}

static Ending random_ending(Random *random, size_t rows, size_t columns, const float *y, size_t ldy)
{
    Ending out = {0};
    MegaEpilogue *e = &out.epilogue;
    size_t ld;
    e->function = (MegaFunction)random_int(random, 0, MEGA_FUNCTION_RELU2);
    if (e->function == MEGA_FUNCTION_LAPLACE || e->function == MEGA_FUNCTION_RELU2)
        e->scale = 0.7f;
    if (random_int(random, 0, 2) == 0)
        e->linear_from = (size_t)random_int(random, 0, (int)columns);
    if (random_int(random, 0, 1)) {
        e->bias_step = random_int(random, -1, 0);
        out.bias = random_floats(random, rows + columns, -1, 1);
        e->bias = out.bias + rows;
    }
    if (random_int(random, 0, 3) == 0) {
        out.adds_to_y = true;
        e->addend = y;
        e->ld_addend = ldy;
    } else if (random_int(random, 0, 1)) {
        e->addend = out.addend = random_part(random, rows, columns, &ld);
        e->ld_addend = ld;
    }
    if (random_int(random, 0, 1)) {
        e->factor = out.factor = random_part(random, rows, columns, &ld);
        e->ld_factor = ld;
    }
    if (random_int(random, 0, 1)) {
        e->gate = out.gate = random_part(random, rows, columns, &ld);
        e->ld_gate = ld;
    }
    return out;
}

static void free_ending(Ending *ending)
{
    free(ending->bias);
    free(ending->addend);
    free(ending->factor);
    free(ending->gate);
}

/* Returns the expected result for a sum at a row and column whose y was `old`. */
static double end_sum(const Ending *ending, size_t row, size_t column, double sum, double old)
{
    const MegaEpilogue *e = &ending->epilogue;
    bool linear = e->linear_from > 0 && column >= e->linear_from;
    double v = sum;
    if (e->addend)
        v += ending->adds_to_y ? old : (double)e->addend[row * e->ld_addend + column];
    if (!linear && (e->function == MEGA_FUNCTION_LAPLACE || e->function == MEGA_FUNCTION_RELU2))
        v *= (double)e->scale;
    if (e->bias)
        v += (double)e->bias[(ptrdiff_t)row * e->bias_step + (ptrdiff_t)column];
    if (!linear)
        v = apply(e->function, v);
    if (e->factor)
        v *= (double)e->factor[row * e->ld_factor + column];
    return e->gate ? old + (double)e->gate[row * e->ld_gate + column] * (v - old) : v;
}

/* Returns the epilogue of one row, which is now at `y`. */
static MegaEpilogue ending_of_row(const Ending *ending, size_t row, const float *y)
{
    MegaEpilogue part = mega_epilogue_at(&ending->epilogue, row, 0);
    if (ending->adds_to_y)
        part.addend = y;
    return part;
}

/* Tests every function at all row lengths around the vector width, alone and with all other
 * parts. */
static void epilogues(void **state)
{
    Random random = {21};
    (void)state;
    for (size_t t = 0; t < tier_count; t++)
        for (int round = 0; round < 1000; round++) {
            size_t rows = (size_t)random_int(&random, 1, 4);
            size_t columns = (size_t)random_int(&random, 1, MAX_COLUMNS), n = rows * columns;
            float *y = guarded_floats(&random, n, -2, 2),
                  *sums = random_floats(&random, n, -12, 12);
            double *expected = calloc(n, sizeof *expected);
            Ending ending = random_ending(&random, rows, columns, y, columns);
            assert_non_null(expected);
            for (size_t i = 0; i < n; i++)
                expected[i] = end_sum(&ending, i / columns, i % columns, sums[i], y[i]);
            tiers[t]->finish(sums, columns, rows, columns, y, columns, &ending.epilogue);
            assert_close(y, expected, n, 1e-6);
            release_floats(y, n);
            free_ending(&ending);
            free(sums);
            free(expected);
        }
}

/* Covers the whole range of arguments, with erf tested by gelu and exp by sigmoid, and the
 * extremes. */
static void elementary_functions(void **state)
{
    enum { N = 200001 };
    float *x = malloc(N * sizeof *x);
    double *expected = malloc(N * sizeof *expected);
    const MegaEpilogue sigmoid = {.function = MEGA_FUNCTION_SIGMOID};
    (void)state;
    assert_true(x && expected);
    for (size_t t = 0; t < tier_count; t++) {
        for (int i = 0; i < N; i++) {
            x[i] = -100 + 200.0f * (float)i / N;
            expected[i] = 1 / (1 + exp(-(double)x[i]));
        }
        tiers[t]->finish(x, N, 1, N, x, N, &sigmoid);
        assert_close(x, expected, N, 2e-7);
        float extremes[] = {INFINITY, -INFINITY, 1e30f, -1e30f, NAN, 0};
        tiers[t]->finish(extremes, 6, 1, 6, extremes, 6, &sigmoid);
        const double limits[] = {1, 0, 1, 0, 0, 0.5};
        assert_true(isnan(extremes[4]));
        extremes[4] = 0;
        assert_close(extremes, limits, 6, 2e-7);

        float *zero = calloc(N, sizeof *zero);
        assert_non_null(zero);
        for (int i = 0; i < N; i++) {
            x[i] = -6 + 12.0f * (float)i / N;
            expected[i] = 0.5 * (1 + erf(((double)x[i] - 0.707107) / (0.282095 * sqrt(2.0))));
        }
        tiers[t]->attention(MEGA_ATTENTION_LAPLACE, x, N, 1.0f, zero);
        assert_close(x, expected, N, 4e-7);
        free(zero);
    }
    free(x);
    free(expected);
}

/* Tests a product in all its forms: rows from one to beyond the largest tile, columns to beyond the
 * most panels of a tile. */
static void matrix_product(const MegaKernels *kernels, Random *random, MegaDtype kind, bool ending,
                           bool same_bits)
{
    size_t rows = (size_t)random_int(random, 1, 29), k = (size_t)random_int(random, 1, 70);
    size_t out = (size_t)random_int(random, 1, 140), ldx = k + 3, ldy = out + 5;
    size_t bytes = (size_t)mega_packed_bytes(kind, out, k);
    float *x = random_floats(random, rows * ldx, -1, 1);
    float *weight = guarded_floats(random, out * k, -1, 1);
    float *panels = guarded_floats(random, bytes / sizeof *panels, -1, 1);
    float *y = guarded_floats(random, rows * ldy, -1, 1);
    double *expected = calloc(rows * ldy, sizeof *expected);
    uint16_t *half = malloc(out * k * sizeof *half);
    MegaPacked packed = {.panels = panels, .dtype = kind, .in = k, .out = out};
    assert_true(expected && half);
    if (kind != MEGA_F32) {
        MegaDtype dtype = kind == MEGA_F16 ? MEGA_F16 : MEGA_BF16;
        mega_dtype_from_f32(dtype, weight, out * k, half);
        mega_dtype_to_f32(dtype, half, out * k, weight);
    }
    if (kind == MEGA_F32)
        mega_panels_pack(kind, panels, weight, k * sizeof *weight, out, k);
    else
        mega_panels_pack(kind, panels, half, k * sizeof *half, out, k);
    Ending end = ending ? random_ending(random, rows, out, y, ldy) : (Ending){0};
    for (size_t r = 0; r < rows; r++)
        for (size_t c = 0; c < ldy; c++) {
            double sum = 0;
            for (size_t p = 0; p < k && c < out; p++)
                sum += (double)x[r * ldx + p] * weight[c * k + p];
            expected[r * ldy + c] = c < out ? end_sum(&end, r, c, sum, y[r * ldy + c])
                                            : y[r * ldy + c];
        }

    /* One row, or some columns, must give the same bits as in the whole product. */
    size_t row = (size_t)random_int(random, 0, (int)rows - 1);
    size_t first = (size_t)random_int(random, 0, (int)out - 1) / MEGA_PANEL * MEGA_PANEL;
    MegaPacked part = mega_packed_columns(&packed, first, 2 * MEGA_PANEL);
    float *alone = guarded_floats(random, out, 0, 0),
          *some = guarded_floats(random, part.out, 0, 0);
    memcpy(alone, y + row * ldy, out * sizeof *y);
    memcpy(some, y + row * ldy + first, part.out * sizeof *y);
    MegaEpilogue end_alone = ending_of_row(&end, row, alone);
    MegaEpilogue end_some = ending_of_row(&end, row, some - first);
    end_some = mega_epilogue_at(&end_some, 0, first);
    mega_matmul(kernels, &packed, x, ldx, rows, y, ldy, &end.epilogue);
    assert_close(y, expected, rows * ldy, kernels == emulated_amx() ? 1e-4 : 1e-5);
    mega_matmul(kernels, &packed, x + row * ldx, ldx, 1, alone, ldy, &end_alone);
    mega_matmul(kernels, &part, x + row * ldx, ldx, 1, some, ldy, &end_some);
    if (same_bits) {
        assert_memory_equal(alone, y + row * ldy, out * sizeof *alone);
        assert_memory_equal(some, y + row * ldy + first, part.out * sizeof *some);
    }
    release_floats(some, part.out);
    free_ending(&end);
    release_floats(alone, out);
    release_floats(weight, out * k);
    release_floats(panels, bytes / sizeof *panels);
    release_floats(y, rows * ldy);
    free(x);
    free(expected);
    free(half);
}

static void matrix_products(void **state)
{
    Random random = {26};
    (void)state;
    for (size_t t = 0; t < tier_count; t++)
        for (int round = 0; round < 300; round++)
            matrix_product(tiers[t], &random, (MegaDtype)(round % 3), round % 2, true);
}

static double norm(const double *x, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += x[i] * x[i];
    return sqrt(sum);
}

/* Returns the numbers that the integers of a row represent. */
static void quantized_row(const float *x, size_t n, double *out)
{
    for (size_t i = 0; i < n; i++) {
        double scale = 0;
        for (size_t j = i / MEGA_SCALE_BLOCK * MEGA_SCALE_BLOCK;
             j < n && j / MEGA_SCALE_BLOCK == i / MEGA_SCALE_BLOCK; j++)
            scale = fmax(scale, fabs((double)x[j]) / 127);
        out[i] = scale > 0 ? rint(x[i] / scale) * scale : 0;
    }
}

/* Returns out [rows][columns] = x [rows][k] weight [columns][k]^T. */
static double *plain_product(const double *x, const double *weight, size_t rows, size_t k,
                             size_t columns)
{
    double *out = calloc(rows * columns, sizeof *out);
    assert_non_null(out);
    for (size_t r = 0; r < rows; r++)
        for (size_t c = 0; c < columns; c++)
            for (size_t p = 0; p < k; p++)
                out[r * columns + c] += x[r * k + p] * weight[c * k + p];
    return out;
}

static double *to_doubles(const float *x, size_t n)
{
    double *out = malloc(n * sizeof *out);
    assert_non_null(out);
    for (size_t i = 0; i < n; i++)
        out[i] = x[i];
    return out;
}

/* Packs weight [out][k] as integers, and replaces it by the numbers that they represent. */
static void pack_integers(MegaDtype kind, float *weight, size_t out, size_t k, void *panels)
{
    size_t row_bytes = (size_t)mega_dtype_items(kind, k) * mega_dtype_traits((int)kind)->item_size;
    unsigned char *blocks = malloc(out * row_bytes);
    assert_non_null(blocks);
    for (size_t c = 0; c < out; c++) {
        mega_dtype_from_f32(kind, weight + c * k, k, blocks + c * row_bytes);
        mega_dtype_to_f32(kind, blocks + c * row_bytes, k, weight + c * k);
    }
    mega_panels_pack(kind, panels, blocks, row_bytes, out, k);
    free(blocks);
}

/* Makes all numbers as large as they get, so that sums which saturate would show. With `alike`, all
 * products of a row have one sign, and weights of 4 bits are 7 but for one of a block, which is
 * -8. */
static void make_large(float *x, size_t rows, float *weight, size_t out, size_t k, bool alike)
{
    for (size_t i = 0; i < rows * k; i++)
        x[i] = alike ? i / k % 2 ? -1 : 1 : i % 3 ? -1 : 1;
    for (size_t i = 0; i < out * k; i++)
        weight[i] = alike ? i % k % 32 ? 0.4375f : -0.5f : i % 5 ? -0.5f : 0.5f;
}

/* Tests products of integers, with `worst` of large ones. */
static void integer_product(const MegaKernels *kernels, Random *random, MegaDtype kind,
                            size_t most_rows, size_t most_k, bool ending, bool worst)
{
    size_t rows = (size_t)random_int(random, 1, (int)most_rows);
    size_t k = (size_t)random_int(random, (int)most_k / 2, (int)most_k);
    size_t out = (size_t)random_int(random, 1, 50), ldy = out + 5;
    size_t bytes = (size_t)mega_packed_bytes(kind, out, k);
    float *x = random_floats(random, rows * k, -1, 1);
    float *weight = random_floats(random, out * k, -1, 1);
    float *panels = guarded_floats(random, bytes / sizeof *panels, -1, 1);
    float *y = guarded_floats(random, rows * ldy, -1, 1),
          *alone = guarded_floats(random, out, 0, 0);
    double *expected = to_doubles(y, rows * ldy), *rounded_x = malloc(rows * k * sizeof *rounded_x);
    MegaPacked packed = {.panels = panels, .dtype = kind, .in = k, .out = out};
    assert_non_null(rounded_x);
    if (worst)
        make_large(x, rows, weight, out, k, random_int(random, 0, 1));
    double *exact_x = to_doubles(x, rows * k), *exact_weight = to_doubles(weight, out * k);
    pack_integers(kind, weight, out, k, panels);
    double *rounded_weight = to_doubles(weight, out * k);
    for (size_t r = 0; r < rows; r++)
        quantized_row(x + r * k, k, rounded_x + r * k);
    double *exact = plain_product(exact_x, exact_weight, rows, k, out);
    double *rounded = plain_product(rounded_x, rounded_weight, rows, k, out);
    Ending end = ending ? random_ending(random, rows, out, y, ldy) : (Ending){0};
    if (k > 65536)
        end.epilogue.gate = NULL;
    for (size_t r = 0; r < rows; r++)
        for (size_t c = 0; c < out; c++)
            expected[r * ldy + c] = end_sum(&end, r, c, rounded[r * out + c], y[r * ldy + c]);
    size_t row = (size_t)random_int(random, 0, (int)rows - 1);
    memcpy(alone, y + row * ldy, out * sizeof *y);
    MegaEpilogue end_alone = ending_of_row(&end, row, alone);
    mega_matmul(kernels, &packed, x, k, rows, y, ldy, &end.epilogue);
    /* a number between two integers may be rounded to either */
    assert_close(y, expected, rows * ldy, 1e-2);
    mega_matmul(kernels, &packed, x + row * k, k, 1, alone, ldy, &end_alone);
    assert_memory_equal(alone, y + row * ldy, out * sizeof *alone);
    free_ending(&end);

    double size = norm(exact, rows * out);
    for (size_t i = 0; i < rows * out; i++)
        exact[i] -= rounded[i];
    /* The usual errors are 6e-3 and 7e-2, and larger where few rows of weights have large errors by
     * chance. Large numbers are not normally distributed, nor are their errors. */
    double tolerance = kind == MEGA_Q8 ? 1e-2 : 1e-1;
    assert_true(worst || rows * out < 100 || norm(exact, rows * out) <= tolerance * size);

    release_floats(alone, out);
    release_floats(panels, bytes / sizeof *panels);
    release_floats(y, rows * ldy);
    float *const floats[] = {x, weight};
    double *const doubles[] = {expected, rounded_x,      exact_x, exact_weight,
                               exact,    rounded_weight, rounded};
    for (size_t i = 0; i < sizeof floats / sizeof floats[0]; i++)
        free(floats[i]);
    for (size_t i = 0; i < sizeof doubles / sizeof doubles[0]; i++)
        free(doubles[i]);
}

static void integer_products(void **state)
{
    (void)state;
    for (size_t t = 0; t < tier_count; t++) {
        Random random = {27}; /* the same numbers on every machine */
        for (int round = 0; round < 80; round++)
            integer_product(tiers[t], &random, round % 2 ? MEGA_Q8 : MEGA_Q4, 37,
                            round % 3 ? 1500 : 2, round / 2 % 2, round / 2 % 4 == 3);
        for (int round = 0; round < 4; round++) /* such rows are quantized in pieces */
            integer_product(tiers[t], &random, round % 2 ? MEGA_Q8 : MEGA_Q4, 2, 140000, round / 2,
                            false);
    }
}

/* Numbers without an integer make a row's results NaN; other rows stay right. */
static void not_a_number(void **state)
{
    enum { K = 70, OUT = 20 };
    const float wrong[] = {NAN, -NAN, INFINITY, -INFINITY};
    Random random = {31};
    (void)state;
    for (size_t t = 0; t < tier_count; t++)
        for (size_t i = 0; i < 2 * 4; i++) {
            MegaDtype kind = i < 4 ? MEGA_Q8 : MEGA_Q4;
            float *weight = random_floats(&random, OUT * K, -1, 1);
            float *x = random_floats(&random, 2 * K, -1, 1), y[2 * OUT], alone[OUT];
            void *panels = malloc((size_t)mega_packed_bytes(kind, OUT, K));
            MegaPacked packed = {.panels = panels, .dtype = kind, .in = K, .out = OUT};
            assert_non_null(panels);
            pack_integers(kind, weight, OUT, K, panels);
            x[40] = wrong[i % 4];
            mega_matmul(tiers[t], &packed, x, K, 2, y, OUT, &(MegaEpilogue){0});
            mega_matmul(tiers[t], &packed, x + K, K, 1, alone, OUT, &(MegaEpilogue){0});
            for (size_t c = 0; c < OUT; c++)
                assert_false(isfinite(y[c]));
            assert_memory_equal(y + OUT, alone, sizeof alone);
            free(weight);
            free(x);
            free(panels);
        }
}

static void products_by_openblas(void **state)
{
    Random random = {28};
    const MegaKernels *kernels = mega_kernels_by_name("openblas");
    (void)state;
    if (!MEGA_WITH_OPENBLAS) {
        assert_null(kernels);
        skip();
    }
    assert_non_null(kernels);
    for (int round = 0; round < 60; round++)
        matrix_product(kernels, &random, (MegaDtype)(round % 3), round % 2, false);
}

/* Tests every length around the vector width and around an output layer's block. Numbers that are
 * not finite must show in the result. */
static void sums_of_exponentials(void **state)
{
    Random random = {29};
    (void)state;
    for (size_t t = 0; t < tier_count; t++)
        for (size_t n = 1; n <= 70; n++) {
            float *x = random_floats(&random, n, -30, 30), top = 0, largest = -INFINITY;
            double expected = 0;
            for (size_t i = 0; i < n; i++)
                largest = fmaxf(largest, x[i]);
            for (size_t i = 0; i < n; i++)
                expected += exp((double)x[i] - (double)largest);
            double sum = (double)tiers[t]->exp_sum(x, n, &top);
            assert_true(top == largest);
            assert_true(fabs(sum - expected) <= 1e-6 * expected);
            const float wrong[] = {NAN, INFINITY, -INFINITY};
            for (int i = 0; i < 3; i++) {
                x[n / 2] = wrong[i];
                assert_true(isnan(tiers[t]->exp_sum(x, n, &top)));
            }
            free(x);
        }
}

/* Tests every half-precision number there is, by a product with one. */
static void half_weights(void **state)
{
    enum { N = 65536 };
    uint16_t *half = malloc(N * sizeof *half), *panels = malloc(N * sizeof *panels);
    float *y = malloc(N * sizeof *y), *expected = malloc(N * sizeof *expected);
    const float one = 1;
    (void)state;
    assert_true(half && panels && y && expected);
    for (int i = 0; i < N; i++)
        half[i] = (uint16_t)i;
    for (size_t t = 0; t < tier_count; t++)
        for (int kind = MEGA_F16; kind <= MEGA_BF16; kind++) {
            MegaPacked packed = {.panels = panels, .dtype = (MegaDtype)kind, .in = 1, .out = N};
            mega_dtype_to_f32(kind == MEGA_F16 ? MEGA_F16 : MEGA_BF16, half, N, expected);
            mega_panels_pack(packed.dtype, panels, half, sizeof *half, N, 1);
            mega_matmul(tiers[t], &packed, &one, 1, 1, y, N, &(MegaEpilogue){0});
            for (int i = 0; i < N; i++)
                assert_true(isnan(expected[i]) ? isnan(y[i]) : y[i] == expected[i]);
        }
    free(half);
    free(panels);
    free(y);
    free(expected);
}

static void norms(void **state)
{
    Random random = {22};
    (void)state;
    for (size_t t = 0; t < tier_count; t++)
        for (size_t columns = 1; columns <= MAX_COLUMNS; columns++)
            for (int affine = 0; affine < 2; affine++) {
                float *x = guarded_floats(&random, 2 * columns, -3, 5);
                float *y = guarded_floats(&random, 2 * columns, 0, 0);
                float *weight = random_floats(&random, columns, -2, 2);
                float *bias = random_floats(&random, columns, -2, 2);
                MegaNormWeights weights = {affine ? weight : NULL, affine ? bias : NULL, NULL,
                                           NULL};
                double *expected = calloc(2 * columns, sizeof *expected);
                assert_non_null(expected);
                for (MegaNormKind kind = MEGA_NORM_LAYER; kind <= MEGA_NORM_RMS; kind++) {
                    for (size_t i = 0; i < 2 * columns; i++)
                        expected[i] = x[i];
                    MegaNormWeights w = weights;
                    if (kind != MEGA_NORM_LAYER)
                        w.bias = NULL;
                    for (size_t row = 0; row < 2; row++)
                        reference_norm(kind, &w, columns, expected + row * columns);
                    if (kind == MEGA_NORM_LAYER)
                        tiers[t]->layer_norm(x, 2, columns, w.weight, w.bias, y);
                    else if (kind == MEGA_NORM_RMS)
                        tiers[t]->rms_norm(x, 2, columns, w.weight, 1, y);
                    else
                        tiers[t]->rms_norm(x, 2, columns, NULL, affine ? weight[0] : 1, y);
                    assert_close(y, expected, 2 * columns, 2e-6);
                }
                release_floats(x, 2 * columns);
                release_floats(y, 2 * columns);
                free(weight);
                free(bias);
                free(expected);
            }
}

static void complex_numbers(void **state)
{
    Random random = {31};
    (void)state;
    for (size_t t = 0; t < tier_count; t++)
        for (size_t n = 1; n <= MAX_COLUMNS; n++) {
            float *a = guarded_floats(&random, 2 * n, -2, 2),
                  *b = random_floats(&random, 2 * n, -2, 2);
            float *x = random_floats(&random, n, -2, 2),
                  *out = guarded_floats(&random, 2 * n, 0, 0);
            float *y = guarded_floats(&random, n, 0, 0);
            double product[2 * MAX_COLUMNS], turned[2 * MAX_COLUMNS], back[MAX_COLUMNS];
            for (size_t i = 0; i < 2 * n; i += 2) {
                const double re = a[i], im = a[i + 1], c = b[i], d = b[i + 1];
                product[i] = re * c - im * d;
                product[i + 1] = re * d + im * c;
                turned[i] = (double)x[i / 2] * (double)b[0];
                turned[i + 1] = (double)x[i / 2] * (double)b[1];
                back[i / 2] = re * (double)b[0] - im * (double)b[1];
            }
            tiers[t]->scale_to_complex(x, n, b, out);
            assert_close(out, turned, 2 * n, 1e-6);
            tiers[t]->scale_to_real(a, n, b, y);
            assert_close(y, back, n, 1e-6);
            tiers[t]->multiply_complex(a, b, n, out);
            assert_close(out, product, 2 * n, 1e-6);
            for (size_t i = 1; i < 2 * n; i += 2)
                product[i] = -product[i];
            tiers[t]->multiply_conjugate(a, b, n, a);
            assert_close(a, product, 2 * n, 1e-6);
            release_floats(a, 2 * n);
            release_floats(out, 2 * n);
            release_floats(y, n);
            free(b);
            free(x);
        }
}

/* Transposes matrices of all small shapes, whose rows lie apart. */
static void transposed(void **state)
{
    Random random = {33};
    (void)state;
    for (size_t t = 0; t < tier_count; t++)
        for (size_t round = 0; round < 12 * 12; round++) {
            const size_t rows = 1 + round / 12, columns = 1 + round % 12;
            const size_t ldx = columns + round % 3, ldo = rows + round % 5;
            const size_t floats = (columns - 1) * ldo + rows;
            float *x = random_floats(&random, rows * ldx, -1, 1);
            float *out = guarded_floats(&random, floats, 2, 2);
            tiers[t]->transpose(x, ldx, rows, columns, out, ldo);
            for (size_t i = 0; i < floats; i++)
                assert_true(out[i] == (i % ldo < rows ? x[i % ldo * ldx + i / ldo] : 2));
            release_floats(out, floats);
            free(x);
        }
}

static void element_wise(void **state)
{
    Random random = {24};
    (void)state;
    for (size_t t = 0; t < tier_count; t++)
        for (size_t n = 1; n <= MAX_COLUMNS; n++) {
            float *x = guarded_floats(&random, n, -2, 2);
            float *u = random_floats(&random, n, 0, 1), *h = random_floats(&random, n, -2, 2);
            double expected[MAX_COLUMNS];
            for (size_t i = 0; i < n; i++)
                expected[i] = ((double)x[i] * h[i] + u[i]) * h[i] + u[i];
            tiers[t]->affine(x, 1, n, h, u, x);
            tiers[t]->multiply(x, h, n);
            tiers[t]->add(x, u, n);
            assert_close(x, expected, n, 1e-6);
            release_floats(x, n);
            free(u);
            free(h);
        }
}

/* Tests one step of `rows` sequences that continue others, or of one sequence over `rows` steps. */
static void ema_step_case(const MegaKernels *kernels, Random *random, size_t width, bool across,
                          bool truncated)
{
    enum { STATES = 2 * MEGA_EMA_GROUP, ROWS = 3 };
    size_t size = mega_ema_state_floats(width, STATES), n = STATES * width, y_size = ROWS * width;
    float *q = random_floats(random, n, 0.2f, 0.9f), *w = random_floats(random, n, -1, 1);
    float *qt = random_floats(random, n, 0, 0.5f), *x = random_floats(random, y_size, -1, 1);
    float *gone = random_floats(random, y_size, -1, 1), *y = guarded_floats(random, y_size, -1, 1);
    float *from = calloc(ROWS * size, sizeof *from),
          *to = guarded_floats(random, ROWS * size, -1, 1);
    double *expected = calloc(y_size, sizeof *expected), *states = calloc(ROWS * n, sizeof *states);
    const size_t parents[ROWS] = {2, 0, 2};
    assert_true(from && expected && states);
#define PLACE(row, c, s)                                                                           \
    ((row) * size + ((c) / MEGA_PANEL * STATES + (s)) * MEGA_PANEL + (c) % MEGA_PANEL)
    for (size_t row = 0; row < ROWS; row++)
        for (size_t c = 0; c < width; c++)
            for (size_t s = 0; s < STATES; s++)
                from[PLACE(row, c, s)] = (float)random_int(random, -100, 100) / 50;
    for (size_t row = 0; row < ROWS; row++)
        for (size_t c = 0; c < width; c++)
            for (size_t s = 0; s < STATES; s++) {
                double old = across ? (double)from[PLACE(parents[row], c, s)]
                             : row == 0
                                 ? (double)from[PLACE(0, c, s)]
                                 : states[((row - 1) * width + c) * STATES + s];
                double in = (double)x[row * width + c] -
                            (truncated ? (double)qt[s * width + c] * gone[row * width + c] : 0);
                double new = q[s * width + c] * old + in;
                states[(row * width + c) * STATES + s] = new;
                expected[row * width + c] += w[s * width + c] * new;
            }
    for (size_t first = 0; first < width; first += (size_t)kernels->lanes) {
        size_t left = width - first, lanes = (size_t)kernels->lanes;
        const MegaEmaStep step = {.x = x, .lagged = truncated ? gone : NULL, .y = y, .rows = ROWS,
                                  .width = width, .q = q, .w = w, .qt = truncated ? qt : NULL,
                                  .states = STATES, .ema_stride = width, .from = from, .to = to,
                                  .parents = across ? parents : NULL};
        kernels->ema_step(&step, first, left < lanes ? left : lanes);
    }
    assert_close(y, expected, y_size, 2e-6);
    for (size_t row = across ? 0 : ROWS - 1; row < ROWS; row++)
        for (size_t c = 0; c < width; c++)
            for (size_t s = 0; s < STATES; s++) {
                double new = states[(row * width + c) * STATES + s];
                assert_true(fabs((double)to[PLACE(across ? row : 0, c, s)] - new) <= 1e-5);
            }
#undef PLACE
    release_floats(y, y_size);
    release_floats(to, ROWS * size);
    float *const floats[] = {q, w, qt, x, gone, from};
    for (size_t i = 0; i < sizeof floats / sizeof floats[0]; i++)
        free(floats[i]);
    free(expected);
    free(states);
}

static void ema_steps(void **state)
{
    Random random = {30};
    (void)state;
    for (size_t t = 0; t < tier_count; t++)
        for (size_t width = 1; width <= MAX_COLUMNS; width++)
            for (int kind = 0; kind < 4; kind++)
                ema_step_case(tiers[t], &random, width, kind % 2, kind / 2);
}

int main(void)
{
    tier_count = test_tiers(tiers);
    for (size_t i = 0; i < tier_count; i++)
        printf("tier %s\n", tiers[i]->name);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(epilogues),
        cmocka_unit_test(elementary_functions),
        cmocka_unit_test(norms),
        cmocka_unit_test(element_wise),
        cmocka_unit_test(matrix_products),
        cmocka_unit_test(integer_products),
        cmocka_unit_test(not_a_number),
        cmocka_unit_test(products_by_openblas),
        cmocka_unit_test(sums_of_exponentials),
        cmocka_unit_test(half_weights),
        cmocka_unit_test(complex_numbers),
        cmocka_unit_test(transposed),
        cmocka_unit_test(ema_steps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
