/*
 * test_fft_convolution.c - compares convolutions of two signals at once with the sums that they
 * compute.
 */
#include "tests/unit/support.h"

#include <stdlib.h>
#include <string.h>

#include "src/layers/s4_spectra.h"

#if MEGA_WITH_FFTW

static float *aligned_floats(size_t n)
{
    float *x = aligned_alloc(64, (n * sizeof *x + 63) / 64 * 64);
    assert_non_null(x);
    return x;
}

/* Convolves x [size][2] with the two kernels by FFT; the result is in `signals`. */
static void convolve_pair(const MegaPairFft *fft, const MegaKernels *kernels,
                          const MegaS4Lags pair[2], size_t lags, const float *x, float *signals)
{
    float *transform = aligned_floats(mega_pair_fft_floats(fft->size));
    float *spectra = aligned_floats(mega_pair_fft_kernel_floats(fft->size));
    mega_s4_pair_spectra(fft, pair, lags, signals, transform, spectra);
    memcpy(signals, x, 2 * fft->size * sizeof *x);
    mega_pair_fft_forward(fft, signals, transform);
    mega_pair_fft_multiply(fft, kernels, spectra, transform);
    mega_pair_fft_inverse(fft, transform, signals);
    free(transform);
    free(spectra);
}

/* One output of one signal, on a circle of n positions. */
static double direct(const MegaS4Lags *lags, size_t count, const float *x, size_t n, size_t t)
{
    double sum = (double)lags->d * (double)x[2 * t];
    for (size_t l = 0; l < count && lags->back; l++)
        sum += (double)lags->back[l] * (double)x[2 * ((t + n - l) % n)];
    for (size_t l = 0; l < count && lags->ahead; l++)
        sum += (double)lags->ahead[l] * (double)x[2 * ((t + 1 + l) % n)];
    return sum;
}

#endif

/* Two signals with kernels of their own, in one direction or both, or the first signal alone, by
 * the kernels of every tier. */
static void pairs(void **state)
{
    (void)state;
#if MEGA_WITH_FFTW
    const MegaKernels *tiers[MEGA_MOST_TIERS];
    const size_t tier_count = mega_kernels_all(tiers);
    Random random = {41};
    for (size_t least = 1; least < 150; least += 7) {
        const size_t n = mega_fft_size(least), lags = n / 2;
        float *values = random_floats(&random, 4 * lags, -1, 1);
        float *x = random_floats(&random, 2 * n, -1, 1), *signals = aligned_floats(2 * n);
        MegaPairFft fft = {0};
        assert_int_equal(mega_pair_fft_plan(&fft, n, NULL), 0);
        for (int form = 0; form < 3; form++) {
            const MegaS4Lags pair[2] = {{values, form == 1 ? values + lags : NULL, 0.5f},
                                        {form == 2 ? NULL : values + 2 * lags,
                                         form == 1 ? values + 3 * lags : NULL, form == 2 ? 0 : -2}};
            for (size_t t = 0; t < tier_count; t++) {
                convolve_pair(&fft, tiers[t], pair, lags, x, signals);
                for (size_t i = 0; i < 2 * n; i++)
                    assert_float_equal(signals[i], direct(&pair[i % 2], lags, x + i % 2, n, i / 2),
                                       2e-5);
            }
        }
        mega_pair_fft_free(&fft);
        free(values);
        free(x);
        free(signals);
    }
#else
    skip();
#endif
}

/* A build without FFTW says what it lacks. */
static void without_fftw(void **state)
{
    (void)state;
    MegaPairFft fft;
    MegaError err = {0};
    if (MEGA_WITH_FFTW)
        skip();
    assert_int_equal(mega_pair_fft_plan(&fft, 8, &err), MEGA_ERR_UNSUPPORTED);
    assert_non_null(strstr(err.text, "FFTW"));
    mega_pair_fft_free(&fft);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pairs),
        cmocka_unit_test(without_fftw),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
