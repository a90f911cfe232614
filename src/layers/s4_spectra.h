/*
 * s4_spectra.h - the spectra of an S4 layer: the transforms of its kernels, by which the FFT of its
 * input is multiplied (fft_convolution.h). Both directions and D of a feature make one kernel.
 */
#ifndef MEGA_S4_SPECTRA_H
#define MEGA_S4_SPECTRA_H

#include "src/layers/fft_convolution.h"
#include "src/layers/ssm_kernel.h"

/* Asks for the spectra of a layer. */
typedef struct MegaS4SpectraRequest {
    const MegaSsm *ssm;
    const MegaLineFft *fft;
    const MegaKernels *kernels;
    size_t lags, channels; /* the features have as many rows of C, or twice as many */
    double rate;
    /* the kernels, if they exist already, or NULL: lag l of row r of feature h is
     * kept[(h * rows + r) * kept_stride + l] */
    const float *kept;
    size_t kept_stride;
    const float *d; /* [channels][H] */
    MegaPool *pool;
} MegaS4SpectraRequest;

/* Returns the floats of all spectra: [features][channels], each as long as a transform. */
uint64_t mega_s4_spectra_floats(const MegaS4SpectraRequest *request);
/* Returns the bytes that mega_s4_make_spectra takes while it runs. */
uint64_t mega_s4_spectra_memory(const MegaS4SpectraRequest *request);
/* Computes the spectra feature by feature, so that only the kernels of one feature per thread exist
 * at a time. Returns MEGA_ERR_MEMORY, MEGA_ERR_UNSUPPORTED in a build without FFTW, or fails as
 * mega_ssm_kernels does. */
int mega_s4_make_spectra(const MegaS4SpectraRequest *request, float *spectra, MegaError *err);

#endif
