/*
 * test_fft_convolution.c - compares convolutions on a line with the sums that they compute.
 */
#include "tests/unit/support.h"

#include <stdlib.h>
#include <string.h>

#include "src/layers/fft_convolution.h"

#if MEGA_WITH_FFTW

static float *aligned_floats(size_t n)
{
    float *x = aligned_alloc(64, (n * sizeof *x + 63) / 64 * 64);
    assert_non_null(x);
    return x;
}

/* Returns one output for a signal of `length` numbers on a line, summed directly. */
static double direct(const MegaLineKernel *kernel, const float *x, size_t length, size_t t)
{
    double sum = (double)kernel->d * (double)x[t];
    for (size_t l = 0; l < kernel->lags && kernel->back && l <= t; l++)
        sum += (double)kernel->back[l] * (double)x[t - l];
    for (size_t l = 0; l < kernel->lags && kernel->ahead && t + 1 + l < length; l++)
        sum += (double)kernel->ahead[l] * (double)x[t + 1 + l];
    return sum;
}

/* Convolves with a product in its own memory, in that of the transform, and in one go, which all
 * give the same bits. */
static void convolve(const MegaLineFft *fft, const MegaKernels *kernels,
                     const MegaLineKernel *kernel, const float *x, size_t length, float *y)
{
    const size_t floats = mega_line_fft_floats(fft->size);
    float *transform = aligned_floats(floats), *product = aligned_floats(floats);
    float *spectrum = aligned_floats(floats), *again = aligned_floats(length);
    mega_line_fft_transform_kernel(fft, kernels, kernel, spectrum);
    mega_line_fft_forward(fft, kernels, x, length, transform);
    mega_line_fft_convolve(fft, kernels, transform, spectrum, product, y, length);
    mega_line_fft_convolve(fft, kernels, transform, spectrum, transform, again, length);
    assert_memory_equal(y, again, length * sizeof *y);
    memcpy(again, x, length * sizeof *x);
    mega_line_fft_convolve_signal(fft, kernels, spectrum, transform, again, length);
    assert_memory_equal(y, again, length * sizeof *y);
    free(transform);
    free(product);
    free(spectrum);
    free(again);
}

#endif

/* Tests kernels that look back, ahead, both or nowhere, with any number of lags, for signals of all
 * lengths up to the size, in every tier. */
static void lines(void **state)
{
    (void)state;
#if MEGA_WITH_FFTW
    const MegaKernels *tiers[MEGA_MOST_TIERS];
    const size_t tier_count = mega_kernels_all(tiers);
    Random random = {41};
    for (size_t least = 1; least < 400; least += 7) {
        const size_t n = mega_fft_size(least);
        const size_t length = (size_t)random_int(&random, 1, (int)n);
        const size_t lags = (size_t)random_int(&random, 0, (int)n + 3);
        float *values = random_floats(&random, 2 * lags + 1, -1, 1);
        float *x = random_floats(&random, length, -1, 1), *y = aligned_floats(length);
        MegaLineFft fft = {0};
        assert_int_equal(mega_line_fft_plan(&fft, n, NULL), 0);
        assert_int_equal(fft.rows * fft.columns, n);
        for (int form = 0; form < 4; form++) {
            const MegaLineKernel kernel = {.back = form % 2 ? values : NULL,
                                           .ahead = form / 2 ? values + lags : NULL,
                                           .lags = lags,
                                           .d = 0.5f};
            for (size_t t = 0; t < tier_count; t++) {
                convolve(&fft, tiers[t], &kernel, x, length, y);
                for (size_t i = 0; i < length; i++)
                    assert_float_equal(y[i], direct(&kernel, x, length, i), 2e-5);
            }
        }
        mega_line_fft_free(&fft);
        free(values);
        free(x);
        free(y);
    }
#else
    skip();
#endif
}

/* A build without FFTW says what it lacks. */
static void without_fftw(void **state)
{
    (void)state;
    MegaLineFft fft;
    MegaError err = {0};
    if (MEGA_WITH_FFTW)
        skip();
    assert_int_equal(mega_line_fft_plan(&fft, 8, &err), MEGA_ERR_UNSUPPORTED);
    assert_non_null(strstr(err.text, "FFTW"));
    mega_line_fft_free(&fft);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines),
        cmocka_unit_test(without_fftw),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
