/*
 * spectrum.c - see spectrum.h. A picture needs some hundred short transforms, so the textbook's FFT
 * (Cooley and Tukey, radix 2) is fast enough, and the tools need no library for it.
 */
#include "tools/run/pictures/spectrum.h"

#include <assert.h>
#include <math.h>

typedef struct Complex {
    double re, im;
} Complex;

/* Copies x to out in the order of bit-reversed indices, which the butterflies start from. */
static void copy_bit_reversed(const float *x, size_t n, Complex *out)
{
    size_t reversed = 0;
    for (size_t i = 0; i < n; i++) {
        out[reversed] = (Complex){(double)x[i], 0};
        size_t bit = n / 2;
        for (; bit && (reversed & bit); bit /= 2)
            reversed ^= bit;
        reversed |= bit;
    }
}

void power_spectrum(const float *x, size_t n, float *power)
{
    Complex values[SPECTRUM_MOST];
    assert(n >= 2 && n <= SPECTRUM_MOST && (n & (n - 1)) == 0);
    copy_bit_reversed(x, n, values);
    for (size_t half = 1; half < n; half *= 2)
        for (size_t k = 0; k < half; k++) {
            const double angle = -3.14159265358979323846 * (double)k / (double)half;
            const Complex turn = {cos(angle), sin(angle)};
            for (size_t i = k; i < n; i += 2 * half) {
                Complex *a = &values[i], *b = &values[i + half];
                Complex turned = {b->re * turn.re - b->im * turn.im,
                                  b->re * turn.im + b->im * turn.re};
                *b = (Complex){a->re - turned.re, a->im - turned.im};
                *a = (Complex){a->re + turned.re, a->im + turned.im};
            }
        }
    for (size_t k = 0; k < n / 2; k++)
        power[k] = (float)(values[k].re * values[k].re + values[k].im * values[k].im);
}
