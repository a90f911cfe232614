/*
 * mega_config.h - the hyper-parameters that only MEGA layers have, and what follows from them.
 * Symbols follow MODEL.md: h hidden (value) width, z shared query and key width, N states of the
 * moving average per channel.
 */
#ifndef MEGA_MEGA_CONFIG_H
#define MEGA_MEGA_CONFIG_H

#include "src/model/layer_kind.h"

#define MEGA_MAX_NDIM 1024

typedef enum MegaBiasKind {
    MEGA_BIAS_SIMPLE,
    MEGA_BIAS_ROTARY,
} MegaBiasKind;

/* The hyper-parameters of MEGA layers. The stack's activation is that of v, of the candidate and of
 * the feed-forward block. */
typedef struct MegaGatedConfig {
    int hidden;     /* h */
    int zdim;       /* z */
    int ndim;       /* N */
    int chunk;      /* C; 0: one chunk over the whole sequence */
    int truncation; /* T; 0: none */
    bool causal;    /* an encoder's position sees no later one */
    /* The angles of a rotary bias are rounded to float32, as the original computes them. */
    bool rotary_float32;
    bool ema_shift; /* the look-ahead half of the EMA starts at lag 1 (image code) */
    MegaAttentionKind attention;
    /* Without chunks, the table of a simple bias limits a sequence to the stack's max_positions. */
    MegaBiasKind bias;
} MegaGatedConfig;

_Static_assert(sizeof(MegaGatedConfig) <= MEGA_KIND_CONFIG_BYTES, "it fits into a stack");

/* Return the hyper-parameters of a stack of MEGA layers, to read or to set them. */
static inline const MegaGatedConfig *mega_gated(const MegaStackConfig *stack)
{
    return (const MegaGatedConfig *)(const void *)stack->own;
}

static inline MegaGatedConfig *mega_gated_of(MegaStackConfig *stack)
{
    return (MegaGatedConfig *)(void *)stack->own;
}

/* Returns the stack with these hyper-parameters. */
static inline MegaStackConfig mega_with_gated(MegaStackConfig stack, MegaGatedConfig own)
{
    *mega_gated_of(&stack) = own;
    return stack;
}

/* Returns K of MODEL.md, "Moving average": the number of rows of the EMA parameters. */
static inline int mega_ema_channels(const MegaStackConfig *stack)
{
    return stack->bidirectional ? 2 * stack->width : stack->width;
}

/* Returns M of MODEL.md, "Attention": the simple bias has 2 M - 1 entries. */
static inline int mega_bias_positions(const MegaStackConfig *stack)
{
    return mega_gated(stack)->chunk > 0 ? mega_gated(stack)->chunk : stack->max_positions;
}

/* ---- Weights -------------------------------------------------------------------------------- */

typedef struct MegaEmaWeights {
    const float *delta, *alpha, *beta, *gamma; /* [K][N] */
    const float *omega;                        /* [d] */
} MegaEmaWeights;

/* Gated cross attention (MODEL.md, "Cross attention"). */
typedef struct MegaCrossWeights {
    MegaNormWeights norm;
    MegaLinearWeights q;                     /* d -> d + d + z: u, r, q */
    MegaLinearWeights k;                     /* d -> z, applied to the encoder's states */
    MegaLinearWeights v;                     /* d -> d, applied to the encoder's states */
    MegaLinearWeights h;                     /* d -> d */
    const float *bias;                       /* simple: [2 M - 1] */
    const float *rotary_alpha, *rotary_beta; /* rotary: [z] */
} MegaCrossWeights;

/* A MEGA layer (MODEL.md, "Gated attention"). */
typedef struct MegaLayerWeights {
    MegaNormWeights norm;
    MegaEmaWeights ema;
    MegaLinearWeights v;       /* d -> h */
    MegaLinearWeights u;       /* d -> d; this and the next two are applied to the averaged input */
    MegaLinearWeights z;       /* d -> z */
    MegaLinearWeights r_hx;    /* d -> h + d: r, then the linear part of the candidate */
    MegaLinearWeights h;       /* h -> d */
    const float *gamma, *beta; /* [2][z]: row 0 makes q, row 1 makes k */
    const float *bias;         /* simple: [2 M - 1] */
    const float *rotary_alpha, *rotary_beta; /* rotary: [z] */
    MegaCrossWeights cross;                  /* for the decoder of a translator */
    MegaNormWeights ffn_norm;
    MegaLinearWeights fc1, fc2; /* d -> ffn -> d */
} MegaLayerWeights;

/* ---- The kind of layer ---------------------------------------------------------------------- */

/* These translate between kinds of attention functions or relative position biases and their names
 * in metadata, which are those of the original. An unknown name gives -1. */
const char *mega_attention_name(MegaAttentionKind kind);
int mega_attention_by_name(const char *name);
const char *mega_bias_name(MegaBiasKind kind);
int mega_bias_by_name(const char *name);

/* These are members of the kind of layer. */
extern const MegaField mega_gated_fields[];
extern const MegaTensorRow mega_layer_tensors[];
int mega_gated_check(const MegaConfig *config, const MegaStackConfig *stack, const char *name,
                     MegaError *err);
uint64_t mega_gated_dimension(const MegaConfig *config, const MegaStackConfig *stack,
                              unsigned dimension);
bool mega_gated_applies(const MegaStackConfig *stack, unsigned condition);
void mega_gated_reach(const MegaConfig *config, const MegaStackConfig *stack, MegaReach *out);
int mega_gated_set_chunk(MegaStackConfig *stack, int chunk, MegaError *err);
void mega_gated_place_earlier(const MegaStackConfig *stack, size_t layer, MegaStored *place);

#endif
