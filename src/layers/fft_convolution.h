/*
 * fft_convolution.h - circular convolutions of real signals, y[t] = sum_j kernel[j] x[t - j mod n],
 * by FFTW in single precision.
 *
 * A build without FFTW (make WITH_FFTW=0) cannot plan one: MEGA_WITH_FFTW is 0, planning fails,
 * and the functions that need a plan do not exist.
 */
#ifndef MEGA_FFT_CONVOLUTION_H
#define MEGA_FFT_CONVOLUTION_H

#include <stddef.h>
#include <stdint.h>

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

/* Transforms signal [size] to spectrum [size + 2]; both begin a cache line. */
void mega_fft_forward(const MegaFft *fft, float *signal, float *spectrum);
/* Transforms the product of two spectra back to signal: the convolution of what they came from.
 * `product` [size + 2] is scratch memory, or one of the two. */
void mega_fft_product(const MegaFft *fft, const float *spectrum, const float *kernel,
                      float *product, float *signal);

/* Transforms the kernel in buffers->signal, which may then hold an input. */
void mega_fft_take_kernel(const MegaFft *fft, const MegaFftBuffers *buffers);
/* Convolves buffers->signal in place with the kernel that was transformed last. */
void mega_fft_convolve(const MegaFft *fft, const MegaFftBuffers *buffers);
#endif

#endif
