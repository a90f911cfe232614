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

#if MEGA_WITH_FFTW

/* FFTW's planner is not thread-safe; the execution of a plan is. */
static pthread_mutex_t planner_mutex = PTHREAD_MUTEX_INITIALIZER;

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
    return mega_fail(err, MEGA_ERR_MEMORY, "no memory for an FFT of %zu positions", size);
}

void mega_fft_free(MegaFft *fft)
{
    if (fft->forward || fft->inverse) {
        pthread_mutex_lock(&planner_mutex);
        fftwf_destroy_plan(fft->forward);
        fftwf_destroy_plan(fft->inverse);
        pthread_mutex_unlock(&planner_mutex);
    }
    *fft = (MegaFft){0};
}

MegaFftBuffers mega_fft_buffers(const MegaFft *fft, float *scratch)
{
    float *kernel_spectrum = scratch + signal_floats(fft);
    return (MegaFftBuffers){scratch, kernel_spectrum, kernel_spectrum + spectrum_floats(fft)};
}

void mega_fft_forward(const MegaFft *fft, float *signal, float *spectrum)
{
    fftwf_execute_dft_r2c(fft->forward, signal, (fftwf_complex *)spectrum);
}

void mega_fft_product(const MegaFft *fft, const float *spectrum, const float *kernel,
                      float *product, float *signal)
{
    const float scale = 1.0f / (float)fft->size;
    for (size_t i = 0; i < fft->size + 2; i += 2) {
        float re = spectrum[i] * kernel[i] - spectrum[i + 1] * kernel[i + 1];
        float im = spectrum[i] * kernel[i + 1] + spectrum[i + 1] * kernel[i];
        product[i] = re * scale;
        product[i + 1] = im * scale;
    }
    fftwf_execute_dft_c2r(fft->inverse, (fftwf_complex *)product, signal);
}

void mega_fft_take_kernel(const MegaFft *fft, const MegaFftBuffers *buffers)
{
    mega_fft_forward(fft, buffers->signal, buffers->kernel_spectrum);
}

void mega_fft_convolve(const MegaFft *fft, const MegaFftBuffers *buffers)
{
    mega_fft_forward(fft, buffers->signal, buffers->spectrum);
    mega_fft_product(fft, buffers->spectrum, buffers->kernel_spectrum, buffers->spectrum,
                     buffers->signal);
}

#else

int mega_fft_plan(MegaFft *fft, size_t size, MegaError *err)
{
    *fft = (MegaFft){0};
    return mega_fail(err, MEGA_ERR_UNSUPPORTED,
                     "an FFT of %zu positions was asked for, but this build has no FFTW", size);
}

void mega_fft_free(MegaFft *fft)
{
    *fft = (MegaFft){0};
}

#endif
