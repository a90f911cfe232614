/*
 * fold.h - prepares norms for running (MODEL.md, "Norms"), once per model.
 *
 * A batchnorm with running statistics is affine, so it becomes a scale and a shift. Where a linear
 * layer is all that follows the norm, scale and shift become part of that layer's weights.
 */
#ifndef MEGA_FOLD_H
#define MEGA_FOLD_H

#include "src/base/arena.h"
#include "src/model/tensors.h"

typedef struct MegaNorm {
    MegaNormKind kind;
    /* Each is [d] or NULL. For a batchnorm and for a mere multiplication the result is x * weight +
     * bias, with the statistics in both. */
    const float *weight, *bias;
    float scalar, shift; /* scalenorm and scalars */
} MegaNorm;

/* Prepares a norm. A batchnorm and a multiplication take memory from the arena; a dry run only
 * counts it. */
void mega_norm_prepare(MegaNorm *out, MegaNormKind kind, const MegaNormWeights *weights,
                       size_t width, MegaArena *arena);

/* Returns whether the norm before this linear layer can become part of it: a batchnorm or a mere
 * multiplication can, if the layer's weights are float32. */
bool mega_norm_folds(const MegaStackConfig *config, const MegaLinearWeights *linear);
/* Folds a norm into a linear layer: W (s x + t) + b = (W s) x + (W t + b). *out has weights of its
 * own in the arena; a dry run only counts them. */
void mega_norm_fold(const MegaNorm *norm, const MegaLinearWeights *linear, MegaArena *arena,
                    MegaLinearWeights *out);

#endif
