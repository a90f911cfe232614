/*
 * ema.h - damped multi-dimensional EMA (MODEL.md, "Moving average"; paper, section 3.1).
 *
 *   p = sigma(delta)   q = 1 - sigma(delta) sigma(alpha)   kernel[c, t] = sum_n w[c,n] q[c,n]^t
 *   w[c,n] = p beta gamma / sqrt(N),  t = 0 ... min(T, L) - 1
 *   y[t, c] = sum_j kernel[c, j] x[t-j, c] + (bidirectional) sum_j kernel[d+c, j] x[t+j(+1), c]
 *   out = silu(y + omega x)
 *
 * Two ways to the same numbers: a recurrence over time, vectorised over channels, and a convolution
 * by FFT, channel by channel. The plan chooses by cost; without FFTW it takes the recurrence.
 */
#ifndef MEGA_EMA_H
#define MEGA_EMA_H

#include "src/base/threads.h"
#include "src/kernels/kernels.h"
#include "src/layers/fft_convolution.h"
#include "src/layers/mega_config.h"

/* Coefficients of one layer. States are padded to a multiple of MEGA_EMA_GROUP with w = 0. */
typedef struct MegaEma {
    size_t width, channels; /* d, K */
    size_t states;
    size_t truncation; /* T, 0: none */
    bool bidirectional, shifted;
    const float *q, *w, *qt; /* [states][K]; qt = q^T, NULL without truncation */
    const float *omega;      /* [d] */
    const float *scale, *shift; /* [d], or NULL: what x goes through first, a batchnorm */
} MegaEma;

/* Takes the coefficients' memory from the arena; only counts it in a dry run. */
void mega_ema_prepare(MegaEma *out, const MegaStackConfig *config, const MegaEmaWeights *weights,
                      MegaArena *arena);

/* Holds what depends on the length alone; all layers of a stack share it. */
typedef struct MegaEmaPlan {
    MegaEmaPath path; /* never AUTO after planning */
    size_t length;
    size_t state_floats;     /* of a worker, for the recurrence */
    MegaFft fft;             /* of size >= length + min(T, length), for path FFT */
} MegaEmaPlan;

/* Replaces *plan, which is zero or an earlier plan. */
int mega_ema_plan(MegaEmaPlan *plan, const MegaStackConfig *config, size_t length, MegaEmaPath path,
                  MegaError *err);
void mega_ema_plan_free(MegaEmaPlan *plan);
/* Returns the floats of scratch memory that each worker needs, 64-byte aligned. */
uint64_t mega_ema_scratch(const MegaEmaPlan *plan);

/* Returns whether AUTO takes the recurrence. */
bool mega_ema_recurs(const MegaStackConfig *config, size_t length);

/* Holds what the recurrence of one long sequence needs beside the rows of a piece. */
typedef struct MegaEmaPiece {
    /* rows of x that there are before the first one and behind the last one, at most T of each */
    size_t before, behind;
    /* [mega_ema_state_floats]: the states of the causal half, left by the piece before, and those
     * of the look-ahead half, left by the piece behind. Both go on. */
    float *back, *ahead;
    bool ahead_only; /* runs only the look-ahead half, for the sake of its states; y is then the
                        sum of what was in it and of that half */
} MegaEmaPiece;

/* Whole sequences, one behind the other. */
typedef struct MegaEmaRun {
    const MegaKernels *kernels;
    MegaPool *pool;
    const size_t *begin; /* [sequences + 1]: number i is rows begin[i] ... begin[i + 1] - 1 */
    size_t sequences;    /* by FFT only one, of the planned length */
    const float *x;      /* [rows][d] */
    float *y;            /* [rows][d], not x */
    float *scratch;      /* [threads][scratch_stride] */
    size_t scratch_stride; /* >= mega_ema_scratch */
    const MegaEmaPiece *piece; /* the only sequence is a piece of one; NULL: all are whole */
} MegaEmaRun;

/* y = silu(EMA(x) + omega x) */
void mega_ema_run(const MegaEmaPlan *plan, const MegaEma *ema, const MegaEmaRun *run);

#endif
