/*
 * test_ema.c - recurrence, FFT and direct sum agree: for many shapes, all tiers, any number of
 * threads, one sequence and several, with and without a batchnorm in front.
 */
#include "tests/unit/support.h"

#include <stdlib.h>
#include <string.h>

#include "src/layers/ema.h"
#include "tests/unit/reference.h"

/* A build without FFTW has only the recurrence. */
static const MegaEmaPath last_path = MEGA_WITH_FFTW ? MEGA_EMA_FFT : MEGA_EMA_RECURRENT;

typedef struct Case {
    int width, ndim, length, truncation;
    bool bidirectional, shift;
} Case;

static MegaStackConfig config_of(const Case *c)
{
    return mega_with_gated(
        (MegaStackConfig){.width = c->width, .bidirectional = c->bidirectional},
        (MegaGatedConfig){.ndim = c->ndim, .truncation = c->truncation, .ema_shift = c->shift});
}

/* scale and shift are those of a batchnorm, or NULL. */
static float *run(const Case *c, const MegaEmaWeights *weights, const float *x, const float *scale,
                  const float *shift, MegaEmaPath path, const MegaKernels *kernels, int threads)
{
    MegaStackConfig config = config_of(c);
    MegaEma ema;
    MegaArena dry = {0}, arena = {0}, scratch = {0};
    MegaEmaPlan plan = {0};
    MegaPool *pool;
    mega_ema_prepare(&ema, &config, weights, &dry);
    assert_int_equal(mega_arena_reserve(&arena, dry.used, NULL), 0);
    mega_ema_prepare(&ema, &config, weights, &arena);
    assert_int_equal(mega_pool_new(&pool, threads, NULL), 0);
    assert_int_equal(mega_ema_plan(&plan, &config, (size_t)c->length, path, NULL), 0);
    uint64_t stride = (mega_ema_scratch(&plan) + 15) / 16 * 16;
    size_t bytes = stride * sizeof(float) * (size_t)threads;
    assert_int_equal(mega_arena_reserve(&scratch, bytes, NULL), 0);
    ema.scale = scale;
    ema.shift = shift;
    size_t length = (size_t)c->length, n = length * (size_t)c->width;
    /* The recurrence runs the same sequence twice. */
    size_t count = path == MEGA_EMA_RECURRENT ? 2 : 1;
    const size_t begin[] = {0, length, 2 * length};
    float *twice = malloc(2 * n * sizeof *twice), *y = calloc(2 * n, sizeof *y);
    assert_true(twice && y);
    memcpy(twice, x, n * sizeof *x);
    memcpy(twice + n, x, n * sizeof *x);
    mega_ema_run(&plan, &ema,
                 &(MegaEmaRun){.kernels = kernels, .pool = pool, .begin = begin,
                               .sequences = count, .x = twice, .y = y,
                               .scratch = (float *)(void *)scratch.base,
                               .scratch_stride = stride});
    if (count == 2)
        assert_memory_equal(y, y + n, n * sizeof *y);
    free(twice);
    mega_ema_plan_free(&plan);
    mega_pool_free(pool);
    mega_arena_free(&arena);
    mega_arena_free(&scratch);
    return y;
}

static void check_case(const Case *c, Random *random)
{
    size_t d = (size_t)c->width, length = (size_t)c->length;
    size_t rows = (c->bidirectional ? 2 : 1) * d, params = rows * (size_t)c->ndim;
    float *delta = random_floats(random, params, -3, 3),
          *alpha = random_floats(random, params, -3, 3);
    float *beta = random_floats(random, params, -1, 1),
          *gamma = random_floats(random, params, -1, 1);
    float *omega = random_floats(random, d, -1, 1), *x = random_floats(random, length * d, -1, 1);
    MegaEmaWeights weights = {delta, alpha, beta, gamma, omega};
    MegaStackConfig config = config_of(c);
    double *wide = calloc(length * d, sizeof *wide), *expected = calloc(length * d, sizeof *wide);
    assert_true(wide && expected);
    const bool norm = random_bits(random) % 2;
    float *scale = random_floats(random, d, 0.5f, 2), *shift = random_floats(random, d, -1, 1);
    for (size_t i = 0; i < length * d; i++)
        wide[i] = norm ? (double)x[i] * scale[i % d] + shift[i % d] : x[i];
    reference_ema(&config, &weights, wide, length, expected);
    const MegaKernels *tiers[MEGA_MOST_TIERS];
    size_t tier_count = mega_kernels_all(tiers);
    for (size_t t = 0; t < tier_count; t++) {
        for (MegaEmaPath path = MEGA_EMA_RECURRENT; path <= last_path; path++) {
            float *one = run(c, &weights, x, norm ? scale : NULL, shift, path, tiers[t], 1);
            float *three = run(c, &weights, x, norm ? scale : NULL, shift, path, tiers[t], 3);
            assert_close(one, expected, length * d, 2e-5);
            assert_memory_equal(one, three, length * d * sizeof *one);
            free(one);
            free(three);
        }
    }
    free(delta);
    free(alpha);
    free(beta);
    free(gamma);
    free(omega);
    free(scale);
    free(shift);
    free(x);
    free(wide);
    free(expected);
}

static void chosen_shapes(void **state)
{
    static const Case cases[] = {
        {5, 1, 1, 0, true, false},    {5, 1, 1, 0, true, true},    {8, 4, 2, 1, true, true},
        {16, 16, 100, 0, true, false}, {16, 16, 100, 7, true, false}, {17, 5, 101, 101, true, true},
        {3, 2, 63, 62, true, true},   {24, 3, 200, 9, false, false}, {9, 16, 257, 0, false, false},
        {1, 1, 333, 100, true, false},
    };
    Random random = {1};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        check_case(&cases[i], &random);
}

static void random_shapes(void **state)
{
    Random random = {2};
    (void)state;
    for (int i = 0; i < 40; i++) {
        Case c = {.width = random_int(&random, 1, 40), .ndim = random_int(&random, 1, 17),
                  .length = random_int(&random, 1, 150)};
        c.truncation = random_bits(&random) % 3 ? random_int(&random, 1, 200) : 0;
        c.bidirectional = random_bits(&random) % 4 != 0;
        c.shift = c.bidirectional && random_bits(&random) % 2;
        check_case(&c, &random);
    }
}

/* The decay is so slow that 1 - q is close to its own rounding error, and states remember thousands
 * of positions. */
static void slow_decay(void **state)
{
    if (!MEGA_WITH_FFTW)
        skip();
    enum { LENGTH = 4000, WIDTH = 8, STATES = 2 * WIDTH * 2 };
    Random random = {3};
    float delta[STATES], alpha[STATES], beta[STATES], gamma[STATES], omega[WIDTH] = {0};
    float *x = random_floats(&random, LENGTH * WIDTH, -1, 1);
    (void)state;
    for (int i = 0; i < STATES; i++) {
        delta[i] = random_uniform(&random, -4, -3);
        alpha[i] = random_uniform(&random, -5, -4);
        beta[i] = random_uniform(&random, -1, 1);
        gamma[i] = random_uniform(&random, -1, 1);
    }
    MegaEmaWeights weights = {delta, alpha, beta, gamma, omega};
    const int truncations[] = {0, 1000};
    for (int i = 0; i < 2; i++) {
        Case c = {WIDTH, 2, LENGTH, truncations[i], true, false};
        float *recurrent = run(&c, &weights, x, NULL, NULL, MEGA_EMA_RECURRENT, mega_kernels(), 1);
        float *fft = run(&c, &weights, x, NULL, NULL, MEGA_EMA_FFT, mega_kernels(), 1);
        assert_close_f32(recurrent, fft, LENGTH * WIDTH, 2e-5);
        free(recurrent);
        free(fft);
    }
    free(x);
}

/* Compares the circular convolution itself with the sum that it computes. */
static void circular_convolution(void **state)
{
#if MEGA_WITH_FFTW
    Random random = {4};
    for (size_t least = 1; least < 70; least += 3) {
        const size_t n = mega_fft_size(least);
        MegaFft fft = {0};
        assert_in_range(n, least, 2 * least + 1);
        assert_int_equal(mega_fft_plan(&fft, n, NULL), 0);
        float *scratch = aligned_alloc(64, mega_fft_scratch(&fft) * sizeof *scratch);
        float *x = random_floats(&random, n, -1, 1), *kernel = random_floats(&random, n, -1, 1);
        assert_non_null(scratch);
        MegaFftBuffers buffers = mega_fft_buffers(&fft, scratch);
        memcpy(buffers.signal, kernel, n * sizeof *x);
        mega_fft_transform_kernel(&fft, &buffers);
        memcpy(buffers.signal, x, n * sizeof *x);
        mega_fft_convolve(&fft, &buffers);
        for (size_t t = 0; t < n; t++) {
            double sum = 0;
            for (size_t j = 0; j < n; j++)
                sum += (double)kernel[j] * (double)x[(t + n - j) % n];
            assert_float_equal(buffers.signal[t], sum, 1e-5);
        }
        mega_fft_free(&fft);
        free(scratch);
        free(x);
        free(kernel);
    }
    (void)state;
#else
    (void)state;
    skip();
#endif
}

/* Where other builds use the FFT, a build without FFTW uses the recurrence. If it is told to use
 * the FFT, it says what it lacks. */
static void without_fftw(void **state)
{
    MegaStackConfig config = mega_with_gated((MegaStackConfig){.width = 4, .bidirectional = true},
                                             (MegaGatedConfig){.ndim = 512, .truncation = 100});
    MegaEmaPlan plan = {0};
    MegaError err = {0};
    (void)state;
    assert_int_equal(mega_ema_plan(&plan, &config, 4000, MEGA_EMA_AUTO, NULL), 0);
    assert_int_equal(plan.path, last_path);
    assert_int_equal(mega_ema_recurs(&config, 4000), !MEGA_WITH_FFTW);
    int code = mega_ema_plan(&plan, &config, 4000, MEGA_EMA_FFT, &err);
    assert_int_equal(code, MEGA_WITH_FFTW ? 0 : MEGA_ERR_UNSUPPORTED);
    if (!MEGA_WITH_FFTW)
        assert_string_equal(err.text, "an FFT of 4320 positions was asked for, but this build has "
                                      "no FFTW");
    mega_ema_plan_free(&plan);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chosen_shapes),
        cmocka_unit_test(random_shapes),
        cmocka_unit_test(slow_decay),
        cmocka_unit_test(circular_convolution),
        cmocka_unit_test(without_fftw),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
