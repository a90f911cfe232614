/*
 * s4_spectra.h - what an S4 layer's FFT multiplies with: the spectra of its kernels, for pairs of
 * features (fft_convolution.h). Both directions and D of a feature are one kernel on the circle.
 */
#ifndef MEGA_S4_SPECTRA_H
#define MEGA_S4_SPECTRA_H

#include "src/layers/fft_convolution.h"
#include "src/layers/ssm_kernel.h"

/* The kernels of a feature and channel, by lag; there may be no feature (back NULL), and none that
 * look ahead. Lag 0 of those that look ahead is the next position. */
typedef struct MegaS4Lags {
    const float *back, *ahead; /* [lags] */
    float d;                   /* one more weight of lag 0 */
} MegaS4Lags;

#if MEGA_WITH_FFTW
/* Makes the spectra of two features; signals and transform, as mega_pair_fft_take_kernels has them,
 * are scratch memory. */
void mega_s4_pair_spectra(const MegaPairFft *fft, const MegaS4Lags pair[2], size_t lags,
                          float *signals, float *transform, float *spectra);
#endif

/* The spectra of a layer. */
typedef struct MegaS4SpectraRequest {
    const MegaSsm *ssm;
    const MegaPairFft *fft;
    size_t lags, channels; /* the features have as many rows of C, or twice as many */
    double rate;
    const float *d; /* [channels][H] */
    MegaPool *pool;
} MegaS4SpectraRequest;

/* Returns the floats of all spectra: those of a pair, for every channel, for every pair. */
uint64_t mega_s4_spectra_floats(const MegaS4SpectraRequest *request);
/* Returns the bytes that mega_s4_make_spectra takes for the time that it runs. */
uint64_t mega_s4_spectra_memory(const MegaS4SpectraRequest *request);
/* Makes them pair by pair, so that there are never more kernels than threads work on. */
int mega_s4_make_spectra(const MegaS4SpectraRequest *request, float *spectra, MegaError *err);

#endif
