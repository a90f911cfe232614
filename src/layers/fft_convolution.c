/*
 * fft_convolution.c - see fft_convolution.h. No other file of libmega calls FFTW.
 */
#include "src/layers/fft_convolution.h"

#if MEGA_WITH_FFTW
#include <fftw3.h>
#include <pthread.h>
#endif

size_t mega_fft_size(size_t least)
{
    for (size_t n = (least + 1) / 2 * 2;; n += 2) {
        size_t rest = n;
        while (rest % 2 == 0)
            rest /= 2;
        while (rest % 3 == 0)
            rest /= 3;
        while (rest % 5 == 0)
            rest /= 5;
        if (rest == 1)
            return n;
    }
}

/* Return the floats of one real signal and of one spectrum, rounded up to whole cache lines. */
static size_t signal_floats(const MegaFft *fft)
{
    return (fft->size + 15) / 16 * 16;
}

static size_t spectrum_floats(const MegaFft *fft)
{
    return (fft->size + 2 + 15) / 16 * 16;
}

uint64_t mega_fft_scratch(const MegaFft *fft)
{
    return (uint64_t)signal_floats(fft) + 2 * (uint64_t)spectrum_floats(fft);
}

size_t mega_pair_fft_floats(size_t size)
{
    return (2 * size + 15) / 16 * 16;
}

size_t mega_pair_fft_kernel_floats(size_t size)
{
    return 2 * ((size + 2 + 15) / 16 * 16);
}

#if MEGA_WITH_FFTW

/* FFTW's planner is not thread-safe; the execution of a plan is. */
static pthread_mutex_t planner_mutex = PTHREAD_MUTEX_INITIALIZER;

static int no_memory(size_t size, MegaError *err)
{
    return mega_fail(err, MEGA_ERR_MEMORY, "no memory for an FFT of %zu positions", size);
}

static void free_plans(void *forward, void *inverse)
{
    if (!forward && !inverse)
        return;
    pthread_mutex_lock(&planner_mutex);
    fftwf_destroy_plan(forward);
    fftwf_destroy_plan(inverse);
    pthread_mutex_unlock(&planner_mutex);
}

int mega_fft_plan(MegaFft *fft, size_t size, MegaError *err)
{
    float *real = fftwf_alloc_real(size);
    fftwf_complex *spectrum = fftwf_alloc_complex(size / 2 + 1);
    *fft = (MegaFft){.size = size};
    if (real && spectrum) {
        pthread_mutex_lock(&planner_mutex);
        fft->forward = fftwf_plan_dft_r2c_1d((int)size, real, spectrum, FFTW_ESTIMATE);
        fft->inverse = fftwf_plan_dft_c2r_1d((int)size, spectrum, real, FFTW_ESTIMATE);
        pthread_mutex_unlock(&planner_mutex);
    }
    fftwf_free(real);
    fftwf_free(spectrum);
    if (fft->forward && fft->inverse)
        return 0;
    mega_fft_free(fft);
    return no_memory(size, err);
}

void mega_fft_free(MegaFft *fft)
{
    free_plans(fft->forward, fft->inverse);
    *fft = (MegaFft){0};
}

MegaFftBuffers mega_fft_buffers(const MegaFft *fft, float *scratch)
{
    float *kernel_spectrum = scratch + signal_floats(fft);
    return (MegaFftBuffers){scratch, kernel_spectrum, kernel_spectrum + spectrum_floats(fft)};
}

void mega_fft_take_kernel(const MegaFft *fft, const MegaFftBuffers *buffers)
{
    fftwf_execute_dft_r2c(fft->forward, buffers->signal, (fftwf_complex *)buffers->kernel_spectrum);
}

void mega_fft_convolve(const MegaFft *fft, const MegaFftBuffers *buffers)
{
    const float scale = 1.0f / (float)fft->size, *kernel = buffers->kernel_spectrum;
    float *spectrum = buffers->spectrum;
    fftwf_execute_dft_r2c(fft->forward, buffers->signal, (fftwf_complex *)spectrum);
    for (size_t i = 0; i < fft->size + 2; i += 2) {
        float re = spectrum[i] * kernel[i] - spectrum[i + 1] * kernel[i + 1];
        float im = spectrum[i] * kernel[i + 1] + spectrum[i + 1] * kernel[i];
        spectrum[i] = re * scale;
        spectrum[i + 1] = im * scale;
    }
    fftwf_execute_dft_c2r(fft->inverse, (fftwf_complex *)spectrum, buffers->signal);
}

/* ---- Two signals at once --------------------------------------------------------------------- */

int mega_pair_fft_plan(MegaPairFft *fft, size_t size, MegaError *err)
{
    const unsigned flags = FFTW_ESTIMATE | FFTW_DESTROY_INPUT;
    fftwf_complex *signals = fftwf_alloc_complex(size), *transform = fftwf_alloc_complex(size);
    *fft = (MegaPairFft){.size = size};
    if (signals && transform) {
        pthread_mutex_lock(&planner_mutex);
        fft->forward = fftwf_plan_dft_1d((int)size, signals, transform, FFTW_FORWARD, flags);
        fft->inverse = fftwf_plan_dft_1d((int)size, transform, signals, FFTW_BACKWARD, flags);
        pthread_mutex_unlock(&planner_mutex);
    }
    fftwf_free(signals);
    fftwf_free(transform);
    if (fft->forward && fft->inverse)
        return 0;
    mega_pair_fft_free(fft);
    return no_memory(size, err);
}

void mega_pair_fft_free(MegaPairFft *fft)
{
    free_plans(fft->forward, fft->inverse);
    *fft = (MegaPairFft){0};
}

void mega_pair_fft_take_kernels(const MegaPairFft *fft, float *signals, float *transform,
                                float *spectra)
{
    const size_t n = fft->size;
    const float scale = 0.25f / (float)n;
    float *a = spectra, *b = spectra + mega_pair_fft_kernel_floats(n) / 2;
    mega_pair_fft_forward(fft, signals, transform);
    for (size_t k = 0; k <= n / 2; k++) {
        const float *here = transform + 2 * k, *there = transform + 2 * (k ? n - k : 0);
        /* twice the two spectra */
        const float first_re = here[0] + there[0], first_im = here[1] - there[1];
        const float second_re = here[1] + there[1], second_im = there[0] - here[0];
        a[2 * k] = scale * (first_re + second_re);
        a[2 * k + 1] = scale * (first_im + second_im);
        b[2 * k] = scale * (first_re - second_re);
        b[2 * k + 1] = scale * (first_im - second_im);
    }
}

void mega_pair_fft_forward(const MegaPairFft *fft, float *signals, float *transform)
{
    fftwf_execute_dft(fft->forward, (fftwf_complex *)signals, (fftwf_complex *)transform);
}

void mega_pair_fft_multiply(const MegaPairFft *fft, const MegaKernels *kernels,
                            const float *spectra, float *transform)
{
    const size_t n = fft->size;
    const float *a = spectra, *b = spectra + mega_pair_fft_kernel_floats(n) / 2;
    /* these two numbers are their own mirrors, and their A and B are real */
    for (size_t k = 0; k <= n / 2; k += n / 2) {
        transform[2 * k] *= a[2 * k] + b[2 * k];
        transform[2 * k + 1] *= a[2 * k] - b[2 * k];
    }
    kernels->multiply_mirrored(transform + 2, transform + 2 * (n - 1), a + 2, b + 2, n / 2 - 1);
}

void mega_pair_fft_inverse(const MegaPairFft *fft, float *transform, float *signals)
{
    fftwf_execute_dft(fft->inverse, (fftwf_complex *)transform, (fftwf_complex *)signals);
}

#else

static int no_fftw(size_t size, MegaError *err)
{
    return mega_fail(err, MEGA_ERR_UNSUPPORTED,
                     "an FFT of %zu positions was asked for, but this build has no FFTW", size);
}

int mega_fft_plan(MegaFft *fft, size_t size, MegaError *err)
{
    *fft = (MegaFft){0};
    return no_fftw(size, err);
}

void mega_fft_free(MegaFft *fft)
{
    *fft = (MegaFft){0};
}

int mega_pair_fft_plan(MegaPairFft *fft, size_t size, MegaError *err)
{
    *fft = (MegaPairFft){0};
    return no_fftw(size, err);
}

void mega_pair_fft_free(MegaPairFft *fft)
{
    *fft = (MegaPairFft){0};
}

#endif
