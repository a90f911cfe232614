/*
 * head.h - from the states of the stack to logits (spec section 8).
 */
#ifndef MEGA_HEAD_H
#define MEGA_HEAD_H

#include "src/layers/layer.h"

/* Memory of the part after pooling; lives as long as the session. */
typedef struct MegaHeadMemory {
    float *pooled;   /* [inputs][d] */
    float *joined;   /* [inputs * d], second input first */
    float *hidden[2]; /* [head.width] each, used in turn */
    double *sums;    /* [d] */
} MegaHeadMemory;

void mega_head_layout(MegaHeadMemory *out, const MegaConfig *config, MegaArena *arena);

/* workspace->x -> pooled [d]: the per-position projection of the image model, which replaces x,
 * then the mean over positions or position 0. */
void mega_head_pool(const MegaPass *pass, const MegaConfig *config, const MegaWeights *weights,
                    MegaHeadMemory *memory, float *pooled);
/* memory->pooled -> logits [classes] */
void mega_head_classify(const MegaConfig *config, const MegaWeights *weights,
                        const MegaKernels *kernels, MegaHeadMemory *memory, float *logits);

#endif
