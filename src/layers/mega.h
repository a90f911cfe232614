/*
 * mega.h - a MEGA layer: moving average, gated attention, feed-forward; see mega.c.
 */
#ifndef MEGA_MEGA_H
#define MEGA_MEGA_H

#include "src/layers/ema.h"
#include "src/layers/feed_forward.h"
#include "src/model/layer_kind.h"

extern const MegaLayerKind mega_layer_kind_mega;

/* A layer ready to run: its weights, and what is derived from them once per model. */
typedef struct MegaLayer {
    const MegaLayerWeights *weights;
    MegaNorm norm, cross_norm;
    MegaLinearWeights v; /* as bound, or with norm folded in */
    bool folded;         /* norm is part of v and ema */
    MegaEma ema;
    MegaFeedForward feed_forward;
} MegaLayer;

/* Returns layer number `index` of a stack of this kind. */
static inline const MegaLayer *mega_layer(const MegaStack *stack, int index)
{
    return stack->layers[index];
}

#endif
