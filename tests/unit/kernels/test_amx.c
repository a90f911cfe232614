/*
 * test_amx.c - the products in tiles (src/kernels/amx_tmpl.h), over the emulated unit: its
 * instructions, products of floats in double precision and of integers bit by bit, and which
 * machines have a unit that suits.
 */
#include "tests/unit/support.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "src/kernels/matmul.h"
#include "src/kernels/forms.h"
#include "tests/unit/tiers.h"
#include "tests/unit/tile_unit.h"
#if defined(__x86_64__)
#include "src/kernels/x86/tile_unit.h"
#endif

/* ---- Instructions ---------------------------------------------------------------------------- */

/* Configures tile 0 for sums [m][n], tile 1 for x and tile 2 for w, with `pairs` numbers of 32 bits
 * along k. */
static void configure(unsigned m, unsigned n, unsigned pairs)
{
    unsigned char config[64] = {1};
    const unsigned bytes[] = {4 * n, 4 * pairs, 4 * n}, rows[] = {m, m, pairs};
    for (int i = 0; i < 3; i++) {
        config[16 + 2 * i] = (unsigned char)bytes[i];
        config[48 + i] = (unsigned char)rows[i];
    }
    tile_configure(config);
}

static uint16_t bf16(float value)
{
    uint16_t half;
    mega_dtype_from_f32(MEGA_BF16, &value, 1, &half);
    return half;
}

/* Adds to `start` the products of x [2 * pairs] with w, in the order of TDPBF16PS. */
static float dot(const float *x, const float *w, unsigned pairs, float start)
{
    uint16_t rows[2][32] = {{0}}, columns[16][6] = {{0}};
    float sums[2][3] = {{0, 0, start}};
    for (unsigned i = 0; i < 2 * pairs; i++) {
        rows[0][i] = bf16(x[i]);
        columns[i / 2][4 + i % 2] = bf16(w[i]);
    }
    configure(2, 3, pairs);
    tile_load(0, sums, sizeof sums[0]);
    tile_load(1, rows, sizeof rows[0]);
    tile_load(2, columns, sizeof columns[0]);
    tile_multiply_bf16(0, 1, 2);
    tile_store(0, sums, sizeof sums[0]);
    tile_release();
    for (int i = 0; i < 3; i++)
        assert_true(sums[1][i] == 0);
    return sums[0][2];
}

static void multiplies_bf16(void **state)
{
    const float ones[] = {1, 1, 1, 1}, down = 0x1p-24f, tiny = 0x1p-100f;
    (void)state;
    assert_true(dot((float[]){1, 2, 3, 4}, (float[]){5, 6, 7, 8}, 2, 9) == 79);
    /* even and odd numbers have a sum each, so that the halves of the last place meet */
    assert_true(dot((float[]){down, 0, down, 1}, ones, 2, 0) == 1 + 0x1p-23f);
    assert_true(dot((float[]){1, 0, down, 0}, ones, 2, 0) == 1); /* ties go to even */
    assert_true(dot((float[]){1, 0, down, down}, ones, 2, 0) == 1);
    /* the sum of the products is rounded before it meets what was there */
    assert_true(dot((float[]){down, down, 0, 0}, ones, 2, 1) == 1 + 0x1p-23f);
    assert_true(dot((float[]){1, down, 0, 0}, ones, 2, -1) == 0);
    /* subnormal numbers: read as 0, and written as 0 */
    assert_true(dot((float[]){0x1p-127f, 0, 0, 0}, (float[]){0x1p100f, 1, 1, 1}, 2, 0) == 0);
    assert_true(dot((float[]){tiny, 0, 0, 0}, (float[]){0x1p-27f, 1, 1, 1}, 2, 0) == 0);
    assert_true(dot((float[]){tiny, 0, 0, 0}, (float[]){0x1p-26f, 1, 1, 1}, 2, 0) == FLT_MIN);
    assert_true(dot((float[]){0, 0, 0, 0}, ones, 2, 0x1p-127f) == 0);
    /* each multiply-add flushes: two halves of the least normal number are 0, not that number */
    assert_true(dot((float[]){tiny, 0, tiny, 0}, (float[]){0x1p-27f, 1, 0x1p-27f, 1}, 2, 0) == 0);
    assert_true(isnan(dot((float[]){INFINITY, 0, -INFINITY, 0}, ones, 2, 0)));
    assert_true(dot((float[]){INFINITY, 0, 1, 0}, ones, 2, 0) == INFINITY);
    /* a product beyond the largest number is infinite, but not if its sum fits: it is fused */
    assert_true(dot((float[]){-0x1p127f, 0, 0x1p127f, 0}, (float[]){1, 1, 2, 1}, 2, 0) == 0x1p127f);
}

static float flushed(float value)
{
    return fabsf(value) < FLT_MIN ? copysignf(0, value) : value;
}

/* Returns sum + x w for numbers of bf16, one number at a time; w has `step` numbers from pair to
 * pair. */
static float one_by_one(const uint16_t *x, const uint16_t *w, size_t step, unsigned pairs,
                        float sum)
{
    float parts[2] = {0}, a, b;
    for (unsigned k = 0; k < 2 * pairs; k++) {
        mega_dtype_to_f32(MEGA_BF16, &x[k], 1, &a);
        mega_dtype_to_f32(MEGA_BF16, &w[k / 2 * step + k % 2], 1, &b);
        parts[k % 2] = flushed(fmaf(flushed(a), flushed(b), parts[k % 2]));
    }
    return flushed(flushed(sum) + flushed(parts[0] + parts[1]));
}

/* Fills numbers of bf16 with exponents from `least` on, as many as `range`. One in eight is 0, or
 * subnormal. */
static void random_bf16(Random *random, uint16_t *out, size_t n, unsigned least, unsigned range)
{
    for (size_t i = 0; i < n; i++) {
        const unsigned bits = random_bits(random);
        const unsigned exponent = least + (unsigned)random_int(random, 0, (int)range - 1);
        const bool none = random_int(random, 1, 8) == 1;
        out[i] = (uint16_t)((bits & 0x8000) | (none ? 0 : exponent << 7) |
                            (none && bits & 1 ? 0 : bits & 0x7f));
    }
}

/* Vectors of the emulation have the bits of single multiply-adds: with exponents with which neither
 * fusing nor flushing matters, with others, and with those on the edge. */
static void vectors_multiply_like_single_numbers(void **state)
{
    static const struct {
        unsigned least[2], range[2]; /* of the exponents of x and of w; 255 is infinite or NaN */
    } cases[] = {{{120, 110}, {12, 20}}, {{71, 71}, {1, 1}},    {{71, 70}, {1, 1}},
                 {{71, 71}, {9, 50}},    {{60, 60}, {60, 60}},  {{1, 1}, {254, 254}},
                 {{186, 185}, {1, 1}},   {{186, 186}, {1, 1}},  {{180, 180}, {12, 12}},
                 {{100, 250}, {30, 6}},  {{253, 1}, {3, 3}},    {{20, 110}, {30, 12}}};
    Random random = {50};
    (void)state;
    for (size_t i = 0; i < 4 * (sizeof cases / sizeof cases[0]); i++) {
        uint16_t x[16][32], w[16][32];
        float before[16][16], after[16][16];
        random_bf16(&random, x[0], 16 * 32, cases[i / 4].least[0], cases[i / 4].range[0]);
        random_bf16(&random, w[0], 16 * 32, cases[i / 4].least[1], cases[i / 4].range[1]);
        memset(x[i % 16], 0, sizeof x[0]);
        for (int j = 0; j < 16 * 16; j++)
            before[j / 16][j % 16] = ldexpf((float)random_int(&random, -100, 100),
                                            random_int(&random, -150, 149));
        configure(16, 16, 16);
        tile_load(0, before, sizeof before[0]);
        tile_load(1, x, sizeof x[0]);
        tile_load(2, w, sizeof w[0]);
        tile_multiply_bf16(0, 1, 2);
        tile_store(0, after, sizeof after[0]);
        tile_release();
        for (int m = 0; m < 16; m++)
            for (int n = 0; n < 16; n++) {
                const float expected = one_by_one(x[m], &w[0][2 * n], 32, 16, before[m][n]);
                if (isnan(expected))
                    assert_true(isnan(after[m][n]));
                else
                    assert_memory_equal(&after[m][n], &expected, sizeof expected);
            }
    }
}

static void multiplies_bytes(void **state)
{
    int8_t x[2][8], w[2][12];
    int32_t sums[2][3] = {{0, 1, INT32_MAX}, {-5, 0, 0}};
    (void)state;
    for (int i = 0; i < 8; i++) {
        x[0][i] = -128;
        x[1][i] = (int8_t)(i + 1);
    }
    for (int i = 0; i < 24; i++)
        w[i / 12][i % 12] = (int8_t)(i % 12 < 4 ? -128 : i % 12 < 8 ? 127 : i / 12 - 1);
    configure(2, 3, 2);
    tile_load(0, sums, sizeof sums[0]);
    tile_load(1, x, sizeof x[0]);
    tile_load(2, w, sizeof w[0]);
    tile_multiply_bytes(0, 1, 2);
    tile_store(0, sums, sizeof sums[0]);
    tile_release();
    assert_int_equal(sums[0][0], 8 * 128 * 128);
    assert_int_equal(sums[0][1], 1 - 8 * 128 * 127);
    assert_int_equal(sums[0][2], INT32_MIN + 511); /* 4 * 128 more than the largest integer */
    assert_int_equal(sums[1][0], -5 - 36 * 128);
    assert_int_equal(sums[1][1], 36 * 127);
    assert_int_equal(sums[1][2], -10);
}

/* ---- Floats ---------------------------------------------------------------------------------- */

typedef struct Matrix {
    size_t k, out;
    float *weight; /* [out][k], as they are stored */
    void *panels;
    MegaPacked packed;
} Matrix;

/* Stores the weights, and replaces them by what is stored. */
static void pack_matrix(Matrix *m, MegaDtype dtype)
{
    const size_t k = m->k, item = mega_dtype_traits((int)dtype)->item_size;
    const size_t size = (size_t)mega_dtype_items(dtype, k) * item;
    char *items = malloc(size * m->out);
    assert_non_null(items);
    for (size_t c = 0; c < m->out; c++) {
        mega_dtype_from_f32(dtype, m->weight + c * k, k, items + c * size);
        mega_dtype_to_f32(dtype, items + c * size, k, m->weight + c * k);
    }
    mega_panels_pack(dtype, m->panels, items, size, m->out, k);
    free(items);
}

static Matrix random_matrix(Random *random, MegaDtype dtype, size_t k, size_t out)
{
    Matrix m = {.k = k, .out = out, .weight = random_floats(random, k * out, -1, 1)};
    m.panels = malloc((size_t)mega_packed_bytes(dtype, out, k));
    assert_non_null(m.panels);
    m.packed = (MegaPacked){.panels = m.panels, .dtype = dtype, .in = k, .out = out};
    pack_matrix(&m, dtype);
    return m;
}

static void free_matrix(Matrix *m)
{
    free(m->weight);
    free(m->panels);
}

/* Fails unless a product is as exact as `tolerance` says, relative to the sum of the magnitudes of
 * its terms, and unless each row alone has the same bits. */
static void check_product(const MegaKernels *kernels, const Matrix *m, const float *x, size_t rows,
                          double tolerance)
{
    const size_t k = m->k, out = m->out;
    float *y = malloc(rows * out * sizeof *y), *alone = malloc(out * sizeof *alone);
    assert_true(y && alone);
    mega_matmul(kernels, &m->packed, x, k, rows, y, out, &(MegaEpilogue){0});
    for (size_t r = 0; r < rows; r++)
        for (size_t c = 0; c < out; c++) {
            double sum = 0, magnitude = 0;
            for (size_t p = 0; p < k; p++) {
                const double term = (double)x[r * k + p] * (double)m->weight[c * k + p];
                sum += term;
                magnitude += fabs(term);
            }
            if (!(fabs((double)y[r * out + c] - sum) <= tolerance * magnitude))
                fail_msg("[%zu][%zu] is %.9g, expected %.9g", r, c, (double)y[r * out + c], sum);
        }
    for (size_t r = 0; r < rows; r += rows > 8 ? 7 : 1) {
        mega_matmul(kernels, &m->packed, x + r * k, k, 1, alone, out, &(MegaEpilogue){0});
        assert_memory_equal(alone, y + r * out, out * sizeof *alone);
    }
    free(y);
    free(alone);
}

/* Tests sizes around each block: rows of a tile and of a piece of x, a step and a block of weights
 * along k, a piece of x along k, and panels. */
static void splits_floats(void **state)
{
    static const struct {
        size_t rows, k, out;
    } shapes[] = {{1, 16, 1},    {3, 31, 16},   {16, 32, 17},  {17, 33, 32},  {32, 64, 33},
                  {33, 255, 48}, {40, 256, 20}, {24, 257, 64}, {130, 60, 60}, {129, 700, 18},
                  {2, 512, 200}, {35, 4096, 3}, {18, 4130, 5}, {1, 8200, 2}};
    Random random = {51};
    (void)state;
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        const size_t rows = shapes[i].rows, k = shapes[i].k;
        Matrix m = random_matrix(&random, (MegaDtype)(i % 3), k, shapes[i].out);
        float *x = random_floats(&random, rows * k, -3, 3);
        check_product(emulated_amx(), &m, x, rows, 0x1p-15);
        free_matrix(&m);
        free(x);
    }
}

static void round_to_bf16(float *x, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const uint32_t bits = (uint32_t)bf16(x[i]) << 16;
        memcpy(&x[i], &bits, sizeof bits);
    }
}

/* A product in bf16 is off by the rounding of its factors, and by no more than a sum in float32 if
 * these are numbers of bf16. */
static void rounds_floats(void **state)
{
    enum { ROWS = 20, K = 300 };
    Random random = {52};
    (void)state;
    for (MegaDtype dtype = MEGA_F32; dtype <= MEGA_BF16; dtype++) {
        Matrix m = random_matrix(&random, dtype, K, 50);
        float *x = random_floats(&random, ROWS * K, -3, 3);
        check_product(emulated_amx_bf16(), &m, x, ROWS, 0x1p-7);
        round_to_bf16(x, ROWS * K);
        round_to_bf16(m.weight, m.k * m.out);
        pack_matrix(&m, dtype);
        check_product(emulated_amx_bf16(), &m, x, ROWS, 1e-6);
        free_matrix(&m);
        free(x);
    }
}

/* A number that is not finite shows in the results of its row, and only there; the largest finite
 * ones do no harm. */
static void extreme_floats(void **state)
{
    enum { ROWS = 5, K = 40, OUT = 20 };
    /* two infinities, and several NaN, of which rounding could make -0 or infinity */
    const uint32_t wrong[] = {0x7f800000, 0xff800000, 0x7fc00000, 0x7fffffff, 0xffffffff,
                              0x7f800001};
    Random random = {53};
    Matrix m = random_matrix(&random, MEGA_F32, K, OUT);
    float *x = random_floats(&random, ROWS * K, -1, 1), y[ROWS * OUT], expected[ROWS * OUT];
    (void)state;
    mega_matmul(emulated_amx(), &m.packed, x, K, ROWS, expected, OUT, &(MegaEpilogue){0});
    for (size_t i = 0; i < 6 * K; i++) {
        const float before = x[2 * K + i % K];
        memcpy(&x[2 * K + i % K], &wrong[i / K], sizeof wrong[0]);
        mega_matmul(emulated_amx(), &m.packed, x, K, ROWS, y, OUT, &(MegaEpilogue){0});
        for (size_t r = 0; r < ROWS; r++)
            for (size_t c = 0; c < OUT; c++)
                assert_true(r == 2 ? isnan(y[r * OUT + c])
                                   : y[r * OUT + c] == expected[r * OUT + c]);
        x[2 * K + i % K] = before;
    }
    for (size_t i = 0; i < ROWS * K; i++)
        x[i] = i % 2 ? FLT_MAX : -FLT_MAX;
    for (size_t i = 0; i < OUT * K; i++)
        m.weight[i] = ldexpf((float)(i % 7) - 3, -20);
    mega_panels_pack(MEGA_F32, m.panels, m.weight, K * sizeof(float), OUT, K);
    check_product(emulated_amx(), &m, x, ROWS, 0x1p-14);
    free_matrix(&m);
    free(x);
}

/* Weights that were prepared give the bits of those that every product splits, also where a product
 * takes some columns only. Panels that are not the model's have no form. */
static void prepared_weights_change_no_bit(void **state)
{
    enum { ROWS = 37, K = 300, OUT = 50, FIRST = 16 };
    const MegaKernels *kinds[] = {emulated_amx(), emulated_amx_bf16()};
    Random random = {56};
    (void)state;
    for (int i = 0; i < 6; i++) {
        const MegaKernels *kernels = kinds[i % 2];
        Matrix m = random_matrix(&random, (MegaDtype)(i / 2), K, OUT);
        Matrix other = random_matrix(&random, MEGA_F32, 40, OUT);
        float *x = random_floats(&random, ROWS * K, -3, 3), y[2][ROWS * OUT];
        MegaForms *forms = mega_forms_new();
        MegaError err = {0};
        assert_non_null(forms);
        m.packed.forms = forms;
        mega_forms_note(forms, &m.packed);
        mega_forms_note(forms, &other.packed);
        assert_int_equal(mega_forms_bytes(forms), 64 * (4 * 320 + 4 * 64));
        for (int turn = 0; turn < 2; turn++) {
            const MegaPacked part = mega_packed_columns(&m.packed, FIRST, OUT);
            mega_matmul(kernels, &m.packed, x, K, ROWS, y[turn], OUT, &(MegaEpilogue){0});
            mega_matmul(kernels, &part, x, K, 3, y[turn] + FIRST, OUT,
                        &(MegaEpilogue){.function = MEGA_FUNCTION_SILU});
            assert_int_equal(turn, mega_forms_find(forms, m.panels) != NULL);
            assert_int_equal(mega_forms_make(forms, kernels, &err), 0);
        }
        assert_memory_equal(y[0], y[1], sizeof y[0]);
        assert_null(mega_forms_find(forms, x));
        assert_ptr_not_equal(mega_forms_find(forms, m.panels),
                             mega_forms_find(forms, other.panels));
        mega_forms_free(forms);
        free_matrix(&other);
        free_matrix(&m);
        free(x);
    }
}

/* ---- Integers -------------------------------------------------------------------------------- */

static void same_bits_with_integers(void **state)
{
    static const struct {
        size_t rows, k, out;
    } shapes[] = {{11, 64, 20}, {12, 32, 16}, {13, 31, 17},  {16, 160, 48}, {17, 129, 5},
                  {33, 90, 33}, {48, 1, 16},  {64, 256, 70}, {40, 700, 18}, {15, 5000, 3}};
    Random random = {54};
    (void)state;
    for (size_t i = 0; i < 2 * (sizeof shapes / sizeof shapes[0]); i++) {
        const size_t rows = shapes[i / 2].rows, k = shapes[i / 2].k, out = shapes[i / 2].out;
        const MegaDtype dtype = i % 2 ? MEGA_Q4 : MEGA_Q8;
        Matrix m = random_matrix(&random, dtype, k, out);
        float *x = random_floats(&random, rows * k, -3, 3);
        float *bias = random_floats(&random, out, -1, 1);
        float *got = guarded_floats(&random, rows * out, 0, 0);
        float *expected = malloc(rows * out * sizeof *expected);
        const MegaEpilogue ends[] = {{0}, {.function = MEGA_FUNCTION_SILU, .bias = bias}};
        assert_non_null(expected);
        for (size_t e = 0; e < 2; e++) {
            mega_matmul(emulated_amx(), &m.packed, x, k, rows, got, out, &ends[e]);
            mega_matmul(&mega_kernels_generic, &m.packed, x, k, rows, expected, out, &ends[e]);
            assert_memory_equal(got, expected, rows * out * sizeof *got);
        }
        release_floats(got, rows * out);
        free(expected);
        free(bias);
        free(x);
        free_matrix(&m);
    }
}

/* ---- Which machines -------------------------------------------------------------------------- */

static void only_a_whole_unit_suits(void **state)
{
    (void)state;
#if defined(__x86_64__)
    /* Sapphire Rapids under Linux */
    const MegaTileUnit good = {.features = 0x01400000 | 1u << 25, .most_palette = 1,
                               .eax = 0x04002000, .ebx = 0x00080040, .ecx = 0x10,
                               .enabled = 0x602e7};
    assert_true(mega_tile_unit_suits(&good));
    MegaTileUnit unit = good;
    for (unsigned bit = 22; bit <= 25; bit++) { /* a hypervisor hides an instruction */
        unit.features = good.features & ~(1u << bit);
        assert_int_equal(mega_tile_unit_suits(&unit), bit == 23);
    }
    unit = good;
    for (unsigned bit = 17; bit <= 18; bit++) { /* the system does not keep the registers */
        unit.enabled = good.enabled & ~(1ull << bit);
        assert_false(mega_tile_unit_suits(&unit));
    }
    unit = (MegaTileUnit){.features = good.features, .enabled = good.enabled};
    assert_false(mega_tile_unit_suits(&unit)); /* nothing is said of tiles */
    unit = good;
    unit.ecx = 8;
    assert_false(mega_tile_unit_suits(&unit));
    unit = good;
    unit.ebx = 0x00040040;
    assert_false(mega_tile_unit_suits(&unit));
    assert_false(mega_tile_unit_suits(&(MegaTileUnit){0}));
    /* the tier is there exactly if the unit is usable and vectors of 512 bits are */
    const bool has_tier = mega_kernels_by_name("amx") != NULL;
    assert_true(!has_tier || mega_tile_unit_usable());
    assert_true(!has_tier || mega_kernels_by_name("avx512vnni"));
    /* asking twice is harmless */
    assert_int_equal(mega_tile_unit_usable(), mega_tile_unit_usable());
#endif
}

static void only_tiles_round(void **state)
{
    (void)state;
    const MegaKernels *tier = mega_kernels_by_name("amx");
    assert_null(mega_kernels_in_bf16(mega_kernels_by_name("generic")));
    /* the emulated tier is not one of this machine's */
    assert_null(mega_kernels_in_bf16(emulated_amx()));
    if (tier) {
        assert_non_null(mega_kernels_in_bf16(tier));
        assert_true(mega_kernels_in_bf16(tier)->gemm != tier->gemm);
    }
}

/* On a machine with the tile unit, its results have the bits of the emulated one. */
static void real_tiles_have_the_same_bits(void **state)
{
    enum { ROWS = 37, K = 300, OUT = 50 };
    const MegaKernels *tier = mega_kernels_by_name("amx");
    Random random = {55};
    (void)state;
    if (!tier)
        skip();
    const MegaKernels *pairs[][2] = {{tier, emulated_amx()},
                                     {mega_kernels_in_bf16(tier), emulated_amx_bf16()}};
    for (MegaDtype dtype = MEGA_F32; dtype <= MEGA_BF16; dtype++)
        for (int pair = 0; pair < 2; pair++) {
            Matrix m = random_matrix(&random, dtype, K, OUT);
            float *x = random_floats(&random, ROWS * K, -3, 3), y[2][ROWS * OUT];
            for (int i = 0; i < 2; i++)
                mega_matmul(pairs[pair][i], &m.packed, x, K, ROWS, y[i], OUT, &(MegaEpilogue){0});
            assert_memory_equal(y[0], y[1], sizeof y[0]);
            free_matrix(&m);
            free(x);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(multiplies_bf16),
        cmocka_unit_test(vectors_multiply_like_single_numbers),
        cmocka_unit_test(multiplies_bytes),
        cmocka_unit_test(splits_floats),
        cmocka_unit_test(rounds_floats),
        cmocka_unit_test(extreme_floats),
        cmocka_unit_test(prepared_weights_change_no_bit),
        cmocka_unit_test(same_bits_with_integers),
        cmocka_unit_test(only_a_whole_unit_suits),
        cmocka_unit_test(only_tiles_round),
        cmocka_unit_test(real_tiles_have_the_same_bits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
