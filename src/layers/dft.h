/*
 * dft.h - discrete Fourier transforms in double precision, of any length.
 *
 * S4 layers make their kernels with these, in every build, when an input's length or rate needs
 * kernels that are not there yet. The convolutions of a pass are in float32 and use FFTW
 * (fft_convolution.h).
 */
#ifndef MEGA_DFT_H
#define MEGA_DFT_H

#include <complex.h>
#include <stddef.h>

#ifndef CMPLX /* older versions of glibc define it for GCC only */
#define CMPLX(real, imaginary) __builtin_complex((double)(real), (double)(imaginary))
#endif

/* Multiplies finite complex numbers. The operator of C also handles infinities, which costs a call
 * for every product. */
static inline double complex mega_complex_product(double complex a, double complex b)
{
    const double ar = creal(a), ai = cimag(a), br = creal(b), bi = cimag(b);
    return CMPLX(ar * br - ai * bi, ar * bi + ai * br);
}

/* roots[j] = e^(2 pi i j / n), j < n. */
void mega_dft_roots(size_t n, double complex *roots);
/* out[j] = sum_k in[k] roots[j k mod n], the inverse transform without its factor 1/n. `spare`
 * holds as many numbers as the largest prime factor of n; in, out and spare do not overlap. Takes
 * sum(factors) * n multiply-adds, where `factors` are the prime factors of n. */
void mega_dft_inverse(size_t n, const double complex *roots, const double complex *in,
                      double complex *out, double complex *spare);

#endif
