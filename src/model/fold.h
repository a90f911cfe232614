/*
 * fold.h - norms as they run (MODEL.md, "Norms"), made once per model.
 *
 * A batchnorm with running statistics is affine, so they become a scale and a shift; and where the
 * norm stands in front of a linear layer alone, scale and shift become part of its weights.
 */
#ifndef MEGA_FOLD_H
#define MEGA_FOLD_H

#include "src/base/arena.h"
#include "src/model/tensors.h"

typedef struct MegaNorm {
    MegaNormKind kind;
    /* [d] or NULL; of a batchnorm x * weight + bias, with its statistics folded in */
    const float *weight, *bias;
    float scalar; /* scalenorm */
} MegaNorm;

/* Takes the memory of a folded batchnorm from the arena; only counts it in a dry run. */
void mega_norm_prepare(MegaNorm *out, MegaNormKind kind, const MegaNormWeights *weights,
                       size_t width, MegaArena *arena);

/* Whether a pre-norm in front of this linear layer can become part of it: a batchnorm, and weights
 * that are float32. */
bool mega_norm_folds(const MegaStackConfig *config, const MegaLinearWeights *behind);
/* W (s x + t) + b = (W s) x + (W t + b). Takes memory from the arena; only counts it in a dry
 * run. */
void mega_norm_fold(const MegaNorm *norm, const MegaLinearWeights *linear, MegaArena *arena,
                    MegaLinearWeights *out);

#endif
