/*
 * head.h - from the states of the stack to logits (MODEL.md, "Heads").
 */
#ifndef MEGA_HEAD_H
#define MEGA_HEAD_H

#include "src/layers/layer.h"

/* Memory of the part after pooling. It lives as long as the session. */
typedef struct MegaHeadMemory {
    float *pooled;   /* [inputs][d] */
    float *joined;   /* [mega_pooled_width]: what the first linear map sees of a pair */
    float *hidden[2]; /* [head.width] each, used in turn */
    double *sums;    /* [d] */
    float *gathered; /* [MEGA_HEAD_ROWS][d], for a head without pooling */
    float *dense;    /* [MEGA_HEAD_ROWS][head.width] */
} MegaHeadMemory;

#define MEGA_HEAD_ROWS 64 /* positions that go through a head at once */

void mega_head_layout(MegaHeadMemory *out, const MegaConfig *config, MegaArena *arena);

/* Pools workspace->x to pooled [d]: it applies the image model's projection to each position, which
 * replaces x, then takes the mean or the sum over all positions, the first one or the last one. */
void mega_head_pool(const MegaPass *pass, const MegaConfig *config, const MegaWeights *weights,
                    MegaHeadMemory *memory, float *pooled);
/* Does the same for a sequence whose pieces come one after the other in workspace->x: `before`
 * positions were added already, and the last call divides what all of them have added. */
void mega_head_pool_add(const MegaPass *pass, const MegaConfig *config, const MegaWeights *weights,
                        MegaHeadMemory *memory, size_t before, float *pooled);
void mega_head_pool_end(const MegaConfig *config, const MegaHeadMemory *memory, size_t length,
                        float *pooled);
/* Computes logits [classes] of memory->pooled; without classes, the vector [head.width] that would
 * become them. */
void mega_head_classify(const MegaConfig *config, const MegaWeights *weights,
                        const MegaKernels *kernels, MegaHeadMemory *memory, float *logits);

/* The positions of workspace->x that a head without pooling maps to logits. */
typedef struct MegaHeadRows {
    const size_t *positions; /* [count], or NULL: 0 ... count - 1 */
    size_t count;
    float *logits; /* [count][classes] */
} MegaHeadRows;

void mega_head_label(const MegaPass *pass, const MegaConfig *config, const MegaWeights *weights,
                     MegaHeadMemory *memory, const MegaHeadRows *rows);

#endif
