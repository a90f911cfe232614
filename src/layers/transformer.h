/*
 * transformer.h - a Transformer layer: attention of several heads, cross attention, feed-forward;
 * see transformer.c.
 */
#ifndef MEGA_TRANSFORMER_H
#define MEGA_TRANSFORMER_H

#include "src/layers/feed_forward.h"
#include "src/layers/multi_head.h"
#include "src/model/layer_kind.h"

extern const MegaLayerKind mega_layer_kind_transformer;

#define MEGA_MAX_HEADS 1024

/* The hyper-parameters that only this kind has. */
typedef struct MegaTransformerConfig {
    int heads; /* they divide the width */
} MegaTransformerConfig;

_Static_assert(sizeof(MegaTransformerConfig) <= MEGA_KIND_CONFIG_BYTES, "it fits into a stack");

/* Return the hyper-parameters of a stack of Transformer layers, to read or to set them. */
static inline const MegaTransformerConfig *mega_transformer(const MegaStackConfig *stack)
{
    return (const MegaTransformerConfig *)(const void *)stack->own;
}

static inline MegaTransformerConfig *mega_transformer_of(MegaStackConfig *stack)
{
    return (MegaTransformerConfig *)(void *)stack->own;
}

/* The four maps of attention, and the norm of its input. In cross attention, k and v take the
 * encoder's states. */
typedef struct MegaHeadsWeights {
    MegaNormWeights norm;
    MegaLinearWeights q, k, v, out; /* d -> d; cross attention has k, v: d of the encoder -> d */
} MegaHeadsWeights;

typedef struct MegaTransformerWeights {
    MegaHeadsWeights self, cross; /* cross: for the decoder of a translator */
    MegaNormWeights ffn_norm;
    MegaLinearWeights fc1, fc2; /* d -> ffn -> d */
} MegaTransformerWeights;

#endif
