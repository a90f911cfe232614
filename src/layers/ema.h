/*
 * ema.h - damped multi-dimensional EMA (MODEL.md, "Moving average"; paper, section 3.1).
 *
 *   p = sigma(delta)   q = 1 - sigma(delta) sigma(alpha)   kernel[c, t] = sum_n w[c,n] q[c,n]^t
 *   w[c,n] = p beta gamma / sqrt(N),  t = 0 ... min(T, L) - 1
 *   y[t, c] = sum_j kernel[c, j] x[t-j, c] + (bidirectional) sum_j kernel[d+c, j] x[t+j(+1), c]
 *   out = silu(y + omega x)
 *
 * A recurrence over time, vectorised over channels, computes it, or a convolution by FFT, channel
 * by channel; the results agree to float rounding. The plan chooses by cost; without FFTW it takes
 * the recurrence.
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
    const float *scale, *shift; /* [d]: a batchnorm that x goes through first, or NULL */
} MegaEma;

/* Computes the coefficients of a layer. Their memory comes from the arena; a dry run only counts
 * it. */
void mega_ema_prepare(MegaEma *out, const MegaStackConfig *config, const MegaEmaWeights *weights,
                      MegaArena *arena);

/* Holds what depends on the length alone; all layers of a stack share it. */
typedef struct MegaEmaPlan {
    MegaEmaPath path; /* never AUTO after planning */
    size_t length;
    size_t state_floats;     /* of a worker, for the recurrence */
    MegaFft fft;             /* of size >= length + min(T, length), for path FFT */
} MegaEmaPlan;

/* Plans for sequences of this length. Replaces *plan, which is zero or an earlier plan. Fails as
 * mega_fft_plan does. */
int mega_ema_plan(MegaEmaPlan *plan, const MegaStackConfig *config, size_t length, MegaEmaPath path,
                  MegaError *err);
void mega_ema_plan_free(MegaEmaPlan *plan);
/* Returns the floats of scratch memory that each worker needs, 64-byte aligned. */
uint64_t mega_ema_scratch(const MegaEmaPlan *plan);

/* Returns whether MEGA_EMA_AUTO chooses the recurrence for this length. */
bool mega_ema_recurs(const MegaStackConfig *config, size_t length);

/* What the recurrence needs to take a long sequence piece by piece. */
typedef struct MegaEmaPiece {
    /* rows of x that exist before the first row of the piece and after its last one, at most T */
    size_t before, after;
    /* [mega_ema_state_floats] each: the states of the causal half, which the previous piece has
     * left, and those of the look-ahead half, which the next piece has left. The pass replaces both
     * by its own. */
    float *back, *ahead;
    bool ahead_only; /* only runs the look-ahead half, for its states, and adds it to y */
} MegaEmaPiece;

/* Asks for the moving average of sequences that lie one after the other. */
typedef struct MegaEmaRun {
    const MegaKernels *kernels;
    MegaPool *pool;
    const size_t *begin; /* [sequences + 1]: number i is rows begin[i] ... begin[i + 1] - 1 */
    size_t sequences;    /* the FFT takes only one, of the planned length */
    const float *x;      /* [rows][d] */
    float *y;            /* [rows][d], not x */
    float *scratch;      /* [threads][scratch_stride] */
    size_t scratch_stride; /* >= mega_ema_scratch */
    const MegaEmaPiece *piece; /* the only sequence is this piece of one; NULL: all are whole */
} MegaEmaRun;

/* y = silu(EMA(x) + omega x) */
void mega_ema_run(const MegaEmaPlan *plan, const MegaEma *ema, const MegaEmaRun *run);

#endif
