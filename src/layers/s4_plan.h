/*
 * s4_plan.h - what S4 layers keep between inputs: kernels, which are computed once per length and
 * rate, the coefficients of recurrences, the state of a stream, and the plan of an FFT. A session
 * owns it.
 */
#ifndef MEGA_S4_PLAN_H
#define MEGA_S4_PLAN_H

#include "src/layers/layer.h"
#include "src/layers/s4_config.h"
#include "src/layers/s4_spectra.h"

/* Says how the layers convolve. */
typedef enum MegaS4Way {
    MEGA_S4_BY_FFT,
    MEGA_S4_BY_STEPS,  /* a recurrence: every stream, and inputs in a build without FFTW */
    MEGA_S4_BY_MATRIX, /* a recurrence of few states, which is faster than the FFT */
    MEGA_S4_DIRECTLY,  /* sums over lags, where a build without FFTW has no recurrence */
} MegaS4Way;

/* The kernels of a layer, either as spectra or as values. A pass multiplies by spectra, but they
 * serve inputs of one size only. Values serve inputs of all sizes, but each pass has to transform
 * them. Both give the same bits. */
typedef struct MegaS4Kernels {
    float *spectra;      /* [H][c], each a transform as fft_convolution.h has it */
    const float *values; /* lag l of row r of feature h is values[(h * rows + r) * stride + l] */
    float *own_values;   /* the same, to be freed; NULL if the model's file keeps them */
    size_t stride, have; /* floats from row to row of `values`, and lags that they have */
    size_t size, lags;   /* size of the FFT, and lags that it takes in */
    uint64_t family;     /* mega_ssm_family of the input for which they were made */
    uint64_t counted;    /* bytes that the ledger has counted */
} MegaS4Kernels;

typedef struct MegaS4Plan {
    MegaS4Way way;
    double rate;
    size_t length, taps; /* of the input, and lags of its kernels */
    size_t room;         /* positions of the longest input that has the same FFT */
    bool is_varied;      /* inputs of several sizes came at this rate: values are kept */
    MegaLineFft fft;     /* for BY_FFT */
    uint64_t fft_bytes;  /* what the ledger has counted for it */
    size_t layers;
    MegaS4Kernels *kernels;  /* [layers] */
    MegaSsmSteps *steps;     /* [layers], in step_arena; NULL until they are needed */
    float **states;          /* [layers][H][N][2]: the state of a stream, in step_arena */
    size_t state_floats;     /* of one layer */
    MegaSsmMatrix *matrices; /* [layers], in matrix_arena; NULL until they are needed */
    MegaArena step_arena, matrix_arena;
    MegaLedger *ledger;
    uint64_t counted; /* bytes that the ledger has counted */
} MegaS4Plan;

extern const MegaPlanner mega_s4_planner;

/* Returns the scratch floats that a worker needs for mega_s4_convolve. */
uint64_t mega_s4_convolve_scratch(const MegaStackConfig *config, const MegaS4Plan *plan);
/* y [L][c H] = convolution of z [L][H] with the kernels of layer number `index`, plus d times z:
 * channel 0 of all features, then channel 1. */
void mega_s4_convolve(const MegaPass *pass, int index, const float *d, const float *z, float *y);

#endif
