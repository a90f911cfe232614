/*
 * spectrum.h - the power spectrum of a short block of samples, for spectrograms.
 */
#ifndef MEGA_SPECTRUM_H
#define MEGA_SPECTRUM_H

#include <stddef.h>

#define SPECTRUM_MOST 1024 /* most samples of one block */

/* Computes power[k] = |sum_t x[t] e^(-2 pi i k t / n)|^2 for k < n / 2. n is a power of two from 2
 * to SPECTRUM_MOST. */
void power_spectrum(const float *x, size_t n, float *power);

#endif
