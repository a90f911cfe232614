/*
 * fft_convolution.h - circular convolutions of real signals, y[t] = sum_j kernel[j] x[t - j mod n],
 * by FFTW in single precision: of one signal, or of two at once (MegaPairFft), which takes little
 * more time than one.
 *
 * A build without FFTW (make WITH_FFTW=0) cannot plan one: MEGA_WITH_FFTW is 0, planning fails,
 * and the functions that need a plan do not exist.
 */
#ifndef MEGA_FFT_CONVOLUTION_H
#define MEGA_FFT_CONVOLUTION_H

#include <stddef.h>
#include <stdint.h>

#include "src/kernels/kernels.h"
#include "src/mega.h"

#ifndef MEGA_WITH_FFTW
#define MEGA_WITH_FFTW 1
#endif

/* How signals of one size are transformed. Any number of threads may use it at once. */
typedef struct MegaFft {
    size_t size;             /* floats of one signal, an even number */
    void *forward, *inverse; /* FFTW's plans, NULL before mega_fft_plan */
} MegaFft;

/* Returns the smallest even size >= least whose prime factors are 2, 3 and 5, for which FFTW is
 * fast. */
size_t mega_fft_size(size_t least);

/* Plans transforms of `size` floats into *fft, which is zero before. Returns MEGA_ERR_MEMORY, or
 * MEGA_ERR_UNSUPPORTED in a build without FFTW. */
int mega_fft_plan(MegaFft *fft, size_t size, MegaError *err);
void mega_fft_free(MegaFft *fft);

/* Returns the scratch floats that mega_fft_convolve needs. */
uint64_t mega_fft_scratch(const MegaFft *fft);

#if MEGA_WITH_FFTW
/* The parts of this scratch memory. Each begins a cache line if the whole does. */
typedef struct MegaFftBuffers {
    float *signal;                     /* [size]     first the kernel, then the input */
    float *kernel_spectrum, *spectrum; /* [size + 2] complex numbers */
} MegaFftBuffers;
MegaFftBuffers mega_fft_buffers(const MegaFft *fft, float *scratch);

/* Transforms the kernel in buffers->signal, which may then hold an input. */
void mega_fft_take_kernel(const MegaFft *fft, const MegaFftBuffers *buffers);
/* Convolves buffers->signal in place with the kernel that was transformed last. */
void mega_fft_convolve(const MegaFft *fft, const MegaFftBuffers *buffers);
#endif

/* ---- Two signals at once --------------------------------------------------------------------- */

/* How pairs of real signals of one size are transformed: x_1 + i x_2 as one signal of complex
 * numbers. Any number of threads may use it at once. */
typedef struct MegaPairFft {
    size_t size;             /* numbers of each signal, an even number */
    void *forward, *inverse; /* FFTW's plans, NULL before mega_pair_fft_plan */
} MegaPairFft;

/* Plans them as mega_fft_plan does. */
int mega_pair_fft_plan(MegaPairFft *fft, size_t size, MegaError *err);
void mega_pair_fft_free(MegaPairFft *fft);

/* Return the floats of a pair of signals or its transform, and those of the kernels' spectra, both
 * rounded up to whole cache lines. */
size_t mega_pair_fft_floats(size_t size);
size_t mega_pair_fft_kernel_floats(size_t size);

#if MEGA_WITH_FFTW
/* All arrays begin a cache line; `signals` and `transform` are [size][2] and do not overlap.
 *
 * With Z the transform of x_1 + i x_2, and K_1 and K_2 those of the kernels, that of y_1 + i y_2 is
 *   Y[k] = A[k] Z[k] + B[k] Z[n - k]*,   A = (K_1 + K_2) / 2,  B = (K_1 - K_2) / 2
 * The spectra are A [n / 2 + 1] and then B, with the factor 1 / n of the inverse transform. */

/* Transforms a pair of kernels to its spectra; both arrays of it are scratch memory afterwards. */
void mega_pair_fft_take_kernels(const MegaPairFft *fft, float *signals, float *transform,
                                float *spectra);
/* Transforms signals, which are scratch memory afterwards. */
void mega_pair_fft_forward(const MegaPairFft *fft, float *signals, float *transform);
/* Replaces Z by Y. */
void mega_pair_fft_multiply(const MegaPairFft *fft, const MegaKernels *kernels,
                            const float *spectra, float *transform);
/* Transforms back; `transform` is scratch memory afterwards. */
void mega_pair_fft_inverse(const MegaPairFft *fft, float *transform, float *signals);
#endif

#endif
