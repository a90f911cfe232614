/*
 * norm.h - normalisation (spec section 6), prepared once per model.
 */
#ifndef MEGA_NORM_H
#define MEGA_NORM_H

#include "src/base/arena.h"
#include "src/kernels/kernels.h"
#include "src/model/tensors.h"

typedef struct MegaNorm {
    MegaNormKind kind;
    /* [d] or NULL. batchnorm: the statistics are folded in, x * weight + bias. */
    const float *weight, *bias;
    float scalar; /* scalenorm */
} MegaNorm;

/* Takes memory for a folded batchnorm from the arena; only counts it in a dry run. */
void mega_norm_prepare(MegaNorm *out, MegaNormKind kind, const MegaNormWeights *weights,
                       size_t width, MegaArena *arena);
/* x [rows][width] -> out, which may be x. */
void mega_norm_apply(const MegaNorm *norm, const MegaKernels *kernels, const float *x, size_t rows,
                     size_t width, float *out);

/* A batchnorm in front of a linear layer is part of it: W (s x + t) + b = (W s) x + (W t + b).
 * Memory from the arena; only counts it in a dry run. linear is [out][in], float32. */
void mega_norm_fold(const MegaNorm *norm, const MegaLinearWeights *linear, MegaArena *arena,
                    MegaLinearWeights *out);

#endif
