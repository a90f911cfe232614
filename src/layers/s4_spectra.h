/*
 * s4_spectra.h - what an S4 layer's FFT multiplies with: the transforms of its kernels
 * (fft_convolution.h). Both directions and D of a feature are one kernel on the line.
 */
#ifndef MEGA_S4_SPECTRA_H
#define MEGA_S4_SPECTRA_H

#include "src/layers/fft_convolution.h"
#include "src/layers/ssm_kernel.h"

/* The spectra of a layer. */
typedef struct MegaS4SpectraRequest {
    const MegaSsm *ssm;
    const MegaLineFft *fft;
    const MegaKernels *kernels;
    size_t lags, channels; /* the features have as many rows of C, or twice as many */
    double rate;
    /* the kernels, if they need not be made: lag l of row r of feature h is
     * kept[(h * rows + r) * kept_stride + l] */
    const float *kept;
    size_t kept_stride;
    const float *d; /* [channels][H] */
    MegaPool *pool;
} MegaS4SpectraRequest;

/* Returns the floats of all spectra: [features][channels], each as long as a transform. */
uint64_t mega_s4_spectra_floats(const MegaS4SpectraRequest *request);
/* Returns the bytes that mega_s4_make_spectra takes for the time that it runs. */
uint64_t mega_s4_spectra_memory(const MegaS4SpectraRequest *request);
/* Makes them feature by feature, so that there are never more kernels than threads work on. */
int mega_s4_make_spectra(const MegaS4SpectraRequest *request, float *spectra, MegaError *err);

#endif
