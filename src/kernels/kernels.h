/*
 * kernels.h - the inner loops: matrix products and everything between them.
 *
 * One body, body_tmpl.h, written in vectors of the compiler, is built once for the baseline and
 * once for each better processor (avx2.c); mega_kernels() picks at run time. A matrix is
 * [rows][columns], row-major, with `stride` floats between rows where that is given. Functions with
 * an out argument allow out == x.
 *
 * Accuracy against exact arithmetic, tested in tests/unit/kernels/test_kernels.c: exp 2e-7
 * relative, sigmoid 2e-7 and erf 4e-7 absolute.
 */
#ifndef MEGA_KERNELS_H
#define MEGA_KERNELS_H

#include "formats/tensor/panels.h"
#include "formats/tensor/quantize.h"
#include "src/kernels/epilogue.h"

/* What makes attention weights of scores (MODEL.md, "Attention"). */
typedef enum MegaAttentionKind {
    MEGA_ATTENTION_SOFTMAX,
    MEGA_ATTENTION_RELU2,
    MEGA_ATTENTION_LAPLACE,
} MegaAttentionKind;

#define MEGA_EPSILON 1e-5f /* of every norm, spec section 6 */

/* EMA coefficients are stored state-major with this many states at a time (absent ones are 0). */
#define MEGA_EMA_GROUP 4

#define MEGA_PROBE_VECTORS 12 /* sums of probe_arithmetic: a round is a multiply-add of each */

/* A matrix b [k][columns] in panels of MEGA_PANEL columns: row p of panel n starts at element
 * n * panel_stride + p * row_stride. MEGA_PANEL elements can be read of every row. */
typedef struct MegaPanels {
    const void *data;
    MegaDtype kind; /* not quantized */
    size_t panel_stride, row_stride;
} MegaPanels;

static inline size_t mega_ema_state_floats(size_t width, size_t states)
{
    return (width + MEGA_PANEL - 1) / MEGA_PANEL * MEGA_PANEL * states;
}

/* Rows as integers, in blocks of MEGA_SCALE_BLOCK along k. */
typedef struct MegaInt8Rows {
    int8_t *q;       /* [rows][blocks][MEGA_SCALE_BLOCK] */
    float *scales;   /* [rows][blocks] */
    int32_t *sums;   /* [rows][blocks]: of q, or 0 where the tier has no use for it */
} MegaInt8Rows;

/*
 * The recurrence of spec section 1 in one direction, over rows t = 0 ... length - 1:
 *   s_n(t) = q_n s_n(t -+ 1) + x^(t) - qt_n x^(t -+ truncation),  y(t) (+)= sum_n w_n s_n(t)
 * Looking back it stores to y; looking ahead (backward) it runs from the end and adds to y;
 * shifted, y(t) takes the state of t + 1.
 */
typedef struct MegaEmaPass {
    const float *x;             /* [length][width] */
    const float *scale, *shift; /* [width]: x^ = x * scale + shift, a batchnorm; NULL: x^ = x */
    float *y;                   /* [length][width] */
    size_t length, width;
    const float *q, *w, *qt; /* [states][ema_stride]; states a multiple of MEGA_EMA_GROUP */
    size_t states, ema_stride;
    size_t truncation; /* 0: none, qt unused */
    bool backward, shifted;
    const float *omega; /* [width], or NULL: y = silu(y + omega x^) in the end */
} MegaEmaPass;

typedef struct MegaKernels {
    const char *name; /* "generic", "avx2", "avx2vnni", "avx512", "avx512vnni", "dotprod" or
                         "openblas" */
    int lanes;        /* floats in a vector */

    /* y [rows][columns] = x [rows][k] b, through the epilogue. Every sum is one over k in order,
     * whatever the number of rows: a row's result does not depend on its neighbours. */
    void (*gemm)(const float *x, size_t ldx, size_t rows, const MegaPanels *b, size_t k, float *y,
                 size_t ldy, size_t columns, const MegaEpilogue *epilogue);
    void (*quantize)(const float *x, size_t ldx, size_t rows, size_t k, const MegaInt8Rows *out);
    /* The same product of such rows and quantized weights; panels lie panel_stride bytes apart. */
    void (*gemm_int8)(const MegaInt8Rows *x, size_t rows, size_t blocks, MegaDtype kind,
                      const void *panels, size_t panel_stride, float *y, size_t ldy,
                      size_t columns, const MegaEpilogue *epilogue);
    /* An epilogue by itself, of sums [rows][columns], which may be y unless there is a gate. */
    void (*finish)(const float *sums, size_t ld_sums, size_t rows, size_t columns, float *y,
                   size_t ldy, const MegaEpilogue *epilogue);

    /* out = x * scale + shift by column (batchnorm; queries and keys) */
    void (*affine)(const float *x, size_t rows, size_t columns, const float *scale,
                   const float *shift, float *out);
    /* out = (x - mean) / sqrt(variance + eps) * weight + bias by row; weight and bias may be NULL
     */
    void (*layer_norm)(const float *x, size_t rows, size_t columns, const float *weight,
                       const float *bias, float *out);
    /* out = x / sqrt(mean(x^2) + eps) * weight by row; weight NULL: times scalar */
    void (*rms_norm)(const float *x, size_t rows, size_t columns, const float *weight, float scalar,
                     float *out);

    /* One row of attention weights from raw products, spec section 3: s = f(s * scale + bias). */
    void (*attention)(MegaAttentionKind kind, float *s, size_t keys, float scale,
                      const float *bias);

    /* The same for softmax, block after block of keys: s = exp(s * scale + bias - top) with the
     * largest of these and of earlier blocks, *top (-INFINITY before the first). *sum, of all
     * weights so far, is kept relative to *top. Returns what earlier weights, and so what was
     * summed up with them, must be multiplied with. */
    float (*softmax_block)(float *s, size_t keys, float scale, const float *bias, float *top,
                           float *sum);
    /* One query against keys that lie apart: key j is at k + j * stride + slots[j] * zdim (slots
     * NULL: all 0). s [keys] */
    void (*attend_keys)(const float *q, const float *k, size_t stride, const int32_t *slots,
                        size_t keys, size_t zdim, float *s);
    /* out [columns] = sum_j s_j v_j, value j at v + j * stride + slots[j] * width; columns <=
     * width, so that the work can be divided */
    void (*attend_values)(const float *s, const float *v, size_t stride, const int32_t *slots,
                          size_t keys, size_t width, size_t columns, float *out);
    /* sum_i e^(x_i - *top), *top the largest of x [n]; NaN where one of them is not finite */
    float (*exp_sum)(const float *x, size_t n, float *top);
    /* log sum exp x; x finite */
    double (*log_sum_exp)(const float *x, size_t n);

    void (*multiply)(float *x, const float *y, size_t n); /* x *= y */
    void (*add)(float *x, const float *y, size_t n);      /* x += y */
    void (*scale)(float *x, size_t n, float factor);      /* x *= factor */

    /* A pass for channels first ... first + count - 1, first a multiple of lanes. state is memory
     * for count, rounded up to lanes, times states floats, 64-byte aligned. */
    void (*ema)(const MegaEmaPass *pass, size_t first, size_t count, float *state);
    /*
     * The same recurrence looking back, one step for every row of x and y, from states to new ones
     * (another array). parents NULL: the rows are a sequence that goes on where the last call
     * ended. Otherwise row r is a sequence of its own, which goes on from that number parents[r].
     * gone [rows][width] holds x(t - truncation), or is NULL without truncation. States of a
     * sequence, mega_ema_state_floats: [blocks of MEGA_PANEL channels][states][MEGA_PANEL].
     */
    void (*ema_step)(const float *x, const float *gone, float *y, size_t rows, size_t width,
                     size_t first, size_t count, const float *q, const float *w, const float *qt,
                     size_t states, size_t ema_stride, const float *from, float *to,
                     const size_t *parents);
    /* Probes of the machine, for the benchmark: `rounds` multiply-adds of each of
     * MEGA_PROBE_VECTORS vectors in registers; the sum of n floats, read once. The results only
     * keep them alive. */
    float (*probe_arithmetic)(size_t rounds, float factor);
    /* The same of integers: a round is four multiply-adds in each lane of as many vectors. factors
     * 0 keep the sums from overflowing, and are as much work. */
    int32_t (*probe_integers)(size_t rounds, int32_t factors);
    float (*probe_memory)(const float *x, size_t n);
    /* y = silu(y + omega x^) alone */
    void (*ema_output)(const float *x, const float *scale, const float *shift, float *y,
                       size_t length, size_t width, size_t first, size_t count,
                       const float *omega);
} MegaKernels;

#define MEGA_MOST_TIERS 5

/* The tiers that this machine runs, best first; returns their number. */
size_t mega_kernels_all(const MegaKernels *out[MEGA_MOST_TIERS]);
/* The best one. */
const MegaKernels *mega_kernels(void);
/* The tier called name, "openblas" too, or NULL when it is unknown or the machine lacks it. */
const MegaKernels *mega_kernels_by_name(const char *name);

extern const MegaKernels mega_kernels_generic;
/* The best tier of this machine, but float products by OpenBLAS, which is loaded for it: the
 * referee, whose results depend on the number of rows. NULL: not installed, or memory is limited.
 */
const MegaKernels *mega_kernels_openblas(void);
#if defined(__x86_64__)
extern const MegaKernels mega_kernels_avx2;
extern const MegaKernels mega_kernels_avx2vnni;
extern const MegaKernels mega_kernels_avx512;
extern const MegaKernels mega_kernels_avx512vnni;
#elif defined(__aarch64__)
extern const MegaKernels mega_kernels_dotprod;
#endif

#endif
