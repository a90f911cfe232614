/*
 * ssm_kernel.h - linear state spaces (MODEL.md, "State spaces"): the kernel of a feature, which is
 * its impulse response, and the coefficients of its recurrence. Everything is computed in double
 * from the float32 tensors.
 *
 *   x_t = Ab x_(t-1) + Bb u_t        y_t = C x_t        K[l] = C Ab^l Bb,  l = 0, 1, ...
 *
 * States come in conjugate pairs, of which one is stored and counts twice. A real state counts
 * twice as well. A is diag(lambda), or diag(lambda) - sum_r p_r q_r^T, where q_r is the conjugate
 * of p_r unless there is a tensor of its own. The tensors of the second kind hold C (1 - Ab^length)
 * in place of C.
 *
 *   diagonal   K[l] = 2 Re sum_n C B phi z^l with z and phi of the discretisation
 *   low rank   from the generating function at the roots of unity, written without a pole at -1;
 *              K is the inverse discrete Fourier transform of its values
 */
#ifndef MEGA_SSM_KERNEL_H
#define MEGA_SSM_KERNEL_H

#include "src/base/arena.h"
#include "src/base/threads.h"

#define MEGA_SSM_MAX_RANK 4
#define MEGA_SSM_MAX_STATES 1024

typedef enum MegaSsmTransform {
    MEGA_SSM_NONE,
    MEGA_SSM_EXP,
    MEGA_SSM_SIGMOID,
    MEGA_SSM_SOFTPLUS,
    MEGA_SSM_RELU,      /* max(p, 0) + 1e-4 */
    MEGA_SSM_PURE_RELU, /* max(p, 0) */
} MegaSsmTransform;

/* Says how a diagonal system is discretised; one of low rank is always bilinear. */
typedef enum MegaSsmDiscretization {
    MEGA_SSM_ZOH,
    MEGA_SSM_BILINEAR,
    MEGA_SSM_DSS, /* normalised over the length of the kernel, on which all its values depend */
} MegaSsmDiscretization;

/* The state spaces of all features of a layer. Feature h uses row h mod groups of real, imag, b, p
 * and q. Complex numbers are pairs. */
typedef struct MegaSsm {
    size_t features, states, groups; /* H, N, S */
    size_t rank;                     /* R; 0: diagonal */
    size_t rows;                     /* rows of C: kernels of each feature */
    size_t steps;                    /* columns of dt: 1, or `states` */
    bool is_real;                    /* b and c are real numbers, and there is no imag */
    bool negated;                    /* the imaginary part of lambda is minus that of the tensor */
    bool fast;                       /* dt is transform(sinh(tensor)) */
    MegaSsmTransform dt_transform, real_transform, imag_transform;
    MegaSsmDiscretization discretization;
    double bandlimit; /* states above this frequency do not count (MODEL.md); 0: all count */
    /* The tensor c is C (1 - Ab^length); with 0 it is C. Diagonal systems always have C. */
    uint64_t length;
    uint64_t limit;      /* lags from here on do not exist in a full pass; 0: all exist */
    const float *dt;     /* [H][steps] */
    const float *real;   /* [S][N]: minus its transform is the real part of lambda ... */
    const float *lambda; /* ... or else [S][N][2]: lambda itself */
    const float *imag;   /* [S][N] */
    const float *b;      /* [S][N][2], or NULL: 1 */
    const float *c;      /* [rows][H][N][2] */
    const float *p;      /* [R][S][N][2] */
    const float *q;      /* [R][S][N][2], or NULL: the conjugate of p */
} MegaSsm;

/* Returns how many lags the kernel has for an input of `length` positions at this rate: a rate of 2
 * means that the input holds every second position of what the layer was trained on. */
uint64_t mega_ssm_taps(const MegaSsm *ssm, uint64_t length, double rate);
/* Returns a number that is the same for two inputs if the shorter kernel is the beginning of the
 * longer one, bit by bit. Where the length has to double, the kernel is another one: at rate 1 by
 * rounding only, at other rates because the tensor C belongs to a length at rate 1. */
uint64_t mega_ssm_family(const MegaSsm *ssm, uint64_t taps, double rate);
/* Returns how many lags cost no more than `taps` lags: the transform of a low-rank system yields
 * all of its lags, however few are used. */
uint64_t mega_ssm_whole(const MegaSsm *ssm, uint64_t taps, double rate);

/* Returns the bytes that a MegaSsmMaker takes, or mega_ssm_kernels while it runs; UINT64_MAX if
 * they do not fit into 64 bits. */
uint64_t mega_ssm_kernels_memory(const MegaSsm *ssm, uint64_t taps, double rate, int threads);

/* Computes kernels feature by feature, for a caller that does not keep them all. It has memory for
 * `threads` threads, and refers to *ssm, which must outlive it. */
typedef struct MegaSsmMaker MegaSsmMaker;
/* Returns MEGA_ERR_MEMORY, or MEGA_ERR_LIMIT for too many lags. */
int mega_ssm_maker_new(MegaSsmMaker **out, const MegaSsm *ssm, uint64_t taps, double rate,
                       int threads, MegaError *err);
/* Computes the kernels of one feature in thread number `worker`: lag l < taps of row r goes to
 * kernel[r * stride + l]. */
void mega_ssm_make(MegaSsmMaker *maker, size_t feature, int worker, float *kernel, size_t stride);
/* Returns 0, or MEGA_ERR_MODEL if a kernel that was asked for does not exist because 1 - Ab^length
 * is singular. */
int mega_ssm_made(const MegaSsmMaker *maker, MegaError *err);
void mega_ssm_maker_free(MegaSsmMaker *maker);

/* Computes the kernels of all features: lag l < taps of row r of feature h goes to
 * kernels[(h * rows + r) * stride + l]. Fails as mega_ssm_maker_new and mega_ssm_made do. */
int mega_ssm_kernels(const MegaSsm *ssm, uint64_t taps, double rate, MegaPool *pool, float *kernels,
                     size_t stride, MegaError *err);

/* The recurrences of all features. Each has N complex numbers x and y' of its own:
 *
 *   diagonal   x <- z x + in u
 *   low rank   y' = numerator x - sum_r p_r 2Re(q_r . x) + in u
 *              x <- z (y' - sum_r p_r sum_s g_rs 2Re(q_s . (z y')))
 *   both       output of row r: 2 Re(c_r . x)
 *
 * In a diagonal system z = Ab. In one of low rank, which is bilinear, numerator = 2 + dt lambda and
 * z = 1 / (2 - dt lambda). Each array holds all features: [H][...]. */
typedef struct MegaSsmSteps {
    float *z, *in;    /* [N][2] */
    float *c;         /* [rows][N][2] */
    float *numerator; /* [N][2]; this and the next ones only of low rank, else NULL */
    float *p, *q;     /* [R][N][2] */
    float *g;         /* [R][R] */
} MegaSsmSteps;

/* Places the arrays; an arena without memory only counts them. */
void mega_ssm_steps_layout(MegaSsmSteps *out, const MegaSsm *ssm, MegaArena *arena);
/* Computes the coefficients. If no recurrence has this kernel, returns MEGA_ERR_UNSUPPORTED (the
 * discretisation depends on the length of the input) or MEGA_ERR_MODEL (1 - Ab^length is
 * singular). */
int mega_ssm_steps(const MegaSsm *ssm, double rate, MegaPool *pool, const MegaSsmSteps *out,
                   MegaError *err);

/* The same recurrences as real matrices, for systems of few states. x holds the real and imaginary
 * parts of the N complex numbers:
 *
 *   x += step x + in u        output of row r: out_r . x
 *
 * A step changes x only little, so `step` = Ab - 1 keeps digits in float32 that Ab would lose. The
 * entries of all features lie side by side. */
#define MEGA_SSM_MATRIX_STATES 2 /* most N for which they pay */

typedef struct MegaSsmMatrix {
    float *step; /* [2N][2N][H] */
    float *in;   /* [2N][H] */
    float *out;  /* [rows][2N][H] */
} MegaSsmMatrix;

/* These do the same for matrices as mega_ssm_steps_layout and mega_ssm_steps. */
void mega_ssm_matrix_layout(MegaSsmMatrix *out, const MegaSsm *ssm, MegaArena *arena);
int mega_ssm_matrix(const MegaSsm *ssm, double rate, MegaPool *pool, const MegaSsmMatrix *out,
                    MegaError *err);

#endif
