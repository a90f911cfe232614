/*
 * fft_convolution.h - convolutions of real signals by FFTW in single precision: circular ones
 * (MegaFft), y[t] = sum_j kernel[j] x[t - j mod n], and linear ones (MegaLineFft).
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

/* Says how signals of one size are transformed. Any number of threads may use it at once. */
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
    float *signal;                     /* [size]: first the kernel, then the input */
    float *kernel_spectrum, *spectrum; /* [size + 2]: size / 2 + 1 complex numbers */
} MegaFftBuffers;
MegaFftBuffers mega_fft_buffers(const MegaFft *fft, float *scratch);

/* Transforms the kernel in buffers->signal, which may be overwritten by an input afterwards. */
void mega_fft_transform_kernel(const MegaFft *fft, const MegaFftBuffers *buffers);
/* Convolves buffers->signal in place with the kernel that was transformed last. */
void mega_fft_convolve(const MegaFft *fft, const MegaFftBuffers *buffers);
#endif

/* ---- Linear convolution ---------------------------------------------------------------------- */

/* Says how real signals are convolved with kernels that look back and ahead, without wrapping
 * around at the ends. This right-angle convolution takes complex transforms of `size` numbers, the
 * length of the longest signal, where padding with zeros would take real ones of twice as many. Any
 * number of threads may use it at once.
 *
 * With w[j] = e^(i pi j / 2n), the circular convolution of the numbers x[j] w[j] and k[j] w[j]
 * is (a[t] + i a[t + n]) w[t], where a is the linear convolution of x and k. With a kernel
 *   k[j] = back[j] - i ahead[n - j]
 * the real part of a[t] + i a[t + n] is the sum over both directions, and what would wrap around
 * stays in the imaginary part.
 *
 * A transform is a matrix [rows][columns], `stride` numbers from row to row: number j of the signal
 * is in row j / columns. Its columns are transformed, then multiplied by twiddle factors, then its
 * rows (Bailey's four-step method). The frequencies stay in the order in which that leaves them,
 * since they are only multiplied. Transforming the conjugate product in the opposite order gives
 * the signal back.
 *
 * w[j] is the product of a factor of j's row and one of its column. The latter is the same in a
 * whole column, so it can be applied after the column's transform, as part of the twiddles. */
typedef struct MegaLineFft {
    size_t size, rows, columns, stride;
    size_t step;                /* rows of one call of by_rows */
    void *by_columns, *by_rows; /* FFTW's plans, NULL before mega_line_fft_plan */
    float *phases;              /* [rows][2]: w of a row's first number */
    float *twiddles;            /* [rows][stride][2]: twiddles times w of a column's first number */
} MegaLineFft;

/* Plans convolutions of signals of up to `size` numbers. Fails as mega_fft_plan does. */
int mega_line_fft_plan(MegaLineFft *fft, size_t size, MegaError *err);
void mega_line_fft_free(MegaLineFft *fft);

/* Returns the floats of a transform, in whole cache lines. */
size_t mega_line_fft_floats(size_t size);
/* Returns the bytes that a plan holds. */
uint64_t mega_line_fft_memory(size_t size);

#if MEGA_WITH_FFTW
/* A kernel by lag; both directions may be NULL. Lag 0 of the one that looks ahead is the next
 * position. */
typedef struct MegaLineKernel {
    const float *back, *ahead; /* [lags] */
    size_t lags;               /* those from `size` on have no effect */
    float d;                   /* one more weight of lag 0 */
} MegaLineKernel;

/* Transforms a kernel. `out` has room for mega_line_fft_floats and begins a cache line, like every
 * transform. */
void mega_line_fft_transform_kernel(const MegaLineFft *fft, const MegaKernels *kernels,
                               const MegaLineKernel *kernel, float *out);
/* Transforms x [length]. */
void mega_line_fft_forward(const MegaLineFft *fft, const MegaKernels *kernels, const float *x,
                           size_t length, float *transform);
/* y [length] = the convolution of a signal and a kernel whose transforms are given. `product` is
 * scratch for a transform, and may be `transform` itself. */
void mega_line_fft_convolve(const MegaLineFft *fft, const MegaKernels *kernels,
                            const float *transform, const float *kernel, float *product, float *y,
                            size_t length);
/* Does both for the signal y [length], in place and with the same bits. Each piece of the transform
 * is multiplied and transformed back while it is in the first-level cache. `matrix` is scratch for
 * a transform. */
void mega_line_fft_convolve_signal(const MegaLineFft *fft, const MegaKernels *kernels,
                                   const float *kernel, float *matrix, float *y, size_t length);
#endif

#endif
