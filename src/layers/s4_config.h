/*
 * s4_config.h - the hyper-parameters that only S4 layers have, their weights, and what follows from
 * them. Symbols follow MODEL.md, "State spaces": H features, N states, S independent rows of the
 * tensors, c channels.
 */
#ifndef MEGA_S4_CONFIG_H
#define MEGA_S4_CONFIG_H

#include "src/layers/ssm_kernel.h"
#include "src/model/layer_kind.h"

#define MEGA_S4_MAX_CHANNELS 16

/* The functions that S4's options name. In optional fields 0 stands for none of them. */
typedef enum MegaS4Function {
    MEGA_S4_NO_FUNCTION,
    MEGA_S4_ID,
    MEGA_S4_GELU,
    MEGA_S4_RELU,
    MEGA_S4_SILU,
    MEGA_S4_TANH,
    MEGA_S4_SIGMOID,
    MEGA_S4_ELU,
    MEGA_S4_SOFTPLUS,
} MegaS4Function;

/* The hyper-parameters of S4 layers: first those of the kernels, which MegaSsm explains, then those
 * of the layer. */
typedef struct MegaS4Config {
    int states;   /* N */
    int groups;   /* S */
    int rank;     /* R; 0: diagonal */
    int channels; /* c, rows of D; with `hyper` the second half of them only weighs the first */
    bool untied;  /* every state has a dt of its own */
    bool is_real, negated, fast;
    bool has_b;      /* false: B is 1 */
    bool own_lambda; /* lambda is a tensor of complex numbers */
    bool own_q;
    bool has_length; /* each layer has its length as a tensor; else it is `length` */
    int length;
    int limit;     /* lags from here on do not exist in a full pass; 0: all exist */
    int bandlimit; /* in millionths; 0: none */
    int kernel_lags; /* lags of the kernels that the file keeps, at rate 1; 0: it keeps none */
    MegaSsmTransform dt_transform, real_transform, imag_transform;
    MegaSsmDiscretization discretization;
    MegaS4Function activation; /* of the convolution's output, bottleneck and gate */
    bool has_output;           /* a linear map mixes the features */
    bool glu;                  /* m = a output(b) of the halves a, b of the map; else output(all) */
    MegaS4Function output;
    bool swapped;   /* the map's inputs go by feature, then channel */
    int bottleneck; /* width of what is convolved, if it is not H; 0: it is */
    int gate;       /* width of the gate; 0: there is none */
    MegaS4Function hyper;
} MegaS4Config;

_Static_assert(sizeof(MegaS4Config) <= MEGA_KIND_CONFIG_BYTES, "it fits into a stack");

/* Return the hyper-parameters of a stack of S4 layers, to read or to set them. */
static inline const MegaS4Config *mega_s4(const MegaStackConfig *stack)
{
    return (const MegaS4Config *)(const void *)stack->own;
}

static inline MegaS4Config *mega_s4_of(MegaStackConfig *stack)
{
    return (MegaS4Config *)(void *)stack->own;
}

/* Returns how many features are convolved. */
static inline size_t mega_s4_features(const MegaStackConfig *stack)
{
    return (size_t)(mega_s4(stack)->bottleneck ? mega_s4(stack)->bottleneck : stack->width);
}

/* Returns the rows of C: the channels that look back, then those that look ahead. */
static inline size_t mega_s4_rows(const MegaStackConfig *stack)
{
    return (size_t)mega_s4(stack)->channels * (stack->bidirectional ? 2 : 1);
}

/* Returns the channels that the output's linear map sees. */
static inline size_t mega_s4_channels(const MegaStackConfig *stack)
{
    return (size_t)mega_s4(stack)->channels / (mega_s4(stack)->hyper ? 2 : 1);
}

/* Returns the width of what leaves the output's linear map and its activation. */
static inline size_t mega_s4_mixed(const MegaStackConfig *stack)
{
    return (size_t)(mega_s4(stack)->gate ? mega_s4(stack)->gate : stack->width);
}

/* An S4 layer (MODEL.md, "S4 layer"); the shapes are those of MegaSsm. */
typedef struct MegaS4Weights {
    MegaNormWeights norm;
    const float *dt, *real, *imag, *lambda, *b, *c, *p, *q;
    const float *length; /* [1] */
    const float *d;      /* [c][H] */
    const float *kernel; /* [H][rows][kernel_lags]: kept kernels, or NULL */
    MegaLinearWeights input, gate, output, output_gate;
} MegaS4Weights;

/* Describes the state spaces of a layer. */
MegaSsm mega_s4_space(const MegaStackConfig *stack, const MegaS4Weights *weights);

/* Returns how many lags of a layer's kernels are computed at rate 1 for an input of this length:
 * more than it needs, if inputs of other lengths share its FFT. Defined in s4_plan.c. */
size_t mega_s4_kernel_lags(const MegaStackConfig *stack, const MegaS4Weights *weights,
                           size_t length);

/* Kernels that the model file keeps. */
typedef struct MegaS4Kept {
    const float *values; /* lag l of row r of feature h is values[(h * rows + r) * stride + l] */
    size_t stride;
} MegaS4Kept;
/* Returns the stored kernels if they have at least `lags` lags and belong to the family
 * (mega_ssm_family), and the rate is 1; otherwise `values` is NULL. */
MegaS4Kept mega_s4_kept(const MegaStackConfig *stack, const MegaS4Weights *weights, size_t lags,
                        uint64_t family, double rate);

/* These return the value of a name in metadata, which is that of the original, or -1. */
int mega_s4_function_by_name(const char *name);
int mega_s4_transform_by_name(const char *name);
int mega_s4_discretization_by_name(const char *name);

/* These are members of the kind of layer. */
extern const MegaField mega_s4_fields[];
extern const MegaTensorRow mega_s4_tensors[];
int mega_s4_check(const MegaConfig *config, const MegaStackConfig *stack, const char *name,
                  MegaError *err);
uint64_t mega_s4_dimension(const MegaConfig *config, const MegaStackConfig *stack,
                           unsigned dimension);
bool mega_s4_applies(const MegaStackConfig *stack, unsigned condition);

#endif
