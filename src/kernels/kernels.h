/*
 * kernels.h - the inner loops: matrix products and everything that runs between them.
 *
 * There is one body, body_tmpl.h, written with the compiler's vector types. It is built once for
 * the baseline and once for each better instruction set (x86/avx2.c and its neighbours); an
 * instruction set that is better at integers alone has only those (integer_tmpl.h), and one with a
 * tile unit only products (amx_tmpl.h). mega_kernels() picks a tier at run time. Matrices are
 * [rows][columns], row-major, with `stride` floats from row to row where a stride is given. Where
 * nothing else is said, out may be x.
 *
 * Tiers may differ in the last bits of a result: vectors of another width add in another order, and
 * the baseline has no fused multiply-add. Within a tier, the number of threads changes no bit. So a
 * comparison bit by bit, such as tests/witness, names the tier, and one across tiers needs a
 * tolerance.
 *
 * test_kernels.c holds the accuracy against exact arithmetic: exp is within 2e-7 relative, sigmoid
 * within 2e-7 and erf within 4e-7 absolute.
 */
#ifndef MEGA_KERNELS_H
#define MEGA_KERNELS_H

#include "formats/tensor/panels.h"
#include "formats/tensor/quantize.h"
#include "src/kernels/epilogue.h"

/* The function that turns scores into attention weights (MODEL.md, "Attention"). */
typedef enum MegaAttentionKind {
    MEGA_ATTENTION_SOFTMAX,
    MEGA_ATTENTION_RELU2,
    MEGA_ATTENTION_LAPLACE,
} MegaAttentionKind;

/* Rows of raw products q . k that exp_rows turns into weights. Row r begins at s + r * ld and has
 * `keys` floats. */
typedef struct MegaScores {
    float *s;
    size_t ld, rows, keys;
    float scale;       /* score = product * scale + bias */
    const float *bias; /* the bias of row r begins at bias + r * bias_step; NULL: 0 */
    ptrdiff_t bias_step;
    float *sums; /* [rows]: each row's weights are added to it */
} MegaScores;

/* If every |score| is at most this bound, softmax can skip subtracting the row maximum (exp_rows):
 * no exponential, sum or product then overflows or underflows in float32. */
#define MEGA_BOUNDED_SCORE 50.0f

#define MEGA_EPSILON 1e-5f /* Every norm adds this (MODEL.md, "Norms"). */

/* EMA coefficients lie state by state, and kernels take this many states at a time. The number of
 * states is padded to a multiple of it with coefficients of 0. */
#define MEGA_EMA_GROUP 4

/* A round of probe_arithmetic does one multiply-add in each of these vectors. */
#define MEGA_PROBE_VECTORS 12

/* A matrix b [k][columns] cut into panels of MEGA_PANEL columns: row p of panel n starts at element
 * n * panel_stride + p * row_stride. MEGA_PANEL elements of every row must be readable, also in the
 * last panel. */
typedef struct MegaPanels {
    const void *data;
    MegaDtype dtype; /* a float type, never a quantized one */
    size_t k; /* rows */
    size_t panel_stride, row_stride;
    /* The rows are positions of a sequence. Multiplying a row of x by further positions with
     * weights 0 does not change the bits of its sums. */
    bool positions;
    const void *prepared; /* the same panels as the tier's `prepare` makes them, or NULL */
} MegaPanels;

/* Returns the bytes of a prepared panel of k rows: for every 32 of them, a tile of 1 KiB with the
 * upper halves of the weights and one with the lower halves (amx_tmpl.h). */
static inline size_t mega_form_panel_bytes(size_t k)
{
    return (k + 31) / 32 * 2 * 1024;
}

/* A range of the blocks of each row of a quantized matrix. A block has MEGA_SCALE_BLOCK numbers. */
typedef struct MegaInt8Panels {
    MegaDtype dtype;
    const void *data;
    size_t panel_stride; /* bytes */
    size_t blocks;
} MegaInt8Panels;

/* Returns how many floats the EMA states of one sequence take, with the channels rounded up to
 * whole panels. */
static inline size_t mega_ema_state_floats(size_t width, size_t states)
{
    return (width + MEGA_PANEL - 1) / MEGA_PANEL * MEGA_PANEL * states;
}

/* Activations quantized to 8 bits, in blocks of MEGA_SCALE_BLOCK along k (matmul.h). */
typedef struct MegaInt8Rows {
    int8_t *q;       /* [rows][blocks][MEGA_SCALE_BLOCK] */
    float *scales;   /* [rows][blocks] */
    /* [rows][blocks]: the sum of each block's q; 0 where the tier does not need it */
    int32_t *sums;
} MegaInt8Rows;

/*
 * One direction of the moving average (MODEL.md, "Moving average"), as a recurrence over the rows
 * t = 0 ... length - 1:
 *
 *   s_n(t) = q_n s_n(t - 1) + x^(t) - qt_n x^(t - truncation)      y(t) = sum_n w_n s_n(t)
 *
 * The look-ahead half (`backward`) runs from the last row to the first with + in place of -, and
 * adds to y what the causal half stored there. With `shifted`, its y(t) uses the state of t + 1.
 */
typedef struct MegaEmaPass {
    const float *x;             /* [length][width] */
    /* [width]: x^ = x * scale + shift folds a batchnorm into the pass; with NULL, x^ = x */
    const float *scale, *shift;
    float *y;                   /* [length][width] */
    size_t length, width;
    const float *q, *w, *qt; /* [states][ema_stride]; states is a multiple of MEGA_EMA_GROUP */
    size_t states, ema_stride;
    size_t truncation; /* lags that count; with 0 all do, and qt is not read */
    bool backward, shifted;
    const float *omega; /* [width]: when given, the pass ends with y = silu(y + omega x^) */
    /* With `continues`, the rows are a piece of a sequence: the pass starts from the states that it
     * finds, and leaves its own for the next piece. `before` rows of the sequence, at most
     * `truncation`, lie in memory before the first row of x; if the pass is `backward`, they lie
     * after the last one. */
    bool continues;
    size_t before;
} MegaEmaPass;

/* One step of the same recurrence for every row of x and y. It only looks back, and goes from old
 * states to new ones. The states of a sequence are mega_ema_state_floats, laid out as [panels of
 * channels][states][MEGA_PANEL]. */
typedef struct MegaEmaStep {
    const float *x;      /* [rows][width] */
    const float *lagged; /* [rows][width]: x(t - truncation); NULL without truncation */
    float *y;            /* [rows][width] */
    size_t rows, width;
    const float *q, *w, *qt; /* [states][ema_stride]; states is a multiple of MEGA_EMA_GROUP */
    size_t states, ema_stride;
    const float *from; /* old states, in another array than `to` */
    float *to;
    /* With NULL, the rows are one sequence, which continues from the state at `from`. Otherwise row
     * r is a sequence of its own, which continues from state number parents[r]. */
    const size_t *parents;
} MegaEmaStep;

/*
 * The linear systems of some features (src/layers/ssm_kernel.h, MegaSsmMatrix), each with `states`
 * real numbers x, as a recurrence over the rows t = 0 ... length - 1:
 *
 *   x += step x + in u(t)      y(t) = out x + d u(t)
 *
 * A pass that looks ahead (`backward`) runs from the last row to the first, and adds out x to y(t)
 * before it updates x with u(t). The entries of all features lie side by side.
 */
typedef struct MegaStatePass {
    const float *u; /* [length][features] */
    float *y;       /* [length][width] */
    size_t length, features, width;
    size_t states;     /* 2 or 4 */
    const float *step; /* [states][states][features] */
    const float *in;   /* [states][features] */
    const float *out;  /* [states][features] */
    const float *d;    /* [features] */
    bool backward;
} MegaStatePass;

#define MEGA_MOST_STATES 4

/* The functions of a tier that multiply integers. Some processors differ from others in these
 * alone, so they can be replaced as a whole. */
typedef struct MegaIntegerKernels {
    /* Quantizes x [rows][k], with ldx floats from row to row, block by block. The last block of a
     * row is filled up with zeros. */
    void (*quantize)(const float *x, size_t ldx, size_t rows, size_t k, const MegaInt8Rows *out);
    /* y [rows][columns] = x b, then the epilogue, for quantized activations and weights. A row's
     * result does not depend on the other rows. */
    void (*gemm)(const MegaInt8Rows *x, size_t rows, const MegaInt8Panels *b, float *y, size_t ldy,
                 size_t columns, const MegaEpilogue *epilogue);
    /* Does what probe_arithmetic below does, with integers: a round is four multiply-adds in each
     * lane of as many vectors. Pass factors = 0, which keeps the sums from overflowing and takes
     * the same time. */
    int32_t (*probe)(size_t rounds, int32_t factors);
} MegaIntegerKernels;

/* y [rows][columns] = x [rows][k] b, then the epilogue. Every sum runs over k in the same order,
 * however many rows there are, so a row's result does not depend on the other rows of its batch. */
typedef void MegaGemm(const float *x, size_t ldx, size_t rows, const MegaPanels *b, float *y,
                      size_t ldy, size_t columns, const MegaEpilogue *epilogue);

/* Converts a float matrix, panel by panel, to the form that the tier's products read
 * (MegaPanels.prepared), mega_form_panel_bytes each. A product with it has the same bits as one
 * with the panels. */
typedef void MegaPrepare(const MegaPacked *weight, void *out);

/* The products of a tier with a tile unit. gemm_bf16 rounds x and b to bf16, and sums in float32;
 * the other two keep the accuracy of every tier. Quantized rows are those of the tier that the
 * table extends, with the same bits. */
typedef struct MegaTileKernels {
    MegaGemm *gemm, *gemm_bf16;
    MegaPrepare *prepare;
    void (*gemm_integer)(const MegaInt8Rows *x, size_t rows, const MegaInt8Panels *b, float *y,
                         size_t ldy, size_t columns, const MegaEpilogue *epilogue);
} MegaTileKernels;

typedef struct MegaKernels {
    /* The tier's name as MegaSessionOptions.cpu takes it: "generic", "avx2", "avx2vnni", "avx512",
     * "avx512vnni", "amx", "dotprod", "simd128" or "openblas". */
    const char *name;
    int lanes; /* number of floats in a vector */

    MegaGemm *gemm;
    MegaPrepare *prepare; /* NULL: products read weights as they are */
    MegaIntegerKernels integer;
    /* Applies an epilogue to sums [rows][columns] that already exist. sums may be y itself unless
     * the epilogue has a gate, which still reads the old y. */
    void (*finish)(const float *sums, size_t ld_sums, size_t rows, size_t columns, float *y,
                   size_t ldy, const MegaEpilogue *epilogue);

    /* out = x * scale + shift, with one scale and shift per column: batchnorm, or gamma and beta of
     * queries and keys. */
    void (*affine)(const float *x, size_t rows, size_t columns, const float *scale,
                   const float *shift, float *out);
    /* out = (x - mean) / sqrt(variance + eps) * weight + bias, row by row. weight and bias may both
     * be NULL. */
    void (*layer_norm)(const float *x, size_t rows, size_t columns, const float *weight,
                       const float *bias, float *out);
    /* out = x / sqrt(mean(x^2) + eps) * weight, row by row. With weight NULL it multiplies by
     * scalar. */
    void (*rms_norm)(const float *x, size_t rows, size_t columns, const float *weight, float scalar,
                     float *out);

    /* Turns one row of raw products into attention weights in place (MODEL.md, "Attention"):
     * s = f(s * scale + bias). */
    void (*attention)(MegaAttentionKind kind, float *s, size_t keys, float scale,
                      const float *bias);

    /* Softmax over keys that arrive in blocks. Computes s = exp(s * scale + bias - top), where *top
     * is the largest score of this block and all earlier ones; it starts at -INFINITY. *sum
     * accumulates all weights so far relative to *top. A later block may raise *top, so the
     * function returns the factor by which the caller must multiply what it has accumulated from
     * earlier weights. */
    float (*softmax_block)(float *s, size_t keys, float scale, const float *bias, float *top,
                           float *sum);
    /* Does the same for rows whose scores are all within MEGA_BOUNDED_SCORE, so that no largest one
     * has to be subtracted: computes s = exp(s * scale + bias), within 8e-6 relative, and adds the
     * sum of row r to sums[r]. */
    void (*exp_rows)(const MegaScores *scores);
    /* Returns the largest squared length of a key. The keys lie in panels of floats (panels.h) and
     * have that many columns. The result is NaN if some key is not finite. */
    float (*longest_key)(const float *panels, size_t keys, size_t columns);
    /* s [keys]: products of one query with keys that do not lie in one matrix. Key j starts at
     * k + j * stride + slots[j] * zdim; slots NULL means that all slots are 0. */
    void (*attend_keys)(const float *q, const float *k, size_t stride, const int32_t *slots,
                        size_t keys, size_t zdim, float *s);
    /* out [columns] = sum_j s_j v_j, where value j starts at v + j * stride + slots[j] * width.
     * columns may be less than width, so that tasks can divide the columns between them. */
    void (*attend_values)(const float *s, const float *v, size_t stride, const int32_t *slots,
                          size_t keys, size_t width, size_t columns, float *out);
    /* Returns sum_i e^(x_i - *top) with *top the largest of x [n]. The sum is NaN if any x_i is not
     * finite. */
    float (*exp_sum)(const float *x, size_t n, float *top);
    /* Returns log(sum_i e^x_i); all x_i must be finite. */
    double (*log_sum_exp)(const float *x, size_t n);

    void (*multiply)(float *x, const float *y, size_t n); /* x *= y */
    void (*add)(float *x, const float *y, size_t n);      /* x += y */
    void (*scale)(float *x, size_t n, float factor);      /* x *= factor */
    /* These compute out = a b and out = (a b)* for n complex numbers, each of which is its real and
     * its imaginary part; out may be a. */
    void (*multiply_complex)(const float *a, const float *b, size_t n, float *out);
    void (*multiply_conjugate)(const float *a, const float *b, size_t n, float *out);
    /* These multiply by one complex number w: out [n][2] = x w for real x [n], and y [n] = Re(a w)
     * for complex a [n][2]. The arrays do not overlap. */
    void (*scale_to_complex)(const float *x, size_t n, const float w[2], float *out);
    void (*scale_to_real)(const float *a, size_t n, const float w[2], float *y);
    /* out [columns][rows] = x^T for x [rows][columns], whose rows begin ldo and ldx floats apart;
     * out must not be x. */
    void (*transpose)(const float *x, size_t ldx, size_t rows, size_t columns, float *out,
                      size_t ldo);

    /* Runs a pass for channels first ... first + count - 1; first must be a multiple of lanes.
     * `state`, 64-byte aligned, has room for `count` rounded up to lanes, times the number of
     * states. It is scratch, or holds the states of a pass that `continues`. */
    void (*ema)(const MegaEmaPass *pass, size_t first, size_t count, float *state);
    /* Runs a step for channels first ... first + count - 1, at most lanes; first must be a multiple
     * of lanes. */
    void (*ema_step)(const MegaEmaStep *step, size_t first, size_t count);
    /* Computes only y = silu(y + omega x^) for channels first ... first + count - 1, at most lanes,
     * after a moving average that was not run by `ema`. */
    void (*ema_output)(const MegaEmaPass *pass, size_t first, size_t count);
    /* Runs a pass for features first ... first + count - 1, at most lanes. */
    void (*run_states)(const MegaStatePass *pass, size_t first, size_t count);
    /* Probes measure the machine's peak for the roofline of `mega-run bench`; their results only
     * keep the compiler from removing the work. probe_arithmetic does `rounds` multiply-adds in
     * each of MEGA_PROBE_VECTORS vectors that stay in registers. */
    float (*probe_arithmetic)(size_t rounds, float factor);
    float (*probe_memory)(const float *x, size_t n);
} MegaKernels;

#define MEGA_MOST_TIERS 6

/* Fills `out` with the tiers that this machine can run, best first, and returns their number. "amx"
 * is not among them: it is taken by its name only. */
size_t mega_kernels_all(const MegaKernels *out[MEGA_MOST_TIERS]);
/* Returns the best tier that this machine can run. */
const MegaKernels *mega_kernels(void);
/* Returns the tier of that name, "amx" and "openblas" included, or NULL if the name is unknown or
 * the machine cannot run it. */
const MegaKernels *mega_kernels_by_name(const char *name);
/* Returns the same tier with products of floats in bf16 (MegaTileKernels), or NULL if it has no
 * such products. */
const MegaKernels *mega_kernels_in_bf16(const MegaKernels *kernels);

extern const MegaKernels mega_kernels_generic;
/* Returns the machine's best tier with its float products replaced by OpenBLAS, which is loaded by
 * this call. It serves as a referee in tests and benchmarks; its results depend on the number of
 * rows. Returns NULL if OpenBLAS is not installed, if its memory is limited, and in a build
 * without OpenBLAS (make WITH_OPENBLAS=0). */
#ifndef MEGA_WITH_OPENBLAS
#define MEGA_WITH_OPENBLAS 1
#endif
const MegaKernels *mega_kernels_openblas(void);
#if defined(__x86_64__)
extern const MegaKernels mega_kernels_avx2;
/* all but its integer kernels are those of avx2 */
extern const MegaIntegerKernels mega_kernels_avx2vnni;
extern const MegaKernels mega_kernels_avx512;
/* all but its integer kernels are those of avx512 */
extern const MegaIntegerKernels mega_kernels_avx512vnni;
/* All but its products are those of avx512vnni. A compiler that does not know AMX leaves it out. */
#ifndef MEGA_WITH_AMX
#define MEGA_WITH_AMX 1
#endif
extern const MegaTileKernels mega_kernels_amx;
#elif defined(__aarch64__)
/* all but its integer kernels are those of generic */
extern const MegaIntegerKernels mega_kernels_dotprod;
#elif defined(__wasm__)
extern const MegaKernels mega_kernels_simd128; /* in place of generic */
#endif

#endif
